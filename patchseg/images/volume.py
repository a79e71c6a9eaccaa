"""One image: read it with every check, and write it whole or not at all."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np

from patchseg.core.errors import InputError
from patchseg.core.files import replacing
from patchseg.images.background import background
from patchseg.images.checks import (
    check_affine,
    check_gzip,
    check_memory,
    check_size,
    which_volume,
)
from patchseg.images.grid import ras, unit_mm

EXTENSIONS = (".nii", ".nii.gz", ".mgz", ".mgh")

WHOLE = 1e-5
"""A whole number that passed through other number types is farther from one by less than this."""
MEND = "replace them, or treat them as background (--nan-as-background)"


def read(source, volume=None, fill=False, mend=MEND):
    """Read an image and check it.

    Parameters
    ----------
    source : str, Path or nibabel image
        ``.nii``, ``.nii.gz``, ``.mgz`` or ``.mgh``.
    volume : int, optional
        Which volume of a 4D image, from 0.
    fill : bool
        Treat voxels that are NaN or infinite as background instead of refusing them (see
        `background`).
    mend : str
        What to do about such voxels, for the error.

    Returns
    -------
    image : nibabel.spatialimages.SpatialImage
        3D, in memory, with its own header; the data is float32 and finite, in the image's own axis
        order.

    Raises
    ------
    InputError
        Naming file, value and mend: missing, not readable, another format, truncated, larger than
        the memory, not 3D, not real-valued, not finite, or a header without a usable affine.
    """
    name = name_of(source)
    image, volume = _opened(source, volume)
    data = _voxels(name, image, volume, np.float32)
    bad = 1 - np.isfinite(data).mean()
    if bad and not fill:
        raise InputError(f"{name}: {bad:.2%} of the voxels are NaN or infinite; {mend}")
    if bad:
        data[~np.isfinite(data)] = background(data)
    return _with(image, data)


def read_labels(source):
    """Read an image of labels and check it.

    Codes such as those of FreeSurfer or of the Allen atlas are whole numbers, which float32 does
    not hold above 16,777,216.

    Parameters
    ----------
    source : nibabel image, str or Path
        Of one volume.

    Returns
    -------
    image : nibabel.spatialimages.SpatialImage
        3D, in memory, with its own header; the data is of the integer type of the file, or int32
        (int64 if they are larger) where whole numbers are stored in another way.
        `grid.ras(image, None)` keeps it.

    Raises
    ------
    InputError
        See `read`; or if a voxel is no whole number, of a file with a scale within half of it.
    """
    name = name_of(source)
    image, volume = _opened(source, None, mend="save the one that holds the labels")
    data = _voxels(name, image, volume)
    if data.dtype.kind not in "iu":
        whole, scale = np.rint(data), abs(getattr(image.dataobj, "slope", 1))
        room = WHOLE + scale / 2 if scale < 1 else WHOLE
        odd = data[~(np.isclose(whole, data, rtol=0, atol=room) & (abs(data) < 2.0**63))]
        if odd.size:
            raise InputError(
                f"{name}: value {odd[0]:g} is no label, labels are whole numbers; was the image"
                " resampled with interpolation, or is it no label image?"
            )
        data = whole.astype(np.int32 if np.abs(whole).max() < 2**31 else np.int64)
    return _with(image, data, data.dtype)


def _opened(source, volume, **said):
    """Return an image whose header and file are checked, and which volume of it is meant."""
    name = name_of(source)
    image = _open(Path(source)) if isinstance(source, str | Path) else source
    try:
        affine = np.asarray(image.affine, float)
        dtype, shape = np.dtype(image.get_data_dtype()), tuple(map(int, image.shape))
    except Exception as error:
        raise InputError(
            f"{name}: the header is damaged ({error}); convert the image again from its source"
        ) from error
    if dtype.kind not in "iufb":
        kind = "RGB colour" if dtype.kind == "V" else str(dtype)
        raise InputError(
            f"{name}: voxels of type {kind} are not real numbers; convert it to a grey-scale image"
        )
    volume = which_volume(name, shape, volume, **said)
    check_affine(name, affine, unit_mm(image))
    check_memory(name, shape)
    if isinstance(source, str | Path):
        expected = int(image.dataobj.offset) + math.prod(shape) * dtype.itemsize
        check = check_gzip if str(source).lower().endswith("gz") else check_size
        check(Path(source), expected)
    return image, volume


def _with(image, data, dtype=None):
    """Return an image of other data (x, y, z) with the header of `image`, stored as `dtype`."""
    header = image.header.copy()
    if dtype is not None:
        header.set_data_dtype(dtype)
    if hasattr(header, "set_slope_inter"):
        header.set_slope_inter(None, None)
    return type(image)(data, image.affine, header)


def name_of(source):
    """Return the path of an image, or of a nibabel image its file name, for messages."""
    return str(source) if isinstance(source, str | Path) else str(source.get_filename() or "image")


def check_file(path):
    """Raise InputError unless `path` can be opened and has the extension of an image."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: a folder, not an image; name a file in it")
        if not path.exists():
            raise InputError(f"{path}: no such file; check the name and the folder")
        if not path.is_file():
            raise InputError(
                f"{path}: not a regular file (a pipe or a device); write the image to a file first"
            )
        with open(path, "rb") as handle:
            empty = not handle.read(1)
    except PermissionError as error:
        raise InputError(
            f"{path}: you may not read this file; ask for its permission (chmod +r)"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be opened ({error.strerror}); check the name and the disc"
        ) from error
    if not path.name.lower().endswith(EXTENSIONS):
        raise InputError(
            f"{path}: extension '{path.suffix}' is not one of {', '.join(EXTENSIONS)}; convert it,"
            " for example with dcm2niix for DICOM"
        )
    if empty:
        raise InputError(f"{path}: the file is empty; copy it again")


def _open(path):
    check_file(path)
    try:
        image = nib.load(path)
        with nib.openers.ImageOpener(path) as handle:
            # unchecked, because nibabel makes an edge of 0 a 1
            raw = type(image).header_class.from_fileobj(handle, check=False)
    except Exception as error:  # nibabel and what it stands on raise many kinds on a damaged file
        raise InputError(
            f"{path}: not a readable NIfTI or MGH image ({error}); the file may be truncated or of"
            " another format"
        ) from error
    if (
        "magic" in raw
        and bytes(raw["magic"].tobytes()).startswith(b"n+")
        and raw["vox_offset"] < raw.single_vox_offset
    ):
        raise InputError(
            f"{path}: the header says that the voxels begin at byte {float(raw['vox_offset']):g},"
            " inside the header; convert it again from its source"
        )
    if "pixdim" in raw and raw["sform_code"] == 0 and not raw["pixdim"][1:4].all():
        shown = " x ".join(f"{size:.3g}" for size in raw["pixdim"][1:4])
        raise InputError(
            f"{path}: voxel size {shown} mm, an edge is 0; mend the header (pixdim, sform)"
        )
    return image


def _voxels(name, image, volume, dtype=None):
    try:
        with np.errstate(all="ignore"):
            data = np.asanyarray(image.dataobj if volume is None else image.dataobj[..., volume])
            return np.array(data, dtype=dtype)
    except Exception as error:  # see _open
        raise InputError(
            f"{name}: the voxels cannot be read ({error}); the file may be truncated, copy it again"
        ) from error


def load(path):
    """Read a 3D image (see `read`) in the axis order closest to RAS+.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    data : (x, y, z) ndarray of float32
    affine : (4, 4) ndarray of float64
        Voxel to world (mm) of `data`.
    """
    return ras(read(path))


def load_labels(path):
    """Read a 3D image of labels (see `read_labels`) in the axis order closest to RAS+.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    labels : (x, y, z) ndarray of int
    affine : (4, 4) ndarray of float64
        Voxel to world (mm) of `labels`.
    """
    return ras(read_labels(path), None)


def write(image, path):
    """Write a nibabel image (see `files.replacing`); the same input gives the same bytes."""
    with replacing(path) as temporary:
        nib.save(image, temporary)


def save(path, data, affine, slope=None):
    """Write an array as a NIfTI image in mm (see `write`).

    Parameters
    ----------
    path : str or Path
    data : (x, y, z) ndarray
        Stored with its own dtype.
    affine : (4, 4) ndarray
    slope : float, optional
        Readers multiply the stored values by it.
    """
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    write(image, path)
