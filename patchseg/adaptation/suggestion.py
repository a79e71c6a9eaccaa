"""Which slices of a new animal are worth labelling."""

from dataclasses import dataclass, field, replace

import nibabel as nib
import numpy as np

from patchseg import patching
from patchseg.adaptation import brain_labels, planes, reading
from patchseg.adaptation.brain_labels import BRAIN, OTHER
from patchseg.adaptation.choice import Profile, choose, why
from patchseg.core.errors import InputError
from patchseg.core.progress import progress
from patchseg.core.tissues import UNLABELLED, is_tissue
from patchseg.datasets.labels import PLAIN, coding, from_codes
from patchseg.images.grid import check_same_grid, like, ras, voxel_size_mm
from patchseg.images.volume import name_of, read_labels
from patchseg.inference import mask as masks
from patchseg.inference import segmentation


@dataclass(frozen=True)
class Suggestion:
    """What to label in an image.

    Attributes
    ----------
    image : str
        Its name.
    plane : {'sagittal', 'coronal', 'axial'}
    slices : list of int
        Numbers along the RAS+ axis of the plane, best first; empty if those of other images are
        worth more.
    voxels : list of (axis, index)
        The same as an editor shows them: 'i', 'j' or 'k' of the file, and the voxel from 0.
    uncertainty : list of float
        Mean entropy of each slice, 0 certain, 1 no idea; of a head that of all voxels, for each
        voxel of brain, which may be more than 1.
    reasons : list of str
        Why each slice is suggested, in words (see `choice.why`).
    gains : list of float
        Share of all uncertainty that each slice is near to and no earlier one is; the slices of
        several images are to be labelled in the order of these, largest first.
    mean_uncertainty : float
        The same of the whole image: how little the network knows it.
    labelled_slices : int
        How many slices of the plane are labelled already.
    guess : nibabel image, uint8
        What the network finds, as somebody would label it, on the grid of the input.
    unsure : (x, y, z) ndarray of float16
        Entropy of each voxel, in RAS+ order.
    whole_head : bool
        Whether it is the mask of a brain in a head that is to be labelled.
    so_far : (x, y, z) ndarray of uint8, or None
        What is labelled already, in RAS+ order.
    result : patchseg.inference.result.Result or patchseg.inference.mask.Mask, or None
        Of the network as it is; None if there are several images, of which it would fill the
        memory.
    """

    image: str
    plane: str
    slices: list
    voxels: list
    uncertainty: list
    reasons: list
    gains: list
    mean_uncertainty: float
    labelled_slices: int
    guess: nib.spatialimages.SpatialImage
    unsure: np.ndarray = field(repr=False)
    whole_head: bool = False
    so_far: np.ndarray | None = field(default=None, repr=False)
    result: segmentation.Result | masks.Mask | None = None

    @property
    def begun(self):
        """Whether something is labelled already."""
        return self.so_far is not None and bool(self.so_far.any())

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
    image : nibabel image, str or Path, or a list of them
    slices : int
        How many, of all images together.
    weights : str or Path, optional
        Those of the package unless given.
    mask : nibabel image, str or Path, optional
        Of the brain; of several images a list, None where there is none.
    labelled : nibabel image, str or Path, optional
        What is labelled already; other slices are suggested. Of several images a list, None where
        nothing is labelled.
    labels : str
        What its values mean (see `patchseg.adapt`).
    volume : int, optional
        Which volume of a 4D image, from 0.
    nan_as_background, extract, brain_weights
        See `patchseg.segment`.
    plane : {'sagittal', 'coronal', 'axial'}, optional
        The one with the finest pixels of each image unless given; coronal if they are all alike.
    threads, precision
        See `patchseg.segment`.

    Returns
    -------
    suggestion : Suggestion, or a list of them
        Of a list of images one for each, that of which the network knows least first.

    Raises
    ------
    InputError
        See `patchseg.segment`; or if the brains have fewer slices than are wanted, or lists differ
        in length.

    Notes
    -----
    Slices are chosen one after the other so that the sum over all slices of uncertainty times the
    nearness of the nearest labelled slice grows most (facility location; greedy is within 1 - 1/e
    of the best choice, Nemhauser 1978). See `choice.choose` for several images.
    """
    planes.check(plane)

    def look(one, brain, painted_so_far):
        result = segmentation.segment(
            one,
            brain,
            weights,
            volume=volume,
            nan_as_background=nan_as_background,
            extract=extract,
            brain_weights=brain_weights,
            threads=threads,
            precision=precision,
        )
        so_far = None
        if painted_so_far is not None:
            so_far = _tissues_so_far(result.dseg, one, painted_so_far, labels)
        return _seen(name_of(one), result, result.dseg, plane, so_far)

    return _over(look, slices, image, {"masks": mask, "label images": labelled})


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
    image : nibabel image, str or Path, or a list of them
        Of a whole head.
    weights : str or Path, optional
        Of a network that finds the brain; those of the package unless given.
    labelled : nibabel image, str or Path, optional
        What is corrected already (see `brain_labels.read`); of several images a list, None where
        nothing is.
    slices, volume, nan_as_background, plane, threads, precision
        See `suggest`.

    Returns
    -------
    suggestion : Suggestion, or a list of them
        Its `guess` is 1 in the brain and 2 in all else.

    Raises
    ------
    InputError
        See `patchseg.extract`; or if the brains have fewer slices than are wanted, or lists differ
        in length.
    """
    planes.check(plane)

    def look(one, painted_so_far):
        result = masks.extract(
            one,
            weights,
            always=True,
            volume=volume,
            nan_as_background=nan_as_background,
            threads=threads,
            precision=precision,
        )
        so_far, inside = None, ras(result.mask, None)[0] > 0
        if painted_so_far is not None:
            values = _on_grid_of(result.mask, painted_so_far, name_of(one))
            if values.any():  # not the empty file that `patchseg suggest` writes
                so_far, _ = brain_labels.meaning(values, name_of(painted_so_far))
        guess = like(np.where(inside, BRAIN, OTHER).astype(np.uint8), result.mask)
        return _seen(name_of(one), result, guess, plane, so_far)

    return _over(look, slices, image, {"label images": labelled})


def _tissues_so_far(dseg, image, labelled, labels):
    """Return what is labelled already of tissues: (x, y, z) uint8, 0 where nothing is."""
    values = _on_grid_of(dseg, labelled, name_of(image))
    codes, name = coding(labels), name_of(labelled)
    reading.unknown(values, codes, labels, name)
    known = from_codes(values, np.ones(values.shape, bool), codes, name)
    return np.where(is_tissue(known), known, 0).astype(np.uint8)


def _on_grid_of(own, labelled, name):
    """Return the values of a label image that lies on the grid of a result: (x, y, z), RAS+."""
    data, affine = ras(own)
    values, other = ras(read_labels(labelled), None)
    check_same_grid(name, data, affine, name_of(labelled), values, other)
    return values


@dataclass(frozen=True)
class _Seen:
    """What a network says of an image before slices are chosen: see `Suggestion`, `Profile`."""

    image: str
    guess: nib.spatialimages.SpatialImage
    unsure: np.ndarray
    so_far: np.ndarray | None
    profile: Profile
    csf: np.ndarray | None
    result: segmentation.Result | masks.Mask | None


def _seen(name, result, guess, plane, so_far):
    """Look at what a network found in an image: guess and `so_far` as in `Suggestion`."""
    uncertainty, affine = ras(result.uncertainty)
    head = isinstance(result, masks.Mask)
    inside, csf = ras(guess, None)[0] == BRAIN if head else ras(guess, None)[0] > 0, None
    plane = plane or planes.finest(inside.shape, voxel_size_mm(affine))
    if not head:
        probable, _ = ras(result.probseg)
        csf = planes.across(uncertainty * (probable[..., 0] > probable.min(axis=-1)), plane)
    area = patching.slices(inside, plane).sum(axis=(1, 2))
    taken = [] if so_far is None else planes.taken(so_far > 0, plane, area)
    profile = Profile(planes.across(uncertainty, plane), area, taken, plane)
    return _Seen(name, guess, uncertainty.astype(np.float16), so_far, profile, csf, result)


def _over(look, slices, image, given):
    """Look at one image or at several, and suggest slices of all.

    `given` are the masks and labels of the image or images, by the name of such in errors.
    """
    several = isinstance(image, list | tuple)
    rows = _rows(image, given) if several else [(image, *given.values())]
    seen = []
    for row in progress(rows, "images") if several else rows:
        one = look(*row)
        seen.append(replace(one, result=None) if several else one)
    chosen = choose([one.profile for one in seen], slices)
    begun = any(one.profile.taken for one in seen)
    found = [
        _suggestion(one, [own[1:] for own in chosen if own[0] == number], begun)
        for number, one in enumerate(seen)
    ]
    return sorted(found, key=lambda one: -one.mean_uncertainty) if several else found[0]


def _rows(images, given):
    """Return what belongs to each image: a list of tuples."""
    rows = [images]
    for name, ones in given.items():
        ones = [None] * len(images) if ones is None else ones
        if not isinstance(ones, list | tuple) or len(ones) != len(images):
            given = f"{len(ones)}" if isinstance(ones, list | tuple) else "no list of"
            raise InputError(
                f"{len(images)} images and {given} {name}: give a list with one for each image in"
                " the same order, None where there is none"
            )
        rows.append(ones)
    if not images:
        raise InputError("no image: give at least one")
    return list(zip(*rows, strict=True))


def _suggestion(one, chosen, begun):
    """Return the `Suggestion` of an image: of it were `chosen` pairs of slice and gain."""
    profile, numbers = one.profile, [number for number, _ in chosen]
    return Suggestion(
        one.image,
        profile.plane,
        numbers,
        planes.voxels(one.guess.affine, profile.plane, numbers, len(profile.area)),
        [float(profile.unsure[n] / profile.area[n]) for n in numbers],
        [why(profile, one.csf, n, begun) for n in numbers],
        [gain for _, gain in chosen],
        profile.mean,
        len(profile.taken),
        one.guess,
        one.unsure,
        one.csf is None,
        one.so_far,
        one.result,
    )


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
