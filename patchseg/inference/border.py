"""Where the brain's border lies in a head of which a slice is labelled.

The network that finds the brain looks coarsely, and each species and source has its own idea of
where a brain ends: with or without the fluid around it, dura, or the cavities of the skull. The
labels of a slice tell. Logistic regression learns from the voxels around the border how the
network's answer and the image's brightness go together there (see `calibration`, of which this is
the case of two classes), and redraws the border in the whole head, at the image's own voxels.

What it says of brightness holds for heads that look alike there: of one contrast, and of brains of
about the same size. Other heads are left as they are.
"""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError
from scipy import ndimage
from scipy.special import expit, logit

from patchseg import checkpoint
from patchseg.core.errors import InputError
from patchseg.images import brain, grid, head
from patchseg.inference import calibration, extraction, library

# What a card's numbers mean depends on these; lengths are shares of the brain's size (the cube root
# of its volume).
NEAR = 0.18
"""How far from the border that the network drew it may be moved."""
BLURS = (0.015, 0.03, 0.06)
"""Widths at which the image is smoothed."""
WIDE = (0.03, 0.06)
"""Those at which the network's answer is."""
TEXTURE = 0.02
"""That at which the spread of the brightness around a voxel is taken."""
COUNT = 2 + len(BLURS) + len(WIDE) + 1
"""How many features there are."""
TERMS = COUNT + COUNT * (COUNT + 1) // 2
"""Features and their products."""
SHELLS = np.linspace(-NEAR, NEAR, 7)
"""Ends of the shells around the border whose brightness tells how a head looks, outside first."""
ALIKE = 0.06
"""Brightness, 0 background and 1 bright tissue, by which the shells of two heads may differ on
average. T1w and T2w of the zoo's macaques differ by 0.14, of its chimpanzees by 0.17."""
RIDGE = 2.0
"""Times the root of the number of voxels of a slice: penalty on squared weights. Chosen on the
heads of the zoo, as are the widths."""
ROOM = 1.2
"""It holds for brains up to so many times smaller or larger (edge length)."""
FLOOR = 1e-3
"""A probability is at least this before its log-odds become a feature."""


def _long(count):
    return Field(min_length=count, max_length=count)


class _Border(BaseModel):
    """What a card says of a border, checked."""

    center: Annotated[list[FiniteFloat], _long(COUNT)]
    scale: Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], _long(COUNT)]
    weights: Annotated[list[Annotated[list[FiniteFloat], _long(TERMS)]], _long(2)]
    bias: Annotated[list[FiniteFloat], _long(2)]
    looks: Annotated[
        list[Annotated[list[FiniteFloat], _long(len(SHELLS) - 1)]], Field(min_length=1)
    ]
    mm: tuple[FiniteFloat, FiniteFloat]


def of_card(weights=None):
    """Return the borders that weights for heads were taught, by their card.

    Parameters
    ----------
    weights : str or Path, optional
        A file, or a name (see `library.find`); those of the package unless given.

    Returns
    -------
    borders : list of dict
        For `moved`.

    Raises
    ------
    InputError
        If the card holds something else.
    """
    path = library.find(weights) or checkpoint.HEADS
    found = checkpoint.read_card(path).get("calibration", [])
    try:
        return [one.model_dump() for one in TypeAdapter(list[_Border]).validate_python(found)]
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(
            f"{checkpoint.card_path(path)}: calibration.{where} is not what this version of"
            " patchseg learns from labels; adapt again with the same images and labels (patchseg"
            " adapt --what brain)"
        ) from error


def describe(seen, found, voxel_mm):
    """Describe the voxels around the border of a brain that was found.

    Parameters
    ----------
    seen : (x, y, z) ndarray of float32
        The image as of `head.scaled`.
    found : extraction.Found
    voxel_mm : tuple of three float

    Returns
    -------
    near : (x, y, z) ndarray of bool
        The voxels around the border.
    features : (n, 8) ndarray of float32
        In their order: log-odds of the network, brightness, smoothed brightness, smoothed log-odds,
        spread of the brightness.
    look : list of 6 float
        Mean brightness in `SHELLS`.
    """
    mask, size = found.mask, brain.size_mm(found.mask, voxel_mm) / np.array(voxel_mm)  # voxels
    near = np.zeros(mask.shape, bool)
    box = grid.widened(grid.box(mask), (NEAR + 2 * max(BLURS)) * size, mask.shape)
    image, probability, edges = seen[box], found.probability[box], 1 / size
    depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), edges)[1:-1, 1:-1, 1:-1]
    depth = depth - ndimage.distance_transform_edt(~mask[box], edges)
    near[box] = at = np.abs(depth) < NEAR

    def smooth(values, width):
        return ndimage.gaussian_filter(values, width * size)

    mean = smooth(image, TEXTURE)
    features = [
        _odds(probability),
        image,
        *(smooth(image, width) for width in BLURS),
        *(_odds(smooth(probability, width)) for width in WIDE),
        np.sqrt(np.maximum(smooth(image * image, TEXTURE) - mean**2, 0)),
    ]
    features = np.stack([one[at] for one in features], axis=1).astype(np.float32)
    return near, features, _look(depth[at], image[at])


def _look(depth, image):
    """Return the mean brightness in `SHELLS`, a list; coarse voxels leave some to be guessed."""
    shells = np.digitize(depth, SHELLS[1:-1])
    counts = np.bincount(shells, minlength=len(SHELLS) - 1)
    held = np.flatnonzero(counts)
    means = np.bincount(shells, image, len(counts))[held] / counts[held]
    return np.round(np.interp(np.arange(len(counts)), held, means), 4).tolist()


def learn(given, found, settings, seed=0):
    """Learn from labelled voxels where the border lies: once for all heads that look alike.

    Parameters
    ----------
    given : sequence of patchseg.datasets.labelled.Labelled
        Labels are 0 not labelled, 1 brain, 2 not brain.
    found : sequence of extraction.Found
        What the network by itself finds in each; where there is no brain, nothing is learned.
    settings : patchseg.params.Calibration
    seed : int

    Returns
    -------
    borders : list of dict
        For `moved`, and for a card. Empty if there is too little to learn from.
    """
    groups = []
    for one, last in zip(given, found, strict=True):
        if not last.mask.any():
            continue
        near, features, look = describe(head.scaled(one.image), last, one.voxel_mm)
        known = one.labels[near] > 0
        start, labels = _both(last.probability[near][known]), one.labels[near][known]
        own = (features[known], start, labels), look, brain.size_mm(last.mask, one.voxel_mm), one
        alike = [group for group in groups if _apart(group[0][1], look) <= ALIKE]
        (alike[0] if alike else groups).append(own if alike else [own])
    borders = [
        _learned(group, settings.model_copy(update={"ridge": RIDGE}), seed) for group in groups
    ]
    return [border for border in borders if border]


def _learned(group, settings, seed):
    """Learn of heads that look alike: a dict, or None."""
    parts, looks, sizes, given = zip(*group, strict=True)
    slices = max(1, sum(len(one.slices()[1]) for one in given))
    together = (np.concatenate(part) for part in zip(*parts, strict=True))
    learned = calibration.fit(*together, settings, seed, slices)
    return learned and {
        **{name: learned[name] for name in ("center", "scale", "weights", "bias")},
        "looks": list(looks),
        "mm": [round(min(sizes) / ROOM, 1), round(max(sizes) * ROOM, 1)],
    }


def kept(borders, new):
    """Return new borders, and those of before for heads that look otherwise: a list of dict."""
    looks = [look for border in new for look in border["looks"]]
    return new + [
        border
        for border in borders
        if all(_apart(own, look) > ALIKE for own in border["looks"] for look in looks)
    ]


def moved(found, image, voxel_mm, borders):
    """Return what was found, with its border where labels have it in heads that look alike.

    Parameters
    ----------
    found : extraction.Found
        Of the network by itself.
    image : (x, y, z) ndarray of float
        As the scanner gave it.
    voxel_mm : tuple of three float
    borders : sequence of dict
        Of `learn`.

    Returns
    -------
    found : extraction.Found
    """
    if not (borders and found.mask.any()):
        return found
    near, features, look = describe(head.scaled(image), found, voxel_mm)
    size_mm = brain.size_mm(found.mask, voxel_mm)
    apart = [min(_apart(own, look) for own in border["looks"]) for border in borders]
    best = int(np.argmin(apart))
    low, high = borders[best]["mm"]
    if apart[best] > ALIKE or not low <= size_mm <= high:
        return found
    classes = {"tissues": ("CSF", "GM")}  # the first two of three: brain, not brain
    start = _both(found.probability[near])
    share = calibration.apply(borders[best] | classes, features, start)[:, 0]
    probability = np.where(found.mask, found.probability, 0)  # nothing else joins it
    probability[near] = expit(_odds(share) + logit(extraction.LEVEL))
    return extraction.redrawn(found, probability)


def _apart(one, other):
    return float(np.mean(np.abs(np.subtract(one, other))))


def _odds(probability):
    return logit(np.clip(probability, FLOOR, 1 - FLOOR))


def _both(probability):
    """Return how probable brain, not brain (and no third class) are: (n, 3) ndarray of float32.

    They are even where the network's border lies.
    """
    share = expit(_odds(probability) - logit(extraction.LEVEL))
    return np.stack([share, 1 - share, np.zeros_like(share)], axis=1).astype(np.float32)
