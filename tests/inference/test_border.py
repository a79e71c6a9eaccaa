"""Labels of a slice move the border of a brain in heads that look alike."""

import json

import nibabel as nib
import numpy as np
import pytest

from patchseg import checkpoint, params
from patchseg.core.errors import InputError
from patchseg.datasets.labelled import Labelled
from patchseg.inference import border, extraction, request

SETTINGS = params.shipped().adapt.calibration
SHAPE = (40, 36, 32)


def ball(radius):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return np.sqrt(sum(axis**2 for axis in axes)) < radius


def found(radius=0.5):
    """What a network that is not quite sure finds: a ball."""
    return extraction.whole(ball(radius), 0.8)


def around(image, last=None, voxel_mm=1):
    return border.around(image, last or found(), (voxel_mm,) * 3)


def taught(radius, image=None, **known):
    image = IMAGE if image is None else image
    return border.learn([painted(ball(radius), image, **known)], [around(image)], SETTINGS)


def painted(inside, image, slices=(18,)):
    labels = np.zeros(SHAPE, np.uint8)
    for number in slices:
        labels[:, number] = np.where(inside[:, number], 1, 2)
    return Labelled("ball", image, labels, np.eye(4))


IMAGE = (60.0 * ball(0.5) + 100.0 * (ball(0.75) & ~ball(0.5)) + 30 * ball(0.4)).astype(np.float32)
IMAGE_FILE = nib.Nifti1Image(IMAGE, np.eye(4))
DARK = (140.0 * ball(0.75) - IMAGE).astype(np.float32)


def test_features_are_those_of_the_voxels_around_the_border():
    own = around(IMAGE)
    assert own.features.shape == (own.near.sum(), border.COUNT)
    assert own.features.dtype == own.start.dtype == np.float32
    assert own.start.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (own.near & ball(0.5)).any() and (own.near & ~ball(0.5)).any()
    assert not own.near[ball(0.2)].any() and not own.near[~ball(0.8)].any()
    assert own.look[0] == pytest.approx(1, abs=0.1) and own.look[4] == pytest.approx(0.6, abs=0.1)
    guessed = border._look(np.array([-0.15, 0.15]), np.array([1.0, 0.5]))
    assert guessed == [1, 0.9, 0.8, 0.7, 0.6, 0.5]


def test_the_border_moves_in_all_slices_and_by_nothing_where_labels_agree():
    for radius in (0.4, 0.5):
        after = border.moved(found(), around(IMAGE), taught(radius))
        wrong = after.mask ^ ball(radius)
        assert wrong.sum() < 0.02 * ball(radius).sum()
        assert (after.probability > extraction.LEVEL)[ball(radius)].mean() > 0.98


def test_each_look_and_size_has_a_border_of_its_own():
    given = [painted(ball(0.4), IMAGE), painted(ball(0.5), DARK), painted(ball(0.4), IMAGE, [14])]
    seen = [around(one.image) for one in given]
    borders = border.learn([*given, given[0]], [*seen, around(IMAGE, voxel_mm=2)], SETTINGS)
    assert [len(one["looks"]) for one in borders] == [2, 1, 1]
    for image, radius in ((IMAGE, 0.4), (DARK, 0.5)):
        after = border.moved(found(), around(image), borders).mask
        assert (after ^ ball(radius)).sum() < 0.02 * ball(radius).sum()
    new = border.learn(given[1:2], seen[1:2], SETTINGS)
    assert border.kept(borders, new) == [new[0], borders[0], borders[2]]


@pytest.mark.parametrize(("known", "image", "voxel_mm"), [
    (False, IMAGE, 1), (True, DARK, 1), (True, IMAGE, 1.5),
], ids=["nothing learned", "looks otherwise", "another size"])  # fmt: skip
def test_other_heads_are_left_as_they_are(known, image, voxel_mm):
    borders, last = taught(0.4) if known else [], found()
    assert border.moved(last, around(image, last, voxel_mm), borders) is last


def test_too_few_labels_and_no_brain_teach_nothing():
    few = painted(ball(0.4), IMAGE)
    few.labels[:, :, 2:] = 0
    assert border.learn([few], [around(IMAGE)], SETTINGS) == []
    for radius in (0, 0.1):  # none, and one of a few voxels
        last = extraction.whole(ball(radius), 0.8)
        assert around(IMAGE, last) is None and border.moved(last, None, taught(0.4)) is last
        assert border.learn([painted(ball(0.4), IMAGE)], [None], SETTINGS) == []


def test_a_brain_is_never_moved_away(monkeypatch):
    borders, last = taught(0.4), found()
    borders[0]["bias"] = [-1e3, 1e3]  # nothing is brain
    monkeypatch.setattr(border, "NEAR", 1.0)
    assert border.moved(last, around(IMAGE), borders) is last


def test_a_card_holds_the_borders_and_what_is_no_border_is_refused(tmp_path):
    path = tmp_path / "heads.weights.h5"
    path.write_bytes(b"weights")
    borders, last = taught(0.4), found()
    checkpoint.write_card(path, {}, what="brain", borders=json.loads(json.dumps(borders)))
    first = request.request(IMAGE_FILE, None, brain_weights=path)["heads_sha256"]
    known = border.of_card(path)
    after = [border.moved(last, around(IMAGE), one).mask for one in (borders, known)]
    assert np.array_equal(*after) and not np.array_equal(after[0], last.mask)
    borders[0]["bias"][0] += 1
    checkpoint.write_card(path, {}, what="brain", borders=borders)
    assert request.request(IMAGE_FILE, None, brain_weights=path)["heads_sha256"] != first
    borders[0]["center"].pop()
    checkpoint.write_card(path, {}, what="brain", borders=borders)
    with pytest.raises(InputError, match=r"heads.json: borders.0.center is not what .* adapt"):
        border.of_card(path)
    checkpoint.write_card(path, {}, what="brain", borders=None)
    assert border.of_card(path) == []
