"""Bias fields: N4, for images whose brightness changes a lot from side to side."""

import numpy as np

from patchseg.core.errors import InputError
from patchseg.images.background import background, is_signed
from patchseg.images.brain import levels


def n4(data, mask, voxel_mm):
    """Remove a smooth brightness from an image (N4ITK, Tustison 2010).

    Parameters
    ----------
    data : (x, y, z) ndarray of float32
        Where the background is negative, or lies amid the brain's intensities as after a z-score,
        the brain's 0 is found first (see `brain.levels`), because a bias field multiplies. Negative
        voxels count as 0.
    mask : (x, y, z) ndarray of bool
    voxel_mm : tuple of three float

    Returns
    -------
    corrected : (x, y, z) ndarray of float32, 0 outside the mask
    """
    ants = load_ants()
    level = background(data)
    if level < 0 or is_signed(data):
        data = data - np.float32(levels(data[mask], level)[0])
    image, inside = (
        ants.from_numpy(np.asarray(part, np.float32), spacing=list(voxel_mm))
        for part in (np.maximum(data, 0) * mask, mask)
    )
    return ants.n4_bias_field_correction(image, mask=inside).numpy().astype(np.float32) * mask


def load_ants():
    """Import ANTs, which is an extra; if it is missing, an InputError says how to install it."""
    try:
        import ants
    except ImportError as error:
        raise InputError(
            "N4 and Atropos need ANTs, which is not installed; run: pip install 'patchseg[ants]'"
        ) from error
    return ants
