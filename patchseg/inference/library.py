"""The user's own weights by name: a folder that holds NAME.weights.h5 and NAME.json of each.

The folder is the one that `PATCHSEG_WEIGHTS` names, or else one of the user's data (on Linux
``~/.local/share/patchseg/weights``, or below ``XDG_DATA_HOME``). The weights of the package have
names, too: patchseg and heads.
"""

import difflib
import os
import re
import shutil
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import platformdirs
from pydantic import BaseModel, FiniteFloat, ValidationError

from patchseg import checkpoint
from patchseg.core.errors import InputError
from patchseg.core.files import check_writable, replacing
from patchseg.inference.resemblance import Length, Look

VARIABLE = "PATCHSEG_WEIGHTS"
NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
OWN = {"patchseg": checkpoint.SHIPPED, "heads": checkpoint.HEADS}
"""The weights of the package."""


class Taught(BaseModel):
    """An image that taught weights, and its slices."""

    image: str = "an image"
    plane: str = ""
    slices: list[int] = []
    held_out: list[int] = []


class Told(BaseModel):
    """What a card tells its reader; of no use to the network."""

    species: list[str] = []
    contrasts: list[str] = []
    sizes_mm: tuple[Length, Length] | None = None
    calibrated_mm: tuple[Length, Length] | None = None
    general_mm: tuple[Length, Length] | None = None
    general_brains: list[str] = []
    parent: str = ""
    parent_name: str = ""
    adapted_to: list[Taught] = []
    looks: list[Look] = []
    dice_before: dict[str, FiniteFloat] = {}
    dice_after: dict[str, FiniteFloat] = {}
    held_out_before: dict[str, FiniteFloat] = {}
    held_out_after: dict[str, FiniteFloat] = {}
    changed: FiniteFloat | None = None
    kept: str | float = ""
    guard: dict = {}
    helped: bool = True
    stopped: bool = False
    steps: int | None = None
    seed: int | None = None
    scores_from: str = ""
    limits: list[str] = []


@dataclass(frozen=True)
class Entry:
    """Weights that have a name.

    Attributes
    ----------
    name : str
    path : Path
    own : bool
        Whether they come with the package.
    kind : {'tissues', 'masks', ''}
    made : str
        The day on which the file was written.
    written : float
        The same in seconds since 1970.
    told : Told
    problem : str
        Why they cannot be used; empty if they can.
    """

    name: str
    path: Path
    own: bool
    kind: str = ""
    made: str = ""
    written: float = 0.0
    told: Told = field(default_factory=Told)
    problem: str = ""

    @property
    def offered(self):
        """Whether they are the user's, know tissues, and can be used."""
        return not self.own and self.kind == "tissues"


def folder():
    """Return the folder of the user's weights; it need not be there yet."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else platformdirs.user_data_path("patchseg", False) / "weights"


def names():
    """List the names of all weights: those of the package, then the user's."""
    return [*OWN, *_users()]


def _users():
    here = folder()
    try:
        files = [one.name for one in here.iterdir()] if here.is_dir() else []
    except OSError as error:
        raise InputError(
            f"{here}: cannot be read ({error.strerror}); mend its permissions, or name another"
            f" folder ({VARIABLE})"
        ) from error
    found = [
        name.removesuffix(checkpoint.SUFFIX) for name in files if name.endswith(checkpoint.SUFFIX)
    ]
    return sorted(name for name in found if NAME.fullmatch(name) and name not in OWN)


def _path(name):
    return OWN.get(name) or folder() / f"{name}{checkpoint.SUFFIX}"


def find(weights, below=None):
    """Return the file of weights that are given as a file or by name.

    Parameters
    ----------
    weights : str, Path or None
        A name has no suffix and no path separator, and no file is called so.
    below : Path, optional
        Folder of relative paths; the current one unless given.

    Returns
    -------
    path : Path or None
        None for None.

    Raises
    ------
    InputError
        If no weights have this name.
    """
    if weights is None:
        return None
    text, path = str(weights), Path(below or "", weights)
    is_path = not text or {"/", os.sep, os.altsep} & set(text) or Path(text).suffix
    if is_path or (NAME.fullmatch(text) and path.is_file()):
        name = path.name.removesuffix(checkpoint.SUFFIX)
        if path.name.endswith(checkpoint.SUFFIX) and not path.exists() and name in names():
            raise InputError(
                f"{path}: no such file; weights of the name '{name}' are there: say {name}, without"
                f" {checkpoint.SUFFIX}"
            )
        return path
    if text not in names():
        raise InputError(_unknown(text))
    return _path(text)


def _unknown(text):
    close = difflib.get_close_matches(text, names(), n=1)
    there = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names())}."
    return (
        f"{shown(text)}: no weights have this name in {folder()}; {there}"
        f" Or name a file, NAME{checkpoint.SUFFIX}"
    )


def target(name):
    """Return where new weights of a name go.

    Raises
    ------
    InputError
        If it is no name, or taken.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{shown(name)}: not a name for weights; use letters (A to Z), digits, - and _, at most"
            " 64, not - first"
        )
    if name in OWN:
        raise InputError(f"{name}: weights of the package have this name; choose another one")
    path = _path(name)
    for file in (path, checkpoint.card_path(path)):
        if os.path.lexists(file):
            raise InputError(
                f"{file}: there already; choose another name, or remove it first (patchseg weights"
                f" remove {name})"
            )
    return path


def add(file, name=None):
    """Copy weights and their card into the folder.

    Parameters
    ----------
    file : str or Path
        Ends in ``.weights.h5``; its card lies beside it.
    name : str, optional
        That of the file unless given.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        See `checkpoint.read_card` and `target`.
    """
    file = Path(file)
    checkpoint.read_card(file)
    path = target(name or file.name.removesuffix(checkpoint.SUFFIX))
    try:
        check_writable(path.parent)
    except InputError as error:
        raise InputError(
            f"{path.parent}: cannot be written to; mend its permissions, or name another folder"
            f" ({VARIABLE})"
        ) from error
    for old, new in (
        (file, path),
        (checkpoint.card_path(file), checkpoint.card_path(path)),
    ):
        with replacing(new) as temporary:
            shutil.copyfile(old, temporary)
            shutil.copystat(old, temporary)
    return path


def removable(name):
    """Return the file of weights of the user.

    Raises
    ------
    InputError
        If no weights have this name, or they come with the package.
    """
    if name in OWN:
        raise InputError(f"{name}: these weights come with the package and stay")
    if name not in _users():
        raise InputError(_unknown(name))
    return _path(name)


def remove(name):
    """Delete weights of the user, and their card (see `removable`)."""
    path = removable(name)
    if path.is_dir():
        raise InputError(f"{path}: a folder, no weights; move it away")
    for file in (checkpoint.card_path(path), path):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{file}: cannot be removed ({error.strerror}); ask for its permission"
            ) from error


def entry(name):
    """Return what is known of weights that have a name: an `Entry`.

    Raises
    ------
    InputError
        If no weights have this name.
    """
    if name not in names():
        raise InputError(_unknown(name))
    path = _path(name)
    known = {"name": name, "path": path, "own": name in OWN}
    try:
        card = checkpoint.read_card(path)
        known["written"] = path.stat().st_mtime
        known["made"] = date.fromtimestamp(known["written"]).isoformat()
        known["told"] = Told.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        return Entry(**known, problem=f"{checkpoint.card_path(path)}: {key}: {first['msg']}")
    except (InputError, OSError) as error:
        return Entry(**known, problem=str(error))
    kind = "masks" if card["architecture"].get("dimensions", 2) == 3 else "tissues"
    return Entry(**known, kind=kind)


def entries():
    """List all weights that have a name, those of the package first."""
    return [entry(name) for name in names()]


def shown(text, most=200):
    """Return a text of somebody else's on one line: what cannot be printed as its escape, cut.

    Examples
    --------
    >>> shown("a\\x1b[2Jb"), shown("abcdef", 4)
    ('a\\\\x1b[2Jb', 'abc…')
    """
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
