import gzip
import itertools
import os
import re

import nibabel as nib
import numpy as np
import pytest
from conftest import write_nifti
from hypothesis import given
from hypothesis import strategies as st

from patchseg.core.errors import InputError
from patchseg.images import checks, grid, volume


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
    assert grid.voxel_size_mm(read) == pytest.approx((0.5, 0.6, 2.0))


def test_save_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"old")
    monkeypatch.setattr(
        nib, "save", lambda *_: (_ for _ in ()).throw(OSError("No space left on device"))
    )
    with pytest.raises(OSError, match="No space"):
        volume.save(path, cube(), np.eye(4))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


BAD = {
    "4D": (
        lambda p: write_nifti(p, np.zeros((2, 2, 2, 5), np.float32)),
        "4D, 5 volumes; choose one with --volume N, from 0 to 4",
    ),
    "NaN": (lambda p: write_nifti(p, cube(v3=np.nan)), "4.17% of the voxels are NaN"),
    "infinite": (lambda p: write_nifti(p, cube(v3=np.inf)), "NaN or infinite"),
    "complex": (lambda p: write_nifti(p, cube().astype(np.complex64)), "not real numbers"),
    "text": (lambda p: p.write_text("hello"), "not a readable NIfTI"),
    "truncated": (
        lambda p: p.write_bytes(
            write_nifti(p, np.random.default_rng(0).random((20, 20, 20))).read_bytes()[:3000]
        ),
        "truncated",
    ),
    "empty": (lambda p: p.write_bytes(b""), "the file is empty"),
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


def test_from_ras_undoes_ras_in_all_48_orientations():
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    seen = set()
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[list(order), range(3)] = np.array(signs) * (0.5, 1, 2)
            image = nib.Nifti1Image(data, nib.affines.from_matvec(matrix, [1, 2, 3]))
            turned, affine = grid.ras(image)
            assert nib.aff2axcodes(affine) == ("R", "A", "S")
            assert np.array_equal(grid.from_ras(turned, image), data)
            seen.add(nib.aff2axcodes(image.affine))
    assert len(seen) == 48


def oblique():
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    return nib.affines.from_matvec(turn @ np.diag([0.3, 0.3, 2]), [-10, 5, 7])


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("codes", [(1, 0), (0, 2), (4, 1), (0, 0)])
def test_like_keeps_affine_codes_and_units(tmp_path, kind, codes):
    micrometres = nib.affines.from_matvec(1000 * oblique()[:3, :3], [1, 2, 3])
    image = kind(cube(), micrometres if any(codes) else None)
    image.set_sform(image.affine if codes[0] else None, codes[0])
    image.set_qform(image.affine if codes[1] else None, codes[1])
    image.header.set_xyzt_units("micron", "sec")
    nib.save(image, tmp_path / "in.nii")
    source = volume.read(tmp_path / "in.nii") if any(codes) else image
    volume.write(grid.like(grid.ras(source)[0].astype(np.uint8), source), tmp_path / "out.nii.gz")
    out, image = nib.load(tmp_path / "out.nii.gz"), nib.load(tmp_path / "in.nii")
    assert (
        type(out) is kind and out.shape == image.shape and np.array_equal(out.affine, image.affine)
    )
    for field in ("sform_code", "qform_code", "xyzt_units", "pixdim", "quatern_b", "srow_x"):
        assert np.array_equal(out.header[field], image.header[field]), field
    assert np.array_equal(np.asarray(out.dataobj), cube().astype(np.uint8))


def test_mgz_comes_back_as_nifti_on_its_grid(tmp_path):
    nib.save(nib.MGHImage(cube(), oblique()), tmp_path / "in.mgz")
    source = volume.read(tmp_path / "in.mgz")
    made = grid.like(grid.ras(source)[0], source)
    assert (
        isinstance(made, nib.Nifti1Image)
        and np.allclose(made.affine, source.affine)
        and np.array_equal(made.dataobj, cube())
    )


@pytest.mark.parametrize(
    "dtype",
    [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64],
)
def test_every_real_type_and_slope_reads_the_same(tmp_path, dtype):
    image = nib.Nifti1Image(cube().astype(dtype), np.eye(4), dtype=dtype)
    image.header.set_slope_inter(2, 10)
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(volume.load(tmp_path / "a.nii.gz")[0], 10 + 2 * cube())


def test_one_volume_of_4d():
    image = nib.Nifti1Image(np.stack([cube(), cube() + 100], axis=-1), np.eye(4))
    assert np.array_equal(volume.read(image, 1).dataobj, cube() + 100)
    assert volume.read(nib.Nifti1Image(cube()[..., None], np.eye(4))).shape == (2, 3, 4)
    with pytest.raises(InputError, match="volume 2 does not exist; choose one from 0 to 1"):
        volume.read(image, 2)
    with pytest.raises(InputError, match="3D; leave --volume away"):
        volume.read(nib.Nifti1Image(cube(), np.eye(4)), 1)


def test_nan_can_be_background():
    assert (
        volume.read(nib.Nifti1Image(cube(v3=np.nan), np.eye(4)), fill=True).get_fdata()[0, 0, 3]
        == 0
    )


def header_of(**fields):
    image = nib.Nifti1Image(cube(), np.eye(4))
    header = image.header.copy()
    header["sform_code"], header["qform_code"], header["vox_offset"] = 0, 1, 352
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + b"\0" * 4 + cube().tobytes("F")


HEADERS = {
    "huge": ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "GiB of memory"),
    "voxel size 0": ({"pixdim": [1, 0, 1, 1, 1, 1, 1, 1]}, "voxel size 0 x 1 x 1 mm"),
    "voxels of a metre": (
        {"pixdim": [1, 1000, 1000, 1000, 1, 1, 1, 1]},
        "voxel size .* is outside",
    ),
    "no voxels": ({"dim": [3, 0, 5, 5, 1, 1, 1, 1]}, "shape|readable|header"),
    "longer than the file": ({"dim": [3, 20, 30, 40, 1, 1, 1, 1]}, "cannot be read|truncated"),
    "RGB": ({"datatype": 128, "bitpix": 24}, "RGB colour are not real"),
    "unknown type": ({"datatype": 99}, "readable|header"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_bad_headers(tmp_path, kind):
    fields, message = HEADERS[kind]
    path = tmp_path / "a.nii"
    path.write_bytes(header_of(**fields))
    with pytest.raises(InputError, match=message):
        volume.load(path)


def test_damage_behind_the_voxels_is_found_by_the_checksum(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", cube())
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="truncated"):
        volume.load(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", cube())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"\0" * 2**25))
    with pytest.raises(InputError, match="more data than its header says"):
        volume.load(path)


def test_wrong_extension_folder_and_permission(tmp_path, monkeypatch):
    (tmp_path / "a.dcm").write_bytes(b"DICM")
    with pytest.raises(InputError, match=r"extension '.dcm' .* dcm2niix"):
        volume.load(tmp_path / "a.dcm")
    with pytest.raises(InputError, match="a folder, not an image"):
        volume.load(tmp_path)
    path = write_nifti(tmp_path / "a.nii", cube())
    monkeypatch.setattr(
        "builtins.open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied"))
    )
    with pytest.raises(InputError, match="may not read"):
        volume.load(path)


@given(st.data())
def test_fuzzed_headers_give_an_image_or_an_input_error(tmp_path_factory, data):
    raw = bytearray(header_of())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=8)
    ):
        raw[place] = value
    raw = raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))]
    path = tmp_path_factory.mktemp("fuzz") / "a.nii"
    path.write_bytes(raw)
    try:
        read, affine = volume.load(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert read.ndim == 3 and np.isfinite(read).all() and np.isfinite(affine).all()


@given(st.binary(max_size=400))
def test_noise_is_no_image(tmp_path_factory, noise):
    for name in ("a.nii", "a.nii.gz", "a.mgz"):
        path = tmp_path_factory.mktemp("noise") / name
        path.write_bytes(noise)
        with pytest.raises(InputError, match=name):
            volume.load(path)


def test_resize_keeps_the_extent_and_the_mean():
    data = np.random.default_rng(0).random((8, 6, 4), np.float32)
    assert grid.resize(data, (4, 3, 2)).shape == (4, 3, 2)
    assert grid.resize(data, (4, 3, 2))[0, 0, 0] == pytest.approx(data[:2, :2, :2].mean(), rel=1e-5)
    assert np.array_equal(grid.resize(data, data.shape), data)
    ramp = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None, None, None], (4, 3, 3, 2))
    assert np.allclose(grid.resize(ramp, (8, 3, 3))[2:6, 0, 0, 0], [0.75, 1.25, 1.75, 2.25])


def test_same_grid_names_both_values():
    with pytest.raises(InputError, match=r"b: shape \(3, 3, 2\) differs from \(3, 3, 3\) of a"):
        grid.check_same_grid(
            "a", np.zeros((3, 3, 3)), np.eye(4), "b", np.zeros((3, 3, 2)), np.eye(4)
        )
    with pytest.raises(InputError, match="b: affine .* differs"):
        grid.check_same_grid(
            "a", np.zeros((3, 3, 3)), np.eye(4), "b", np.zeros((3, 3, 3)), np.diag([2, 1, 1, 1.0])
        )


@pytest.mark.parametrize("size", [1e-3, 1, 1000])  # 1 mm in metres, millimetres, micrometres
def test_same_grid_means_to_a_hundredth_of_a_voxel_in_any_unit(size):
    data, affine = np.zeros((10, 10, 10)), np.diag([size, size, size, 1.0])
    for shift, same in ((0.001, True), (0.5, False)):
        other = affine.copy()
        other[0, 3] += shift * size
        if same:
            grid.check_same_grid("a", data, affine, "b", data, other)
        else:
            with pytest.raises(InputError, match="b: affine"):
                grid.check_same_grid("a", data, affine, "b", data, other)


def test_voxels_that_begin_inside_the_header_are_refused(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.ones((4, 4, 4), np.float32))
    raw = bytearray(path.read_bytes())
    raw[108:112] = np.float32(0).tobytes()
    path.write_bytes(raw)
    with pytest.raises(InputError, match="voxels begin at byte 0, inside the header"):
        volume.read(path)


def test_a_checksum_counts_whatever_the_case_of_the_extension(tmp_path):
    path = write_nifti(
        tmp_path / "a.nii.gz", np.random.default_rng(0).random((9, 9, 9)).astype(np.float32)
    )
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 255
    (tmp_path / "A.NII.GZ").write_bytes(raw)
    with pytest.raises(InputError, match="truncated or damaged"):
        volume.read(tmp_path / "A.NII.GZ")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(InputError, match="not a regular file"):
        volume.read(tmp_path / "a.nii")


@pytest.mark.parametrize(("unit", "edge"), [("micron", 500), ("mm", 0.5), ("meter", 5e-4)])
def test_every_reader_gets_mm_and_a_result_keeps_the_unit(tmp_path, unit, edge):
    """Half a millimetre, in any unit; 2 voxels along x are 1 mm."""
    image = nib.Nifti1Image(cube(), np.diag([edge, edge, edge, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    data, affine = volume.load(tmp_path / "a.nii")
    assert grid.voxel_size_mm(affine) == pytest.approx((0.5, 0.5, 0.5))
    assert (affine @ [2, 0, 0, 1])[0] == pytest.approx(1)
    back = grid.like(data, volume.read(tmp_path / "a.nii"))
    assert back.header.get_xyzt_units()[0] == unit and np.allclose(back.affine, image.affine)


def test_images_in_different_units_lie_on_one_grid(tmp_path):
    data, affine = volume.load(
        write_nifti(tmp_path / "mm.nii", cube(), np.diag([0.5, 0.5, 0.5, 1]))
    )
    image = nib.Nifti1Image(cube(), np.diag([500, 500, 500, 1.0]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "um.nii")
    other, other_affine = volume.load(tmp_path / "um.nii")
    assert np.allclose(affine, other_affine)
    grid.check_same_grid("mm.nii", data, affine, "um.nii", other, other_affine)  # raises nothing


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64])
def test_labels_keep_every_bit(tmp_path, dtype):
    """2^24 + 1 is the first whole number that float32 does not hold."""
    codes = np.zeros((2, 3, 4), dtype)
    codes[1, 2, 3], codes[0, 0, 0] = min(np.iinfo(dtype).max, 2**24 + 1), 3
    flipped = np.diag([-1.0, 1, 1, 1])
    nib.save(nib.Nifti1Image(codes, flipped, dtype=dtype), tmp_path / "a.nii.gz")
    labels, affine = volume.load_labels(tmp_path / "a.nii.gz")
    assert labels.dtype == dtype and np.array_equal(labels, codes[::-1])
    assert nib.aff2axcodes(affine) == ("R", "A", "S")
    image = volume.read_labels(tmp_path / "a.nii.gz")
    volume.write(image, tmp_path / "b.nii.gz")
    assert np.array_equal(np.asarray(nib.load(tmp_path / "b.nii.gz").dataobj), codes)


def test_labels_are_of_one_volume(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2, 5), np.uint8))
    with pytest.raises(InputError, match="5 volumes; save the one that holds the labels"):
        volume.read_labels(path)


@pytest.mark.parametrize("codes, dtype", [((0, 1, 2, 3), np.int16), ((0, 2, 41, 77), np.uint8)])
def test_labels_that_a_program_stored_with_a_scale_are_read(tmp_path, codes, dtype):
    """In steps of 3/32767, in which 1 becomes 0.99997; in steps of 77/255, in which 2 is 2.11."""
    scale = max(codes) / np.iinfo(dtype).max
    stored = np.rint(np.reshape(codes, (2, 2, 1)) / scale).astype(dtype)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(scale, 0)
    nib.save(image, tmp_path / "a.nii")
    assert np.abs(np.ravel(nib.load(tmp_path / "a.nii").dataobj) - codes).max() > 2e-5
    assert volume.load_labels(tmp_path / "a.nii")[0].ravel().tolist() == list(codes)


def test_shares_stored_with_a_scale_are_no_labels(tmp_path):
    image = nib.Nifti1Image(np.array([0, 300, 1000], np.int16).reshape(3, 1, 1), np.eye(4))
    image.header.set_slope_inter(0.001, 0)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match="value 0.3 is no label"):
        volume.load_labels(tmp_path / "a.nii")


def test_labels_stored_as_floats_are_read_if_they_are_whole(tmp_path):
    labels, _ = volume.load_labels(write_nifti(tmp_path / "a.nii", cube()))
    assert labels.dtype == np.int32 and np.array_equal(labels, cube())
    nib.save(nib.MGHImage(cube(), np.eye(4)), tmp_path / "a.mgz")
    assert volume.load_labels(tmp_path / "a.mgz")[0].dtype == np.int32
    scaled = nib.Nifti1Image(cube().astype(np.uint8), np.eye(4))
    scaled.header.set_slope_inter(2, 10)
    nib.save(scaled, tmp_path / "scaled.nii")
    assert np.array_equal(volume.load_labels(tmp_path / "scaled.nii")[0], 10 + 2 * cube())
    for value in (1.5, 1.0005, np.nan, np.inf, 1e20):
        with pytest.raises(InputError, match=re.escape(f"value {value:g} is no label")):
            volume.load_labels(write_nifti(tmp_path / "b.nii", cube(v3=value)))


def test_what_does_not_fit_the_free_memory_is_refused(tmp_path, monkeypatch):
    """A container with little left: 24 voxels take 32 bytes each."""
    path = write_nifti(tmp_path / "a.nii", cube())
    monkeypatch.setattr(checks, "free_memory", lambda: 24 * 32)
    volume.read(path)
    monkeypatch.setattr(checks, "free_memory", lambda: 24 * 32 - 1)
    with pytest.raises(InputError, match="GiB of memory"):
        volume.read(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgh", "a.mgz"])
def test_a_header_that_claims_more_than_the_file_holds_takes_no_memory(tmp_path, monkeypatch, name):
    """A few bytes that say 1 TB: refused by the size of the file, on a machine with room for it."""
    monkeypatch.setattr(checks, "free_memory", lambda: 2**60)
    kind = nib.MGHImage if ".mg" in name else nib.Nifti1Image
    path = tmp_path / name
    nib.save(kind(cube(), np.eye(4)), path)
    packed = name.endswith("z")
    raw = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    if kind is nib.MGHImage:
        raw[4:16] = np.array([30000, 3000, 3000], ">i4").tobytes()
    else:
        raw[42:48] = np.array([30000, 3000, 3000], "<i2").tobytes()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(InputError, match=r"holds \d+ bytes, but its header says 1080000000"):
        volume.read(path)
