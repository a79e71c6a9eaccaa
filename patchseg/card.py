"""The card of a network: a JSON file beside its weights that says what they are. Reading it loads no network."""

import json
from pathlib import Path

from patchseg.errors import InputError
from patchseg.files import sha256, write_text

SUFFIX = ".weights.h5"
SHIPPED = Path(__file__).parent / "data" / "patchseg.weights.h5"
"""The weights that come with the package."""


def write(path, architecture, **known):
    """Write the card of the weights at `path`: the arguments of `unet.build`, their sha256, and what else is known."""
    card = {"architecture": architecture, "sha256": sha256(path), **known}
    write_text(path_of(path), json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def read(path):
    """Read what lies beside the weights: a dict with `architecture`, `sha256` and what `write` was told.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the weights are not those that the card was written for.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise InputError(f"{path}: not a name of weights; name a file that ends in {SUFFIX}")
    for file in (path, path_of(path)):
        if not file.is_file():
            raise InputError(f"{file}: no such file; weights are two files, NAME{SUFFIX} and NAME.json (the train stage writes both)")
    try:
        found = json.loads(path_of(path).read_text(encoding="utf-8"))
        expected = found["sha256"]
        if not isinstance(found["architecture"], dict):
            raise TypeError("'architecture' is not a table")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path_of(path)}: not a card of weights ({error}); copy it again, or train again") from error
    if sha256(path) != expected:
        raise InputError(f"{path}: sha256 {sha256(path)[:12]}… is not {str(expected)[:12]}… of {path_of(path).name}; copy both files again")
    return found


def path_of(path):
    """Return where the card of weights lies: NAME.json beside NAME.weights.h5."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(SUFFIX) + ".json")
