"""A BIDS dataset as BIDS Apps take it: which of its images, and what all results say together."""

import difflib
import json
import os
from pathlib import Path

import pandas as pd

from patchseg.core.errors import InputError
from patchseg.inference import cohort, inputs, unfinished, writing
from patchseg.inference.places import stem

QUERIES = {"t1w": "T1w", "t2w": "T2w"}
"""Keys of a filter file and the suffixes that they mean; the second where a session has none of the
first."""
ENTITIES = {
    "subject": "sub",
    "session": "ses",
    "sample": "sample",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "modality": "mod",
    "echo": "echo",
    "flip": "flip",
    "inversion": "inv",
    "mt": "mt",
    "part": "part",
    "processing": "proc",
    "space": "space",
    "resolution": "res",
    "description": "desc",
    "chunk": "chunk",
    "suffix": "suffix",
    "extension": "extension",
    "datatype": "datatype",
}
"""Words of a filter file, and what stands in file names."""
NUMBERS = ("run", "echo", "flip", "inv")
"""Entities whose values are numbers: 1 and 01 are the same."""


def find(dataset, participants=(), sessions=(), filters=None):
    """List the images of a BIDS dataset: T1w, or T2w where a session has no T1w.

    Parameters
    ----------
    dataset : Path
    participants, sessions : sequence of str
        Labels, with or without ``sub-`` and ``ses-``; all if there are none.
    filters : dict, optional
        See `read_filters`.

    Returns
    -------
    images : list of Path, not empty
    without : list of str
        Participants, such as 'sub-01', of whom there is none.

    Raises
    ------
    InputError
        If the folder is no BIDS dataset, has no such label, or no image is left.
    """
    folders = _participants(dataset, participants)
    anat = [path for name in folders for path in inputs.anat_folders(dataset, name)]
    anat = _of_sessions(dataset, anat, sessions)
    images = [image for path in anat for image in _in_session(path, filters or {})]
    if not images:
        left = " that --session-label and --bids-filter-file leave" if sessions or filters else ""
        raise InputError(
            f"{dataset}: no {' or '.join(QUERIES.values())} image of {_some(folders)}{left}; check"
            " sub-*/anat and sub-*/ses-*/anat"
        )
    inputs.check_printable(images)
    having = {image.relative_to(dataset).parts[0] for image in images}
    return images, [name for name in folders if name not in having]


def _participants(dataset, labels):
    """Return the names of the chosen folders ``sub-*``, sorted."""
    if not dataset.is_dir():
        raise InputError(f"{dataset}: no such folder; name a BIDS dataset")
    known = sorted(path.name for path in dataset.glob("sub-*") if path.is_dir())
    if not known:
        raise InputError(f"{dataset}: no BIDS dataset: there is no folder sub-* in it")
    return _chosen(dataset, "participant", labels, "sub-", known)


def _of_sessions(dataset, anat, labels):
    """Return the folders ``anat`` that belong to the chosen sessions."""
    if not labels:
        return anat
    sessions = {path: path.parent.name for path in anat if path.parent.name.startswith("ses-")}
    chosen = _chosen(dataset, "session", labels, "ses-", sorted(set(sessions.values())))
    return [path for path in anat if sessions.get(path) in chosen]


def _chosen(dataset, what, labels, prefix, known):
    """Return the known names that labels mean; all if there are no labels."""
    names = [prefix + str(label).removeprefix(prefix) for label in labels]
    for name in names:
        if name not in known:
            near = sorted(difflib.get_close_matches(name, known, 5, 0.7)) or known
            raise InputError(
                f"{dataset}: no {what} {name}; there {'is' if len(near) == 1 else 'are'}"
                f" {_some(near)}"
            )
    return [name for name in known if not names or name in names]


def _some(names, most=10):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def read_filters(path):
    """Read a file of filters as other BIDS Apps take it.

    For example ``{"t1w": {"session": "01", "acquisition": ["mprage", "spgr"], "run": null}}``: null
    is for an entity that must be absent, "*" for one that must be there.

    Parameters
    ----------
    path : Path
        JSON. Keys other than those of `QUERIES` belong to other apps.

    Returns
    -------
    filters : dict of str to dict
        By keys of `QUERIES`; the words of `ENTITIES`, and what they shall be.

    Raises
    ------
    InputError
        If it cannot be read, or holds nothing of use, an unknown word, or an odd value.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); check it") from error
    filters = {key: read[key] for key in QUERIES if key in read} if isinstance(read, dict) else {}
    if not filters:
        raise InputError(
            f"{path}: filters neither {' nor '.join(QUERIES)}; write one of these keys"
        )
    for key, wanted in filters.items():
        if not isinstance(wanted, dict):
            raise InputError(f"{path}: {key} holds {wanted!r}; write entities and their values")
        for name, value in wanted.items():
            if name not in ENTITIES:
                raise InputError(f"{path}: entity {name!r} is unknown; use {', '.join(ENTITIES)}")
            several = value if isinstance(value, list) else [value]
            if not all(one is None or isinstance(one, str | int) for one in several):
                raise InputError(
                    f"{path}: {name} is {value!r}; write a text, a number, null, or a list of them"
                )
    return filters


def _in_session(anat, filters):
    """List the images of the first query of `QUERIES` that a session has."""
    for key, suffix in QUERIES.items():
        wanted = {"suffix": suffix} | filters.get(key, {})
        found = [path for path in inputs.images_in(anat) if _fits(path, wanted)]
        if found:
            return found
    return []


def _fits(path, wanted):
    *pairs, suffix = stem(path).split("_")
    known = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    ends = path.name.removeprefix(stem(path))
    known |= {"suffix": suffix, "extension": ends, "datatype": path.parent.name}
    return all(
        any(
            _same(ENTITIES[name], known.get(ENTITIES[name]), one)
            for one in (value if isinstance(value, list) else [value])
        )
        for name, value in wanted.items()
    )


def _same(entity, has, wanted):
    if wanted is None or has is None:
        return wanted is has
    wanted = str(wanted).removeprefix(f"{entity}-")
    if entity in NUMBERS:
        has, wanted = has.lstrip("0"), wanted.lstrip("0")
    return wanted in ("*", has)


def describe(dataset, out):
    """Write what belongs to the folder of results as a whole, if it is not there yet."""
    try:
        said = json.loads((dataset / "dataset_description.json").read_text(encoding="utf-8"))
        doi = said.get("DatasetDOI")
    except (OSError, ValueError, AttributeError):
        doi = None
    here = Path(os.path.relpath(dataset, out)).as_posix()
    source = {"DOI": doi} if isinstance(doi, str) else {"URL": here}
    writing.describe(out, {"SourceDatasets": [source], "DatasetLinks": {"raw": here}})


def participants(dataset):
    """Read the participants of a BIDS dataset.

    Returns
    -------
    table : DataFrame or None
        A row a participant, by names such as 'sub-01'; None where there is no `participants.tsv`.

    Raises
    ------
    InputError
        If it cannot be read, or has no column `participant_id`.
    """
    path = dataset / "participants.tsv"
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(
            path, sep="\t", dtype={"participant_id": str}, na_values="n/a", encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); check it") from error
    if "participant_id" not in table:
        raise InputError(f"{path}: no column participant_id; check its first line")
    names = "sub-" + table.participant_id.str.removeprefix("sub-")
    twice = names[names.duplicated()]
    if len(twice):
        raise InputError(f"{path}: {twice.iloc[0]} is listed twice; keep one row a participant")
    return table.drop(columns="participant_id").set_index(names)


def group(dataset, out):
    """Write the tables and the page of all results in a folder (see `cohort.cohort`).

    Returns
    -------
    table : DataFrame
        `qc.tsv`.
    first : DataFrame
        `look_first.tsv`.

    Raises
    ------
    InputError
        If there is no result yet, or a file of others is in the way.
    """
    cohort.check_foreign(out)
    failed, done = unfinished.find(out), segmented(out)
    if not failed and not done:
        raise InputError(
            f"{out}: no results in it; run 'patchseg bids {dataset} {out} participant' first"
        )
    first = cohort.cohort(out, failed, done - set(failed), participants(dataset))
    table = pd.read_csv(out / "qc.tsv", sep="\t", dtype={"image": str}, keep_default_na=False)
    return table, first


def segmented(out):
    """Return the names of the images that have a result in a folder."""
    return {path.name.removesuffix("_dseg.json") for path in out.rglob("*_dseg.json")}
