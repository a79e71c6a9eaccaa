"""Volume to slices to patches, and back.

A slice is resized to a square grid (256 x 256 in the original recipe), and the grid is cut into
patches (64 x 64), row by row:

    columns   0     64    128   192   256
    row   0   |  0  |  1  |  2  |  3  |
    row  64   |  4  |  5  |  6  |  7  |
    row 128   |  8  |  9  | 10  | 11  |
    row 192   | 12  | 13  | 14  | 15  |
"""

import cv2
import numpy as np

from patchseg.images.grid import AXES, resize

INTERPOLATION = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST_EXACT}


def slices(data, axis):
    """Return the slices of a volume along an axis.

    Parameters
    ----------
    data : (x, y, z) or (x, y, z, c) ndarray
    axis : {'sagittal', 'coronal', 'axial'}

    Returns
    -------
    stack : (n, h, w) or (n, h, w, c) ndarray
        A view; `h` and `w` are the two other axes in their order.
    """
    return np.moveaxis(data, AXES.index(axis), 0)


def to_grid(image, size, square, interpolation):
    """Resize a slice to a square grid.

    Parameters
    ----------
    image : (h, w) or (h, w, c) ndarray of float32 or uint8
    size : int
        Edge of the grid in pixels.
    square : bool
        Pad with zeros to a square first, which keeps the proportions. False stretches, as the
        original recipe did.
    interpolation : {'bilinear', 'nearest'}
        Labels take 'nearest', so that no label is invented. 'bilinear' averages along an axis that
        shrinks: every pixel counts, and none stands for those around it.

    Returns
    -------
    grid : (size, size) or (size, size, c) ndarray, same dtype
    """
    if square:
        (top, bottom), (left, right) = _square_margins(image.shape[:2])
        image = np.pad(image, [(top, bottom), (left, right)] + [(0, 0)] * (image.ndim - 2))
    if interpolation == "bilinear":
        image = resize(image, [min(length, size) for length in image.shape[:2]])
    return cv2.resize(
        np.ascontiguousarray(image), (size, size), interpolation=INTERPOLATION[interpolation]
    )


def from_grid(grid, shape, square, interpolation):
    """Undo `to_grid`, up to what the resizing lost.

    Parameters
    ----------
    grid : (size, size) or (size, size, c) ndarray
    shape : tuple of two int
        Height and width of the slice.
    square, interpolation
        See `to_grid`.

    Returns
    -------
    image : (h, w) or (h, w, c) ndarray, same dtype
    """
    h, w = shape
    if not square:
        return cv2.resize(grid, (w, h), interpolation=INTERPOLATION[interpolation])
    edge = max(shape)
    (top, _), (left, _) = _square_margins(shape)
    padded = cv2.resize(grid, (edge, edge), interpolation=INTERPOLATION[interpolation])
    return padded[top : top + h, left : left + w]


def _square_margins(shape):
    """Zeros to add (before, after) along both edges so that a slice of `shape` becomes a square."""
    edge = max(shape)
    return [((edge - length) // 2, edge - length - (edge - length) // 2) for length in shape]


def extract(image, patch):
    """Cut an image into patches side by side, row by row.

    Parameters
    ----------
    image : (h, w, ...) ndarray
        Where `patch` does not divide an edge, the last patches are filled up with zeros.
    patch : int
        Edge of a patch in pixels.

    Returns
    -------
    patches : (n, patch, patch, ...) ndarray

    Examples
    --------
    >>> extract(np.arange(16).reshape(4, 4), 2)[1].tolist()
    [[2, 3], [6, 7]]
    """
    h, w, *rest = image.shape
    rows, columns = -(-h // patch), -(-w // patch)
    padded = np.pad(image, [(0, rows * patch - h), (0, columns * patch - w)] + [(0, 0)] * len(rest))
    blocks = padded.reshape(rows, patch, columns, patch, *rest)
    return blocks.swapaxes(1, 2).reshape(rows * columns, patch, patch, *rest)


def reassemble(patches, shape):
    """Undo `extract`: put patches back together as an image of `shape` (h, w).

    Raises
    ------
    ValueError
        If the number of patches does not fit the shape.
    """
    h, w = shape
    n, patch, _, *rest = patches.shape
    rows, columns = -(-h // patch), -(-w // patch)
    if n != rows * columns:
        raise ValueError(
            f"{n} patches of {patch} pixels do not make an image of {h} x {w}; {rows * columns}"
            " would"
        )
    blocks = patches.reshape(rows, columns, patch, patch, *rest).swapaxes(1, 2)
    return blocks.reshape(rows * patch, columns * patch, *rest)[:h, :w]


def keep_mask(images, keep_empty, rng):
    """Choose the patches to keep: all that hold a signal, and a share of the empty ones.

    Parameters
    ----------
    images : (n, patch, patch) ndarray
        A patch is empty if its maximum is 0.
    keep_empty : float
        Share of the empty patches that is kept, in [0, 1]; 0 is the original recipe.
    rng : numpy.random.Generator

    Returns
    -------
    keep : (n,) ndarray of bool
    """
    empty = images.max(axis=(1, 2)) == 0
    return ~empty | (rng.random(len(images)) < keep_empty)
