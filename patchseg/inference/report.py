"""The report of an image: notebook 5 as one HTML file."""

from pathlib import Path

import nbformat

from patchseg.core.errors import InputError
from patchseg.core.files import replacing, write_text

NAME = "5_segment.ipynb"
HIDDEN = ("parameters", "injected-parameters")
"""Tags of cells that the report does not show."""
JUPYTER = "jupyter"
"""Tag of cells that are left out: the viewer, whose library a report does without."""


def notebook():
    """Return the path of notebook 5: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).parents[1]
    for path in (here / "notebooks" / NAME, here.parent / "notebooks" / NAME):
        if path.is_file():
            return path
    raise InputError(
        f"{here / 'notebooks' / NAME}: the notebook of the report is missing; install patchseg"
        " again"
    )


def write(place, parameters):
    """Run notebook 5 for an image whose results are there, and write it as HTML without code.

    Parameters
    ----------
    place : patchseg.inference.outputs.Place
    parameters : dict
        Of the notebook.
    """
    from patchseg.pipeline import execute

    log = place.out / "log" / f"{place.name}.txt"
    with replacing(place.folder / f".{place.name}_report.ipynb") as temporary:
        shown = nbformat.read(notebook(), as_version=4)
        shown.cells = [cell for cell in shown.cells if JUPYTER not in cell.metadata.get("tags", [])]
        nbformat.write(shown, temporary)
        execute(temporary, temporary, parameters, "report", log, place.out)
        page = to_html(nbformat.read(temporary, as_version=4), place.name)
    (place.folder / f".{place.name}_report.ipynb").unlink(missing_ok=True)
    write_text(place.report, page)


def to_html(executed, title):
    """Turn an executed notebook into one HTML page that needs nothing else.

    It holds no code, no widgets and no address of another machine.
    """
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    executed.metadata["title"] = title
    for cell in executed.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    executed.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {title}"))
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = HIDDEN
    exporter = HTMLExporter(
        config=config,
        exclude_input=True,
        exclude_output_prompt=True,
        mathjax_url="",
        require_js_url="",
        mermaid_js_url="",
    )
    return exporter.from_notebook_node(executed)[0]
