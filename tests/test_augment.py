import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchseg import augment, preprocess
from patchseg.core.errors import InputError
from patchseg.training import batches, training_set


def test_zoom_in_doubles_the_centre():
    mask = np.arange(16, dtype=np.uint8).reshape(4, 4)
    image, zoomed = augment.zoom_in(mask.astype(np.float32), mask, 0.5)
    assert zoomed.tolist() == [[5, 5, 6, 6], [5, 5, 6, 6], [9, 9, 10, 10], [9, 9, 10, 10]]
    assert image[0, 0] == 5 and image[-1, -1] == 10 and 5 < image[1, 1] < 10


@given(st.integers(4, 64), st.floats(0.3, 1.0), st.integers(0, 99))
def test_zoom_in_invents_no_label_and_keeps_the_pair_together(edge, fraction, seed):
    mask = np.random.default_rng(seed).choice([0, 2, 3], (edge, edge)).astype(np.uint8)
    image, zoomed = augment.zoom_in(mask.astype(np.float32), mask, fraction)
    assert image.shape == zoomed.shape == mask.shape
    assert set(np.unique(zoomed)) <= set(np.unique(mask))
    flat = augment.zoom_in(np.full(mask.shape, 0.25, np.float32), mask, fraction)[0]
    assert np.allclose(flat, 0.25)


def test_image_and_mask_stay_aligned():
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 26:40] = 3
    image, zoomed = augment.zoom_in((mask > 0).astype(np.float32), mask, 0.5)
    assert np.array_equal(image > 0.5, zoomed == 3)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"fraction 1.5 is not in \(0, 1\]"):
        augment.zoom_in(np.zeros((4, 4)), np.zeros((4, 4), np.uint8), 1.5)
    with pytest.raises(ValueError, match="differ in shape"):
        augment.zoom_in(np.zeros((4, 4)), np.zeros((4, 5), np.uint8), 0.5)


def test_training_set_is_every_patch_then_the_zoomed_copies(dataset, grid, tmp_path):
    paths = preprocess.preprocess(dataset, tmp_path / "shards", grid)[:2]
    n = sum(len(preprocess.load_shard(path)["images"]) for path in paths)
    for name in ("one", "two"):
        training_set.write_training_set(paths, tmp_path / name, 1.0, [0.5], seed=3)
    images, labels = batches.open_training_set(tmp_path / "one")
    assert len(images) == len(labels) == 2 * n
    first = preprocess.load_shard(paths[0])
    m = len(first["images"])
    assert np.array_equal(images[:m], first["images"])
    assert np.array_equal(
        labels[m], augment.zoom_in(first["images"][0], first["labels"][0], 0.5)[1]
    )
    assert (tmp_path / "one" / "images.npy").read_bytes() == (
        tmp_path / "two" / "images.npy"
    ).read_bytes()


def test_share_0_adds_nothing(dataset, grid, tmp_path):
    paths = preprocess.preprocess(dataset, tmp_path / "shards", grid)[:1]
    assert training_set.write_training_set(paths, tmp_path / "set", 0.0, [0.5], seed=0) == []
    assert len(batches.open_training_set(tmp_path / "set")[0]) == len(
        preprocess.load_shard(paths[0])["images"]
    )


def test_no_patches_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="no patch to train on"):
        training_set.write_training_set([], tmp_path / "set", 0, [0.5], seed=0)
    assert not (tmp_path / "set").exists()
