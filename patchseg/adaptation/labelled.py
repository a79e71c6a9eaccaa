"""What somebody labelled in an image: read, checked, and handed on in RAS+ order."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from patchseg import patching
from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES
from patchseg.images import brain, grid, volume

OUTSIDE = 0.5
"""Share of the labelled voxels outside the brain above which these are not the labels of this
image."""
TOLD = 0.02
"""Share above which the user is told."""
LEAST = 0.1
"""A slice with fewer labelled voxels than this share of the fullest one is not a labelled slice."""


@dataclass(frozen=True)
class Labelled:
    """An image and what somebody labelled in it.

    Attributes
    ----------
    name : str
    data : (x, y, z) ndarray of float32
    mask : (x, y, z) ndarray of bool
        The brain.
    labels : (x, y, z) ndarray of uint8
        1 CSF, 2 GM, 3 WM; 0 where nobody labelled, and outside the brain.
    voxel_mm : tuple of three float
    sha256 : dict
        Of the image's and the labels' files; of the values, where they come from memory.
    remarks : list of str
        What the user should know.
    """

    name: str
    data: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    voxel_mm: tuple
    sha256: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)

    def filled(self):
        """Return, for each axis, how many labelled voxels the slice of a labelled voxel holds, on
        average: most in the painted plane."""
        return _filled(_counts(self.labels > 0))

    def slices(self):
        """Return the painted plane ('sagittal', 'coronal' or 'axial') and the numbers of its slices
        that hold labels."""
        return painted(self.labels > 0)

    def only(self, numbers):
        """Return a copy that is labelled in these slices of the painted plane only."""
        plane, _ = self.slices()
        kept = np.zeros_like(self.labels)
        patching.slices(kept, plane)[numbers] = patching.slices(self.labels, plane)[numbers]
        return Labelled(
            self.name, self.data, self.mask, kept, self.voxel_mm, self.sha256, self.remarks
        )


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
        Those with at least a tenth as many as the fullest one: neither a stray voxel nor a line of
        a slice in another plane.
    """
    counts = _counts(where)
    axis = int(np.argmax(_filled(counts)))
    return (
        grid.AXES[axis],
        np.flatnonzero(counts[axis] >= max(1, LEAST * counts[axis].max())).tolist(),
    )


def _counts(where):
    """Return, for each axis, how many labelled voxels each slice holds."""
    return [
        np.count_nonzero(where, axis=tuple(other for other in range(3) if other != axis)).astype(
            float
        )
        for axis in range(3)
    ]


def _filled(counts):
    return np.array([(count**2).sum() / max(1.0, count.sum()) for count in counts])


def read(image, labels, mask=None, values=(1, 2, 3)):
    """Read an image and its labels, and check that they belong together.

    Parameters
    ----------
    image, labels : nibabel image, str or Path
        On one grid. Labels are whole numbers, 0 where nobody labelled.
    mask : nibabel image, str or Path, optional
        Of the brain; what is not background unless given.
    values : tuple of three int
        Labels of CSF, GM and WM.

    Returns
    -------
    labelled : Labelled

    Raises
    ------
    InputError
        If the grids differ, nothing is labelled, a value is no tissue, or the labels lie outside
        the brain.
    """

    name, labels_name = volume.name_of(image), volume.name_of(labels)
    source = volume.read(image)
    data, affine = grid.ras(source)
    codes, other = grid.ras(volume.read(labels))
    try:
        grid.check_same_grid(name, data, affine, labels_name, codes, other)
    except InputError as error:
        apart = np.abs(
            np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)])
            * [*data.shape, 1]
            @ (affine - other).T
        ).max()
        raise InputError(f"{error} (corners up to {apart:.3g} mm apart)") from error
    inside = (
        brain.foreground(data, name) if mask is None else brain.read_mask(mask, name, data, affine)
    )
    truth = _tissues(codes, values, labels_name)
    away = float((truth[~inside] > 0).sum() / (truth > 0).sum())
    if away > OUTSIDE:
        raise InputError(
            f"{labels_name}: {away:.0%} of the labelled voxels lie outside the brain of {name};"
            " check that they belong to this image, or give a brain mask"
        )
    truth[~inside] = 0
    remarks = (
        [f"{labels_name}: {away:.1%} of the labelled voxels lie outside the brain and are left out"]
        if away > TOLD
        else []
    )
    missing = [tissue for number, tissue in enumerate(TISSUES, 1) if not (truth == number).any()]
    if missing:
        remarks.append(
            f"{labels_name}: no voxel is labelled {' or '.join(missing)}; what the network knows of"
            " it stays as it is, or fades"
        )
    voxel_mm = grid.voxel_size_mm(affine)
    if mask is None:
        try:
            brain.check_no_head(
                inside,
                brain.depth_profile(brain.normalise(data, inside, path=name), inside, voxel_mm),
                name,
            )
        except InputError:
            remarks.append(
                f"{name}: the head seems to be on; if it is, extract the brain first, or give its"
                " mask (--mask)"
            )
    return Labelled(
        name,
        data,
        inside,
        truth,
        voxel_mm,
        {"image": _sha256(image, data), "labels": _sha256(labels, codes)},
        remarks,
    )


def _tissues(codes, values, name):
    """Turn the codes of a label file into 1 CSF, 2 GM, 3 WM."""
    if len(set(values)) != 3 or 0 in values:
        raise InputError(
            f"labels {', '.join(map(str, values))}: three different numbers are needed, none of"
            " them 0"
        )
    found = {float(code) for code in np.unique(codes)} - {0.0}
    if not found:
        raise InputError(
            f"{name}: every voxel is 0, so nothing is labelled; paint 1 CSF, 2 GM, 3 WM in a slice"
            " or two (patchseg suggest says which)"
        )
    wrong = sorted(found - set(map(float, values)))
    if wrong:
        shown = ", ".join(f"{code:g}" for code in wrong[:5]) + (" …" if len(wrong) > 5 else "")
        known = ", ".join(
            f"{value} {tissue}" for value, tissue in zip(values, TISSUES, strict=True)
        )
        raise InputError(
            f"{name}: value {shown} is no tissue (0 not labelled, {known}); paint it again, or say"
            " --labels csf=…,gm=…,wm=…"
        )
    truth = np.zeros(codes.shape, np.uint8)
    for number, value in enumerate(values, 1):
        truth[codes == value] = number
    return truth


def _sha256(source, values):
    if isinstance(source, str | Path):
        return files.sha256(source)
    return hashlib.sha256(np.ascontiguousarray(values)).hexdigest()


def finished(source, image):
    """Return labels that somebody has finished for an image.

    From a label file, or from the BIDS dataset that the image belongs to.

    Parameters
    ----------
    source : str or Path
        A label file, or the folder of a dataset (see `bids.subjects`).
    image : str or Path

    Returns
    -------
    labels : nibabel image

    Raises
    ------
    InputError
        If the dataset does not hold the image.
    """
    from patchseg.datasets import bids

    if not Path(source).is_dir():
        return volume.read(source)
    for subject in bids.subjects(source):
        if subject.image_path.resolve() == Path(image).resolve():
            return grid.like(subject.load()[1], volume.read(image))
    raise InputError(
        f"{source}: this dataset does not hold {image}; name the label file of the image"
    )
