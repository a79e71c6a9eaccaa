"""Where the brain's border lies in a head of which a slice is labelled.

The network that finds the brain looks coarsely, and each species and source has its own idea of
where a brain ends: with or without the fluid around it, dura, or the cavities of the skull. The
labels of a slice tell. Logistic regression learns from the voxels around the border how the
network's answer and the image's brightness go together there (see `calibration`, of which this is
the case of two classes), and redraws the border in the whole head, at the image's own voxels.

What it says of brightness holds for heads that look alike there: of one contrast, and of brains of
about the same size. Other heads are left as they are.
"""

from functools import partial
from typing import Annotated, NamedTuple

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
average. T1w and T2w of the zoo's macaques differ by 0.14, of its chimpanzees by 0.12."""
RIDGE = 2.0
"""Times the root of the number of voxels of a slice: penalty on squared weights. Chosen on the
heads of the zoo, as are the widths."""
ROOM = 1.2
"""What is learned holds for brains up to so many times smaller or larger (edge length)."""
NUMBERS = ("center", "scale", "weights", "bias")
"""What a card holds of `calibration.fit`."""
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
    found = checkpoint.read_card(path).get("borders") or []
    try:
        return [one.model_dump() for one in TypeAdapter(list[_Border]).validate_python(found)]
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(
            f"{checkpoint.card_path(path)}: borders.{where} is not what this version of"
            " patchseg learns from labels; adapt again with the same images and labels (patchseg"
            " adapt --what brain)"
        ) from error


class Around(NamedTuple):
    """What lies around the border of a brain that was found.

    Attributes
    ----------
    near : (x, y, z) ndarray of bool
        Its voxels.
    features : (n, 8) ndarray of float32
        In their order: log-odds of the network, brightness, smoothed brightness, smoothed log-odds,
        spread of the brightness.
    start : (n, 3) ndarray of float32
        How probable brain, not brain (and no third class) are; even at the network's border.
    look : list of 6 float
        Mean brightness in `SHELLS`.
    size_mm : float
        Cube root of the brain's volume.
    """

    near: np.ndarray
    features: np.ndarray
    start: np.ndarray
    look: list
    size_mm: float


def around(image, found, voxel_mm):
    """Describe what lies around the border of a brain that was found.

    Parameters
    ----------
    image : (x, y, z) ndarray of float
        As the scanner gave it.
    found : extraction.Found
    voxel_mm : tuple of three float

    Returns
    -------
    around : Around, or None
        None where there is no brain, or one of a few voxels.
    """
    mask = found.mask
    if not mask.any():
        return None
    size_mm = brain.size_mm(mask, voxel_mm)
    size = size_mm / np.array(voxel_mm)  # voxels
    box = grid.widened(grid.box(mask), (NEAR + 2 * max(BLURS)) * size, mask.shape)
    inside, seen, probability = mask[box], head.scaled(image)[box], found.probability[box]
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), 1 / size)[1:-1, 1:-1, 1:-1]
    depth = (depth - ndimage.distance_transform_edt(~inside, 1 / size)).astype(np.float32)
    at = np.abs(depth) < NEAR
    if not at.any():
        return None

    def smooth(values, width):
        return ndimage.gaussian_filter(values, width * size)

    features = [_odds(probability[at]), seen[at]]
    features += [smooth(seen, width)[at] for width in BLURS]
    features += [_odds(smooth(probability, width)[at]) for width in WIDE]
    variance = smooth(seen * seen, TEXTURE)[at] - smooth(seen, TEXTURE)[at] ** 2
    features = np.stack([*features, np.sqrt(np.maximum(variance, 0))], axis=1)
    share = expit(features[:, 0] - logit(extraction.LEVEL))
    start = np.stack([share, 1 - share, np.zeros_like(share)], axis=1)
    near = np.zeros(mask.shape, bool)
    near[box] = at
    parts = (part.astype(np.float32) for part in (features, start))
    return Around(near, *parts, _look(depth[at], seen[at]), size_mm)


def _look(depth, image):
    """Return the mean brightness in `SHELLS`, a list; coarse voxels leave some to be guessed."""
    shells = np.digitize(depth, SHELLS[1:-1])
    counts = np.bincount(shells, minlength=len(SHELLS) - 1)
    held = np.flatnonzero(counts)
    means = np.bincount(shells, image, len(counts))[held] / counts[held]
    return np.round(np.interp(np.arange(len(counts)), held, means), 4).tolist()


def learn(given, seen, settings, seed=0):
    """Learn from labelled voxels where the border lies: once for all heads that are alike.

    Parameters
    ----------
    given : sequence of patchseg.datasets.labelled.Labelled
        Labels are 0 not labelled, 1 brain, 2 not brain.
    seen : sequence of Around or None
        Of what the network by itself finds in each.
    settings : patchseg.params.Calibration
    seed : int

    Returns
    -------
    borders : list of dict
        For `moved`, and for a card. Empty if there is too little to learn from.
    """
    groups, settings = [], settings.model_copy(update={"ridge": RIDGE})
    for one, own in zip(given, seen, strict=True):
        if own is None:
            continue
        alike = [group for group in groups if _fits(_known(group[:1]), own)]
        (alike[0] if alike else groups).append((one, own) if alike else [(one, own)])
    borders = [_learned(group, settings, seed) for group in groups]
    return [border for border in borders if border]


def _known(group):
    """Return for which heads it holds what these teach, a dict."""
    sizes = [own.size_mm for _, own in group]
    room = [float(f"{one:.4g}") for one in (min(sizes) / ROOM, max(sizes) * ROOM)]
    return {"looks": [own.look for _, own in group], "mm": room}


def _learned(group, settings, seed):
    """Learn of heads that are alike: a dict, or None."""
    labels = [one.labels[own.near] for one, own in group]
    parts = [
        [getattr(own, name)[told > 0] for (_, own), told in zip(group, labels, strict=True)]
        for name in ("features", "start")
    ]
    together = [np.concatenate(part) for part in (*parts, [told[told > 0] for told in labels])]
    slices = max(1, sum(len(one.slices()[1]) for one, _ in group))
    learned = calibration.fit(*together, settings, seed, slices)
    return learned and {name: learned[name] for name in NUMBERS} | _known(group)


def _fits(border, own):
    """Whether a border is for heads like this one: of that size, and that look."""
    low, high = border["mm"]
    return low <= own.size_mm <= high and _apart(border, own.look) <= ALIKE


def _apart(border, look):
    """Return how far a look is from the nearest one of a border."""
    return min(float(np.mean(np.abs(np.subtract(one, look)))) for one in border["looks"])


def alike(one, other):
    """Whether two borders are for the same heads: of a size that both hold for, and a like look."""
    (low, high), (least, most) = one["mm"], other["mm"]
    return low <= most and least <= high and min(map(partial(_apart, one), other["looks"])) <= ALIKE


def kept(borders, new):
    """Return new borders, and those of before for heads that these are not for: a list of dict."""
    return new + [old for old in borders if not any(alike(old, one) for one in new)]


def moved(found, own, borders):
    """Return what was found, with its border where labels have it in heads that are alike.

    Parameters
    ----------
    found : extraction.Found
        Of the network by itself.
    own : Around, or None
        Of it.
    borders : sequence of dict
        Of `learn`.

    Returns
    -------
    found : extraction.Found
        The same, if none of them is for such a head.
    """
    fitting = [border for border in borders if own is not None and _fits(border, own)]
    if not fitting:
        return found
    best = min(fitting, key=lambda border: _apart(border, own.look))
    classes = {"tissues": ("CSF", "GM")}  # the first two of three: brain, not brain
    share = calibration.apply(best | classes, own.features, own.start)[:, 0]
    probability = np.where(found.mask, found.probability, 0)  # nothing else joins it
    probability[own.near] = expit(_odds(share) + logit(extraction.LEVEL))
    redrawn = extraction.redrawn(found, probability)
    return redrawn if redrawn.mask.any() else found


def _odds(probability):
    return logit(np.clip(probability, FLOOR, 1 - FLOOR))
