"""Which label file belongs to which image."""

from pathlib import Path

import pytest

from patchseg.cli import label_files
from patchseg.core.errors import InputError


def pairs(folder, typed, given=(), what="tissues"):
    """Return, for names of files that are made, each image's label file by name."""
    paths = [folder / name for name in [*typed, *given]]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    images, labelled = label_files.pairs(paths[: len(typed)], paths[len(typed) :], what)
    assert len(images) == len(labelled)
    short = [path and str(path.relative_to(folder)) for path in labelled]
    return dict(zip((str(image.relative_to(folder)) for image in images), short, strict=True))


@pytest.mark.parametrize(("typed", "given", "found"), [
    (["a.nii", "b.nii"], [], {"a.nii": None, "b.nii": None}),
    (["a.nii", "b.nii", "b_labels.nii"], [], {"a.nii": None, "b.nii": "b_labels.nii"}),
    (["a.nii", "o/a_labels.nii"], [], {"a.nii": "o/a_labels.nii"}),
    (["a.nii", "a_proposal-2.nii"], [], {"a.nii": "a_proposal-2.nii"}),
    (["a.nii", "a_labels.nii", "a_proposal.nii"], [], {"a.nii": "a_labels.nii"}),
    (["a.nii", "a_desc-brain_labels.nii"], [], {"a.nii": None}),
    (["s/a.nii", "t/a.nii"], [], {"s/a.nii": None, "t/a.nii": None}),
    (["s/a.nii", "t/a.nii", "t/a_labels.nii"], [], {"s/a.nii": None, "t/a.nii": "t/a_labels.nii"}),
    (["a.nii"], ["any.nii"], {"a.nii": "any.nii"}),
    (["a.nii", "b.nii"], ["y.nii", "x.nii"], {"a.nii": "y.nii", "b.nii": "x.nii"}),
    (["a.nii", "b.nii"], ["b_labels.nii"], {"a.nii": None, "b.nii": "b_labels.nii"}),
])  # fmt: skip
def test_label_files_belong_to_the_image_that_they_are_called_after(tmp_path, typed, given, found):
    assert pairs(tmp_path, typed, given) == found


def test_masks_of_brains_are_labels_of_heads_only(tmp_path):
    typed = ["a.nii", "a_labels.nii", "a_desc-brain_labels.nii"]
    assert pairs(tmp_path, typed, what="brain") == {"a.nii": "a_desc-brain_labels.nii"}


def test_labels_beside_the_images_of_a_folder_count(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz", "b_labels.nii.gz", "b_proposal.nii.gz"):
        (tmp_path / name).touch()
    images, labelled = label_files.pairs([tmp_path], [], "tissues")
    assert [path.name for path in images] == ["a.nii.gz", "b.nii.gz"]
    assert labelled == [None, tmp_path / "b_labels.nii.gz"]


@pytest.mark.parametrize(("typed", "given", "says"), [
    (["a.nii", "b.nii"], ["x.nii"], "2 images and 1 label images"),
    (["s/a.nii", "t/a.nii", "o/a_labels.nii"], [], "2 images have this name"),
    (["a.nii", "a_labels.nii", "a_labels-2.nii"], [], "are both its labels"),
])  # fmt: skip
def test_what_is_not_clear_is_refused(tmp_path, typed, given, says):
    with pytest.raises(InputError, match=says):
        pairs(tmp_path, typed, given)


def test_a_free_name_is_numbered(tmp_path):
    base = Path(tmp_path) / "a_labels"
    (tmp_path / "a_labels.nii").touch()
    assert label_files.free(base, ".nii").name == "a_labels-2.nii"
