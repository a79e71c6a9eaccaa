"""The network that comes with the package, or one of the user's own, with its card."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat, ValidationError, model_validator

from patchseg import checkpoint
from patchseg.core import files, runtime
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES
from patchseg.images.brain import TOP
from patchseg.inference import library
from patchseg.inference.calibration import LEAST_CONTRAST, TERMS
from patchseg.inference.features import COUNT as FEATURES


class _Learned(BaseModel):
    """Numbers of `calibration.fit`, checked."""

    tissues: Annotated[list[Literal["CSF", "GM", "WM"]], Field(min_length=2, max_length=3)]
    center: Annotated[list[FiniteFloat], Field(min_length=FEATURES, max_length=FEATURES)]
    scale: Annotated[
        list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=FEATURES, max_length=FEATURES)
    ]
    weights: list[Annotated[list[FiniteFloat], Field(min_length=TERMS, max_length=TERMS)]]
    bias: list[FiniteFloat]

    @model_validator(mode="after")
    def _a_row_for_each_tissue(self):
        if not len(self.tissues) == len(self.weights) == len(self.bias):
            raise ValueError(
                f"{len(self.tissues)} tissues, {len(self.weights)} rows of weights,"
                f" {len(self.bias)} of bias"
            )
        return self


class _Calibration(_Learned):
    """Those of an animal, and what they start from: what other animals' labels say."""

    start: _Learned | None = None


class _Known(BaseModel):
    """What the card says of how to use the network, checked."""

    top: Annotated[float, Field(gt=0, le=100)] = TOP
    brain_pixels: Annotated[float, Field(ge=16, le=1024)] = 120.0
    sizes_mm: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]] = (
        0.0,
        float("inf"),
    )
    contrasts: tuple[str, ...] = ("T1w",)
    calibration: _Calibration | None = None
    calibrated_mm: tuple[float, float] = (0.0, 0.0)
    deep: bool = False
    general: _Learned | None = None
    general_mm: tuple[float, float] = (0.0, 0.0)

    @model_validator(mode="after")
    def _says_for_which_brains(self):
        if self.general and not 0 <= self.general_mm[0] < self.general_mm[1]:
            raise ValueError(f"general_mm = {self.general_mm} is no range of sizes")
        return self


@dataclass(frozen=True)
class Network:
    """A network and what is to be known to use it.

    Attributes
    ----------
    model : keras.Model
    path : Path
    card : dict
        Of `checkpoint.read_card`.
    top : float
        Percentile of the brain that is 1 after normalisation (see `brain.normalise`).
    brain_pixels : float
        The cube root of a brain's volume in pixels, as the network likes to see it: the sampling
        scale.
    sizes_mm : tuple of two float
        Cube roots (mm) of the volumes of the smallest and largest brain of the training.
    contrasts : tuple of str
        Of the training, for example T1w.
    calibration : dict or None
        Of `calibration.fit`, for an animal that it was adapted to.
    calibrated_mm : tuple of two float
        Sizes (mm) of the brains for which the calibration holds.
    general : dict or None
        Likewise, for animals that no label taught it; of the labels of several others.
    general_mm : tuple of two float
        Sizes (mm) of the brains for which that holds.
    deep : bool
        Whether deep grey matter is looked for beside it (see `deep_grey`).
    precision : str
        In which it computes (see `runtime.precision`).
    """

    model: object
    path: Path
    card: dict = field(repr=False)
    top: float = TOP
    brain_pixels: float = 120.0
    sizes_mm: tuple = (0.0, float("inf"))
    contrasts: tuple = ("T1w",)
    calibration: dict | None = field(default=None, repr=False)
    calibrated_mm: tuple = (0.0, 0.0)
    general: dict | None = field(default=None, repr=False)
    general_mm: tuple = (0.0, 0.0)
    deep: bool = False
    precision: str = "auto"

    def borders(self, size_mm, contrast):
        """Return the calibration that holds for a brain.

        Parameters
        ----------
        size_mm : float
            Of the brain.
        contrast : float
            See `features.contrast`.

        Returns
        -------
        calibration : dict or None
        whose : {'', 'other animals', 'this animal'}
            Whose labels it is of.
        """
        if self.calibration is not None and _within(size_mm, self.calibrated_mm):
            return self.calibration, "this animal"
        general = self.others(size_mm, contrast)
        return (None, "") if general is None else (general, "other animals")

    def others(self, size_mm, contrast):
        """Return what other animals' labels say, if that holds for a brain (see `borders`)."""
        holds = _within(size_mm, self.general_mm) and contrast >= LEAST_CONTRAST
        return self.general if holds else None


def _within(size_mm, room):
    return room[0] <= size_mm <= room[1]


def load(path=None, precision="auto"):
    """Load a network; the same weights are loaded once a process.

    Parameters
    ----------
    path : str or Path, optional
        A ``.weights.h5`` file with its ``.json`` card, or a name (see `library.find`); those of the
        package unless given.
    precision : {'auto', 'float32', 'mixed_bfloat16'}
        'auto' computes in bfloat16 where the processor does: a quarter faster, and 0.2 % of a
        brain's voxels become another tissue.

    Returns
    -------
    network : Network

    Raises
    ------
    InputError
        See `checkpoint.load`; or if the card holds a value that makes no sense, or the network is
        not one for single images and three tissues, as the one that finds deep grey matter.
    """
    path = library.find(path).resolve() if path else checkpoint.SHIPPED
    if "classes" in checkpoint.read_card(path):
        raise InputError(f"{path}: a network that finds no tissues; use other weights")
    return _load(path, files.sha256(checkpoint.card_path(path)), runtime.precision(precision))


def load_deep(precision="auto"):
    """Load the network that finds deep grey matter, that of the package (see `load`): a `Network`.

    Raises
    ------
    InputError
        See `checkpoint.read_card`, if its files are missing or damaged.
    """
    path = checkpoint.DEEP
    checkpoint.read_card(path)
    return _load(path, files.sha256(checkpoint.card_path(path)), runtime.precision(precision))


def load_heads(path=None, precision="auto"):
    """Load a network that finds the brain in a head; the same weights are loaded once a process.

    Parameters
    ----------
    path : str or Path, optional
        A ``.weights.h5`` file with its ``.json`` card, or a name (see `library.find`); those of the
        package unless given.
    precision : {'auto', 'float32', 'mixed_bfloat16'}

    Returns
    -------
    model : keras.Model
        (n, x, y, z, 1) to the probabilities (n, x, y, z, 3) of air, other tissue, brain.

    Raises
    ------
    InputError
        See `checkpoint.load`; or if the network is not one for heads.
    """
    path = library.find(path).resolve() if path else checkpoint.HEADS
    card = checkpoint.read_card(path)
    if not checkpoint.finds_brains(path):
        raise InputError(f"{path}: not weights that find the brain in a head; use those of heads")
    return _load_heads(path, card["sha256"], runtime.precision(precision))


@lru_cache(maxsize=2)
def _load_heads(path, _sha256, precision):
    with runtime.computing_in(precision):
        return checkpoint.load(path)


def _wrong(error):
    """Say what is wrong with a card, and the mend."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if key.startswith(("calibration.", "general.")) and first["type"] in ("too_short", "too_long"):
        mend = (
            "adapt again with the same images and labels (patchseg adapt)"
            if key.startswith("calibration.")
            else "start again from today's weights of the package, or learn it again (patchseg dev"
            " across borders)"
        )
        return (
            f"{key} holds {len(first['input'])} values, which is not what this version of patchseg"
            f" learns from labels; {mend}"
        )
    return f"{key} = {first['input']!r}: {first['msg']}; copy the card again, or train again"


@lru_cache(maxsize=3)
def _load(path, _card_sha256, precision):
    card = checkpoint.read_card(path)
    try:
        known = _Known.model_validate(
            {name: card[name] for name in _Known.model_fields if name in card}
        )
    except ValidationError as error:
        raise InputError(f"{checkpoint.card_path(path)}: {_wrong(error)}") from error
    with runtime.computing_in(precision):
        model = checkpoint.load(path)
    channels = model.input_shape[-1], model.output_shape[-1]
    wrong = channels not in ((1, len(TISSUES)), (1, len(TISSUES) + 1))
    if wrong or checkpoint.finds_brains(path):
        raise InputError(
            f"{path}: a network of {len(model.input_shape) - 2} dimensions from {channels[0]}"
            f" channels to {channels[1]}; use one for slices from 1 channel to {len(TISSUES)}"
            " tissues"
        )
    return Network(model, path, card, **known.model_dump(), precision=precision)
