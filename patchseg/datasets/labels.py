"""Label images of every coding to one: 0 background, 1 CSF, 2 GM, 3 WM, 255 unlabelled.

Inside the brain, what nobody labelled is neither tissue nor background: it is 255, and losses and
scores leave it out. Outside the brain everything is 0, whatever the source says there.
"""

import numpy as np

from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES, UNLABELLED

PLAIN = "tissues"
"""The coding of patchseg itself: 1 CSF, 2 GM, 3 WM; 0 or 255 is not labelled."""
# https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/AnatomicalROI/FreeSurferColorLUT
FREESURFER = {
    "CSF": [4, 5, 14, 15, 24, 31, 43, 44, 63, 72, 221],
    "GM": [3, 8, 10, 11, 12, 13, 17, 18, 26, 28, 42, 47, 49, 50, 51, 52, 53, 54, 58, 60]
    + [*range(1000, 3000)],
    "WM": [2, 7, 16, 41, 46, 77, 85, 192, *range(251, 256), *range(3000, 5003)],
}
CODINGS = {
    PLAIN: {"CSF": [1], "GM": [2], "WM": [3]},
    "fast": {"CSF": [1], "GM": [2], "WM": [3]},
    "freesurfer": FREESURFER,
}
"""Codes of each tissue by coding. freesurfer: aseg and wmparc."""


def coding(text):
    """Read what the values of a label image mean.

    Parameters
    ----------
    text : str
        The name of a coding ('tissues', 'fast', 'freesurfer'), or the codes of each tissue:
        'csf=4,gm=3+42,wm=2+41'.

    Returns
    -------
    codes : dict of str to list of int
        By tissue.

    Raises
    ------
    InputError
        If a tissue is missing or unknown, a code is no whole number above 0, or stands twice.

    Examples
    --------
    >>> coding("wm=2+41,csf=4,gm=3+42")
    {'CSF': [4], 'GM': [3, 42], 'WM': [2, 41]}
    """
    if text.strip().lower() in CODINGS:
        return CODINGS[text.strip().lower()]
    try:
        parts = [part.split("=") for part in text.split(",")]
        found = {name.strip().upper(): list(map(int, codes.split("+"))) for name, codes in parts}
        found = found if len(found) == len(parts) else {}
    except ValueError:
        found = {}
    every = [code for codes in found.values() for code in codes]
    if set(found) != set(TISSUES) or len(set(every)) < len(every) or min(every) < 1:
        raise InputError(
            f"labels '{text}': write the codes of each tissue, each code once and above 0, for"
            f" example csf=4,gm=3+42,wm=2+41, or one of {', '.join(CODINGS)}"
        )
    return {tissue: found[tissue] for tissue in TISSUES}


def from_codes(values, mask, codes, path="labels"):
    """Turn the codes of a label image into labels.

    Parameters
    ----------
    values : ndarray of int, or of float that holds whole numbers
    mask : ndarray of bool
        The brain.
    codes : dict of str to list of int
        Of `coding`. Every other value is unlabelled.
    path : str or Path, optional
        Named in the error.

    Returns
    -------
    labels : ndarray of uint8
        0 outside the brain, 1 CSF, 2 GM, 3 WM, 255 unlabelled.

    Raises
    ------
    InputError
        If a value is not a whole number, as after resampling labels with interpolation.

    Examples
    --------
    >>> aseg = np.array([0, 4, 42, 2, 1035, 9999, 2])
    >>> mask = np.array([True, True, True, True, True, True, False])
    >>> from_codes(aseg, mask, CODINGS["freesurfer"]).tolist()
    [255, 1, 2, 3, 2, 255, 0]
    """
    values = np.asarray(values)
    if values.dtype.kind == "f" and (broken := values[values != np.round(values)]).size:
        raise InputError(
            f"{path}: label {broken.flat[0]:g} is not a whole number; resample labels by the"
            " nearest neighbour"
        )
    labels = np.where(mask, UNLABELLED, 0).astype(np.uint8) * np.ones(values.shape, np.uint8)
    inside = mask & (values > 0)
    present, place = np.unique(values[inside], return_inverse=True)
    table = np.full(len(present), UNLABELLED, np.uint8)
    for label, tissue in enumerate(TISSUES, start=1):
        table[np.isin(present, codes[tissue])] = label
    labels[inside] = table[place]
    return labels


def unknown(values, codes):
    """Return the values of a label image that are no tissue: sorted, without 0 and 255."""
    known = [0, UNLABELLED, *(code for own in codes.values() for code in own)]
    return np.setdiff1d(values, known)


def from_probabilities(maps, mask, path="probability maps"):
    """Give each voxel the tissue whose probability is over 0.5.

    Parameters
    ----------
    maps : dict of str to ndarray of float
        Probability in [0, 1] of 'GM' and 'WM', and of 'CSF' if known; else CSF is the rest of the
        brain.
    mask : ndarray of bool
        The brain.
    path : str or Path, optional
        Named in the error.

    Returns
    -------
    labels : ndarray of uint8
        0 outside the brain, 1 CSF, 2 GM, 3 WM, 255 where no tissue is over 0.5.

    Raises
    ------
    InputError
        If a value in the brain is no probability, as in a map in percent.

    Examples
    --------
    >>> maps = {"GM": np.array([0.9, 0.1, 0.0, 0.5]), "WM": np.array([0.1, 0.8, 0.0, 0.5])}
    >>> from_probabilities(maps, np.array([True, True, True, True])).tolist()
    [2, 3, 1, 255]
    """
    for tissue, values in maps.items():
        if mask.any() and not -0.01 <= values[mask].min() <= values[mask].max() <= 1.01:
            raise InputError(
                f"{path}: {tissue} holds {values[mask].min():g} to {values[mask].max():g}, and a"
                " probability lies between 0 and 1; divide the map by its greatest value"
            )
    maps = {"CSF": 1 - maps["GM"] - maps["WM"], **maps}
    labels = np.where(mask, UNLABELLED, 0).astype(np.uint8)
    for label, tissue in enumerate(TISSUES, start=1):
        labels[mask & (maps[tissue] > 0.5)] = label
    return labels
