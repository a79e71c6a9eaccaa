"""Writing whole files or none, and finding the project."""

import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from patchseg.core.errors import InputError


@contextmanager
def replacing(path):
    """Yield a temporary path, which becomes `path` if the block ends well and goes if not.

    Parameters
    ----------
    path : str or Path
        Final name. Its suffixes are kept on the temporary name, because writers choose the format
        by suffix.

    Yields
    ------
    temporary : Path
        In the same folder, so that the rename is atomic.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=".partial-", suffix="".join(path.suffixes[-2:])
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
