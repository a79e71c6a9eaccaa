import numpy as np
import pytest
from conftest import ball_brain, write_nifti

from patchseg import preprocess
from patchseg.core.errors import InputError
from patchseg.datasets import bids


def test_a_shard_holds_every_filled_patch_and_its_place(dataset, grid, tmp_path):
    subject = bids.subjects(dataset, "train")[0]
    shard = preprocess.load_shard(preprocess.write_shard(subject, tmp_path / "a.npz", grid))
    one = subject.load()
    image, labels = one.normalised(grid.top), one.labels
    n_filled = 0
    for number, axis in ((1, "coronal"), (2, "axial")):
        for index, images, masks in preprocess.cut_slices(image, labels, grid, axis):
            for patch in np.flatnonzero(images.max(axis=(1, 2)) > 0):
                row = np.flatnonzero((shard["place"] == (number, index, patch)).all(axis=1))
                assert len(row) == 1 and np.array_equal(shard["labels"][row[0]], masks[patch])
                assert np.allclose(shard["images"][row[0]], images[patch], atol=1e-3)
                n_filled += 1
    assert n_filled == (shard["images"].max(axis=(1, 2)) > 0).sum() and n_filled < len(
        shard["images"]
    )


def test_keep_empty_0_keeps_no_empty_patch(dataset, grid, tmp_path):
    settings = grid.model_copy(update={"keep_empty": 0.0})
    shard = preprocess.load_shard(
        preprocess.write_shard(bids.subjects(dataset, "train")[0], tmp_path / "a.npz", settings)
    )
    assert (shard["images"].max(axis=(1, 2)) > 0).all()


def test_the_same_input_gives_the_same_bytes_one_process_or_two(dataset, grid, tmp_path):
    one = preprocess.preprocess(dataset, tmp_path / "one", grid)
    two = preprocess.preprocess(dataset, tmp_path / "two", grid.model_copy(update={"jobs": 2}))
    assert [path.name for path in one] == ["sub-a.npz", "sub-b.npz", "sub-c.npz"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_cluster_writes_the_same_shards(dataset, grid, tmp_path, request):
    here = preprocess.preprocess(dataset, tmp_path / "here", grid)
    request.getfixturevalue("on_dask")
    there = preprocess.preprocess(dataset, tmp_path / "there", grid)
    assert [path.read_bytes() for path in there] == [path.read_bytes() for path in here]


def test_a_killed_run_resumes_with_whole_shards_only(dataset, grid, tmp_path):
    folder = tmp_path / "shards"
    whole = {path.name: path.read_bytes() for path in preprocess.preprocess(dataset, folder, grid)}
    (folder / "sub-b.npz").write_bytes(whole["sub-b.npz"][:5000])  # as a copy that was cut off
    (folder / "sub-c.npz").unlink()
    (folder / "sub-gone.npz").write_bytes(b"")
    before = (folder / "sub-a.npz").stat().st_mtime_ns
    preprocess.preprocess(dataset, folder, grid)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert (folder / "sub-a.npz").stat().st_mtime_ns == before


def test_changed_input_or_settings_make_a_shard_anew(dataset, grid, tmp_path):
    paths = preprocess.preprocess(dataset, tmp_path, grid)
    first = [preprocess.shard_key(path) for path in paths]
    write_nifti(dataset / "sub-a" / "anat" / "sub-a_T1w.nii.gz", ball_brain()[0])
    preprocess.preprocess(dataset, tmp_path, grid)
    second = [preprocess.shard_key(path) for path in paths]
    assert first[0] != second[0] and first[1:] == second[1:]
    preprocess.preprocess(dataset, tmp_path, grid.model_copy(update={"square": False}))
    assert not set(second) & {preprocess.shard_key(path) for path in paths}


def test_other_code_makes_a_shard_anew(dataset, grid, tmp_path, package, monkeypatch):
    subject = bids.subjects(dataset, "train")[0]
    path = preprocess.write_shard(subject, tmp_path / "a.npz", grid)
    first = preprocess.load_shard(path)
    monkeypatch.setattr(preprocess.patching, "to_grid", lambda *_: np.zeros((64, 64), np.float32))
    assert preprocess.load_shard(preprocess.write_shard(subject, path, grid))["images"].any()
    code = package / "patching.py"
    code.write_text(code.read_text() + "\nADDED = 1\n")
    assert not preprocess.load_shard(preprocess.write_shard(subject, path, grid))["images"].any()
    monkeypatch.undo()
    monkeypatch.setattr(preprocess, "versions", lambda *_: {"numpy": "0"})
    again = preprocess.load_shard(preprocess.write_shard(subject, path, grid))
    assert all(np.array_equal(again[name], first[name]) for name in first)


def test_a_bad_subject_leaves_nothing_half_written(dataset, grid, tmp_path):
    write_nifti(dataset / "sub-b" / "anat" / "sub-b_T1w.nii.gz", np.zeros((40, 36, 32), np.float32))
    with pytest.raises(InputError, match=r"sub-b_T1w.nii.gz: every voxel is 0"):
        preprocess.preprocess(dataset, tmp_path / "s", grid)
    assert not list((tmp_path / "s").glob("sub-b*")) and not list(
        (tmp_path / "s").glob(".partial*")
    )


def test_not_a_shard(tmp_path):
    with pytest.raises(
        InputError, match=r"x.npz: not a whole shard; run the preprocess stage again"
    ):
        preprocess.load_shard(tmp_path / "x.npz")


def test_brain_that_nobody_labelled_is_no_background(dataset, grid, tmp_path):
    subject = bids.subjects(dataset, "train")[0]
    labels = ball_brain()[1]
    write_nifti(subject.label_paths["dseg"], np.where(labels == 1, 0, labels).astype(np.uint8))
    shard = preprocess.load_shard(preprocess.write_shard(subject, tmp_path / "a.npz", grid))
    assert set(np.unique(shard["labels"])) == {0, 2, 3, 255}
    rim = (shard["images"] > 0.25) & (shard["images"] < 0.4)  # the brightness of CSF
    assert (shard["labels"][rim] == 255).mean() > 0.9 > 0.05 > (shard["labels"][rim] == 0).mean()
