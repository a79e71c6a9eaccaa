"""A training loop that can be killed at any moment and goes on exactly where it was."""

import hashlib
import json
import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from patchseg import checkpoint, unet
from patchseg.core.files import replacing
from patchseg.core.progress import progress
from patchseg.core.provenance import fingerprint, versions
from patchseg.core.runtime import computing_in, deterministic, precision
from patchseg.core.tissues import TISSUES, UNLABELLED, most_probable
from patchseg.metrics import overlap_counts
from patchseg.training.batches import batches
from patchseg.training.losses import LOSSES

LIBRARIES = ("tensorflow", "keras", "numpy")
"""Their versions may change the bits of weights."""


def validation_dice(network, images, labels):
    """Return Dice of each tissue, pooled over patches, of labels as a result gets them.

    Pixels that are not labelled are left out; where the image is 0 there is no tissue.

    Parameters
    ----------
    network : keras.Model
    images : (n, p, p) ndarray of float in [0, 1]
    labels : (n, p, p) ndarray of uint8
        0 background, 1 CSF, 2 GM, 3 WM, 255 unlabelled.

    Returns
    -------
    dice : (3,) ndarray of float
        1 for a tissue that neither the labels nor the network have.
    """
    x = images.astype(np.float32)[..., None]
    probabilities = network.predict(x, batch_size=64, verbose=0)[..., -len(TISSUES) :] * (x > 0)
    predicted = np.where(labels == UNLABELLED, 0, most_probable(probabilities))
    overlap, total = [], []
    for label in range(1, len(TISSUES) + 1):
        both, *sizes = overlap_counts(labels == label, predicted == label)
        overlap.append(both)
        total.append(sum(sizes))
    return np.where(np.array(total) > 0, 2 * np.array(overlap) / np.maximum(total, 1), 1.0)


def compiled(architecture, settings):
    """Build and compile a network.

    Parameters
    ----------
    architecture : dict
        The arguments of `unet.build`.
    settings : patchseg.params.Train

    Returns
    -------
    network : keras.Model
    """
    with computing_in(settings.precision):
        network = unet.build(**architecture)
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            rate, settings.epochs * settings.steps_per_epoch
        )
    network.compile(keras.optimizers.Adam(rate), LOSSES[settings.loss][1])
    network.optimizer.build(network.trainable_variables)
    return network


def _save_state(path, network, key, history, best):
    variables = [
        np.asarray(ops.convert_to_numpy(v))
        for v in (*network.variables, *network.optimizer.variables)
    ]
    log = json.dumps({"key": key, "history": history})
    with replacing(path) as temporary:
        np.savez(
            temporary,
            log=log,
            **{f"v{i}": v for i, v in enumerate(variables)},
            **{f"best{i}": v for i, v in enumerate(best)},
        )


def _load_state(path, network, key):
    """Restore network and optimizer; return history and best weights, None without a state."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as state:
        log = json.loads(str(state["log"]))
        if log["key"] != key:
            print("a killed run had other code, settings or data: training starts anew", flush=True)
            return None
        for i, variable in enumerate((*network.variables, *network.optimizer.variables)):
            variable.assign(state[f"v{i}"])
        return log["history"], [state[f"best{i}"] for i in range(len(network.variables))]


def fit(training, validation, settings, weights_path, state_path, start=None):
    """Train a network and keep the weights of the best validation Dice; resume after a kill.

    One line an epoch is printed, those of a resumed training's earlier epochs included. After each
    epoch everything that the next one depends on (weights, optimizer, history) is written to
    `state_path`. A later call with the same code, data, settings, precision and libraries goes on
    from there and ends with the same bytes; any other one says so and starts anew.

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
    with deterministic(settings.seed):
        return _fit(training, validation, settings, weights_path, Path(state_path), start)


def _fit(training, validation, settings, weights_path, state_path, start):
    architecture = architecture_of(settings)
    network = compiled(architecture, settings)
    chosen = np.unique(
        np.linspace(0, len(validation[0]) - 1, settings.validation_patches).astype(int)
    )
    validation = validation[0][chosen], validation[1][chosen]
    if start:
        network.load_weights(start)
    key = _key(training, validation, settings, start)
    history, best = _load_state(state_path, network, key) or ([], None)
    for row in history:
        _report(row, settings.epochs)
    for epoch in range(len(history), settings.epochs):
        if _stalled(history, settings.patience):
            break
        history.append(_epoch(network, training, validation, settings, epoch))
        if _best_epoch(history) == epoch:
            best = [np.asarray(ops.convert_to_numpy(v)) for v in network.variables]
        _save_state(state_path, network, key, history, best)
        _report(history[-1], settings.epochs)
    for variable, value in zip(network.variables, best, strict=True):
        variable.assign(value)
    checkpoint.save(network, architecture, weights_path)
    os.remove(state_path)
    return network, pd.DataFrame(history)


def architecture_of(settings):
    """Return the arguments of `unet.build` for a `params.Train`."""
    return {
        "kind": settings.network,
        "levels": settings.levels,
        "features": settings.features,
        "blocks": settings.blocks,
        "in_channels": 1,
        "out_channels": len(TISSUES),
        "activation": LOSSES[settings.loss][0],
    }


def made_in(settings):
    """Return what beside code, settings and data changes the bits of weights, for a key."""
    return {"precision": precision(settings.precision), "libraries": versions(*LIBRARIES)}


def _key(training, validation, settings, start):
    """Return the fingerprint of all that a training's next epoch depends on."""
    data = [_digest(array) for array in (*training, *validation)]
    return fingerprint(
        code=["patchseg.training.loop"],
        settings=[settings.model_dump(), made_in(settings), data],
        files=[start] if start else [],
    )


def _epoch(network, training, validation, settings, epoch):
    """Train for one epoch; return its row of the history."""
    rate = float(ops.convert_to_numpy(network.optimizer.learning_rate))
    steps = progress(
        batches(*training, settings, epoch),
        f"epoch {epoch + 1}/{settings.epochs}",
        settings.steps_per_epoch,
    )
    losses = [_step(network, x, y) for x, y in steps]
    dice = validation_dice(network, *validation)
    return {
        "epoch": epoch + 1,
        "learning_rate": rate,
        "loss": float(np.mean(losses)),
        "val_dice": float(dice.mean()),
        **{f"val_dice_{tissue}": float(value) for tissue, value in zip(TISSUES, dice, strict=True)},
    }


def _step(network, x, y):
    """Train on one batch; return its loss, not Keras's running mean."""
    network.reset_metrics()
    return float(network.train_on_batch(x, y))


def _report(row, epochs):
    tissues = "  ".join(f"{tissue} {row[f'val_dice_{tissue}']:.3f}" for tissue in reversed(TISSUES))
    print(
        f"epoch {row['epoch']:3d}/{epochs}  loss {row['loss']:.4f}  validation Dice"
        f" {row['val_dice']:.4f}  ({tissues})",
        flush=True,
    )


def _digest(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def _best_epoch(history):
    return int(np.argmax([row["val_dice"] for row in history]))


def _stalled(history, patience):
    return bool(history) and len(history) - 1 - _best_epoch(history) >= patience
