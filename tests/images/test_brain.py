import numpy as np
import pytest
from conftest import ball_brain

from patchseg.core.errors import InputError
from patchseg.images import brain


def test_foreground_drops_strays_and_fills_holes():
    data = np.zeros((12, 12, 12))
    data[2:9, 2:9, 2:9] = 5
    data[5, 5, 5] = 0
    data[11, 11, 11] = 9
    data[0] -= 0.01
    mask = brain.foreground(data)
    assert mask.sum() == 7**3 and mask[5, 5, 5] and not mask[11, 11, 11]


def test_a_background_that_is_not_0():
    data = np.full((6, 6, 6), -1000.0)
    data[2:4, 2:4, 2:4] = 50
    assert brain.foreground(data).sum() == 8


@pytest.mark.parametrize("shift", [-60, -45, 0, 500])
def test_the_brain_is_found_wherever_its_intensities_lie(shift):
    image, labels = ball_brain()
    moved = np.where(labels > 0, image + shift, shift if shift in (-60, 500) else 0)
    mask = brain.foreground(moved)
    assert (mask == (labels > 0)).mean() > 0.999
    ready = brain.normalise(moved, mask)
    assert [ready[labels == tissue].mean() for tissue in (1, 2, 3)] == pytest.approx(
        [0.33, 0.65, 0.98], abs=0.35
    )
    assert ready[labels == 3].mean() - ready[labels == 1].mean() > 0.5


def test_one_dark_voxel_does_not_spoil_the_contrast():
    image, labels = ball_brain()
    image[20, 18, 16] = -32768
    ready = brain.normalise(image, labels > 0)
    assert ready[labels == 3].mean() - ready[labels == 1].mean() > 0.5


def test_two_hemispheres_are_both_kept():
    data = np.zeros((12, 6, 6))
    data[1:5, 1:5, 1:5] = data[7:11, 1:5, 1:5] = 1
    assert brain.foreground(data).sum() == 128


def test_a_constant_image_is_refused():
    with pytest.raises(InputError, match=r"brain.nii: every voxel is 0"):
        brain.foreground(np.zeros((2, 2, 2)), "brain.nii")
    with pytest.raises(InputError, match="the brain's voxels are all 3"):
        brain.normalise(np.full((2, 2, 2), 3.0), np.ones((2, 2, 2), bool))
    with pytest.raises(InputError, match="the mask holds no voxel"):
        brain.normalise(np.ones((2, 2, 2)), np.zeros((2, 2, 2), bool))


def test_normalise_by_percentile_ignores_a_few_bright_vessels():
    data = np.r_[0.0, np.linspace(1, 100, 1000), 1e4]
    mask = data > 0
    assert np.median(brain.normalise(data, mask, 100)) < 0.01
    assert np.median(brain.normalise(data, mask, 99)) == pytest.approx(0.5, abs=0.02)


def test_size_by_hand():
    assert brain.size_mm(np.ones((10, 10, 10), bool), (1, 2, 4)) == pytest.approx(20)


def test_few_slices_have_no_depth():
    image, _ = ball_brain((40, 40, 3))
    assert brain.depth_profile(image, image > 0, (1, 1, 1)) is None


def test_a_bright_background_and_an_empty_mask_are_refused_in_words():
    """A brain of 10 on white: nothing is brighter than the background."""
    data = np.full((6, 6, 6), 255.0)
    data[2:4, 2:4, 2:4] = 10
    with pytest.raises(InputError, match="x.nii: nothing is brighter than the background 255"):
        brain.foreground(data, "x.nii")
    with pytest.raises(InputError, match=r"the mask of shape \(2, 3, 4\) is 0 everywhere"):
        brain.bounding_box(np.zeros((2, 3, 4), bool))
