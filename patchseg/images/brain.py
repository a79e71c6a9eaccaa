"""Which voxels are brain, how bright and how large it is."""

import numpy as np
from scipy import ndimage

from patchseg.core.errors import InputError
from patchseg.images import grid, volume

KEEP = 0.05  # a part smaller than this share of the largest is no brain but a stray voxel
TOP = 99.0
"""Percentile of the brain's intensities that becomes 1 after normalisation, unless told."""
FACES = 0.5  # share of the voxels on the image's faces that the background holds
_COARSE = 64  # voxels along the longest edge on which depth is measured


def foreground(data, path="image"):
    """Return the brain of a brain-extracted image: no stray parts, holes filled.

    Parameters
    ----------
    data : (x, y, z) ndarray of float
        The background is one value (see `background`). A few negative voxels, as interpolation
        leaves them, are background, too; where the brain's own intensities lie around 0, as after a
        z-score, everything but the background's value is brain.
    path : str or Path, optional
        Named in the error.

    Returns
    -------
    mask : (x, y, z) ndarray of bool

    Raises
    ------
    InputError
        If all voxels are equal, or none is brighter than the background.
    """
    check_varies(data, path)
    mask = data != background(data) if is_signed(data) else data > background(data)
    if not mask.any():
        raise InputError(
            f"{path}: nothing is brighter than the background {background(data):g}, so the brain"
            " cannot be told from it; set the background to 0, or give a brain mask (--mask)"
        )
    box = bounding_box(mask)
    mask[box] = _large_parts(mask[box])
    mask[box] = ndimage.binary_fill_holes(mask[box])
    return mask


def check_varies(data, path="image"):
    """Raise InputError if all voxels of an image are equal."""
    low, high = float(data.min()), float(data.max())
    if low == high:
        raise InputError(
            f"{path}: every voxel is {low:g}, so there is nothing to segment; check that this is"
            " the right image"
        )


def background(data):
    """Return the intensity of the background.

    It is the value that half of the image's faces hold, else 0 if there is a voxel of 0, else the
    minimum.
    """
    faces = np.concatenate(
        [
            np.take(data, end, axis).ravel()
            for axis in range(data.ndim)
            if data.shape[axis] > 2
            for end in (0, -1)
        ]
        or [data.ravel()]
    )
    values, counts = np.unique(faces, return_counts=True)
    if counts.max() >= FACES * len(faces):
        return float(values[counts.argmax()])
    return 0.0 if (data == 0).any() and data.max() > 0 else float(data.min())


def is_signed(data):
    """Whether intensities lie on both sides of a background of 0, as after a z-score.

    A few small negative values, as interpolation leaves them, do not count.
    """
    if background(data) != 0 or data.min() >= 0:
        return False
    below, above = -data[data < 0], data[data > 0]
    many = below.size > 0.05 * above.size
    return many and float(np.median(below)) > 0.05 * float(np.median(above))


def bounding_box(mask):
    """Return the slices of the smallest box around the true voxels of a mask.

    Raises
    ------
    InputError
        If it has none.
    """
    if not mask.any():
        raise InputError(
            f"the mask of shape {mask.shape} is 0 everywhere, so there is no brain; draw or compute"
            " it again"
        )
    return ndimage.find_objects(mask.astype(np.uint8))[0]


def _large_parts(mask):
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return (sizes >= KEEP * sizes.max())[parts]


def normalise(data, mask, top=TOP, path="image"):
    """Scale `data` so that the background becomes 0 and a percentile of the brain 1.

    In between it is linear; what is brighter is cut to 1.

    Parameters
    ----------
    data, mask : ndarray of float, ndarray of bool
    top : float
        Percentile of the brain's intensities, in (0, 100]. 100 is the maximum: min-max scaling, the
        original recipe, which a few bright voxels can spoil.
    path : str or Path, optional
        Named in the error.

    Returns
    -------
    normalised : ndarray of float32 in [0, 1], 0 outside the mask

    Raises
    ------
    InputError
        If the mask is empty or its voxels are all equal to the background.

    Examples
    --------
    >>> data = np.array([0.0, 1.0, 4.0, 90.0])
    >>> normalise(data, data > 0, top=50).tolist()
    [0.0, 0.25, 1.0, 1.0]
    """
    inside = data[mask]
    if inside.size == 0:
        raise InputError(f"{path}: the mask holds no voxel; check that it belongs to this image")
    darkest, high = (float(value) for value in np.percentile(inside, [1, top]))
    low = background(data)
    # a brain around 0, or far above its background
    if not darkest - (high - darkest) <= low <= darkest:
        low = darkest
    if not high > low:
        raise InputError(
            f"{path}: the brain's voxels are all {high:g}, so there is nothing to segment; check"
            " that this is the right image"
        )
    return (np.clip((data - low) / (high - low), 0, 1) * mask).astype(np.float32)


def size_mm(mask, voxel_mm):
    """Return the cube root (mm) of the brain's volume: about 110 in a person, 46 in a macaque."""
    return float((mask.sum() * np.prod(voxel_mm)) ** (1 / 3))


def depth_profile(image, mask, voxel_mm):
    """Return the median intensity in shells from the surface inwards.

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
    mask : (x, y, z) ndarray of bool
    voxel_mm : tuple of three float

    Returns
    -------
    profile : (8,) ndarray of float, or None
        Shells between 0, 5, 10, 15, 20, 30, 40, 60 and 100 % of the greatest depth; None for an
        image of few slices, which has no depth.
    """
    box = bounding_box(mask)
    image, mask = image[box], mask[box]
    if min(mask.shape) < 16:
        return None
    step = max(1, max(mask.shape) // _COARSE)
    image, mask = image[::step, ::step, ::step], np.pad(mask[::step, ::step, ::step], 1)
    depth = ndimage.distance_transform_edt(mask, sampling=voxel_mm)[1:-1, 1:-1, 1:-1]
    depth = depth - 0.5 * min(voxel_mm)
    shells = np.digitize(depth / max(depth.max(), 1e-9), [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6])
    if len(np.unique(shells[shells > 0])) < 8:
        return None
    return ndimage.median(image, shells, range(1, 9))


def read_mask(mask, name, data, affine):
    """Read a brain mask in RAS+ order and check that it lies on the grid of the image `name`."""
    mend = "replace them by 0 outside and 1 inside the brain"
    found, other = grid.ras(volume.read(mask, mend=mend))
    grid.check_same_grid(name, data, affine, volume.name_of(mask), found, other)
    inside = found != 0
    if not inside.any():
        raise InputError(
            f"{volume.name_of(mask)}: the mask is 0 everywhere; draw or compute it again"
        )
    return inside
