"""Cubes of whole heads drawn at random, of people and of animals, to learn where the brain is.

One draw: an orientation, a place, a magnification; then either what the scanner saw there, or an
image made up from the labels of a person's whole head that is bent into an animal's: a brain that
is small in its head, thick muscle, a snout. Then what scanners do, and a field of view that is cut
anywhere. Drawn at 0.02 s each, so that a network sees each of them once or twice.
"""

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from patchseg.images.grid import resize
from patchseg.training.appearance import brightness
from patchseg.training.head_sources import (
    AIR,
    BRAIN,
    CSF,
    DEEP,
    GM,
    NEAREST,
    OTHER,
    SKIN,
    SKULL,
    SOFT,
    UNSURE,
    WM,
    cell,
)

LINEAR = {"order": 1, "mode": "constant", "prefilter": False}


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
    one : patchseg.training.head_sources.Head
    settings : patchseg.params.HeadDraw

    Returns
    -------
    image : (p, p, p) ndarray of float32 in [0, 1]
    labels : (p, p, p) ndarray of uint8
        `AIR`, `OTHER`, `BRAIN` or `UNSURE` (see `head_sources`).
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
    surface = one.reach[cell(points, far)]
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
