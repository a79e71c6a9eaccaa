"""Teach a network a new animal from a few labelled voxels: one slice is a beginning.

First it is judged what is worth keeping (see `guard`). The network learns patches around the labels
(see `learning`). Then the labels tell how its answers and the image's intensities go together in
this animal (see `calibration`).
"""

import time
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

from patchseg import checkpoint, params
from patchseg.adaptation import (
    answers,
    earlier,
    held_out,
    label_checks,
    learning,
    reading,
    record,
)
from patchseg.adaptation.guard import ADAPTED, PARENT, judge
from patchseg.core import runtime
from patchseg.core.errors import InputError
from patchseg.datasets.labels import PLAIN


def adapt(
    images,
    labelled,
    weights=None,
    out="adapted.weights.h5",
    *,
    masks=None,
    labels=PLAIN,
    volume=None,
    nan_as_background=False,
    extract="auto",
    brain_weights=None,
    hold_out=0,
    seed=0,
    steps=None,
    on_round=None,
    guard=True,
    recipe=None,
    threads=None,
    precision="auto",
):
    """Fine-tune a network on images that are labelled in part, and write its weights and card.

    Parameters
    ----------
    images, labelled : nibabel image, str or Path, or lists of them
        Images of brains or heads, and for each a label image on its grid: whole slices, scribbles
        or single structures, in any plane; 0 where nobody labelled.
    weights : str or Path, optional
        To start from; those of the package unless given.
    out : str or Path
        Gets the weights (``.weights.h5``), with their card (``.json``) beside them.
    masks : nibabel image, str or Path, or list of them, optional
        Brain masks; see `extract` unless given.
    labels : str
        What the values of the label images mean: 'tissues' (1 CSF, 2 GM, 3 WM), 'freesurfer',
        'fast', or codes such as 'csf=4,gm=3+42,wm=2+41'.
    volume : int, optional
        Which volume of 4D images, from 0.
    nan_as_background : bool
        Treat voxels that are NaN or infinite as background instead of refusing them.
    extract : {'auto', 'always', 'never'}
    brain_weights : str or Path, optional
        See `patchseg.segment`.
    hold_out : int
        So many of the labelled slices of each image are not learned but scored, in a second round
        new ones if they suffice; the scores go into the card.
    seed : int
        The same input and seed give the same bytes.
    steps : int, optional
        Batches; grows with the number of slices unless given. 0 leaves the network as it is and
        only learns where its borders lie; half a minute.
    on_round : callable, optional
        Called after each round with the list of mean losses so far.
    guard : bool
        Judge what is learned on labels that are left out in turn, and keep the parent where that
        does not help (see `patchseg.adaptation.guard`); about 2.5 times the time. False keeps what
        is learned.
    recipe : patchseg.params.Adapt, optional
        The section `adapt` of params.yaml unless given.
    threads, precision
        See `patchseg.segment`. The same bytes come from the same precision on the same processor.

    Returns
    -------
    weights : Path
        The parent's, if the guard keeps it; the card says ``kept`` 'parent'.

    Raises
    ------
    InputError
        See `reading.read`; or if lists differ in length, too many slices are held out, too little
        is labelled for `steps` 0, or `out` cannot be written.

    Notes
    -----
    Ctrl-C (KeyboardInterrupt) ends the training early: the best round so far is written, and the
    card says ``stopped``. While the guard judges, before that, no weights are written.
    """
    from patchseg.inference import networks

    if not 0 <= seed < 2**32 or (steps is not None and steps < 0):
        raise InputError(f"seed {seed}, steps {steps}: neither is below 0, nor a seed above 2^32")
    started, out = time.monotonic(), Path(out)
    recipe = recipe or params.shipped().adapt
    with runtime.at_most(threads):
        parent = networks.load(weights, precision)
        check_target(out, parent.path)
        how = {
            "volume": volume,
            "nan_as_background": nan_as_background,
            "extract": extract,
            "brain_weights": brain_weights,
            "precision": precision,
        }
        given = _read_all(images, labelled, masks, labels, how)
        new = earlier.new(given, parent)
        kept, held = held_out.split(given, new, hold_out)
        if steps == 0:
            _check_enough(kept, recipe.calibration.least_voxels)
        first = [answers.answer(parent, one) for one in given]
        _check_agreement(given, first, recipe.poor)
        doubts = _doubts(given, first, out)
        doubted = _doubted(earlier.to_judge(given, parent), first) if guard else 0.0
        judged = judge(kept, first, parent, recipe, seed, steps, doubted) if guard else None
        way = judged.kept if judged else ADAPTED
        learned = learning.Learned(parent.model)
        if way == ADAPTED and steps != 0:
            learned = learning.train(list(kept), parent, recipe, seed, steps, on_round)
        network, last, left_out = parent, first, ""
        if way != PARENT:
            checks = _checks(way == ADAPTED and steps != 0, guard)
            network, last, left_out = _with_borders(
                given, kept, learned, parent, recipe, seed, checks
            )
        found = record.told(parent, recipe, learned, kept, held, first, last)
        taught = kept if learned.steps or (way != PARENT and not left_out) else []
        found["learned"] = earlier.after(parent, taught)
        found |= judged.told() if judged else {}
        found |= {"borders_left_out": left_out} if left_out else {}
        found["doubted_labels"] = [str(doubt) for own in doubts for doubt in own]
        made = {"seed": seed, "command": "patchseg adapt", **runtime.computing(precision)}
        known = record.use(parent, network, given if way != PARENT else []) | found | made
        known["seconds"] = round(time.monotonic() - started, 1)
        checkpoint.save(network.model, parent.card["architecture"], out, **known)
    return out


def check_target(out, parent):
    """Raise InputError if weights cannot be written there."""
    if not out.name.endswith(checkpoint.SUFFIX) or out.name == checkpoint.SUFFIX or out.is_dir():
        raise InputError(f"{out}: not a name of weights; end it in {checkpoint.SUFFIX}")
    shipped = checkpoint.SHIPPED.resolve(), checkpoint.HEADS.resolve()
    if out.resolve() in (Path(parent).resolve(), *shipped):
        raise InputError(f"{out}: these are the weights to start from; give another name (--out)")
    beside = checkpoint.card_path(out)
    if beside.exists() and not out.exists():
        raise InputError(
            f"{beside}: this file is there already and is no card of {out.name}; give another name"
            " (--out)"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); give another name (--out)"
        ) from error


def _read_all(images, labelled, masks, labels, how):
    images, labelled = (as_list(one) for one in (images, labelled))
    masks = [None] * len(images) if masks is None else as_list(masks)
    if not len(images) == len(labelled) == len(masks):
        raise InputError(
            f"{len(images)} images, {len(labelled)} label images and {len(masks)} masks; give one"
            " of each for every image, in the same order"
        )
    given = [
        reading.read(*three, labels, **how) for three in zip(images, labelled, masks, strict=True)
    ]
    for remark in (remark for one in given for remark in one.remarks):
        warnings.warn(remark, stacklevel=3)
    return given


def as_list(one):
    """Return a list: of the one that is given, or of those."""
    return list(one) if isinstance(one, list | tuple) else [one]


def nothing_to_learn(given):
    """Say that labels are the network's own guess."""
    names = ", ".join(one.name for one in given)
    return (
        f"{names}: the labels are what the network finds, so there is nothing to learn; correct the"
        " proposal first"
    )


def _check_agreement(given, first, poor):
    """Warn of labels that hardly agree with the first guess, and of those that are the guess."""
    agreement = record.dice(given, first)
    if min(agreement.values()) == 1:
        warnings.warn(nothing_to_learn(given), stacklevel=3)
    if np.mean(list(agreement.values())) < poor:
        shown = "  ".join(f"{tissue} {value:.2f}" for tissue, value in agreement.items())
        names = ", ".join(one.name for one in given)
        warnings.warn(
            f"{names}: the labels hardly agree with what the network finds (Dice {shown}); check"
            " that they belong to this image",
            stacklevel=3,
        )


def _doubts(given, first, out):
    """Return what is doubted of the labels of each image (see `label_checks`), after a warning."""
    doubts = [label_checks.check(*pair) for pair in zip(given, first, strict=True)]
    one_sided = map(label_checks.one_sided, given, first)
    for remark in [*label_checks.tell(given, first, doubts, out), *filter(None, one_sided)]:
        warnings.warn(remark, stacklevel=3)
    return doubts


def _doubted(new, first):
    """Return the share of slices that look wrong, among those that the parent has not learned."""
    found = [label_checks.check(*pair) for pair in zip(new, first, strict=True)]
    return label_checks.share(new, found)


def _check_enough(kept, least):
    """Raise InputError where the borders cannot be learned."""
    labels = np.concatenate([one.labels[one.known] for one in kept])
    if len(labels) < least or len(np.unique(labels)) < 2:
        raise InputError(
            f"too little is labelled for --steps 0: {least} voxels of two tissues are needed; paint"
            " more, or let the network learn"
        )


def _checks(trained, guard):
    """Return what may leave the borders out (see `answers.CHECKS`).

    The guard has judged borders that are learned alone; but halves of a slice at the front of a
    brain are like each other.
    """
    return answers.CHECKS if trained else [answers.UNLIKE] if guard else []


def _with_borders(given, kept, learned, parent, recipe, seed, checks):
    """Return the network that also learned its borders, its answers (None if stopped), and why not.

    Why not: why the borders were left out, if they were (see `answers.calibrated`).
    """
    try:
        network, why = answers.calibrated(learned.model, parent, kept, recipe, seed, checks)
        return network, [answers.answer(network, one) for one in given], why
    except KeyboardInterrupt:
        if not learned.losses:
            raise
        learned.stopped = True
        return replace(parent, model=learned.model), None, ""
