"""Patches for the network that finds deep grey matter, drawn from label maps."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import ball_brain, labelled_ball

from patchseg import params
from patchseg.core.errors import InputError
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets import deep
from patchseg.training import appearance, deep_grey

STEM = 5


def ball(parts):
    """The ball; `parts` from its foot to its top, a structure each."""
    labels = ball_brain()[1]
    layers = np.array_split(np.arange(labels.shape[2]), len(parts))
    named = np.zeros(labels.shape, np.uint8)
    for part, layer in zip(parts, layers, strict=True):
        named[..., layer] = part
    return replace(labelled_ball(labels=labels), parts=named)


@pytest.fixture
def settings():
    usual = params.load("params.yaml").deep.draw.model_dump()
    return params.DeepDraw(**usual | {"patch_size": 32, "rim": 0, "reshaped": 0})


def test_classes_are_other_deep_and_white():
    drawn = np.array([0, 1, 2, 3, 12, 22, 32, 42, 11, 53, UNLABELLED], np.uint8)
    assert deep_grey.classes(drawn).tolist() == [0, 1, 1, 3, 2, 2, 2, 2, 1, 3, UNLABELLED]


def test_half_of_the_patches_lie_around_deep_grey_matter(settings):
    brain = deep_grey.brain_of(ball([0, 0, 1]))
    deep_places, others = brain.places
    size = brain.levels[0][1].shape[2] * brain.levels[0][2][2]
    assert deep_places[:, 2].min() >= size * 0.6 and others[:, 2].min() < size * 0.1
    rng = np.random.default_rng(0)
    drawn = [deep_grey.patch(rng, brain, settings) for _ in range(40)]
    assert set(np.unique([labels for _, labels in drawn])) == {0, 1, 2, 3}
    assert all(image.shape == (32, 32) and image.dtype == np.float32 for image, _ in drawn)
    assert np.mean([(labels == 2).any() for _, labels in drawn]) > 0.5


def test_labels_without_structures_are_refused():
    with pytest.raises(InputError, match="do not name deep grey matter; use label maps"):
        deep_grey.brain_of(labelled_ball())


def test_a_structure_lies_between_grey_and_white_matter_in_brightness(settings):
    codes = [1, 2, 3, 12, 22, 32, 42, 53]
    truth = np.repeat(np.array(codes, np.uint8), 16)[:, None] * np.ones((1, 64), np.uint8)
    plain, ways = settings.model_copy(update={"orders": (1, 0, 0, 0), "parts": 0}), []
    rng = np.random.default_rng(0)
    for _ in range(300):
        image = appearance.make_up(rng, truth, truth > 0, plain)
        _, grey, white, *others = (image[truth == code].mean() for code in codes)
        ways.append((np.array(others) - grey) / (white - grey))
    means = dict(zip(deep.STRUCTURES, np.mean(ways, axis=0), strict=True))
    for name in deep.GREY:
        usual, like = np.mean(appearance.WAY[name]), np.mean(appearance.LIKE_CORTEX)
        wanted = appearance.USUAL * usual + (1 - appearance.USUAL) * like
        assert means[name] == pytest.approx(wanted, abs=0.1), name
    stem = 1 - np.mean(appearance.WAY["brain stem"])
    assert means["brain stem"] == pytest.approx(stem, abs=0.1)
    assert np.std(ways, axis=0).min() > 0.15
