"""A whole volume through the network: slices along several axes, fused, on the volume's own grid."""

import numpy as np

from patchseg import TISSUES, patching

BATCH = 4  # whole slices of 256 x 256 that pass the network at once: about 200 MB


def predict(network, images, batch_size):
    """Return tissue probabilities of images or patches.

    Parameters
    ----------
    network : keras.Model
        Of `patchseg.unet.build`.
    images : (n, h, w) ndarray of float in [0, 1]
        `h` and `w` are multiples of the network's step.
    batch_size : int

    Returns
    -------
    probabilities : (n, h, w, 3) ndarray of float32
        CSF, GM, WM. Exactly 0 where the image is 0: there is no tissue outside the brain.
    """
    out = np.zeros((*images.shape, len(TISSUES)), np.float32)
    filled = np.flatnonzero(images.max(axis=(1, 2)) > 0)
    for start in range(0, len(filled), batch_size):
        rows = filled[start : start + batch_size]
        batch = images[rows].astype(np.float32)[..., None]
        out[rows] = np.asarray(network.predict_on_batch(batch))[..., -len(TISSUES) :] * (batch > 0)
    return out


def labels(probabilities):
    """Give each pixel its most probable tissue, and 0 where all tissues together are less probable than 0.5.

    Parameters
    ----------
    probabilities : (..., 3) ndarray of float

    Returns
    -------
    labels : (...) ndarray of uint8

    Examples
    --------
    >>> labels(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.3], [0.1, 0.1, 0.0]])).tolist()
    [1, 2, 0]
    """
    tissue = probabilities.argmax(axis=-1) + 1
    return np.where(probabilities.sum(axis=-1) < 0.5, 0, tissue).astype(np.uint8)


def volume(network, image, grid):
    """Return tissue probabilities of a volume: whole slices along each axis pass the network, and the views are averaged.

    Parameters
    ----------
    network : keras.Model
    image : (x, y, z) ndarray of float32 in [0, 1], RAS+
    grid : object with `axes`, `slice_size` and `square`
        As the network was trained (params.yaml, section preprocess).

    Returns
    -------
    probabilities : (x, y, z, 3) ndarray of float32
    """
    total = np.zeros((*image.shape, len(TISSUES)), np.float32)
    for axis in grid.axes:
        stack, out = patching.slices(image, axis), patching.slices(total, axis)
        for start in range(0, len(stack), BATCH):
            part = stack[start : start + BATCH]
            large = np.stack([patching.to_grid(one, grid.slice_size, grid.square, "bilinear") for one in part])
            for row, large_probabilities in enumerate(predict(network, large, BATCH), start):
                out[row] += patching.from_grid(large_probabilities, stack.shape[1:], grid.square, "bilinear")
    return total / len(grid.axes) * (image > 0)[..., None]
