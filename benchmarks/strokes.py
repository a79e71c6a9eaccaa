"""What strokes are worth that correct the network's guess on a slice: Dice of all other slices.

    python benchmarks/strokes.py               # an hour on two cores; current rows are kept
    python benchmarks/strokes.py --borders     # only the borders, as `adapt --steps 0`; minutes
    python benchmarks/strokes.py --brains chimp --counts 30
    python benchmarks/strokes.py --report      # the table and figure only

A stroke is drawn where guess and truth differ most, as a hand does that corrects the guess on the
suggested coronal slice. Either all of the corrected slice is learned, as the painter saves it, or
only what the strokes painted. The network learns, or only where its borders lie. No guard. Each
animal is adapted to from a network that never saw its species (artefacts/across/networks). The
slice is left out of the scores. What none and the whole slice give to a network that learns stands
in trials.csv (benchmarks/adaptation.py). Needs PATCHSEG_ZOO. Writes strokes.csv, strokes.md and
strokes.png in artefacts/adaptation/.
"""

import time
from dataclasses import replace
from functools import cache
from itertools import product

import common
import cv2
import numpy as np
import pandas as pd
from adaptation import SETTINGS, adapted, as_given, without
from adaptation_tables import OUT
from common import ANIMALS, STRANGERS, dice, load, number, weights_of

from patchseg import figures, params
from patchseg.adaptation import suggestion
from patchseg.adaptation.answers import answer, evidence, learned_borders
from patchseg.core.tissues import UNLABELLED, is_tissue, most_probable
from patchseg.figures.style import LINES, STYLES, Picture
from patchseg.images.grid import ras
from patchseg.inference import calibration, networks
from patchseg.scoring.rows import keys, read

COUNTS = (10, 30, 100)
CORRECTED, ALONE, WHOLE = "corrected", "strokes only", "whole"
ALL, BORDERS = "network", "borders"
"""What learns."""
RADIUS = 2.3
"""Voxels from a stroke's line that it paints: a pen of five voxels, as the painter draws it."""
LENGTH = 20
"""Voxels."""
DIRECTIONS = 12
WANTED = 0.8
"""Share of what the whole slice gains."""


def pens():
    """Return straight strokes through the middle of a square, one a direction: bool arrays."""
    edge = LENGTH // 2 + int(np.ceil(RADIUS))
    across, along = np.mgrid[-edge : edge + 1, -edge : edge + 1]
    found = []
    for turn in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        on = along * np.cos(turn) + across * np.sin(turn)
        end = np.clip(on, -LENGTH / 2, LENGTH / 2)
        apart = np.hypot(along - end * np.cos(turn), across - end * np.sin(turn))
        found.append(apart <= RADIUS)
    return found


def stroke(labels, truth):
    """Return where the next stroke of a careful hand goes, and its tissue.

    It is the straight one, of one tissue, that mends most voxels. The hand leaves voxels of other
    tissues alone, and does not jump over them.

    Parameters
    ----------
    labels, truth : (h, w) ndarray of uint8
        Of a slice. Where the truth is no tissue nothing is wrong.

    Returns
    -------
    painted : (h, w) ndarray of bool
    tissue : int
        0 if nothing is left to mend.
    """
    best, painted, chosen = 0, np.zeros(labels.shape, bool), 0
    shapes = pens()
    for tissue in (1, 2, 3):
        own = truth == tissue
        wrong = own & (labels != tissue)
        for pen in shapes if wrong.any() else ():
            counts = _counted(wrong, pen)
            if counts.max() <= best:
                continue
            at = np.unravel_index(counts.argmax(), counts.shape)
            part = _in_one_go(_placed(pen, at, own.shape) & own, wrong)
            mends = np.count_nonzero(part & wrong)
            if mends > best:
                best, painted, chosen = mends, part, tissue
    return painted, chosen


def _counted(wrong, pen):
    """Return how many wrong voxels a pen meets at each place."""
    found = cv2.filter2D(
        wrong.astype(np.float32), -1, pen.astype(np.float32), borderType=cv2.BORDER_CONSTANT
    )
    return np.rint(found).astype(int)


def _placed(pen, at, shape):
    edge = pen.shape[0] // 2
    canvas = np.zeros([side + 2 * edge for side in shape], bool)
    canvas[at[0] : at[0] + pen.shape[0], at[1] : at[1] + pen.shape[1]] = pen
    return canvas[edge:-edge, edge:-edge]


def _in_one_go(part, wrong):
    """Return the connected piece that holds most wrong voxels."""
    _, pieces = cv2.connectedComponents(part.astype(np.uint8), connectivity=8)
    held = np.bincount(pieces[part & wrong], minlength=2)
    return pieces == held.argmax()


def stroked(guess, truth, count):
    """Return a guess after so many strokes, and where they went (see `stroke`)."""
    labels, touched = guess.copy(), np.zeros(guess.shape, bool)
    for _ in range(count):
        painted, tissue = stroke(labels, truth)
        if not tissue:
            break
        labels[painted] = tissue
        touched |= painted
    return labels, touched


def given_strokes(one, guess, place, count, way):
    """Return a `Labelled` with what strokes on a coronal slice leave.

    Voxels of which nobody knows the truth are left out, as they are where the whole slice is given.

    Parameters
    ----------
    one : patchseg.datasets.labelled.Labelled
    guess : (x, y, z) ndarray of uint8
        What the network finds.
    place, count : int
        The slice, and the strokes.
    way : {'corrected', 'strokes only', 'whole'}

    Returns
    -------
    given : patchseg.datasets.labelled.Labelled
    wrong : float
        Share of the slice's known voxels that are wrong after the strokes.
    """
    truth = one.labels[:, place]
    known = is_tissue(truth)
    labels, touched = stroked(guess[:, place], truth, count)
    if way == WHOLE:
        labels = truth
    wrong = float((labels != truth)[known].mean())
    kept = touched if way == ALONE else known & is_tissue(labels)
    found = np.where(one.mask, UNLABELLED, 0).astype(np.uint8)
    found[:, place][kept] = labels[kept]
    return replace(one, labels=found), wrong


@cache
def guessed(brain):
    """Return what the network finds in a brain, (x, y, z) uint8, and the slice it suggests."""
    image, mask = as_given(load(brain))
    weights = weights_of(STRANGERS[brain])
    found = suggestion.suggest(image, 1, weights, mask=mask, plane="coronal")
    return ras(found.guess, None)[0], found.slices[0]


@cache
def seen(brain):
    """Return what tells of all voxels of a brain (see `answers.evidence`), by the parent."""
    one, parent = load(brain), networks.load(weights_of(STRANGERS[brain]))
    filled = replace(one, labels=np.where(one.mask, 2, 0).astype(np.uint8))
    return evidence(parent.model, parent, filled)


def with_borders(brain, given, recipe):
    """Return the labels (x, y, z) that `adapt --steps 0` leads to."""
    (found, sharp), mask = seen(brain), given.mask
    own = given.known[mask]
    borders = learned_borders([(found[own], sharp[own])], [given], recipe, 0, False)
    result = np.zeros(mask.shape, np.uint8)
    probable = calibration.apply(borders, found, sharp) if borders else sharp
    result[mask] = most_probable(probable)
    return result


def measure(brain, strokes, way, learned):
    """Correct a guess with strokes, learn it and score: one row."""
    recipe, one = params.load(SETTINGS).adapt, load(brain)
    guess, place = guessed(brain)
    given, wrong = given_strokes(one, guess, place, strokes, way)
    began = time.process_time()
    if learned == BORDERS:
        found = with_borders(brain, given, recipe)
    else:
        parent = networks.load(weights_of(STRANGERS[brain]))
        found = answer(adapted(given, parent, recipe, None, True), one)
    seconds = round(time.process_time() - began)
    gm, wm = dice(without(one, [place]), found)
    row = {"slice": place, "voxels": int(given.known.sum()), "wrong": round(wrong, 4)}
    return [row | {"seconds": seconds, "gm": round(float(gm), 4), "wm": round(float(wm), 4)}]


def key(brain, strokes, way, learned):
    """Return the fingerprint of a row: the same for all rows of a brain."""
    return common.key(
        measure,
        settings=params.load(SETTINGS).adapt.model_dump(),
        brain_names=[brain, "mni"],
        networks=[STRANGERS[brain]],
    )


def jobs(brains=ANIMALS, counts=COUNTS):
    """List what is to be measured, the quickest first, then the most telling."""
    borders = [
        {"brain": name, "strokes": count, "way": way, "learned": BORDERS}
        for name in brains
        for count, way in ((0, WHOLE), *product(sorted(counts), (CORRECTED, ALONE)))
    ]
    return borders + [
        {"brain": name, "strokes": count, "way": way, "learned": ALL}
        for way in (CORRECTED, ALONE)
        for count in sorted(counts, key=lambda count: count != 30)
        for name in brains
    ]


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


def main():
    """Do what is missing or stale, one row after the other, then write table and figure."""
    parser = common.parser(__doc__)
    parser.add_argument("--brains", nargs="+", choices=list(ANIMALS), default=list(ANIMALS))
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, help="strokes")
    parser.add_argument("--borders", action="store_true", help="only the borders learn")
    given = parser.parse_args()
    table = common.complete(
        OUT / "strokes.csv",
        jobs(given.brains, given.counts),
        key,
        measure,
        given.report,
        wanted=lambda job: job["learned"] == BORDERS or not given.borders,
        stays=lambda row: True,
    )
    if len(table):
        report(table, pd.DataFrame(read(OUT / "trials.csv")))


if __name__ == "__main__":
    main()
