"""Labels of a slice move the border of a brain in heads that look alike."""

import json

import numpy as np
import pytest

from patchseg import checkpoint, params
from patchseg.core.errors import InputError
from patchseg.datasets.labelled import Labelled
from patchseg.images import head
from patchseg.inference import border, extraction

SETTINGS = params.shipped().adapt.calibration
SHAPE = (40, 36, 32)


def ball(radius):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return np.sqrt(sum(axis**2 for axis in axes)) < radius


def found(radius=0.5):
    """What a network that is not quite sure finds: a ball."""
    return extraction.whole(ball(radius), 0.8)


def painted(inside, image, slices=(18,)):
    labels = np.zeros(SHAPE, np.uint8)
    for number in slices:
        labels[:, number] = np.where(inside[:, number], 1, 2)
    return Labelled("ball", image, labels, np.eye(4))


IMAGE = (60.0 * ball(0.5) + 100.0 * (ball(0.75) & ~ball(0.5)) + 30 * ball(0.4)).astype(np.float32)
DARK = (140.0 * ball(0.75) - IMAGE).astype(np.float32)


def test_features_are_those_of_the_voxels_around_the_border():
    near, features, look = border.describe(head.scaled(IMAGE), found(), (1, 1, 1))
    assert features.shape == (near.sum(), border.COUNT) and features.dtype == np.float32
    assert (near & ball(0.5)).any() and (near & ~ball(0.5)).any()
    assert not near[ball(0.2)].any() and not near[~ball(0.8)].any()
    assert look[0] == pytest.approx(1, abs=0.1) and look[4] == pytest.approx(0.6, abs=0.1)
    guessed = border._look(np.array([-0.15, 0.15]), np.array([1.0, 0.5]))
    assert guessed == [1, 0.9, 0.8, 0.7, 0.6, 0.5]


def test_the_border_moves_in_all_slices_and_by_nothing_where_labels_agree():
    for radius in (0.4, 0.5):
        borders = border.learn([painted(ball(radius), IMAGE)], [found()], SETTINGS)
        after = border.moved(found(), IMAGE, (1, 1, 1), borders)
        wrong = after.mask ^ ball(radius)
        assert wrong.sum() < 0.02 * ball(radius).sum()
        assert (after.probability > extraction.LEVEL)[ball(radius)].mean() > 0.98


def test_each_look_has_a_border_of_its_own():
    given = [painted(ball(0.4), IMAGE), painted(ball(0.5), DARK), painted(ball(0.4), IMAGE, [14])]
    borders = border.learn(given, [found()] * 3, SETTINGS)
    assert [len(one["looks"]) for one in borders] == [2, 1]
    for image, radius in ((IMAGE, 0.4), (DARK, 0.5)):
        after = border.moved(found(), image, (1, 1, 1), borders).mask
        assert (after ^ ball(radius)).sum() < 0.02 * ball(radius).sum()
    new = border.learn(given[1:2], [found()], SETTINGS)
    assert border.kept(borders, new) == [new[0], borders[0]]


@pytest.mark.parametrize(("known", "image", "voxel_mm"), [
    (False, IMAGE, 1), (True, DARK, 1), (True, IMAGE, 1.5),
], ids=["nothing learned", "looks otherwise", "another size"])  # fmt: skip
def test_other_heads_are_left_as_they_are(known, image, voxel_mm):
    borders = border.learn([painted(ball(0.4), IMAGE)], [found()], SETTINGS) if known else []
    last = found()
    assert border.moved(last, image, (voxel_mm,) * 3, borders) is last


def test_too_few_labels_and_no_brain_teach_nothing():
    few = painted(ball(0.4), IMAGE)
    few.labels[:, :, 2:] = 0
    nothing = extraction.whole(np.zeros(SHAPE, bool), 0.8)
    assert border.learn([few], [found()], SETTINGS) == []
    assert border.learn([painted(ball(0.4), IMAGE)], [nothing], SETTINGS) == []


def test_a_card_holds_the_borders_and_what_is_no_border_is_refused(tmp_path):
    path = tmp_path / "heads.weights.h5"
    path.write_bytes(b"weights")
    borders = border.learn([painted(ball(0.4), IMAGE)], [found()], SETTINGS)
    checkpoint.write_card(path, {}, calibration=json.loads(json.dumps(borders)))
    one, after = found(), border.of_card(path)
    moved = [border.moved(one, IMAGE, (1, 1, 1), known).mask for known in (borders, after)]
    assert np.array_equal(*moved) and not np.array_equal(moved[0], one.mask)
    borders[0]["center"].pop()
    checkpoint.write_card(path, {}, calibration=borders)
    with pytest.raises(InputError, match=r"heads.json: calibration.0.center is not what .* adapt"):
        border.of_card(path)
