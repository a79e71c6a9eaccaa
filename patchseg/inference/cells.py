"""Run the cells of a notebook in this process: no kernel to start, to wait for or to stop."""

import ast
import io
import sys
import traceback
from base64 import b64encode
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module

from patchseg.core.errors import InputError


def _quickly(library, slow):
    """Import a library without one that it can do without, and that takes seconds."""
    if library in sys.modules or slow in sys.modules:
        return import_module(library)
    sys.modules[slow] = None
    try:
        return import_module(library)
    finally:
        del sys.modules[slow]


PARAMETERS = "parameters"
"""Tag of the cell that holds the defaults of a notebook's parameters."""
# jsonschema would build the grammar of web addresses, which takes 3 s; no notebook has any
nbformat = _quickly("nbformat", "rfc3987_syntax")


def run(notebook, values, title, log, without=()):
    """Execute a notebook of plain Python, each cell as a kernel does.

    Names are shared by its cells and forgotten afterwards. What IPython adds to Python (``%``,
    ``!``, ``display``) is not there.

    Parameters
    ----------
    notebook : Path
        Stays as it is.
    values : dict
        Of its parameters, in the place of the defaults in the cell with this tag.
    title : str
        Named in the error.
    log : Path
        Gets what the cells write to Python's standard error, such as warnings.
    without : collection of str
        Cells with one of these tags are left out.

    Returns
    -------
    executed : nbformat.NotebookNode
        With the outputs.

    Raises
    ------
    InputError
        If a cell fails; the traceback is in the log.
    """
    from IPython.core.formatters import DisplayFormatter

    executed = nbformat.read(notebook, as_version=4)
    executed.cells = [cell for cell in executed.cells if not set(without) & _tags(cell)]
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    names, formatter = {"__name__": "notebook"}, DisplayFormatter()
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as said, redirect_stderr(said):
        for number, cell in enumerate(code, start=1):
            try:
                cell.outputs = _outputs(cell.source, cell.id, names, formatter, number)
            except Exception as error:
                traceback.print_exc()
                raise InputError(
                    f"{title}: {type(error).__name__}: {error} (cell {cell.id}; other messages:"
                    f" {log})"
                ) from error
            cell.execution_count = number
            if PARAMETERS in _tags(cell):
                names.update(values)
    return executed


def _tags(cell):
    return set(cell.metadata.get("tags", ()))


def _outputs(source, name, names, formatter, number):
    """Return what a cell prints, and its last value in every form that Jupyter would show."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        value = _value(source, name, names)
        data, metadata = formatter.format(value) if value is not None else ({}, {})
    said, outputs = printed.getvalue(), []
    if said:
        outputs.append(nbformat.v4.new_output("stream", name="stdout", text=said))
    if data:
        data = {kind: _as_text(content) for kind, content in data.items()}
        more = {"data": data, "metadata": metadata, "execution_count": number}
        outputs.append(nbformat.v4.new_output("execute_result", **more))
    return outputs


def _value(source, name, names):
    """Run code and return the value of its last line, or None if that is no expression."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return eval(compile(ast.Expression(last.value), name, "eval"), names) if last else None


def _as_text(content):
    return b64encode(content).decode() if isinstance(content, bytes) else content
