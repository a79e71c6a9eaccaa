"""Losses, and the labels as they want them."""

import keras
import numpy as np
from keras import ops

from patchseg.core.tissues import TISSUES


def one_hot(labels, background):
    """Turn labels into one channel per tissue.

    Parameters
    ----------
    labels : (n, h, w) ndarray of uint8
        A label that is none, such as `UNLABELLED`, is 0 in every channel, or -1 where there is no
        channel for the background.
    background : bool
        Put a channel for the background first, as a softmax network has it.

    Returns
    -------
    channels : (n, h, w, 3 or 4) ndarray of float32
    """
    shown = np.arange(0 if background else 1, len(TISSUES) + 1, dtype=np.uint8)
    channels = (labels[..., None] == shown).astype(np.float32)
    if not background:
        channels[labels > len(TISSUES)] = -1
    return channels


def soft_dice(truth, predicted):
    """Soft Dice loss, 1 - 2 |T P| / (|T| + |P|) (Milletari 2016).

    Over the whole batch, mean of the channels.

    Parameters
    ----------
    truth, predicted : (n, h, w, c) tensors of float32 in [0, 1]

    Returns
    -------
    loss : scalar tensor in [0, 1]
    """
    overlap = ops.sum(truth * predicted, axis=(0, 1, 2))
    total = ops.sum(truth, axis=(0, 1, 2)) + ops.sum(predicted, axis=(0, 1, 2))
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
    return ops.mean(ops.sum(loss, axis=(1, 2)) / ops.maximum(ops.sum(labelled, axis=(1, 2)), 1))


LOSSES = {
    "bce": ("sigmoid", binary_cross_entropy),
    "ce": ("softmax", cross_entropy),
    "dice_ce": ("softmax", dice_cross_entropy),
}
"""By name in params.yaml: activation of the output, and the loss."""
