"""Score tables: the mean and spread over seeds, recipes against each other, and their files.

A recipe's Dice and IoU are those of its pooled patches, of its slices on average, and of the
volume on average.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from patchseg.core.files import write_table, write_text
from patchseg.core.tissues import TISSUES

ORDER = list(reversed(TISSUES))
KEYS = ["method", "level", "tissue"]
_KEPT = "\u00a0"  # a space at which no line breaks
_AVERAGED = {"patch": "pooled", "slice": "mean", "volume": "mean"}
_MEASURES = {"iou": "IoU", "hd95_mm": "HD95 (mm)", "avd_percent": "AVD (%)"}
_DIGITS = {"iou": 3, "hd95_mm": 2, "avd_percent": 1}


def scores(table):
    """Return what is published of a table: one Dice and IoU for each method, seed, level, tissue.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `metrics.table` by method, seed, level and tissue. The seed is NaN where there is none.

    Returns
    -------
    scores : pandas.DataFrame
        method, seed, level, tissue, n (places that hold the tissue), dice, iou, hd95_mm and
        avd_percent.
    """
    columns = table.level.map(_AVERAGED)
    found = table[["method", "seed", "level", "tissue", "n"]].copy()
    for measure in ("dice", "iou"):
        pooled, mean = table[f"{measure}_pooled"], table[f"{measure}_mean"]
        found[measure] = pooled.where(columns == "pooled", mean)
    for measure in ("hd95_mm", "avd_percent"):
        found[measure] = table[f"{measure}_mean"]
    return found


def over_seeds(scores):
    """Return mean and sd of Dice, and the other means, over the seeds by method and place."""
    groups = scores.groupby(KEYS, sort=False)
    dice = groups.dice.agg(["mean", "std", "count"])
    dice.columns = ["dice", "dice_sd", "seeds"]
    table = dice.join(groups[["iou", "hd95_mm", "avd_percent"]].mean()).reset_index()
    order = [pd.factorize(table[name])[0] for name in ("method", "level")]
    return table.iloc[np.lexsort([table.tissue.map(ORDER.index), *reversed(order)])].reset_index(
        drop=True
    )


def markdown(scores):
    """Return Dice as Markdown: a line for each method and level, mean ± sd over the seeds.

    Parameters
    ----------
    scores : pandas.DataFrame
        Of `scores`.
    """
    lines = [["method", "level", *[f"Dice {tissue}" for tissue in ORDER], "mean of the three"]]
    for names, own in over_seeds(scores).groupby(["method", "level"], sort=False):
        here = scores[(scores.method == names[0]) & (scores.level == names[1])]
        means = here.groupby("seed", dropna=False).dice.mean()
        rows = own.set_index("tissue").loc[ORDER]
        cells = [mean_sd(row.dice, row.dice_sd) for row in rows.itertuples()]
        lines.append([*names, *cells, mean_sd(means.mean(), means.std())])
    return _table(lines)


def measures_markdown(scores):
    """Return IoU, HD95 and AVD as Markdown, means over the seeds."""
    lines = [["method", "level", *[f"{name}, WM / GM / CSF" for name in _MEASURES.values()]]]
    for names, own in over_seeds(scores).groupby(["method", "level"], sort=False):
        rows = own.set_index("tissue").loc[ORDER]
        lines.append([*names, *[_three(rows[name], _DIGITS[name]) for name in _MEASURES]])
    return _table(lines)


def differences(scores, main):
    """Compare each other recipe with `main`, seed by seed.

    Parameters
    ----------
    scores : pandas.DataFrame
        Of `scores`.
    main : str
        A method.

    Returns
    -------
    table : pandas.DataFrame
        level, tissue, against (the other recipe), difference (mean over the seeds of Dice of `main`
        minus the other), low and high (its 95 % interval, by Student's t, NaN with one seed) and
        seen: 'better', 'worse', 'no difference seen' where the interval holds 0, or 'one seed'.
    """
    dice = scores.dropna(subset="seed").pivot_table(
        "dice", ["level", "tissue", "seed"], "method", sort=False
    )
    rows = []
    for other in dice.columns.drop(main):
        paired = (dice[main] - dice[other]).dropna()
        groups = dict(iter(paired.groupby(["level", "tissue"])))
        for place in product(paired.index.unique("level"), ORDER):
            if place not in groups:
                continue
            own = groups[place]
            mean = own.mean()
            half = stats.t.ppf(0.975, len(own) - 1) * own.sem() if len(own) > 1 else np.nan
            seen = "better" if mean > 0 else "worse"
            if len(own) < 2:
                seen = "one seed"
            elif abs(mean) <= half:
                seen = "no difference seen"
            rows.append((*place, other, mean, mean - half, mean + half, seen))
    columns = ["level", "tissue", "against", "difference", "low", "high", "seen"]
    return pd.DataFrame(rows, columns=columns)


def differences_markdown(table, main):
    """Return differences as Markdown, a line for each other recipe and level."""
    lines = [[f"{main} minus", "level", *ORDER]]
    for names, own in table.groupby(["against", "level"], sort=False):
        rows = own.set_index("tissue").reindex(ORDER)
        lines.append([*map(str, names), *map(_difference, rows.itertuples())])
    return _table(lines)


def fold_markdown(curves, main):
    """Return by how much `main` is better than each other recipe at each fold size, as Markdown.

    Parameters
    ----------
    curves : pandas.DataFrame
        Of `evaluation.fold_curves`.
    main : str
        A recipe.
    """
    names = {"recipe": "method", "fold_size": "level"}
    table = differences(curves.rename(columns=names), main)
    return differences_markdown(table, main).replace("| level |", "| fold size |", 1)


def _difference(row):
    """Say a difference and its interval, or that none was seen."""
    if np.isnan(row.difference):
        return ""
    if row.seen == "one seed":
        return f"{row.difference:+.3f} (one seed)"
    seen = row.seen if row.seen == "no difference seen" else f"{row.difference:+.3f}"
    return f"{seen} ({row.low:+.3f} to {row.high:+.3f})"


def filled_markdown(table):
    """Return Dice per patch, over the patches of which the tissue fills at least 1 %.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `metrics.table` by method, seed, level and tissue.
    """
    lines = [["method", "patches WM / GM / CSF", "Dice WM / GM / CSF, mean", "median"]]
    patches = table[table.level == "patch"]
    names = ["n_filled", "dice_filled_mean", "dice_filled_median"]
    for method, own in patches.groupby("method", sort=False):
        rows = own.groupby("tissue")[names].mean().loc[ORDER]
        digits = (0, 3, 3)
        lines.append(
            [method, *[_three(rows[name], n) for name, n in zip(names, digits, strict=True)]]
        )
    return _table(lines)


def write_scores(table, main, folder):
    """Write the tables of the evaluate stage.

    `scores.csv` holds each seed's scores, `scores.md` their mean ± sd, `scores.json` the same for
    DVC, `measures.md` what `measures_markdown` says and `filled_patches.md` what `filled_markdown`
    says, `differences.csv` and `.md` the recipes against `main`.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `metrics.table` by method, seed, level and tissue.
    main : str
        A method.
    folder : str or Path
    """
    folder, found = Path(folder), scores(table)
    write_table(found, folder / "scores.csv")
    write_text(folder / "scores.md", markdown(found))
    write_text(folder / "measures.md", measures_markdown(found))
    write_text(folder / "filled_patches.md", filled_markdown(table))
    nested = {}
    for row in over_seeds(found).itertuples():
        values = {"dice": row.dice, "dice_sd": row.dice_sd, "iou": row.iou}
        values = {name: float(f"{v:.6g}") for name, v in values.items() if not np.isnan(v)}
        nested.setdefault(row.method, {}).setdefault(row.level, {})[row.tissue] = values
    write_text(folder / "scores.json", json.dumps(nested, indent=2) + "\n")
    compared = differences(found, main)
    write_table(compared, folder / "differences.csv")
    write_text(folder / "differences.md", differences_markdown(compared, main))


def mean_sd(mean, sd):
    """Return mean ± sd as text, the mean alone where there is no sd."""
    if np.isnan(mean):
        return "–"
    return f"{mean:.3f}" if np.isnan(sd) else f"{mean:.3f}{_KEPT}±{_KEPT}{sd:.3f}"


def _three(values, digits):
    """Return the values of the three tissues as text; a dash where there are none."""
    if values.isna().all():
        return "–"
    texts = ("–" if np.isnan(value) else f"{value:.{digits}f}" for value in values)
    return f"{_KEPT}/{_KEPT}".join(texts)


def _table(lines):
    """Return lines of cells, the head first, as a table in Markdown."""
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
