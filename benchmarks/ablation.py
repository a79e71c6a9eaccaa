"""What each choice of the recipe for unseen species is worth.

Small networks trained on people, scored on brains that they never saw.

    python benchmarks/ablation.py              # hours on two cores; what is there is kept
    python benchmarks/ablation.py --jobs 1     # on one core
    python benchmarks/ablation.py --report     # table and figure only

One row changes one setting. All networks see about the same number of pixels (whole slices 17 %
more); they are smaller and trained for less time than the one that comes with the package. Rows
that decide something have three seeds. Needs PATCHSEG_ZOO. Writes artefacts/across/ablation.csv,
.md and .png.
"""

import argparse
import os
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import numpy as np
import pandas as pd

from patchseg import figures, params
from patchseg.core import files
from patchseg.core.progress import progress
from patchseg.datasets.brains import load, names
from patchseg.figures.style import LINES, Picture

ROOT = Path(__file__).parents[1]
OUT = ROOT / "artefacts" / "across"
PEOPLE = ("mni", "human-eve", "human-labels-*")
DRAW = {"patches": 4608, "validation": 256}
TRAIN = {
    "features": 16,
    "blocks": 1,
    "epochs": 3,
    "steps_per_epoch": 300,
    "batch_size": 16,
    "patience": 3,
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
        "draw": {"orders": [1.0, 0.0, 0.0], "inverted": 0.0},
    },
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
    from patchseg.images import grid
    from patchseg.training import draw

    species, image, labels, affine = load(name)
    return draw.brain_of(name, species, image, labels, grid.voxel_size_mm(affine))


@cache
def brain_to_score(name):
    """Return a brain of the zoo as `labelled.Labelled`, whole."""
    from patchseg.adaptation import labelled
    from patchseg.images import brain, grid

    _, image, labels, affine = load(name)
    mask = brain.foreground(image, name)
    return labelled.Labelled(
        name,
        image,
        mask,
        np.where(mask, labels, 0).astype(np.uint8),
        tuple(map(float, grid.voxel_size_mm(affine))),
    )


def run(variant, seed):
    """Draw, train and score: rows of brain, kind and Dice."""
    from patchseg import metrics
    from patchseg.adaptation import fine_tuning
    from patchseg.inference import networks
    from patchseg.training import batches, draw, loop

    varied, every = VARIANTS[variant], params.load(ROOT / "params.yaml").across
    drawing = params.check(
        "ablation",
        params.Draw,
        every.draw.model_dump() | DRAW | varied.get("draw", {}) | {"seed": seed},
    )
    fitting = params.check(
        "ablation",
        params.Train,
        every.train.model_dump() | TRAIN | varied.get("train", {}) | {"seed": seed},
    )
    brains = [brain_to_draw(name) for name in names(varied.get("brains", PEOPLE))]
    with TemporaryDirectory() as folder:
        folder, started = Path(folder), time.monotonic()
        draw.write_set(brains, folder / "train", drawing.patches, drawing, seed=0, jobs=1)
        draw.write_set(brains, folder / "val", drawing.validation, drawing, seed=1, jobs=1)
        drawn = time.monotonic()
        sets = [batches.open_training_set(folder / part) for part in ("train", "val")]
        loop.fit(*sets, fitting, folder / "small.weights.h5", folder / "state.npz")
        trained = time.monotonic()
        parent = networks.load(folder / "small.weights.h5")
    rates = {
        "drawn_per_s": round((drawing.patches + drawing.validation) / (drawn - started), 1),
        "trained_per_s": round(
            fitting.epochs * fitting.steps_per_epoch * fitting.batch_size / (trained - drawn), 1
        ),
    }
    parent = networks.Network(
        parent.model, parent.path, parent.card, brain_pixels=every.brain_pixels
    )
    rows = []
    for name in BRAINS:
        one = brain_to_score(name)
        for kind, found in zip(
            ("network", "sharpened"), fine_tuning.look(parent.model, parent, one), strict=True
        ):
            dice = [metrics.dice(one.labels == n, (found == n) & (one.labels > 0)) for n in (2, 3)]
            rows.append(
                {
                    "variant": variant,
                    "seed": seed,
                    "brain": name,
                    "kind": kind,
                    "dice": round(float(np.mean(dice)), 4),
                    **rates,
                }
            )
    return rows


def jobs():
    """List (variant, seed).

    The recipe itself first, then each row once, then the seeds of those that decide something.
    """
    listed = [(variant, 0) for variant in VARIANTS]
    listed[1:1] = [(ALL, 1), (ALL, 2)]
    return listed + [
        (variant, seed)
        for seed in (1, 2)
        for variant, varied in VARIANTS.items()
        if varied.get(DECIDES) and variant != ALL
    ]


def report(table):
    """Write the table and the figure."""
    parts = []
    for measure, (kind, brains) in MEASURES.items():
        own = table[(table.kind == kind) & table.brain.isin(brains)]
        parts.append(
            own.groupby(["variant", "seed"], sort=False)
            .dice.mean()
            .reset_index()
            .assign(measure=measure)
        )
    shown = pd.concat(parts).sort_values(
        "variant", key=lambda names: names.map(list(VARIANTS).index), kind="stable"
    )
    figures.save(picture(shown), OUT / "ablation.png")
    lines = [["what is changed", "seeds", *MEASURES], ["---"] * (2 + len(MEASURES))]
    for variant, own in shown.groupby("variant", sort=False):
        cells = []
        for measure in MEASURES:
            dice = own[own.measure == measure].dice
            cells.append(
                f"{dice.mean():.3f}"
                + (f" ({dice.min():.3f} to {dice.max():.3f})" if len(dice) > 1 else "")
            )
        lines.append([variant, str(own.seed.nunique()), *cells])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    files.write_text(
        OUT / "ablation.md",
        f"Dice, mean of GM and WM; over seeds the mean (least to most).\n\n{text}\n",
    )


def picture(table):
    """Plot what each choice of a recipe is worth, a panel a measure.

    A dot for each seed, a bar for their mean.

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


def main():
    """Do what is missing, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes, a thread each")
    parser.add_argument("--report", action="store_true", help="table and figure only")
    given = parser.parse_args()
    path = OUT / "ablation.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    have = {(row["variant"], row["seed"]) for row in rows}
    todo = [] if given.report else [one for one in jobs() if one not in have]
    os.environ |= {
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }  # for the processes started below
    done = joblib.Parallel(n_jobs=given.jobs, return_as="generator_unordered")(
        joblib.delayed(run)(*one) for one in todo
    )
    for found in progress(done, "networks", len(todo)):
        rows += found
        files.write_table(pd.DataFrame(rows), path)
        print(
            found[0]["variant"],
            found[0]["seed"],
            {row["brain"]: row["dice"] for row in found if row["kind"] == "sharpened"},
            found[0]["trained_per_s"],
            flush=True,
        )
    if rows:
        report(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
