"""Trained and tested on labels of FSL FAST, as the original was, but every patch counted.

    python benchmarks/fast_labels.py           # an hour on two cores; current rows are kept
    python benchmarks/fast_labels.py --report  # tables only

Two people of the zoo have FAST's labels. Three ways: the back of one brain against its front, and
each person against the other. The stages are the notebooks of the pipeline, with the recipes of
params.yaml. The networks that were trained on eve then segment the animals, too. Needs
PATCHSEG_ZOO. Writes artefacts/across/fast_labels.csv and .md, and recipes.csv with the scores on
animals.
"""

import sys

import common
import numpy as np
import pandas as pd
from common import ACROSS, ANIMALS, ROOT, SETTINGS, load

from patchseg import checkpoint, metrics, params, pipeline
from patchseg.core import files, provenance, source
from patchseg.core.tissues import TISSUES, most_probable
from patchseg.datasets import bids
from patchseg.images import brain
from patchseg.inference import refine, views
from patchseg.scoring import evaluation
from patchseg.scoring.rows import LENGTH, keys
from patchseg.training import loop

WORK = ROOT / "work" / "fast_labels"
RECIPES = ("patchseg", "original")
STAGES = ("preprocess", "augment", "train")
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
"""Brain, from where to where (shares of its length, back to front), and split.

Between two splits of one brain 5 mm or more are left out.
"""
ANIMALS_FROM = "eve to nii2mesh"
"""The way whose networks segment the animals."""


def write_dataset(folder, blocks):
    """Write blocks of brains as a BIDS dataset that the pipeline takes."""
    rows = []
    for name, first, last, split in blocks:
        one = load(name)
        filled = np.flatnonzero(one.mask.any(axis=(0, 2)))
        cut = slice(*(filled[0] + np.rint(np.array([first, last]) * len(filled)).astype(int)))
        image = np.where(one.mask, one.image, 0)[:, cut]
        bids.write_image(folder, f"sub-{split}", "T1w", image, one.affine)
        bids.write_labels(folder, f"sub-{split}", "dseg", one.labels[:, cut], one.affine)
        rows.append((f"sub-{split}", one.species, split))
    about = {"Name": "two people with FAST's labels"}
    bids.describe(folder, about, {"Name": "FAST's labels"}, rows)


def notebook(stage):
    """Return the notebook of a stage."""
    return ROOT / "notebooks" / f"{pipeline.NOTEBOOKS[stage]}.ipynb"


def trained_key(way):
    """Return the fingerprint of the networks of a way: notebooks, code, settings and brains."""
    settings = {recipe: [_settings(stage, recipe) for stage in STAGES] for recipe in RECIPES}
    made_in = [loop.made_in(params.load(SETTINGS, recipe).train) for recipe in RECIPES]
    cells = [source.meaning(notebook(stage)) for stage in STAGES]
    return common.key(
        write_dataset,
        "patchseg.preprocess",
        "patchseg.training.training_set",
        "patchseg.training.loop",
        settings=[settings, made_in, cells, WAYS[way]],
        brain_names=[block[0] for block in WAYS[way]],
    )


def _settings(stage, recipe):
    """Return what the notebook of a stage is told, but for how many processes it takes."""
    values = pipeline.stage_parameters(SETTINGS, stage, recipe)[stage]
    return {name: value for name, value in values.items() if name != "jobs"}


def train(way):
    """Run the notebooks of the stages preprocess, augment and train with each recipe.

    Returns
    -------
    folder : Path
        Named by the key of what is in it; what a killed run finished is kept.
    """
    name = way.replace(",", "").replace(" ", "-")
    folder = WORK / f"{name}-{trained_key(way)[:LENGTH]}"
    if not (folder / "data" / "participants.tsv").exists():
        write_dataset(folder / "data", WAYS[way])
    for recipe in RECIPES:
        for stage in STAGES:
            target = folder / "notebooks" / recipe / f"{stage}.ipynb"
            if not target.exists():
                run_stage(stage, recipe, folder, target, f"{way}: {stage} {recipe}")
    return folder


def run_stage(stage, recipe, folder, target, title):
    """Execute the notebook of a stage on the dataset of a folder."""
    values = pipeline.stage_parameters(SETTINGS, stage, recipe) | {"out": str(folder)}
    if "dataset" in values:
        values["dataset"] = str(folder / "data")
    with files.replacing(target) as temporary:
        log = folder / "log.txt"
        pipeline.execute(notebook(stage), temporary, values, title, log, ROOT, sys.stdout)


def network_of(way, recipe):
    """Return the trained network of a recipe."""
    return checkpoint.load(train(way) / "work" / "train" / recipe / "model.weights.h5")


def measure(way):
    """Score both recipes, ours with sharpened borders, and HMRF on the test brain."""
    folder = train(way)
    subject = bids.subjects(folder / "data", "test")[0]
    grids = {recipe: params.load(SETTINGS, recipe).preprocess for recipe in RECIPES}
    networks = {recipe: network_of(way, recipe) for recipe in RECIPES}
    return summed(scored(subject, grids, networks))


def scored(subject, grids, networks):
    """Score networks by recipe, the first with sharpened borders, too, and HMRF: one table."""
    found = {}
    for number, (recipe, grid) in enumerate(grids.items()):
        found[recipe] = evaluation.evaluate_network(networks[recipe], subject, grid)
        if number == 0:
            sharp = sharpened(networks[recipe], subject.load(), grid)
            name = f"{recipe}, borders from intensities"
            found[name] = evaluation.evaluate_labels(sharp, subject, grid)
            found["DIPY HMRF"] = evaluation.evaluate_hmrf(subject, grid, 0)
    tables = [table.assign(method=name) for name, table in found.items() if table is not None]
    return pd.concat(tables, ignore_index=True)


def summed(table):
    """Return a row for each method, level and tissue: mean, median and pooled."""
    rows, by = [], ("method", "level", "tissue")
    for names, own in table.groupby(list(by), sort=False):
        pooled = metrics.table(own, by).iloc[0]
        row = dict(zip(by, names, strict=True)) | {"n": int(own.dice.count())}
        for name in ("dice", "iou"):
            values = own[name].mean(), own[name].median(), pooled[f"{name}_pooled"]
            labels = (f"{name}_{kind}" for kind in ("mean", "median", "pooled"))
            row |= {label: round(value, 4) for label, value in zip(labels, values, strict=True)}
        rows.append(row)
    return rows


def key(way):
    """Return the fingerprint of a way's rows."""
    return common.key(scored, summed, settings=[trained_key(way), provenance.versions("dipy")])


def sharpened(network, one, grid):
    """Return labels of the fused volume whose borders agree with the image's intensities."""
    image = one.normalised(grid.top)
    probabilities = views.volume(network, image, grid)
    probabilities /= np.maximum(probabilities.sum(axis=-1, keepdims=True), 1e-6)
    found = refine.refine(image, probabilities, one.mask, one.voxel_mm)
    return most_probable(found) * one.mask


def zero_shot(model, one, grid):
    """Score a recipe's network on a brain of another species, as the pipeline segments volumes."""
    box = brain.bounding_box(one.mask)
    found = np.zeros_like(one.labels)
    found[box] = most_probable(views.volume(model, one.normalised(grid.top)[box], grid))
    return metrics.score(one.labels, found, one.voxel_mm)


def measure_animal(network, brain):
    """Score a recipe's network, trained on a person, on an animal."""
    grid = params.load(SETTINGS, network).preprocess
    return zero_shot(network_of(ANIMALS_FROM, network), load(brain), grid)


def animal_key(network, brain):
    """Return the fingerprint of an animal's rows."""
    return common.key(zero_shot, settings=trained_key(ANIMALS_FROM), brain_names=[brain])


def report(table):
    """Write the table as Markdown: mean, median and pooled over all patches and slices."""
    tissues = list(reversed(TISSUES))
    head = ["train and test", "level", "method"]
    head += [f"Dice {tissue}: mean / median / pooled" for tissue in tissues]
    head += ["IoU pooled: WM / GM / CSF", "key"]
    lines = []
    small = table[table.level != "volume"].groupby(["way", "level", "method"], sort=False)
    for names, own in small:
        own = own.set_index("tissue").loc[tissues]
        cells = [
            f"{row.dice_mean:.3f} / {row.dice_median:.3f} / {row.dice_pooled:.3f}"
            for row in own.itertuples()
        ]
        iou = " / ".join(f"{value:.3f}" for value in own.iou_pooled)
        lines.append([*names, *cells, iou, keys(own)])
    common.write_markdown(ACROSS / "fast_labels.md", head, lines, table)


def main():
    """Do what is missing or stale, then write the tables."""
    given = common.parser(__doc__).parse_args()
    ways = [{"way": way} for way in WAYS]
    table = common.complete(
        ACROSS / "fast_labels.csv", ways, key, measure, given.report, what="ways"
    )
    report(table)
    animals = [{"network": recipe, "brain": name} for recipe in RECIPES for name in ANIMALS]
    common.complete(
        ACROSS / "recipes.csv", animals, animal_key, measure_animal, given.report, what="animals"
    )
    print((ACROSS / "fast_labels.md").read_text())


if __name__ == "__main__":
    main()
