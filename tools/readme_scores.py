"""Put the small table of results into the README, from the tables in artefacts/.

The site takes tables from here, too (docs/prepare.py).
"""

from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
START, END = "<!-- results: made by tools/readme_scores.py -->\n", "<!-- end of results -->\n"
METHODS = ("patchseg", "DIPY HMRF", "ANTs N4+Atropos")
ORDER = ["WM", "GM", "CSF"]


def results(zoo, curve):
    """Return the README's table: mean Dice of GM and WM on brains of species never seen.

    Parameters
    ----------
    zoo : pandas.DataFrame
        Of `benchmarks/segmentation.py`: brain, method, dice_GM_WM, seconds.
    curve : pandas.DataFrame
        Of `benchmarks/adaptation.py`: brain, slices, suggested.

    Returns
    -------
    table : str
        Markdown.
    """
    dice, seconds = (
        zoo.pivot(index="brain", columns="method", values=values).loc[zoo.brain.unique()]
        for values in ("dice_GM_WM", "seconds")
    )
    slice_ = curve[curve.slices == 1].set_index("brain").suggested
    names = "brain | patchseg | with one labelled slice | HMRF | Atropos"
    lines = [f"| {names} | seconds: patchseg / HMRF / Atropos |", "|---|---|---|---|---|---|"]
    for brain, row in dice.iterrows():
        ours, *others = (f"{row[method]:.3f}" for method in METHODS)
        with_slice = f"{slice_[brain]:.3f}" if brain in slice_ else ""
        times = " / ".join(f"{seconds.loc[brain, method]:.0f}" for method in METHODS)
        lines.append(f"| {brain} | {ours} | {with_slice} | {' | '.join(others)} | {times} |")
    return "\n".join(lines) + "\n"


def tissue_means(scores):
    """Mean of the three tissues: patches pooled, slices and volume as the mean over them."""
    lines = [
        "| method | patches, pooled Dice | slices, Dice | slices, IoU | volume, Dice |",
        "|---|---|---|---|---|",
    ]
    for method, rows in scores.groupby("method", sort=False):
        mean = rows.groupby("level")[["dice_pooled", "dice_mean", "iou_mean"]].mean()
        values = (
            mean.dice_pooled["patch"],
            mean.dice_mean["slice"],
            mean.iou_mean["slice"],
            mean.dice_mean["volume"],
        )
        lines.append(f"| {method} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines) + "\n"


def filled_patches(scores):
    """Dice per patch, over the patches of which the tissue fills at least 1 %: mean and median."""
    lines = ["| method | patches | Dice WM / GM / CSF, mean | median |", "|---|---|---|---|"]
    for method, rows in scores[scores.level == "patch"].groupby("method", sort=False):
        rows = rows.set_index("tissue").loc[ORDER]
        mean, median = (
            " / ".join(f"{value:.3f}" for value in rows[f"dice_filled_{name}"])
            for name in ("mean", "median")
        )
        lines.append(f"| {method} | {' / '.join(map(str, rows.n_filled))} | {mean} | {median} |")
    return "\n".join(lines) + "\n"


def filled(text, table):
    """Put a table between the two markers of a text."""
    before, rest = text.split(START)
    return before + START + "\n" + table + "\n" + END + rest.split(END)[1]


def readme():
    """Return the README with the table of today's `artefacts/`."""
    artefacts = ROOT / "artefacts"
    zoo = pd.read_csv(artefacts / "zoo" / "segmentation.csv")
    table = results(zoo, pd.read_csv(artefacts / "adaptation" / "curve.csv"))
    return filled((ROOT / "README.md").read_text(encoding="utf-8"), table)


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
