"""Images of hostile names for `faults.py`."""

import os
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
from fault_runs import table
from forked import run

NAMES = [
    "<img src=x onerror=alert(1)>",
    "a\"b'c&amp;d",
    "=1+1",
    "$(touch ran)`touch ran`;touch ran",
    "-rf",
    "{folder}{stem}",
    "%s%n..",
    "großes Hirn \u65e5\u672c",
    "x" * 220,
    "x" * 248,
    "x." * 124,
]
UNPRINTABLE = ["two\nlines", "a\ttab", "turned\u202eround", "byte\udcff", "bell\x07"]


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        odd = [name for name in given if name.startswith("on")]
        odd += [given["src"]] if not given.get("src", "data:").startswith("data:") else []
        self.found.append((tag, *odd))


def names(bench, seed, count):
    """Images of hostile names: each has a result or is refused, and no page or table breaks."""
    folder, out = bench.folder / "names", bench.folder / "named"
    folder.mkdir()
    os.chdir(folder)
    faults = [_unprintable(bench, folder / f"{name}.nii.gz", out) for name in UNPRINTABLE]
    for name in NAMES:
        shutil.copy(bench.one[0], folder / f"{name}.nii.gz")
    command = run(bench, bench.words(out, "--no-report", images=[folder]))
    os.chdir(bench.folder)
    done = len(list(out.glob("*_dseg.json")))
    faults += ["" if command.code in (0, 1) else f"exit {command.code}: {command.said()[-300:]}"]
    faults += [_page(out), _listed(out)]
    faults += ["a name was run" if list(bench.folder.rglob("ran")) else ""]
    odd = re.search(".*(Traceback|please report).*", command.said())
    faults += [odd[0] if odd else ""]
    what = (
        f"hostile names of images: {done} segmented, {len(NAMES) + len(UNPRINTABLE) - done} refused"
    )
    return table(what, faults)


def _unprintable(bench, path, out):
    """Try an image whose name cannot be printed: it is refused in one line."""
    shutil.copy(bench.one[0], path)
    command = run(bench, bench.words(out, images=[path]))
    path.unlink()
    lines = command.said().strip().splitlines()
    return "" if command.code == 2 and len(lines) == 1 else f"{path.name!a}: {lines}"


def _page(out):
    if not (out / "index.html").is_file():
        return "no index.html"
    page = _Tags()
    page.feed((out / "index.html").read_text(encoding="utf-8"))
    odd = [tag for tag in page.found if len(tag) > 1]
    rows = sum(tag[0] == "tr" for tag in page.found) - 1
    return "" if not odd and rows == len(NAMES) else f"index.html: {rows} rows, {odd}"


def _listed(out):
    if not (out / "qc.tsv").is_file():
        return "no qc.tsv"
    found = pd.read_csv(out / "qc.tsv", sep="\t", dtype=str, keep_default_na=False)
    return "" if sorted(found.image) == sorted(NAMES) else f"qc.tsv: {sorted(found.image)}"
