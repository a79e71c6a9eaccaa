"""The grid of an image: axis order, voxel size and units, and how a result gets back onto it."""

import cv2
import nibabel as nib
import numpy as np

from patchseg.core.errors import InputError

AXES = ("sagittal", "coronal", "axial")
"""Names of the slicing directions, in the order of the RAS+ array axes x, y, z."""
MARK = b"patchseg"
"""In the header of every result (descrip)."""
_MM = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_RAS = np.array([[0, 1], [1, 1], [2, 1]])


def unit_mm(image):
    """Return the unit of an image's affine in mm: NIfTI may state metres or micrometres."""
    try:
        return _MM[image.header.get_xyzt_units()[0]]
    except (AttributeError, KeyError):
        return 1.0


def ras(image, dtype=np.float32):
    """Return an image in the axis order closest to RAS+ and in mm, whatever its own.

    Parameters
    ----------
    image : nibabel image
    dtype : numpy dtype, optional
        Of the data; None leaves it as it is, as labels need (see `volume.read_labels`).

    Returns
    -------
    data : (x, y, z) ndarray
    affine : (4, 4) ndarray of float64
        Voxel to world (mm).
    """
    canonical = nib.as_closest_canonical(image)
    affine = np.array(canonical.affine, float)
    affine[:3] *= unit_mm(image)
    return np.asarray(canonical.dataobj, dtype), affine


def from_ras(data, image):
    """Put an array in RAS+ order (x, y, z, ...) into the axis order of `image`; undoes `ras`."""
    back = nib.orientations.ornt_transform(_RAS, nib.io_orientation(image.affine))
    return nib.apply_orientation(data, back)


def like(data, image):
    """Make a NIfTI image of an array in RAS+ order, on the grid of `image`.

    Parameters
    ----------
    data : (x, y, z) or (x, y, z, n) ndarray
        Kept with its own dtype.
    image : nibabel image
        Gives axis order, affine, sform and qform codes and units.

    Returns
    -------
    image : nibabel.Nifti1Image or nibabel.Nifti2Image
    """
    own = from_ras(data, image)
    kind = nib.Nifti2Image if isinstance(image, nib.Nifti2Image) else nib.Nifti1Image
    if not isinstance(image, nib.Nifti1Pair):
        made = kind(own, image.affine)
        made.header.set_xyzt_units("mm")
        made.header["descrip"] = MARK
    else:
        header = image.header.copy()
        header.extensions.clear()
        header.set_data_dtype(data.dtype)
        header["cal_min"] = header["cal_max"] = header["intent_code"] = 0
        header["descrip"], header["aux_file"], header["intent_name"] = MARK, b"", b""
        made = kind(own, image.affine, header)
    return made


def in_bytes(data, image):
    """Make an image of shares in [0, 1] that is stored in one byte a voxel.

    A reader gets the shares back, to 1 / 510, because the header holds the step.

    Parameters
    ----------
    data : (x, y, z) ndarray of float
        In the axis order of `image`.
    image : nibabel image
        Gives class, affine and header.
    """
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(data.shape)
    made = type(image)(np.rint(data * 255).astype(np.uint8), image.affine, header)
    made.header.set_slope_inter(1 / 255, 0)
    return made


def box(where):
    """Return the smallest box around what is not 0, or all if nothing is.

    Parameters
    ----------
    where : (x, y, z) ndarray of bool or of labels

    Returns
    -------
    box : tuple of three slice

    Examples
    --------
    >>> one = np.zeros((5, 6, 7), bool)
    >>> one[1, 2:4, 3] = True
    >>> box(one)
    (slice(1, 2, None), slice(2, 4, None), slice(3, 4, None))
    """
    flat = where.any(axis=2)
    sides = flat.any(axis=1), flat.any(axis=0), where.any(axis=(0, 1))
    if not sides[0].any():
        return tuple(slice(0, n) for n in where.shape)
    return tuple(slice(int(side.argmax()), len(side) - int(side[::-1].argmax())) for side in sides)


def widened(box, margin, shape):
    """Return a box with a margin, in voxels of each axis, as far as the volume reaches."""
    return tuple(
        slice(max(0, int(one.start - more)), min(n, int(np.ceil(one.stop + more))))
        for one, more, n in zip(box, margin, shape, strict=True)
    )


def resize(data, shape):
    """Resample an array to other numbers of voxels over the same extent.

    Linear interpolation, and the average where it shrinks.

    Parameters
    ----------
    data : ndarray of float32
        For example (h, w), (x, y, z) or (x, y, z, c).
    shape : sequence of int
        Of the first axes; those beyond it stay.

    Returns
    -------
    resized : ndarray of float32
    """
    for axis, length in enumerate(shape):
        if data.shape[axis] == length:
            continue
        lines = np.moveaxis(data, axis, 0)
        flat = np.ascontiguousarray(lines.reshape(len(lines), -1))
        how = cv2.INTER_AREA if length < len(lines) else cv2.INTER_LINEAR
        flat = np.concatenate(
            [
                cv2.resize(part, (part.shape[1], length), interpolation=how)
                for part in np.array_split(flat, -(-flat.shape[1] // 16384), axis=1)
            ],
            axis=1,
        )
        data = np.moveaxis(flat.reshape(length, *lines.shape[1:]), 0, axis)
    return data


def voxel_size_mm(affine):
    """Return the edge lengths (mm) of a voxel: three floats, of an affine in mm (see `ras`)."""
    return tuple(float(size) for size in nib.affines.voxel_sizes(affine))


def check_same_grid(path, data, affine, other_path, other_data, other_affine):
    """Raise InputError unless two volumes have one shape and, to 0.01 of a voxel, one affine."""
    if data.shape != other_data.shape:
        raise InputError(
            f"{other_path}: shape {other_data.shape} differs from {data.shape} of {path}; resample"
            " it to the image's grid"
        )
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*data.shape, 1]
    apart = np.abs(corners @ (np.asarray(affine) - other_affine).T).max()
    if apart > max(0.01 * min(voxel_size_mm(affine)), 1e-6 * np.abs(affine).max()):
        raise InputError(
            f"{other_path}: affine {np.round(other_affine, 3).tolist()} differs from"
            f" {np.round(affine, 3).tolist()} of {path}; resample it to the image's grid (corners"
            f" up to {apart:.3g} mm apart)"
        )
