"""The report of an image: notebook 5 as one HTML file."""

import html
import json
from functools import cache
from pathlib import Path
from urllib.parse import quote

from patchseg.core.errors import InputError
from patchseg.core.files import write_text

NAME = "5_segment.ipynb"
LIST, LIST_BEGINS = "reports.js", "const patchsegReports = "
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
    place : patchseg.inference.places.Place
    parameters : dict
        Of the notebook.
    """
    from patchseg.inference import cells

    log = place.out / "log" / f"{place.name}.txt"
    executed = cells.run(notebook(), parameters, "report", log, without=[JUPYTER])
    home = "../" * len(place.folder.relative_to(place.out).parts)
    write_text(place.report, to_html(executed, place.name, home))


def to_html(executed, title, home=""):
    """Turn an executed notebook into one HTML page that needs nothing else.

    It holds no code, no widgets and no address of another machine.

    Parameters
    ----------
    executed : nbformat.NotebookNode
    title : str
    home : str
        Relative address of the folder of the results: '' or '../../'. The list of reports there
        (see `write_list`), if there is one, gives the page its links to others.
    """
    from patchseg.inference.cells import nbformat

    executed.metadata["title"] = title
    for cell in executed.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    heading = {"text/html": f"<h1>{html.escape(title)}</h1>"}
    shown = [nbformat.v4.new_output("display_data", data=heading)]
    executed.cells.insert(0, nbformat.v4.new_code_cell("", outputs=shown))
    page = _exporter().from_notebook_node(executed)[0]
    return page.replace("<main>", _LINKS.format(home=home, name=html.escape(title)) + "<main>", 1)


@cache
def _exporter():
    """Return what turns a notebook into HTML; making it takes a while."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    from patchseg.inference.cells import PARAMETERS

    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = (PARAMETERS,)
    return HTMLExporter(
        config=config,
        exclude_input=True,
        exclude_output_prompt=True,
        mathjax_url="",
        require_js_url="",
        mermaid_js_url="",
    )


def write_list(out):
    """Write `reports.js`: the reports of a folder in order, which each of them reads for its links.

    A page on disc may load a script, but neither list its folder nor read another file.
    """
    found = sorted(out.rglob("*_dseg.json"))
    reports = [path.with_name(path.name.replace("_dseg.json", "_report.html")) for path in found]
    listed = [
        [path.name.removesuffix("_report.html"), quote(path.relative_to(out).as_posix())]
        for path in reports
        if path.is_file()
    ]
    if listed or (out / LIST).is_file():
        text = json.dumps(listed, indent=0, ensure_ascii=False)
        write_text(out / LIST, f"{LIST_BEGINS}{text};\n")


_LINKS = """<nav class="patchseg-links" data-name="{name}" hidden>
<style>.patchseg-links {{ display: flex; gap: 1.5rem; padding: 1rem 0 0 64px;
  font: 15px/1.5 system-ui, sans-serif; }}
.patchseg-links[hidden], .patchseg-links a:not([href]) {{ display: none; }}</style>
<a href="{home}index.html">all images</a>
<a rel="prev">← <span></span></a><a rel="next"><span></span> →</a></nav>
<script src="{home}reports.js"></script>
<script>
if (typeof patchsegReports !== "undefined") {{
  const links = document.querySelector(".patchseg-links");
  const here = patchsegReports.findIndex(([name]) => name === links.dataset.name);
  for (const [rel, other] of [["prev", here - 1], ["next", here + 1]]) {{
    const link = links.querySelector(`[rel=${{rel}}]`), found = patchsegReports[other];
    if (here < 0 || !found) continue;
    link.href = "{home}" + found[1];
    link.querySelector("span").textContent = found[0];
  }}
  links.hidden = false;
}}
</script>
"""
