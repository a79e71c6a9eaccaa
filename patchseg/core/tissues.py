"""The tissues: their names, labels and colours, and the one rule from probabilities to labels."""

import numpy as np

TISSUES = ("CSF", "GM", "WM")
"""Tissue names; the label of a tissue is its place here plus one, its output channel its place."""
UNLABELLED = 255
"""Label of pixels inside the brain that nobody labelled; losses and scores leave them out."""
COLOURS = {"CSF": "#56B4E9", "GM": "#E69F00", "WM": "#F0E442"}
"""Okabe & Ito 2008: told apart with every kind of colour blindness, and different in lightness."""


def most_probable(probabilities):
    """Give each pixel its most probable tissue, and 0 where all tissues together are less probable
    than 0.5.

    Parameters
    ----------
    probabilities : (..., 3) ndarray of float

    Returns
    -------
    labels : (...) ndarray of uint8

    Examples
    --------
    >>> most_probable(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.3], [0.1, 0.1, 0.0]])).tolist()
    [1, 2, 0]
    """
    tissue = probabilities.argmax(axis=-1) + 1
    return np.where(probabilities.sum(axis=-1) < 0.5, 0, tissue).astype(np.uint8)
