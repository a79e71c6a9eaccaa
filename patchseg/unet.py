"""The UNet (Ronneberger 2015) and its residual sibling, from Keras 3 layers only."""

import keras
from keras import layers


def _convolutions(x, features, blocks, convolution):
    """`blocks` times convolution, batch normalisation, ReLU."""
    for _ in range(blocks):
        x = convolution(
            features, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
        )(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return x


def _residual(x, features, blocks, convolution):
    """`blocks` times a pre-activation residual block: x + conv(relu(bn(conv(relu(bn(x)))))).

    He 2016.
    """
    for _ in range(blocks):
        shortcut = x if x.shape[-1] == features else convolution(features, 1, use_bias=False)(x)
        for _ in range(2):
            x = layers.ReLU()(layers.BatchNormalization()(x))
            x = convolution(
                features, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
            )(x)
        x = layers.Add()([x, shortcut])
    return x


BODIES = {"unet": _convolutions, "resunet": _residual}
LAYERS = {
    2: (layers.Conv2D, layers.MaxPooling2D, layers.Conv2DTranspose),
    3: (layers.Conv3D, layers.MaxPooling3D, layers.Conv3DTranspose),
}
"""By the dimensions of what the network sees: images, or volumes."""


def build(
    kind="unet",
    levels=4,
    features=16,
    blocks=2,
    in_channels=1,
    out_channels=3,
    activation="sigmoid",
    dimensions=2,
):
    """Build a network for images whose edges are multiples of 2^(levels - 1).

    Parameters
    ----------
    kind : {'unet', 'resunet'}
    levels : int
        Resolutions; features double and edges halve from each to the next.
    features : int or list of int
        Initial features, which double from level to level; or those of each level.
    blocks : int or list of int
        Blocks per level (or for each), on the way down and on the way up: convolutions for a UNet,
        pairs of them for a ResUNet.
    in_channels, out_channels : int
    activation : {'sigmoid', 'softmax'}
        One probability per tissue ('sigmoid', the original), or tissues and background that sum to
        1 ('softmax', which has one channel more: the background comes first).
    dimensions : {2, 3}
        Of what it sees: slices, or small volumes.

    Returns
    -------
    network : keras.Model
        (n, h, w, in_channels) float32 to (n, h, w, out_channels [+ 1]) float32 in [0, 1]; for
        volumes (n, x, y, z, ...).

    Raises
    ------
    ValueError
        If there is not one width or one number of blocks for each level.
    """
    body = BODIES[kind]
    convolution, pooling, transposed = LAYERS[dimensions]
    widths = (
        [features * 2**level for level in range(levels)] if isinstance(features, int) else features
    )
    counts = [blocks] * levels if isinstance(blocks, int) else blocks
    if not len(widths) == len(counts) == levels:
        raise ValueError(
            f"{len(widths)} features and {len(counts)} blocks for {levels} levels; give one for"
            " each"
        )
    channels = out_channels + (activation == "softmax")
    inputs = x = layers.Input((*[None] * dimensions, in_channels))
    skips = []
    for width, count in zip(widths[:-1], counts, strict=False):  # -> edges divided by 2^(levels-1)
        x = body(x, width, count, convolution)
        skips.append(x)
        x = pooling()(x)
    x = body(x, widths[-1], counts[-1], convolution)
    for width, count, skip in reversed(list(zip(widths, counts, skips, strict=False))):  # and back
        x = transposed(width, 2, strides=2)(x)
        x = body(layers.Concatenate()([skip, x]), width, count, convolution)
    x = convolution(channels, 1)(x)
    return keras.Model(inputs, layers.Activation(activation, dtype="float32")(x), name=kind)


def go_back(network, start, kept):
    """Move weights towards those that a training started from (Wortsman 2022).

    The network then forgets less, and does better on what is like neither of the two.

    Parameters
    ----------
    network : keras.Model
        Trained; changed in place.
    start : keras.Model
        Before the training.
    kept : float
        Share of the change that is kept, 0 to 1.
    """
    network.set_weights(
        [
            old + kept * (new - old)
            for old, new in zip(start.get_weights(), network.get_weights(), strict=True)
        ]
    )
