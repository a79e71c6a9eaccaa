"""Does a run reproduce the published scores?

The published ones lie in `published/`, apart from `artefacts/`, which a run overwrites: the scores
of each seed, and a record of what made them.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from patchseg.core import files, runtime
from patchseg.core.errors import InputError
from patchseg.core.provenance import fingerprint
from patchseg.scoring import tables

PUBLISHED = "published"
SCORES = "scores.csv"
RECORD = "record.json"
_NUMBERS = ("dice", "iou", "hd95_mm", "avd_percent")
ERRORS = 4
"""Standard errors that two means may be apart. Among 45 scores one may well be 3 apart."""


def compare(published, run, tolerance):
    """Compare the scores of a run with published ones.

    A score is reproduced if the means over the seeds differ by at most `ERRORS` standard errors of
    their difference, plus `tolerance`. The standard deviation is that of the published seeds: the
    score's own, or that of the three tissues together where this is larger, because a few seeds say
    little of a spread.

    Parameters
    ----------
    published, run : pandas.DataFrame
        Of `tables.scores`.
    tolerance : float
        Of Dice.

    Returns
    -------
    table : pandas.DataFrame
        method, level, tissue, published, band (how far a mean may lie from it), run, difference,
        verdict ('reproduced' or 'differs'). A row that this run does not have differs.
    """
    table, found = tables.over_seeds(published), tables.over_seeds(run)
    table = table.merge(found, on=tables.KEYS, how="left", suffixes=("", "_run"))
    variance = table.dice_sd.fillna(0) ** 2
    together = variance.groupby([table.method, table.level]).transform("mean")
    both = 1 / table.seeds.clip(lower=1) + 1 / table.seeds_run.clip(lower=1)
    table["band"] = ERRORS * np.sqrt(np.maximum(variance, together) * both) + tolerance
    table["difference"] = table.dice_run - table.dice
    inside = table.difference.abs() <= table.band
    inside |= table.dice.isna() & (table.seeds_run == 0)  # a tissue that neither has
    table["verdict"] = np.where(inside, "reproduced", "differs")
    table = table.rename(columns={"dice": "published", "dice_run": "run"})
    return table[[*tables.KEYS, "published", "band", "run", "difference", "verdict"]]


def text(table):
    """Return a comparison as lines of text."""
    shown = table.copy()
    for name in ("published", "run"):
        shown[name] = [tables.mean_sd(value, np.nan) for value in table[name]]
    shown["band"] = [f"± {value:.3f}" for value in table.band]
    shown["difference"] = [f"{value:+.3f}" for value in table.difference]
    columns = [*tables.KEYS, "published", "band", "run", "difference", "verdict"]
    return shown[columns].to_string(index=False)


def publish(root, settings):
    """Make the scores of the last run the published ones.

    Parameters
    ----------
    root : Path
        Of the project.
    settings : patchseg.params.Params
    """
    made = _made(root, settings)
    if root / "artefacts" / SCORES not in made:
        raise InputError(f"{root / 'artefacts' / SCORES}: no such file; run 'dvc repro' first")
    record = {
        "settings": _settings(settings),
        "computing": runtime.computing(settings.train.precision),
        "sha256": {str(path.relative_to(root)): files.sha256(path) for path in made},
    }
    folder = root / PUBLISHED
    files.write_text(folder / SCORES, (root / "artefacts" / SCORES).read_text(encoding="utf-8"))
    files.write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def of_run(root, settings, tolerance=None):
    """Say whether the last run reproduces what is published.

    Parameters
    ----------
    root : Path
        Of the project.
    settings : patchseg.params.Params
    tolerance : float, optional
        That of the settings unless given.

    Returns
    -------
    reproduced : bool
    said : str
        The table, and what follows from it.

    Raises
    ------
    InputError
        If scores are missing.
    """
    published, run = (_read(root / name / SCORES) for name in (PUBLISHED, "artefacts"))
    record = _read_record(root / PUBLISHED / RECORD)
    if files.sha256(root / PUBLISHED / SCORES) != record["sha256"].get(f"artefacts/{SCORES}"):
        raise InputError(
            f"{root / PUBLISHED / SCORES}: not the scores that {RECORD} is of;"
            f" run 'git restore {PUBLISHED}'"
        )
    tolerance = settings.tolerance if tolerance is None else tolerance
    table = compare(published, run, tolerance)
    off = table[table.verdict == "differs"]
    lines = [text(table), ""]
    if not (root / "work" / "train").is_dir():
        lines.append("Nothing was run here yet: artefacts/ holds what came with the repository.")
    if record["settings"] != _settings(settings):
        lines.append("params.yaml has other settings than the published run: scores may differ.")
    if len(off):
        names = [" ".join(row) for row in off[tables.KEYS].to_numpy()]
        lines.append(f"differs: {len(off)} of {len(table)} scores ({', '.join(names)})")
    else:
        lines.append(
            f"reproduced: all {len(table)} scores lie in the band of the published seeds, which"
            f" holds {ERRORS} standard errors and {tolerance:g}"
        )
    lines += _bytes(root, record, settings)
    return not len(off), "\n".join(lines)


def _bytes(root, record, settings):
    """Say whether the files are the same to the byte, where they can be expected to be."""
    here = runtime.computing(settings.train.precision)
    back = "'make restore' puts the committed files back."
    if here != record["computing"]:
        return [
            "Published: " + _computer(record["computing"]) + ". Here: " + _computer(here) + ".",
            f"Another processor or other versions round differently, so bytes differ. {back}",
        ]
    made = {str(path.relative_to(root)): files.sha256(path) for path in _made(root, settings)}
    other = sorted(name for name, known in record["sha256"].items() if made.get(name) != known)
    if other:
        names = ", ".join(other)
        return [
            f"The processor's name and the versions are the same, but not the bytes of {names}."
            f" {back}"
        ]
    count = len(record["sha256"])
    return [f"Same processor and versions, and the bytes of all {count} files are equal."]


def _computer(computing):
    libraries = computing["libraries"]
    return (
        f"{computing['processor']}, {computing['threads']} threads, TensorFlow"
        f" {libraries['tensorflow']}, Python {libraries['python']}"
    )


def _made(root, settings):
    """List what the pipeline's stages wrote into `artefacts/`."""
    folder = root / "artefacts"
    folders = [folder, folder / "figures", *[folder / recipe for recipe in settings.compare]]
    paths = [path for one in folders for path in sorted(one.glob("[!.]*")) if path.is_file()]
    return sorted(paths)


def _settings(settings):
    """Return a key of the settings that scores hang on."""
    other = {"across", "adapt", "cell_timeout_s", "tolerance"}
    return fingerprint(settings=settings.model_dump(exclude=other))


def _read(path):
    """Read a table of scores; an InputError names the file, what is wrong, and the mend."""
    ours = path.parent.name == "artefacts"
    mend = "run 'dvc repro' again" if ours else f"run 'git restore {PUBLISHED}'"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {mend}")
    try:
        table = pd.read_csv(path)
    except ValueError as error:  # empty, no table, or no text
        raise InputError(f"{path}: not a table ({error}); {mend}") from error
    missing = [name for name in (*tables.KEYS, "seed", *_NUMBERS) if name not in table]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}; {mend}")
    if table.empty:
        raise InputError(f"{path}: has no rows; {mend}")
    for name in _NUMBERS:
        wrong = table[name][
            pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()
        ]
        if len(wrong):
            raise InputError(f"{path}: column {name} holds {wrong.iloc[0]!r}, no number; {mend}")
    return table


def _read_record(path):
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: record[name] for name in ("settings", "computing", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a whole record ({error}); run 'git restore published'"
        ) from error
