"""All results of a folder: their tables, and the page that shows them at a glance."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from patchseg.core.errors import InputError
from patchseg.core.files import write_table, write_text
from patchseg.core.tissues import TISSUES
from patchseg.inference import page, report, triage

OWN = {
    "qc.tsv": "image\tstatus\tverdict",
    "volumes.tsv": "image\ttissue",
    "volumes_wide.tsv": "image\tverdict\tCSF_mm3",
    "look_first.tsv": "image\tverdict\twhy",
    report.LIST: report.LIST_BEGINS,
    "index.html": '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>patchseg:',
}
"""How the tables and the page of a folder begin."""
SIZES = (*TISSUES, "brain")
"""What has a volume."""
_ROW = ("image", "status", "verdict", "reasons", "seconds", "group")
GROUPS = ("species", "group")
"""Columns of participants by which images are compared: the first of them that tells two apart."""


def check_foreign(out):
    """Raise InputError if a table or the page of a folder is there and was not made by patchseg."""
    for name, begins in OWN.items():
        path = out / name
        if path.is_dir() or (path.is_file() and not _begins(path, begins)):
            raise InputError(
                f"{path}: was not made by patchseg and would be replaced; write to another folder"
                " (--out)"
            )


def _begins(path, text):
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read(len(text)) == text


def cohort(out, failed=None, succeeded=(), participants=None):
    """Write the tables of all results in a folder and the page that shows and links them.

    These are `volumes.tsv` (a row for each tissue), `volumes_wide.tsv` (a row for each image),
    `qc.tsv`, `look_first.tsv`, `index.html`, and `reports.js` (see `report.write_list`).

    Parameters
    ----------
    out : Path
    failed : dict of str to str, optional
        Images without a result, and why. They stay in `qc.tsv` in later runs, until they succeed.
    succeeded : set of str
        Images that have a result now.
    participants : pandas.DataFrame, optional
        Columns such as species, age, sex and group by the label of the participant ('sub-01'). They
        are added to both tables of volumes; images are compared within species or group.

    Returns
    -------
    first : pandas.DataFrame
        Of `triage.look_first`; empty if there is nothing to look at first.
    """
    before = _failed_before(out).items()
    failed = {name: why for name, why in before if name not in succeeded} | dict(failed or {})
    found = [one for one in _results(out) if one.name not in failed]
    rows = [one.row for one in found] + [
        {"image": name, "status": "failed", "verdict": "failed", "reasons": why}
        for name, why in failed.items()
    ]
    if not rows:
        return pd.DataFrame(columns=["image", "verdict", "why"])
    table = pd.DataFrame(rows)
    about = _about(table.image, participants)
    write_table(table, out / "qc.tsv")
    sizes = _sizes(found).reindex(table.index)
    _write_volumes(out, found, table[["image", "verdict"]].join(sizes), about)
    in_cm3 = (sizes / 1000).rename(columns=lambda name: name.replace("_mm3", " (cm³)"))
    good = {check: text for one in reversed(found) for check, text in one.good.items()}
    measures = in_cm3.join(table[[name for name in good if name not in (*_ROW, *in_cm3)]])
    shown = table[["image", "verdict", "reasons"]].assign(group=_group(about))
    odd = triage.outliers(shown.join(measures), list(measures))
    first = triage.look_first(shown, odd)
    write_table(first, out / "look_first.tsv")
    places = pd.Series([one.record for one in found]).reindex(table.index)
    shown = shown.assign(record=places, seconds=table.get("seconds"))
    report.write_list(out)
    write_text(out / "index.html", page.render(out, shown, about, measures, good, odd, first))
    return first


@dataclass(frozen=True)
class _Found:
    """A result: its record, row of `qc.tsv`, what is expected of its checks, table of volumes."""

    record: Path
    row: dict
    good: dict
    volumes: pd.DataFrame

    @property
    def name(self):
        return self.row["image"]


def _failed_before(out):
    """Return the images that failed in earlier runs and have not succeeded since, and why."""
    try:
        table = pd.read_csv(out / "qc.tsv", sep="\t", dtype=str, keep_default_na=False)
        table = table[table.status == "failed"]
        return dict(zip(table.image, table.reasons, strict=True))
    except (OSError, ValueError, AttributeError):  # there is none, or it is not one of ours
        return {}


def _results(out):
    """Yield the results of a folder."""
    for path in sorted(out.rglob("*_dseg.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            base = path.name.removesuffix("_dseg.json")
            volumes = pd.read_csv(path.with_name(f"{base}_volumes.tsv"), sep="\t")
            volumes.set_index("tissue").volume_mm3.astype(float)
            if record["verdict"] not in triage.ORDER:
                continue
            row = {"image": base, "status": "done"}
            row |= {name: str(record[name]) for name in ("verdict", "reasons")}
            checks = {str(one["check"]): _number(one["value"]) for one in record["qc"]}
            good = {str(one["check"]): str(one.get("good", "")) for one in record["qc"]}
            row = row | checks | row | {"seconds": float(record["provenance"]["seconds"])}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError):
            continue  # not one of ours, or being written
        yield _Found(path, row, good, volumes.assign(image=base))


def _number(value):
    """Return the value of a check; NaN for null."""
    return np.nan if value is None else float(value)


def _about(images, participants):
    """Return what is known of the participant of each image: columns, perhaps none."""
    if participants is None:
        return pd.DataFrame(index=images.index)
    once = participants[~participants.index.duplicated()]
    labels = images.str.extract(r"^(sub-[0-9A-Za-z]+)(?:_|$)", expand=False)
    return once.reindex(labels).set_axis(images.index).rename(columns=str)


def _group(about):
    """Return the group of each image; '' without groups."""
    there = [about[name].mask(about[name].isin(["", "n/a"])) for name in GROUPS if name in about]
    telling = [one for one in there if one.nunique() > 1] or there
    return telling[0].astype(object).fillna("n/a").astype(str) if telling else ""


def _sizes(found):
    """Return the volumes (mm³) of each result: a row for it, a column for each of `SIZES`."""
    rows = [dict(zip(one.volumes.tissue, one.volumes.volume_mm3, strict=True)) for one in found]
    return pd.DataFrame(rows, columns=SIZES, dtype=float).add_suffix("_mm3")


def _write_volumes(out, found, wide, about):
    """Write both tables of volumes, with what is known of the participants at the end."""
    write_table(_with(wide, about), out / "volumes_wide.tsv")
    if not found:  # nothing of an earlier run stays
        long = pd.DataFrame(columns=["image", "tissue", "volume_mm3"])
        write_table(long, out / "volumes.tsv")
        return
    long = pd.concat([one.volumes for one in found], keys=range(len(found)))
    images = long.index.get_level_values(0)
    long = long[["image", *[column for column in long if column != "image"]]]
    write_table(_with(long, about.loc[images].set_axis(long.index)), out / "volumes.tsv")


def _with(table, about):
    """Put columns beside a table; one whose name the table has gets another name."""
    taken = {name: f"participant_{name}" for name in about if name in table}
    return table.join(about.rename(columns=taken))
