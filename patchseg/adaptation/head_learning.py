"""What labels of masks teach, judged half by half: where the border lies, and the network itself.

The border is learned from half of what is newly labelled (see `border`) and all that earlier rounds
taught, while the network stays as it is. What that says of the other half is an honest score. Where
it is too low, because the network found the brain badly, the network learns, too, and the score
decides how much of that is kept. Where nothing helps, all stays as it was.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from patchseg import params, unet
from patchseg.adaptation import earlier, learning, looks
from patchseg.adaptation.answers import first_half
from patchseg.adaptation.brain_labels import BRAIN
from patchseg.core.errors import InputError
from patchseg.inference import border, extraction
from patchseg.metrics import dice

STEPS = 100  # batches for one labelled slice, half of them for the first half of the labels
MORE_STEPS = 20  # for each further slice: each shows other parts of the border
MOST_STEPS = 240
ROUND = 10  # batches between two looks at the loss; Ctrl-C keeps the best round
BATCH = 2  # cubes: more take longer and gain nothing
LEARNING_RATE = 0.001  # at the start of each half; it falls to 0 as a cosine
KEPT = (0.5, 1.0)  # shares of what the network learned to choose from (see `unet.go_back`)
LOST = 0.01  # Dice that half of the labels may cost the other half; all of them teach more
ENOUGH = 0.9  # Dice of the border alone, in the held-out half, from which on the network stays
FARTHER = (2.0, 0.015)
"""Of the brain, what a border changes in all of it is at most so many times what it changes on the
labelled slices, and this share. Beyond, it was learned at a place that is unlike the rest. Chosen
on slices of the zoo's five heads, as is `MOST`."""
MOST = 0.5
"""Share of a brain that a border changes at most."""
WHY = {
    "few": "too little is labelled around the border",
    "halves": "what one half of the labels teaches does not help the other",
    "elsewhere": "what the labels teach would change the brain too much where nothing is labelled",
}
"""In words, why nothing was kept."""
RECIPE = {
    "steps": STEPS,
    "more_steps": MORE_STEPS,
    "most_steps": MOST_STEPS,
    "batch_size": BATCH,
    "learning_rate": LEARNING_RATE,
}


def steps_for(given):
    """Return how many batches these labels are worth: more slices, more batches."""
    return min(MOST_STEPS, STEPS + MORE_STEPS * (learning.slices_of(given) - 1))


def first(given, parent):
    """Return what the network finds by itself, and with the borders that it knows.

    Returns
    -------
    raw, before : list of extraction.Found
        For each of `given`.
    """
    raw = _found(parent.model, given)
    return raw, _moved(raw, _around(given, raw), border.of_card(parent.path))


def score(given, found):
    """Return Dice of the brain in the labelled voxels, pooled."""
    parts = [
        (one.labels[one.known] == BRAIN, last.mask[one.known])
        for one, last in zip(given, found, strict=True)
    ]
    return round(dice(*(np.concatenate(part) for part in zip(*parts, strict=True))), 4)


def _found(model, given):
    return [extraction.find(model, one.image, one.voxel_mm) for one in given]


def _around(given, found):
    return [
        border.around(one.image, last, one.voxel_mm) for one, last in zip(given, found, strict=True)
    ]


def _moved(found, seen, borders):
    """Return what was found, with the border where labels have it."""
    return [border.moved(*pair, borders) for pair in zip(found, seen, strict=True)]


@dataclass
class Taught:
    """What came out.

    Attributes
    ----------
    model : keras.Model
    learned : learning.Learned
    share : float
        Of what the network learned; 0 if it stays as it was.
    borders : list of dict
    half_before, half_after : float
        Dice in the held-out half of the labels.
    after : list of extraction.Found
        What is found now.
    why : str
        One of `WHY` if nothing was kept.
    """

    model: object
    learned: learning.Learned
    share: float
    borders: list
    half_before: float
    half_after: float
    after: list
    why: str = ""


class _Bordered(NamedTuple):
    """Borders that were learned, what is found with them, and why there are none."""

    borders: list
    found: list
    why: str


def teach(given, parent, raw, before, seed, steps, on_round):
    """Learn half of the labels, look whether that helps the other half, learn all.

    Parameters
    ----------
    given : list of Labelled
    parent : patchseg.inference.networks.Network
    raw, before : list of extraction.Found
        See `first`.
    seed, steps : int
    on_round : callable or None

    Returns
    -------
    taught : Taught
    """
    rng, learned = np.random.default_rng(seed), learning.Learned(parent.model)
    kept, held = _halves(given, parent)
    known, share = border.of_card(parent.path), 0.0
    half = _with_border(kept, given, raw, known, seed)
    scores = [score(held, before), score(held, half.found)]
    if steps and scores[1] < ENOUGH:
        _learn(learned, kept, parent, before, rng, steps // 2, on_round)
        best = _best_share(learned.model, parent, given, kept, held, seed)
        if best[1] > scores[1]:
            share, scores[1], half = best

    def nothing(why):
        return Taught(parent.model, learned, 0.0, known, *scores, before, why)

    if scores[1] < scores[0] - LOST:
        return nothing("halves")
    if share:
        if not learned.stopped:
            _learn(learned, given, parent, half.found, rng, steps, on_round)
        unet.go_back(learned.model, parent.model, share)
        raw, known = _found(learned.model, given), []  # those of before are for another network
    whole = _with_border(given, given, raw, known, seed, half.borders)
    if not (share or whole.borders):
        return nothing(half.why or whole.why)
    if score(given, whole.found) < score(given, before):
        return nothing("halves")
    model, borders = learned.model if share else parent.model, border.kept(known, whole.borders)
    return Taught(model, learned, share, borders, *scores, whole.found)


def _halves(given, parent):
    """Return what is learned first and what is held out: two lists of `Labelled`.

    Held out is half of the labels that are new to the network (see `earlier`), or of all where
    those hold too little brain.
    """
    parts, new = [], earlier.to_judge(given, parent)
    for one, own in zip(given, new, strict=True):
        parted = _parted(one, own)
        parts.append(parted if _sure(parted) or not own.known.any() else _parted(one, one))
    needed = [parted for parted, own in zip(parts, new, strict=True) if own.known.any()]
    if not all(map(_sure, needed)):
        raise InputError(
            f"{given[0].name}: too little is labelled brain; label a whole slice, or more of one"
        )
    return [list(part) for part in zip(*parts, strict=True)]


def _parted(one, own):
    """Return an image without the second half of some labels, and with that only."""
    out = own.known & ~first_half(own.labels == BRAIN)
    return [replace(one, labels=one.labels * part) for part in (~out, out)]


def _sure(parted):
    """Whether brain is labelled in each part."""
    return all((one.labels == BRAIN).any() for one in parted)


def _with_border(labelled, given, raw, known, seed, only=None):
    """Learn where labels have the border.

    Parameters
    ----------
    labelled, given : list of Labelled
        What is learned, and all labels.
    raw : list of extraction.Found
        What the network by itself finds.
    known : list of dict
        Borders for other heads.
    seed : int
    only : list of dict, optional
        Borders for other heads than these are left out.

    Returns
    -------
    learned : _Bordered
    """
    seen = _around(given, raw)
    new = border.learn(labelled, seen, params.shipped().adapt.calibration, seed)
    if only is not None:
        new = [one for one in new if any(border.alike(one, other) for other in only)]
    found = _moved(raw, seen, border.kept(known, new))
    if new and _changes_too_much(given, raw, found):
        return _Bordered([], _moved(raw, seen, known), "elsewhere")
    return _Bordered(new, found, "" if new else "few")


def _changes_too_much(given, raw, after):
    """Whether borders change much more of a brain than of its labelled slices (see `FARTHER`)."""
    times, share = FARTHER
    for one, old, new in zip(given, raw, after, strict=True):
        changed = old.mask != new.mask
        here = changed[one.known].sum() / max(1, old.mask[one.known].sum())
        if changed.sum() > min(MOST, times * here + share) * old.mask.sum():
            return True
    return False


def _best_share(model, parent, given, kept, held, seed):
    """Return the share of what was learned that helps the held-out labels most.

    Returns
    -------
    share, score : float
        One of `KEPT`, the smallest that is best, and Dice in the held-out labels.
    half : _Bordered
        With this share.
    """
    whole, best = model.get_weights(), None
    for share in KEPT:
        model.set_weights(whole)
        unet.go_back(model, parent.model, share)
        half = _with_border(kept, given, _found(model, kept), [], seed)
        reached = score(held, half.found)
        if best is None or reached > best[1]:
            best = share, reached, half
    model.set_weights(whole)
    return best


def _learn(learned, given, parent, found, rng, until, on_round):
    """Train until so many batches are done, on looks at where the brain was found last."""
    seen = [
        look
        for one, last in zip(given, found, strict=True)
        for look in looks.looks(rng, one, last.mask)
    ]
    start, steps = replace(parent, model=learned.model), until - learned.steps
    learned.model = learning.compiled(start, looks.loss, LEARNING_RATE, steps)
    learning.rounds(learned, looks.batches(rng, seen, BATCH), until, ROUND, on_round)
