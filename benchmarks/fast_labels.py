"""Trained and tested on labels of FSL FAST, as the original was, but every patch counted.

    python benchmarks/fast_labels.py                      # an hour on two cores; current rows stay
    python benchmarks/fast_labels.py patchseg no-zoom     # these recipes only
    python benchmarks/fast_labels.py --report             # tables only

Two people of the zoo have FAST's labels. Three ways: the back of one brain against its front, and
each person against the other. The stages are the notebooks of the pipeline, with the recipes and
seeds of params.yaml. The networks that were trained on eve then segment the animals, too. Needs
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
from patchseg.core.tissues import most_probable
from patchseg.datasets import bids
from patchseg.images import brain
from patchseg.inference import views
from patchseg.scoring import evaluation, tables
from patchseg.scoring.rows import LENGTH, keys
from patchseg.training import loop

WORK = ROOT / "work" / "fast_labels"
RECIPES = ("patchseg", "no-zoom", "original")
HMRF = "DIPY HMRF"
ON_ANIMALS = ("patchseg", "original")
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


def dataset(way):
    """Write the dataset of a way, unless it is there; return its folder, named by its key."""
    key = common.key(
        write_dataset, settings=WAYS[way], brain_names=[block[0] for block in WAYS[way]]
    )
    folder = WORK / _folder(way) / f"data-{key[:LENGTH]}"
    if not (folder / "participants.tsv").exists():
        write_dataset(folder, WAYS[way])
    return folder


def _folder(way):
    return way.replace(",", "").replace(" ", "-")


def trained_key(way, recipe):
    """Return the fingerprint of the networks of a recipe: notebooks, code, settings, brains."""
    cells = [source.meaning(notebook(stage)) for stage in STAGES]
    made_in = loop.made_in(params.load(SETTINGS, recipe).train)
    told = [_settings(stage, recipe) for stage in STAGES]
    return common.key(
        write_dataset,
        "patchseg.preprocess",
        "patchseg.training.training_set",
        "patchseg.training.loop",
        settings=[told, made_in, cells, WAYS[way]],
        brain_names=[block[0] for block in WAYS[way]],
    )


def _settings(stage, recipe):
    """Return what the notebook of a stage is told, but for how many processes it takes."""
    values = pipeline.stage_parameters(SETTINGS, stage, recipe)
    told = {name: value for name, value in values[stage].items() if name != "jobs"}
    return [told, values.get("seeds")]


def train(way, recipe):
    """Run the notebooks of the stages preprocess, augment and train with a recipe.

    Returns
    -------
    folder : Path
        With the weights of each seed, named by the key of what is in it; what a killed run finished
        is kept.
    """
    folder = WORK / _folder(way) / f"{recipe}-{trained_key(way, recipe)[:LENGTH]}"
    for stage in STAGES:
        target = folder / "notebooks" / f"{stage}.ipynb"
        if not target.exists():
            run_stage(stage, way, recipe, folder, target)
    return folder / "work" / "train" / recipe


def run_stage(stage, way, recipe, folder, target):
    """Execute the notebook of a stage on the dataset of a way."""
    values = pipeline.stage_parameters(SETTINGS, stage, recipe) | {"out": str(folder)}
    if "dataset" in values:
        values["dataset"] = str(dataset(way))
    with files.replacing(target) as temporary:
        log, title = folder / "log.txt", f"{way}: {stage} {recipe}"
        pipeline.execute(notebook(stage), temporary, values, title, log, ROOT, sys.stdout)


def networks(way, recipe):
    """Return the trained networks of a recipe, by seed."""
    folder = train(way, recipe)
    return {
        seed: checkpoint.load(checkpoint.of_seed(folder, seed))
        for seed in params.load(SETTINGS).seeds
    }


def measure(way, method):
    """Score a recipe's networks, plain and with sharpened borders, or HMRF, on the test brain."""
    subject = bids.subjects(dataset(way), "test")[0]
    if method == HMRF:
        grid = params.load(SETTINGS, RECIPES[0]).preprocess
        return summed(scored_hmrf(subject, grid))
    grid = params.load(SETTINGS, method).preprocess
    return summed(scored(subject, grid, networks(way, method)))


def scored(subject, grid, by_seed):
    """Score networks by seed, plain and with borders from intensities: one table."""
    found = []
    for seed, network in by_seed.items():
        plain = evaluation.evaluate_network(network, subject, grid)
        sharp = evaluation.evaluate_sharpened(network, subject, grid)
        found += [
            plain.assign(seed=seed, borders="network"),
            sharp.assign(seed=seed, borders="intensities"),
        ]
    return pd.concat(found, ignore_index=True)


def scored_hmrf(subject, grid):
    """Score HMRF as if it were a network without seed."""
    return evaluation.evaluate_hmrf(subject, grid, 0).assign(seed=np.nan, borders="own")


def summed(table):
    """Return a row for each kind of borders, seed, level and tissue: see `tables.scores`."""
    by = ("borders", "seed", "level", "tissue")
    whole = metrics.table(table, by)
    found = tables.scores(whole.rename(columns={"borders": "method"}))
    found = found.rename(columns={"method": "borders"})
    found["dice_mean"] = whole.dice_mean
    found["dice_median"] = table.groupby(list(by), sort=False, dropna=False).dice.median().values
    return found.round(4).to_dict("records")


def key(way, method):
    """Return the fingerprint of a method's rows."""
    if method == HMRF:
        names = [block[0] for block in WAYS[way]]
        settings = [WAYS[way], _settings("preprocess", RECIPES[0]), provenance.versions("dipy")]
        code = (write_dataset, scored_hmrf, summed)
        return common.key(*code, settings=settings, brain_names=names)
    return common.key(scored, summed, settings=trained_key(way, method))


def zero_shot(model, one, grid):
    """Score a recipe's network on a brain of another species, as the pipeline segments volumes."""
    box = brain.bounding_box(one.mask)
    found = np.zeros_like(one.labels)
    found[box] = most_probable(views.volume(model, one.normalised(grid.top)[box], grid))
    return metrics.score(one.labels, found, one.voxel_mm)


def measure_animal(network, brain):
    """Score a recipe's networks, trained on a person, on an animal: the mean over the seeds."""
    grid = params.load(SETTINGS, network).preprocess
    models = networks(ANIMALS_FROM, network).values()
    rows = pd.DataFrame([row for model in models for row in zero_shot(model, load(brain), grid)])
    return rows.groupby("tissue", sort=False).mean().reset_index().to_dict("records")


def animal_key(network, brain):
    """Return the fingerprint of an animal's rows."""
    return common.key(zero_shot, settings=trained_key(ANIMALS_FROM, network), brain_names=[brain])


def report(table):
    """Write two tables as Markdown: Dice, mean ± sd over seeds; IoU, and Dice patch by patch."""
    names = ["train and test", "method", "borders", "level"]
    dice, other = [], []
    by = ["way", "method", "borders", "level"]
    for which, own in table[table.level != "volume"].groupby(by, sort=False):
        by_tissue = own.groupby("tissue")
        mean, sd = by_tissue.mean(numeric_only=True), by_tissue.dice.std()
        scores = [tables.mean_sd(mean.dice[tissue], sd[tissue]) for tissue in tables.ORDER]
        dice.append([*which, *scores, keys(own)])
        other.append(
            [*which, *[_three(mean[name]) for name in ("iou", "dice_mean", "dice_median")]]
        )
    head = [*names, "IoU", "Dice of each patch or slice: mean", "median"]
    more = "The same, WM / GM / CSF, means over seeds:\n\n" + common.markdown(head, other)
    head = [*names, *[f"Dice {tissue}" for tissue in tables.ORDER], "key"]
    common.write_markdown(ACROSS / "fast_labels.md", head, dice, table, more=more)


def _three(values):
    """Return the values of the three tissues as text that does not break."""
    return "\u00a0/\u00a0".join(f"{values[tissue]:.3f}" for tissue in tables.ORDER)


def main():
    """Do what is missing or stale, then write the tables."""
    parser = common.parser(__doc__)
    parser.add_argument("methods", nargs="*", help="recipes to measure now; all unless given")
    given = parser.parse_args()
    chosen = given.methods or [*RECIPES, HMRF]
    if unknown := set(chosen) - {*RECIPES, HMRF}:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join([*RECIPES, HMRF])}")
    jobs = [{"way": way, "method": name} for way in WAYS for name in (*RECIPES, HMRF)]
    options = {"report": given.report, "wanted": lambda job: job["method"] in chosen}
    table = common.complete(
        ACROSS / "fast_labels.csv", jobs, key, measure, what="ways and methods", **options
    )
    report(table)
    animals = [{"network": recipe, "brain": name} for recipe in ON_ANIMALS for name in ANIMALS]
    options["wanted"] = lambda job: job["network"] in chosen
    common.complete(
        ACROSS / "recipes.csv", animals, animal_key, measure_animal, what="animals", **options
    )
    print((ACROSS / "fast_labels.md").read_text())


if __name__ == "__main__":
    main()
