"""A careful hand that corrects the network's guess on a slice, stroke by stroke."""

from dataclasses import replace

import cv2
import numpy as np

from patchseg.core.tissues import UNLABELLED, is_tissue

CORRECTED, ALONE, WHOLE = "corrected", "strokes only", "whole"
"""What is given: the guess with the strokes, what they painted, or the true slice."""
RADIUS = 2.3
"""Voxels from a stroke's line that it paints: a pen of five voxels, as the painter draws it."""
LENGTH = 20
"""Voxels."""
DIRECTIONS = 12


def pens():
    """Return straight strokes through the middle of a square, one a direction: bool arrays."""
    edge = LENGTH // 2 + int(np.ceil(RADIUS))
    across, along = np.mgrid[-edge : edge + 1, -edge : edge + 1]
    found = []
    for turn in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        on = along * np.cos(turn) + across * np.sin(turn)
        end = np.clip(on, -LENGTH / 2, LENGTH / 2)
        apart = np.hypot(along - end * np.cos(turn), across - end * np.sin(turn))
        found.append(apart <= RADIUS)
    return found


def stroke(labels, truth):
    """Return where the next stroke of a careful hand goes, and its tissue.

    It is the straight one, of one tissue, that mends most voxels. The hand leaves voxels of other
    tissues alone, and does not jump over them.

    Parameters
    ----------
    labels, truth : (h, w) ndarray of uint8
        Of a slice. Where the truth is no tissue nothing is wrong.

    Returns
    -------
    painted : (h, w) ndarray of bool
    tissue : int
        0 if nothing is left to mend.
    """
    best, painted, chosen = 0, np.zeros(labels.shape, bool), 0
    shapes = pens()
    for tissue in (1, 2, 3):
        own = truth == tissue
        wrong = own & (labels != tissue)
        for pen in shapes if wrong.any() else ():
            counts = _counted(wrong, pen)
            if counts.max() <= best:
                continue
            at = np.unravel_index(counts.argmax(), counts.shape)
            part = _in_one_go(_placed(pen, at, own.shape) & own, wrong)
            mends = np.count_nonzero(part & wrong)
            if mends > best:
                best, painted, chosen = mends, part, tissue
    return painted, chosen


def _counted(wrong, pen):
    """Return how many wrong voxels a pen meets at each place."""
    found = cv2.filter2D(
        wrong.astype(np.float32), -1, pen.astype(np.float32), borderType=cv2.BORDER_CONSTANT
    )
    return np.rint(found).astype(int)


def _placed(pen, at, shape):
    edge = pen.shape[0] // 2
    canvas = np.zeros([side + 2 * edge for side in shape], bool)
    canvas[at[0] : at[0] + pen.shape[0], at[1] : at[1] + pen.shape[1]] = pen
    return canvas[edge:-edge, edge:-edge]


def _in_one_go(part, wrong):
    """Return the connected piece that holds most wrong voxels."""
    _, pieces = cv2.connectedComponents(part.astype(np.uint8), connectivity=8)
    held = np.bincount(pieces[part & wrong], minlength=2)
    return pieces == held.argmax()


def stroked(guess, truth, count):
    """Return a guess after so many strokes, and where they went (see `stroke`)."""
    labels, touched = guess.copy(), np.zeros(guess.shape, bool)
    for _ in range(count):
        painted, tissue = stroke(labels, truth)
        if not tissue:
            break
        labels[painted] = tissue
        touched |= painted
    return labels, touched


def given_strokes(one, guess, place, count, way):
    """Return a `Labelled` with what strokes on a coronal slice leave.

    Voxels of which nobody knows the truth are left out, as they are where the whole slice is given.

    Parameters
    ----------
    one : patchseg.datasets.labelled.Labelled
    guess : (x, y, z) ndarray of uint8
        What the network finds.
    place, count : int
        The slice, and the strokes.
    way : {'corrected', 'strokes only', 'whole'}

    Returns
    -------
    given : patchseg.datasets.labelled.Labelled
    wrong : float
        Share of the slice's known voxels that are wrong after the strokes.
    """
    truth = one.labels[:, place]
    known = is_tissue(truth)
    labels, touched = stroked(guess[:, place], truth, count)
    if way == WHOLE:
        labels = truth
    wrong = float((labels != truth)[known].mean())
    kept = touched if way == ALONE else known & is_tissue(labels)
    found = np.where(one.mask, UNLABELLED, 0).astype(np.uint8)
    found[:, place][kept] = labels[kept]
    return replace(one, labels=found), wrong
