"""Planes of a volume: which one is finest, what its slices hold, and how an editor numbers them."""

import nibabel as nib
import numpy as np

from patchseg import patching
from patchseg.core.errors import InputError
from patchseg.datasets.labelled import painted
from patchseg.images.grid import AXES

TAKEN = 0.1
"""Labels that fill this share of a slice across the painted plane count as labelling it."""
STRAY = 10
"""Labelled voxels of a slice that are no more than a slip of the hand."""


def check(plane):
    """Raise InputError if a plane is unknown; None is none in particular."""
    if plane not in (None, *AXES):
        raise InputError(f"plane '{plane}' is unknown; use {', '.join(AXES)}")


def across(values, plane):
    """Return the sum over each slice of a plane."""
    return patching.slices(values, plane).sum(axis=(1, 2), dtype=float)


def taken(where, plane, area):
    """Return the slices of a plane that hold labels.

    A slice that was painted in part is one of them: lines of slices in other planes would cross its
    neighbours, too.
    """
    own, numbers = painted(where)
    if own == plane:
        counts = np.pad(patching.slices(where, plane).sum(axis=(1, 2)), 1)
        by_itself = (counts[1:-1] > STRAY) & (counts[:-2] == 0) & (counts[2:] == 0)
        return sorted({*numbers, *np.flatnonzero(by_itself).tolist()})
    return np.flatnonzero(patching.slices(where, plane).sum(axis=(1, 2)) > TAKEN * area).tolist()


def voxels(affine, plane, chosen, length):
    """Return slices as an editor shows them: axis of the file, and voxel from 0."""
    own, direction = _own_axis(affine, AXES.index(plane))
    return [("ijk"[own], n if direction > 0 else length - 1 - n) for n in chosen]


def finest(shape, voxel_mm):
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
