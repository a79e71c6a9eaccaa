"""What labelled slices of a new animal are worth.

Dice of every other slice, against how many were labelled.

    python benchmarks/adaptation.py                       # the curve and the checks; hours on two
    cores, what is there is kept python benchmarks/adaptation.py --ablation            # the choices
    of the recipe python benchmarks/adaptation.py --report              # tables and figure only

Each animal is adapted to from a network that never saw its species (artefacts/across/networks).
Slices are coronal. A slice that was labelled is left out of the scores. Needs PATCHSEG_ZOO. Rows of
other weights or another recipe are dropped.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from patchseg import checkpoint, metrics, unet
from patchseg.adaptation import fine_tuning, labelled, suggestion
from patchseg.core import files, provenance
from patchseg.core.progress import progress
from patchseg.datasets import brains
from patchseg.figures.style import LINES, STYLES, Picture
from patchseg.images import brain, grid
from patchseg.inference import calibration, networks

ROOT = Path(__file__).parents[1]
OUT = ROOT / "artefacts" / "adaptation"
NETWORKS = ROOT / "artefacts" / "across" / "networks"
PARENTS = {
    "chimp": "no-chimp",
    "chimp-t2": "no-chimp",
    "macaque-21mo": "no-macaque",
    "macaque-4mo": "no-macaque",
}
KNOWN = {"no-chimp": ("human-nii2mesh", "macaque-21mo"), "no-macaque": ("human-nii2mesh", "chimp")}
COUNTS = (1, 2, 3, 5, 10)
CHOICES = 5
# share of the largest slice that a slice needs to be drawn at random, as for those that are
# suggested
LEAST = 0.3
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
    "as it is": {},
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
    "batch normalisation is fixed: it learns": {"fixed": ()},
    "all convolutions learn: only the way up": {"fixed": ("BatchNormalization", "encoder")},
    "all convolutions learn: only the way down": {"fixed": ("BatchNormalization", "decoder")},
    "all planes: the painted one only": {"in_plane": 1.0},
    "all planes: equally": {"in_plane": 1 / 3},
    "other sizes and brightness: none": {
        "new": fine_tuning.NEW.model_copy(
            update=dict.fromkeys(DISTURBED, 0.0) | {"scales": (1.0, 1.0)}
        )
    },
    "other sizes and brightness: strong": {
        "new": fine_tuning.OLD.model_copy(update={"patches": 1024, "drawn": 0.0, "inverted": 0.0})
    },
}
_BRAINS = {}


def load(name):
    """Return a brain of the zoo as `labelled.Labelled`, whole."""
    if name not in _BRAINS:
        _, image, labels, affine = brains.load(name)
        mask = brain.foreground(image, name)
        _BRAINS[name] = (
            labelled.Labelled(
                name,
                image,
                mask,
                np.where(mask, labels, 0).astype(np.uint8),
                tuple(map(float, grid.voxel_size_mm(affine))),
            ),
            affine,
        )
    return _BRAINS[name]


def dice(one, found, left_out=()):
    """Return Dice of GM and WM in the labelled voxels, without coronal slices."""
    truth = one.labels.copy()
    truth[:, list(left_out)] = 0
    return [metrics.dice(truth == n, (found == n) & (truth > 0)) for n in (2, 3)]


def painted(one, slices, how, seed):
    """Return the brain with labels on these coronal slices only.

    Whole, as scribbles (5 % of the voxels), or with 10 % of them wrong.
    """
    labels = np.zeros_like(one.labels)
    labels[:, slices] = one.labels[:, slices]
    rng = np.random.default_rng(seed)
    if how == "scribbles":  # short strokes along one line of voxels
        keep = np.zeros(labels.shape, bool)
        places = np.argwhere(labels > 0)
        while keep.sum() < 0.05 * len(places):
            x, y, z = places[rng.integers(len(places))]
            tissue = labels[x, y, z]
            for step in range(-4, 5):
                if 0 <= x + step < labels.shape[0] and labels[x + step, y, z] == tissue:
                    keep[x + step, y, z] = True
        labels[~keep] = 0
    if how == "wrong":
        at = np.flatnonzero(labels)
        at = at[rng.random(len(at)) < 0.1]
        labels.flat[at] = (labels.flat[at] - 1 + rng.integers(1, 3, len(at))) % 3 + 1
    return labelled.Labelled(one.name, one.data, one.mask, labels, one.voxel_mm)


def slices_of(name, parent, count, choice):
    """Return coronal slices: those that are suggested (choice -1), or random ones."""
    one, affine = load(name)
    if choice < 0:
        import nibabel as nib

        image = nib.Nifti1Image(one.data, affine)
        mask = nib.Nifti1Image(one.mask.astype(np.uint8), affine)
        return suggestion.suggest(image, count, parent.path, mask=mask, plane="coronal").slices
    area = one.mask.sum(axis=(0, 2))
    return (
        np.random.default_rng([choice, count])
        .choice(np.flatnonzero(area >= LEAST * area.max()), count, replace=False)
        .tolist()
    )


def recipe(name):
    """Return what a row depends on, in short.

    The weights to start from, and the numbers of the two steps.
    """
    numbers = [
        {key: str(value) for key, value in vars(module).items() if key.isupper()}
        for module in (fine_tuning, calibration)
    ]
    return provenance.fingerprint(
        settings=[checkpoint.read_card(NETWORKS / f"{PARENTS[name]}.weights.h5")["sha256"], numbers]
    )[:8]


def job(name, count, choice, how="whole", variant="", varied=None, old=False):
    """Adapt once and score: one row."""
    parent = networks.load(NETWORKS / f"{PARENTS[name]}.weights.h5")
    one, _ = load(name)
    slices = slices_of(name, parent, count, choice) if count else []
    row = {
        "brain": name,
        "slices": count,
        "choice": choice,
        "how": how,
        "variant": variant,
        "recipe": recipe(name),
        "numbers": " ".join(map(str, slices)),
    }
    given = painted(one, slices, how, choice + 1)
    started, network, settings = time.monotonic(), parent, dict(varied or {})
    if how == "scratch":
        keras.utils.set_random_seed(choice + 1)
        model = unet.build(**parent.card["architecture"])
        network = replace(parent, model=model)
        settings = {"replay": 0.0, "fixed": (), "steps": 400, "kept": 1.0}
    if count:
        calibrates = settings.pop("calibrates", True)
        model = (
            network.model
            if settings.get("steps") == 0
            else fine_tuning.train([given], network, seed=0, **settings)[0]
        )
        network = (
            fine_tuning.calibrated(model, parent, [given])
            if calibrates
            else replace(parent, model=model)
        )
    row["seconds"] = round(time.monotonic() - started, 1)
    row["gm"], row["wm"] = (
        round(float(value), 4) for value in dice(one, fine_tuning.answer(network, one), slices)
    )
    for other in KNOWN[PARENTS[name]] if old or not count else ():
        known, _ = load(other)
        row[f"known_{other}"] = round(
            float(np.mean(dice(known, fine_tuning.answer(network, known)))), 4
        )
    return row


def jobs(ablation):
    """List what is to be done, the most telling first."""
    if ablation:
        return [
            {
                "name": name,
                "count": 1,
                "choice": -1,
                "variant": variant,
                "varied": varied,
                "old": True,
            }
            for name in ("chimp", "macaque-4mo")
            for variant, varied in ABLATION.items()
        ]
    first = [{"name": name, "count": 0, "choice": -1} for name in PARENTS]
    first += [
        {"name": name, "count": count, "choice": choice, "old": choice < 0}
        for choice in (-1, 0)
        for count in (1, 5)
        for name in PARENTS
    ]
    first += [
        {"name": name, "count": 1, "choice": -1, "how": how}
        for how in ("scribbles", "wrong")
        for name in PARENTS
    ]
    first += [
        {"name": name, "count": count, "choice": -1, "old": True}
        for count in COUNTS
        for name in PARENTS
    ]
    first += [
        {"name": name, "count": count, "choice": choice, "old": False}
        for count in (1, 5)
        for choice in range(CHOICES)
        for name in PARENTS
    ]
    first += [
        {"name": name, "count": count, "choice": -1, "how": "scratch"}
        for count in (1, 5)
        for name in PARENTS
    ]
    rest = [
        {"name": name, "count": count, "choice": choice, "old": False}
        for choice in range(CHOICES)
        for count in COUNTS
        for name in PARENTS
    ]
    every = first + rest
    return [one for number, one in enumerate(every) if one not in every[:number]]


def report(table, scores):
    """Write the curve's table and figure, and the checks.

    Scribbles, wrong labels, forgetting, seconds.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `job`.
    scores : pandas.DataFrame
        Of `on_zoo.evidence`: HMRF and Atropos.
    """
    from patchseg import figures

    table = table.assign(dice=table[["gm", "wm"]].mean(axis=1))
    classical = (
        scores[scores.network.isin(["hmrf", "atropos"]) & (scores.tissue != "CSF")]
        .groupby(["brain", "network"], sort=False)
        .dice.mean()
    )
    whole = table[table.how == "whole"]
    rows = []
    for name in PARENTS:
        own = whole[whole.brain == name]
        zero = float(own[own.slices == 0].dice.iloc[0])
        for count in (0, *COUNTS):
            chosen, drawn = (
                own[(own.slices == count) & (own.choice < 0)].dice,
                own[(own.slices == count) & (own.choice >= 0)].dice,
            )
            scratch = table[
                (table.brain == name) & (table.slices == count) & (table.how == "scratch")
            ].dice
            row = {
                "brain": name,
                "slices": count,
                "suggested": chosen.mean(),
                "random": drawn.mean(),
                "low": drawn.min(),
                "high": drawn.max(),
                "n": len(drawn),
            }
            rows.append(
                row
                | {
                    "from scratch": scratch.mean(),
                    "hmrf": classical[name, "hmrf"],
                    "atropos": classical[name, "atropos"],
                    "gain": chosen.mean() - zero,
                }
            )
    curve = pd.DataFrame(rows)
    files.write_table(curve, OUT / "curve.csv")
    parts = []
    for how in ("suggested", "random", "from scratch"):
        low, high = ("low", "high") if how == "random" else (how, how)
        parts.append(
            curve[["brain", "slices"]].assign(
                how=how, dice=curve[how], low=curve[low], high=curve[high]
            )
        )
    shown = (
        pd.concat(parts)
        .dropna()
        .sort_values("brain", key=lambda names: names.map(list(PARENTS).index), kind="stable")
    )
    zero = curve[curve.slices == 0]
    lines = pd.concat(
        [
            zero[["brain"]].assign(method=label, dice=zero[key])
            for key, label in (("hmrf", "HMRF"), ("atropos", "Atropos"))
        ]
    )
    figure, least = picture(shown, lines), shown.low.min() - 0.02
    figure.axes[0].set_ylim(least, shown.high.max() + 0.02)
    for axes, name in zip(figure.axes, PARENTS, strict=True):
        below = [
            f"{row.method} {row.dice:.2f}"
            for row in lines[lines.brain == name].itertuples()
            if row.dice < least
        ]
        axes.text(
            0.97,
            0.03,
            "\n".join(["below:", *below] if below else []),
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=8,
        )
    figures.save(figure, OUT / "curve.png")
    head = [
        "brain",
        "labelled slices",
        "suggested",
        "random, mean (least to most, n)",
        "from scratch",
        "HMRF",
        "Atropos",
    ]
    text = [head, ["---"] * len(head)]
    for row in (
        row
        for row in rows
        if not all(pd.isna(row[how]) for how in ("suggested", "random", "from scratch"))
    ):
        spread = (
            f"{row['random']:.3f} ({row['low']:.3f} to {row['high']:.3f}, {row['n']})"
            if row["n"]
            else ""
        )
        values = [
            row["brain"],
            str(row["slices"]),
            _number(row["suggested"]),
            spread,
            _number(row["from scratch"]),
            _number(row["hmrf"]),
            _number(row["atropos"]),
        ]
        text.append(values)
    for count, mine in curve.groupby("slices"):
        done = mine.dropna(subset=["suggested"])
        if len(done) == len(PARENTS):
            text.append(
                [
                    "mean",
                    str(count),
                    _number(done.suggested.mean()),
                    _number(mine.random.mean(skipna=False)),
                    "",
                    "",
                    "",
                ]
            )
    parts = ["\n".join("| " + " | ".join(line) + " |" for line in text)]
    parts += [_checks(table)]
    files.write_text(
        OUT / "curve.md",
        "Dice, mean of GM and WM, on all slices that were not labelled.\n\n"
        + "\n\n".join(parts)
        + "\n",
    )


def _number(value):
    return "" if value is None or pd.isna(value) else f"{value:.3f}"


def _checks(table):
    """Say what scribbles, wrong labels and other brains gave, one line for each."""
    by = {
        (row.brain, row.slices, row.how): row.dice for row in table[table.choice < 0].itertuples()
    }
    lines = []
    for name in PARENTS:
        zero, one = by.get((name, 0, "whole")), by.get((name, 1, "whole"))
        for how, title in (
            ("scribbles", "5 % of a slice's voxels, as scribbles"),
            ("wrong", "10 % of its voxels labelled wrongly"),
        ):
            value = by.get((name, 1, how))
            if value is not None and one is not None:
                lines.append(
                    f"- {name}, {title}: {value:.3f}; the whole slice {one:.3f}, none {zero:.3f};"
                    f" share of the gain {(value - zero) / (one - zero):.2f}"
                )
        for other in KNOWN[PARENTS[name]]:
            own = table[(table.brain == name) & table[f"known_{other}"].notna()]
            before = float(own[own.slices == 0][f"known_{other}"].iloc[0])
            after = own[(own.slices > 0) & (own.how == "whole")][f"known_{other}"]
            if len(after):
                lines.append(
                    f"- adapted to {name}, on {other}: {before:.3f} before, {after.min():.3f} to"
                    f" {after.max():.3f} after ({len(after)} adaptations)"
                )
    seconds = table[(table.slices > 0) & (table.how == "whole")].groupby("slices").seconds
    lines += [
        f"- seconds of training, {count} slices: median {own.median():.0f}, least {own.min():.0f};"
        " other work ran beside"
        for count, own in seconds
    ]
    return "\n".join(lines)


def report_ablation(table):
    """Write what each choice of the recipe is worth.

    Dice of the animal, and of the brains that were known.
    """
    table = table.assign(
        dice=table[["gm", "wm"]].mean(axis=1), known=table.filter(like="known_").mean(axis=1)
    )
    head = [
        "what is changed",
        *[f"{name}, one slice" for name in table.brain.unique()],
        "known brains",
        "seconds",
    ]
    lines = [head, ["---"] * len(head)]
    for variant, own in table.groupby("variant", sort=False):
        dice = own.set_index("brain").dice
        lines.append(
            [
                variant,
                *[_number(dice.get(name)) for name in table.brain.unique()],
                _number(own.known.mean()),
                f"{own.seconds.mean():.0f}",
            ]
        )
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    files.write_text(
        OUT / "ablation.md",
        "Dice, mean of GM and WM; one suggested slice, one seed. Seconds with other work"
        f" beside.\n\n{text}\n",
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
        for number, (how, rows) in enumerate(own.groupby("how", sort=False)):
            at = [ticks.index(count) for count in rows.slices]
            axes.fill_between(
                at, rows.low, rows.high, color=LINES[number % 3], alpha=0.2, linewidth=0
            )
            axes.plot(
                at,
                rows.dice,
                color=LINES[number % 3],
                linestyle=STYLES[number % 3],
                marker="os^"[number % 3],
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
    """Do what is missing, one row after the other, then write tables and figure."""
    ablation = "--ablation" in sys.argv
    path = OUT / ("ablation.csv" if ablation else "trials.csv")
    rows = pd.read_csv(path, keep_default_na=False).to_dict("records") if path.exists() else []
    rows = [row for row in rows if row["recipe"] == recipe(row["brain"])]
    have = {
        (row["brain"], row["slices"], row["choice"], row["how"], row["variant"]) for row in rows
    }
    for one in progress([] if "--report" in sys.argv else jobs(ablation), "adaptations"):
        if (
            one["name"],
            one["count"],
            one["choice"],
            one.get("how", "whole"),
            one.get("variant", ""),
        ) in have:
            continue
        rows.append(job(**one))
        files.write_table(pd.DataFrame(rows), path)
        print({key: value for key, value in rows[-1].items() if value != ""}, flush=True)
    scores = ROOT / "artefacts" / "across" / "scores.csv"
    if ablation:
        report_ablation(pd.DataFrame(rows))
    elif scores.exists():
        report(pd.read_csv(path, keep_default_na=True, dtype={"variant": str}), pd.read_csv(scores))


if __name__ == "__main__":
    main()
