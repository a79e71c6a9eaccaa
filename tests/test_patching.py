import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchseg import patching
from patchseg.images import grid


def test_extract_goes_row_by_row():
    patches = patching.extract(np.arange(16).reshape(4, 4), 2)
    assert patches.tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 17), st.sampled_from([(), (3,)]))
def test_reassemble_undoes_extract(h, w, patch, channels):
    image = np.arange(h * w * (3 if channels else 1)).reshape(h, w, *channels)
    assert np.array_equal(patching.reassemble(patching.extract(image, patch), (h, w)), image)


def test_reassemble_refuses_a_wrong_number():
    with pytest.raises(
        ValueError, match="3 patches of 2 pixels do not make an image of 4 x 4; 4 would"
    ):
        patching.reassemble(np.zeros((3, 2, 2)), (4, 4))


def test_slices_are_a_view_along_their_axis():
    data = np.arange(24).reshape(2, 3, 4)
    for axis, n in zip(grid.AXES, data.shape, strict=True):
        assert len(patching.slices(data, axis)) == n
        back = np.moveaxis(patching.slices(data, axis), 0, grid.AXES.index(axis))
        assert np.array_equal(back, data) and np.shares_memory(back, data)


@given(st.integers(2, 60), st.integers(2, 60), st.sampled_from([32, 64]), st.booleans())
def test_no_resize_invents_a_label(h, w, size, square):
    labels = np.random.default_rng(h * w).choice([0, 1, 3], (h, w)).astype(np.uint8)
    large = patching.to_grid(labels, size, square, "nearest")
    assert large.shape == (size, size) and set(np.unique(large)) <= {0, 1, 3}
    back = patching.from_grid(large, (h, w), square, "nearest")
    assert back.shape == (h, w) and set(np.unique(back)) <= {0, 1, 3}


@given(st.integers(2, 32), st.integers(2, 32), st.booleans())
def test_from_grid_undoes_enlarging(h, w, square):
    labels = np.random.default_rng(h + 99 * w).integers(0, 4, (h, w)).astype(np.uint8)
    large = patching.to_grid(labels, 128, square, "nearest")
    assert np.array_equal(patching.from_grid(large, (h, w), square, "nearest"), labels)


def test_square_keeps_proportions():
    image = np.ones((10, 20), np.float32)
    assert patching.to_grid(image, 40, False, "bilinear").mean() == 1
    assert patching.to_grid(image, 40, True, "bilinear").mean() == pytest.approx(0.5, abs=0.03)


def test_keep_mask_drops_empty_patches_but_a_share():
    images = np.zeros((1000, 2, 2))
    images[::2, 0, 0] = 1
    rng = np.random.default_rng(0)
    assert patching.keep_mask(images, 0, rng).tolist() == [True, False] * 500
    assert patching.keep_mask(images, 1, rng).all()
    kept = patching.keep_mask(images, 0.2, rng)
    assert kept[::2].all() and kept[1::2].mean() == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("square", [True, False])
def test_a_slice_that_shrinks_is_averaged_and_not_sampled(square):
    """Every fourth line is 1, so the mean is 0.25; samples at every fourth pixel would see none."""
    stripes = np.zeros((128, 128), np.float32)
    stripes[::4] = 1
    for image in (stripes, stripes.T):
        assert np.allclose(patching.to_grid(image, 32, square, "bilinear"), 0.25)
    channels = np.stack([stripes, 1 - stripes], axis=-1)
    assert np.allclose(patching.to_grid(channels, 32, square, "bilinear"), [0.25, 0.75])


def test_only_the_axis_that_shrinks_is_averaged():
    """128 lines of stripes become 32 even ones; 16 columns become 32, as by OpenCV's resize."""
    image = np.zeros((128, 16), np.float32)
    image[::4] = np.arange(16)
    shrunk = np.tile(np.arange(16, dtype=np.float32) / 4, (32, 1))
    expected = cv2.resize(shrunk, (32, 32), interpolation=cv2.INTER_LINEAR)
    assert np.allclose(patching.to_grid(image, 32, False, "bilinear"), expected, atol=1e-5)
