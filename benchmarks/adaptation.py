"""What labelled slices of a new animal are worth.

Dice of every other slice, against how many were labelled.

    python benchmarks/adaptation.py               # the curve and the checks; hours on two cores,
                                                  # what is there and belongs to this code is kept
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
from common import ACROSS, ARTEFACTS, SETTINGS, STRANGERS, as_given, dice, load, weights_of

from patchseg import figures, params, unet
from patchseg.adaptation import learning, suggestion
from patchseg.adaptation.fine_tuning import answer, calibrated
from patchseg.core.tissues import UNLABELLED
from patchseg.figures.style import LINES, STYLES, Picture
from patchseg.inference import networks
from patchseg.scoring.rows import keys, read

OUT = ARTEFACTS / "adaptation"
ANIMALS = ("chimp", "chimp-t2", "macaque-21mo", "macaque-4mo")
KNOWN = {
    "chimp": ("human-nii2mesh", "macaque-21mo"),
    "chimp-t2": ("human-nii2mesh", "macaque-21mo"),
    "macaque-21mo": ("human-nii2mesh", "chimp"),
    "macaque-4mo": ("human-nii2mesh", "chimp"),
}
"""Brains whose like the network knew before, to see what it forgets."""
COUNTS = (1, 2, 3, 5, 10)
CHOICES = 5
LEAST = 0.3
"""Share of the largest slice that a slice needs to be drawn at random, as for suggested ones."""
SCRATCH_STEPS = 400
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
        "replayed as draw": {"patches": 1024, "drawn": 0.0, "inverted": 0.0}
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

    Whole, as scribbles (5 % of the voxels), or with 10 % of them wrong.
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
    return calibrated(model, parent, [given], recipe)


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


def measure(brain, slices, choice, how, variant):
    """Do one job. Suggested whole slices also tell what is forgotten."""
    known = KNOWN[brain] if how == "whole" and choice < 0 else ()
    weights = weights_of(STRANGERS[brain])
    return [trial(brain, slices, choice, how, varied(variant), weights, known)]


def key(brain, slices, choice, how, variant):
    """Return the fingerprint of a row: of a brain's and variant's rows it is the same."""
    recipe, steps, calibrates = varied(variant)
    return common.key(
        trial,
        settings=[recipe.model_dump(), steps, calibrates],
        brain_names=[brain, *KNOWN[brain]],
        networks=[STRANGERS[brain]],
    )


def job(brain, slices, choice=-1, how="whole", variant=""):
    """Return what names a row."""
    return {
        "brain": brain,
        "slices": slices,
        "choice": choice,
        "how": how,
        "variant": variant,
    }


def jobs():
    """List what is to be done for the curve and the checks, the most telling first."""
    listed = [job(name, 0) for name in ANIMALS]
    listed += [
        job(name, count, choice) for choice in (-1, 0) for count in (1, 5) for name in ANIMALS
    ]
    listed += [job(name, 1, how=how) for how in ("scribbles", "wrong") for name in ANIMALS]
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


def ablation_jobs():
    """List what is to be done for the choices of the recipe."""
    names = ("chimp", "macaque-4mo")
    return [job(name, 1, variant=variant) for name in names for variant in ABLATION]


def curve_of(table, classical):
    """Return the curve: a row for each brain and number of slices.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `measure` with their mean Dice of GM and WM.
    classical : pandas.Series
        Dice of HMRF and Atropos by brain and method.
    """
    rows = []
    for name in ANIMALS:
        own = table[table.brain == name]
        for count in (0, *COUNTS):
            here = own[own.slices == count]
            whole = here[here.how == "whole"]
            chosen, drawn = whole[whole.choice < 0].dice, whole[whole.choice >= 0].dice
            rows.append(
                {
                    "brain": name,
                    "slices": count,
                    "suggested": chosen.mean(),
                    "random": drawn.mean(),
                    "low": drawn.min(),
                    "high": drawn.max(),
                    "n": len(drawn),
                    "from scratch": here[here.how == "scratch"].dice.mean(),
                    "hmrf": classical.get((name, "hmrf"), np.nan),
                    "atropos": classical.get((name, "atropos"), np.nan),
                    "key": keys(here),
                }
            )
    curve = pd.DataFrame(rows)
    zero = curve[curve.slices == 0].set_index("brain").suggested
    return curve.assign(gain=curve.suggested - curve.brain.map(zero))


WAYS = ("suggested", "random", "from scratch")


def draw_curve(curve):
    """Save the picture of a curve; what needs no labels is a line, or named if it lies below."""
    parts = []
    for how in WAYS:
        low, high = ("low", "high") if how == "random" else (how, how)
        part = curve[["brain", "slices"]].assign(how=how, dice=curve[how])
        parts.append(part.assign(low=curve[low], high=curve[high]))
    shown = pd.concat(parts).dropna()
    shown = shown.sort_values("brain", key=lambda names: names.map(ANIMALS.index), kind="stable")
    zero = curve[curve.slices == 0]
    lines = pd.concat(
        zero[["brain"]].assign(method=label, dice=zero[column])
        for column, label in (("hmrf", "HMRF"), ("atropos", "Atropos"))
    )
    figure, least = picture(shown, lines), shown.low.min() - 0.02
    figure.axes[0].set_ylim(least, shown.high.max() + 0.02)
    for axes in figure.axes:
        own = lines[(lines.brain == axes.get_title()) & (lines.dice < least)]
        below = [f"{row.method} {row.dice:.2f}" for row in own.itertuples()]
        text = "\n".join(["below:", *below] if below else [])
        place = {"transform": axes.transAxes, "ha": "right", "va": "bottom", "fontsize": 8}
        axes.text(0.97, 0.03, text, **place)
    figures.save(figure, OUT / "curve.png")


def curve_lines(curve):
    """Return the lines of the curve's table, without what nobody measured, and their means."""
    lines = []
    for row in curve.dropna(subset=list(WAYS), how="all").to_dict("records"):
        mean, low, high = (common.number(row[name]) for name in ("random", "low", "high"))
        spread = f"{mean} ({low} to {high}, {row['n']})"
        cells = [common.number(row["suggested"]), spread if row["n"] else ""]
        cells += [common.number(row[name]) for name in ("from scratch", "hmrf", "atropos")]
        lines.append([row["brain"], str(row["slices"]), *cells, row["key"]])
    for count, own in curve.groupby("slices"):
        if own.suggested.notna().all():
            means = own.suggested.mean(), own.random.mean(skipna=False)
            lines.append(["mean", str(count), *map(common.number, means), "", "", "", ""])
    return lines


def report(table, scores):
    """Write the curve's table and figure, and the checks.

    Scribbles, wrong labels, forgetting, seconds.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `measure`.
    scores : pandas.DataFrame
        Of `on_zoo.evidence`: HMRF and Atropos.
    """
    table = table.assign(dice=table[["gm", "wm"]].mean(axis=1))
    matter = scores[scores.tissue != "CSF"]
    tools = scores[scores.network.isin(["hmrf", "atropos"])]
    classical = matter.groupby(["brain", "network"], sort=False).dice.mean()
    curve = curve_of(table, classical)
    common.files.write_table(curve, OUT / "curve.csv")
    draw_curve(curve)
    head = ["brain", "labelled slices", "suggested", "random, mean (least to most, n)"]
    head += ["from scratch", "HMRF", "Atropos", "key"]
    path = OUT / "curve.md"
    intro = (
        "Dice, mean of GM and WM, on all slices that were not labelled. HMRF and Atropos on all"
        f" slices, from across/scores.csv (key {keys(tools)}).\n"
    )
    common.write_markdown(path, head, curve_lines(curve), table, intro)
    checks = [*check_labels(table), *check_memory(table), *check_seconds(table)]
    common.files.write_text(path, path.read_text() + "\n" + "\n".join(checks) + "\n")


def check_labels(table):
    """Say what scribbles and wrong labels gave, a line for each brain and way."""
    suggested = table[table.choice < 0]
    by = {(row.brain, row.slices, row.how): row.dice for row in suggested.itertuples()}
    lines = []
    for name in ANIMALS:
        zero, one = by.get((name, 0, "whole")), by.get((name, 1, "whole"))
        for how, title in (
            ("scribbles", "5 % of a slice's voxels, as scribbles"),
            ("wrong", "10 % of its voxels labelled wrongly"),
        ):
            value = by.get((name, 1, how))
            if None not in (zero, one, value):
                lines.append(
                    f"- {name}, {title}: {value:.3f}; the whole slice {one:.3f}, none {zero:.3f};"
                    f" share of the gain {(value - zero) / (one - zero):.2f}"
                )
    return lines


def check_memory(table):
    """Say how the brains that were known before do after the adaptations."""
    lines = []
    for name in ANIMALS:
        for other in KNOWN[name]:
            own = table[(table.brain == name) & table[f"known_{other}"].notna()]
            before = own[own.slices == 0][f"known_{other}"]
            after = own[(own.slices > 0) & (own.how == "whole")][f"known_{other}"]
            if len(before) and len(after):
                lines.append(
                    f"- adapted to {name}, on {other}: {before.iloc[0]:.3f} before,"
                    f" {after.min():.3f} to {after.max():.3f} after ({len(after)} adaptations)"
                )
    return lines


def check_seconds(table):
    """Say how long the training took."""
    whole = table[(table.slices > 0) & (table.how == "whole")]
    return [
        f"- seconds of training, {count} slices: median {own.median():.0f}, least {own.min():.0f};"
        " other work ran beside"
        for count, own in whole.groupby("slices").seconds
    ]


def report_ablation(table):
    """Write what each choice of the recipe is worth.

    Dice of the animal, and of the brains that were known.
    """
    table = table.assign(
        dice=table[["gm", "wm"]].mean(axis=1), known=table.filter(like="known_").mean(axis=1)
    )
    names, lines = list(table.brain.unique()), []
    for variant, own in table.groupby("variant", sort=False):
        dice = own.set_index("brain").dice
        cells = [common.number(dice.get(name)) for name in names]
        seconds = f"{own.seconds.mean():.0f}"
        lines.append([variant, *cells, common.number(own.known.mean()), seconds, keys(own)])
    head = ["what is changed", *[f"{name}, one slice" for name in names]]
    common.write_markdown(
        OUT / "ablation.md",
        [*head, "known brains", "seconds", "key"],
        lines,
        table,
        "Dice, mean of GM and WM; one suggested slice, one seed. Seconds with other work beside.\n",
    )


def picture(curve, lines):
    """Plot Dice against labelled slices, a panel a brain.

    Parameters
    ----------
    curve : pandas.DataFrame
        Columns brain, slices, how (a line each), dice, low, high (a band).
    lines : pandas.DataFrame
        Columns brain, method, dice: what needs no labels.

    Returns
    -------
    figure : Picture
    """
    brains = list(dict.fromkeys(curve.brain))
    figure = Picture(figsize=(1 + 2.7 * len(brains), 3.6), layout="constrained")
    panels = figure.subplots(1, len(brains), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, brains, strict=True):
        own = curve[curve.brain == name]
        ticks = sorted(own.slices.unique())
        for place, (how, rows) in enumerate(own.groupby("how", sort=False)):
            at = [ticks.index(count) for count in rows.slices]
            axes.fill_between(
                at, rows.low, rows.high, color=LINES[place % 3], alpha=0.2, linewidth=0
            )
            axes.plot(
                at,
                rows.dice,
                color=LINES[place % 3],
                linestyle=STYLES[place % 3],
                marker="os^"[place % 3],
                markersize=4,
                label=how,
            )
        for style, row in zip(
            ("-.", (0, (1, 3))), lines[lines.brain == name].itertuples(), strict=False
        ):
            axes.axhline(row.dice, color="black", linewidth=1, linestyle=style, label=row.method)
        axes.set(title=name, xlabel="labelled slices")
        axes.set_xticks(range(len(ticks)), ticks)
    panels[0].set_ylabel("Dice, mean of GM and WM")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def main():
    """Do what is missing or stale, one row after the other, then write tables and figure."""
    parser = common.parser(__doc__)
    parser.add_argument("--ablation", action="store_true", help="the choices of the recipe")
    given = parser.parse_args()
    todo, name = (ablation_jobs(), "ablation") if given.ablation else (jobs(), "trials")
    table = common.complete(
        OUT / f"{name}.csv", todo, key, measure, given.report, what="adaptations"
    )
    scores = ACROSS / "scores.csv"
    if given.ablation:
        report_ablation(table)
    elif scores.exists():
        report(table, pd.DataFrame(read(scores)))


if __name__ == "__main__":
    main()
