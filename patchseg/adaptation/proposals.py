"""What is suggested of images: what a network says of each, and its slices that are worth most."""

from dataclasses import dataclass, field, replace

import nibabel as nib
import numpy as np

from patchseg import patching
from patchseg.adaptation import planes
from patchseg.adaptation.brain_labels import BRAIN
from patchseg.adaptation.choice import Profile, choose, why
from patchseg.core.errors import InputError
from patchseg.core.progress import progress
from patchseg.images.grid import like, ras, voxel_size_mm
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


def seen(name, result, guess, plane, so_far):
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


def over(look, slices, image, given):
    """Look at one image or at several, and suggest slices of all.

    `given` are the masks and labels of the image or images, by the name of such in errors.
    """
    several = isinstance(image, list | tuple)
    rows = _rows(image, given) if several else [(image, *given.values())]
    every = []
    for row in progress(rows, "images") if several else rows:
        one = look(*row)
        every.append(replace(one, result=None) if several else one)
    chosen = choose([one.profile for one in every], slices)
    begun = any(one.profile.taken for one in every)
    found = [
        _suggestion(one, [own[1:] for own in chosen if own[0] == number], begun)
        for number, one in enumerate(every)
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
