"""Where the brain lies in an image of a whole head, of any animal.

A small 3D UNet looks at small volumes: at the whole field of view, coarsely, to tell a head from an
extracted brain (the gate), and again to find the brain; then at its surroundings, at a size at
which it fills most of what is seen, to find its border.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.special import entr

from patchseg.core.errors import InputError
from patchseg.images import brain, grid, head
from patchseg.images.grid import resize

GATE = 40
"""Voxels along the longest edge of the field of view when the gate looks: head or brain?"""
FIRST = (56, 80, 112)
"""The same when the brain is looked for: the next, closer look is taken where that before it and
the last do not agree, as where mice lie in fours."""
AGREE = 0.85
"""Dice at which they do."""
BRAIN = 28
"""Cube root of the brain's volume, in voxels, at the last look."""
AROUND = 0.35
"""What is looked at beside the brain, in cube roots of its volume."""
STEP = 16
"""Edges are multiples of it, so that each level of the network can halve them."""
FLIPS = ((), (0,), (1,), (2,))
"""The network sees each volume as it is and mirrored, and its answers are averaged."""
LEVEL = 0.35
"""Probability above which a voxel is brain: at an unsure border a rim too much is better than one
too little. Chosen on the heads of the zoo."""
LOOKS = 3
"""At most so many, until the size of the brain stays."""
ANOTHER = 0.5
"""A piece as large as this share of the largest is another brain."""
TISSUE = 0.08
"""Of the brightest tissue; what is darker is air."""


@dataclass(frozen=True)
class Found:
    """What is brain in an image.

    Attributes
    ----------
    probability : (x, y, z) ndarray of float32 in [0, 1]
    mask : (x, y, z) ndarray of bool
        One piece without holes; empty where there is no brain.
    other : float
        Share of the tissue that is none of the brain, for the gate: near 0 for an extracted brain.
    pieces : int
        How many brains there seem to be.
    agreement : float
        Dice of the brain at the first look and in the end.
    steadiness : float
        Dice of what is found in mirrored images and in all together, the mean at the last look.
    sharpness : float
        Dice of probability and mask: 1 where every voxel is sure.
    """

    probability: np.ndarray
    mask: np.ndarray
    other: float
    pieces: int
    agreement: float = 0.0
    steadiness: float = 0.0
    sharpness: float = 0.0


def find(network, image, voxel_mm, which=None):
    """Find the brain.

    Parameters
    ----------
    network : keras.Model
        (n, x, y, z, 1) to the probabilities (n, x, y, z, 3) of air, other tissue, brain.
    image : (x, y, z) ndarray of float32
        As the scanner gave it.
    voxel_mm : tuple of three float
    which : int, optional
        Of several brains in one image, counted from 1: from left to right, then from back to front,
        then from bottom to top. The largest unless given.

    Returns
    -------
    found : Found

    Raises
    ------
    InputError
        If there is no such brain.
    """
    seen, voxel_mm = head.scaled(image), np.array(voxel_mm)
    box, _, other = _whole(network, seen, voxel_mm, GATE)

    def closer(coarse, count):
        first = _at_voxels(coarse, seen.shape, box)
        return _closer(network, seen, voxel_mm, first, other, count)

    best, coarse = None, None
    for voxels in FIRST:
        _, view, _ = _whole(network, seen, voxel_mm, voxels)
        found = closer(view[..., 2], _count(view[..., 2]))
        if best is None or found.agreement > best.agreement:
            best, coarse = found, view[..., 2]
        if best.agreement > AGREE:
            break
    return best if which is None else closer(_one(coarse, which), 1)


def _closer(network, seen, voxel_mm, first, other, count):
    """Look at what surrounds a brain that was found coarsely, until its size stays: a `Found`."""
    last, mask, steady = first, _largest(first), 0.0
    start = mask
    for _ in range(LOOKS):
        size_mm = brain.size_mm(mask, voxel_mm)
        if not mask.any():
            break
        box = grid.widened(grid.box(mask), AROUND * size_mm / voxel_mm, mask.shape)
        view, steady = _look(network, seen[box], voxel_mm, size_mm / BRAIN)
        last = _at_voxels(view[..., 2], seen.shape, box)
        mask = _largest(last)
        if 0.8 < brain.size_mm(mask, voxel_mm) / size_mm < 1.25:
            break
    return Found(
        probability=last,
        mask=mask,
        other=other,
        pieces=count,
        agreement=_dice(start, mask),
        steadiness=steady,
        sharpness=_dice(last * mask, mask),
    )


def redrawn(found, probability):
    """Return what is `Found` with another probability (x, y, z) of each voxel to be brain."""
    mask = _largest(probability)
    sharp = _dice(probability * mask, mask)
    return replace(found, probability=probability, mask=mask, sharpness=sharp)


def whole(mask, other):
    """Return what is `Found` in an extracted brain: all of it, for sure."""
    return Found(mask.astype(np.float32), mask, other, 1, 1.0, 1.0, 1.0)


def other_share(network, image, voxel_mm):
    """Return the share of the tissue that is none of the brain (see `Found.other`)."""
    return _whole(network, head.scaled(image), np.array(voxel_mm), GATE)[2]


def _whole(network, seen, voxel_mm, voxels):
    """Look at the whole field of view; return its box, the probabilities, the share of other."""
    box = grid.box(seen > TISSUE)
    view, _ = _look(network, seen[box], voxel_mm, (_edges(box) * voxel_mm).max() / voxels)
    amounts = view[..., 1:].sum(axis=(0, 1, 2), dtype=float)
    return box, view, float(amounts[0] / max(amounts.sum(), 1e-6))


def _count(probability):
    """Return how many brains there seem to be."""
    _, sizes = head.pieces(probability)
    return int((sizes > ANOTHER * sizes[:1]).sum())


def _one(probability, which):
    """Leave one brain of several (see `find`): its probability (x, y, z)."""
    parts, sizes = head.pieces(probability)
    count = _count(probability)
    if not 1 <= which <= count:
        raise InputError(f"brain {which} was asked for, there seem to be {count}")
    edge = sizes[0] ** (1 / 3)
    centres = np.array(ndimage.center_of_mass(probability, parts, range(1, count + 1)))
    order = np.lexsort(np.rint(centres / edge).T[::-1])
    others = (parts > 0) & (parts != 1 + order[which - 1])
    return np.where(ndimage.binary_dilation(others), 0, probability).astype(np.float32)


def _at_voxels(view, shape, box):
    """Put the brain's probability in a view of a box onto the grid of the image."""
    probability = np.zeros(shape, np.float32)
    probability[box] = resize(view, [one.stop - one.start for one in box])
    return probability


def _largest(probability):
    parts, _ = head.pieces(probability, LEVEL)
    return ndimage.binary_fill_holes(parts == 1)


def _dice(a, b):
    """Return Dice of two masks, or of a probability and a mask."""
    return float(2 * (a * b).sum() / max(a.sum() + b.sum(), 1e-6))


def entropy(probability):
    """Return how unsure a probability is, 0 certain and 1 no idea: ndarray of float32."""
    return ((entr(probability) + entr(1 - probability)) / np.log(2)).astype(np.float32)


def _edges(box):
    return np.array([one.stop - one.start for one in box])


def _look(network, image, voxel_mm, pixel_mm):
    """Return the probabilities (x, y, z, 3) of an image that is resampled to cubes of `pixel_mm`.

    They are the mean over `FLIPS`; and the mean Dice of the brain in each with that in the mean.
    """
    shape = [max(1, round(n * mm / pixel_mm)) for n, mm in zip(image.shape, voxel_mm, strict=True)]
    small = np.clip(resize(image, shape), 0, 1)
    whole = np.zeros([-(-n // STEP) * STEP for n in shape], np.float32)
    before = [(n - m) // 2 for n, m in zip(whole.shape, shape, strict=True)]
    inner = tuple(slice(a, a + n) for a, n in zip(before, shape, strict=True))
    whole[inner] = small
    answers = [
        np.flip(
            np.asarray(network.predict_on_batch(np.flip(whole, axes)[None, ..., None]))[0], axes
        )[inner]
        for axes in FLIPS
    ]
    mean = np.mean(answers, axis=0)
    found = mean[..., 2] > LEVEL
    return mean, float(np.mean([_dice(one[..., 2] > LEVEL, found) for one in answers]))
