"""Keys that say what made a file: code, settings and inputs.

A cache, a resumed run and a row of a table carry one `fingerprint`. It changes with the code that
made them, and not with comments, docstrings or line breaks.
"""

import hashlib
import json
from importlib import metadata

from patchseg.core import source


def fingerprint(*, code=(), settings=None, files=()):
    """Return one key for what makes a result what it is.

    Parameters
    ----------
    code : iterable of str, Path or function
        Modules of the package, for example 'patchseg.preprocess', and files outside of it. What
        they import of the package counts, too (see `source.closure`); comments, docstrings and
        layout do not. A function counts with what it names (see `source.uses`), and nothing else of
        its module.
    settings : object that JSON can hold
    files : iterable of str or Path
        Their contents count, in their order; their names do not.

    Returns
    -------
    key : str
        sha256, hexadecimal.

    Examples
    --------
    >>> fingerprint(settings={"seed": 0}) == fingerprint(settings={"seed": 1})
    False
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    modules, parts = [one for one in code if not callable(one)], []
    for function in filter(callable, code):
        own, used = source.uses(function)
        modules, parts = modules + used, parts + own
    for text in (*sorted(set(parts)), *map(source.meaning, source.closure(*modules))):
        digest.update(text.encode())
    for path in files:
        with open(path, "rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def versions(*distributions):
    """Return the versions of installed libraries by name, for settings of a key."""
    return {name: metadata.version(name) for name in distributions}
