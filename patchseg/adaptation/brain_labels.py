"""What somebody labelled as brain and as not brain in an image of a head: read and checked."""

import numpy as np

from patchseg.adaptation.record import sha256
from patchseg.core.errors import InputError
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets.labelled import Labelled, painted
from patchseg.images import grid
from patchseg.images.volume import name_of, read_labels
from patchseg.images.volume import read as read_image

BRAIN, OTHER = 1, 2
"""Labels of what is brain and of what is not; 0 is not labelled, so that the two are told apart."""
NAMES = {"brain": BRAIN, "not brain": OTHER}


def read(image, labelled, *, volume=None, nan_as_background=False):
    """Read an image of a head and what is labelled in it, and check that they belong together.

    Parameters
    ----------
    image, labelled : nibabel image, str or Path
        On one grid. Labels are as `meaning` takes them.
    volume : int, optional
        Which volume of a 4D image, from 0.
    nan_as_background : bool
        Treat voxels that are NaN or infinite as background instead of refusing them.

    Returns
    -------
    labelled : Labelled
        Its labels are 0, `BRAIN` and `OTHER`.

    Raises
    ------
    InputError
        If the grids differ, or see `meaning`.
    """
    name, labels_name = name_of(image), name_of(labelled)
    data, affine = grid.ras(read_image(image, volume, nan_as_background))
    values, other = grid.ras(read_labels(labelled), None)
    grid.check_same_grid(name, data, affine, labels_name, values, other)
    labels, remarks = meaning(values, labels_name)
    sums = {"image": sha256(image, data), "labels": sha256(labelled, values)}
    return Labelled(name, data, labels, affine, sha256=sums, remarks=remarks)


def meaning(values, name="labels"):
    """Return what is brain and what is not.

    A plain mask, of 0 and 1 only, means this: on a slice that holds brain, 0 is not brain; other
    slices are not labelled. Slices are those of the plane that is painted in (see `painted`).

    Parameters
    ----------
    values : (x, y, z) ndarray of int
        1 brain, 2 not brain, 0 (or 255) not labelled; or a plain mask.
    name : str
        Of the file, for errors.

    Returns
    -------
    labels : (x, y, z) ndarray of uint8
        0, `BRAIN` and `OTHER`.
    remarks : list of str
        What the user should know.

    Raises
    ------
    InputError
        If another value is there, no voxel is brain, or none is not.

    Examples
    --------
    >>> mask = np.zeros((3, 3, 3), int)
    >>> mask[1, 1, 1:] = 1  # on one sagittal slice
    >>> meaning(mask)[0][:, 1].tolist()
    [[0, 0, 0], [2, 1, 1], [0, 0, 0]]
    >>> mask[1, 1, 0] = 255
    >>> meaning(mask)[0][:, 1].tolist()
    [[0, 0, 0], [0, 1, 1], [0, 0, 0]]
    """
    wrong = np.setdiff1d(np.unique(values), [0, BRAIN, OTHER, UNLABELLED])
    if len(wrong):
        raise InputError(
            f"{name}: value {wrong[0]:g} is neither brain nor not brain (0 not labelled, 1 brain,"
            " 2 not brain); paint it again, or give a mask of 0 and 1"
        )
    labels, remarks = np.where(values == UNLABELLED, 0, values).astype(np.uint8), []
    if not (labels == BRAIN).any():
        raise InputError(
            f"{name}: no voxel is 1, so no brain is labelled; correct a slice of the proposal"
            " (patchseg suggest --what brain writes it)"
        )
    if not (labels == OTHER).any():
        plane, slices = painted(labels > 0)
        axis = grid.AXES.index(plane)
        own = np.isin(np.arange(labels.shape[axis]), slices)
        own = own.reshape([-1 if side == axis else 1 for side in range(3)])
        labels[own & (values == 0)] = OTHER
        remarks.append(
            f"{name}: a mask of 0 and 1: 0 counts as not brain on {len(slices)} {plane}"
            " slice(s) that hold brain, and as not labelled on the others"
        )
    if not (labels == OTHER).any():
        raise InputError(
            f"{name}: all labelled voxels are brain, so there is no border to learn from; paint 2"
            " where it is not brain"
        )
    return labels, remarks
