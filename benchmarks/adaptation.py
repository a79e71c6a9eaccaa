"""What labelled slices of a new animal are worth: Dice of all the others.

    python benchmarks/adaptation.py               # the curve and the checks; hours on two cores,
                                                  # current rows are kept
    python benchmarks/adaptation.py --ceiling     # only what very many labels teach
    python benchmarks/adaptation.py --ablation    # the choices of the recipe
    python benchmarks/adaptation.py --report      # tables and figure only

Each animal is adapted to from a network that never saw its species (artefacts/across/networks).
Slices are coronal. A slice that was labelled is left out of the scores. Needs PATCHSEG_ZOO. Writes
artefacts/adaptation/.
"""

import time
from dataclasses import replace

import common
import keras
import numpy as np
import pandas as pd
from adaptation_tables import CEILING, OUT, report, report_ablation
from common import ACROSS, ANIMALS, SETTINGS, STRANGERS, as_given, dice, load, weights_of

from patchseg import params, unet
from patchseg.adaptation import learning, suggestion
from patchseg.adaptation.answers import answer, calibrated
from patchseg.core.tissues import UNLABELLED
from patchseg.inference import networks
from patchseg.scoring.rows import read

KNOWN = {
    "chimp": ("human-nii2mesh", "macaque-21mo"),
    "chimp-t2": ("human-nii2mesh", "macaque-21mo"),
    "macaque-21mo": ("human-nii2mesh", "chimp"),
    "macaque-4mo": ("human-nii2mesh", "chimp"),
    "mouse-fvb-2": ("human-nii2mesh", "macaque-21mo"),
}
"""Brains whose like the network knew before, to see what it forgets."""
COUNTS = (1, 2, 3, 5, 10)
CHOICES = 5
LEAST = 0.3
"""Share of the largest slice that a slice needs to be drawn at random, as for suggested ones."""
SCRATCH_STEPS = 400
MANY = 20
"""Slices between few and the ceiling."""
CEILING_STEPS, CEILING_PATCHES = 2400, 4096
"""Batches and patches with which every second slice is learned: three times the most, four times.

Nothing of what is learned goes back to the parent.
"""
AS_IT_IS = "as it is"
DISTURBED = (
    "rotation_deg",
    "anisotropy",
    "elastic",
    "curves",
    "gamma",
    "bias",
    "blurred",
    "coarse",
    "noise",
)
ABLATION = {
    AS_IT_IS: {},
    "80 batches for one slice: none, calibration only": {"steps": 0},
    "80 batches for one slice: 40": {"steps": 40},
    "80 batches for one slice: 240": {"steps": 240},
    "half a batch is replayed: none": {"replay": 0.0},
    "half a batch is replayed: a quarter": {"replay": 0.25},
    "learning rate 0.001: 0.0003": {"learning_rate": 3e-4},
    "learning rate 0.001: 0.003": {"learning_rate": 3e-3},
    "calibration: none": {"calibrates": False},
    "weights half way from the parent's: all the way": {"kept": 1.0},
    "weights half way from the parent's: a quarter": {"kept": 0.25},
    "batch normalisation is fixed: it learns": {"fixed": []},
    "all convolutions learn: only the way up": {"fixed": ["BatchNormalization", "encoder"]},
    "all convolutions learn: only the way down": {"fixed": ["BatchNormalization", "decoder"]},
    "all planes: the painted one only": {"in_plane": 1.0},
    "all planes: equally": {"in_plane": 1 / 3},
    "other sizes and brightness: none": {
        "draw": dict.fromkeys(DISTURBED, 0.0) | {"scales": [1.0, 1.0]}
    },
    "other sizes and brightness: strong": {
        "replayed as draw": {"patches": 1024, "drawn": 0.0, "repainted": 0.0}
    },
}


def varied(variant):
    """Return the recipe of a variant of the ablation; that of params.yaml for none.

    Returns
    -------
    recipe : patchseg.params.Adapt
    steps : int or None
        Batches; the recipe's for the number of slices unless given.
    calibrates : bool
    """
    recipe, changes = params.load(SETTINGS).adapt, dict(ABLATION[variant or AS_IT_IS])
    steps, calibrates = changes.pop("steps", None), changes.pop("calibrates", True)
    for name in ("draw", "replayed"):
        own = changes.pop("draw" if name == "draw" else "replayed as draw", {})
        if own:
            changes["draw"] = getattr(recipe, name).model_dump() | own
    recipe = params.check("ablation", params.Adapt, recipe.model_dump() | changes)
    return recipe, steps, calibrates


def without(one, slices):
    """Return a `Labelled` without the labels of coronal slices."""
    labels = one.labels.copy()
    labels[:, list(slices)] = np.where(one.mask[:, list(slices)], UNLABELLED, 0)
    return replace(one, labels=labels)


def painted(one, slices, how, seed):
    """Return the brain with labels on these coronal slices only.

    `how` is 'whole', 'scribbles' (5 % of the voxels) or 'wrong' (10 % of them are).
    """
    others = [number for number in range(one.labels.shape[1]) if number not in set(slices)]
    given = without(one, others)
    labels, rng = given.labels, np.random.default_rng(seed)
    if how == "scribbles":
        labels[given.known & ~_scribbled(given, rng)] = UNLABELLED
    if how == "wrong":
        at = np.flatnonzero(given.known)
        at = at[rng.random(len(at)) < 0.1]
        labels.flat[at] = (labels.flat[at] - 1 + rng.integers(1, 3, len(at))) % 3 + 1
    return given


def _scribbled(given, rng):
    """Return where short strokes along one line of voxels go, each in one tissue."""
    keep, places = np.zeros(given.labels.shape, bool), np.argwhere(given.known)
    while keep.sum() < 0.05 * len(places):
        x, y, z = places[rng.integers(len(places))]
        tissue = given.labels[x, y, z]
        for step in range(-4, 5):
            if 0 <= x + step < keep.shape[0] and given.labels[x + step, y, z] == tissue:
                keep[x + step, y, z] = True
    return keep


def slices_of(one, parent, count, choice):
    """Return coronal slices: those that are suggested (choice -1), or random ones."""
    if not count:
        return []
    if choice < 0:
        image, mask = as_given(one)
        found = suggestion.suggest(image, count, parent.path, mask=mask, plane="coronal")
        return found.slices
    area = one.mask.sum(axis=(0, 2))
    return (
        np.random.default_rng([choice, count])
        .choice(np.flatnonzero(area >= LEAST * area.max()), count, replace=False)
        .tolist()
    )


def adapted(given, parent, recipe, steps, calibrates):
    """Return the network that learned what is labelled, as `patchseg.adapt` does it."""
    model = parent.model
    if steps != 0:
        model = learning.train([given], parent, recipe, 0, steps).model
    if not calibrates:
        return replace(parent, model=model)
    return calibrated(model, parent, [given], recipe)[0]


def learned(one, parent, slices, how, choice, chosen):
    """Learn slices of a brain: the network, and seconds."""
    given, started = painted(one, slices, how, choice + 1), time.monotonic()
    recipe, steps, calibrates = chosen
    network = parent
    if how == "scratch":
        keras.utils.set_random_seed(choice + 1)
        network = replace(parent, model=unet.build(**parent.card["architecture"]))
        recipe = recipe.model_copy(update={"replay": 0.0, "fixed": [], "kept": 1.0})
        steps = SCRATCH_STEPS
    if slices:
        network = adapted(given, network, recipe, steps, calibrates)
    return network, round(time.monotonic() - started, 1)


def trial(brain, count, choice, how, chosen, weights, known):
    """Adapt once and score: one row."""
    parent, one = networks.load(weights), load(brain)
    slices = slices_of(one, parent, count, choice)
    network, seconds = learned(one, parent, slices, how, choice, chosen)
    gm, wm = dice(without(one, slices), answer(network, one))
    row = {"numbers": " ".join(map(str, slices)), "seconds": seconds}
    row |= {"gm": round(float(gm), 4), "wm": round(float(wm), 4)}
    for name in known:
        value = np.mean(dice(load(name), answer(network, load(name))))
        row[f"known_{name}"] = round(float(value), 4)
    return row


def ceiling(brain):
    """Learn every second slice to the end, and score the others: one row."""
    parent, one = networks.load(weights_of(STRANGERS[brain])), load(brain)
    slices, started = every_second(one), time.monotonic()
    recipe, steps = to_the_end()
    network = adapted(painted(one, slices, "whole", 0), parent, recipe, steps, True)
    seconds = round(time.monotonic() - started, 1)
    gm, wm = dice(without(one, slices), answer(network, one))
    scores = {"gm": round(float(gm), 4), "wm": round(float(wm), 4)}
    return {"numbers": f"{slices[0]} to {slices[-1]} by 2", "seconds": seconds} | scores


def every_second(one):
    """Return every second coronal slice that holds labels, a list of int."""
    return np.flatnonzero(one.known.any(axis=(0, 2)))[::2].tolist()


def to_the_end():
    """Return the recipe of the ceiling, and its batches."""
    recipe = params.load(SETTINGS).adapt
    draw = recipe.draw.model_copy(update={"patches": CEILING_PATCHES})
    return recipe.model_copy(update={"draw": draw, "kept": 1.0}), CEILING_STEPS


def known_of(brain, how, choice):
    """Return the brains on which a row tells what is forgotten."""
    return KNOWN[brain] if how == "whole" and choice < 0 else ()


def measure(brain, slices, choice, how, variant):
    """Do one job. Suggested whole slices also tell what is forgotten."""
    if how == CEILING:
        return [ceiling(brain)]
    known = known_of(brain, how, choice)
    weights = weights_of(STRANGERS[brain])
    return [trial(brain, slices, choice, how, varied(variant), weights, known)]


def key(brain, slices, choice, how, variant):
    """Return the fingerprint of a row: of a brain's and variant's rows it is the same.

    The ceiling has its own.
    """
    if how == CEILING:
        recipe, steps = to_the_end()
        settings, own = [recipe.model_dump(), steps], [brain, "mni"]
        return common.key(ceiling, settings=settings, brain_names=own, networks=[STRANGERS[brain]])
    recipe, steps, calibrates = varied(variant)
    return common.key(
        trial,
        settings=[recipe.model_dump(), steps, calibrates],
        brain_names=[brain, "mni", *known_of(brain, how, choice)],
        networks=[STRANGERS[brain]],
    )


def job(brain, slices, choice=-1, how="whole", variant=""):
    """Return what names a row."""
    return {"brain": brain, "slices": slices, "choice": choice, "how": how, "variant": variant}


def jobs():
    """List what is to be done for the curve and the checks, the most telling first."""
    listed = [job(name, 0) for name in ANIMALS]
    listed += [
        job(name, count, choice) for choice in (-1, 0) for count in (1, 5) for name in ANIMALS
    ]
    listed += [job(name, 1, how=how) for how in ("scribbles", "wrong") for name in ANIMALS]
    listed += ceiling_jobs()
    listed += [job(name, count) for count in COUNTS for name in ANIMALS]
    listed += [
        job(name, count, choice)
        for count in (1, 5)
        for choice in range(CHOICES)
        for name in ANIMALS
    ]
    listed += [job(name, count, how="scratch") for count in (1, 5) for name in ANIMALS]
    listed += [
        job(name, count, choice)
        for choice in range(CHOICES)
        for count in COUNTS
        for name in ANIMALS
    ]
    return [one for number, one in enumerate(listed) if one not in listed[:number]]


def ceiling_jobs():
    """List what tells how much is left to learn: every second slice, and `MANY`."""
    return [one for name in ANIMALS for one in (job(name, 0, how=CEILING), job(name, MANY))]


def ablation_jobs():
    """List what is to be done for the choices of the recipe."""
    names = ("chimp", "macaque-4mo")
    return [job(name, 1, variant=variant) for name in names for variant in ABLATION]


def main():
    """Do what is missing or stale, one row after the other, then write tables and figure."""
    parser = common.parser(__doc__)
    parser.add_argument("--ablation", action="store_true", help="the choices of the recipe")
    parser.add_argument("--ceiling", action="store_true", help="only what very many labels teach")
    given = parser.parse_args()
    todo, name = (ablation_jobs(), "ablation") if given.ablation else (jobs(), "trials")
    only = ceiling_jobs() if given.ceiling else todo
    table = common.complete(
        OUT / f"{name}.csv",
        todo,
        key,
        measure,
        given.report,
        what="adaptations",
        wanted=lambda job: job in only,
    )
    scores = ACROSS / "scores.csv"
    if given.ablation:
        report_ablation(table)
    elif scores.exists():
        report(table, pd.DataFrame(read(scores)))


if __name__ == "__main__":
    main()
