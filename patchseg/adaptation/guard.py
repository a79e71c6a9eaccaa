"""Keeps an adapted network from being worse than its parent: it is judged where labels are new.

Labelled slices that the parent has not learned yet (see `earlier`) are dealt into two groups, and
of a single one two halves are made. Each group is taught, with half of the batches, and the other
one scored; what earlier rounds taught is taught always. What is learned is kept where it is
better than the parent by more than its own standard error over the slices that were left out (with
halves: not worse by more); else only the borders of the tissues are moved, if that is; else the
parent stays.

Labels that are wrong everywhere in the same way agree with each other, so leaving some out does not
tell. The parent also stays where `label_checks` doubts them, and where they hardly agree with what
it finds.
"""

from dataclasses import dataclass, replace

import numpy as np

from patchseg import metrics
from patchseg.adaptation import answers, earlier, learning, record
from patchseg.core.tissues import TISSUES, UNLABELLED, most_probable
from patchseg.images.grid import AXES
from patchseg.inference import calibration

ADAPTED, BORDERS, PARENT = "adapted", "borders", "parent"
HALVES = "halves of a slice"
GROUPS = 2
DOUBTED = 0.5
"""Share of the labelled slices that may be doubted."""


@dataclass(frozen=True)
class Tried:
    """How one way does where it was not taught.

    Attributes
    ----------
    dice : dict of str to float
        Of each tissue, pooled over all that was left out.
    gain, error : float
        What it gains over the parent (mean Dice of the tissues), mean over the slices that were
        left out, and the standard error of that mean.
    of_halves : bool
        Whether halves of one slice were left out.
    unlike : bool
        Whether nothing was moved, as much of the brains is unlike what is labelled.
    """

    dice: dict
    gain: float
    error: float
    of_halves: bool = False
    unlike: bool = False

    @property
    def helps(self):
        """Whether it is better than the parent by more than its own error.

        Half a slice teaches less than the whole one will, so here it must not be worse by more.
        """
        return self.gain > (-self.error if self.of_halves else self.error)


@dataclass(frozen=True)
class Judged:
    """What is kept, and why.

    Attributes
    ----------
    kept : {'adapted', 'borders', 'parent'}
    left_out : int
        Slices, or halves of one.
    unit : {'slices', 'halves of a slice'}
    parent : dict of str to float
        Its Dice of each tissue in all that was left out.
    tried : dict of str to Tried
        'adapted' and 'borders', those that were tried.
    agree : float
        Mean Dice of the labels and what the parent finds, where it has not learned them.
    against : {'', 'poor', 'doubted'}
        Why nothing was tried: that is so low that the labels may not belong to the image, or they
        are doubted.
    """

    kept: str
    left_out: int
    unit: str
    parent: dict
    tried: dict
    agree: float
    against: str = ""

    def told(self):
        """Return what the card tells, a dict."""
        ways = {
            name: {"dice": one.dice, "gain": one.gain, "error": one.error}
            for name, one in self.tried.items()
        }
        known = {"left_out": self.left_out, "unit": self.unit, PARENT: {"dice": self.parent}}
        return {"kept": self.kept, "guard": known | ways | {"said": self.sentence()}}

    def sentence(self):
        """Return in a sentence what is kept, and why."""
        if self.against == "doubted":
            return (
                "the parent is kept: the labels look wrong; mend them, or, if they are right, say"
                " --no-guard"
            )
        if self.against == "poor":
            return (
                f"the parent is kept: it and the labels hardly agree (mean Dice {self.agree:.2f});"
                " if the labels are right, say --no-guard"
            )
        if not self.tried:
            return (
                "the parent is kept: too little is labelled to judge what is learned; label a whole"
                " slice"
            )
        name = self.kept if self.kept in self.tried else next(iter(self.tried))
        if self.tried[name].unlike:
            return f"{_KEPT[self.kept]}: {_UNLIKE}"
        one, what = self.tried[name], "the network" if name == ADAPTED else "its borders"
        shown = ", ".join(
            f"{tissue} {self.parent[tissue]:.3f} to {after:.3f}"
            for tissue, after in one.dice.items()
        )
        measured = f"{one.gain:+.3f} (standard error {one.error:.3f}; {shown})"
        if one.of_halves and 0 >= one.gain > -one.error:
            return (
                f"{_KEPT[self.kept]}: what {what} learned from one half of the slice neither helps"
                f" nor harms the other half, as far as can be told: Dice {measured}. The whole"
                " slice teaches more"
            )
        return (
            f"{_KEPT[self.kept]}: on {self.left_out} {self.unit} that were left out in turn, what"
            f" {what} learned moved Dice by {measured}"
        )


_KEPT = {
    ADAPTED: "the adapted network is kept",
    BORDERS: "the parent is kept and only its borders are moved",
    PARENT: "the parent is kept",
}
_UNLIKE = (
    "what is labelled is unlike much of the brain, so that it says little of its borders (a slice"
    " at its front or back?); label a slice nearer the middle"
)


def judge(given, first, parent, recipe, seed=0, steps=None, doubted=0.0):
    """Find out what is to be kept of what labels teach.

    Parameters
    ----------
    given : sequence of patchseg.datasets.labelled.Labelled
    first : list of (x, y, z) ndarray of uint8
        What the parent finds in each.
    parent : patchseg.inference.networks.Network
    recipe : patchseg.params.Adapt
    seed : int
    steps : int, optional
        Batches of the training that is judged, half of them for each group; 0 judges the borders
        alone.
    doubted : float
        Share of the labelled slices that look wrong (see `label_checks`).

    Returns
    -------
    judged : Judged

    Raises
    ------
    KeyboardInterrupt
        If somebody pressed Ctrl-C: nothing is known yet.
    """
    new = earlier.to_judge(given, parent)
    numbers, unit = _numbered(given, new)
    agree = float(np.mean(list(record.dice(new, first).values())))
    before = [answer[one.known] for one, answer in zip(given, first, strict=True)]
    steps = learning.steps_for(given, recipe) if steps is None else steps
    kept, dice, tried, left_out = PARENT, {}, {}, 0
    against = "doubted" if doubted > DOUBTED else "poor" if agree < recipe.poor else ""
    ways = [BORDERS] if steps == 0 else [ADAPTED, BORDERS]
    for way in () if against else ways:
        after, unlike = _crossed(given, numbers, parent, recipe, seed, steps, way)
        slices = _scored(given, numbers, before, after)
        if len(slices) < GROUPS:
            break
        pooled = [_pooled(given, one, after) for one in (before, after)]
        gains = [np.mean(list(now.values())) - np.mean(list(old.values())) for old, now in slices]
        error = float(np.std(gains, ddof=1) / np.sqrt(len(gains)))
        dice, left_out = pooled[0], len(slices)
        gain, halves = round(float(np.mean(gains)), 4), unit == HALVES
        tried[way] = Tried(pooled[1], gain, round(error, 4), halves, unlike)
        if tried[way].helps:
            kept = way
            break
    return Judged(kept, left_out, unit, dice, tried, agree, against)


def _numbered(given, new):
    """Return a number from 1 for each new slice, for every labelled voxel; and what it counts.

    A single slice has two halves. Voxels on no slice of new labels (see `earlier`) are 0: always
    taught, never scored.
    """
    places = [one.slices() for one in new]
    if sum(len(slices) for _, slices in places) < GROUPS:
        halves = [np.where(answers.first_half(one.known), 1, 2) * one.known for one in new]
        return [half[one.known] for half, one in zip(halves, given, strict=True)], HALVES
    numbers, last = [], 0
    for one, own, (plane, slices) in zip(given, new, places, strict=True):
        of_slice = np.zeros(one.known.shape[AXES.index(plane)], int)
        of_slice[slices] = np.arange(last + 1, last + 1 + len(slices))
        places_of = np.nonzero(one.known)
        numbers.append(of_slice[places_of[AXES.index(plane)]] * own.known[places_of])
        last += len(slices)
    return numbers, "slices"


def _crossed(given, numbers, parent, recipe, seed, steps, way):
    """Return the tissue of each labelled voxel, by what the other group teaches; 0 if not scored.

    A voxel is not scored if it is on no slice, or its tissue is not labelled in the other group.
    Also return whether the borders, which alone were to be learned, were left out as `Tried` says.
    """
    checks, unlike = answers.CHECKS if way == ADAPTED else [answers.UNLIKE], way == BORDERS
    after = [np.zeros(number.shape, np.uint8) for number in numbers]
    model, parts = parent.model, None
    for group in range(GROUPS):
        left = [(number > 0) & (number % GROUPS == group) for number in numbers]
        taught = [_without(one, out) for one, out in zip(given, left, strict=True)]
        tissues = np.unique(np.concatenate([one.labels[one.known] for one in taught]))
        if len(tissues) < 2:
            continue
        if way == ADAPTED:
            model = _trained(taught, parent, recipe, seed, steps)
        if way == ADAPTED or not parts:
            parts = [answers.evidence(model, parent, one) for one in given]
        rest = [part.only(~out) for part, out in zip(parts, left, strict=True)]
        learned, left_out = answers.learned_borders(rest, taught, recipe, seed, checks)
        unlike = unlike and left_out == answers.UNLIKE
        for one, part, out, found in zip(given, parts, left, after, strict=True):
            out = out & np.isin(one.labels[one.known], tissues)
            own = part.only(out)
            probable = calibration.apply(learned, *own[:2]) if learned else own.usual
            found[out] = most_probable(probable)
    return after, unlike


def _without(one, left):
    """Return a `Labelled` without the labels of some of its labelled voxels."""
    labels = one.labels.copy()
    labels[one.known] = np.where(left, UNLABELLED, one.labels[one.known])
    return replace(one, labels=labels)


def _trained(taught, parent, recipe, seed, steps):
    """Return the network that learned one group, with its share of batches and patches."""
    fewer = {}
    for name in ("draw", "replayed"):
        own = getattr(recipe, name)
        fewer[name] = own.model_copy(update={"patches": max(1, own.patches // GROUPS)})
    own = recipe.model_copy(update=fewer)
    some = [one for one in taught if one.known.any()]
    learned = learning.train(some, parent, own, seed, max(1, steps // GROUPS))
    if learned.stopped:
        raise KeyboardInterrupt
    return learned.model


def _scored(given, numbers, before, after):
    """Return Dice of each tissue of each slice that was left out: a list of pairs of dict."""
    truth, number, old, new = (
        np.concatenate(parts)
        for parts in ([one.labels[one.known] for one in given], numbers, before, after)
    )
    slices = [(number == n) & (new > 0) for n in range(1, int(number.max(initial=0)) + 1)]
    return [(_dice(truth[at], old[at]), _dice(truth[at], new[at])) for at in slices if at.any()]


def _pooled(given, found, after):
    """Return Dice of each tissue, over all that was left out."""
    at = np.concatenate(after) > 0
    truth = np.concatenate([one.labels[one.known] for one in given])
    return _dice(truth[at], np.concatenate(found)[at])


def _dice(truth, found):
    return {
        tissue: round(float(metrics.dice(truth == n, found == n)), 4)
        for n, tissue in enumerate(TISSUES, 1)
        if (truth == n).any()
    }
