"""What code means and what it runs: the files behind a module, and what a function uses of them."""

import ast
import inspect
import json
import sys
import textwrap
from functools import cache
from pathlib import Path

import patchseg

PACKAGE = Path(__file__).parents[1]
NAMES = ("__version__", "__all__")
"""Assignments that change no result: a new version of the same code is the same code."""


def closure(*code):
    """List the files of this package that some code runs: itself, its imports, and theirs.

    Imports inside functions count, too.

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
    if len(rest) == 1:  # a function that the package imports when it is called for
        rest = patchseg.FUNCTIONS.get(rest[0], rest[0]).split(".")
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
    for name in _imported_names(ast.parse(_source(path))):
        if _is_ours(name):
            found.append(_path(name))
        elif PACKAGE not in path.parents and (beside := path.with_name(f"{name}.py")).is_file():
            found.append(beside)
    return found


def _imported_names(tree):
    """List what a syntax tree imports: modules, and what may be one or a name in one.

    What it names as ``patchseg.name`` counts, too.
    """
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == PACKAGE.name:
            names.append(f"{PACKAGE.name}.{node.attr}")
    return names


def _is_ours(name):
    """Whether there is a module of that name in the package."""
    try:
        return bool(_path(name))
    except ValueError:  # a function or a constant, whose module is there already; another library
        return False


def uses(function):
    """Follow a function to what it runs, instead of to all that its module imports.

    Parameters
    ----------
    function : function or class

    Returns
    -------
    parts : list of str
        Its code, that of the functions and classes that it names, of the package and of files
        beside its own, and the constants that JSON can hold.
    modules : list of str or Path
        Those of the package, or beside, that these name or import, for example `metrics` in
        ``metrics.dice``; all of them counts.
    """
    parts, modules, seen, waiting = [], [], set(), [function]
    while waiting:
        one = inspect.unwrap(waiting.pop())
        if one in seen:
            continue
        seen.add(one)
        tree = _bare(ast.parse(textwrap.dedent(inspect.getsource(one))))
        parts.append(ast.unparse(tree))
        modules += filter(_is_ours, _imported_names(tree))
        known = vars(sys.modules[one.__module__])
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for name in sorted(names & set(known)):
            value = known[name]
            home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
            if _is_followed(value, one):
                waiting.append(value)
            elif _is_ours(str(home)):
                modules.append(home)
            elif inspect.ismodule(value) and _are_beside(value, one):
                modules.append(Path(value.__file__))
            else:
                parts += _constant(name, value)
    return parts, modules


def _is_followed(value, one):
    """Whether a value is a function or class of the package, or of a file beside that of `one`."""
    if not (inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value))):
        return False
    return _are_beside(value, one) or _is_ours(value.__module__)


def _are_beside(*values):
    """Whether modules, or those of functions and classes, are files of one folder."""
    modules = [one if inspect.ismodule(one) else sys.modules[one.__module__] for one in values]
    files = [getattr(module, "__file__", None) for module in modules]
    return None not in files and len({Path(file).parent for file in files}) == 1


def _constant(name, value):
    """Return a list with a constant as text; an empty list if JSON cannot hold the value."""
    if not isinstance(value, bool | int | float | str | tuple | list | dict):
        return []
    try:
        return [f"{name} = {json.dumps(value, sort_keys=True)}"]
    except TypeError:
        return []


def _source(path):
    """Return the Python of a file; of a notebook, its code cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join(
        "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
    )


def meaning(path):
    """Return the code of a file (.py, .ipynb) without comments, docstrings and layout."""
    return _meaning(path, path.stat().st_mtime_ns)


@cache
def _meaning(path, _changed):
    return ast.unparse(_bare(ast.parse(_source(path))))


def _bare(tree):
    """Take docstrings, and what only names the version, out of a syntax tree."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _says_only(part)] or [ast.Pass()]
    return tree


def _says_only(part):
    if isinstance(part, ast.Assign):
        return getattr(part.targets[0], "id", None) in NAMES
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
