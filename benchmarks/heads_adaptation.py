"""What slices of a brain mask, corrected by hand, teach the network that finds the brain.

    PATCHSEG_ZOO=... python benchmarks/heads_adaptation.py
    python benchmarks/heads_adaptation.py --report   # tables and figure of what is measured

Each head of the zoo is found by a network that never saw its species, as it is and after one slice
or three of the true mask, on the planes that `patchseg suggest --what brain` names. Writes
artefacts/adaptation/masks.csv, .md and .png.
"""

import tempfile
import warnings
from pathlib import Path

import common
import nibabel as nib
import numpy as np
from common import ARTEFACTS, complete, load, number, weights_of, write_markdown

from patchseg import checkpoint, figures, metrics
from patchseg.adaptation import heads, suggestion
from patchseg.figures.style import Picture
from patchseg.images import grid
from patchseg.inference import mask as masks
from patchseg.scoring.on_heads import LEFT_OUT, measured

OUT = ARTEFACTS / "adaptation" / "masks.csv"
COUNTS = (0, 1, 3)
BAR = 0.96
OTHER = {
    "head-macaque-yerkes-t1": "head-macaque-yerkes-t2",
    "head-macaque-yerkes-t2": "head-macaque-yerkes-t1",
    "head-chimp-yerkes-t1": "head-chimp-yerkes-t2",
    "head-chimp-yerkes-t2": "head-chimp-yerkes-t1",
}
"""The other contrast of the same animal, of which no slice is labelled: does it carry over?"""
KNOWN = {"macaque": "head-chimp-yerkes-t1", "chimpanzee": "head-macaque-yerkes-t1"}
"""Heads whose like the network knew before, to see what it forgets."""


def known_of(head):
    """Return the head that tells what is forgotten."""
    return KNOWN.get(load(head).species, "head-macaque-yerkes-t1")


def labels_of(one):
    """Return the labels that a hand would paint, had it the time for all slices."""
    return nib.Nifti1Image(np.where(one.mask, 1, 2).astype(np.uint8), one.affine)


def trial(head, slices):
    """Correct so many slices of a head, learn them and score: one row."""
    one, start = load(head), weights_of(LEFT_OUT[head])
    image, weights, told, labels = nib.Nifti1Image(one.image, one.affine), start, {}, None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        if slices:
            wanted = suggestion.suggest_brain(image, slices, start)
            labels = suggestion.fill_in(wanted, labels_of(one))
            weights = heads.adapt(image, labels, start, Path(folder) / f"new{checkpoint.SUFFIX}")
            card = checkpoint.read_card(weights)
            told = {"numbers": " ".join(map(str, wanted.slices)), "seconds": card["seconds"]}
            told |= {name: card[name] for name in ("helped", "kept", "steps")}
            for when in ("before", "after"):
                told[f"half_{when}"] = card[f"held_out_{when}"]["brain"]
        found = masks.find(one.image, one.voxel_mm, head, weights).mask
        free = np.ones(found.shape, bool) if labels is None else grid.ras(labels)[0] == 0
        told["dice_unlabelled"] = round(metrics.dice(one.mask & free, found & free), 4)
        for title, name in (("other", OTHER.get(head)), ("known", known_of(head))):
            told[f"dice_{title}"] = round(_dice(name, weights), 4) if name else np.nan
        gate = masks.share_of_other(one.image, one.voxel_mm, weights)
    row = {"network": LEFT_OUT[head], **measured(one.mask, found, one.voxel_mm)}
    return row | {"other_tissue": round(gate, 3)} | told


def _dice(name, weights):
    one = load(name)
    return metrics.dice(one.mask, masks.find(one.image, one.voxel_mm, name, weights).mask)


def measure(head, slices):
    """Do one job."""
    return [trial(head, slices)]


def key(head, slices):
    """Return the fingerprint of a row."""
    names = [head, OTHER.get(head), known_of(head)]
    return common.key(
        trial, brain_names=[name for name in names if name], networks=[LEFT_OUT[head]]
    )


def picture(table):
    """Draw Dice against labelled slices: a line for each head."""
    figure = Picture(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    for (head, own), marker in zip(table.groupby("head", sort=False), "os^vD", strict=False):
        axes.plot(own.slices, own.dice, marker=marker, label=head.removeprefix("head-"))
    axes.axhline(BAR, color="black", linestyle=":", linewidth=1)
    axes.set(xlabel="labelled slices of the mask", ylabel="Dice of the brain", xticks=COUNTS)
    axes.legend(loc="lower right", fontsize=8)
    return figure


def report(table):
    """Write the table for people, and the figure."""
    columns = ["dice", "dice_unlabelled", "dice_other", "dice_known", "half_before", "half_after"]
    lines = [
        [
            row["head"],
            row["network"],
            str(row["slices"]),
            *[number(row.get(name, np.nan)) for name in columns],
            f"{row['hd95_1mm']:.1f}",
            number(row.get("kept", np.nan)),
            "" if np.isnan(row.get("seconds", np.nan)) else f"{row['seconds']:.0f}",
            row["key"],
        ]
        for row in table.to_dict("records")
    ]
    titles = ["head", "network", "slices", "Dice", "slices not labelled", "other contrast"]
    titles += ["known species", "held-out half before", "after", "HD95 (1 mm-equivalent)"]
    write_markdown(OUT.with_suffix(".md"), [*titles, "kept", "s", "key"], lines, table)
    figures.save(picture(table), OUT.with_suffix(".png"))


def main():
    """Measure what is missing, then write table and figure."""
    wanted = common.parser(__doc__).parse_args()
    jobs = [{"head": head, "slices": count} for count in COUNTS for head in LEFT_OUT]
    table = complete(OUT, jobs, key, measure, wanted.report, what="heads")
    table = table.sort_values(["head", "slices"], kind="stable")
    report(table)
    print((OUT.with_suffix(".md")).read_text())


if __name__ == "__main__":
    main()
