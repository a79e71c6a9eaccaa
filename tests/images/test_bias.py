import numpy as np
import pytest
from conftest import ball_brain

from patchseg.images import bias


def test_n4_keeps_the_dark_half_of_a_z_scored_brain():
    """CSF, GM and WM lie at 30, 60 and 90; after a z-score all CSF, half of the brain, is negative.

    The darkest voxel alone becomes 0.
    """
    pytest.importorskip("ants")
    image, labels = ball_brain((24, 24, 24))
    mask = labels > 0
    scored = np.where(mask, (image - image[mask].mean()) / image[mask].std(), 0)
    corrected = bias.n4(scored.astype(np.float32), mask, (1, 1, 1))
    means = [float(corrected[labels == tissue].mean()) for tissue in (1, 2, 3)]
    assert (scored[labels == 1] < 0).all() and (corrected[labels == 1] > 0).mean() > 0.99
    assert not corrected[~mask].any()
    assert np.diff(means).min() > 0.5


def test_n4_of_a_plain_image_is_what_it_was():
    """Voxels a little below 0, as interpolation leaves them, still count as 0."""
    pytest.importorskip("ants")
    image, labels = ball_brain((24, 24, 24))
    below = np.where(labels > 0, image, -0.5).astype(np.float32)
    args = labels > 0, (1, 1, 1)
    assert np.allclose(bias.n4(below, *args), bias.n4(image, *args), rtol=1e-4)


@pytest.mark.parametrize("outside", [-100, -1])
def test_n4_does_not_depend_on_a_negative_background(outside):
    pytest.importorskip("ants")
    image, labels = ball_brain((24, 24, 24))
    args = labels > 0, (1, 1, 1)
    moved = np.where(labels > 0, image, outside).astype(np.float32)
    shifted = image + np.float32(-100)  # all of it, as after a subtraction
    expected = bias.n4(image, *args)
    assert np.allclose(bias.n4(moved, *args), expected, rtol=1e-4)
    assert np.allclose(bias.n4(shifted, *args), expected, rtol=1e-3)
