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
        before = _moved(given, raw, border.of_card(parent.path))
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


def _moved(given, found, borders):
    """Return what was found, with the border where labels have it."""
    return [
        border.moved(last, one.image, one.voxel_mm, borders)
        for one, last in zip(given, found, strict=True)
    ]


@dataclass
class _Taught:
    """What came out: the network, how much of what it learned was kept, and Dice.

    That in the held-out half of the labels, before and after; `after` is what is found now, by a
    border as of `border.learn`; `elsewhere` whether that would change too much (see `FARTHER`).
    """

    model: object
    learned: learning.Learned
    helped: bool
    share: float
    borders: list
    half_before: float
    half_after: float
    after: list
    elsewhere: bool = False


def _teach(given, parent, raw, before, seed, steps, on_round):
    """Learn half of the labels, look whether that helps the other half, learn all.

    `raw` is what the network found by itself, `before` that with the border that it knows.
    """
    rng, learned = np.random.default_rng(seed), learning.Learned(parent.model)
    kept, held = _halves(given)
    scores = [_score(held, before), _score(held, _with_border(kept, raw, seed)[1])]
    share = 0.0
    if steps and scores[1] < ENOUGH:
        _learn(learned, kept, parent, before, rng, steps // 2, on_round)
        best = _best_share(learned.model, parent, kept, held, seed)
        if best[1] > scores[1]:
            share, scores[1], now = best
    nothing = _Taught(
        parent.model, learned, False, 0.0, border.of_card(parent.path), *scores, before
    )
    if scores[1] < scores[0] - LOST:
        return nothing
    if share:
        if not learned.stopped:
            _learn(learned, given, parent, now, rng, steps, on_round)
        unet.go_back(learned.model, parent.model, share)
        raw = _found(learned.model, given)
    borders, after = _with_border(given, raw, seed)
    if _changes_too_much(given, raw, after):
        nothing.elsewhere, borders, after = True, [], raw
    if not (share or borders) or _score(given, after) < _score(given, before):
        return nothing
    model = learned.model if share else parent.model
    if not share:  # those of before hold for the network of before
        borders = border.kept(border.of_card(parent.path), borders)
    return _Taught(model, learned, True, share, borders, *scores, after)


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


def _with_border(given, raw, seed):
    """Learn where labels have the border: what was learned (a list), and what is found with it."""
    settings = params.shipped().adapt.calibration
    borders = border.learn(given, raw, settings, seed)
    return borders, _moved(given, raw, borders)


def _changes_too_much(given, raw, after):
    """Whether borders change much more of a brain than of its labelled slices (see `FARTHER`)."""
    times, share = FARTHER
    for one, old, new in zip(given, raw, after, strict=True):
        changed = old.mask != new.mask
        here = changed[one.known].sum() / max(1, old.mask[one.known].sum())
        if changed.sum() > min(MOST, times * here + share) * old.mask.sum():
            return True
    return False


def _best_share(model, parent, kept, held, seed):
    """Return the share of what was learned that helps the held-out labels most.

    Returns
    -------
    share, score : float
        One of `KEPT`, the smallest that is best, and Dice in the held-out labels.
    found : list of patchseg.inference.extraction.Found
        With this share.
    """
    whole, best = model.get_weights(), None
    for share in KEPT:
        model.set_weights(whole)
        unet.go_back(model, parent.model, share)
        found = _with_border(kept, _found(model, kept), seed)[1]
        score = _score(held, found)
        if best is None or score > best[1]:
            best = share, score, found
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
    sizes = [brain.size_mm(found.mask, one.voxel_mm) for one, found in pairs]
    changed = [1 - dice(a.mask, b.mask) for a, b in zip(before, taught.after, strict=True)]
    return record.inherited(parent, [*parent.card.get("sizes_mm", []), *sizes]) | {
        "what": "brain",
        "parent": parent.card["sha256"],
        "parent_name": parent.path.name,
        "adapted_to": [record.described(one, brain_labels.NAMES) for one in given],
        "recipe": RECIPE,
        "calibration": taught.borders,
        "helped": taught.helped,
        "elsewhere": taught.elsewhere,
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
