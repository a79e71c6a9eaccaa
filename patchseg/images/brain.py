"""Which voxels are brain, how bright and how large it is."""

import numpy as np
from scipy import ndimage

from patchseg.core.errors import InputError
from patchseg.images import grid, volume
from patchseg.images.background import background, is_signed

KEEP = 0.05  # a part smaller than this share of the largest is no brain but a stray voxel
TOP = 99.0
"""Percentile of the brain's intensities that becomes 1 after normalisation, unless told."""
DARKEST = 0.1
"""The first percentile of a brain, as a share of its 99th above the true 0, where that is lost."""
HALF = 0.5
"""The share from which a voxel of a mask of shares, such as a probability map, is brain."""
ROUNDING = 1e-3
"""A value of a mask that is so near to a whole number is one."""
_COARSE = 64  # voxels along the longest edge on which depth is measured


def foreground(data, path="image"):
    """Return the brain of a brain-extracted image: no stray parts, holes filled.

    Parameters
    ----------
    data : (x, y, z) ndarray of float
        The background is one value (see `background`). A few voxels below it, as interpolation
        leaves them, are background, too; where the brain's own intensities lie on both sides of
        it, as after a z-score, everything but the background's value is brain.
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
            " cannot be told from it; set the background below the brain, turn the intensities"
            " around if they are negative, or give a brain mask (--mask)"
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
    return grid.box(mask)


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
    low, high = levels(inside, background(data), top)
    if not high > low:
        raise InputError(
            f"{path}: the brain's voxels are all {high:g}, so there is nothing to segment; check"
            " that this is the right image"
        )
    return (np.clip((data - low) / (high - low), 0, 1) * mask).astype(np.float32)


def levels(inside, outside, top=TOP):
    """Return the intensities of a brain that become 0 and 1, wherever its background lies.

    No signal is the background, or 0 (0 first where the background is negative), if that lies below
    the brain and no farther than the brain's own range. Else, as after a z-score, it is what makes
    the darkest percent of the brain as dark as in most brains (see `DARKEST`).

    Parameters
    ----------
    inside : (n,) ndarray of float
        Intensities of the brain.
    outside : float
        That of the background.
    top : float
        Percentile of the brain's intensities that becomes 1.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> brain = np.linspace(10, 100, 91)
    >>> [levels(brain, outside, 100) for outside in (0, 5, -1000, 50)]
    [(0.0, 100.0), (5.0, 100.0), (0.0, 100.0), (0.0, 100.0)]
    >>> levels(brain + 1000, 1000, 100)
    (1000.0, 1100.0)
    """
    darkest, high = (float(value) for value in np.percentile(inside, [1, top]))
    for low in (0.0, outside) if outside < 0 else (outside, 0.0):
        if darkest - (high - darkest) <= low <= darkest:
            return float(low), high
    return darkest - DARKEST / (1 - DARKEST) * (high - darkest), high


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
    """Read the brain mask of an image and check that it is one.

    Parameters
    ----------
    mask : str, Path or nibabel image
        Whole numbers, 0 outside the brain; or shares from 0 to 1, which are cut at `HALF`.
    name : str or Path
        Of the image.
    data : (x, y, z) ndarray of float32
        The image in RAS+ order.
    affine : (4, 4) ndarray

    Returns
    -------
    inside : (x, y, z) ndarray of bool
    kept : float
        Share of the mask's voxels above 0 that are brain: 1, unless it had shares that were cut.

    Raises
    ------
    InputError
        If the mask lies on another grid, holds a negative value, or shares and larger values, or
        nothing of it is brain, or the image has one value in it.
    """
    mend = "replace them by 0 outside and 1 inside the brain"
    found, other = grid.ras(volume.read(mask, mend=mend))
    mask = volume.name_of(mask)
    grid.check_same_grid(name, data, affine, mask, found, other)
    inside, kept = _halved(found, mask)
    if not inside.any():
        wrong = "is 0 everywhere" if kept == 1 else f"reaches {HALF:g} nowhere"
        raise InputError(f"{mask}: the mask {wrong}; draw or compute it again")
    values = data[inside]
    if values.min() == values.max():
        raise InputError(
            f"{mask}: the mask has {values.size} of {inside.size} voxels, and {name} is"
            f" {values[0]:g} in all of them; check that it is 1 inside the brain and 0 outside, and"
            " belongs to this image"
        )
    return inside, kept


def _halved(values, name):
    """Return where a mask is brain, and which share of its voxels above 0 that is."""
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING:
        raise InputError(
            f"{name}: the mask holds {low:g}, less than 0; write 0 outside and 1 inside the brain"
        )
    positive = values[values > 0]
    if not positive.size or positive.min() == high:  # one value, whatever it is
        return values > 0, 1.0
    odd = positive[np.abs(positive - np.rint(positive)) > ROUNDING * np.maximum(1, positive)]
    if odd.size and high > 1 + HALF:
        raise InputError(
            f"{name}: the mask holds {odd[0]:g} and {high:g}, neither whole numbers nor shares from"
            " 0 to 1; write 0 outside and 1 inside the brain"
        )
    return values >= HALF, float((positive >= HALF).mean())
