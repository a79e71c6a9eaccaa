"""An image with its labels: one form for the pipeline, the zoo, adaptation and the benchmarks."""

from dataclasses import dataclass, field, replace

import numpy as np

from patchseg.core.tissues import UNLABELLED, is_tissue
from patchseg.images import brain, grid

FULL_ENOUGH = 0.1
"""A slice with fewer labelled voxels than this share of the fullest one is not a labelled slice."""


@dataclass(frozen=True)
class Labelled:
    """A brain and what is labelled in it, in RAS+ order.

    Attributes
    ----------
    name : str
    image : (x, y, z) ndarray of float32, or None
        As the scanner gave it; None where there are labels only.
    labels : (x, y, z) ndarray of uint8
        0 background, 1 CSF, 2 GM, 3 WM, 255 unlabelled: what is not 0 is brain.
    affine : (4, 4) ndarray
        Voxel to world, in mm.
    species : str
    parts : (x, y, z) ndarray of uint8, or None
        Structures, where the source names them (see `deep.parts_of`).
    sha256 : dict of str to str
        Of the files of the image and of the labels, where somebody asks for them.
    remarks : list of str
        What the user should know.
    """

    name: str
    image: np.ndarray | None
    labels: np.ndarray
    affine: np.ndarray
    species: str = ""
    parts: np.ndarray | None = None
    sha256: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)

    @property
    def mask(self):
        """The brain: (x, y, z) ndarray of bool."""
        return self.labels > 0

    @property
    def known(self):
        """The voxels that somebody labelled: (x, y, z) ndarray of bool."""
        return is_tissue(self.labels)

    @property
    def voxel_mm(self):
        """Edge lengths of a voxel in mm: a tuple of three floats."""
        return grid.voxel_size_mm(self.affine)

    @property
    def size_mm(self):
        """Cube root (mm) of the brain's volume."""
        return brain.size_mm(self.mask, self.voxel_mm)

    def normalised(self, top):
        """Return the image in [0, 1], 0 outside the brain (see `brain.normalise`)."""
        return brain.normalise(self.image, self.mask, top, self.name)

    def filled(self):
        """Return, for each axis, how many labelled voxels the slice of one holds on average.

        It is most across the painted plane.
        """
        return _filled(_counts(self.known))

    def slices(self):
        """Return the painted plane and the numbers of its slices that hold labels."""
        return painted(self.known)

    def only(self, numbers):
        """Return a copy that is labelled in these slices of the painted plane only."""
        plane, _ = self.slices()
        place = [slice(None)] * 3
        place[grid.AXES.index(plane)] = list(numbers)
        kept = np.where(self.mask, UNLABELLED, 0).astype(np.uint8)
        kept[tuple(place)] = self.labels[tuple(place)]
        return replace(self, labels=kept)


def painted(where):
    """Return the painted plane and its slices.

    Parameters
    ----------
    where : (x, y, z) ndarray of bool
        The labelled voxels.

    Returns
    -------
    plane : {'sagittal', 'coronal', 'axial'}
        In which a slice holds most labelled voxels, on average.
    slices : list of int
        Those with at least `FULL_ENOUGH` as many as the fullest one: neither a stray voxel nor a
        line of a slice in another plane.
    """
    counts = _counts(where)
    axis = int(np.argmax(_filled(counts)))
    least = max(1, FULL_ENOUGH * counts[axis].max())
    return grid.AXES[axis], np.flatnonzero(counts[axis] >= least).tolist()


def _counts(where):
    """Return, for each axis, how many labelled voxels each slice holds."""
    others = [tuple(other for other in range(3) if other != axis) for axis in range(3)]
    return [np.count_nonzero(where, axis=axes).astype(float) for axes in others]


def _filled(counts):
    return np.array([(count**2).sum() / max(1.0, count.sum()) for count in counts])
