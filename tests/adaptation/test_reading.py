import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, write_nifti

from patchseg.adaptation import reading
from patchseg.core.errors import InputError
from patchseg.datasets.labelled import painted


@pytest.fixture
def ball(tmp_path):
    image, labels = ball_brain()
    return write_nifti(tmp_path / "ball.nii.gz", image), labels, tmp_path


def test_other_values_are_the_tissues_that_the_user_says(ball):
    image, labels, folder = ball
    codes = np.select([labels == 1, labels == 2, labels == 3], [4, 9, 12], 0).astype(np.int16)
    codes[20, 18, 14:18] = 77  # a structure of the aseg that is no tissue here
    path = write_nifti(folder / "aseg.nii.gz", codes)
    found = reading.read(image, path, codes="csf=4,gm=9+8,wm=12")
    assert np.array_equal(found.labels, np.where(codes == 77, 255, labels))
    assert "value 77 is no tissue of 'csf=4,gm=9+8,wm=12'" in found.remarks[0]
    with pytest.raises(
        InputError,
        match=(
            r"aseg.nii.gz: value 4, 9, 12, 77 is no tissue \(0 not labelled, 1 CSF, 2 GM, 3 WM\);"
            r" paint it again, or say what the values mean: --labels"
        ),
    ):
        reading.read(image, path)
    with pytest.raises(InputError, match=r"no voxel has a value of CSF, GM or WM \(1 CSF"):
        reading.read(image, path, codes="fast")


def test_a_real_aseg_is_read_as_freesurfer_writes_it(ball):
    image, labels, folder = ball
    left = np.arange(40)[:, None, None] < 20
    pairs = {1: (4, 43), 2: (3, 42), 3: (2, 41)}
    aseg = sum(np.where(left, a, b) * (labels == tissue) for tissue, (a, b) in pairs.items())
    path = write_nifti(folder / "aseg.nii.gz", aseg.astype(np.int16))
    assert np.array_equal(reading.read(image, path, codes="freesurfer").labels, labels)
    codes = "csf=4+43,gm=3+42,wm=2+41"
    assert np.array_equal(reading.read(image, path, codes=codes).labels, labels)


def test_labels_of_another_grid_nothing_labelled_and_labels_of_another_brain_are_refused(ball):
    image, labels, folder = ball
    with pytest.raises(InputError, match=r"small.nii.gz: shape \(3, 3, 3\) differs"):
        reading.read(image, write_nifti(folder / "small.nii.gz", np.ones((3, 3, 3), np.uint8)))
    with pytest.raises(InputError, match=r"moved.nii.gz: affine .* \(corners up to 2 mm apart\)"):
        reading.read(
            image,
            write_nifti(
                folder / "moved.nii.gz", labels, nib.affines.from_matvec(np.eye(3), [0, 2, 0])
            ),
        )
    with pytest.raises(InputError, match="empty.nii.gz: every voxel is 0, so nothing is labelled"):
        reading.read(image, write_nifti(folder / "empty.nii.gz", np.zeros_like(labels)))
    outside = np.where(labels == 0, 1, 0).astype(np.uint8)
    with pytest.raises(
        InputError, match="outside.nii.gz: 100% of the labelled voxels lie outside the brain of"
    ):
        reading.read(image, write_nifti(folder / "outside.nii.gz", outside))


def test_a_missing_tissue_and_a_few_voxels_outside_are_told(ball):
    image, labels, folder = ball
    painted = np.where(labels == 1, 0, labels)
    painted[0, :6] = 2
    found = reading.read(image, write_nifti(folder / "some.nii.gz", painted))
    assert (
        len(found.remarks) == 2
        and "lie outside the brain and are left out" in found.remarks[0]
        and "no voxel is labelled CSF" in found.remarks[1]
    )
    assert not found.labels[0].any()
    assert np.array_equal(found.labels, np.where((labels > 0) & (painted == 0), 255, labels))


def test_painted_plane_and_slices_are_found_in_any_orientation(ball):
    image, labels, folder = ball
    two = np.zeros_like(labels)
    two[:, [10, 20]] = labels[:, [10, 20]]
    two = write_nifti(folder / "two.nii.gz", two)
    found = reading.read(image, two)
    assert found.slices() == ("coronal", [10, 20]) and found.only([20]).slices() == (
        "coronal",
        [20],
    )
    turned = [
        nib.load(path).as_reoriented(np.array([[1, -1], [2, 1], [0, -1]])) for path in (image, two)
    ]
    assert reading.read(*turned).slices() == ("coronal", [10, 20])


def test_a_stray_voxel_or_a_line_of_another_slice_is_no_slice():
    where = np.zeros((20, 20, 20), bool)
    where[:, 7] = True
    assert painted(where) == ("coronal", [7])
    where[3, 12, 4] = True
    assert painted(where) == ("coronal", [7])
    where[:, :, 9] = True
    assert painted(where) == ("coronal", [7])


def test_finished_labels_of_a_dataset_belong_to_its_image(dataset):
    image = dataset / "sub-b" / "anat" / "sub-b_T1w.nii.gz"
    assert np.array_equal(reading.finished(dataset, image).dataobj, ball_brain()[1])
    with pytest.raises(InputError, match="does not hold"):
        reading.finished(dataset, dataset / "other.nii.gz")
