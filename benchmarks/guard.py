"""What the guard of `patchseg adapt` keeps of labels that are right or wrong: Dice of the brain.

    python benchmarks/guard.py              # long; current rows are kept
    python benchmarks/guard.py --brains macaque-21mo mouse-fvb-2 --counts 1   # some minutes
    python benchmarks/guard.py --counts 2 --taught 1   # a second round: its first slice was learned
    python benchmarks/guard.py --borders    # only --steps 0
    python benchmarks/guard.py --report     # the table only

Each animal is adapted to from a network that never saw its species (artefacts/across/networks),
with and without the guard; labels that the guard refuses because they are doubted are not learned.
Slices are coronal, drawn at random; they are left out of the scores. In a second round the parent
has learned one of them, rightly labelled, and learns all. Needs PATCHSEG_ZOO. Writes
artefacts/adaptation/guard.csv and guard.md.
"""

import time
from dataclasses import replace
from itertools import product

import common
import numpy as np
from adaptation import without
from adaptation_tables import OUT
from common import ANIMALS, SETTINGS, STRANGERS, dice, load, weights_of

from patchseg import params
from patchseg.adaptation import earlier, label_checks, learning
from patchseg.adaptation.answers import CHECKS, UNLIKE, answer, calibrated
from patchseg.adaptation.guard import ADAPTED, BORDERS, PARENT, judge
from patchseg.core.tissues import UNLABELLED, is_tissue
from patchseg.inference import networks

COUNTS = (1, 2, 5)
CHOICES = 1
LEAST = 0.3
"""Share of the largest slice that a slice needs to be drawn at random."""
WORSE = 0.003
"""Dice below the parent's that counts as worse."""
ANOTHER = {name: "chimp" if name.startswith("macaque") else "macaque-21mo" for name in ANIMALS}
"""The brain whose labels are painted on each, where labels are of another animal."""
WRONG = ("right", "mirrored", "upside down", "shifted", "exchanged", "another animal")
EXCHANGED = np.array([0, 1, 3, 2], np.uint8)


def drawn(one, count, choice):
    """Return labelled coronal slices at random, a list of int."""
    area = one.known.sum(axis=(0, 2))
    rng = np.random.default_rng([choice, count])
    return sorted(rng.choice(np.flatnonzero(area >= LEAST * area.max()), count, False).tolist())


def painted(one, slices, labels, another):
    """Return the brain with labels on these coronal slices: the right ones, or wrong ones.

    Parameters
    ----------
    one, another : patchseg.datasets.labelled.Labelled
    slices : list of int
    labels : str
        One of `WRONG`.
    """
    others = [number for number in range(one.labels.shape[1]) if number not in slices]
    given = without(one, others)
    for number in slices:
        found = _slice(one.labels, number, labels, another.labels)
        found = np.where(is_tissue(found), found, UNLABELLED)
        given.labels[:, number] = np.where(one.mask[:, number], found, 0)
    return given


def _slice(labels, number, how, another):
    """Return the labels of a coronal slice, or what stands in their place."""
    own = labels[:, number]
    if how == "shifted":
        return labels[:, min(number + 2, labels.shape[1] - 1)]
    if how == "exchanged":
        return np.where(is_tissue(own), EXCHANGED[np.minimum(own, 3)], own)
    if how == "another animal":
        place = [np.linspace(*_ends(another, axis), n).round().astype(int) for axis, n in _box(own)]
        first, last = _ends(labels, 1)
        begin, end = _ends(another, 1)
        at = begin + round((number - first) / (last - first) * (end - begin))
        found = np.zeros_like(own)
        found[np.ix_(*_rows(own))] = another[:, at][np.ix_(*place)]
        return found
    return {"right": own, "mirrored": own[::-1], "upside down": own[:, ::-1]}[how]


def _ends(labels, axis):
    """Return the first and the last slice across an axis that holds brain."""
    held = np.flatnonzero((labels > 0).any(axis=tuple({0, 1, 2} - {axis})))
    return int(held[0]), int(held[-1])


def _rows(own):
    """Return the rows and columns of a slice that its brain spans."""
    spans = [np.flatnonzero((own > 0).any(axis=1 - axis)) for axis in (0, 1)]
    return [np.arange(held[0], held[-1] + 1) for held in spans]


def _box(own):
    return [(axis, len(rows)) for axis, rows in zip((0, 2), _rows(own), strict=True)]


def measure(brain, slices, choice, labels, learned, taught):
    """Judge, and adapt once without the guard where it did not refuse the labels: one row."""
    one, parent, recipe = load(brain), networks.load(weights_of(STRANGERS[brain])), _recipe()
    numbers, steps = drawn(one, slices, choice), 0 if learned == BORDERS else None
    another = load(ANOTHER[brain])
    before, new = numbers[:taught], numbers[taught:]
    given, scored = [painted(one, new, labels, another)], without(one, numbers)
    if taught:
        parent = _after_a_round(painted(one, before, "right", another), parent, recipe, steps)
        given[0].labels[:, before] = one.labels[:, before]
    first = answer(parent, given[0])
    (fresh,) = earlier.to_judge(given, parent)
    doubted = label_checks.share([fresh], [label_checks.check(fresh, first)])
    began = time.process_time()
    judged = judge(given, [first], parent, recipe, steps=steps, doubted=doubted)
    took = time.process_time() - began
    found = {"parent": first}
    if not judged.against:
        free = _learned(given, parent, recipe, steps)
        found["guarded"] = found["free"] = answer(free, given[0])
    if judged.kept == PARENT:
        found["guarded"] = first
    if judged.kept == BORDERS and steps is None:
        found["guarded"] = answer(_learned(given, parent, recipe, 0), given[0])
    row = {"numbers": " ".join(map(str, numbers)), "kept": judged.kept, "against": judged.against}
    for name in ("parent", "free", "guarded"):
        gm, wm = dice(scored, found[name]) if name in found else (np.nan, np.nan)
        row |= {f"{name}_gm": round(float(gm), 4), f"{name}_wm": round(float(wm), 4)}
    return [row | {"guard_cpu_s": round(took, 1), "said": judged.sentence()}]


def _after_a_round(one, parent, recipe, steps):
    """Return the network that learned these labels, with a card that tells so."""
    card = parent.card | {"learned": earlier.after(parent, [one])}
    return replace(_learned([one], parent, recipe, steps), card=card)


def _learned(given, parent, recipe, steps):
    """Return the network that learned the labels, as without the guard."""
    model = parent.model if steps == 0 else learning.train(given, parent, recipe).model
    return calibrated(model, parent, given, recipe, checks=CHECKS if steps != 0 else [UNLIKE])[0]


def _recipe():
    return params.load(SETTINGS).adapt


def key(brain, slices, choice, labels, learned, taught):
    """Return the fingerprint of a row."""
    return common.key(
        measure,
        settings=_recipe().model_dump(),
        brain_names=[brain, ANOTHER[brain], "mni"],
        networks=[STRANGERS[brain]],
    )


def jobs(learned, wanted):
    """List what is to be done, the most telling first; `learned` is 'borders' or 'all'."""
    names = ("brain", "slices", "choice", "labels", "learned", "taught")
    every = product(range(wanted.choices), wanted.counts, WRONG, wanted.brains)
    return [
        dict(zip(names, (brain, count, choice, labels, learned, wanted.taught), strict=True))
        for choice, count, labels, brain in every
        if count > wanted.taught
    ]


def report(table):
    """Write, for each kind of labels, what became of the parent without and with the guard."""
    mean = {
        name: table[[f"{name}_gm", f"{name}_wm"]].mean(axis=1, skipna=False)
        for name in ("parent", "free", "guarded")
    }
    table = table.assign(**{name: mean[name] - mean["parent"] for name in ("free", "guarded")})
    head = ["learned", "labels", "slices", "of them learned before", "brains", "refused at once"]
    head += ["kept: adapted, borders, parent"]
    head += [f"{way}: mean gain, least, worse" for way in ("without guard", "with guard")] + ["key"]
    lines = []
    for place, own in table.groupby(["learned", "labels", "slices", "taught"], sort=False):
        judged = own[own.against.isna() | (own.against == "")]
        kept = [str((judged.kept == name).sum()) for name in (ADAPTED, BORDERS, PARENT)]
        ways = [_said(part[way]) for way, part in (("free", judged), ("guarded", own))]
        refused, keys = str(len(own) - len(judged)), common.rows.keys(own)
        lines.append([*map(str, place), str(len(own)), refused, ", ".join(kept), *ways, keys])
    intro = (
        "Dice, mean of GM and WM, on all slices that were not labelled: gain over the parent; worse"
        f" counts those more than {WORSE} below it. *Refused at once*: doubted, or hardly agreeing"
        " with what the parent finds; these were not learned without the guard.\n\n"
    )
    common.write_markdown(OUT / "guard.md", head, lines, table, intro)


def _said(gains):
    if gains.empty:
        return ""
    return f"{gains.mean():+.3f}, {gains.min():+.3f}, {(gains < -WORSE).sum()}"


def main():
    """Do what is missing or stale, one row after the other, then write the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--borders", action="store_true", help="only --steps 0")
    parser.add_argument("--brains", nargs="+", choices=list(ANIMALS), default=list(ANIMALS))
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, help="labelled slices")
    parser.add_argument("--taught", type=int, default=0, help="of them learned in a round before")
    parser.add_argument("--choices", type=int, default=CHOICES, help="choices of slices")
    given = parser.parse_args()
    print(common.rows.machine())
    todo = jobs(BORDERS if given.borders else "all", given)
    table = common.complete(
        OUT / "guard.csv", todo, key, measure, given.report, stays=lambda row: True
    )
    if len(table):
        report(table)


if __name__ == "__main__":
    main()
