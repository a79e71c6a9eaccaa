import numpy as np
import pytest
from conftest import ball_brain, write_dataset, write_nifti

from patchseg.core.errors import InputError
from patchseg.datasets import bids


def test_subjects_by_split(dataset):
    assert [s.name for s in bids.subjects(dataset)] == ["sub-a", "sub-b", "sub-c"]
    assert [s.name for s in bids.subjects(dataset, "val")] == ["sub-b"]


def test_load_gives_image_in_unit_range_and_labels(dataset):
    image, labels, affine = bids.subjects(dataset, "train")[0].load(99)
    assert (image.min(), image.max()) == (0, 1)
    assert np.array_equal(labels, ball_brain()[1]) and np.array_equal(affine, np.eye(4))


def test_probability_maps_give_csf_as_the_rest(dataset):
    subject = bids.subjects(dataset, "train")[0]
    _, labels = ball_brain()
    (folder := subject.label_paths["dseg"].parent).joinpath("sub-a_dseg.nii.gz").unlink()
    for label, tissue in ((2, "GM"), (3, "WM")):
        write_nifti(
            folder / f"sub-a_label-{tissue}_probseg.nii.gz", (labels == label).astype(np.float32)
        )
    assert np.array_equal(subject.load()[1], labels)


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
