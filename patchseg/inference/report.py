"""The report of an image (notebook 5 as one HTML file), and the page that lists a cohort."""

import html
import json
from functools import cache
from pathlib import Path
from urllib.parse import quote

import nbformat
import pandas as pd

from patchseg.core.errors import InputError
from patchseg.core.files import write_table, write_text
from patchseg.core.tissues import TISSUES

NAME = "5_segment.ipynb"
LIST, LIST_BEGINS = "reports.js", "const patchsegReports = "
OWN = {
    "qc.tsv": "image\tstatus\tverdict",
    "volumes.tsv": "image\ttissue",
    LIST: LIST_BEGINS,
    "index.html": '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>patchseg:',
}
"""How the tables and the page of a folder begin."""
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
    executed.metadata["title"] = title
    for cell in executed.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    executed.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {title}"))
    page = _exporter().from_notebook_node(executed)[0]
    return page.replace("<main>", _LINKS.format(home=home, name=html.escape(title)) + "<main>", 1)


@cache
def _exporter():
    """Return what turns a notebook into HTML; making it takes a while."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = HIDDEN
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


def check_foreign(out):
    """Raise InputError if a table or the page of a folder is there and was not made by patchseg."""
    for name, begins in OWN.items():
        path = out / name
        if path.is_dir() or (
            path.is_file()
            and not path.read_text(encoding="utf-8", errors="replace").startswith(begins)
        ):
            raise InputError(
                f"{path}: was not made by patchseg and would be replaced; write to another folder"
                " (--out)"
            )


def cohort(out, failed=None, succeeded=()):
    """Write the tables of all results in a folder and the page that sorts and links them.

    These are `volumes.tsv`, `qc.tsv` and `index.html`.

    Parameters
    ----------
    out : Path
    failed : dict of str to str, optional
        Images without a result, and why. They stay in `qc.tsv` in later runs, until they succeed.
    succeeded : set of str
        Images that have a result now.
    """
    failed = {
        name: why for name, why in _failed_before(out).items() if name not in succeeded
    } | dict(failed or {})
    found = [(row, sizes) for row, sizes in _results(out) if row["image"] not in failed]
    rows = [row for row, _ in found] + [
        {"image": name, "status": "failed", "verdict": "failed", "reasons": why, "link": ""}
        for name, why in failed.items()
    ]
    if not rows:
        return
    table = pd.DataFrame(rows)
    write_table(table.drop(columns="link"), out / "qc.tsv")
    if found:
        volumes = pd.concat([sizes for _, sizes in found])
        columns = ["image", *[column for column in volumes if column != "image"]]
        write_table(volumes[columns], out / "volumes.tsv")
        table = table.merge(_in_cm3(volumes), on="image", how="left")
    write_text(out / "index.html", _page(table))


def _failed_before(out):
    """Return the images that failed in earlier runs and have not succeeded since, and why."""
    try:
        table = pd.read_csv(out / "qc.tsv", sep="\t", dtype=str, keep_default_na=False)
        table = table[table.status == "failed"]
        return dict(zip(table.image, table.reasons, strict=True))
    except (OSError, ValueError, AttributeError):  # there is none, or it is not one of ours
        return {}


def _results(out):
    """Yield a row of `qc.tsv` and the volumes of each result in a folder."""
    for path in sorted(out.rglob("*_dseg.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            base = path.name.removesuffix("_dseg.json")
            sizes = pd.read_csv(path.with_name(f"{base}_volumes.tsv"), sep="\t")
            if record["verdict"] not in _MARKS:
                continue
            known = {name: record[name] for name in ("verdict", "reasons")}
            checks = {row["check"]: row["value"] for row in record["qc"]}
            seconds = record["provenance"]["seconds"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError):
            continue  # not one of ours, or being written
        report = path.with_name(f"{base}_report.html")
        link = report.relative_to(out).as_posix() if report.is_file() else ""
        row = {"image": base, "status": "done", **known, **checks, "seconds": seconds, "link": link}
        yield row, sizes.assign(image=base)


def _in_cm3(volumes):
    """Return a row for each image with the tissues' volumes (cm³)."""
    wide = volumes[volumes.tissue.isin(TISSUES)].pivot_table(
        index="image", columns="tissue", values="volume_mm3"
    )
    return (wide / 1000).add_suffix(" (cm³)").reset_index()


def _page(table):
    shown = [
        "image",
        "verdict",
        "reasons",
        *[f"{tissue} (cm³)" for tissue in TISSUES],
        "uncertainty",
        "disagreement",
        "seconds",
    ]
    shown = [column for column in shown if column in table]
    head = "".join(
        f'<th scope="col"><button type="button">{html.escape(column)}</button></th>'
        for column in shown
    )
    body = "\n".join(
        f"<tr>{''.join(_cell(row, column) for column in shown)}</tr>"
        for row in table.to_dict("records")
    )
    counts = ", ".join(
        f"{number} {verdict}" for verdict, number in table.verdict.value_counts().items()
    )
    return _TEMPLATE.format(head=head, body=body, counts=html.escape(counts), n=len(table))


def _cell(row, column):
    value = row[column]
    if isinstance(value, float):
        shown = "" if pd.isna(value) else f"{value:.3g}" if value < 100 else f"{value:.0f}"
        return f'<td class="number">{shown}</td>'
    text = html.escape(str(value))
    if column == "image" and row["link"]:
        return f'<td><a href="{html.escape(quote(row["link"]))}">{text}</a></td>'
    return (
        f'<td class="{text}">{_MARKS[text]} {text}</td>'
        if column == "verdict"
        else f"<td>{text}</td>"
    )


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
_MARKS = {"good": "●", "look": "▲", "bad": "■", "failed": "✕"}
_TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>patchseg: {n} images</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; }}
table {{ border-collapse: collapse; }}
th, td {{ border-bottom: 1px solid #ccc; padding: .35rem .7rem; }}
th, td {{ text-align: left; vertical-align: top; }}
th button {{ all: unset; cursor: pointer; font-weight: 600; }}
th button:focus-visible {{ outline: 2px solid #0072B2; }}
th[aria-sort=ascending] button::after {{ content: " ▲"; }}
th[aria-sort=descending] button::after {{ content: " ▼"; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
td.good {{ color: #00664b; }} td.look {{ color: #8a5a00; }}
td.bad, td.failed {{ color: #a03c00; font-weight: 600; }}
</style></head><body>
<h1>Segmented images: {n}</h1>
<p>{counts}. A click on a column's name sorts by it; a click on an image opens its report.</p>
<table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table>
<script>
const sortBy = (button, column) => {{
  const header = button.parentElement, rows = document.querySelector("tbody");
  const up = header.getAttribute("aria-sort") !== "ascending";
  const key = row => row.cells[column].textContent.trim();
  const order = (a, b) => key(a).localeCompare(key(b), "en", {{ numeric: true }});
  const compare = (a, b) => key(a) === "" ? 1 : key(b) === "" ? -1 : up ? order(a, b) : order(b, a);
  document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  [...rows.rows].sort(compare).forEach(row => rows.append(row));
}};
document.querySelectorAll("th button").forEach(
  (button, column) => button.addEventListener("click", () => sortBy(button, column)));
</script></body></html>
"""
