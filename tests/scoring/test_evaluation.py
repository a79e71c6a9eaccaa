import io

import numpy as np
import pandas as pd
import pytest
from conftest import ball_brain, write_nifti
from PIL import Image

from patchseg import figures, metrics
from patchseg.core.tissues import COLOURS
from patchseg.datasets import bids
from patchseg.params import Evaluate
from patchseg.scoring import baseline, evaluation
from patchseg.scoring.looks import Looks


class Thresholds:
    """Tells the ball's tissues by brightness: a 'network' whose right answer is known."""

    def predict_on_batch(self, x):
        edges = (0.05, 0.47, 0.78, 2)
        return np.concatenate(
            [(low < x) & (x <= high) for low, high in zip(edges, edges[1:], strict=False)], axis=-1
        ).astype(np.float32)


@pytest.fixture
def subject(dataset):
    return bids.subjects(dataset, "test")[0]


@pytest.fixture
def rows(subject, grid):
    return evaluation.evaluate_network(
        Thresholds(), subject, grid.model_copy(update={"axes": ["sagittal", "coronal", "axial"]})
    )


def test_every_slice_and_patch_with_tissue_is_scored_once(rows, grid):
    assert not rows.duplicated(["level", "axis", "slice", "patch", "tissue"]).any()
    labels = ball_brain()[1]
    expected = sum(
        labels[tuple(slice(None) if a != axis else i for a in range(3))].any()
        for axis in range(3)
        for i in range(0, labels.shape[axis], 3)
    )
    assert (rows.level == "slice").sum() == 3 * expected
    assert (rows.level == "volume").sum() == 3


def test_a_right_network_scores_high_and_a_wrong_one_0(rows, subject, grid):
    assert rows.groupby("level").dice.mean().min() > 0.7
    volume = rows[rows.level == "volume"]
    assert volume.dice.min() > 0.85 and volume.hd95_mm.max() <= 2

    class Nothing(Thresholds):
        def predict_on_batch(self, x):
            return np.zeros((*x.shape[:3], 3), np.float32)

    none = evaluation.evaluate_network(Nothing(), subject, grid)
    assert none.dice.max() == 0 and none.avd_percent.dropna().eq(100).all()


def test_what_nobody_labelled_is_not_scored(dataset, subject, grid, rows):
    labels = ball_brain()[1]
    write_nifti(subject.label_paths["dseg"], np.where(labels == 1, 0, labels).astype(np.uint8))
    scored = evaluation.evaluate_network(Thresholds(), subject, grid)
    volume = scored[scored.level == "volume"].set_index("tissue")
    assert volume.n_predicted["CSF"] == 0 and volume.dice[["GM", "WM"]].min() > 0.85
    assert volume.share.sum() == pytest.approx((labels > 1).sum() / (labels != 1).sum())
    settings = Evaluate(fold_sizes=[1], fold_every=1, seed=0)
    curve = evaluation.fold_curve(Thresholds(), [subject], grid, settings)
    assert curve.set_index("tissue").dice["CSF"] == 0  # none in truth, and some was invented


def test_hmrf_finds_the_balls_and_is_scored_in_the_same_places(subject, grid, rows):
    one = subject.load()
    image, labels = one.normalised(99), one.labels
    found = baseline.hmrf(image)
    assert all(metrics.dice(labels == label, found == label) > 0.9 for label in (1, 2, 3))
    assert np.array_equal(found, baseline.hmrf(image))
    scored = evaluation.evaluate_hmrf(subject, grid, seed=0)
    assert scored[scored.level == "volume"].dice.min() > 0.9
    places = ["level", "axis", "slice"]
    coarse = rows[(rows.level == "slice") & rows.axis.isin(grid.axes)]
    assert set(map(tuple, scored[scored.level == "slice"][places].to_numpy())) == set(
        map(tuple, coarse[places].to_numpy())
    )


def test_hmrf_that_breaks_down_gives_none(subject, grid, monkeypatch):
    monkeypatch.setattr(
        "dipy.segment.tissue.TissueClassifierHMRF",
        lambda **_: type(
            "Broken", (), {"classify": lambda *_, **__: (0, np.full((2, 2, 2), -1), 0)}
        )(),
    )
    assert baseline.hmrf(np.ones((2, 2, 2), np.float32) * np.arange(1, 3, dtype=np.float32)) is None
    monkeypatch.setattr(evaluation.baseline, "hmrf", lambda *_, **__: None)
    assert evaluation.evaluate_hmrf(subject, grid, seed=0) is None


def test_all_recipes_and_seeds_are_scored_and_the_first_also_with_borders(
    subject, grid, monkeypatch, capsys
):
    coarse = grid.model_copy(update={"axes": ["axial"], "every": 8})
    networks = {(name, seed): Thresholds() for name in "ab" for seed in (3, 5)}
    rows = evaluation.evaluate(networks, [subject], {"a": coarse, "b": coarse}, seed=0)
    assert rows.method.unique().tolist() == ["a", "b", "a, borders from intensities", "DIPY HMRF"]
    assert rows[rows.method != "DIPY HMRF"].groupby("method").seed.unique().map(set).tolist() == (
        [{3, 5}] * 3
    )
    assert rows[rows.method == "DIPY HMRF"].seed.isna().all()
    table = metrics.table(rows, ("method", "seed", "level", "tissue"))
    assert len(table) == 7 * 3 * 3  # HMRF has no seed and is not lost
    monkeypatch.setattr(evaluation, "evaluate_hmrf", lambda *_: None)
    rows = evaluation.evaluate(networks, [subject], {"a": coarse, "b": coarse}, seed=0)
    assert "DIPY HMRF" not in set(rows.method) and "broke down on sub-c" in capsys.readouterr().out


def test_fold_curves_name_recipe_and_seed(subject, grid):
    settings = Evaluate(fold_sizes=[1], fold_every=8, seed=0)
    networks = {("a", 0): Thresholds(), ("a", 1): Thresholds()}
    curves = evaluation.fold_curves(networks, [subject], {"a": grid}, settings)
    assert curves.groupby(["recipe", "seed"]).size().to_dict() == {("a", 0): 3, ("a", 1): 3}


def test_sharpened_borders_are_scored_in_the_same_places(subject, grid):
    network, places = Thresholds(), ["level", "axis", "slice"]
    found = evaluation.evaluate_sharpened(network, subject, grid)
    assert found[found.level == "volume"].dice.min() > 0.85
    plain = evaluation.evaluate_network(network, subject, grid)
    both = [set(map(tuple, one[places].to_numpy())) for one in (found, plain)]
    assert both[0] == both[1]


def test_patches_have_no_distances(rows):
    assert rows[rows.level == "patch"].hd95_mm.isna().all()
    assert rows[rows.level == "slice"].hd95_mm.notna().any()


def test_fold_curve_by_size(subject, grid):
    curve = evaluation.fold_curve(
        Thresholds(), [subject], grid, Evaluate(fold_sizes=[0.5, 1, 2], fold_every=4, seed=0)
    )
    assert curve.fold_size.tolist() == [0.5] * 3 + [1] * 3 + [2] * 3
    assert curve.dice.between(0, 1).all() and curve[curve.fold_size == 2].dice.min() > 0.7


def drawn(figure):
    """Return a figure's pixels as (h, w, 3) array."""
    return np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("RGB"))


def test_every_figure_draws_and_saves_the_same_bytes(rows, subject, grid, tmp_path):
    full = grid.model_copy(update={"axes": ["sagittal", "coronal", "axial"]})
    looks = Looks(Thresholds(), [subject], full, rows)
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "seed": [0, 0],
            "loss": [0.5, 0.2],
            "val_dice": [0.1, 0.6],
            **{f"val_dice_{t}": [0.1, 0.6] for t in ("CSF", "GM", "WM")},
        }
    )
    curve = pd.DataFrame(
        [(r, 0, s, t, 0.5) for r in "ab" for s in (0.5, 1) for t in ("CSF", "GM", "WM")],
        columns=["recipe", "seed", "fold_size", "tissue", "dice"],
    )
    pair = looks.median_patch()[1:3]
    pictures = [
        figures.predictions(looks.patches()),
        figures.tissue_maps(*looks.median_patch()),
        figures.tissue_maps(*looks.median_slice()),
        figures.learning_curve(history),
        figures.fold_sizes(curve),
        figures.zoomed_pairs([pair * 2]),
        figures.zoomed_pairs([]),
        figures.slice_and_patches(np.ones((64, 64)), np.ones((4, 32, 32)), "ones"),
    ]
    for number, picture in enumerate(pictures):
        for name in "ab":
            figures.save(picture, tmp_path / f"{number}{name}.png")
        assert (tmp_path / f"{number}a.png").read_bytes() == (
            tmp_path / f"{number}b.png"
        ).read_bytes()
        assert len(np.unique(drawn(picture).reshape(-1, 3), axis=0)) > 10


def test_the_median_slice_is_a_whole_one_of_a_thin_block(rows, subject, grid):
    full = grid.model_copy(update={"axes": ["sagittal", "coronal", "axial"]})
    looks = Looks(Thresholds(), [subject], full, rows)
    title, image, *_ = looks.median_slice()
    assert title.startswith("axial slice") and image.shape == (40, 36)  # of 40 x 36 x 32 voxels


def test_ranks_go_from_worst_to_best(rows, subject, grid):
    looks = Looks(Thresholds(), [subject], grid, rows)
    dice = [float(title.split("Dice ")[1].split(",")[0]) for title, *_ in looks.patches()]
    assert dice == sorted(dice) and len(dice) == 5


def test_tissue_colours_are_drawn_as_in_the_legend():
    labels = np.array([[1, 2], [3, 0]])
    pixels = drawn(figures.tissue_maps("title", labels / 3, labels, labels)).reshape(-1, 3)
    for colour in COLOURS.values():
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(pixels - wanted).sum(axis=1) == 0).sum() > 500
