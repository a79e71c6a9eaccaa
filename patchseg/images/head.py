"""An image of a whole head: its brightness, and the largest piece of what was found in it."""

import numpy as np
from scipy import ndimage

from patchseg.images import brain
from patchseg.images.background import background, is_signed

BELOW = 0.3
"""Where the background of a z-scored image is put: so many times its range below its tissue."""


def scaled(image):
    """Scale an image of a head so that its background is 0 and its bright tissue 1.

    Parameters
    ----------
    image : (x, y, z) ndarray of float

    Returns
    -------
    scaled : (x, y, z) ndarray of float32, from 0 to 1.5
    """
    outside = background(image)
    if is_signed(image):  # after a z-score the background lies amid the tissue
        tissue = image[image != outside]
        low, high = np.percentile(tissue, [0.1, 99.9])
        image = np.where(image == outside, low - BELOW * (high - low), image)
    elif outside < 0 and (image > outside).any():  # perhaps far below the tissue
        low, _ = brain.levels(image[image > outside], outside)
        image = np.maximum(image, low)
    darkest, brightest = (float(value) for value in np.percentile(image, [0.1, 99.9]))
    low = max(background(image), darkest)
    bright = image[image > low + 0.05 * (brightest - low)]
    high = float(np.percentile(bright, 98)) if bright.size else low + 1
    return np.clip((image - low) / max(high - low, 1e-9), 0, 1.5).astype(np.float32)


def pieces(probability, least=0.5):
    """Return the pieces in which a probability is above `least`, the largest first.

    Parameters
    ----------
    probability : (x, y, z) ndarray of float

    Returns
    -------
    labels : (x, y, z) ndarray of int
        0 outside of all pieces, 1 in the largest, 2 in the next.
    sizes : (n,) ndarray of float
        The sum of the probability in each.
    """
    found, count = ndimage.label(probability > least)
    sizes = np.asarray(ndimage.sum_labels(probability, found, range(1, count + 1)), float)
    order = np.argsort(-sizes)
    names = np.zeros(count + 1, int)
    names[1 + order] = np.arange(1, count + 1)
    return names[found], sizes[order]
