"""Tables and figure of benchmarks/adaptation.py: the curve, the checks, the ablation."""

import common
import numpy as np
import pandas as pd
from common import ANIMALS, ARTEFACTS

from patchseg import figures
from patchseg.core import files
from patchseg.figures.style import LINES, STYLES, Picture
from patchseg.scoring.rows import keys

OUT = ARTEFACTS / "adaptation"
WAYS = ("suggested", "random", "from scratch")
CEILING = "ceiling"
"""How the row of every second slice, learned to the end, was labelled; its slices are 0."""


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
        own = table[(table.brain == name) & (table.how != CEILING)]
        for count in sorted(table.slices.unique()):
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
    most = table[table.how == CEILING].set_index("brain").dice
    share = curve.suggested / curve.brain.map(most)
    return curve.assign(gain=curve.suggested - curve.brain.map(zero), share=share)


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
        cells += [common.number(row[name]) for name in ("from scratch", "hmrf", "atropos", "share")]
        lines.append([row["brain"], str(row["slices"]), *cells, row["key"]])
    for count, own in curve.groupby("slices"):
        if own.suggested.notna().all():
            means = own.suggested.mean(), own.random.mean(skipna=False)
            share = common.number(own.share.mean(skipna=False))
            lines.append(["mean", str(count), *map(common.number, means), "", "", "", share, ""])
    return lines


def ceiling_lines(table):
    """Return the lines of every second slice, learned to the end, and their mean."""
    own = table[table.how == CEILING]
    lines = [
        [row.brain, "every second", common.number(row.dice), *[""] * 4, "1", row.key]
        for row in own.itertuples()
    ]
    if set(own.brain) == set(ANIMALS):
        lines.append(["mean", "every second", common.number(own.dice.mean()), *[""] * 4, "1", ""])
    return lines


def report(table, scores):
    """Write the curve's table and figure, and the checks of scribbles, memory and seconds.

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
    files.write_table(curve, OUT / "curve.csv")
    draw_curve(curve)
    head = ["brain", "labelled slices", "suggested", "random, mean (least to most, n)"]
    head += ["from scratch", "HMRF", "Atropos", "share of the ceiling", "key"]
    path = OUT / "curve.md"
    intro = (
        "Dice, mean of GM and WM, on all slices that were not labelled. HMRF and Atropos on all"
        f" slices, from across/scores.csv (key {keys(tools)}).\n"
    )
    lines = [*curve_lines(curve), *ceiling_lines(table)]
    if (table.how == CEILING).any():
        intro += "The ceiling is what every second slice teaches that is learned to the end.\n"
    else:
        head, *lines = [[*line[:-2], line[-1]] for line in (head, *lines)]
    common.write_markdown(path, head, lines, table, intro)
    checks = [*check_labels(table), *check_memory(table), *check_seconds(table)]
    files.write_text(path, path.read_text() + "\n" + "\n".join(checks) + "\n")


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
        for column in table.filter(like="known_"):
            own, other = table[table.brain == name], column.removeprefix("known_")
            before = own[own.slices == 0][column].dropna()
            after = own[(own.slices > 0) & (own.how == "whole")][column].dropna()
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
    """Write what each choice of the recipe is worth to the animal and to the known brains."""
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
