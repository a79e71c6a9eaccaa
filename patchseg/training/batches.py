"""A training set on disc, and its batches."""

from pathlib import Path

import numpy as np

from patchseg.training.losses import LOSSES, one_hot


def open_training_set(folder):
    """Open `images.npy` and `labels.npy` of a folder, memory-mapped.

    Returns
    -------
    images : (n, p, p) ndarray of float16
    labels : (n, p, p) ndarray of uint8
    """
    return tuple(
        np.load(Path(folder) / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("images", "labels")
    )


def batches(images, labels, settings, epoch):
    """Yield the batches of one epoch, the same for the same seed and epoch, whatever ran before.

    Parameters
    ----------
    images, labels : (n, p, p) or (n, p, p, p) array-likes of float16 and uint8
        They may be memory-mapped.
    settings : patchseg.params.Training
    epoch : int

    Yields
    ------
    x : (batch, p, p, 1) ndarray of float32
    y : (batch, p, p, c) ndarray of float32
    """
    rng = np.random.default_rng([settings.seed, epoch])
    need = settings.steps_per_epoch * settings.batch_size
    rounds = -(-need // len(images))
    order = np.concatenate([rng.permutation(len(images)) for _ in range(rounds)])[:need]
    background = LOSSES[settings.loss][0] == "softmax"
    for rows in order.reshape(settings.steps_per_epoch, settings.batch_size):
        rows.sort()
        x, y = images[rows].astype(np.float32), labels[rows]
        if settings.flips:
            flip(rng, x, y)
        yield x[..., None], one_hot(y, background, len(settings.classes))


def flip(rng, x, y):
    """Mirror patches at random along each edge, in place.

    Images (n, h, w) or (n, x, y, z), and labels, which may have channels.
    """
    for axis in range(1, x.ndim):
        mirrored = rng.random(len(x)) < 0.5
        for part in (x, y):
            part[mirrored] = np.flip(part[mirrored], axis)


def step(network, x, y):
    """Train on one batch; return its loss, not Keras's running mean."""
    network.reset_metrics()
    return float(network.train_on_batch(x, y))
