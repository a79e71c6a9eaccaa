"""Put the score tables into the README, between two markers, from what the evaluate stage wrote."""

import pandas as pd

from patchseg.files import project_root, replacing

START, END = "<!-- scores: made by make repro -->\n", "<!-- end of scores -->\n"
ORDER = ["WM", "GM", "CSF"]


def filled_patches(scores):
    """Dice per patch, over the patches of which the tissue fills at least 1 %: mean and median."""
    lines = ["| method | patches | Dice WM / GM / CSF, mean | median |", "|---|---|---|---|"]
    for method, rows in scores[scores.level == "patch"].groupby("method", sort=False):
        rows = rows.set_index("tissue").loc[ORDER]
        mean, median = (" / ".join(f"{value:.3f}" for value in rows[f"dice_filled_{name}"]) for name in ("mean", "median"))
        lines.append(f"| {method} | {' / '.join(map(str, rows.n_filled))} | {mean} | {median} |")
    return "\n".join(lines) + "\n"


def tissue_means(scores):
    """Mean of the three tissues: patches pooled, slices and volume as the mean over them."""
    lines = ["| method | patches, pooled Dice | slices, Dice | slices, IoU | volume, Dice |", "|---|---|---|---|---|"]
    for method, rows in scores.groupby("method", sort=False):
        mean = rows.groupby("level")[["dice_pooled", "dice_mean", "iou_mean"]].mean()
        values = (mean.dice_pooled["patch"], mean.dice_mean["slice"], mean.iou_mean["slice"], mean.dice_mean["volume"])
        lines.append(f"| {method} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines) + "\n"


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
readme = (root / "README.md").read_text()
before, rest = readme.split(START)
with replacing(root / "README.md") as temporary:
    temporary.write_text(before + START + "\n".join(parts) + END + rest.split(END)[1])
