"""The page of a cohort: one HTML file with thumbnails, strip plots and a table, without network."""

from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import numpy as np

from patchseg.core.tissues import COLOURS
from patchseg.inference.thumbnail import ENDING
from patchseg.inference.triage import FAR, ORDER, short

MARKS = {"good": "●", "look": "▲", "bad": "■", "failed": "✕"}
"""Verdicts differ in shape, not only in colour."""
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Of groups, the largest first (Okabe & Ito 2008)."""
OTHERS = "#767676"
"""Of the groups beyond these."""
IN_TABLE = ("uncertainty", "disagreement")
"""Checks that the table shows; all are in the plots."""


def template(name):
    """Return a page to be filled in, of this folder; what is put into it is escaped."""
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=loader, autoescape=True, trim_blocks=True).get_template(name)


def render(out, table, about, measures, good, odd, first):
    """Return the page of a cohort as HTML.

    Parameters
    ----------
    out : Path
        Folder of the page; links are relative to it.
    table : pandas.DataFrame
        A row for each image: image, verdict, reasons, group ('' without groups), seconds, and the
        path of its record, NaN for one that failed.
    about, measures : pandas.DataFrame
        With the same rows: what is known of the participants, and what is plotted.
    good : dict of str to str
        What is expected of measures that are checks.
    odd, first : pandas.DataFrame
        Of `triage.outliers` and `triage.look_first`.

    Returns
    -------
    text : str
    """
    order = _order(table, first)
    table, about, measures = (one.loc[order] for one in (table, about, measures))
    groups = _groups(table.group)
    rows = _rows(out, table, about, measures, dict(zip(first.image, first.why, strict=True)))
    verdicts = {name: int((table.verdict == name).sum()) for name in ORDER}
    return template("page.html").render(
        rows=rows,
        columns=[*measures.columns[: len(COLOURS) + 1], *_checks(measures), "seconds"],
        verdicts={name: count for name, count in verdicts.items() if count},
        groups=groups,
        first=len(first),
        marks=MARKS,
        severity={name: number for number, name in enumerate(ORDER)},
        tissues=COLOURS,
        far=FAR,
        data=_data(rows, groups, measures, good, odd),
    )


def _order(table, first):
    """Return the index of a table with the images to look at first on top."""
    place = dict(zip(first.image, range(len(first)), strict=True))
    return table.image.map(place).fillna(len(first)).sort_values(kind="stable").index


def _groups(group):
    """Return name, number of images and colour of each group, the largest first."""
    counts = group[group != ""].value_counts()
    colours = [*LINES, *[OTHERS] * len(counts)]
    return [
        {"name": name, "count": int(count), "colour": colour}
        for (name, count), colour in zip(counts.items(), colours, strict=False)
    ]


def _checks(measures):
    return [name for name in IN_TABLE if name in measures]


def _rows(out, table, about, measures, why):
    """Return what the table of the page shows of each image."""
    numbers = measures[[*measures.columns[: len(COLOURS) + 1], *_checks(measures)]]
    numbers = numbers.assign(seconds=table.seconds.astype(float))
    known = about.astype(object).where(about.notna(), "")
    rows = []
    for number, (at, row) in enumerate(table.iterrows(), start=1):
        link, thumbnail = _files(out, row.image, row.record)
        rows.append(
            {
                "number": number,
                "image": row.image,
                "link": link,
                "thumbnail": thumbnail,
                "verdict": row.verdict,
                "why": why.get(row.image, ""),
                "group": row.group,
                "about": _said(known.loc[at], row.group),
                "numbers": [(short(value), _plain(value)) for value in numbers.loc[at]],
            }
        )
    return rows


def _said(known, group):
    """Return what is known of a participant as text, but for the group, which has a column."""
    texts = [
        (name, f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in known.items()
    ]
    return ", ".join(f"{name} {text}" for name, text in texts if text not in ("", "n/a", group))


def _files(out, image, record):
    """Return the link to the report of an image and its thumbnail as a data URI, '' for none."""
    if not isinstance(record, Path):
        return "", ""
    report, thumbnail = (record.with_name(f"{image}_{end}") for end in ("report.html", ENDING))
    link = quote(report.relative_to(out).as_posix()) if report.is_file() else ""
    try:
        return link, f"data:image/webp;base64,{b64encode(thumbnail.read_bytes()).decode()}"
    except OSError:  # of an earlier version
        return link, ""


def _plain(value):
    """Return a number with five digits, None if it is none: what JSON can hold."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


def _data(rows, groups, measures, good, odd):
    """Return what the plots are drawn from, for JSON."""
    places = {row["image"]: number for number, row in enumerate(rows)}
    far = {name: part for name, part in odd.groupby("measure", sort=False)}
    return {
        "images": [
            {name: row[name] for name in ("image", "link", "verdict", "group")} for row in rows
        ],
        "groups": groups,
        "measures": [
            {
                "name": name,
                "good": good.get(name, ""),
                "values": [_plain(value) for value in measures[name]],
                "odd": [
                    [places[row.image], float(f"{row.z:.3g}")]
                    for row in (far[name].itertuples() if name in far else ())
                ],
            }
            for name in measures
            if measures[name].notna().any()
        ],
    }
