"""What stands in a folder already: results that can be kept, and files that must not be lost."""

import gzip
import json
import zlib
from pathlib import Path

import nibabel as nib

from patchseg.core.errors import InputError
from patchseg.core.files import sha256
from patchseg.images import grid
from patchseg.inference.request import differences

FOREIGN = (
    "is there already and was not made by patchseg; write to another folder (--out), or replace it"
    " (--overwrite)"
)
LONGEST = 255
"""Bytes of a name that discs take."""
KEPT, DONE, AGAIN = "kept", "done", "done again: other "


class TakenError(InputError):
    """The results under this name are of another image."""


def needed(place, mask, asked, overwrite=False):
    """Return what is to be done for a request: 'kept' (nothing), 'done', or 'done again: ...'.

    Raises
    ------
    InputError
        If files are in the way that patchseg did not make, or made from another image.
    """
    check_targets(place, mask)
    if overwrite:
        return DONE
    differ = differing(place, asked)
    paths = place.files()
    if not differ and _made_from(place) is not None and all(map(_is_whole, paths)):
        return KEPT
    check_foreign(place)
    return f"{AGAIN}{', '.join(differ)}" if differ else DONE


def _is_whole(path):
    """Whether a file is there and can be read to its end, as far as that is quick to see."""
    if not path.is_file() or not path.stat().st_size:
        return False
    if path.suffix != ".gz":
        return True
    try:
        with gzip.open(path) as handle:
            while handle.read(2**20):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def differing(place, asked):
    """Name what the results that are there were made with, other than what is asked for.

    Raises
    ------
    InputError
        If they were made from another image.
    """
    made = _made_from(place)
    differ = [] if made is None else differences(asked, made)
    if "image" in differ:
        raise TakenError(
            f"{place.record}: made from another image of the same name; write to another folder"
            " (--out), or replace it (--overwrite)"
        )
    return differ


def _made_from(place):
    """Return the request of the results that are there, or None if no record tells it."""
    try:
        made = json.loads(place.record.read_text(encoding="utf-8"))["request"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return made if isinstance(made, dict) else None


def check_targets(place, *inputs):
    """Raise InputError if a result would take the place of an input, or its name is too long."""
    longest = max((path.name for path in place.images().values()), key=len)
    if len(longest.encode(errors="replace")) > LONGEST:
        raise InputError(
            f"{place.image}: names of results, such as {longest[-40:]}, would be longer than"
            f" {LONGEST} bytes; give the image a shorter name"
        )
    inputs = {Path(path).resolve() for path in (place.image, *inputs) if path}
    for path in place.images().values():
        if path.resolve() in inputs:
            raise InputError(
                f"{path}: the result would take the place of the image or its mask; write to"
                " another folder (--out)"
            )


def check_foreign(place):
    """Raise InputError if a file is in the way that patchseg did not make, or that was changed.

    A record names the sha256 of the files beside it. Without one, as after a kill, images tell by
    their header and tables by their columns. A page names patchseg.
    """
    made, record = _files(place), place.record
    if record.is_file() and made is None:
        raise InputError(f"{record}: {FOREIGN}")
    paths = [*place.files(), place.report]
    for path in (path for path in paths if path.is_file()):
        known = (made or {}).get(path.name)
        if known and known != sha256(path) and _is_whole(path):
            raise InputError(
                f"{path}: was changed after patchseg had made it; write to another folder (--out),"
                " or replace it (--overwrite)"
            )
        if not known and not _is_ours(path):
            raise InputError(f"{path}: {FOREIGN}")


def _files(place):
    """Return the sha256 of each file of a result by name; empty for a record of an earlier version,
    None where no record of patchseg is."""
    if _made_from(place) is None:
        return None
    files = json.loads(place.record.read_text(encoding="utf-8")).get("files")
    return files if isinstance(files, dict) else {}


def _is_ours(path):
    """Whether a file looks as patchseg writes it."""
    if path.suffix == ".html":
        return b"patchseg" in path.read_bytes()
    if path.suffix == ".tsv":
        return path.read_text(encoding="utf-8", errors="replace").startswith("tissue\tvolume_mm3")
    try:
        return bytes(nib.load(path).header["descrip"].tobytes()).startswith(grid.MARK)
    except Exception:  # damaged, or of another kind: whatever it is, it is not ours
        return False
