"""Deep grey matter: what the network for tissues calls white matter there is given to grey matter.

The network for tissues sees how bright a place is and what is near. Thalamus, putamen and pallidum
are nearly as bright as white matter, so that only their place tells what they are. A second, small
network sees slices from farther away and says where deep grey matter is. It learned from people's
label maps alone (see `patchseg.training.deep_grey`), so every animal is new to it.
"""

from patchseg.core.tissues import TISSUES
from patchseg.images import brain
from patchseg.inference import networks, views

GREY, WHITE = TISSUES.index("GM"), TISSUES.index("WM")
DEEP = 1
"""Its channel (see `patchseg.params.DeepTraining`)."""


def probability(image, mask, voxel_mm, precision="auto"):
    """Return how probable it is that a voxel is deep grey matter.

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1], RAS+
        Of the brain's box, 0 outside the brain (see `brain.normalise`).
    mask : (x, y, z) ndarray of bool
    voxel_mm : tuple of three float
    precision
        See `networks.load`.

    Returns
    -------
    deep : (x, y, z) ndarray of float32
        0 outside the brain.
    """
    network = networks.load_deep(precision)
    pixel_mm = brain.size_mm(mask, voxel_mm) / network.brain_pixels
    fused = views.fuse(network.model, image, mask, voxel_mm, pixel_mm)
    return fused.probabilities[..., DEEP]


def moved(probabilities, deep):
    """Give white matter's probability to grey matter, as far as a voxel is deep grey matter.

    Parameters
    ----------
    probabilities : (x, y, z, 3) ndarray of float32
        CSF, GM, WM.
    deep : (x, y, z) ndarray of float32
        Of `probability`.

    Returns
    -------
    moved : (x, y, z, 3) ndarray of float32
        With the same sums.
    """
    found = probabilities.copy()
    found[..., GREY] += probabilities[..., WHITE] * deep
    found[..., WHITE] *= 1 - deep
    return found
