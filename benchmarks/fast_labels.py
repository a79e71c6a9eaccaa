"""The original's number, honestly.

Trained and tested on labels of FSL FAST, every patch and slice of the test brain counted.

    python benchmarks/fast_labels.py           # an hour on two cores; what is there is kept
    python benchmarks/fast_labels.py --report  # tables only

Two people of the zoo have FAST's labels. Three ways: the back of one brain against its front, and
each person against the other. The stages are the notebooks of the pipeline, with the recipes of
params.yaml. The networks that were trained on eve then segment the animals, too. Needs
PATCHSEG_ZOO. Writes artefacts/across/fast_labels.csv and .md, and recipes.csv with the scores on
animals.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from patchseg import checkpoint, metrics, params, pipeline
from patchseg.core import files
from patchseg.core.progress import progress
from patchseg.core.tissues import TISSUES, most_probable
from patchseg.datasets import bids, brains, zoo
from patchseg.images import brain, volume
from patchseg.images.grid import voxel_size_mm
from patchseg.inference import refine, views
from patchseg.scoring import evaluation

ROOT = Path(__file__).parents[1]
OUT = ROOT / "artefacts" / "across"
WORK = ROOT / "work" / "fast_labels"
RECIPES = ("patchseg", "original")
# (brain, first and last part along posterior to anterior, split); 5 mm or more of one brain are
# left out between two splits
WAYS = {
    "eve, back to front": [
        ("human-eve", 0, 0.48, "train"),
        ("human-eve", 0.52, 0.63, "val"),
        ("human-eve", 0.66, 1, "test"),
    ],
    "eve to nii2mesh": [
        ("human-eve", 0, 0.85, "train"),
        ("human-eve", 0.88, 1, "val"),
        ("human-nii2mesh", 0, 1, "test"),
    ],
    "nii2mesh to eve": [
        ("human-nii2mesh", 0, 0.85, "train"),
        ("human-nii2mesh", 0.88, 1, "val"),
        ("human-eve", 0, 1, "test"),
    ],
}

ANIMALS, ANIMALS_FROM = ("chimp", "chimp-t2", "macaque-21mo", "macaque-4mo"), "eve to nii2mesh"


def write_dataset(folder, blocks):
    """Write blocks of brains as a BIDS dataset that the pipeline takes."""
    rows = ["participant_id\tspecies\tsplit"]
    for name, first, last, split in blocks:
        image, labels, affine = zoo.load(name)
        mask = brain.foreground(image, name)
        filled = np.flatnonzero(mask.any(axis=(0, 2)))
        cut = slice(*(filled[0] + np.rint(np.array([first, last]) * len(filled)).astype(int)))
        stem = f"sub-{split}/anat/sub-{split}"
        volume.save(folder / f"{stem}_T1w.nii.gz", np.where(mask, image, 0)[:, cut], affine)
        volume.save(
            folder / "derivatives" / "labels" / f"{stem}_dseg.nii.gz",
            np.where(mask, labels, 0)[:, cut].astype(np.uint8),
            affine,
        )
        rows.append(f"sub-{split}\thuman\t{split}")
    files.write_text(
        folder / "dataset_description.json",
        json.dumps({"Name": "two people with FAST's labels", "BIDSVersion": "1.9.0"}),
    )
    files.write_text(folder / "participants.tsv", "\n".join(rows) + "\n")


def train(way):
    """Run the notebooks of the stages preprocess, augment and train with each recipe."""
    folder = WORK / way.replace(",", "").replace(" ", "-")
    write_dataset(folder / "data", WAYS[way])
    for recipe in RECIPES:
        for stage in ("preprocess", "augment", "train"):
            target = folder / "notebooks" / recipe / f"{stage}.ipynb"
            if target.exists():
                continue
            source = ROOT / "notebooks" / f"{pipeline.NOTEBOOKS[stage]}.ipynb"
            values = pipeline.stage_parameters(ROOT / "params.yaml", stage, recipe) | {
                "out": str(folder)
            }
            if "dataset" in values:
                values["dataset"] = str(folder / "data")
            with files.replacing(target) as temporary:
                pipeline.execute(
                    source,
                    temporary,
                    values,
                    f"{way}: {stage} {recipe}",
                    folder / "log.txt",
                    ROOT,
                    sys.stdout,
                )
    return folder


def score(way):
    """Score every patch and slice of the test brain.

    Both recipes, ours with borders from the image's intensities, and HMRF.
    """
    folder = train(way)
    subject = bids.subjects(folder / "data", "test")[0]
    found = []
    for recipe in RECIPES:
        grid = params.load(ROOT / "params.yaml", recipe).preprocess
        network = checkpoint.load(folder / "work" / "train" / recipe / "model.weights.h5")
        found.append(evaluation.evaluate_network(network, subject, grid).assign(method=recipe))
        if recipe == RECIPES[0]:
            found.append(
                evaluation.evaluate_labels(sharpened(network, subject, grid), subject, grid).assign(
                    method="patchseg, borders from intensities"
                )
            )
            rows = evaluation.evaluate_hmrf(subject, grid, 0)
            found += [] if rows is None else [rows.assign(method="DIPY HMRF")]
    table = pd.concat(found, ignore_index=True)
    rows = []
    for (method, level, tissue), own in table.groupby(["method", "level", "tissue"], sort=False):
        pooled = metrics.table(own, ("method", "level", "tissue")).iloc[0]
        row = {
            "way": way,
            "method": method,
            "level": level,
            "tissue": tissue,
            "n": int(own.dice.count()),
        }
        row |= {
            "dice_mean": own.dice.mean(),
            "dice_median": own.dice.median(),
            "dice_pooled": pooled.dice_pooled,
        }
        row |= {
            "iou_mean": own.iou.mean(),
            "iou_median": own.iou.median(),
            "iou_pooled": pooled.iou_pooled,
        }
        rows.append(
            {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in row.items()
            }
        )
    return rows


def sharpened(network, subject, grid):
    """Return labels of the fused volume whose borders agree with the image's intensities."""
    image, _, affine = subject.load(grid.top)
    mask = image > 0
    probabilities = views.volume(network, image, grid)
    probabilities /= np.maximum(probabilities.sum(axis=-1, keepdims=True), 1e-6)
    found = refine.refine(image, probabilities, mask, voxel_size_mm(affine))
    return ((found.argmax(axis=-1) + 1) * mask).astype(np.uint8)


def zero_shot(recipe, name):
    """Score a recipe's network, trained on a person, on a brain of another species, as the pipeline
    segments volumes: rows of `metrics.score`."""
    grid = params.load(ROOT / "params.yaml", recipe).preprocess
    network = checkpoint.load(train(ANIMALS_FROM) / "work" / "train" / recipe / "model.weights.h5")
    _, image, labels, affine = brains.load(name)
    mask = brain.foreground(image, name)
    box = brain.bounding_box(mask)
    ready = brain.normalise(image, mask, grid.top, name)[box]
    found = np.zeros_like(labels)
    found[box] = most_probable(views.volume(network, ready, grid)) * (labels[box] > 0)
    rows = metrics.score(labels, found, voxel_size_mm(affine))
    return [{"network": recipe, "brain": name, **row} for row in rows]


def report(table):
    """Write the table as Markdown: mean, median and pooled over all patches and slices."""
    lines = [
        [
            "train and test",
            "level",
            "method",
            *(f"Dice {tissue}: mean / median / pooled" for tissue in reversed(TISSUES)),
            "IoU pooled: WM / GM / CSF",
        ]
    ]
    lines.append(["---"] * len(lines[0]))
    for (way, level, method), own in table[table.level != "volume"].groupby(
        ["way", "level", "method"], sort=False
    ):
        own = own.set_index("tissue").loc[list(reversed(TISSUES))]
        cells = [
            f"{row.dice_mean:.3f} / {row.dice_median:.3f} / {row.dice_pooled:.3f}"
            for row in own.itertuples()
        ]
        lines.append(
            [way, level, method, *cells, " / ".join(f"{value:.3f}" for value in own.iou_pooled)]
        )
    files.write_text(
        OUT / "fast_labels.md", "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    )


def main():
    """Do what is missing, then write the tables."""
    path = OUT / "fast_labels.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    have = {row["way"] for row in rows}
    for way in progress(
        [] if "--report" in sys.argv else [way for way in WAYS if way not in have], "ways"
    ):
        rows += score(way)
        files.write_table(pd.DataFrame(rows), path)
    report(pd.DataFrame(rows))
    path = OUT / "recipes.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    have = {(row["network"], row["brain"]) for row in rows}
    todo = (
        []
        if "--report" in sys.argv
        else [
            (recipe, name) for recipe in RECIPES for name in ANIMALS if (recipe, name) not in have
        ]
    )
    for recipe, name in progress(todo, "animals"):
        rows += zero_shot(recipe, name)
        files.write_table(pd.DataFrame(rows), path)
    print((OUT / "fast_labels.md").read_text())


if __name__ == "__main__":
    main()
