"""Keys that say what made a file: code, settings and inputs.

A cache, a resumed run and a row of a table carry one `fingerprint`. It changes with the code that
made them, and not with comments, docstrings or line breaks.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def fingerprint(*, code=(), settings=None, files=()):
    """Return one key for what makes a result what it is.

    Parameters
    ----------
    code : iterable of str or Path
        Modules of the package, for example 'patchseg.preprocess', and files outside of it. What
        they import of the package counts, too (see `closure`); comments, docstrings and layout do
        not.
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
    for path in closure(*code):
        digest.update(_meaning(path, path.stat().st_mtime_ns).encode())
    for path in files:
        with open(path, "rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def closure(*code):
    """List the files that some code runs: itself, what it imports, and what that imports.

    Of this package; imports inside functions count, too.

    Parameters
    ----------
    *code : str or Path
        Names of modules, or paths of files (.py, .ipynb).

    Returns
    -------
    paths : list of Path
        Sorted; each parent package's ``__init__.py`` included.

    Raises
    ------
    ValueError
        If a module is not one of the package.
    """
    found, waiting = set(), [_path(one) for one in code]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imports(path)
    return sorted(found)


def _path(one):
    """Return the file of a module, or a path as it is."""
    if isinstance(one, Path):
        return one.resolve()
    first, *rest = one.split(".")
    path = PACKAGE.joinpath(*rest)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if first == PACKAGE.name and file.is_file():
            return file
    raise ValueError(f"{one}: no module of {PACKAGE.name}; name one of its files")


def imports(path):
    """Return the files of this package that one file imports, and of the packages that hold it."""
    return _imports(path, path.stat().st_mtime_ns)


@cache
def _imports(path, _changed):
    found = [
        folder / "__init__.py" for folder in path.parents if PACKAGE in (folder, *folder.parents)
    ]
    for node in ast.walk(ast.parse(_source(path))):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import | ast.ImportFrom)
            else []
        )
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module, *(f"{node.module}.{name}" for name in names)]
        for name in names:
            if name == PACKAGE.name or name.startswith(f"{PACKAGE.name}."):
                try:
                    found.append(_path(name))
                except ValueError:  # a function or a constant, whose module is there already
                    continue
    return found


def _source(path):
    """Return the Python of a file; of a notebook, its code cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join(
        "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
    )


@cache
def _meaning(path, _changed):
    """Return the code of a file without comments, docstrings and layout."""
    tree = ast.parse(_source(path))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                part
                for part in body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ] or [ast.Pass()]
    return ast.unparse(tree)
