"""Put the score tables into the README, between two markers, from what the evaluate stage wrote."""

import pandas as pd

from patchseg.core.files import project_root, replacing

START, END = "<!-- scores: made by make repro -->\n", "<!-- end of scores -->\n"
ZOO_START, ZOO_END = "<!-- zoo: made by benchmarks/segmentation.py -->\n", "<!-- end of zoo -->\n"
CURVE_START, CURVE_END = (
    "<!-- curve: made by benchmarks/adaptation.py -->\n",
    "<!-- end of curve -->\n",
)
ORDER = ["WM", "GM", "CSF"]


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


def zoo_brains(table):
    """The mean Dice of GM and WM on each brain of the zoo, a column for each method, and patchseg's
    seconds."""
    wide = table.pivot(index="brain", columns="method", values="dice_GM_WM").loc[
        table.brain.unique()
    ]
    ours = table[table.method == "patchseg"].set_index("brain")
    lines = [
        (
            "| brain | network | patchseg | DIPY HMRF | ANTs N4+Atropos | patchseg, CSF | seconds:"
            " patchseg / HMRF / Atropos |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    seconds = table.pivot(index="brain", columns="method", values="seconds")
    for brain, row in wide.iterrows():
        dice = " | ".join(
            f"{row[method]:.3f}" for method in ("patchseg", "DIPY HMRF", "ANTs N4+Atropos")
        )
        times = " / ".join(
            f"{seconds.loc[brain, method]:.0f}"
            for method in ("patchseg", "DIPY HMRF", "ANTs N4+Atropos")
        )
        lines.append(
            f"| {brain} | {ours.network[brain]} | {dice} | {ours.dice_CSF[brain]:.3f} | {times} |"
        )
    return "\n".join(lines) + "\n"


def filled(text, start, end, parts):
    """Put parts between two markers of a text."""
    before, rest = text.split(start)
    return before + start + "\n".join(parts) + end + rest.split(end)[1]


root = project_root()
scores = pd.read_csv(root / "artefacts" / "scores.csv")
parts = [
    "Mean of the three tissues:\n",
    tissue_means(scores),
    "Every tissue:\n",
    (root / "artefacts" / "scores.md").read_text(),
    "Per patch, over the patches of which the tissue fills at least 1 %:\n",
    filled_patches(scores),
]
readme = filled((root / "README.md").read_text(), START, END, parts)
readme = filled(
    readme,
    ZOO_START,
    ZOO_END,
    [zoo_brains(pd.read_csv(root / "artefacts" / "zoo" / "segmentation.csv"))],
)
curve = root / "artefacts" / "adaptation" / "curve.md"
if curve.exists():
    readme = filled(readme, CURVE_START, CURVE_END, [curve.read_text()])
with replacing(root / "README.md") as temporary:
    temporary.write_text(readme)
