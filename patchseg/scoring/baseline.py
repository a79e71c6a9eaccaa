"""What others use: HMRF, the algorithm of FSL FAST (Zhang 2001), and Atropos (Avants 2011)."""

import logging
import warnings

import numpy as np
from scipy import ndimage

from patchseg.images.bias import load_ants, n4

logging.getLogger("dipy").setLevel(logging.ERROR)  # it logs every iteration


def hmrf(image, smoothness=0.1, max_iterations=100, seed=0):
    """Segment a brain-extracted T1w into CSF, GM and WM by a hidden Markov random field.

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
        Exactly 0 outside the brain, which is its mask.
    smoothness : float
        Weight of equal neighbours (DIPY's `beta`).
    max_iterations : int
    seed : int
        DIPY draws noise for the background from NumPy's global generator.

    Returns
    -------
    labels : (x, y, z) ndarray of uint8, or None
        1, 2, 3 from dark to bright, which is CSF, GM, WM in a T1w; None where the algorithm breaks
        down.
    """
    from dipy.segment.tissue import TissueClassifierHMRF

    box = ndimage.find_objects((image > 0).astype(np.uint8))[0]
    brain = image[box] > 0
    np.random.seed(seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            classify = TissueClassifierHMRF(verbose=False).classify
            found = classify(
                _fair_scale(image[box], brain), 3, smoothness, max_iter=max_iterations
            )[1]
        except ValueError:  # raised by DIPY once a class has no voxel left
            return None
    if set(np.unique(found[brain]).astype(int)) != {1, 2, 3}:
        return None
    labels = np.zeros(image.shape, np.uint8)
    labels[box] = found * brain
    return labels


def _fair_scale(image, brain):
    """Put the brain's 1st to 99th percentile between 0.1 and 1.

    DIPY starts from equally spaced classes, the darkest of them the background. On a min-max scale
    no voxel of the brain falls into it, its variance is 0, and everything after that is NaN; here a
    few dark ones do.
    """
    low, high = np.percentile(image[brain], [1, 99])
    scaled = np.clip(0.1 + 0.9 * (image - low) / (high - low), 0.01, 1.1)
    return np.ascontiguousarray(np.where(brain, scaled, 0), dtype=np.float64)


def atropos(data, mask, voxel_mm):
    """Segment a brain-extracted T1w by N4 and then Atropos, with ANTs' defaults.

    Three classes from k-means, and a Markov random field.

    Parameters
    ----------
    data, mask, voxel_mm
        As for `n4`.

    Returns
    -------
    labels : (x, y, z) ndarray of uint8, 1, 2, 3 from dark to bright
    """
    ants = load_ants()
    image, inside = (
        ants.from_numpy(np.asarray(part, np.float32), spacing=list(voxel_mm))
        for part in (n4(data, mask, voxel_mm), mask)
    )
    found = (
        ants.atropos(a=image, x=inside, i="kmeans[3]", m="[0.1,1x1x1]", c="[5,0]")["segmentation"]
        .numpy()
        .astype(np.uint8)
    )
    return found * mask
