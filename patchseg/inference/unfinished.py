"""Images without a result, on disc: what was started and did not end, what failed, and why.

Each image has a file of its own, so that many processes may write at once.
"""

import json
from contextlib import suppress

from patchseg.core.errors import InputError
from patchseg.core.files import write_text
from patchseg.inference.places import UNFINISHED

STARTED = (
    "was started and did not end: it is running still, or its process was killed (memory or time of"
    " its job); run its command again"
)


def start(place, run=None):
    """Note that an image was started.

    Parameters
    ----------
    place : patchseg.inference.places.Place
        Its `note` is written.
    run : str, optional
        Names the command, where an image may be started by it more than once.

    Returns
    -------
    tries : int
        How often this run has started the image, this time included.
    """
    before = _read(place.note) if run else {}
    tries = 1 + (before.get("tries", 0) if before.get("run") == run else 0)
    _write(place, STARTED, {"run": run, "tries": tries})
    return tries


def begun(place, run):
    """Say whether this run has started an image that neither failed nor has a result."""
    return _read(place.note).get("run") == run


def fail(place, reasons):
    """Note that an image failed, and why."""
    _write(place, reasons, {})


def end(place):
    """Note that an image has a result."""
    with suppress(OSError):
        place.note.unlink(missing_ok=True)


def find(out):
    """Return the images that are not segmented in a folder.

    Parameters
    ----------
    out : Path

    Returns
    -------
    reasons : dict of str to str
        By the names of the images. One that was started again while its earlier result is whole is
        none of them.
    """
    found = {}
    for one in sorted((out / "log").glob(f"*{UNFINISHED}")):
        note = _read(one)
        again = note.get("tries") and (out / str(note.get("record"))).is_file()
        if isinstance(note.get("reasons"), str) and not again:
            found[one.name.removesuffix(UNFINISHED)] = note["reasons"]
    return found


def _write(place, reasons, more):
    note = {"image": str(place.image), "record": place.record.relative_to(place.out).as_posix()}
    # what cannot be written is said by what writes the results
    with suppress(OSError, InputError, UnicodeError):
        text = json.dumps(note | {"reasons": reasons} | more, ensure_ascii=False, indent=2)
        write_text(place.note, text + "\n")


def _read(file):
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}
