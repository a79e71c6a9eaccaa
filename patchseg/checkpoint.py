"""Weights and their card: a JSON file beside the weights that says what they are.

Reading a card loads no network.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patchseg.core.errors import InputError
from patchseg.core.files import replacing, sha256, write_text
from patchseg.core.runtime import keeping_generators

SUFFIX = ".weights.h5"
SHIPPED = Path(__file__).parent / "data" / "patchseg.weights.h5"
"""The weights that come with the package."""
HEADS = SHIPPED.with_name("heads.weights.h5")
"""Those that find the brain in a head."""
DEEP = SHIPPED.with_name("deep.weights.h5")
"""Those that find deep grey matter."""

USED = (
    "sha256",
    "architecture",
    "top",
    "brain_pixels",
    "calibration",
    "calibrated_mm",
    "general",
    "general_mm",
    "deep",
)
"""What of a card changes an answer; the rest tells where the weights come from and how they do."""

Width = Annotated[int, Field(ge=1, le=2048)]
Depth = Annotated[int, Field(ge=1, le=16)]


class _Architecture(BaseModel):
    """The arguments of `unet.build`, of a size that somebody may have trained."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["unet", "resunet"] = "unet"
    levels: Annotated[int, Field(ge=1, le=6)] = 4
    features: Width | list[Width] = 16
    blocks: Depth | list[Depth] = 2
    in_channels: Depth = 1
    out_channels: Depth = 3
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    dimensions: Literal[2, 3] = 2


def write_card(path, architecture, **known):
    """Write the card of the weights at `path`: architecture, sha256, and what else is known.

    Parameters
    ----------
    path : str or Path
        The weights (``.weights.h5``), which are there already.
    architecture : dict
        The arguments of `unet.build`.
    **known
        What JSON can hold.
    """
    card = {"architecture": architecture, "sha256": sha256(path), **known}
    write_text(card_path(path), json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def read_card(path):
    """Read the card that lies beside the weights.

    Returns
    -------
    card : dict
        `architecture`, `sha256` and what `write_card` was told.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the weights are not those that the card was written for.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise InputError(f"{path}: not a name of weights; name a file that ends in {SUFFIX}")
    try:
        missing = [file for file in (path, card_path(path)) if not file.is_file()]
        text, made = (b"", "") if missing else (card_path(path).read_bytes(), sha256(path))
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); mend its permissions, or copy"
            " the weights and their card again"
        ) from error
    if missing:
        raise InputError(
            f"{missing[0]}: no such file; weights are two files side by side, NAME{SUFFIX} and"
            " NAME.json; copy both, or train them first"
        )
    try:
        found = json.loads(text)
        expected = found["sha256"]
        if not isinstance(found["architecture"], dict):
            raise TypeError("'architecture' is not a table")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{card_path(path)}: not a card of weights ({error}); copy it again, or train again"
        ) from error
    if made != expected:
        raise InputError(
            f"{path}: sha256 {made[:12]}… is not {str(expected)[:12]!r}… of"
            f" {card_path(path).name}; copy both files again"
        )
    return found


def finds_brains(path):
    """Whether weights are those of a network that finds the brain in a head."""
    return read_card(path)["architecture"].get("dimensions", 2) == 3


def use(path):
    """Return what of a card says what its network answers: a dict, for keys."""
    card = read_card(path)
    deep = {"deep_sha256": read_card(DEEP)["sha256"]} if card.get("deep") else {}
    return {name: card.get(name) for name in USED} | deep


def of_seed(folder, seed):
    """Return where the weights of a recipe lie that were trained with a seed."""
    return Path(folder) / f"seed-{seed}{SUFFIX}"


def card_path(path):
    """Return where the card of weights lies: NAME.json beside NAME.weights.h5."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(SUFFIX) + ".json")


def save(network, architecture, path, **known):
    """Write the weights to `path` and their card beside them; no code is stored.

    Parameters
    ----------
    network : keras.Model
        The session of Keras stays as it is.
    architecture : dict
        The arguments of `unet.build` that made it.
    path : str or Path
        Ends in ``.weights.h5``.
    **known
        What else is to be known of the network, for example how images were normalised for it.
    """
    from patchseg import unet  # Keras takes seconds to load; reading a card does not need it

    path = Path(path)
    # Without the optimizer, whose state is twice as large as the weights. In a thread of its own,
    # where Keras numbers the layers from 0 and knows no other precision: the file is the same
    # whatever was built before, and what the caller built and set stays.
    with keeping_generators(), ThreadPoolExecutor(1) as fresh:
        bare = fresh.submit(unet.build, **architecture).result()
    bare.set_weights(network.get_weights())
    with replacing(path) as temporary:
        bare.save_weights(temporary)
    write_card(path, architecture, **known)


def load(path):
    """Build the network that the card of `path` describes and load its weights.

    Raises
    ------
    InputError
        See `read_card`; or if the weights do not fit the description.
    """
    from patchseg import unet

    found = read_card(path)
    _check_architecture(path, found["architecture"])
    try:
        with keeping_generators():
            network = unet.build(**found["architecture"])
        network.load_weights(path)
        if not all(np.isfinite(array).all() for array in network.get_weights()):
            raise ValueError("some are NaN or infinite")
    except Exception as error:  # h5py and Keras raise many kinds on a damaged file
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{path}: the weights do not fit {card_path(path).name} ({reason}); copy both files"
            " again, or train again"
        ) from error
    return network


def _check_architecture(path, architecture):
    """Raise InputError if a card describes no network, or one too large for the file."""
    try:
        _Architecture.model_validate(architecture)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("architecture", *first["loc"])))
        raise InputError(
            f"{card_path(path)}: {key} = {str(first['input'])[:80]}: {first['msg']}; copy the card"
            " again, or train again"
        ) from error
    least, size = 4 * _least_weights(_Architecture(**architecture)), path.stat().st_size
    if least > size:  # before the network is built, which takes that memory
        raise InputError(
            f"{path}: holds {size} bytes, but the network of {card_path(path).name} takes"
            f" {least:.3g} or more; copy both files again, or train again"
        )


def _least_weights(described):
    """Return how many weights a network has at least: those of its way down (see `unet.build`)."""
    widths, counts = (
        value
        if isinstance(value, list)
        else [value * base**level for level in range(described.levels)]
        for value, base in ((described.features, 2), (described.blocks, 1))
    )
    before = [described.in_channels, *widths]
    return 3**described.dimensions * sum(
        narrow * wide + (count - 1) * wide**2
        for narrow, wide, count in zip(before, widths, counts, strict=False)
    )
