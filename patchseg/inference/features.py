"""What is known of each voxel of a brain, beside the network's own answer for it.

From these features labelled voxels tell where the answer is wrong (see `calibration`).
"""

import numpy as np
from scipy import ndimage

from patchseg.core.tissues import TISSUES

# What a card's numbers mean depends on these.
BLURS = (0.7, 1.5, 3.0)
"""Widths (pixels of the network) at which the image is smoothed."""
TEXTURE = (0.7, 1.5)
"""Of these, the widths at which the spread of the intensities around a voxel is taken."""
NEAR = 1.5
"""That at which the answers that follow the intensities are smoothed."""
WIDE = 3.0
"""Width (pixels) at which the network's answers are smoothed."""
DEEP = 30.0
"""Depth below the brain's surface (pixels) from which on all is equally deep."""
FLOOR = 1e-3
"""A probability is at least this before its logarithm becomes a feature."""
COUNT = 19
"""How many there are."""


def describe(image, plain, sharp, mask, voxel_mm, pixel_mm):
    """Describe each voxel of the brain.

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
    plain, sharp : (x, y, z, 3) ndarray of float32
        Probabilities of the network, and those that `refine.refine` makes of them.
    mask : (x, y, z) ndarray of bool
    voxel_mm : tuple of three float
    pixel_mm : float
        The network's pixel.

    Returns
    -------
    found : (n, 19) ndarray of float32
        In the order of the mask's voxels: logarithms of the probabilities, intensity, smoothed
        intensities, smoothed probabilities of the network, depth, smoothed probabilities that
        follow the intensities, spread of the intensities.
    """
    pixel = np.array([pixel_mm / edge for edge in voxel_mm])  # voxels
    share = mask.astype(np.float32)
    weights = {
        width: np.maximum(ndimage.gaussian_filter(share, width * pixel), 0.1) for width in BLURS
    }

    def mean(values, width):
        return (ndimage.gaussian_filter(values * share, width * pixel) / weights[width])[mask]

    found = [
        np.log(np.maximum(one[mask][:, tissue], FLOOR))
        for one in (plain, sharp)
        for tissue in range(len(TISSUES))
    ]
    found.append(image[mask])
    smooth = {width: mean(image, width) for width in BLURS}
    found += smooth.values()
    found += [
        ndimage.gaussian_filter(plain[..., tissue], WIDE * pixel)[mask]
        for tissue in range(len(TISSUES))
    ]
    edges = [edge / pixel_mm for edge in voxel_mm]
    deep = ndimage.distance_transform_edt(np.pad(mask, 1), edges)[1:-1, 1:-1, 1:-1]
    found.append(np.minimum(deep[mask], DEEP))
    found += [mean(sharp[..., tissue], NEAR) for tissue in range(len(TISSUES))]
    for width in TEXTURE:
        variance = mean(image * image, width) - smooth[width] ** 2
        found.append(np.sqrt(np.maximum(variance, 0)))
    return np.stack(found, axis=1).astype(np.float32)


def contrast(image, probabilities, mask):
    """Return by how much grey and white matter differ, as far as the tissues are ordered as usual.

    In adults grey matter is darker than one and brighter than the other of CSF and white matter.
    Of CSF the tenth that is farthest from white matter counts: the rim of a T2w is dark.

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
    probabilities : (x, y, z, 3) ndarray of float32
    mask : (x, y, z) ndarray of bool

    Returns
    -------
    contrast : float
        Of the range from background to the brightest voxels; 0 in another order, as in newborns,
        and where a tissue is missing.
    """
    seen, shares = image[mask], probabilities[mask]
    fluid, sums = seen[shares.argmax(axis=1) == 0], shares.sum(axis=0)
    if not (fluid.size and sums.all()):
        return 0.0
    _, grey, white = seen @ shares / sums
    csf = np.percentile(fluid, 10 if white > grey else 90)
    return float(abs(white - grey)) if (grey - csf) * (white - grey) > 0 else 0.0
