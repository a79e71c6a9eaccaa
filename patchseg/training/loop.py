"""A training loop that can be killed at any moment and goes on exactly where it was.

What a training ends with hangs on its last few batches: the weights still swing, the statistics of
the batch normalisation lag behind them, and the last layer is in the middle of a step. So the
network that is kept has the mean of the weights over the second half of the training (Izmailov
2018), statistics that are measured for these weights, and a last layer that was trained on alone
until it fits them. No epoch is picked, and the validation set decides nothing.
"""

import hashlib
import json
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
from patchseg.training.batches import batches, step
from patchseg.training.losses import LOSSES
from patchseg.training.settling import settle

LIBRARIES = ("tensorflow", "keras", "numpy")
"""Their versions may change the bits of weights."""


def validation_dice(network, images, labels, classes=TISSUES):
    """Return Dice of each tissue, pooled over patches, of labels as a result gets them.

    Pixels that are not labelled are left out; where the image is 0 there is no tissue.

    Parameters
    ----------
    network : keras.Model
    images : (n, p, p) ndarray of float in [0, 1]
    labels : (n, p, p) ndarray of uint8
        0 background, 1 CSF, 2 GM, 3 WM, 255 unlabelled; or other classes.
    classes : sequence of str

    Returns
    -------
    dice : (classes,) ndarray of float
        1 for a tissue that neither the labels nor the network have.
    """
    x = images.astype(np.float32)[..., None]
    size = 64 if x.ndim == 4 else 4
    probabilities = network.predict(x, batch_size=size, verbose=0)[..., -len(classes) :] * (x > 0)
    predicted = np.where(labels == UNLABELLED, 0, most_probable(probabilities))
    overlap, total = [], []
    for label in range(1, len(classes) + 1):
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
    settings : patchseg.params.Training

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


def _save_state(path, network, key, history, mean):
    arrays = {f"v{i}": v for i, v in enumerate(_values(_variables(network)))}
    arrays |= {f"mean{i}": v for i, v in enumerate(mean or [])}
    with replacing(path) as temporary:
        np.savez(temporary, log=json.dumps({"key": key, "history": history}), **arrays)


def _load_state(path, network, key):
    """Restore network and optimizer; return history and mean weights, None without a state."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as state:
        log = json.loads(str(state["log"]))
        if log["key"] != key:
            print("a killed run had other code, settings or data: training starts anew", flush=True)
            return None
        for i, variable in enumerate(_variables(network)):
            variable.assign(state[f"v{i}"])
        means = sum(name.startswith("mean") for name in state.files)
        return log["history"], [state[f"mean{i}"] for i in range(means)] or None


def _variables(network):
    """Return all that the next batch depends on."""
    return [*network.variables, *network.optimizer.variables]


def _values(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def fit(training, validation, settings, weights_path, state_path, start=None):
    """Train a network and keep the mean of its weights over the second half; resume after a kill.

    One line an epoch is printed, those of a resumed training's earlier epochs included. After each
    epoch everything that the next one depends on (weights, optimizer, history) is written to
    `state_path`. A later call with the same code, data, settings, precision and libraries goes on
    from there and ends with the same bytes; any other one says so and starts anew.

    Parameters
    ----------
    training, validation : pairs of (n, p, p) array-likes
        Images (float16 in [0, 1]) and labels (uint8).
    settings : patchseg.params.Training
    weights_path : str or Path
        Gets the mean weights (.weights.h5), with the architecture beside them (.json).
    state_path : str or Path
        Stays, so that a later call with the same arguments has nothing to train.
    start : str or Path, optional
        Weights of the same architecture to begin with; random ones unless given.

    Returns
    -------
    network : keras.Model
        With the mean weights.
    history : pandas.DataFrame
        One row an epoch: epoch, learning_rate, loss, val_dice and val_dice of each tissue, of the
        weights at its end.
    """
    with deterministic(settings.seed):
        return _fit(training, validation, settings, weights_path, Path(state_path), start)


def fit_seeds(training, validation, settings, seeds, folder, states):
    """Train one network for each seed; each is what it would be alone.

    Parameters
    ----------
    training, validation : pairs of (n, p, p) array-likes
        See `fit`.
    settings : patchseg.params.Train
    seeds : list of int
    folder, states : str or Path
        Folders for the weights (see `checkpoint.of_seed`) and for what a killed run goes on from,
        which is removed at the end.

    Returns
    -------
    history : pandas.DataFrame
        As `fit` gives it, with a column `seed`.
    """
    histories, left = [], [Path(states) / f"seed-{seed}.npz" for seed in seeds]
    for seed, state in zip(seeds, left, strict=True):
        print(f"seed {seed}", flush=True)
        weights = checkpoint.of_seed(folder, seed)
        _, history = fit(training, validation, settings.seeded(seed), weights, state)
        histories.append(history.assign(seed=seed))
    for state in left:
        state.unlink()
    return pd.concat(histories, ignore_index=True)


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
    history, mean = _load_state(state_path, network, key) or ([], None)
    for row in history:
        _report(row, settings.epochs)
    for epoch in range(len(history), settings.epochs):
        row, mean = _epoch(network, training, validation, settings, epoch, mean)
        history.append(row)
        _save_state(state_path, network, key, history, mean)
        _report(row, settings.epochs)
    network.set_weights(mean)
    settle(network, training, settings)
    print(f"weights that are kept:     {_said(_dice(network, validation, settings))}", flush=True)
    checkpoint.save(network, architecture, weights_path)
    return network, pd.DataFrame(history)


def architecture_of(settings):
    """Return the arguments of `unet.build` for a `params.Training`."""
    return {
        "kind": settings.network,
        "levels": settings.levels,
        "features": settings.features,
        "blocks": settings.blocks,
        "in_channels": 1,
        "out_channels": len(settings.classes),
        "activation": LOSSES[settings.loss][0],
        **({"dimensions": settings.dimensions} if settings.dimensions != 2 else {}),
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


def _epoch(network, training, validation, settings, epoch, mean):
    """Train for one epoch; return its row of the history, and the mean weights so far.

    They are the mean over all batches of the second half of the epochs, None before it.
    """
    rate = float(ops.convert_to_numpy(network.optimizer.learning_rate))
    steps = progress(
        batches(*training, settings, epoch),
        f"epoch {epoch + 1}/{settings.epochs}",
        settings.steps_per_epoch,
    )
    losses, counted = [], (epoch - settings.epochs // 2) * settings.steps_per_epoch
    for number, (x, y) in enumerate(steps, start=1):
        losses.append(step(network, x, y))
        if counted >= 0:
            mean = _moved(mean, _values(network.variables), counted + number)
    dice = _dice(network, validation, settings)
    row = {
        "epoch": epoch + 1,
        "learning_rate": rate,
        "loss": float(np.mean(losses)),
        "val_dice": float(np.mean(list(dice.values()))),
        **{f"val_dice_{name}": float(value) for name, value in dice.items()},
    }
    return row, mean


def _moved(mean, values, count):
    """Return the mean of `count` values, of which all but the last have a mean already."""
    if mean is None:
        return values
    return [old + (new - old) / count for old, new in zip(mean, values, strict=True)]


def _report(row, epochs):
    start = "val_dice_"
    dice = {name.removeprefix(start): row[name] for name in row if name.startswith(start)}
    print(f"epoch {row['epoch']:3d}/{epochs}  loss {row['loss']:.4f}  {_said(dice)}", flush=True)


def _dice(network, validation, settings):
    """Return the validation Dice of each class by its name."""
    found = validation_dice(network, *validation, settings.classes)
    return dict(zip(settings.classes, map(float, found), strict=True))


def _said(dice):
    """Say the validation Dice of each class, the last one first, as of WM, GM and CSF."""
    each = "  ".join(f"{name} {value:.3f}" for name, value in reversed(dice.items()))
    return f"validation Dice {np.mean(list(dice.values())):.4f}  ({each})"


def _digest(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
