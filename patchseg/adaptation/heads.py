"""Teach the network that finds the brain a new animal, from a slice of a mask or a few.

It learns half of what is labelled first. What it then says of the other half is an honest score: it
decides how much of what was learned is kept. None may be: then only the probability at which the
border lies is learned, or, where that does not help either, nothing.
"""

import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from patchseg import checkpoint, unet
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
from patchseg.inference import extraction, library, networks
from patchseg.inference import mask as masks
from patchseg.metrics import dice

STEPS = 100  # batches for one labelled slice, half of them for the first half of the labels
MORE_STEPS = 20  # for each further slice: each shows other parts of the border
MOST_STEPS = 240
ROUND = 10  # batches between two looks at the loss; Ctrl-C keeps the best round
BATCH = 2  # cubes: more take longer and gain nothing
LEARNING_RATE = 0.001  # at the start of each half; it falls to 0 as a cosine
KEPT = (0.0, 0.5, 1.0)  # shares of what was learned to choose from (see `unet.go_back`)
LEVELS = np.linspace(0.05, 0.95, 19)  # probabilities among which the border is sought
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
        Batches; grows with the number of slices unless given.

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
    if not 0 <= seed < 2**32 or (steps is not None and steps < 2):
        raise InputError(
            f"--seed {seed} --steps {steps}: at least 2 steps, and a seed from 0 to 2^32"
        )
    started, out = time.monotonic(), Path(out)
    with runtime.at_most(threads):
        parent = _parent(weights, precision)
        check_target(out, parent.path)
        given = _read_all(images, labelled, volume, nan_as_background)
        before = _found(parent.model, given)
        if _score(given, before) == 1:
            warnings.warn(nothing_to_learn(given), stacklevel=2)
        with runtime.deterministic(seed):
            taught = _teach(given, parent, before, seed, steps or steps_for(given), on_round)
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


@dataclass
class _Taught:
    """What came out: the network, how much of what it learned was kept, and Dice.

    That in the held-out half of the labels, before and after; `after` is what is found now.
    """

    model: object
    learned: learning.Learned
    helped: bool
    share: float
    half_before: float
    half_after: float
    after: list


def _teach(given, parent, before, seed, steps, on_round):
    """Learn half of the labels, look whether that helps the other half, learn all."""
    rng, learned = np.random.default_rng(seed), learning.Learned(parent.model)
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
    _learn(learned, kept, parent, before, rng, steps // 2, on_round)
    share, score, now = _best_share(learned.model, parent, kept, held)
    scores = _score(held, before), score
    if score < scores[0]:
        return _Taught(parent.model, learned, False, 0.0, *scores, before)
    if share and not learned.stopped:
        _learn(learned, given, parent, now, rng, steps, on_round)
    unet.go_back(learned.model, parent.model, share)
    _move_border(learned.model, _level(given, _found(learned.model, given)))
    after = _found(learned.model, given)
    if _score(given, after) < _score(given, before):
        return _Taught(parent.model, learned, False, 0.0, *scores, before)
    return _Taught(learned.model, learned, True, share, *scores, after)


def _best_share(model, parent, kept, held):
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
        found = _found(model, kept)
        score = _score(held, found, _level(kept, found))
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


def _score(given, found, level=None):
    """Return Dice of the brain in the labelled voxels, pooled; of probabilities above a level."""
    parts = [
        (
            one.labels[one.known] == BRAIN,
            (last.mask if level is None else last.probability > level)[one.known],
        )
        for one, last in zip(given, found, strict=True)
    ]
    return round(dice(*(np.concatenate(part) for part in zip(*parts, strict=True))), 4)


def _level(given, found):
    """Return the probability at which the border fits the labels best."""
    scores = np.array([_score(given, found, level) for level in LEVELS])
    return float(LEVELS[scores == scores.max()].mean())


def _move_border(model, level):
    """Move the last layer's bias so that a probability of `level` becomes `extraction.LEVEL`."""
    import keras

    def odds(probability):
        return np.log(probability / (1 - probability))

    last = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv3D)][-1]
    kernel, bias = last.get_weights()
    bias[-1] += odds(extraction.LEVEL) - odds(level)
    last.set_weights([kernel, bias])


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
        "helped": taught.helped,
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
