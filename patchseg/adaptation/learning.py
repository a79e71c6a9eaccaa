"""The network learns patches around the labels, mixed with patches of what it knew before.

The old ones are of the MNI template, and their labels are the network's own answers, so that it
learns the new without losing the old (learning without forgetting, Li and Hoiem 2018).
"""

from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from patchseg.core import runtime
from patchseg.core.progress import progress_bar
from patchseg.datasets import sample
from patchseg.params import Draw
from patchseg.training import draw


@dataclass
class Learned:
    """What came out of a fine-tuning.

    Attributes
    ----------
    model : keras.Model
    losses : list of float
        Mean loss of each round.
    steps : int
        Batches.
    stopped : bool
        Whether somebody pressed Ctrl-C; the model is then that of the best round.
    """

    model: object
    losses: list = field(default_factory=list)
    steps: int = 0
    stopped: bool = False


def train(given, parent, recipe, seed=0, steps=None, on_round=None):
    """Fine-tune a network on labelled voxels.

    Parameters
    ----------
    given : list of patchseg.datasets.labelled.Labelled
    parent : patchseg.inference.networks.Network
    recipe : patchseg.params.Adapt
    seed : int
    steps : int, optional
        Batches; `steps_for` unless given.
    on_round : callable, optional
        Called after each round with the list of mean losses so far.

    Returns
    -------
    learned : Learned
        Its weights are averaged with the parent's (see `kept_for`).

    Raises
    ------
    KeyboardInterrupt
        If somebody pressed Ctrl-C before the end of the first round.
    """
    from patchseg import unet
    from patchseg.training.losses import binary_cross_entropy, dice_cross_entropy

    steps = steps_for(given, recipe) if steps is None else steps
    with runtime.deterministic(seed):
        loss = dice_cross_entropy if _softmax(parent) else binary_cross_entropy
        learned = Learned(compiled(parent, loss, recipe.learning_rate, steps, recipe.fixed))
        rounds(learned, _batches(given, parent, recipe, seed), steps, recipe.round, on_round)
    unet.go_back(learned.model, parent.model, kept_for(given, recipe))
    return learned


def rounds(learned, batches, steps, size, on_round=None):
    """Train in rounds of so many batches; Ctrl-C leaves the weights of the best round.

    Parameters
    ----------
    learned : Learned
        Its compiled model is trained, and what came out is told in it.
    batches : iterator of (x, y)
    steps : int
        Batches at the end, those that it learned before included.
    size : int
        Batches of a round.
    on_round : callable, optional
        See `train`.
    """
    best = learned.model.get_weights() if learned.losses else None
    try:
        with closing(progress_bar("fine-tuning", steps)) as bar:
            while learned.steps < steps:
                count = min(size, steps - learned.steps)
                losses = [_step(learned.model, *next(batches), bar) for _ in range(count)]
                learned.steps += count
                learned.losses.append(float(np.mean(losses)))
                if learned.losses[-1] <= min(learned.losses):
                    best = learned.model.get_weights()
                if on_round:
                    on_round(learned.losses)
    except KeyboardInterrupt:
        if best is None:
            raise
        learned.model.set_weights(best)
        learned.stopped = True


def steps_for(given, recipe):
    """Return how many batches these labels are worth: more slices, more batches."""
    return min(recipe.most_steps, recipe.steps + recipe.more_steps * (slices_of(given) - 1))


def kept_for(given, recipe):
    """Return the share of what was learned that is kept: more slices, more of it.

    What goes back to the parent is divided by their number.
    """
    return 1 - (1 - recipe.kept) / slices_of(given)


def slices_of(given):
    """Return how many slices of these brains are labelled, at least 1."""
    return max(1, sum(len(one.slices()[1]) for one in given))


def compiled(parent, loss, rate, steps, fixed=("BatchNormalization",)):
    """Return a copy of a network that learns, but for the layers that are fixed.

    Parameters
    ----------
    parent : patchseg.inference.networks.Network
    loss : callable
    rate : float
        Learning rate at the start; it falls to 0 as a cosine.
    steps : int
    fixed : sequence of str
        Classes of layers, "encoder" or "decoder".

    Returns
    -------
    network : keras.Model
    """
    import keras

    from patchseg import unet

    with runtime.computing_in(parent.precision):
        network = unet.build(**parent.card["architecture"])
    network.set_weights(parent.model.get_weights())
    upwards = keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose
    ups = [isinstance(layer, upwards) for layer in network.layers]
    up = ups.index(True) if any(ups) else len(ups)  # a network of one level has no way up
    for number, layer in enumerate(network.layers):
        own = {type(layer).__name__, "encoder" if number < up else "decoder"}
        layer.trainable = not own & set(fixed)
    decay = keras.optimizers.schedules.CosineDecay(rate, max(1, steps))
    network.compile(keras.optimizers.Adam(decay), loss)
    return network


def _softmax(parent):
    return parent.card["architecture"].get("activation", "sigmoid") == "softmax"


def _step(network, x, y, bar):
    network.reset_metrics()
    loss = float(network.train_on_batch(x, y))
    bar.update(1)
    return loss


def _batches(given, parent, recipe, seed):
    """Yield batches for ever: patches around the labels, and of the template."""
    from patchseg.training.batches import flip

    new = _new_patches(given, parent, recipe, seed)
    old_count = round(recipe.batch_size * recipe.replay)
    old = _old_patches(parent, recipe, seed) if old_count else None
    rng = np.random.default_rng(seed)
    while True:
        parts = [_drawn(rng, new, recipe.batch_size - old_count)]
        parts += [_drawn(rng, old, old_count)] if old_count else []
        x, y = (np.concatenate(part) for part in zip(*parts, strict=True))
        flip(rng, x, y)
        yield x[..., None], y


def _drawn(rng, pair, count):
    rows = rng.integers(len(pair[0]), size=count)
    return pair[0][rows], pair[1][rows]


def _new_patches(given, parent, recipe, seed):
    """Return patches around the labels, and their labels as channels."""
    from patchseg.training.losses import one_hot

    brains = [draw.brain_of(one, parent.top, _planes(one, recipe.in_plane)) for one in given]
    images, labels = _drawn_as_seen(brains, parent, recipe.draw, seed)
    return images, one_hot(labels, _softmax(parent))


def _old_patches(parent, recipe, seed):
    """Return patches of the template, and what the network says of them before it learns."""
    brains = [draw.brain_of(sample.labelled_template(), parent.top)]
    images, _ = _drawn_as_seen(brains, parent, recipe.replayed, seed)
    parts = np.split(images, range(64, len(images), 64))
    answers = [np.asarray(parent.model.predict_on_batch(part[..., None])) for part in parts]
    return images, np.concatenate(answers)


def _drawn_as_seen(brains, parent, settings, seed):
    """Draw patches of brains in the size at which the network sees brains."""
    seen = {**settings.model_dump(), "brain_pixels": parent.brain_pixels, "validation": 1}
    return draw.in_memory(brains, settings.patches, Draw(**seen), seed)


def _planes(one, in_plane):
    """Return the share of patches across each axis: most where the labels fill slices."""
    filled = one.filled()
    painted = filled == filled.max()
    if painted.all():
        return (1 / 3,) * 3
    return tuple(np.where(painted, in_plane / painted.sum(), (1 - in_plane) / (~painted).sum()))
