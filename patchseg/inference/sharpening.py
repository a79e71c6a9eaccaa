"""From a network's own answers to what it says with all that is known of the image.

Three steps: the image's intensities move the borders (`refine`), deep grey matter is found
(`deep_grey`), and labels say what the answers mean (`calibration`).
"""

import numpy as np

from patchseg.images import brain
from patchseg.inference import calibration, deep_grey, features, refine


def sharpened(network, image, plain, mask, voxel_mm):
    """Do the first two steps.

    Parameters
    ----------
    network : patchseg.inference.networks.Network
        Its card says whether deep grey matter is looked for.
    image : (x, y, z) ndarray of float32 in [0, 1]
        Of the brain's box.
    plain : (x, y, z, 3) ndarray of float32
        Probabilities of the network.
    mask : (x, y, z) ndarray of bool
    voxel_mm : tuple of three float

    Returns
    -------
    probabilities : (x, y, z, 3) ndarray of float32
        They sum to 1 in the mask and are 0 outside.
    """
    sharp = refine.refine(image, plain, mask, voxel_mm)
    if not network.deep:
        return sharp
    deep = deep_grey.probability(image, mask, voxel_mm, network.precision)
    return deep_grey.moved(sharp, deep)


def calibrated(network, image, plain, mask, voxel_mm):
    """Do all three steps, the last one where the network knows how for such a brain.

    Parameters
    ----------
    network, image, plain, mask, voxel_mm
        As for `sharpened`.

    Returns
    -------
    probabilities : (x, y, z, 3) ndarray of float32
        They sum to 1 in the mask and are 0 outside.
    whose : {'', 'other animals', 'this animal'}
        Whose labels the calibration is of.
    """
    sharp = sharpened(network, image, plain, mask, voxel_mm)
    size_mm = brain.size_mm(mask, voxel_mm)
    known, whose = network.borders(size_mm, features.contrast(image, sharp, mask))
    if known is None:
        return sharp, whose
    found = features.describe(image, plain, sharp, mask, voxel_mm, size_mm / network.brain_pixels)
    result = np.zeros_like(plain)
    result[mask] = calibration.apply(known, found, sharp[mask])
    return result, whose
