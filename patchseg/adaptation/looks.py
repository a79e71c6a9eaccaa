"""What the network that finds the brain sees of a head, with the few labels that there are.

The same looks that `extraction.find` takes, a little larger and smaller, in all orders and
directions of the axes. Of a slice that is thinner than a voxel of the look its nearest voxels are
labelled.
"""

from dataclasses import dataclass

import numpy as np

from patchseg.adaptation.brain_labels import BRAIN, OTHER
from patchseg.images import brain, grid, head
from patchseg.images.grid import resize
from patchseg.inference import extraction
from patchseg.training.heads import smooth

VIEWS = 16  # of each image: they cost memory, and more gain nothing
COARSE = 0.25  # share of looks at the whole field of view; the last look is what counts
SPREAD = 0.25  # of the logarithm of a look's voxel size: the brain's size is a guess at first
STRETCH = 0.05  # the same, by which each axis differs
ROOM = (0.5, 1.5)  # what is seen around the brain, in `extraction.AROUND`
EDGE = 48  # voxels of a cube, as in the training
ON_BRAIN = 0.8  # share of cubes around a voxel of the brain; the others around any labelled one
BIAS, GAIN, GAMMA, NOISE = 0.3, 0.15, 0.2, 0.03  # mild: what is labelled is seen as it is


@dataclass(frozen=True)
class Look:
    """A head as the network sees it.

    Attributes
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
    labels : (x, y, z) ndarray of uint8
        0 not labelled, `BRAIN` and `OTHER`.
    """

    image: np.ndarray
    labels: np.ndarray


def looks(rng, one, mask):
    """Look at a head as `extraction.find` does.

    Parameters
    ----------
    rng : numpy.random.Generator
    one : patchseg.datasets.labelled.Labelled
        Its labels are 0, `BRAIN` and `OTHER`.
    mask : (x, y, z) ndarray of bool
        Where the brain seems to be. It need not be right.

    Returns
    -------
    looks : list of Look
    """
    seen, voxel_mm = head.scaled(one.image), np.array(one.voxel_mm)
    mask = mask | (one.labels == BRAIN)
    size_mm = max(brain.size_mm(mask, voxel_mm), _size_of_slice(one))
    whole = brain.bounding_box(seen > extraction.TISSUE)
    longest_mm = max(
        (side.stop - side.start) * mm for side, mm in zip(whole, voxel_mm, strict=True)
    )
    found = []
    for number in range(VIEWS):
        if number < COARSE * VIEWS:
            box, pixel_mm = whole, longest_mm / extraction.FIRST[0]
        else:
            room = extraction.AROUND * rng.uniform(*ROOM) * size_mm
            box = grid.widened(grid.box(mask), room / voxel_mm, mask.shape)
            pixel_mm = size_mm / extraction.BRAIN
        edges = pixel_mm * np.exp(rng.uniform(-SPREAD, SPREAD) + rng.normal(0, STRETCH, 3))
        look = _look(seen[box], one.labels[box], voxel_mm / edges)
        if (look.labels == BRAIN).any():
            found.append(look)
    return found


def _size_of_slice(one):
    """Return the size (mm) of a ball whose middle slice is as large as the fullest labelled one."""
    axis = grid.AXES.index(one.slices()[0])
    sides = [side for side in range(3) if side != axis]
    voxels = (one.labels == BRAIN).sum(axis=tuple(sides)).max()
    area = voxels * np.prod([one.voxel_mm[side] for side in sides])
    return float((4 / 3 * np.pi) ** (1 / 3) * np.sqrt(area / np.pi))


def _look(image, labels, factors):
    """Resample an image and its labels to so many voxels for one of the image, along each axis."""
    shape = [max(1, round(n * by)) for n, by in zip(image.shape, factors, strict=True)]
    shares = [resize((labels == n).astype(np.float32), shape) for n in (BRAIN, OTHER)]
    known = sum(shares) > 0.5 * sum(shares).max()
    kinds = np.where(shares[0] >= shares[1], BRAIN, OTHER) * known
    return Look(np.clip(resize(image, shape), 0, 1), kinds.astype(np.uint8))


def batches(rng, given, size):
    """Yield batches of cubes for ever.

    Parameters
    ----------
    rng : numpy.random.Generator
    given : list of Look
    size : int
        Cubes in a batch.

    Yields
    ------
    x : (size, p, p, p, 1) ndarray of float32
    y : (size, p, p, p, 2) ndarray of float32
        Whether a voxel is no brain, and whether it is; neither where nobody labelled.
    """
    while True:
        chosen = [given[rng.integers(len(given))] for _ in range(size)]
        x, y = (np.stack(part) for part in zip(*[cube(rng, one) for one in chosen], strict=True))
        yield x[..., None], np.stack([y == OTHER, y == BRAIN], axis=-1).astype(np.float32)


def cube(rng, look):
    """Cut a cube around a labelled voxel, in a random order and direction of the axes.

    Returns
    -------
    image, labels : (p, p, p) ndarrays of float32 and uint8
        0 beyond the look: air, not labelled.
    """
    wanted = look.labels == BRAIN if rng.random() < ON_BRAIN else look.labels > 0
    places = np.argwhere(wanted)
    first = places[rng.integers(len(places))] - rng.integers(EDGE // 4, 3 * EDGE // 4, 3)
    room = np.array(look.labels.shape) - EDGE
    first = np.where(room > 0, np.clip(first, 0, np.maximum(room, 0)), room // 2)
    order, signs = rng.permutation(3), rng.choice([-1, 1], 3)
    parts = []
    for part in (look.image, look.labels):
        sides = [
            (max(0, -at), max(0, at + EDGE - n)) for at, n in zip(first, part.shape, strict=True)
        ]
        padded = np.pad(part, sides)[tuple(slice(max(0, at), max(0, at) + EDGE) for at in first)]
        parts.append(padded.transpose(order)[tuple(slice(None, None, one) for one in signs)])
    return _as_scanned(rng, parts[0]), parts[1]


def _as_scanned(rng, image):
    """Change the brightness of a cube a little, over all of it and from place to place."""
    field = smooth(rng, image.shape, 3) * rng.uniform(0, BIAS) + rng.normal(0, GAIN)
    bent = np.clip(image * np.exp(field), 0, 1) ** np.exp(rng.normal(0, GAMMA))
    noise = rng.normal(0, rng.uniform(0, NOISE), image.shape) * (image > 0)
    return np.clip(bent + noise, 0, 1).astype(np.float32)


def loss(truth, predicted):
    """Soft Dice of the brain plus cross-entropy; air and other tissue are one: not brain.

    Parameters
    ----------
    truth : (n, x, y, z, 2) tensor
        See `batches`.
    predicted : (n, x, y, z, 3) tensor
        Of air, other tissue and brain.
    """
    from keras import ops

    from patchseg.training.losses import dice_cross_entropy

    rest = ops.sum(predicted[..., :-1], axis=-1, keepdims=True)
    return dice_cross_entropy(truth, ops.concatenate([rest, predicted[..., -1:]], axis=-1))
