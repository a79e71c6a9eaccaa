import hand
import numpy as np
import pandas as pd
import pytest
import strokes_tables
from conftest import labelled_ball

from patchseg.core.tissues import UNLABELLED


@pytest.fixture
def slice_():
    """Grey matter with a strip and a spot of white matter, and a voxel that nobody labelled."""
    truth = np.full((40, 60), 2, np.uint8)
    truth[20:23, 10:26] = 3
    truth[5:7, 50:52] = 3
    truth[21, 15] = UNLABELLED
    return truth


def test_the_first_stroke_mends_where_most_is_wrong_and_nothing_else(slice_):
    guess = np.full_like(slice_, 2)
    painted, tissue = hand.stroke(guess, slice_)
    assert tissue == 3 and (slice_[painted] == 3).all()
    assert np.array_equal(painted[20:23], slice_[20:23] == 3) and painted.sum() == 3 * 16 - 1
    labels, touched = hand.stroked(guess, slice_, 1)
    assert (labels[touched] == 3).all() and (labels[~touched] == 2).all()


def test_strokes_end_where_all_is_right(slice_):
    labels, touched = hand.stroked(np.full_like(slice_, 2), slice_, 100)
    known = slice_ != UNLABELLED
    assert np.array_equal(labels[known], slice_[known]) and labels[21, 15] == 2
    assert touched.sum() == 3 * 16 - 1 + 4
    assert hand.stroke(slice_, slice_)[1] == 0


def test_a_stroke_is_no_longer_and_no_wider_than_the_pen():
    truth = np.full((60, 80), 3, np.uint8)
    painted, _ = hand.stroke(np.full_like(truth, 2), truth)
    rows, columns = (np.ptp(found) + 1 for found in np.nonzero(painted))
    assert painted.sum() == max(pen.sum() for pen in hand.pens())
    assert np.hypot(rows, columns) <= hand.LENGTH + 2 * hand.RADIUS + 4
    assert painted.sum() < (hand.LENGTH + 6) * 5.2


def test_a_careful_hand_does_not_jump_over_another_tissue():
    truth = np.full((30, 40), 2, np.uint8)
    truth[14:17, 10:16] = truth[14:17, 18:22] = 3
    painted, _ = hand.stroke(np.full_like(truth, 2), truth)
    assert painted[14:17, 10:16].all() and not painted[:, 16:].any()


def test_all_of_the_corrected_slice_is_given_or_only_what_was_painted():
    ball = labelled_ball("ball")
    guess = np.where(ball.known, 2, 0).astype(np.uint8)
    corrected, wrong = hand.given_strokes(ball, guess, 18, 1, hand.CORRECTED)
    alone, _ = hand.given_strokes(ball, guess, 18, 1, hand.ALONE)
    known = np.count_nonzero(ball.known[:, 18])
    for given in (corrected, alone):
        assert np.array_equal(given.mask, ball.mask)
        assert not np.delete(given.known, 18, axis=1).any()
    assert corrected.known.sum() == known and 0 < alone.known.sum() < known
    assert (alone.labels == ball.labels)[alone.known].all()
    assert wrong == (corrected.labels != ball.labels)[corrected.known].mean() > 0


@pytest.fixture
def rows():
    shared = {"choice": -1, "how": "whole"}
    trials = [
        shared | {"brain": "chimp", "slices": slices, "gm": dice, "wm": dice}
        for slices, dice in ((0, 0.5), (1, 0.7))
    ]
    table = [
        (10, hand.CORRECTED, strokes_tables.ALL, 0.6),
        (10, hand.ALONE, strokes_tables.ALL, 0.65),
        (30, hand.CORRECTED, strokes_tables.ALL, 0.68),
        (0, hand.WHOLE, strokes_tables.BORDERS, 0.6),
        (10, hand.CORRECTED, strokes_tables.BORDERS, 0.55),
    ]
    table = pd.DataFrame(table, columns=["strokes", "way", "learned", "gm"])
    table = table.assign(wm=table.gm, brain="chimp", wrong=0.1, key="aaaa", machine="m")
    return table, pd.DataFrame(trials)


def test_the_table_tells_the_share_of_what_a_whole_slice_gains(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(strokes_tables, "OUT", tmp_path)
    strokes_tables.report(*rows)
    lines = (tmp_path / "strokes.md").read_text().splitlines()[-3:]
    borders, ten, thirty = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in lines
    ]
    assert borders[:6] == ["chimp", "borders", "10", "0.100", "0.500", "0.600"]
    assert borders[6:] == ["0.550", "0.500", "0.500", "", "", "", "aaaa"]
    assert ten[:6] == ["chimp", "network", "10", "0.100", "0.500", "0.700"]
    assert ten[6:12] == ["0.600", "0.500", "1.000", "0.650", "0.750", "1.500"]
    assert thirty[6:9] == ["0.680", "0.900", "0.600"]
    assert (tmp_path / "strokes.png").exists()


def test_the_picture_has_a_panel_a_brain_and_begins_without_strokes(rows):
    (axes,) = strokes_tables.picture(strokes_tables.compared(*rows)).axes
    borders, network = axes.lines[:3], axes.lines[3:]
    heights = [[list(line.get_ydata()) for line in lines] for lines in (borders, network)]
    assert heights[0] == [[0.5, 0.55], [0.6, 0.6], pytest.approx([0.58, 0.58])]
    assert heights[1] == [[0.5, 0.6, 0.68], [0.7, 0.7], pytest.approx([0.66, 0.66])]
