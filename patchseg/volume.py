"""One volume: read it with every check, normalise it, write it back on the grid it came with."""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from patchseg.errors import InputError
from patchseg.files import replacing


def load(path):
    """Read a 3D image, closest to RAS+ order.

    Parameters
    ----------
    path : str or Path
        NIfTI file (``.nii`` or ``.nii.gz``).

    Returns
    -------
    data : (x, y, z) ndarray of float32
        Scaled intensities in RAS+ order.
    affine : (4, 4) ndarray of float64
        Voxel to world (mm) of `data`.

    Raises
    ------
    InputError
        If the file is missing, not NIfTI, truncated, not 3D, not real-valued, not finite, or has no usable affine.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the name and the folder")
    try:
        image = nib.load(path)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable NIfTI image ({error}); write it again as .nii.gz") from error
    if len(image.shape) != 3:
        raise InputError(f"{path}: shape {image.shape} is not 3D; save one volume of it, for example with nibabel's four_to_three")
    if image.get_data_dtype().kind not in "iufb":
        raise InputError(f"{path}: voxels of type {image.get_data_dtype()} are not real numbers; convert to a grey-scale image")
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: affine {image.affine.tolist()} is singular or not finite; mend the header's sform or qform")
    canonical = nib.as_closest_canonical(image)
    try:
        data = np.asarray(canonical.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: the voxels cannot be read ({error}); the file may be truncated, copy it again") from error
    bad = 1 - np.isfinite(data).mean()
    if bad:
        raise InputError(f"{path}: {bad:.2%} of the voxels are NaN or infinite; replace them, for example with 0 outside the brain")
    return data, canonical.affine


def normalise(data, top=100.0, path="volume"):
    """Scale `data` linearly so that its minimum becomes 0 and a percentile of the brain 1; what is brighter is cut to 1.

    Parameters
    ----------
    data : ndarray of float
        Its minimum is the background; the brain is everything above it.
    top : float
        Percentile of the brain's intensities, in (0, 100]. 100 is the maximum: min-max scaling, the original recipe, which a few
        bright voxels can spoil.
    path : str or Path, optional
        Named in the error.

    Returns
    -------
    normalised : ndarray of float32, same shape, in [0, 1]

    Raises
    ------
    InputError
        If all voxels are equal.

    Examples
    --------
    >>> normalise(np.array([2.0, 4.0, 6.0])).tolist()
    [0.0, 0.5, 1.0]
    >>> normalise(np.array([0.0, 1.0, 2.0, 90.0]), top=50).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    low = float(data.min())
    if low == data.max():
        raise InputError(f"{path}: every voxel is {low:g}, so there is nothing to segment; check that this is the right image")
    high = float(np.percentile(data[data > low], top))
    return np.clip((data - low) / (high - low), 0, 1).astype(np.float32)


def voxel_size_mm(affine):
    """Return the edge lengths of a voxel in mm as a tuple of three floats."""
    return tuple(float(size) for size in nib.affines.voxel_sizes(affine))


def check_same_grid(path, data, affine, other_path, other_data, other_affine):
    """Raise InputError unless both volumes have the same shape and, to 0.001 mm, the same affine."""
    if data.shape != other_data.shape:
        raise InputError(f"{other_path}: shape {other_data.shape} differs from {data.shape} of {path}; resample the labels to the image's grid")
    if not np.allclose(affine, other_affine, atol=1e-3):
        raise InputError(
            f"{other_path}: affine {np.round(other_affine, 3).tolist()} differs from {np.round(affine, 3).tolist()} of {path}; resample the labels to the image's grid"
        )


def save(path, data, affine, slope=None):
    """Write a NIfTI image under a temporary name, then rename it. The same input gives the same bytes.

    Parameters
    ----------
    path : str or Path
        ``.nii`` or ``.nii.gz``.
    data : (x, y, z) ndarray
        Written with its own dtype.
    affine : (4, 4) ndarray
        Voxel to world in mm.
    slope : float, optional
        A reader multiplies the stored values by it, so that probabilities fit in one byte.
    """
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    with replacing(path) as temporary:
        nib.save(image, temporary)
