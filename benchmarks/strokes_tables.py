"""The table and the figure of strokes.py."""

import common
import numpy as np
from adaptation_tables import OUT
from common import ANIMALS, number
from hand import ALONE, CORRECTED, WHOLE

from patchseg import figures
from patchseg.figures.style import LINES, STYLES, Picture
from patchseg.scoring.rows import keys

ALL, BORDERS = "network", "borders"
"""What learns."""
WANTED = 0.8
"""Share of what the whole slice gains."""


def compared(table, trials):
    """Put beside each row what no labels and the whole slice give.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `measure`.
    trials : pandas.DataFrame
        Rows of benchmarks/adaptation.py.

    Returns
    -------
    compared : pandas.DataFrame
        With columns dice, none, whole, share: of what the whole slice gains, if it gains.
    """
    own = trials[(trials.how == "whole") & (trials.choice < 0)]
    means = own.assign(dice=own[["gm", "wm"]].mean(axis=1)).set_index(["brain", "slices"]).dice
    found = table.assign(dice=table[["gm", "wm"]].mean(axis=1))
    whole = found[found.way == WHOLE].set_index("brain").dice
    found = found[found.way != WHOLE]
    none = found.brain.map(means.xs(0, level="slices"))
    whole = found.brain.map(whole).where(
        found.learned == BORDERS, found.brain.map(means.xs(1, level="slices"))
    )
    gain = (whole - none).where(whole > none)
    return found.assign(none=none, whole=whole, share=(found.dice - none) / gain)


def report(table, trials):
    """Write the table and the figure."""
    found = compared(table, trials)
    lines = []
    for (name, learned, count), rows in found.groupby(["brain", "learned", "strokes"], sort=False):
        by, any_ = rows.set_index("way"), rows.iloc[0]
        cells = [f"{any_.wrong:.3f}", number(any_.none), number(any_.whole)]
        for way in (CORRECTED, ALONE):
            value = by.dice.get(way, np.nan)
            per = (value - any_.none) / count * 100
            cells += map(number, (value, by.share.get(way, np.nan), per))
        lines.append([name, learned, str(count), *cells, keys(rows)])
    lines.sort(key=lambda line: (ANIMALS.index(line[0]), line[1], int(line[2])))
    head = ["brain", "what learns", "strokes", "still wrong", "no labels", "whole slice"]
    for title in ("corrected", "strokes only"):
        head += [title, "share of the gain", "for each 100 strokes"]
    intro = (
        "Dice, mean of GM and WM, on all slices but the suggested one that was labelled. *Still"
        " wrong*: share of the slice's voxels after the strokes. *Borders*: `adapt --steps 0`.\n"
    )
    common.write_markdown(OUT / "strokes.md", [*head, "key"], lines, table, intro)
    figures.save(picture(found), OUT / "strokes.png")


def picture(found):
    """Plot Dice of corrected slices against strokes, a panel a brain.

    Parameters
    ----------
    found : pandas.DataFrame
        Of `compared`.

    Returns
    -------
    figure : Picture
    """
    found = found[found.way == CORRECTED].sort_values("strokes")
    names = [name for name in ANIMALS if (found.brain == name).any()]
    figure = Picture(figsize=(1 + 2.4 * len(names), 3.6), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    ticks = [0, *sorted(found.strokes.unique())]
    shown = {}
    for axes, name in zip(panels, names, strict=True):
        for place, learned in enumerate((BORDERS, ALL)):
            rows = found[(found.brain == name) & (found.learned == learned)]
            if len(rows):
                _draw(axes, rows, ticks, place, learned)
        axes.set(title=name, xlabel="strokes")
        axes.set_xticks(range(len(ticks)), ticks)
        shown |= {line.get_label(): line for line in axes.lines}
    panels[0].set_ylabel("Dice, mean of GM and WM")
    figure.legend(shown.values(), shown, loc="outside lower center", ncols=3)
    return figure


def _draw(axes, rows, ticks, place, learned):
    """Plot one way of learning, what the whole slice gives, and `WANTED` of its gain, if any."""
    none, whole = rows.none.iloc[0], rows.whole.iloc[0]
    at, name = [ticks.index(count) for count in (0, *rows.strokes)], f"{learned} learn"
    name = name + "s" if learned == ALL else name
    style = {"color": LINES[place]}
    axes.plot(at, [none, *rows.dice], STYLES[0], marker="os"[place], label=name, **style)
    axes.axhline(whole, linestyle="--", label=f"{name}, whole slice", **style)
    if whole > none:
        wanted = f"{name}, {WANTED:.0%} of its gain"
        axes.axhline(none + WANTED * (whole - none), linestyle=":", label=wanted, **style)
