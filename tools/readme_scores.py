"""Put the table of results into the README; docs/prepare.py takes other tables from here."""

from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
START, END = "<!-- results: made by tools/readme_scores.py -->\n", "<!-- end of results -->\n"
METHODS = ("patchseg", "DIPY HMRF", "ANTs N4+Atropos")
ORDER = ["WM", "GM", "CSF"]


def results(zoo, curve):
    """Return the README's table: Dice on brains of species never seen.

    Parameters
    ----------
    zoo : pandas.DataFrame
        Of `benchmarks/segmentation.py`: brain, method, Dice of each tissue, seconds.
    curve : pandas.DataFrame
        Of `benchmarks/adaptation.py`: brain, slices, suggested (mean of GM and WM).

    Returns
    -------
    table : str
        Markdown.
    """
    known = zoo.set_index(["brain", "method"])
    slice_ = curve[curve.slices == 1].set_index("brain").suggested
    names = [
        "brain",
        "patchseg",
        "HMRF",
        "Atropos",
        "one labelled slice: GM, WM",
        "seconds of the three",
    ]
    lines = [names, ["---"] * len(names)]
    for brain in zoo.brain.unique():
        rows = [known.loc[(brain, method)] for method in METHODS]
        dice = [" / ".join(f"{row[f'dice_{tissue}']:.2f}" for tissue in ORDER) for row in rows]
        learned = f"{slice_[brain]:.2f}" if brain in slice_ else ""
        seconds = " / ".join(f"{row.seconds:.0f}" for row in rows)
        lines.append([brain, *dice, learned, seconds])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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
