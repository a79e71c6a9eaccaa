"""A volume through the network: slices along several axes, and the views fused to one answer."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from patchseg import patching
from patchseg.core.progress import progress_bar
from patchseg.core.tissues import TISSUES, most_probable, total
from patchseg.images.grid import AXES, resize

BATCH = 4  # whole slices of 256 x 256 that pass the network at once: about 200 MB
MARGIN = 8  # empty pixels around the brain, because the network has learned to see them
THIN = 16  # a view with fewer voxels than this along an edge is left out, if another one has more
LARGEST = 1024  # pixels along an edge; a larger slice passes the network in tiles of this size
EPSILON = 1e-6


def predict(network, images, batch_size):
    """Return tissue probabilities of images or patches.

    Parameters
    ----------
    network : keras.Model
        Of `patchseg.unet.build`.
    images : (n, h, w) ndarray of float in [0, 1]
        `h` and `w` are multiples of the network's step.
    batch_size : int

    Returns
    -------
    probabilities : (n, h, w, 3) ndarray of float32
        CSF, GM, WM. Exactly 0 where the image is 0: there is no tissue outside the brain.
    """
    out = np.zeros((*images.shape, len(TISSUES)), np.float32)
    filled = np.flatnonzero(images.max(axis=(1, 2)) > 0)
    for start in range(0, len(filled), batch_size):
        rows = filled[start : start + batch_size]
        batch = images[rows].astype(np.float32)[..., None]
        out[rows] = np.asarray(network.predict_on_batch(batch))[..., -len(TISSUES) :] * (batch > 0)
    return out


def volume(network, image, grid):
    """Return tissue probabilities of a volume whose slices are put on the grid of the training.

    They are averaged over the views.

    Parameters
    ----------
    network : keras.Model
    image : (x, y, z) ndarray of float32 in [0, 1], RAS+
    grid : object with `axes`, `slice_size` and `square`
        As the network was trained (params.yaml, section preprocess).

    Returns
    -------
    probabilities : (x, y, z, 3) ndarray of float32
    """
    found = np.zeros((*image.shape, len(TISSUES)), np.float32)
    for axis in grid.axes:
        stack, out = patching.slices(image, axis), patching.slices(found, axis)
        for start in range(0, len(stack), BATCH):
            part = stack[start : start + BATCH]
            large = np.stack(
                [patching.to_grid(one, grid.slice_size, grid.square, "bilinear") for one in part]
            )
            for row, large_probabilities in enumerate(predict(network, large, BATCH), start):
                out[row] += patching.from_grid(
                    large_probabilities, stack.shape[1:], grid.square, "bilinear"
                )
    return found / len(grid.axes) * (image > 0)[..., None]


@dataclass(frozen=True)
class Fused:
    """What the views say together, on the grid of the image that they saw; 0 outside the brain.

    Attributes
    ----------
    probabilities : (x, y, z, 3) ndarray of float32
        CSF, GM, WM; they sum to 1 inside the brain.
    uncertainty, disagreement : (x, y, z) ndarray of float32 in [0, 1]
        Entropy of the probabilities, and the part of it that comes from views that contradict each
        other (the generalised Jensen-Shannon divergence, Lin 1991), as shares of the greatest
        possible entropy.
    outside : float
        Mean probability, inside the brain, that it is none.
    shares : tuple of (3,) ndarray of float
        For each view, the share of the brain that each tissue takes.
    """

    probabilities: np.ndarray
    uncertainty: np.ndarray
    disagreement: np.ndarray
    outside: float
    shares: tuple

    @cached_property
    def labels(self):
        """Their most probable tissues, 0 outside the brain: (x, y, z) ndarray of uint8."""
        return most_probable(self.probabilities)


def fuse(network, image, mask, voxel_mm, pixel_mm, tile=None):
    """Predict whole slices along the three axes, at an even pixel size, and fuse them.

    The image is resampled to cubes of `pixel_mm`; each slice is padded with background and passes
    the network as a whole, so that there are no seams; what comes out is resampled to the image's
    grid. A view across thick slices sees less, so each view weighs by the ratio of `pixel_mm` to
    its largest voxel edge, at most 1.

    Parameters
    ----------
    network : keras.Model
    image : (x, y, z) ndarray of float32 in [0, 1], RAS+
    mask : (x, y, z) ndarray of bool
        The brain.
    voxel_mm : tuple of three float
    pixel_mm : float
    tile : int, optional
        Slices larger than this many pixels pass the network in overlapping tiles; `LARGEST` unless
        given.

    Returns
    -------
    fused : Fused
    """
    small, brain, inner = _at_pixels(image, mask, voxel_mm, pixel_mm)
    weights = view_weights(image.shape, voxel_mm, pixel_mm)
    found, entropies, shares = _all_views(network, small, brain, weights, tile or LARGEST)
    found, entropies = resize(found[inner], image.shape), resize(entropies[inner], image.shape)
    probabilities, uncertainty = np.zeros_like(found), np.zeros_like(entropies)
    inside = _normalised(found[mask])
    probabilities[mask], uncertainty[mask] = inside, _entropy(inside)
    return Fused(
        probabilities=probabilities,
        uncertainty=uncertainty,
        disagreement=np.clip(uncertainty - entropies, 0, 1) * mask,
        outside=float(1 - np.minimum(total(found[mask]), 1).mean()),
        shares=shares,
    )


def mean(looks):
    """Average what was fused at several scales.

    Parameters
    ----------
    looks : list of Fused

    Returns
    -------
    fused : Fused
        With the shares of all views of all scales.
    """
    if len(looks) == 1:
        return looks[0]
    names = ("probabilities", "uncertainty", "disagreement", "outside")
    return Fused(
        **{name: np.mean([getattr(look, name) for look in looks], axis=0) for name in names},
        shares=tuple(share for look in looks for share in look.shares),
    )


def _at_pixels(image, mask, voxel_mm, pixel_mm):
    """Resample image and mask to cubes of `pixel_mm` and pad them.

    Returns
    -------
    image, mask : (x, y, z) ndarray of float32, of bool
    inner : tuple of three slice
        Where they lie in the padding.
    """
    shape = tuple(
        max(1, round(n * size / pixel_mm)) for n, size in zip(image.shape, voxel_mm, strict=True)
    )
    pad = [(MARGIN, MARGIN) if n > 1 else (0, 0) for n in shape]
    inner = tuple(slice(before, before + n) for (before, _), n in zip(pad, shape, strict=True))
    brain = resize(mask.astype(np.float32), shape) > 0.5
    return np.pad(resize(image, shape), pad), np.pad(brain, pad), inner


def _all_views(network, image, brain, weights, tile):
    """Ask all views.

    Returns
    -------
    found : (x, y, z, 3) ndarray of float32
        Weighted mean of their probabilities.
    entropies : (x, y, z) ndarray of float32
        Weighted mean of their entropies.
    shares : tuple of (3,) ndarray
        See `Fused`.
    """
    found = np.zeros((*image.shape, len(TISSUES)), np.float32)
    entropies, shares = np.zeros(image.shape, np.float32), []
    bar = progress_bar("slices", sum(_filled(brain, axis).size for axis in weights))
    for axis, weight in weights.items():
        seen = _view(network, image, brain, axis, tile, bar)
        found += weight * seen
        tissues = _normalised(seen)
        entropies += weight * _entropy(tissues)
        none = np.full(len(TISSUES), np.nan)
        shares.append(tissues[brain].mean(axis=0, dtype=float) if brain.any() else none)
    bar.close()
    return found, entropies, tuple(shares)


def view_weights(shape, voxel_mm, pixel_mm):
    """Return how much each view counts: a dict from axis to weight, the weights sum to 1.

    Examples
    --------
    >>> {axis: round(w, 2) for axis, w in view_weights((200, 200, 40), (1, 1, 4), 1).items()}
    {'sagittal': 0.17, 'coronal': 0.17, 'axial': 0.67}
    >>> view_weights((200, 200, 3), (1, 1, 4), 1)
    {'axial': 1.0}
    """
    weights, edges = {}, {}
    for number, axis in enumerate(AXES):
        in_plane = [other for other in range(3) if other != number]
        edges[axis] = min(shape[other] for other in in_plane)
        weights[axis] = min(1.0, pixel_mm / max(voxel_mm[other] for other in in_plane))
    enough = min(THIN, max(edges.values()))
    kept = {axis: weight for axis, weight in weights.items() if edges[axis] >= enough}
    return {axis: weight / sum(kept.values()) for axis, weight in kept.items()}


def _filled(brain, axis):
    """Return the numbers of the slices that hold brain."""
    return np.flatnonzero(patching.slices(brain, axis).any(axis=(1, 2)))


def _view(network, image, brain, axis, tile, bar):
    """Return the probabilities (x, y, z, 3) that one view gives; slices without brain stay 0."""
    stack, out = patching.slices(image, axis), np.zeros((*image.shape, len(TISSUES)), np.float32)
    rows = _filled(brain, axis)
    h, w = stack.shape[1:]
    at_once = max(1, BATCH * 256**2 // (h * w))
    whole = max(h, w) <= tile
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        found = _whole(network, stack[part]) if whole else _tiled(network, stack[part], tile)
        patching.slices(out, axis)[part] = found
        bar.update(len(part))
    return out


def _whole(network, images):
    """Predict images (n, h, w), padded with background to edges that each level can halve."""
    n, h, w = images.shape
    # by name: keras is imported where a network is loaded, not here
    step = 2 ** sum(type(layer).__name__ == "MaxPooling2D" for layer in network.layers)
    padded = np.zeros((n, -(-h // step) * step, -(-w // step) * step, 1), np.float32)
    padded[:, :h, :w, 0] = images
    return np.asarray(network.predict_on_batch(padded))[:, :h, :w, -len(TISSUES) :]


def _tiled(network, images, tile):
    """Predict images (n, h, w) in tiles that overlap by half; their borders count little."""
    n, h, w = images.shape
    padded = np.pad(images, [(0, 0), (0, max(0, tile - h)), (0, max(0, tile - w))])
    found = np.zeros((*padded.shape, len(TISSUES)), np.float32)
    weight = np.zeros(padded.shape[1:], np.float32)
    bell = np.exp(-0.5 * ((np.arange(tile) - (tile - 1) / 2) / (tile / 8)) ** 2).astype(np.float32)
    # along each edge by itself: where only a tile's border covers, the other edge still counts
    bell = np.maximum(bell, 1e-3)
    blend = np.outer(bell, bell)
    for top in _starts(padded.shape[1], tile):
        for left in _starts(padded.shape[2], tile):
            place = (slice(top, top + tile), slice(left, left + tile))
            found[:, *place] += _whole(network, padded[:, *place]) * blend[..., None]
            weight[place] += blend
    return (found / weight[..., None])[:, :h, :w]


def _starts(length, tile):
    """Return where tiles begin that overlap by half and cover `length`.

    Examples
    --------
    >>> _starts(10, 4)
    [0, 2, 4, 6]
    """
    return [*range(0, length - tile, tile // 2), length - tile]


def _normalised(probabilities):
    """Share the probability among the tissues only: inside the brain, nothing else is there."""
    sure = probabilities + EPSILON
    return sure / total(sure)[..., None]


def _entropy(probabilities):
    """Return the entropy over the last axis, 0 for a certain answer and 1 where all are equal."""
    safe = np.maximum(probabilities, EPSILON)
    return np.maximum(-total(safe * np.log(safe)) / np.log(probabilities.shape[-1]), 0)
