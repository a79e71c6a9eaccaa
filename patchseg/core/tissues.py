"""The tissues: their names, labels and colours, and the one rule from probabilities to labels."""

import numpy as np

TISSUES = ("CSF", "GM", "WM")
"""Tissue names; the label of a tissue is its place here plus one, its output channel its place."""
UNLABELLED = 255
"""Label of pixels inside the brain that nobody labelled; losses and scores leave them out."""
COLOURS = {"CSF": "#56B4E9", "GM": "#E69F00", "WM": "#F0E442"}
"""Okabe & Ito 2008: told apart with every kind of colour blindness, and different in lightness."""


def is_tissue(labels):
    """Return where labels are a tissue: neither background nor unlabelled.

    Parameters
    ----------
    labels : ndarray of uint8

    Returns
    -------
    where : ndarray of bool
    """
    return (labels > 0) & (labels != UNLABELLED)


def most_probable(probabilities):
    """Give each pixel what is most probable there: a tissue, or the background that they leave.

    The one rule from probabilities to labels: it makes the labels of a result and what is scored.
    Where the tissues sum to 1, as inside a brain, the background is never chosen.

    Parameters
    ----------
    probabilities : (..., 3) ndarray of float
        Of CSF, GM and WM. The background's is 1 minus their sum; sigmoid outputs may sum to more.

    Returns
    -------
    labels : (...) ndarray of uint8

    Examples
    --------
    >>> softmax, sigmoid, sure = [0.1, 0.3, 0.35], [0.2, 0.2, 0.15], [0.9, 0.8, 0.1]
    >>> most_probable(np.array([softmax, sigmoid, sure])).tolist()
    [3, 0, 1]
    """
    best, labels = probabilities[..., 0], np.ones(probabilities.shape[:-1], np.uint8)
    for channel in range(1, probabilities.shape[-1]):
        own = probabilities[..., channel]
        labels[own > best] = channel + 1
        best = np.maximum(best, own)
    labels[1 - total(probabilities) > best] = 0
    return labels


def total(probabilities):
    """Sum over the last axis; NumPy's own sum is several times slower where that axis is short.

    Parameters
    ----------
    probabilities : (..., c) ndarray

    Returns
    -------
    total : (...) ndarray
    """
    found = probabilities[..., 0].copy()
    for channel in range(1, probabilities.shape[-1]):
        found += probabilities[..., channel]
    return found
