"""Patches drawn at random from whole brains, at any size and contrast, so that a network learns
tissue and not one species or scanner.

One draw: a place, a view, a magnification, a turn and a bend; then either what the scanner saw
there, or an image made up from the labels (Billot 2023); then what scanners do to images.
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
from patchseg.core.tissues import UNLABELLED
from patchseg.images import brain
from patchseg.images.grid import resize

CHUNK = 256  # patches that one process draws at a time, from a generator of their own
COARSER = (
    1.0,
    1.5,
    2.25,
)  # each brain is kept at these multiples of its voxel size, so that shrinking never skips voxels
PLACES = 20000  # voxels of each tissue that may become the centre of a patch


@dataclass(frozen=True)
class Brain:
    """A brain to draw from.

    Attributes
    ----------
    name, species : str
    levels : list of (image, labels, voxel_mm)
        The brain on its own grid and on coarser ones. `image` is (x, y, z) uint8, 255 the 99th
        percentile of the brain, or None; `labels` is (x, y, z) uint8: 0 outside the brain, 1 CSF, 2
        GM, 3 WM, 255 not labelled.
    places : list of (n, 3) ndarray of float
        For each tissue, voxels (mm from the corner) that hold it.
    size_mm : float
        Cube root of the brain's volume.
    planes : tuple of three float
        Share of the patches across each axis.
    """

    name: str
    species: str
    levels: list
    places: list
    size_mm: float
    planes: tuple = (1 / 3, 1 / 3, 1 / 3)


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
    levels = []
    for factor in COARSER:
        shape = tuple(max(1, round(n / factor)) for n in truth.shape)
        steps = [
            np.minimum(((np.arange(m) + 0.5) * n / m).astype(int), n - 1)
            for m, n in zip(shape, truth.shape, strict=True)
        ]
        small = None if seen is None else np.rint(resize(seen, shape) * 255).astype(np.uint8)
        levels.append(
            (
                small,
                _coarser(truth, steps),
                tuple(
                    n * size / m for n, m, size in zip(truth.shape, shape, voxel_mm, strict=True)
                ),
            )
        )
    rng = np.random.default_rng(0)
    places = []
    for tissue in (1, 2, 3):
        found = np.flatnonzero(truth == tissue)
        if len(found):
            chosen = np.unravel_index(
                rng.choice(found, min(PLACES, len(found)), replace=False), truth.shape
            )
            places.append((np.stack(chosen, axis=1) + 0.5) * voxel_mm)
    return Brain(one.name, one.species, levels, places, one.size_mm, planes)


def _coarser(truth, steps):
    """Pick the voxels of a coarser grid; where one is not labelled but a neighbour is, take that.

    A labelled slice is not to be lost.
    """
    coarse = truth[np.ix_(*steps)]
    if len(steps[0]) == len(truth) or not (coarse == UNLABELLED).any():
        return coarse
    for shift in product((0, 1, -1), repeat=3):
        near = truth[
            np.ix_(
                *[
                    np.clip(at + by, 0, n - 1)
                    for at, by, n in zip(steps, shift, truth.shape, strict=True)
                ]
            )
        ]
        coarse = np.where((coarse == UNLABELLED) & (near > 0) & (near != UNLABELLED), near, coarse)
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
    axis = rng.choice(3, p=one.planes)
    plane = [other for other in range(3) if other != axis]
    centre = one.places[rng.integers(len(one.places))]
    centre = centre[rng.integers(len(centre))].copy()
    if rng.random() < settings.anywhere:  # also places where nothing is, or little
        centre[plane] = rng.uniform(-0.1, 1.1, 2) * [
            labels.shape[other] * voxel_mm[other] for other in plane
        ]
    at = int(np.clip(centre[axis] / voxel_mm[axis], 0, labels.shape[axis] - 1))
    step_mm = _steps(rng, settings) * pixel_mm  # (2, p, p)
    corner = [
        ((centre[other] + step) / voxel_mm[other] - 0.5).astype(np.float32)
        for other, step in zip(plane, step_mm, strict=True)
    ]
    truth = _sample(np.take(labels, at, axis), corner, cv2.INTER_NEAREST)
    if made_up:
        fine = [
            cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) for part in corner
        ]
        seen = cv2.resize(
            _make_up(rng, _sample(np.take(labels, at, axis), fine, cv2.INTER_NEAREST), settings),
            truth.shape[::-1],
            interpolation=cv2.INTER_AREA,
        )
    else:
        thick = rng.integers(1, 4) if rng.random() < settings.thick else 0
        near = [
            np.take(image, other, axis)
            for other in range(max(0, at - thick), min(labels.shape[axis], at + thick + 1))
        ]
        seen = (
            _sample(
                near[0] if len(near) == 1 else np.mean(near, axis=0, dtype=np.float32),
                corner,
                cv2.INTER_LINEAR,
            ).astype(np.float32)
            / 255
        )
        seen = _recolour(rng, seen, truth > 0, settings)
    return _degrade(rng, seen, truth > 0, settings), truth


def _steps(rng, settings):
    """Where the pixels of a patch lie around its centre, in pixels.

    Turned, mirrored, stretched a little and bent.
    """
    p = settings.patch_size
    turn, stretch = (
        np.deg2rad(rng.uniform(-1, 1) * settings.rotation_deg),
        np.exp(rng.uniform(-1, 1) * settings.anisotropy),
    )
    rows, columns = np.meshgrid(*[np.arange(p) - (p - 1) / 2] * 2, indexing="ij")
    rows, columns = rows * stretch, columns / stretch
    turned = np.stack(
        [np.cos(turn) * rows - np.sin(turn) * columns, np.sin(turn) * rows + np.cos(turn) * columns]
    )
    turned *= rng.choice([-1, 1], 2)[:, None, None]
    knots = rng.normal(0, settings.elastic, (2, 5, 5)).astype(np.float32)
    bend = np.stack([cv2.resize(one, (p, p), interpolation=cv2.INTER_CUBIC) for one in knots])
    return turned[:: rng.choice([-1, 1])] + bend


def _sample(plane, corner, interpolation):
    """Look a (h, w) slice up at fractional (rows, columns); 0 outside."""
    return cv2.remap(
        np.ascontiguousarray(plane),
        corner[1],
        corner[0],
        interpolation,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )


def _smooth(rng, shape, knots):
    """A smooth random field with values around [-1, 1]."""
    field = cv2.resize(
        rng.uniform(-1, 1, (knots, knots)).astype(np.float32),
        shape[::-1],
        interpolation=cv2.INTER_CUBIC,
    )
    return np.clip(field, -1, 1)


def _make_up(rng, truth, settings):
    """Give each tissue a brightness: in the order of T1w, of T2w, or in any order."""
    kind = rng.choice(3, p=np.array(settings.orders) / np.sum(settings.orders))
    if kind < 2:
        dark, middle, bright = (
            rng.uniform(0.02, 0.4),
            rng.uniform(0.35, 0.75),
            rng.uniform(0.7, 1.0),
        )
        middle = np.clip(middle, dark + 0.1, bright - 0.1)
        means = [dark, middle, bright] if kind == 0 else [bright, middle, dark]
    else:
        means = rng.permutation(
            np.linspace(rng.uniform(0.05, 0.3), rng.uniform(0.7, 1.0), 3)
            + rng.uniform(-0.1, 0.1, 3)
        )
    table = np.zeros(256, np.float32)
    table[1:4], table[UNLABELLED] = means, rng.choice([means[0], rng.uniform(0, 1)])
    image = table[truth]
    for tissue in (1, 2, 3):  # tissue is not even: deep grey matter is not cortex
        image += (truth == tissue) * (
            _smooth(rng, truth.shape, 6) * rng.uniform(0, 0.1)
            + rng.normal(0, rng.uniform(0, 0.06), truth.shape)
        )
    return np.clip(image, 0.01, None).astype(np.float32) * (truth > 0)


def _recolour(rng, image, inside, settings):
    """Bend the histogram of a real image, and turn some around."""
    if rng.random() < settings.inverted:
        image = np.where(inside, np.clip(rng.uniform(0.9, 1.1) - image, 0.02, 1), image)
    if rng.random() < settings.curves:
        knots = np.cumsum(rng.uniform(0.2, 1.0, 6))
        image = np.interp(
            image, np.linspace(0, 1, 7), np.concatenate([[0], knots / knots[-1]])
        ).astype(np.float32)
    return image ** np.float32(np.exp(rng.normal(0, settings.gamma)))


def _degrade(rng, image, inside, settings):
    """Bias field, blur, low resolution, noise, brightness, and at times a background that is not
    empty."""
    image = image * np.exp(_smooth(rng, image.shape, 3) * rng.uniform(0, settings.bias))
    if rng.random() < settings.blurred:
        image = cv2.GaussianBlur(image, (0, 0), *rng.uniform(0.3, 1.2, 2))
    if rng.random() < settings.coarse:
        h, w = image.shape
        size = np.rint(
            np.array([w, h]) / np.where(rng.random(2) < 0.5, 1, rng.uniform(1, 3, 2))
        ).astype(int)
        image = cv2.resize(
            cv2.resize(image, size, interpolation=cv2.INTER_AREA),
            (w, h),
            interpolation=cv2.INTER_LINEAR,
        )
    image = image * rng.uniform(0.75, 1.25) + rng.normal(
        0, rng.uniform(0, settings.noise), image.shape
    )
    outside = 0.0
    if rng.random() < settings.background:
        outside = np.abs(rng.normal(rng.uniform(0, 0.5), rng.uniform(0, 0.2), image.shape))
    return np.clip(np.where(inside, np.clip(image, 0.004, None), outside), 0, 1).astype(np.float32)


def choose(rng, brains):
    """Choose a brain: each species as often as any other.

    In a species, images as often as maps of labels without image.
    """
    species = sorted({one.species for one in brains})
    wanted = species[rng.integers(len(species))]
    own = [one for one in brains if one.species == wanted]
    with_image = [one for one in own if one.levels[0][0] is not None]
    without = [one for one in own if one.levels[0][0] is None]
    group = with_image if with_image and (not without or rng.random() < 0.5) else without
    return group[rng.integers(len(group))]


def _chunk(brains, settings, seed, number, count):
    rng = np.random.default_rng([settings.seed, seed, number])
    drawn = [patch(rng, choose(rng, brains), settings) for _ in range(count)]
    return np.stack([image for image, _ in drawn]).astype(np.float16), np.stack(
        [labels for _, labels in drawn]
    )


def in_memory(brains, count, settings, seed=0, jobs=2):
    """Draw a small set of patches, as `write_set` does: (count, p, p) float32 and uint8 arrays."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    parts = joblib.Parallel(n_jobs=jobs, prefer="threads")(
        joblib.delayed(_chunk)(brains, settings, seed, number, size)
        for number, size in enumerate(sizes)
    )
    return np.concatenate([x for x, _ in parts]).astype(np.float32), np.concatenate(
        [y for _, y in parts]
    )


def write_set(brains, folder, count, settings, seed=0, jobs=2):
    """Draw a set of patches of a given size, the same whatever the number of processes.

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
    """
    shape = (count, settings.patch_size, settings.patch_size)
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    work = (
        joblib.delayed(_chunk)(brains, settings, seed, number, size)
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
            (
                images[number * CHUNK : number * CHUNK + len(x)],
                labels[number * CHUNK : number * CHUNK + len(y)],
            ) = (x, y)
        images.flush()
        labels.flush()
