"""What the site shows and docs/ does not hold: notebooks, tables, a page for each module.

Run by conf.py.
"""

import ast
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
ROOT = HERE.parent
EXECUTED = [
    "artefacts/patchseg/1_preprocess.ipynb",
    "artefacts/patchseg/2_augment.ipynb",
    "artefacts/patchseg/3_train.ipynb",
    "artefacts/4_evaluate.ipynb",
    "tests/reference/5_segment.ipynb",
    "tests/reference/6_adapt.ipynb",
    "artefacts/across/7_evidence.ipynb",
]
WIDGET = "application/vnd.jupyter.widget-view+json"
IN_JUPYTER = "(what this cell shows needs a running JupyterLab: make lab)"


def notebooks():
    """Copy the executed notebooks to docs/notebooks/, with a line of text for each widget."""
    for name in EXECUTED:
        notebook = nbformat.read(ROOT / name, as_version=4)
        for cell in notebook.cells:
            if any(WIDGET in output.get("data", {}) for output in cell.get("outputs", [])):
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=IN_JUPYTER)]
        _write(HERE / "notebooks" / Path(name).name, nbformat.writes(notebook))


def api():
    """Write a page for each module to docs/api/, and the list of all of them to docs/tables/."""
    package = ROOT / "patchseg"
    pages = {HERE / "api" / f"{_name(path)}.rst": _page(path) for path in _modules(package)}
    for left in set((HERE / "api").glob("*.rst")) - set(pages):
        left.unlink()
    for page, text in pages.items():
        _write(page, text)
    rooms = [path.parent for path in _modules(package) if path.name == "__init__.py"]
    entries = ["patchseg <api/patchseg>", *_entries(package, "api/")]
    toctree = ["```{toctree}", ":hidden:", "", *entries, "```", ""]
    _write(HERE / "tables" / "modules.md", "\n".join([*map(_room, rooms), *toctree]))


def _modules(folder):
    """List the modules of a package and of those in it, the package first."""
    files = [path for path in sorted(folder.glob("*.py")) if path.stem[0] != "_"]
    rooms = [path.parent for path in sorted(folder.glob("*/__init__.py"))]
    return [folder / "__init__.py", *files, *[path for room in rooms for path in _modules(room)]]


def _name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _entries(folder, prefix=""):
    """List what stands directly in a package, for a toctree: a short title and the page."""
    below = [path for path in _modules(folder)[1:] if path.parent == folder]
    below += sorted(folder.glob("*/__init__.py"))
    names = sorted(map(_name, below))
    return [f"{name.rpartition('.')[2]} <{prefix}{name}>" for name in names]


def _page(path):
    """Return the page of a module: a heading, what is in it, and the modules below it."""
    name = _name(path)
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :members:"]
    lines += ["   :ignore-module-all:", ""]
    if path.name == "__init__.py" and path.parent.parent != ROOT:
        lines += [".. toctree::", "", *[f"   {entry}" for entry in _entries(path.parent)], ""]
    return "\n".join(lines)


def _room(folder):
    """Return a table of the modules of a package, not of those below it."""
    name = _name(folder / "__init__.py")
    own = [path for path in _modules(folder)[1:] if path.parent == folder]
    rows = [f"| [{path.stem}](#{_name(path)}) | {_says(path)} |" for path in own]
    head = [f"## [{name}](#{name})", "", _says(folder / "__init__.py"), ""]
    return "\n".join([*head, "| module | |", "|---|---|", *rows, ""])


def _says(path):
    """Return the first paragraph of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return " ".join(text.partition("\n\n")[0].split())


def _write(path, text):
    """Write a file only if that changes it: Sphinx reads changed files again."""
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
