"""Whole heads to draw from, each at several sizes, with what its labels or its image say it holds.

Of a person's label map every tissue; of an image of a head what is brain, air and the rest.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from patchseg.datasets import brains as named
from patchseg.datasets import heads
from patchseg.images import brain, grid, head
from patchseg.images.grid import resize

AIR, OTHER, BRAIN, UNSURE = 0, 1, 2, 255
"""Labels of a cube; unsure is what may be air or a faint tissue."""
COARSER = (1.0, 1.5, 2.25, 3.4, 5.0)
"""Each head is kept at these multiples of its voxel size: shrinking never skips voxels."""
FAINT, PLAIN = 0.03, 0.12
"""A head's voxel darker than the first share of the brightest is air, above the second tissue."""
DIRECTIONS = (32, 64)  # heights and longitudes at which the brain's surface is known
NEAREST = {"order": 0, "mode": "constant", "prefilter": False}


@dataclass(frozen=True)
class Head:
    """A head to draw from.

    Attributes
    ----------
    name, species : str
    levels : list of (image, classes, voxel_mm)
        The head on its own grid and on coarser ones. `image` is (x, y, z) float32, 1 the
        brightest, or None; `classes` is (x, y, z) uint8, see `KINDS`, or without tissues `AIR`,
        `OTHER`, `BRAIN` and `UNSURE`.
    centre_mm : (3,) ndarray
        Of the brain, from the corner.
    size_mm : float
        Cube root of the brain's volume.
    reach : (32, 64) ndarray
        How far the brain reaches from its centre by direction, in brain sizes.
    half : (3,) ndarray
        Half the edges of the brain's box, in brain sizes.
    """

    name: str
    species: str
    levels: list
    centre_mm: np.ndarray
    size_mm: float
    reach: np.ndarray
    half: np.ndarray

    @property
    def made_up(self):
        """Whether there are labels only."""
        return self.levels[0][0] is None

    @property
    def whole(self):
        """Whether there is more than the brain."""
        return bool((self.levels[-1][1] == OTHER).any())


# classes of a head that is made up; the brain's are below SKULL
CSF, GM, WM, DEEP, SKULL, SKIN, SOFT, FIRST_REST = 1, 2, 3, 4, 5, 6, 7, 8
KINDS = {
    CSF: [4, 5, 14, 15, 24, 30, 31, 43, 44, 62, 63, 72, 221],
    GM: [3, 42, 8, 47, 17, 18, 53, 54],
    WM: [2, 41, 7, 46, 16, 28, 60, 77, 85, 192, *range(251, 256)],
    DEEP: [10, 11, 12, 13, 26, 49, 50, 51, 52, 58, 136, 137, 163, 164],
    SKULL: [515],
    SKIN: [511],
    SOFT: [507],
}
"""Codes of the label maps of whole heads, by class; each other code above 500 is one of its own."""


def classes(codes):
    """Turn the codes of a label map of a whole head into classes: (x, y, z) ndarray of uint8."""
    codes = codes.astype(int)
    table = np.zeros(codes.max() + 1, np.uint8)
    rest = [code for code in np.unique(codes) if code > 500 and code not in (507, 511, 515)]
    table[rest] = FIRST_REST + np.arange(len(rest))
    for kind, own in KINDS.items():
        table[[code for code in own if code < len(table)]] = kind
    return table[codes]


def load(name):
    """Return a head by name (see `brains.names`), ready to draw from: a `Head`.

    Of a label map without an image the whole head; of a brain of the zoo the extracted brain.
    """
    if not named.is_head(name) and named.source(name) and not named.source(name).image:
        codes, affine = heads.codes(name)
        return from_labels(name, codes, grid.voxel_size_mm(affine))
    one = named.load(name)
    return from_image(name, one.image, one.mask, one.voxel_mm, one.species)


def from_labels(name, codes, voxel_mm, species="human"):
    """Make a `Head` of the label map of a whole head: codes (x, y, z), RAS+."""
    kinds = classes(codes)
    inside = (kinds > 0) & (kinds < SKULL)
    box = brain.bounding_box(kinds > 0)
    return _head(name, species, None, kinds[box], inside[box], voxel_mm)


def from_image(name, image, mask, voxel_mm, species):
    """Make a `Head` of an image of one, and the brain's mask: (x, y, z) float32 and bool, RAS+."""
    seen = head.scaled(image)
    kinds = np.full(seen.shape, UNSURE, np.uint8)
    smooth = ndimage.gaussian_filter(seen, [min(1.0, 0.7 * n / 64) for n in seen.shape])
    kinds[smooth < FAINT], kinds[smooth > PLAIN], kinds[mask] = AIR, OTHER, BRAIN
    return _head(name, species, seen, kinds, mask, voxel_mm)


def _head(name, species, seen, kinds, inside, voxel_mm):
    found = np.argwhere(inside) * voxel_mm + np.array(voxel_mm) / 2
    low, high = found.min(axis=0), found.max(axis=0)
    centre, size = (low + high) / 2, brain.size_mm(inside, voxel_mm)
    levels = []
    for factor in COARSER:
        shape = tuple(max(8, round(n / factor)) for n in kinds.shape)
        shape = tuple(min(a, b) for a, b in zip(shape, kinds.shape, strict=True))
        steps = [
            np.minimum(((np.arange(m) + 0.5) * n / m).astype(int), n - 1)
            for m, n in zip(shape, kinds.shape, strict=True)
        ]
        edges = tuple(n * mm / m for n, m, mm in zip(kinds.shape, shape, voxel_mm, strict=True))
        small = None if seen is None else resize(seen, shape)
        levels.append((small, np.ascontiguousarray(kinds[np.ix_(*steps)]), edges))
    reach = _reach(inside, centre, voxel_mm, size)
    return Head(name, species, levels, centre, size, reach, (high - low) / 2 / size)


def _reach(inside, centre_mm, voxel_mm, size_mm):
    """Return how far a mask reaches from a place in it, in brain sizes, by direction: (32, 64)."""
    rows, columns = DIRECTIONS
    height = (np.arange(rows) + 0.5)[:, None] / rows * np.pi
    longitude = ((np.arange(columns) + 0.5) / columns - 0.5) * 2 * np.pi
    towards = np.stack(
        [
            np.sin(height) * np.cos(longitude),
            np.sin(height) * np.sin(longitude),
            np.cos(height) * np.ones(columns),
        ]
    )
    steps = np.linspace(0, 2 * size_mm, 400)
    place, edges = (np.reshape(one, (3, 1, 1, 1)) for one in (centre_mm, voxel_mm))
    at = (place + towards[..., None] * steps) / edges - 0.5
    found = ndimage.map_coordinates(inside.astype(np.uint8), at, **NEAREST) > 0
    last = len(steps) - 1 - np.argmax(found[..., ::-1], axis=-1)
    return ndimage.gaussian_filter(steps[last] / size_mm, 1, mode=("nearest", "wrap"))


def cell(points, far):
    """Return in which cell of `reach` points (3, ...) lie."""
    rows, columns = DIRECTIONS
    height = np.arccos(np.clip(points[2] / far, -1, 1)) / np.pi
    longitude = np.arctan2(points[1], points[0]) / (2 * np.pi) + 0.5
    return (
        np.minimum((height * rows).astype(int), rows - 1),
        np.minimum((longitude * columns).astype(int), columns - 1),
    )
