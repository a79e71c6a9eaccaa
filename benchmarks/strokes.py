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
import numpy as np
import pandas as pd
from adaptation import adapted, without
from adaptation_tables import OUT
from common import ANIMALS, SETTINGS, STRANGERS, as_given, dice, load, weights_of
from hand import ALONE, CORRECTED, WHOLE, given_strokes
from strokes_tables import ALL, BORDERS, report

from patchseg import params
from patchseg.adaptation import suggestion
from patchseg.adaptation.answers import UNLIKE, answer, evidence, learned_borders
from patchseg.core.tissues import most_probable
from patchseg.images.grid import ras
from patchseg.inference import calibration, networks
from patchseg.scoring.rows import read

COUNTS = (10, 30, 100)


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
    whole, mask = seen(brain), given.mask
    borders, _ = learned_borders([whole.only(given.known[mask])], [given], recipe, 0, [UNLIKE])
    result = np.zeros(mask.shape, np.uint8)
    probable = calibration.apply(borders, *whole[:2]) if borders else whole.usual
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
