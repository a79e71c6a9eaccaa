"""Losses, and a training loop that can be killed at any moment and goes on exactly where it was."""

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from patchseg import TISSUES, unet
from patchseg.files import fingerprint, replacing
from patchseg.progress import progress


def make_deterministic(seed):
    """Seed Python, NumPy and the backend, and ask TensorFlow for kernels that give the same result each time."""
    keras.utils.clear_session()  # Keras numbers its layers per process, and their names go into the weights file
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def one_hot(labels, background):
    """Turn labels into one channel per tissue.

    Parameters
    ----------
    labels : (n, h, w) ndarray of uint8
        A label that is none, such as `draw.IGNORED`, is 0 in every channel, or -1 where there is no channel for the background.
    background : bool
        Put a channel for the background first, as a softmax network has it.

    Returns
    -------
    channels : (n, h, w, 3 or 4) ndarray of float32
    """
    first = 0 if background else 1
    channels = (labels[..., None] == np.arange(first, len(TISSUES) + 1, dtype=np.uint8)).astype(np.float32)
    if not background:
        channels[labels > len(TISSUES)] = -1
    return channels


def soft_dice(truth, predicted):
    """Soft Dice loss, 1 - 2 |T P| / (|T| + |P|), over the whole batch, mean of the channels (Milletari 2016).

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
    """Soft Dice of the tissues plus categorical cross-entropy; the first channel is the background (Isensee 2021).

    Pixels whose truth is 0 in every channel are not labelled and count in neither.
    """
    labelled = ops.sum(truth, axis=-1, keepdims=True)
    return cross_entropy(truth, predicted) + soft_dice(truth[..., 1:], predicted[..., 1:] * labelled)


def cross_entropy(truth, predicted):
    """Categorical cross-entropy; the first channel is the background. Pixels whose truth is 0 in every channel are left out."""
    return _mean_of_patches(keras.losses.categorical_crossentropy(truth, predicted), ops.sum(truth, axis=-1))


def binary_cross_entropy(truth, predicted):
    """Binary cross-entropy of the tissues, without background. Pixels whose truth is -1 are left out."""
    known = ops.cast(truth[..., 0] >= 0, predicted.dtype)
    entropy = ops.mean(ops.binary_crossentropy(ops.maximum(truth, 0), predicted), axis=-1)
    return _mean_of_patches(entropy * known, known)


def _mean_of_patches(loss, labelled):
    """Mean over the labelled pixels of each patch, then over the patches: a scribble counts as much as a slice."""
    return ops.mean(ops.sum(loss, axis=(1, 2)) / ops.maximum(ops.sum(labelled, axis=(1, 2)), 1))


LOSSES = {"bce": ("sigmoid", binary_cross_entropy), "ce": ("softmax", cross_entropy), "dice_ce": ("softmax", dice_cross_entropy)}
"""Name in params.yaml: (activation of the output, loss)."""


def batches(images, labels, settings, epoch):
    """Yield the batches of one epoch; the same seed and epoch give the same batches, whatever ran before.

    Parameters
    ----------
    images, labels : (n, p, p) array-likes of float16 and uint8, may be memory-mapped
    settings : patchseg.params.Train
    epoch : int

    Yields
    ------
    x : (batch, p, p, 1) ndarray of float32
    y : (batch, p, p, c) ndarray of float32
    """
    rng = np.random.default_rng([settings.seed, epoch])
    need = settings.steps_per_epoch * settings.batch_size
    order = np.concatenate([rng.permutation(len(images)) for _ in range(-(-need // len(images)))])[:need]
    background = LOSSES[settings.loss][0] == "softmax"
    for rows in order.reshape(settings.steps_per_epoch, settings.batch_size):
        rows.sort()
        x, y = images[rows].astype(np.float32), labels[rows]
        if settings.flips:
            for axis in (1, 2):
                flip = rng.random(len(x)) < 0.5
                x[flip], y[flip] = np.flip(x[flip], axis), np.flip(y[flip], axis)
        yield x[..., None], one_hot(y, background)


def validation_dice(network, images, labels):
    """Return Dice per tissue, pooled over patches: probabilities cut at 0.5 (softmax included). A (3,) ndarray.

    Pixels that are not labelled (a label over 3) are left out.
    """
    predicted = network.predict(images.astype(np.float32)[..., None], batch_size=64, verbose=0)[..., -len(TISSUES) :] > 0.5
    predicted &= (labels <= len(TISSUES))[..., None]
    truth = one_hot(labels, background=False) > 0.5
    overlap, total = (truth & predicted).sum((0, 1, 2)), truth.sum((0, 1, 2)) + predicted.sum((0, 1, 2))
    return np.where(total > 0, 2 * overlap / np.maximum(total, 1), 1.0)


def precision(wanted):
    """Return Keras's name of a precision: 'auto' is mixed_bfloat16 where the processor computes with it, else float32."""
    if wanted != "auto":
        return wanted
    processor = Path("/proc/cpuinfo")
    flags = processor.read_text() if processor.exists() else ""
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


@contextmanager
def computing_in(wanted):
    """Let networks that are built meanwhile compute in a precision (see `precision`); their weights are float32 in any."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(precision(wanted))
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def compiled(architecture, settings):
    """Build and compile a network: `architecture` holds the arguments of `unet.build`, `settings` is a `params.Train`."""
    with computing_in(settings.precision):
        network = unet.build(**architecture)
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, settings.epochs * settings.steps_per_epoch)
    network.compile(keras.optimizers.Adam(rate), LOSSES[settings.loss][1])
    network.optimizer.build(network.trainable_variables)
    return network


def _save_state(path, network, key, history, best):
    variables = [np.asarray(ops.convert_to_numpy(v)) for v in (*network.variables, *network.optimizer.variables)]
    log = json.dumps({"key": key, "history": history})
    with replacing(path) as temporary:
        np.savez(temporary, log=log, **{f"v{i}": v for i, v in enumerate(variables)}, **{f"best{i}": v for i, v in enumerate(best)})


def _load_state(path, network, key):
    """Restore network and optimizer; return the history and the best weights, or None if there is nothing to resume."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as state:
        log = json.loads(str(state["log"]))
        if log["key"] != key:
            return None
        for i, variable in enumerate((*network.variables, *network.optimizer.variables)):
            variable.assign(state[f"v{i}"])
        return log["history"], [state[f"best{i}"] for i in range(len(network.variables))]


def fit(training, validation, settings, weights_path, state_path, start=None):
    """Train a network, keep the weights of the best validation Dice, stop early, resume after a kill.

    One line an epoch is printed, those of a resumed training's earlier epochs included. After each epoch everything that the next
    one depends on (weights, optimizer, history) is written to `state_path`; a later call with the same data and settings goes on
    from there and ends with the same bytes.

    Parameters
    ----------
    training, validation : pairs of (n, p, p) array-likes
        Images (float16 in [0, 1]) and labels (uint8).
    settings : patchseg.params.Train
    weights_path : str or Path
        Gets the best weights (.weights.h5), with the architecture beside them (.json).
    state_path : str or Path
        Removed at the end.
    start : str or Path, optional
        Weights of the same architecture to begin with; random ones unless given.

    Returns
    -------
    network : keras.Model
        With the best weights.
    history : pandas.DataFrame
        One row an epoch: epoch, learning_rate, loss, val_dice and val_dice of each tissue.
    """
    make_deterministic(settings.seed)
    activation = LOSSES[settings.loss][0]
    architecture = {"kind": settings.network, "levels": settings.levels, "features": settings.features, "blocks": settings.blocks}
    architecture |= {"in_channels": 1, "out_channels": len(TISSUES), "activation": activation}
    network = compiled(architecture, settings)
    chosen = np.unique(np.linspace(0, len(validation[0]) - 1, settings.validation_patches).astype(int))
    validation = validation[0][chosen], validation[1][chosen]
    if start:
        network.load_weights(start)
    key = fingerprint([settings.model_dump(), *(_digest(array) for array in (*training, *validation))], [start] if start else [])
    history, best = _load_state(Path(state_path), network, key) or ([], None)
    for row in history:
        _report(row, settings.epochs)
    for epoch in range(len(history), settings.epochs):
        if _stalled(history, settings.patience):
            break
        rate = float(ops.convert_to_numpy(network.optimizer.learning_rate))
        steps = progress(batches(*training, settings, epoch), f"epoch {epoch + 1}/{settings.epochs}", settings.steps_per_epoch)
        losses = [_step(network, x, y) for x, y in steps]
        dice = validation_dice(network, *validation)
        row = {"epoch": epoch + 1, "learning_rate": rate, "loss": float(np.mean(losses)), "val_dice": float(dice.mean())}
        history.append(row | {f"val_dice_{tissue}": float(value) for tissue, value in zip(TISSUES, dice, strict=True)})
        if _best_epoch(history) == epoch:
            best = [np.asarray(ops.convert_to_numpy(v)) for v in network.variables]
        _save_state(Path(state_path), network, key, history, best)
        _report(history[-1], settings.epochs)
    for variable, value in zip(network.variables, best, strict=True):
        variable.assign(value)
    unet.save(network, architecture, weights_path)
    os.remove(state_path)
    return network, pd.DataFrame(history)


def _step(network, x, y):
    """Train on one batch; return its loss, not Keras's running mean."""
    network.reset_metrics()
    return float(network.train_on_batch(x, y))


def _report(row, epochs):
    tissues = "  ".join(f"{tissue} {row[f'val_dice_{tissue}']:.3f}" for tissue in reversed(TISSUES))
    print(f"epoch {row['epoch']:3d}/{epochs}  loss {row['loss']:.4f}  validation Dice {row['val_dice']:.4f}  ({tissues})", flush=True)


def _digest(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def _best_epoch(history):
    return int(np.argmax([row["val_dice"] for row in history]))


def _stalled(history, patience):
    return bool(history) and len(history) - 1 - _best_epoch(history) >= patience
