import gzip

import nibabel as nib
import numpy as np
import pytest
from conftest import write_nifti

from patchseg import volume
from patchseg.errors import InputError


def cube(**changes):
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for place, value in changes.items():
        data.flat[int(place[1:])] = value
    return data


def test_load_returns_ras_order(tmp_path):
    flipped = np.diag([-1.0, 1, 1, 1])
    data, affine = volume.load(write_nifti(tmp_path / "lps.nii.gz", cube(), flipped))
    assert np.array_equal(data, cube()[::-1])
    assert nib.aff2axcodes(affine) == ("R", "A", "S")


def test_save_and_load_round_trip_same_bytes(tmp_path):
    affine = nib.affines.from_matvec(np.diag([0.5, 0.6, 2.0]), [1, 2, 3])
    for name in "ab":
        volume.save(tmp_path / f"{name}.nii.gz", (cube() * 10).astype(np.uint8), affine, slope=0.1)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    data, read = volume.load(tmp_path / "a.nii.gz")
    assert np.allclose(data, cube(), atol=1e-5) and np.allclose(read, affine)
    assert volume.voxel_size_mm(read) == pytest.approx((0.5, 0.6, 2.0))


def test_save_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"old")
    monkeypatch.setattr(nib, "save", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError, match="No space"):
        volume.save(path, cube(), np.eye(4))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


BAD = {
    "4D": (lambda p: write_nifti(p, np.zeros((2, 2, 2, 5), np.float32)), "not 3D"),
    "NaN": (lambda p: write_nifti(p, cube(v3=np.nan)), "4.17% of the voxels are NaN"),
    "infinite": (lambda p: write_nifti(p, cube(v3=np.inf)), "NaN or infinite"),
    "complex": (lambda p: write_nifti(p, cube().astype(np.complex64)), "not real numbers"),
    "text": (lambda p: p.write_text("hello"), "not a readable NIfTI"),
    "truncated": (lambda p: p.write_bytes(write_nifti(p, np.random.default_rng(0).random((20, 20, 20))).read_bytes()[:3000]), "truncated"),
    "empty": (lambda p: p.write_bytes(b""), "not a readable NIfTI"),
    "half a header": (lambda p: p.write_bytes(gzip.compress(b"\0" * 100)), "not a readable NIfTI"),
    "missing": (lambda p: None, "no such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_name_file_and_mend(tmp_path, kind):
    make, message = BAD[kind]
    path = tmp_path / "image.nii.gz"
    make(path)
    with pytest.raises(InputError, match=message) as error:
        volume.load(path)
    assert str(path) in str(error.value)


def test_singular_affine_is_refused(tmp_path):
    image = nib.Nifti1Image(cube(), np.eye(4))
    image.header["srow_x"] = image.header["srow_y"]
    image.header["sform_code"] = 1
    with (tmp_path / "a.nii").open("wb") as handle:
        image.header.write_to(handle)
        handle.write(b"\0" * 4 + cube().tobytes("F"))
    with pytest.raises(InputError, match="singular"):
        volume.load(tmp_path / "a.nii")


def test_normalise_refuses_a_constant_volume():
    with pytest.raises(InputError, match=r"brain.nii: every voxel is 0"):
        volume.normalise(np.zeros((2, 2)), path="brain.nii")


def test_normalise_by_percentile_ignores_one_bright_voxel():
    data = np.r_[0.0, np.linspace(1, 100, 1000), 1e4]
    assert volume.normalise(data, 100).max() == 1 and np.median(volume.normalise(data, 100)) < 0.01
    assert np.median(volume.normalise(data, 99)) == pytest.approx(0.5, abs=0.02)


def test_same_grid_names_both_values():
    with pytest.raises(InputError, match=r"b: shape \(3,\) differs from \(2,\) of a"):
        volume.check_same_grid("a", np.zeros(2), np.eye(4), "b", np.zeros(3), np.eye(4))
    with pytest.raises(InputError, match="b: affine .* differs"):
        volume.check_same_grid("a", np.zeros(2), np.eye(4), "b", np.zeros(2), np.diag([2, 1, 1, 1.0]))
