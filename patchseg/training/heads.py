"""Cubes of whole heads drawn at random, of people and of animals, to learn where the brain is.

One draw: an orientation, a place, a magnification; then either what the scanner saw there, or an
image made up from the labels of a person's whole head that is bent into an animal's: a brain that
is small in its head, thick muscle, a snout. Then what scanners do, and a field of view that is cut
anywhere. Drawn at 0.02 s each, so that a network sees each of them once or twice.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from patchseg.datasets import brains as named
from patchseg.datasets import heads
from patchseg.images import brain, grid, head
from patchseg.images.grid import resize
from patchseg.training.appearance import brightness

AIR, OTHER, BRAIN, UNSURE = 0, 1, 2, 255
"""Labels of a cube; unsure is what may be air or a faint tissue."""
COARSER = (1.0, 1.5, 2.25, 3.4, 5.0)
"""Each head is kept at these multiples of its voxel size: shrinking never skips voxels."""
FAINT, PLAIN = 0.03, 0.12
"""A head's voxel darker than the first share of the brightest is air, above the second tissue."""
DIRECTIONS = (32, 64)  # heights and longitudes at which the brain's surface is known
NEAREST = {"order": 0, "mode": "constant", "prefilter": False}
LINEAR = {"order": 1, "mode": "constant", "prefilter": False}


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


def _direction(points, far):
    """Return in which cell of `reach` points (3, ...) lie."""
    rows, columns = DIRECTIONS
    height = np.arccos(np.clip(points[2] / far, -1, 1)) / np.pi
    longitude = np.arctan2(points[1], points[0]) / (2 * np.pi) + 0.5
    return (
        np.minimum((height * rows).astype(int), rows - 1),
        np.minimum((longitude * columns).astype(int), columns - 1),
    )


def choose(rng, sources, settings):
    """Choose a head: made up, real, or an extracted brain; of those, each species as often."""
    groups = [
        [one for one in sources if one.made_up],
        [one for one in sources if not one.made_up and one.whole],
        [one for one in sources if not one.made_up and not one.whole],
    ]
    shares = [share if group else 0 for share, group in zip(settings.shares, groups, strict=True)]
    group = groups[rng.choice(3, p=np.array(shares) / sum(shares))]
    species = sorted({one.species for one in group})
    wanted = species[rng.integers(len(species))]
    own = [one for one in group if one.species == wanted]
    return own[rng.integers(len(own))]


def patch(rng, one, settings):
    """Draw one cube.

    Parameters
    ----------
    rng : numpy.random.Generator
    one : Head
    settings : patchseg.params.HeadDraw

    Returns
    -------
    image : (p, p, p) ndarray of float32 in [0, 1]
    labels : (p, p, p) ndarray of uint8
        `AIR`, `OTHER`, `BRAIN` or `UNSURE`.
    """
    brain_pixels = np.exp(rng.uniform(*np.log(settings.scales)))
    points = _points(rng, one, brain_pixels, settings)
    if rng.random() < settings.bent:
        points = _bent(rng, one, points)
    if one.made_up:
        kinds = _look_up(one, points, brain_pixels, 1, NEAREST)
        image, truth = _made_up(rng, kinds, settings)
    else:
        truth = _look_up(one, points, brain_pixels, 1, NEAREST)
        image = _look_up(one, points, brain_pixels, 0, LINEAR)
        image = _recoloured(rng, image, settings)
    return _seen(rng, image, truth, settings)


def _points(rng, one, brain_pixels, settings):
    """Choose where the voxels of a cube lie, in brain sizes from the brain's centre: (3, p, p, p).

    In any of the 48 orders and directions of the axes, turned, stretched and bent.
    """
    p = settings.patch_size
    steps = ((np.arange(p) - (p - 1) / 2) / brain_pixels).astype(np.float32)
    frame = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)[:, None]
    angle = np.deg2rad(settings.rotation_deg) * rng.random()
    turn = Rotation.from_rotvec(_direction_of(rng) * angle)
    stretch = np.exp(rng.normal(0, settings.anisotropy, 3))
    frame = (frame @ turn.as_matrix() * stretch).astype(np.float32)
    beyond = settings.beyond if rng.random() < settings.anywhere else 1.0
    room = np.maximum(one.half - 0.25 * p / brain_pixels, 0.3 * p / brain_pixels)
    middle = rng.uniform(-1, 1, 3) * room * beyond
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"))
    for axis in range(3):
        cube[axis] += smooth(rng, (p, p, p), 4) * (settings.elastic * p / brain_pixels)
    return np.einsum("ij,i...->j...", frame, cube) + middle[:, None, None, None].astype(np.float32)


def _direction_of(rng):
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def smooth(rng, shape, knots):
    """Return a smooth random field in [-1, 1], of so many knots along each edge."""
    return resize(rng.uniform(-1, 1, (knots,) * len(shape)).astype(np.float32), shape)


def _bent(rng, one, points):
    """Bend a head into another's: what lies around the brain gets thicker or thinner.

    Outside the brain, distances from its surface are multiplied by a factor that changes with the
    direction. People's heads become animals': thicker, most of all in the direction of the snout.
    """
    far = np.maximum(np.linalg.norm(points, axis=0), 1e-6)
    surface = one.reach[_direction(points, far)]
    towards = points / far
    thick = rng.normal(0.35 if one.made_up else 0.0, 0.45 if one.made_up else 0.25) + np.einsum(
        "i,i...->...", rng.normal(0, 0.25, 3), towards
    )
    snout = np.array([rng.normal(0, 0.2), 1, rng.uniform(-1, 0.2)])
    along = np.maximum(np.einsum("i,i...->...", snout / np.linalg.norm(snout), towards), 0)
    longest = 2.5 if one.made_up else 0.5
    thick = np.exp(np.clip(thick, -0.5, 1.3)) * (1 + rng.uniform(0, longest) * along**3)
    ratio = far / surface
    return np.where(ratio > 1, towards * surface * (1 + (ratio - 1) / thick), points)


def _look_up(one, points, brain_pixels, part, how):
    """Look points up in the level that is just finer than the pixels."""
    pixel_mm = one.size_mm / brain_pixels
    fitting = [level for level in one.levels if np.median(level[2]) <= pixel_mm]
    level = fitting[-1] if fitting else one.levels[0]
    scale, shift = one.size_mm / np.array(level[2]), one.centre_mm / np.array(level[2]) - 0.5
    at = points * scale[:, None, None, None] + shift[:, None, None, None]
    return ndimage.map_coordinates(level[part], at, **how)


def _made_up(rng, kinds, settings):
    """Make an image up from classes: image (p, p, p) float32 and labels (p, p, p) uint8."""
    shape, table = kinds.shape, rng.uniform(0, 1, 256).astype(np.float32)
    means = brightness(rng, settings) * rng.uniform(0.5, 1.0)
    table[[CSF, GM, WM]] = means
    table[DEEP] = means[1] + rng.uniform(-0.2, 1) * (means[2] - means[1])
    if rng.random() < settings.smooth:  # furrows that nobody sees
        table[CSF] = means[1] + rng.uniform(-0.1, 0.1)
    if rng.random() < settings.plain:  # bone is dark, fat bright
        table[SKULL], table[SKIN] = rng.uniform(0, 0.2), rng.uniform(0.4, 1.2)
        table[SOFT] = rng.uniform(0.1, 0.8)
    table[AIR] = 0
    image = table[kinds]
    bone, soft, skin = kinds == SKULL, kinds == SOFT, kinds == SKIN
    image[bone & _part(rng, shape, 12)] = rng.uniform(0, 1.0)  # marrow
    for knots in (5, 10):  # muscles, fat and glands
        image[soft & _part(rng, shape, knots)] = rng.uniform(0.05, 1.1)
    inside = (kinds > 0) & (kinds < SKULL)
    uneven = np.where(inside, rng.uniform(0, 0.12), (soft | skin) * rng.uniform(0, 0.3))
    image += smooth(rng, shape, 8) * uneven
    image += (kinds > 0) * rng.normal(0, rng.uniform(0.01, 0.06), shape)
    # a voxel holds a mixture
    image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.7), truncate=2.5)
    truth = np.where(inside, BRAIN, np.where(kinds > 0, OTHER, AIR)).astype(np.uint8)
    return np.clip(image, 0, None).astype(np.float32), truth


def _part(rng, shape, knots):
    return smooth(rng, shape, knots) > rng.uniform(-0.2, 0.6)


def _recoloured(rng, image, settings):
    """Bend the histogram of a real image; at times turn it round."""
    top = 1.5
    if rng.random() < settings.curves:
        knots = np.cumsum(rng.uniform(0.2, 1.0, 6))
        knots = np.concatenate([[0], knots / knots[-1]]) * top
        image = np.interp(image, np.linspace(0, top, 7), knots)
    if rng.random() < settings.inverted:
        image = np.clip(image / 0.1, 0, 1) * (1.1 - np.clip(image, 0, 1.05))
    return np.asarray(image, np.float32)


def _seen(rng, image, truth, settings):
    """Do what scanners and tools do: extract the brain, bias, thick slices, noise, a cut view."""
    if rng.random() < settings.extracted:
        inside = truth == BRAIN
        kept = ndimage.binary_dilation(inside) if rng.random() < 0.3 else inside
        image = np.where(kept, np.maximum(image, 0.01), 0)
        truth = np.where(inside, BRAIN, np.where(kept, UNSURE, AIR)).astype(np.uint8)
    image = image * np.exp(smooth(rng, image.shape, 3) * rng.uniform(0, settings.bias))
    if rng.random() < settings.blurred:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.0), truncate=2.5)
    if rng.random() < settings.coarse:  # thick slices
        axis, shape = rng.integers(3), list(image.shape)
        shape[axis] = int(shape[axis] / rng.uniform(1.5, 6))
        image = resize(resize(image.astype(np.float32), shape), truth.shape)
    image = image * np.float32(np.exp(rng.normal(0, settings.gain)))
    noise = rng.normal(0, rng.uniform(0, settings.noise), image.shape)
    image = np.abs(image + noise) if rng.random() < 0.5 else image + noise * (image > 0)
    if rng.random() < settings.cut:
        for _ in range(rng.integers(1, 4)):
            axis, at = rng.integers(3), int(rng.uniform(0.05, 0.35) * len(image))
            gone = [slice(None)] * 3
            gone[axis] = slice(0, at) if rng.random() < 0.5 else slice(-at, None)
            image[tuple(gone)], truth[tuple(gone)] = 0, AIR
    return np.clip(image, 0, 1).astype(np.float32), truth
