import json

import numpy as np
import pytest
from conftest import ball_brain, write_dataset, write_nifti

from patchseg.core.errors import InputError
from patchseg.datasets import bids


def test_subjects_by_split(dataset):
    assert [s.name for s in bids.subjects(dataset)] == ["sub-a", "sub-b", "sub-c"]
    assert [s.name for s in bids.subjects(dataset, "val")] == ["sub-b"]


def test_load_gives_image_in_unit_range_and_labels(dataset):
    one = bids.subjects(dataset, "train")[0].load()
    image = one.normalised(99)
    assert (image.min(), image.max()) == (0, 1) and one.species == "ball"
    assert np.array_equal(one.labels, ball_brain()[1]) and np.array_equal(one.affine, np.eye(4))


def test_what_nobody_labelled_is_255_in_the_brain_and_0_outside(dataset):
    subject = bids.subjects(dataset, "train")[0]
    image, labels = ball_brain()
    source = np.where(labels == 1, 0, labels)  # a source without sulcal CSF
    source[0, 0, 0] = 3  # and with a stray label outside the brain
    write_nifti(subject.label_paths["dseg"], source)
    expected = np.where(labels == 1, 255, labels)
    assert np.array_equal(subject.load().labels, expected)
    write_nifti(subject.label_paths["dseg"], np.where(labels == 1, 255, source).astype(np.uint8))
    assert np.array_equal(subject.load().labels, expected)


def test_what_is_written_is_read_again(tmp_path):
    image, labels = ball_brain()
    rows = [(f"sub-{split}", "ball", split) for split in bids.SPLITS]
    for name, *_ in rows:
        bids.write_image(tmp_path, name, "T1w", image, np.eye(4))
        bids.write_labels(tmp_path, name, "dseg", labels, np.eye(4))
    bids.describe(tmp_path, {"Name": "balls"}, {"Name": "their labels"}, rows, {"README": "Balls."})
    found = bids.subjects(tmp_path)
    assert [(one.name, one.species, one.split) for one in found] == rows
    assert np.array_equal(found[0].load().labels, labels)
    about = json.loads((tmp_path / "derivatives/labels/dataset_description.json").read_text())
    assert (about["DatasetType"], about["Name"]) == ("derivative", "their labels")


def test_probability_maps_give_csf_as_the_rest(dataset):
    subject = bids.subjects(dataset, "train")[0]
    _, labels = ball_brain()
    (folder := subject.label_paths["dseg"].parent).joinpath("sub-a_dseg.nii.gz").unlink()
    for label, tissue in ((2, "GM"), (3, "WM")):
        write_nifti(
            folder / f"sub-a_label-{tissue}_probseg.nii.gz", (labels == label).astype(np.float32)
        )
    assert np.array_equal(subject.load().labels, labels)


TABLES = {
    "missing file": (None, "no such file"),
    "missing column": ("participant_id\tsplit\nsub-a\ttrain\n", "column 'species' is missing"),
    "unknown split": (
        "participant_id\tspecies\tsplit\nsub-a\tx\ttraining\n",
        "split 'training' of sub-a is unknown",
    ),
    "empty split": (
        "participant_id\tspecies\tsplit\nsub-a\tx\ttrain\nsub-b\tx\tval\n",
        "no subject has split 'test'",
    ),
    "twice": (
        "participant_id\tspecies\tsplit\nsub-a\tx\ttrain\nsub-a\tx\tval\n",
        "sub-a is listed twice",
    ),
    "odd name": (
        "participant_id\tspecies\tsplit\n../a\tx\ttrain\n",
        r"'\.\./a' is not a BIDS name",
    ),
    "empty": ("", "not a tab-separated table"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_bad_participants(tmp_path, kind):
    text, message = TABLES[kind]
    if text is not None:
        (tmp_path / "participants.tsv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        bids.subjects(tmp_path)
    assert "participants.tsv" in str(error.value)


def test_labels_on_another_grid_or_unknown_are_refused(dataset):
    subject = bids.subjects(dataset, "train")[0]
    path = subject.label_paths["dseg"]
    write_nifti(path, np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(InputError, match=r"dseg.nii.gz: shape \(3, 3, 3\) differs"):
        subject.load()
    write_nifti(path, ball_brain()[1], np.diag([2.0, 1, 1, 1]))
    with pytest.raises(InputError, match="affine"):
        subject.load()
    write_nifti(path, ball_brain()[1] * 2)
    with pytest.raises(InputError, match="label 4 is unknown"):
        subject.load()
    path.unlink()
    with pytest.raises(InputError, match="sub-a: no labels"):
        subject.load()


def test_split_without_labels_of_others_still_loads(tmp_path):
    root = write_dataset(
        tmp_path / "d",
        rows=(("sub-1", "train"), ("sub-2", "train"), ("sub-3", "val"), ("sub-4", "test")),
    )
    assert [s.name for s in bids.subjects(root, "train")] == ["sub-1", "sub-2"]
