"""Teach the network that finds the brain a new animal, from a slice of a mask or a few.

First the border is learned from half of what is labelled (see `border`), while the network stays as
it is. What that says of the other half is an honest score. Where it is too low, because the network
found the brain badly, the network learns, too, and the score decides how much of that is kept.
Where nothing helps, all stays as it was.
"""

import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patchseg import checkpoint, params, unet
from patchseg.adaptation import brain_labels, learning, looks, record
from patchseg.adaptation.answers import first_half
from patchseg.adaptation.brain_labels import BRAIN
from patchseg.adaptation.fine_tuning import (
    as_list,
    check_target,
    nothing_to_learn,
)
from patchseg.core import runtime
from patchseg.core.errors import InputError
from patchseg.images import brain
from patchseg.inference import border, extraction, library, networks
from patchseg.inference import mask as masks
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


def adapt(
    images,
    labelled,
    weights=None,
    out="heads.weights.h5",
    *,
    volume=None,
    nan_as_background=False,
    seed=0,
    steps=None,
    on_round=None,
    threads=None,
    precision="auto",
):
    """Fine-tune the network that finds the brain on heads whose brain is labelled in part.

    Parameters
    ----------
    images, labelled : nibabel image, str or Path, or lists of them
        Images of heads, and for each a label image on its grid (see `brain_labels.meaning`): a
        slice of a mask is a beginning.
    weights : str or Path, optional
        To start from; those of the package unless given.
    out : str or Path
        Gets the weights (``.weights.h5``), with their card (``.json``) beside them.
    volume, nan_as_background, seed, on_round, threads, precision
        See `patchseg.adapt`.
    steps : int, optional
        Batches, if the network is to learn; they grow with the number of slices unless given. 0
        leaves the network as it is in any case.

    Returns
    -------
    weights : Path
        The network as it was, if what one half of the labels teaches does not help the other; the
        card says ``helped`` false.

    Raises
    ------
    InputError
        See `brain_labels.read`; or if lists differ in length, a stack is too thin, or `out` cannot
        be written.

    Notes
    -----
    Ctrl-C (KeyboardInterrupt) ends the training early: the best round so far is written, and the
    card says ``stopped``.
    """
    if not 0 <= seed < 2**32 or (steps is not None and (steps < 0 or steps == 1)):
        raise InputError(
            f"--seed {seed} --steps {steps}: no steps or at least 2, and a seed from 0 to 2^32"
        )
    started, out = time.monotonic(), Path(out)
    with runtime.at_most(threads):
        parent = _parent(weights, precision)
        check_target(out, parent.path)
        given = _read_all(images, labelled, volume, nan_as_background)
        raw = _found(parent.model, given)
        before = _moved(raw, _around(given, raw), border.of_card(parent.path))
        if _score(given, before) == 1:
            warnings.warn(nothing_to_learn(given), stacklevel=2)
        steps = steps_for(given) if steps is None else steps
        with runtime.deterministic(seed):
            taught = _teach(given, parent, raw, before, seed, steps, on_round)
        known = _told(parent, given, before, taught)
        known |= {"seed": seed, "command": "patchseg adapt --what brain"}
        known |= runtime.computing(precision) | {"seconds": round(time.monotonic() - started, 1)}
        checkpoint.save(taught.model, parent.card["architecture"], out, **known)
    return out


def steps_for(given):
    """Return how many batches these labels are worth: more slices, more batches."""
    return min(MOST_STEPS, STEPS + MORE_STEPS * (learning.slices_of(given) - 1))


def _parent(weights, precision):
    path = library.find(weights) or checkpoint.HEADS
    model = networks.load_heads(weights, precision)
    return networks.Network(model, path, checkpoint.read_card(path), precision=precision)


def _read_all(images, labelled, volume, fill):
    images, labelled = as_list(images), as_list(labelled)
    if len(images) != len(labelled):
        raise InputError(
            f"{len(images)} images and {len(labelled)} label images; give one of each for every"
            " image, in the same order"
        )
    given = []
    for pair in zip(images, labelled, strict=True):
        one = brain_labels.read(*pair, volume=volume, nan_as_background=fill)
        if masks.is_thin(one.image.shape, one.voxel_mm):
            raise InputError(
                f"{one.name}: too few slices for a network that looks at volumes; paint the mask by"
                " hand and give it to segment (--mask)"
            )
        for remark in one.remarks:
            warnings.warn(remark, stacklevel=4)
        given.append(one)
    return given


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
class _Taught:
    """What came out: the network, how much of what it learned was kept, borders, and Dice.

    That in the held-out half of the labels, before and after; `after` is what is found now; `why`
    one of `WHY` if nothing was kept.
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


def _teach(given, parent, raw, before, seed, steps, on_round):
    """Learn half of the labels, look whether that helps the other half, learn all.

    `raw` is what the network found by itself, `before` that with the borders that it knows.
    """
    rng, learned = np.random.default_rng(seed), learning.Learned(parent.model)
    kept, held = _halves(given)
    known, share = border.of_card(parent.path), 0.0
    half = _with_border(kept, given, raw, known, seed)
    scores = [_score(held, before), _score(held, half.found)]
    if steps and scores[1] < ENOUGH:
        _learn(learned, kept, parent, before, rng, steps // 2, on_round)
        best = _best_share(learned.model, parent, given, kept, held, seed)
        if best[1] > scores[1]:
            share, scores[1], half = best

    def nothing(why):
        return _Taught(parent.model, learned, 0.0, known, *scores, before, why)

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
    if _score(given, whole.found) < _score(given, before):
        return nothing("halves")
    model, borders = learned.model if share else parent.model, border.kept(known, whole.borders)
    return _Taught(model, learned, share, borders, *scores, whole.found)


def _halves(given):
    """Return the labels of the first half and of the second: two lists of `Labelled`."""
    halves = [first_half(one.labels == BRAIN) for one in given]
    kept, held = (
        [
            replace(one, labels=one.labels * (half == wanted))
            for one, half in zip(given, halves, strict=True)
        ]
        for wanted in (True, False)
    )
    if not all((one.labels == BRAIN).any() for one in (*kept, *held)):
        raise InputError(
            f"{given[0].name}: too little is labelled brain; label a whole slice, or more of one"
        )
    return kept, held


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
        score = _score(held, half.found)
        if best is None or score > best[1]:
            best = share, score, half
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


def _score(given, found):
    """Return Dice of the brain in the labelled voxels, pooled."""
    parts = [
        (one.labels[one.known] == BRAIN, last.mask[one.known])
        for one, last in zip(given, found, strict=True)
    ]
    return round(dice(*(np.concatenate(part) for part in zip(*parts, strict=True))), 4)


def _told(parent, given, before, taught):
    """Return what the card tells, a dict."""
    learned, pairs = taught.learned, zip(given, taught.after, strict=True)
    sizes = [brain.size_mm(found.mask, one.voxel_mm) for one, found in pairs if found.mask.any()]
    changed = [1 - dice(a.mask, b.mask) for a, b in zip(before, taught.after, strict=True)]
    return record.inherited(parent, [*parent.card.get("sizes_mm", []), *sizes]) | {
        "what": "brain",
        "parent": parent.card["sha256"],
        "parent_name": parent.path.name,
        "adapted_to": [record.described(one, brain_labels.NAMES) for one in given],
        "recipe": RECIPE,
        "borders": taught.borders,
        "helped": not taught.why,
        "why": taught.why,
        "kept": taught.share,
        "held_out_before": {"brain": taught.half_before},
        "held_out_after": {"brain": taught.half_after},
        "dice_before": {"brain": _score(given, before)},
        "dice_after": {"brain": _score(given, taught.after)},
        "changed": round(float(np.mean(changed)), 4),
        "steps": learned.steps,
        "stopped": learned.stopped,
        "loss": [round(loss, 4) for loss in learned.losses],
    }
