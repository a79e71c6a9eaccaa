"""What each choice of the recipe for unseen species is worth.

    python benchmarks/ablation.py              # hours on two cores; current rows are kept
    python benchmarks/ablation.py --jobs 1     # on one core
    python benchmarks/ablation.py --report     # table and figure only

Small networks are trained on people and scored on brains that they never saw. One row changes one
setting. All networks see about the same number of pixels (whole slices 17 %
more); they are smaller and trained for less time than the one that comes with the package. Rows
that decide something have three seeds. Needs PATCHSEG_ZOO. Writes artefacts/across/ablation.csv,
.md and .png.
"""

import os
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import common
import joblib
import numpy as np
import pandas as pd
from common import ACROSS, SETTINGS, dice, load

from patchseg import figures, params
from patchseg.adaptation.answers import look
from patchseg.datasets.brains import names
from patchseg.figures.style import LINES, Picture
from patchseg.inference import networks
from patchseg.scoring.rows import keys
from patchseg.training import batches, draw, loop

PEOPLE = ("mni", "human-eve", "human-labels-*")
DRAW = {"patches": 4608, "validation": 256}
TRAIN = {
    "features": 16,
    "blocks": 1,
    "epochs": 3,
    "steps_per_epoch": 300,
    "batch_size": 16,
    "validation_patches": 256,
    "precision": "float32",
}
DECIDES = "decides"
ALL = "as it is"
WHOLE = {
    "draw": {"patch_size": 160, "patches": 738, "validation": 64},
    "train": {"batch_size": 3, "validation_patches": 64},
}
VARIANTS = {
    ALL: {DECIDES: True},
    "scales 0.5 to 3: always 1": {DECIDES: True, "draw": {"scales": [1.0, 1.0]}},
    "scales 0.5 to 3: zoom-in only, 1 to 3": {DECIDES: True, "draw": {"scales": [1.0, 3.0]}},
    "scales 0.5 to 3: zoom-out only, 0.5 to 1": {"draw": {"scales": [0.5, 1.0]}},
    "patches of 64 pixels: 160": {DECIDES: True, **WHOLE},
    "patches of 64 pixels: whole slices, scales 0.8 to 1.2": {
        DECIDES: True,
        **WHOLE,
        "draw": {**WHOLE["draw"], "scales": [0.8, 1.2]},
    },
    "UNet: ResUNet": {DECIDES: True, "train": {"network": "resunet"}},
    "16 initial features: 8": {"train": {"features": 8}},
    "16 initial features: 24": {"train": {"features": 24}},
    "soft Dice + cross-entropy: cross-entropy": {DECIDES: True, "train": {"loss": "ce"}},
    "soft Dice + cross-entropy: binary cross-entropy": {DECIDES: True, "train": {"loss": "bce"}},
    "T1w, T2w and any contrast: T1w only": {
        DECIDES: True,
        "draw": {"orders": [1.0, 0.0, 0.0, 0.0], "repainted": 0.0},
    },
    "parts of tissues, other masks, reshaped, repainted: none": {
        DECIDES: True,
        "draw": {"parts": 0.0, "rim": 0.0, "reshaped": 0.0, "repainted": 0.0},
    },
    "parts of tissues: none": {"draw": {"parts": 0.0}},
    "other masks: none": {"draw": {"rim": 0.0}},
    "reshaped cortex: none": {"draw": {"reshaped": 0.0}},
    "real images repainted: none": {"draw": {"repainted": 0.0}},
    "label maps and images: images only": {
        DECIDES: True,
        "brains": ["mni", "human-eve"],
        "draw": {"drawn": 0.0},
    },
    "label maps and images: label maps only": {"brains": ["human-labels-*"]},
    "rotation: none": {"draw": {"rotation_deg": 0.0}},
    "anisotropy and bends: none": {"draw": {"anisotropy": 0.0, "elastic": 0.0}},
    "random histograms: none": {"draw": {"curves": 0.0, "gamma": 0.0}},
    "bias fields: none": {"draw": {"bias": 0.0}},
    "blur, large pixels, thick slices: none": {
        "draw": {"blurred": 0.0, "coarse": 0.0, "thick": 0.0}
    },
    "noise: none": {"draw": {"noise": 0.0}},
    "background not always empty: always": {"draw": {"background": 0.0}},
    "8 % of the patches anywhere: none": {"draw": {"anywhere": 0.0}},
    "8 % of the patches anywhere: all": {"draw": {"anywhere": 1.0}},
}
MEASURES = {
    "T1w animals, network alone": ("network", ("chimp", "macaque-21mo", "macaque-4mo")),
    "T1w animals": ("sharpened", ("chimp", "macaque-21mo", "macaque-4mo")),
    "chimp, T2w": ("sharpened", ("chimp-t2",)),
    "a person": ("sharpened", ("human-nii2mesh",)),
}
BRAINS = ("chimp", "chimp-t2", "macaque-21mo", "macaque-4mo", "human-nii2mesh")


@cache
def brain_to_draw(name):
    """Return a brain of the zoo as `draw.Brain`."""
    return draw.brain_of(load(name))


def settings(variant, seed):
    """Return what a network is drawn and trained with: `params.Draw`, `params.Train` and brains."""
    varied, every = VARIANTS[variant], params.load(SETTINGS).across
    drawing, fitting = (
        params.check("ablation", kind, base.model_dump() | small | own | {"seed": seed})
        for kind, base, small, own in (
            (params.Draw, every.draw, DRAW, varied.get("draw", {})),
            (params.Training, every.train, TRAIN, varied.get("train", {})),
        )
    )
    return drawing, fitting, names(varied.get("brains", PEOPLE)), every.brain_pixels


def trained(drawing, fitting, brains, brain_pixels):
    """Draw and train: a network, and how many patches a second each took."""
    brains = [brain_to_draw(name) for name in brains]
    with TemporaryDirectory() as folder:
        folder, started = Path(folder), time.monotonic()
        draw.write_set(brains, folder / "train", drawing.patches, drawing, seed=0, jobs=1)
        draw.write_set(brains, folder / "val", drawing.validation, drawing, seed=1, jobs=1)
        drawn = time.monotonic()
        sets = [batches.open_training_set(folder / part) for part in ("train", "val")]
        loop.fit(*sets, fitting, folder / "small.weights.h5", folder / "state.npz")
        done = time.monotonic()
        network = networks.load(folder / "small.weights.h5", fitting.precision)
    seen = fitting.epochs * fitting.steps_per_epoch * fitting.batch_size
    rates = {
        "drawn_per_s": round((drawing.patches + drawing.validation) / (drawn - started), 1),
        "trained_per_s": round(seen / (done - drawn), 1),
    }
    return replace(network, brain_pixels=brain_pixels), rates


def scored(network):
    """Score a network on the brains that it never saw: rows of brain, kind and Dice."""
    rows = []
    for name in BRAINS:
        one = load(name)
        looks = zip(("network", "sharpened"), look(network.model, network, one), strict=True)
        for kind, found in looks:
            value = round(float(np.mean(dice(one, found))), 4)
            rows.append({"brain": name, "kind": kind, "dice": value})
    return rows


def measure(variant, seed):
    """Draw, train and score: rows of brain, kind and Dice."""
    network, rates = trained(*settings(variant, seed))
    return [row | rates for row in scored(network)]


def key(variant, seed):
    """Return the fingerprint of a variant's rows, the same for each seed."""
    drawing, fitting, brains, brain_pixels = settings(variant, 0)
    given = [drawing.model_dump(), fitting.model_dump(), loop.made_in(fitting), brains]
    return common.key(
        trained, scored, settings=[*given, brain_pixels], brain_names=[*brains, *BRAINS]
    )


def jobs():
    """List what is to be done: the recipe, then each row once, then the seeds of what decides."""
    listed = [(variant, 0) for variant in VARIANTS]
    listed[1:1] = [(ALL, 1), (ALL, 2)]
    listed += [
        (variant, seed)
        for seed in (1, 2)
        for variant, varied in VARIANTS.items()
        if varied.get(DECIDES) and variant != ALL
    ]
    return [{"variant": variant, "seed": seed} for variant, seed in listed]


def by_measure(table):
    """Return the mean Dice of each variant and seed over the brains of each measure."""
    parts = []
    for name, (kind, brains) in MEASURES.items():
        own = table[(table.kind == kind) & table.brain.isin(brains)]
        means = own.groupby(["variant", "seed"], sort=False).dice.mean().reset_index()
        parts.append(means.assign(measure=name))
    return pd.concat(parts).sort_values(
        "variant", key=lambda names: names.map(list(VARIANTS).index), kind="stable"
    )


def report(table):
    """Write the table and the figure."""
    shown = by_measure(table)
    figures.save(picture(shown), ACROSS / "ablation.png")
    lines = []
    for variant, own in shown.groupby("variant", sort=False):
        cells = [_spread(own[own.measure == name].dice) for name in MEASURES]
        made_by = keys(table[table.variant == variant])
        lines.append([variant, str(own.seed.nunique()), *cells, made_by])
    common.write_markdown(
        ACROSS / "ablation.md",
        ["what is changed", "seeds", *MEASURES, "key"],
        lines,
        table,
        "Dice, mean of GM and WM; over seeds the mean (least to most).\n",
    )


def _spread(dice):
    several = f" ({dice.min():.3f} to {dice.max():.3f})" if len(dice) > 1 else ""
    return f"{dice.mean():.3f}{several}"


def picture(table):
    """Plot what each choice of a recipe is worth, a panel a measure.

    Each seed is a dot, and their mean a bar.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns variant (a row each, the first is the recipe itself, whose mean is drawn through all
        rows), measure (a panel each), dice (a dot each).

    Returns
    -------
    figure : Picture
    """
    variants, measures = (list(dict.fromkeys(table[column])) for column in ("variant", "measure"))
    figure = Picture(
        figsize=(3.2 + 2.6 * len(measures), 1.1 + 0.27 * len(variants)), layout="constrained"
    )
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        own = table[table.measure == measure]
        axes.axvline(own[own.variant == variants[0]].dice.mean(), color="grey", linewidth=0.8)
        for number, variant in enumerate(variants):
            dice = own[own.variant == variant].dice
            axes.plot(
                dice,
                [number] * len(dice),
                linestyle="none",
                marker="o",
                markersize=5,
                markerfacecolor="none",
                color=LINES[0],
            )
            axes.plot(
                dice.mean(), number, marker="|", markersize=13, markeredgewidth=2, color=LINES[1]
            )
        axes.set(title=measure, xlabel="Dice, mean of GM and WM", ylim=(len(variants) - 0.4, -0.6))
        axes.grid(axis="y", color="lightgrey", linewidth=0.5)
        axes.set_yticks(range(len(variants)), variants)
    return figure


def in_parallel(count):
    """Return what does jobs as `map` does, in so many processes, a thread each, in any order."""

    def run(do, todo):
        os.environ |= {  # for the processes started below
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        parallel = joblib.Parallel(n_jobs=count, return_as="generator_unordered")
        return parallel(joblib.delayed(do)(job) for job in todo)

    return run


def main():
    """Do what is missing or stale, then draw."""
    parser = common.parser(__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="processes, a thread each")
    given = parser.parse_args()
    table = common.complete(
        ACROSS / "ablation.csv",
        jobs(),
        key,
        measure,
        given.report,
        run=in_parallel(given.jobs),
        what="networks",
    )
    if len(table):
        report(table)


if __name__ == "__main__":
    main()
