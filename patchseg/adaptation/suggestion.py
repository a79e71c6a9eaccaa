"""Which slices of a new animal are worth labelling."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from patchseg import patching
from patchseg.adaptation import brain_labels
from patchseg.adaptation.brain_labels import BRAIN, OTHER
from patchseg.core.errors import InputError
from patchseg.core.tissues import UNLABELLED, is_tissue
from patchseg.datasets.labelled import painted
from patchseg.datasets.labels import PLAIN, coding, from_codes
from patchseg.images.grid import AXES, check_same_grid, like, ras, voxel_size_mm
from patchseg.images.volume import name_of, read_labels
from patchseg.inference import mask as masks
from patchseg.inference import segmentation

REACH = 0.12
"""A labelled slice teaches another by exp(-d² / 2 REACH²); d is a share of the brain's length."""
LEAST_BRAIN = 0.3
"""A slice with less brain than this share of the largest one is not suggested: little to learn."""
TAKEN = 0.1
"""Labels that fill this share of a slice across the painted plane count as labelling it."""


@dataclass(frozen=True)
class Suggestion:
    """What to label.

    Attributes
    ----------
    plane : {'sagittal', 'coronal', 'axial'}
    slices : list of int
        Numbers along the RAS+ axis of the plane, best first.
    voxels : list of (axis, index)
        The same as an editor shows them: 'i', 'j' or 'k' of the file, and the voxel from 0.
    uncertainty : list of float
        Mean entropy of each slice, 0 certain, 1 no idea.
    result : patchseg.inference.result.Result or patchseg.inference.mask.Mask
        Of the network as it is.
    guess : nibabel image, uint8
        The same as somebody would label it, on the grid of the input.
    so_far : (x, y, z) ndarray of uint8, or None
        What is labelled already, in RAS+ order.
    """

    plane: str
    slices: list
    voxels: list
    uncertainty: list
    result: segmentation.Result | masks.Mask
    guess: nib.spatialimages.SpatialImage
    so_far: np.ndarray | None = None

    @property
    def whole_head(self):
        """Whether it is the mask of a brain in a head that is to be labelled."""
        return isinstance(self.result, masks.Mask)

    def names(self):
        """Return the slices as an editor shows them, best first: for example 'j = 57'."""
        return [f"{axis} = {number}" for axis, number in self.voxels]

    def labelled(self):
        """Return what is labelled already, a nibabel image on the grid of the input."""
        return like(self._so_far(), self.guess)

    def proposal(self):
        """Return what is labelled already and the network's guess on the suggested slices.

        A nibabel image on the grid of the input, to correct by hand.
        """
        labels, kept = ras(self.guess, None)[0], self._so_far()
        own = patching.slices(labels, self.plane)[self.slices]
        patching.slices(kept, self.plane)[self.slices] = own
        return like(kept, self.guess)

    def _so_far(self):
        shape = ras(self.guess, None)[0].shape
        return np.zeros(shape, np.uint8) if self.so_far is None else self.so_far.copy()


def suggest(
    image,
    slices=1,
    weights=None,
    *,
    mask=None,
    labelled=None,
    labels=PLAIN,
    volume=None,
    nan_as_background=False,
    extract="auto",
    brain_weights=None,
    plane=None,
    threads=None,
    precision="auto",
):
    """Suggest slices to label: where the network is unsure, and not beside one another.

    Parameters
    ----------
    image : nibabel image, str or Path
    slices : int
        How many.
    weights : str or Path, optional
        Those of the package unless given.
    mask : nibabel image, str or Path, optional
        Of the brain.
    labelled : nibabel image, str or Path, optional
        What is labelled already; other slices are suggested.
    labels : str
        What its values mean (see `patchseg.adapt`).
    volume : int, optional
        Which volume of a 4D image, from 0.
    nan_as_background, extract, brain_weights
        See `patchseg.segment`.
    plane : {'sagittal', 'coronal', 'axial'}, optional
        The one with the finest pixels unless given; coronal if they are all alike.
    threads, precision
        See `patchseg.segment`.

    Returns
    -------
    suggestion : Suggestion

    Raises
    ------
    InputError
        See `patchseg.segment`; or if the brain has fewer slices than are wanted.

    Notes
    -----
    Slices are chosen one after the other so that the sum over all slices of uncertainty times the
    nearness of the nearest labelled slice grows most (facility location; greedy is within 1 - 1/e
    of the best choice, Nemhauser 1978).
    """
    _check_plane(plane)
    result = segmentation.segment(
        image,
        mask,
        weights,
        volume=volume,
        nan_as_background=nan_as_background,
        extract=extract,
        brain_weights=brain_weights,
        threads=threads,
        precision=precision,
    )
    so_far = None
    if labelled is not None:
        values = _on_grid_of(result.dseg, labelled, name_of(image))
        known = from_codes(values, np.ones(values.shape, bool), coding(labels), name_of(labelled))
        so_far = np.where(is_tissue(known), known, 0).astype(np.uint8)
    inside = ras(result.dseg)[0] > 0
    return _suggestion(result, result.dseg, inside, slices, plane, so_far)


def suggest_brain(
    image,
    slices=1,
    weights=None,
    *,
    labelled=None,
    volume=None,
    nan_as_background=False,
    plane=None,
    threads=None,
    precision="auto",
):
    """Suggest slices of a head on which to correct the mask of the brain (see `suggest`).

    Parameters
    ----------
    image : nibabel image, str or Path
        Of a whole head.
    weights : str or Path, optional
        Of a network that finds the brain; those of the package unless given.
    labelled : nibabel image, str or Path, optional
        What is corrected already (see `brain_labels.read`).
    slices, volume, nan_as_background, plane, threads, precision
        See `suggest`.

    Returns
    -------
    suggestion : Suggestion
        Its `guess` is 1 in the brain and 2 in all else.

    Raises
    ------
    InputError
        See `patchseg.extract`; or if the brain has fewer slices than are wanted.
    """
    _check_plane(plane)
    result = masks.extract(
        image,
        weights,
        always=True,
        volume=volume,
        nan_as_background=nan_as_background,
        threads=threads,
        precision=precision,
    )
    so_far, inside = None, ras(result.mask, None)[0] > 0
    if labelled is not None:
        values = _on_grid_of(result.mask, labelled, name_of(image))
        so_far, _ = brain_labels.meaning(values, name_of(labelled))
    guess = like(np.where(inside, BRAIN, OTHER).astype(np.uint8), result.mask)
    return _suggestion(result, guess, inside, slices, plane, so_far)


def _check_plane(plane):
    if plane not in (None, *AXES):
        raise InputError(f"plane '{plane}' is unknown; use {', '.join(AXES)}")


def _on_grid_of(own, labelled, name):
    """Return the values of a label image that lies on the grid of a result: (x, y, z), RAS+."""
    data, affine = ras(own)
    values, other = ras(read_labels(labelled), None)
    check_same_grid(name, data, affine, name_of(labelled), values, other)
    return values


def _suggestion(result, guess, inside, slices, plane, so_far):
    """Choose slices of what was found: `inside` is the brain (x, y, z), the others as there."""
    uncertainty, affine = ras(result.uncertainty)
    plane = plane or _finest(inside.shape, voxel_size_mm(affine))
    unsure = patching.slices(uncertainty, plane).sum(axis=(1, 2), dtype=float)
    area = patching.slices(inside, plane).sum(axis=(1, 2))
    taken = [] if so_far is None else _taken(so_far > 0, plane, area)
    chosen = choose(unsure, area, slices, taken)
    voxels = _voxels(guess.affine, plane, chosen, len(area))
    unsure_each = [float(unsure[n] / area[n]) for n in chosen]
    return Suggestion(plane, chosen, voxels, unsure_each, result, guess, so_far)


def _taken(where, plane, area):
    """Return the slices of a plane that hold labels."""
    own, numbers = painted(where)
    if own == plane:
        return numbers
    return np.flatnonzero(patching.slices(where, plane).sum(axis=(1, 2)) > TAKEN * area).tolist()


def _voxels(affine, plane, chosen, length):
    """Return slices as an editor shows them: axis of the file, and voxel from 0."""
    own, direction = _own_axis(affine, AXES.index(plane))
    return [("ijk"[own], n if direction > 0 else length - 1 - n) for n in chosen]


def choose(unsure, area, n, taken=()):
    """Choose slices.

    Parameters
    ----------
    unsure : (slices,) ndarray of float
        Uncertainty, summed over each slice.
    area : (slices,) ndarray of int
        Voxels of brain.
    n : int
    taken : sequence of int
        Slices that are labelled already.

    Returns
    -------
    slices : list of int
        Best first.

    Examples
    --------
    >>> choose(np.ones(101), np.ones(101), 1)
    [50]
    >>> choose(np.ones(101), np.ones(101), 2, taken=[50])
    [16, 83]
    """
    open_ = [
        number
        for number in np.flatnonzero(area >= LEAST_BRAIN * area.max()).tolist()
        if number not in set(taken)
    ]
    if not 1 <= n <= len(open_):
        raise InputError(f"{n} slices: between 1 and {len(open_)} of this brain can be suggested")
    brainy = np.flatnonzero(area)
    places = np.arange(len(area)) / (brainy[-1] - brainy[0] + 1)
    near = np.exp(-0.5 * ((places[:, None] - places) / REACH) ** 2)
    covered = near[list(taken)].max(axis=0) if len(taken) else np.zeros(len(area))
    chosen = []
    for _ in range(n):
        gains = [
            (np.maximum(near[number], covered) - covered) @ unsure if number not in chosen else -1.0
            for number in open_
        ]
        chosen.append(open_[int(np.argmax(np.round(gains, 9)))])
        covered = np.maximum(near[chosen[-1]], covered)
    return chosen


def _finest(shape, voxel_mm):
    """Return the plane with the smallest pixels; among equals the coronal one, as in atlases."""
    pixels = {
        plane: max(voxel_mm[side] for side in range(3) if side != axis)
        for axis, plane in enumerate(AXES)
        if shape[axis] > 1
    }
    smallest = min(pixels.values())
    fine = [plane for plane, edge in pixels.items() if edge <= 1.01 * smallest]
    return "coronal" if "coronal" in fine else fine[0]


def _own_axis(affine, ras_axis):
    """Return the axis of the file that runs along one of RAS+, and its direction (1 or -1)."""
    orientation = nib.io_orientation(affine)
    own = int(np.flatnonzero(orientation[:, 0] == ras_axis)[0])
    return own, int(orientation[own, 1])


def fill_in(suggestion, finished, so_far=None):
    """Take the suggested slices out of finished labels, in the place of a hand that paints.

    Parameters
    ----------
    suggestion : Suggestion
    finished : nibabel image, str or Path
        Labels on the grid of the image.
    so_far : nibabel image, str or Path, optional
        Slices that are labelled already.

    Returns
    -------
    labels : nibabel image, uint8
        0 in all other slices.
    """
    grid = suggestion.guess
    values = _on_grid_of(grid, finished, "the image")
    kept = np.zeros(values.shape) if so_far is None else ras(read_labels(so_far), None)[0]
    own = patching.slices(np.where(values == UNLABELLED, 0, values), suggestion.plane)
    patching.slices(kept, suggestion.plane)[suggestion.slices] = own[suggestion.slices]
    return like(kept.astype(np.uint8), grid)
