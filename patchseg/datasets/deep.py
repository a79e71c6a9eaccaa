"""Deep grey matter and the brain stem, which are not as bright as the rest of their tissue.

Thalamus, putamen and pallidum are grey matter that is nearly as bright as white matter in a T1w;
the brain stem is white matter that is darker. Label maps of FreeSurfer's coding name each. Labels
that were made from brightness (FSL FAST, maps of probabilities) call much of the deep grey matter
white matter, so they teach nothing there.
"""

from dataclasses import replace

import numpy as np

from patchseg.core.tissues import UNLABELLED, is_tissue

STRUCTURES = {
    "thalamus": [10, 49, 28, 60],
    "caudate": [11, 50, 26, 58],
    "putamen": [12, 51],
    "pallidum": [13, 52],
    "brain stem": [16],
}
"""Codes in FreeSurfer's coding; the ventral diencephalon goes with the thalamus, the accumbens with
the caudate."""
GREY = ("thalamus", "caudate", "putamen", "pallidum")
"""Those of them that are grey matter."""
STEP = 10
"""In a map for drawing, a structure is its tissue plus so many times its place above, from 1."""
CENTRE, HALF = (0.5, 0.57, 0.49), (0.27, 0.2, 0.18)
"""Where deep grey matter lies in an adult person, as shares of the brain's box (RAS+), a little too
wide: an ellipsoid that holds what the atlas AAL (Tzourio-Mazoyer 2002) calls so."""


def parts_of(codes):
    """Return which structure each voxel of a label map is of.

    Parameters
    ----------
    codes : ndarray of int
        FreeSurfer's.

    Returns
    -------
    parts : ndarray of uint8
        0 none, else the place in `STRUCTURES`, from 1.
    """
    parts = np.zeros(codes.shape, np.uint8)
    for number, own in enumerate(STRUCTURES.values(), start=1):
        parts[np.isin(codes, own)] = number
    return parts


def for_drawing(labels, parts):
    """Return labels that hold the structures, too, where `parts` (of `parts_of`) names any."""
    if parts is None:
        return labels
    return np.where(is_tissue(labels), labels + STEP * parts, labels).astype(np.uint8)


def tissue_of(drawn):
    """Return the labels of a map for drawing: 0, 1 CSF, 2 GM, 3 WM, 255 unlabelled, as uint8."""
    return np.where(drawn == UNLABELLED, UNLABELLED, drawn % STEP).astype(np.uint8)


def left_out(one):
    """Return a copy of a person's brain (`Labelled`) without labels where deep matter may lie."""
    places = [np.flatnonzero(one.mask.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    far = np.float32(0)
    for axis, (at, centre, half) in enumerate(zip(places, CENTRE, HALF, strict=True)):
        share = (np.arange(one.mask.shape[axis]) - at[0]) / max(1, at[-1] - at[0])
        far = far + np.expand_dims(
            ((share - centre) / half) ** 2, [a for a in range(3) if a != axis]
        )
    return replace(one, labels=np.where(one.mask & (far < 1), UNLABELLED, one.labels))
