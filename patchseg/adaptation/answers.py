"""What a network finds in a brain that is labelled in part, and what its labels say of that."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from patchseg.adaptation import learning
from patchseg.core.tissues import most_probable
from patchseg.images import brain
from patchseg.inference import calibration, features, sharpening

AROUND = 20_000
"""Voxels of a brain, about, that tell whether it is like what is labelled."""
FEW, UNLIKE, HALVES = "few", "unlike", "halves"
"""Why the borders are left out: too little is labelled, or one of `CHECKS`."""
CHECKS = (UNLIKE, HALVES)
"""Much of the brains is unlike all that is labelled (see `calibration.UNLIKE`); one half of the
labels does not help the other (see `calibration.helps`)."""


def calibrated(model, parent, given, recipe, seed=0, checks=CHECKS):
    """Return a network with what the labelled voxels say of its answers (see `calibration`).

    Parameters
    ----------
    model : keras.Model
    parent : patchseg.inference.networks.Network
    given : sequence of patchseg.datasets.labelled.Labelled
    recipe : patchseg.params.Adapt
    seed : int
    checks : sequence of str
        Some of `CHECKS`: leave it out where they say so.

    Returns
    -------
    network : patchseg.inference.networks.Network
        With the borders of an earlier round, if they are left out.
    left_out : {'', 'few', 'unlike', 'halves'}
        Why they are.
    """
    parts = [evidence(model, parent, one) for one in given]
    learned, left_out = learned_borders(parts, given, recipe, seed, checks)
    if left_out:
        return replace(parent, model=model), left_out
    sizes = [one.size_mm for one in given]
    room = (round(min(sizes) / recipe.alike, 1), round(max(sizes) * recipe.alike, 1))
    return replace(parent, model=model, calibration=learned, calibrated_mm=room), ""


class Evidence(NamedTuple):
    """What tells of the labelled voxels of a `Labelled`, in the order of ``one.known``.

    Attributes
    ----------
    found : (n, 19) ndarray of float32
        Their `features.describe`.
    sharp : (n, 3) ndarray of float32
        Their probabilities, refined by the image's intensities.
    usual : (n, 3) ndarray of float32
        And by the calibration that the parent has, if it has one for such a brain.
    around : (m, 19) ndarray of float32
        The features of voxels of the whole brain, every so many.
    start : dict or None
        What other animals' labels say, if that holds for such a brain.
    """

    found: np.ndarray
    sharp: np.ndarray
    usual: np.ndarray
    around: np.ndarray
    start: dict | None = None

    def only(self, kept):
        """Return that of some of the voxels; `kept` is (n,) of bool."""
        return self._replace(**{name: getattr(self, name)[kept] for name in self._fields[:3]})


def evidence(model, parent, one):
    """Return the `Evidence` of a `Labelled`, as the model sees it."""
    ready, plain, mask, box = _plain(model, parent, one)
    sharp = sharpening.sharpened(parent, ready, plain, mask, one.voxel_mm)
    pixel_mm, at = one.size_mm / parent.brain_pixels, one.known[box][mask]
    found = features.describe(ready, plain, sharp, mask, one.voxel_mm, pixel_mm)
    around = found[:: max(1, len(found) // AROUND)]
    found, refined = found[at], sharp[mask][at]
    contrast = features.contrast(ready, sharp, mask)
    known, _ = parent.borders(one.size_mm, contrast)
    usual = calibration.apply(known, found, refined) if known else refined
    return Evidence(found, refined, usual, around, parent.others(one.size_mm, contrast))


def learned_borders(parts, given, recipe, seed, checks=CHECKS):
    """Learn the calibration that labelled voxels teach (see `calibrated`).

    It starts from what other animals' labels say, where that holds for all of the images.

    Parameters
    ----------
    parts : list of Evidence
        Of each of `given`.

    Returns
    -------
    learned : dict or None
    left_out : {'', 'few', 'unlike', 'halves'}
        Why there is none.
    """
    found, sharp, usual = (np.concatenate([part[n] for part in parts]) for n in range(3))
    start = parts[0].start if all(part.start for part in parts) else None
    if start:
        sharp = calibration.apply(start, found, sharp)
    labels = np.concatenate([one.labels[one.known] for one in given])
    settings, slices = recipe.calibration, learning.slices_of(given)
    learned = calibration.fit(found, sharp, labels, settings, seed, slices)
    if learned is None:
        return None, FEW
    if UNLIKE in checks:
        around = np.concatenate([part.around for part in parts])
        if calibration.unlike(learned, around) > calibration.UNLIKE:
            return None, UNLIKE
    if HALVES in checks:
        halves = np.concatenate([first_half(one.known)[one.known] for one in given])
        if not calibration.helps(found, sharp, usual, labels, halves, settings, seed, slices):
            return None, HALVES
    if start:
        learned["start"] = start
    return learned, ""


def first_half(known):
    """Return which voxels lie before the middle of the labelled ones, along their longest side."""
    places = np.nonzero(known)
    axis = int(np.argmax([np.ptp(one) if one.size else 0 for one in places]))
    middle = np.median(places[axis]) if places[axis].size else 0
    return np.broadcast_to((np.indices(known.shape, sparse=True)[axis] < middle), known.shape)


def _plain(model, parent, one):
    """Return image, probabilities of the network by itself and mask in the brain's box; the box."""
    from patchseg.inference import views

    box = brain.bounding_box(one.mask)
    ready, mask = one.normalised(parent.top)[box], one.mask[box]
    pixel_mm = one.size_mm / parent.brain_pixels
    return ready, views.fuse(model, ready, mask, one.voxel_mm, pixel_mm).probabilities, mask, box


def answer(network, one):
    """Return the labels (x, y, z) uint8 that `patchseg.segment` gives a `Labelled`."""
    ready, plain, mask, box = _plain(network.model, network, one)
    found, _ = sharpening.calibrated(network, ready, plain, mask, one.voxel_mm)
    return _labels(found, mask, box, one.mask.shape)


def look(model, parent, one):
    """Return what a network finds in a `Labelled`, by itself and with the image's intensities.

    Returns
    -------
    plain, sharpened : (x, y, z) ndarray of uint8
    """
    ready, plain, mask, box = _plain(model, parent, one)
    sharp = sharpening.sharpened(parent, ready, plain, mask, one.voxel_mm)
    return [_labels(found, mask, box, one.mask.shape) for found in (plain, sharp)]


def _labels(probabilities, mask, box, shape):
    labels = np.zeros(shape, np.uint8)
    labels[box] = most_probable(probabilities) * mask
    return labels
