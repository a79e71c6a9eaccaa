"""Writing whole files or none, and finding the project."""

import errno
import hashlib
import os
import platform
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from patchseg.core.errors import InputError

PARTIAL = ".partial-"
"""How the names of temporary files begin."""
LEFT_S = 24 * 3600
"""A temporary file that nobody touched for so long (s) was left by a writer that was killed."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors of a disc that takes no more."""


@contextmanager
def replacing(path):
    """Yield a temporary path, which becomes `path` if the block ends well and goes if not.

    What writers left in the folder that were killed goes first.

    Parameters
    ----------
    path : str or Path
        Final name. Its suffixes are kept on the temporary name, because writers choose the format
        by suffix.

    Yields
    ------
    temporary : Path
        In the same folder, so that the rename is atomic.

    Raises
    ------
    InputError
        If the file cannot be made, or the disc is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f"{PARTIAL}{_machine()}-{os.getpid()}-", suffix=_suffixes(path)
        )
    except OSError as error:
        raise _not_written(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno not in (*FULL, errno.ENAMETOOLONG):
            raise
        raise _not_written(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _not_written(path, error):
    mend = "write to another folder"
    if error.errno in FULL:
        mend = f"free space on the disc, or {mend}"
    elif error.errno == errno.ENAMETOOLONG:
        mend = "give the image a shorter name"
    return InputError(f"{path}: cannot be written ({error.strerror or error}); {mend} (--out)")


def check_writable(folder):
    """Make a folder; raise InputError if it cannot be written to, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder (--out)"
        ) from error


def _suffixes(path):
    """Return the last two suffixes of a path, such as '.nii.gz'; one if the first is no suffix."""
    last = path.suffixes[-2:]
    return "".join(last if len("".join(last)) <= 12 else last[1:])


def _sweep(folder):
    """Remove the temporary files of processes that are gone."""
    own = f"{PARTIAL}{_machine()}-"
    for left in folder.glob(f"{PARTIAL}*"):
        pid = left.name.removeprefix(own).partition("-")[0] if left.name.startswith(own) else ""
        if (pid.isdigit() and not psutil.pid_exists(int(pid))) or _is_old(left):
            with suppress(OSError):  # a colleague's, or no file
                left.unlink(missing_ok=True)


def _is_old(path):
    try:
        return time.time() - path.stat().st_mtime > LEFT_S
    except OSError:  # its writer has renamed it meanwhile
        return False


@cache
def _machine():
    """Return what tells this machine, or container, from others that write to the same disc."""
    space = Path("/proc/self/ns/pid")
    told = f"{platform.node()} {os.readlink(space) if space.is_symlink() else ''}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def project_root(start="."):
    """Return the nearest folder at or above `start` that holds `dvc.yaml`.

    Raises
    ------
    InputError
        If there is none.
    """
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise InputError(
        f"{start}: no dvc.yaml here or in a folder above; start from inside the patchseg project"
    )


def sha256(path):
    """Return the sha256 (hex) of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_text(path, text):
    """Write text (UTF-8); see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(table, path):
    """Write a DataFrame as CSV (or .tsv) with six significant digits; see `replacing`."""
    separator = "\t" if str(path).endswith(".tsv") else ","
    with replacing(path) as temporary:
        table.to_csv(
            temporary,
            index=False,
            sep=separator,
            float_format="%.6g",
            lineterminator="\n",
            na_rep="n/a" if separator == "\t" else "",
        )
