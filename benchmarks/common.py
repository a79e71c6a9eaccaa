"""What the benchmarks share: places, brains and the networks that never saw them, keys, tables."""

import argparse
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from patchseg import checkpoint, metrics
from patchseg.core import files, runtime
from patchseg.core.provenance import fingerprint
from patchseg.datasets import brains
from patchseg.scoring import rows
from patchseg.scoring.strangers import LEFT_OUT

ROOT = Path(__file__).parents[1]
ARTEFACTS = ROOT / "artefacts"
ACROSS = ARTEFACTS / "across"
NETWORKS = ACROSS / "networks"
SETTINGS = ROOT / "params.yaml"
STRANGERS = LEFT_OUT | {"human-nii2mesh": "people"}
"""For each brain a network that never saw its species, or (human-nii2mesh) that person."""
ANIMALS = ("chimp", "chimp-t2", "macaque-21mo", "macaque-4mo", "mouse-fvb-2")


@cache
def load(name):
    """Return a brain of the zoo, a `Labelled`; read once a process."""
    return brains.load(name)


def as_given(one):
    """Return image and mask of a `Labelled` as a user would give them: nibabel images."""
    return [nib.Nifti1Image(part, one.affine) for part in (one.image, one.mask.astype(np.uint8))]


def dice(one, found):
    """Return Dice of GM and of WM in the labelled voxels of a `Labelled`, a list of two."""
    return [metrics.dice(one.labels == n, (found == n) & one.known) for n in (2, 3)]


def weights_of(network):
    """Return the weights of a network that is kept with the evidence."""
    return NETWORKS / f"{network}{checkpoint.SUFFIX}"


def key(*code, settings=None, brain_names=(), networks=()):
    """Return the fingerprint of rows: code, settings, the files of brains and weights.

    Where weights compute, their precision counts, too.

    Parameters
    ----------
    *code : function, str or Path
        See `provenance.fingerprint`.
    settings : object that JSON can hold
        What the columns of the row do not say.
    brain_names, networks : iterable of str
    """
    identities = [brains.identity(name) for name in brain_names]
    weights = [checkpoint.use(weights_of(name)) for name in networks]
    precision = runtime.precision("auto") if weights else None
    return fingerprint(code=code, settings=[settings, identities, weights, precision])


def parser(text):
    """Return a parser of the command line, with the first line of a docstring and --report."""
    parser = argparse.ArgumentParser(description=text.split("\n")[0])
    parser.add_argument(
        "--report",
        action="store_true",
        help="measure nothing: mark the rows of earlier code, write tables and pictures",
    )
    return parser


def complete(path, jobs, key_of, measure, report=False, **given):
    """Do what is missing or stale (see `rows.complete`), nothing for a mere report; say each row.

    Returns
    -------
    table : pandas.DataFrame
    """

    def said(run):
        for job, found in run:
            print(job, found[-1] if found else "", flush=True)
            yield job, found

    run, wanted = given.pop("run", map), given.pop("wanted", lambda job: True)
    return rows.complete(
        path,
        jobs,
        key_of,
        measure,
        run=lambda do, todo: said(run(do, todo)),
        wanted=lambda job: not report and wanted(job),
        **given,
    )


def publish(path, jobs, key_of, measure, report, only_report=False, **given):
    """Do what is missing or stale of these jobs, and write the table for people.

    Rows of other jobs stay as they are.

    Parameters
    ----------
    path, jobs, key_of, measure, **given
        See `complete`.
    report : callable
        Takes the table, if it has rows.
    only_report : bool
        Measure nothing.
    """
    given.setdefault("stays", lambda row: True)
    table = complete(path, jobs, key_of, measure, only_report, **given)
    if len(table):
        report(table)


def write_markdown(path, head, lines, table, intro="", more=""):
    """Write a table for people: what it says, what it was measured with, and the lines.

    Parameters
    ----------
    path : Path
    head : list of str
        The last column is for the keys (see `rows.keys`).
    lines : list of list of str
    table : pandas.DataFrame
        The rows that the lines are made of, with their keys.
    intro, more : str
        What stands before and after it.
    """
    parts = [intro, rows.note(table), markdown(head, lines), more]
    files.write_text(path, "\n".join(part for part in parts if part))


def markdown(head, lines):
    """Return a table as Markdown: a list of str for its head, and one for each line."""
    text = ["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]]
    return "\n".join(text) + "\n"


def number(value):
    """Return a number with three digits, or nothing where there is none."""
    return "" if value is None or np.isnan(value) else f"{value:.3f}"
