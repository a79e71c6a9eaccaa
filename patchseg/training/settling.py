"""What hangs on a network's weights is brought in line with them, after these were moved.

The statistics of the batch normalisation are measured anew, and the last layer is trained on alone.
"""

import keras

from patchseg.training.batches import batches, step
from patchseg.training.losses import LOSSES

SETTLING = {2: 512, 3: 64}
"""At most so many batches, to measure the statistics of the batch normalisation at the end.

Of images, and of volumes, which have more pixels."""
LAST_LAYER = {"steps": 128, "learning_rate": 0.01}
"""How the last layer is trained on alone at the end; the rate falls to 0 as a cosine."""


def settle(network, training, settings):
    """Bring what hangs on the other weights in line with them, in place, after these were moved.

    The statistics of the batch normalisation (see `measure_statistics`), then the last layer (see
    `fit_last_layer`).
    """
    measure_statistics(network, training, settings)
    fit_last_layer(network, training, settings)


def measure_statistics(network, training, settings):
    """Measure the statistics of the batch normalisation for the weights as they are, in place.

    They become the plain mean over the batches of one pass, at most `SETTLING`, the same ones
    whatever the seed. Those that Keras keeps while it trains are of weights that have moved on
    since.

    Parameters
    ----------
    network : keras.Model
    training : pair of (n, p, p) array-likes
        Images (float16 in [0, 1]) and labels (uint8).
    settings : patchseg.params.Training
        Its `batch_size` and `flips` say what the batches are.
    """
    own = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    momenta = [one.momentum for one in own]
    steps = min(SETTLING[settings.dimensions], max(1, len(training[0]) // settings.batch_size))
    for seen, (x, _) in enumerate(_same_batches(training, settings, steps)):
        for layer in own:
            layer.momentum = seen / (seen + 1)
        network(x, training=True)
    for layer, momentum in zip(own, momenta, strict=True):
        layer.momentum = momentum


def fit_last_layer(network, training, settings):
    """Train the last layer alone until it fits the others, in place.

    It says how much of each feature speaks for which tissue, so it is what shifts borders. The
    batches are the same ones whatever the seed.

    Parameters
    ----------
    network, training, settings
        See `measure_statistics`; `loss` counts, too.
    """
    steps, rate = LAST_LAYER["steps"], LAST_LAYER["learning_rate"]
    kinds = keras.layers.Conv2D, keras.layers.Conv3D
    last = [one for one in network.layers if isinstance(one, kinds)][-1]
    for layer in network.layers:
        layer.trainable = layer is last
    decay = keras.optimizers.schedules.CosineDecay(rate, steps)
    network.compile(keras.optimizers.Adam(decay), LOSSES[settings.loss][1])
    for x, y in _same_batches(training, settings, steps):
        step(network, x, y)
    for layer in network.layers:
        layer.trainable = True


def _same_batches(training, settings, steps):
    """Return batches that are the same for each seed."""
    return batches(
        *training,
        settings.model_copy(update={"seed": 0, "steps_per_epoch": steps}),
        settings.epochs,
    )
