"""Label images of every coding to tissues."""

import numpy as np

from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES


def labels_from_probabilities(maps, brain):
    """Give each voxel the tissue whose probability is over 0.5.

    Voxels of no clear tissue, or outside the brain, stay 0.

    Parameters
    ----------
    maps : dict of str to ndarray of float
        Probability in [0, 1] of 'GM' and 'WM', and of 'CSF' if known; else CSF is the rest of the
        brain.
    brain : ndarray of bool

    Returns
    -------
    labels : ndarray of uint8

    Examples
    --------
    >>> maps = {"GM": np.array([0.9, 0.1, 0.0, 0.5]), "WM": np.array([0.1, 0.8, 0.0, 0.5])}
    >>> labels_from_probabilities(maps, brain=np.array([True, True, True, True])).tolist()
    [2, 3, 1, 0]
    """
    maps = {"CSF": 1 - maps["GM"] - maps["WM"], **maps}
    labels = np.zeros(brain.shape, np.uint8)
    for label, tissue in enumerate(TISSUES, start=1):
        labels[brain & (maps[tissue] > 0.5)] = label
    return labels


def labels_from_dseg(dseg, path):
    """Check that labels are 0 background, 1 CSF, 2 GM, 3 WM only, and return them as uint8."""
    found = np.unique(dseg)
    unknown = sorted(set(found.tolist()) - {0, 1, 2, 3})
    if unknown:
        raise InputError(
            f"{path}: label {unknown[0]:g} is unknown; use 0 background, 1 CSF, 2 GM, 3 WM"
        )
    return dseg.astype(np.uint8)


# https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/AnatomicalROI/FreeSurferColorLUT; every other
# code is unlabelled.
CODES = {
    "FAST": {1: [1], 2: [2], 3: [3]},
    "FreeSurfer": {
        1: [4, 5, 14, 15, 24, 31, 43, 44, 63, 72, 221],
        2: [
            3,
            8,
            *range(10, 14),
            17,
            18,
            26,
            28,
            42,
            47,
            *range(49, 55),
            58,
            60,
            *range(1000, 3000),
        ],
        3: [2, 7, 16, 41, 46, 77, 85, 192, *range(251, 256), *range(3000, 5003)],
    },
}
"""Codes of each tissue (1 CSF, 2 GM, 3 WM) by coding. FreeSurfer: aseg and wmparc."""


def recode(codes, coding, path="labels"):
    """Turn the codes of a label image into tissues.

    Parameters
    ----------
    codes : ndarray of int, or of float that holds whole numbers
    coding : {'FAST', 'FreeSurfer'}
    path : str or Path, optional
        Named in the error.

    Returns
    -------
    labels : ndarray of uint8
        1 CSF, 2 GM, 3 WM; 0 for every other code.

    Raises
    ------
    InputError
        If a value is not a whole number, as after resampling labels with interpolation.

    Examples
    --------
    >>> recode(np.array([0, 4, 42, 2, 1035, 5002, 9999]), "FreeSurfer").tolist()
    [0, 1, 2, 3, 2, 3, 0]
    """
    broken = codes[codes != np.round(codes)]
    if broken.size:
        raise InputError(
            f"{path}: label {broken.flat[0]:g} is not a whole number; resample labels by the"
            " nearest neighbour"
        )
    table = np.zeros(1 + max(max(known) for known in CODES[coding].values()), np.uint8)
    for tissue, known in CODES[coding].items():
        table[known] = tissue
    known = (codes >= 0) & (codes < len(table))
    return table[np.where(known, codes, 0).astype(int)]
