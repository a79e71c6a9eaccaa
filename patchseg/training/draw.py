"""Patches drawn at random from whole brains, at any size and contrast.

From them a network learns tissue, and not one species or scanner. One draw: a place, a view, a
magnification, a turn and a bend; then either what the scanner saw there, or an image made up from
the labels (Billot 2023); then what scanners do to images.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import joblib
import numpy as np

from patchseg.core.errors import InputError
from patchseg.core.files import replacing
from patchseg.core.progress import progress
from patchseg.core.tissues import UNLABELLED, is_tissue
from patchseg.datasets import brains as named
from patchseg.images import brain
from patchseg.images.grid import resize
from patchseg.training import appearance

CHUNK = 256  # patches that one thread draws at a time, from a generator of their own
COARSER = (1.0, 1.5, 2.25)
"""Each brain is kept at these multiples of its voxel size: shrinking never skips voxels."""
PLACES = 20000  # voxels of each tissue that may become the centre of a patch


@dataclass(frozen=True)
class Brain:
    """A brain to draw from.

    Attributes
    ----------
    name, species : str
    levels : list of (image, labels, voxel_mm)
        The brain on its own grid and on coarser ones. `image` is (x, y, z) uint8, 255 the
        percentile `top` of the brain, or None; `labels` is (x, y, z) uint8: 0 outside the brain,
        1 CSF, 2 GM, 3 WM, 255 not labelled; for deep grey matter its structures, too (see
        `deep.for_drawing`).
    places : list of (n, 3) ndarray of float
        For each tissue, voxels (mm from the corner) that hold it.
    size_mm : float
        Cube root of the brain's volume.
    means : (3,) ndarray of float
        Median brightness in [0, 1] of CSF, GM and WM; NaN without an image or a label.
    planes : tuple of three float
        Share of the patches across each axis.
    """

    name: str
    species: str
    levels: list
    places: list
    size_mm: float
    means: np.ndarray
    planes: tuple = (1 / 3, 1 / 3, 1 / 3)


def load(name):
    """Return a brain by name (see `brains.names`), ready to draw from: a `Brain`."""
    return brain_of(named.load(name))


def brain_of(one, top=brain.TOP, planes=(1 / 3, 1 / 3, 1 / 3)):
    """Make a `Brain` ready to draw from.

    Parameters
    ----------
    one : patchseg.datasets.labelled.Labelled
    top : float
        Percentile of the brain that becomes 1 (see `brain.normalise`).
    planes : tuple of three float
        Share of the patches across each axis.

    Raises
    ------
    InputError
        If no voxel is labelled.
    """
    if not one.known.any():
        raise InputError(f"{one.name}: no voxel is labelled; use 1 CSF, 2 GM, 3 WM")
    box, voxel_mm = brain.bounding_box(one.mask), one.voxel_mm
    truth = one.labels[box]
    seen = None if one.image is None else one.normalised(top)[box]
    levels = [_level(seen, truth, voxel_mm, factor) for factor in COARSER]
    rng = np.random.default_rng(0)
    found = [np.flatnonzero(truth == tissue) for tissue in (1, 2, 3)]
    places = [places_of(rng, voxels, truth.shape, voxel_mm) for voxels in found if len(voxels)]
    means = np.array(
        [
            np.median(seen.flat[voxels]) if seen is not None and len(voxels) else np.nan
            for tissue, voxels in enumerate(found, start=1)
        ]
    )
    return Brain(one.name, one.species, levels, places, one.size_mm, means, planes)


def _level(seen, truth, voxel_mm, factor):
    """Return image, labels and voxel size on a grid that is coarser by a factor."""
    shape = tuple(max(1, round(n / factor)) for n in truth.shape)
    steps = [
        np.minimum(((np.arange(m) + 0.5) * n / m).astype(int), n - 1)
        for m, n in zip(shape, truth.shape, strict=True)
    ]
    small = None if seen is None else np.rint(resize(seen, shape) * 255).astype(np.uint8)
    edges = (n * size / m for n, m, size in zip(truth.shape, shape, voxel_mm, strict=True))
    return small, _coarser(truth, steps), tuple(edges)


def places_of(rng, voxels, shape, voxel_mm):
    """Choose voxels of a tissue, and return where they lie, in mm from the corner."""
    chosen = np.unravel_index(rng.choice(voxels, min(PLACES, len(voxels)), replace=False), shape)
    return (np.stack(chosen, axis=1) + 0.5) * voxel_mm


def _coarser(truth, steps):
    """Pick the voxels of a coarser grid; where one is not labelled but a neighbour is, take that.

    So a labelled slice is not lost.
    """
    coarse = truth[np.ix_(*steps)]
    if len(steps[0]) == len(truth) or not (coarse == UNLABELLED).any():
        return coarse
    for shift in product((0, 1, -1), repeat=3):
        moved = zip(steps, shift, truth.shape, strict=True)
        near = truth[np.ix_(*[np.clip(at + by, 0, n - 1) for at, by, n in moved])]
        coarse = np.where((coarse == UNLABELLED) & is_tissue(near), near, coarse)
    return coarse


def patch(rng, one, settings):
    """Draw one patch.

    Parameters
    ----------
    rng : numpy.random.Generator
    one : Brain
    settings : patchseg.params.Draw

    Returns
    -------
    image : (p, p) ndarray of float32 in [0, 1]
    labels : (p, p) ndarray of uint8
        0 background, 1 CSF, 2 GM, 3 WM, 255 not labelled.
    """
    scale = np.exp(rng.uniform(*np.log(settings.scales)))
    pixel_mm = one.size_mm / settings.brain_pixels / scale
    fitting = [level for level in one.levels if max(level[2]) <= pixel_mm]
    image, labels, voxel_mm = fitting[-1] if fitting else one.levels[0]
    made_up = image is None or rng.random() < settings.drawn
    axis, at, pixels = _place(rng, one, labels.shape, voxel_mm, pixel_mm, settings)
    plane = np.take(labels, at, axis)
    if made_up:
        seen, truth, inside = _made_up(rng, plane, pixels, settings)
    else:
        truth = _sample(plane, pixels, cv2.INTER_NEAREST)
        seen = _scanned(rng, image, axis, at, pixels, settings)
        seen = appearance.recolour(rng, seen, truth > 0, one.means, settings)
        truth, inside = appearance.cut(rng, truth, 1, settings)
        seen = np.where(inside & (truth == 0), rng.uniform(0, 1), seen)
    return appearance.degrade(rng, seen, inside, settings), truth


def _place(rng, one, shape, voxel_mm, pixel_mm, settings):
    """Choose a view, a slice, and where in it the pixels of the patch lie, in voxels: (2, p, p)."""
    axis = rng.choice(3, p=one.planes)
    plane = [other for other in range(3) if other != axis]
    centre = one.places[rng.integers(len(one.places))]
    centre = centre[rng.integers(len(centre))].copy()
    if rng.random() < settings.anywhere:  # also places where nothing is, or little
        edges = [shape[other] * voxel_mm[other] for other in plane]
        centre[plane] = rng.uniform(-0.1, 1.1, 2) * edges
    at = int(np.clip(centre[axis] / voxel_mm[axis], 0, shape[axis] - 1))
    step_mm = _steps(rng, settings) * pixel_mm
    pixels = [
        ((centre[other] + step) / voxel_mm[other] - 0.5).astype(np.float32)
        for other, step in zip(plane, step_mm, strict=True)
    ]
    return axis, at, pixels


def _made_up(rng, plane, pixels, settings):
    """Make an image up from labels, at twice the resolution, so that borders are mixed.

    Returns
    -------
    image : (p, p) ndarray of float32
    labels : (p, p) ndarray of uint8
    inside : (p, p) ndarray of bool
        What the mask holds.
    """
    fine = [cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) for part in pixels]
    truth = appearance.reshape(rng, _sample(plane, fine, cv2.INTER_NEAREST), 2, settings)
    truth, inside = appearance.cut(rng, truth, 2, settings)
    large = appearance.make_up(rng, truth, inside, settings)
    shape = pixels[0].shape
    image = cv2.resize(large, shape[::-1], interpolation=cv2.INTER_AREA)
    # one of each four pixels, so that labels are moved nowhere
    at = tuple(2 * np.indices(shape) + rng.integers(2, size=(2, *shape)))
    return image, truth[at], inside[at]


def _scanned(rng, image, axis, at, pixels, settings):
    """Look the patch up in the image; at times several slices averaged, as in thick ones."""
    thick = rng.integers(1, 4) if rng.random() < settings.thick else 0
    near = range(max(0, at - thick), min(image.shape[axis], at + thick + 1))
    planes = [np.take(image, other, axis) for other in near]
    plane = planes[0] if len(planes) == 1 else np.mean(planes, axis=0, dtype=np.float32)
    return _sample(plane, pixels, cv2.INTER_LINEAR).astype(np.float32) / 255


def _steps(rng, settings):
    """Return where the pixels of a patch lie around its centre (2, p, p), in pixels.

    Turned, mirrored, stretched and bent.
    """
    p = settings.patch_size
    turn = np.deg2rad(rng.uniform(-1, 1) * settings.rotation_deg)
    stretch = np.exp(rng.uniform(-1, 1) * settings.anisotropy)
    rows, columns = np.meshgrid(*[np.arange(p) - (p - 1) / 2] * 2, indexing="ij")
    rows, columns = rows * stretch, columns / stretch
    turned = np.stack(
        [np.cos(turn) * rows - np.sin(turn) * columns, np.sin(turn) * rows + np.cos(turn) * columns]
    )
    turned *= rng.choice([-1, 1], 2)[:, None, None]
    knots = rng.normal(0, settings.elastic, (2, 5, 5)).astype(np.float32)
    bend = np.stack([cv2.resize(one, (p, p), interpolation=cv2.INTER_CUBIC) for one in knots])
    return turned[:: rng.choice([-1, 1])] + bend


def _sample(plane, pixels, interpolation):
    """Look a (h, w) slice up at fractional (rows, columns); 0 outside."""
    rows, columns = pixels
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": 0}
    return cv2.remap(np.ascontiguousarray(plane), columns, rows, interpolation, **border)


def choose(rng, brains, settings=None):
    """Choose a brain: each species as often, and in it those with an image as often as without."""
    species = sorted({one.species for one in brains})
    wanted = species[rng.integers(len(species))]
    own = [one for one in brains if one.species == wanted]
    with_image = [one for one in own if one.levels[0][0] is not None]
    without = [one for one in own if one.levels[0][0] is None]
    group = with_image if with_image and (not without or rng.random() < 0.5) else without
    return group[rng.integers(len(group))]


def _chunk(brains, settings, seed, number, count, choose=choose, patch=patch):
    rng = np.random.default_rng([settings.seed, seed, number])
    drawn = [patch(rng, choose(rng, brains, settings), settings) for _ in range(count)]
    return (
        np.stack([image for image, _ in drawn]).astype(np.float16),
        np.stack([labels for _, labels in drawn]),
    )


def in_memory(brains, count, settings, seed=0, jobs=2):
    """Draw a small set of patches, as `write_set` does: (count, p, p) float32 and uint8 arrays."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    parts = joblib.Parallel(n_jobs=jobs, prefer="threads")(
        joblib.delayed(_chunk)(brains, settings, seed, number, size)
        for number, size in enumerate(sizes)
    )
    return (
        np.concatenate([x for x, _ in parts]).astype(np.float32),
        np.concatenate([y for _, y in parts]),
    )


def write_set(brains, folder, count, settings, seed=0, jobs=2, of=None):
    """Draw a set of patches of a given size, the same whatever the number of threads.

    Parameters
    ----------
    brains : list of Brain
    folder : str or Path
        Gets `images.npy` (count, p, p) float16 and `labels.npy` (count, p, p) uint8, as
        `batches.open_training_set` reads them.
    count : int
    settings : patchseg.params.Draw
    seed : int
        Sets with other seeds share no draw.
    jobs : int
        Threads.
    of : module, optional
        With functions `choose` and `patch`; this one unless given.
    """
    how = (of.choose, of.patch) if of else (choose, patch)
    one = how[1](np.random.default_rng(0), brains[0], settings)[0]
    shape = (count, *one.shape)
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    work = (
        joblib.delayed(_chunk)(brains, settings, seed, number, size, *how)
        for number, size in enumerate(sizes)
    )
    done = joblib.Parallel(n_jobs=jobs, return_as="generator", prefer="threads")(work)
    with (
        replacing(Path(folder) / "images.npy") as image_file,
        replacing(Path(folder) / "labels.npy") as label_file,
    ):
        images = np.lib.format.open_memmap(image_file, "w+", np.float16, shape)
        labels = np.lib.format.open_memmap(label_file, "w+", np.uint8, shape)
        for number, (x, y) in enumerate(progress(done, "chunks", len(sizes))):
            at = slice(number * CHUNK, number * CHUNK + len(x))
            images[at], labels[at] = x, y
        images.flush()
        labels.flush()
