"""The network that comes with the package, or one of the user's own, with its card."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from patchseg import card as cards
from patchseg import unet
from patchseg.errors import InputError


@dataclass(frozen=True)
class Network:
    """A network and what is to be known to use it.

    Attributes
    ----------
    model : keras.Model
    path : Path
    card : dict
        Of `card.read`.
    top : float
        Percentile of the brain that is 1 after normalisation (see `brain.normalise`).
    brain_pixels : float
        The cube root of a brain's volume in pixels, as the network likes to see it: the sampling scale.
    sizes_mm : tuple of two float
        Cube roots (mm) of the volumes of the smallest and largest brain of the training.
    contrasts : tuple of str
        Of the training, for example T1w.
    """

    model: object
    path: Path
    card: dict = field(repr=False)
    top: float = 99.0
    brain_pixels: float = 120.0
    sizes_mm: tuple = (0.0, float("inf"))
    contrasts: tuple = ("T1w",)


@lru_cache(maxsize=2)
def load(path=None):
    """Load a network, once a process.

    Parameters
    ----------
    path : str or Path, optional
        A ``.weights.h5`` file with its ``.json`` card; those of the package unless given.

    Returns
    -------
    network : Network

    Raises
    ------
    InputError
        See `unet.load`; or if the network has not one channel in.
    """
    path = Path(path) if path else cards.SHIPPED
    card = cards.read(path)
    model = unet.load(path)
    if model.input_shape[-1] != 1:
        raise InputError(f"{path}: the network wants {model.input_shape[-1]} channels, an image has 1; use weights trained on single images")
    known = {name: card[name] for name in ("top", "brain_pixels", "sizes_mm", "contrasts") if name in card}
    return Network(model, path, card, **known)
