"""Losses, and the labels as they want them."""

import keras
import numpy as np
from keras import ops


def one_hot(labels, background, classes=3):
    """Turn labels into one channel per tissue.

    Parameters
    ----------
    labels : (n, h, w) or (n, x, y, z) ndarray of uint8
        A label that is none, such as `UNLABELLED`, is 0 in every channel, or -1 where there is no
        channel for the background.
    background : bool
        Put a channel for the background first, as a softmax network has it.
    classes : int
        Without the background.

    Returns
    -------
    channels : (n, h, w, classes [+ 1]) ndarray of float32
    """
    shown = np.arange(0 if background else 1, classes + 1, dtype=np.uint8)
    channels = (labels[..., None] == shown).astype(np.float32)
    if not background:
        channels[labels > classes] = -1
    return channels


def soft_dice(truth, predicted):
    """Soft Dice loss, 1 - 2 |T P| / (|T| + |P|) (Milletari 2016).

    Over the whole batch, mean of the channels.

    Parameters
    ----------
    truth, predicted : (n, h, w, c) or (n, x, y, z, c) tensors of float32 in [0, 1]

    Returns
    -------
    loss : scalar tensor in [0, 1]
    """
    all_but_channels = tuple(range(len(truth.shape) - 1))
    overlap = ops.sum(truth * predicted, axis=all_but_channels)
    total = ops.sum(truth, axis=all_but_channels) + ops.sum(predicted, axis=all_but_channels)
    return ops.mean(1 - (2 * overlap + 1) / (total + 1))


def dice_cross_entropy(truth, predicted):
    """Soft Dice of the tissues plus categorical cross-entropy (Isensee 2021).

    The first channel is the background. Pixels whose truth is 0 in every channel are not labelled
    and count in neither.
    """
    labelled = ops.sum(truth, axis=-1, keepdims=True)
    tissues = soft_dice(truth[..., 1:], predicted[..., 1:] * labelled)
    return cross_entropy(truth, predicted) + tissues


def cross_entropy(truth, predicted):
    """Categorical cross-entropy; the first channel is the background.

    Pixels whose truth is 0 in every channel are left out.
    """
    return _mean_of_patches(
        keras.losses.categorical_crossentropy(truth, predicted), ops.sum(truth, axis=-1)
    )


def binary_cross_entropy(truth, predicted):
    """Binary cross-entropy of the tissues, without background.

    Pixels whose truth is -1 are left out.
    """
    known = ops.cast(truth[..., 0] >= 0, predicted.dtype)
    entropy = ops.mean(ops.binary_crossentropy(ops.maximum(truth, 0), predicted), axis=-1)
    return _mean_of_patches(entropy * known, known)


def _mean_of_patches(loss, labelled):
    """Mean over the labelled pixels of each patch, then over the patches.

    So a scribble counts as much as a slice.
    """
    place = tuple(range(1, len(loss.shape)))
    return ops.mean(ops.sum(loss, axis=place) / ops.maximum(ops.sum(labelled, axis=place), 1))


LOSSES = {
    "bce": ("sigmoid", binary_cross_entropy),
    "ce": ("softmax", cross_entropy),
    "dice_ce": ("softmax", dice_cross_entropy),
}
"""By name in params.yaml: activation of the output, and the loss."""
