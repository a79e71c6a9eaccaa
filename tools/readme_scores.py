"""Put the table of results into the README."""

from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
START, END = "<!-- results: made by tools/readme_scores.py -->\n", "<!-- end of results -->\n"
METHODS = ("patchseg", "DIPY HMRF", "ANTs N4+Atropos")
ORDER = ["WM", "GM", "CSF"]
ALIKE = ("mouse-fvb-3", "mouse-fvb-4")
"""Brains much like another one of the table, which would make it long."""


def results(zoo, curve):
    """Return the README's table: Dice on brains of species never seen.

    Parameters
    ----------
    zoo : pandas.DataFrame
        Of `benchmarks/segmentation.py`: brain, method, Dice of each tissue.
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
    ]
    lines = [names, ["---"] * len(names)]
    for brain in [name for name in zoo.brain.unique() if name not in ALIKE]:
        rows = [known.loc[(brain, method)] for method in METHODS]
        dice = [" / ".join(f"{row[f'dice_{tissue}']:.2f}" for tissue in ORDER) for row in rows]
        learned = f"{slice_[brain]:.2f}" if brain in slice_ else ""
        lines.append([brain, *dice, learned])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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
