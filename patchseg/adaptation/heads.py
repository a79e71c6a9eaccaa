"""Teach the network that finds the brain a new animal, from a slice of a mask or a few.

What is learned, and what of it is kept, is decided in `head_learning`.
"""

import time
import warnings
from pathlib import Path

import numpy as np

from patchseg import checkpoint
from patchseg.adaptation import brain_labels, earlier, head_learning, record
from patchseg.adaptation.fine_tuning import as_list, check_target, nothing_to_learn
from patchseg.core import runtime
from patchseg.core.errors import InputError
from patchseg.images import brain
from patchseg.inference import library, networks
from patchseg.inference import mask as masks
from patchseg.metrics import dice


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
        raw, before = head_learning.first(given, parent)
        if head_learning.score(given, before) == 1:
            warnings.warn(nothing_to_learn(given), stacklevel=2)
        steps = head_learning.steps_for(given) if steps is None else steps
        with runtime.deterministic(seed):
            taught = head_learning.teach(given, parent, raw, before, seed, steps, on_round)
        known = _told(parent, given, before, taught)
        known |= {"seed": seed, "command": "patchseg adapt --what brain"}
        known |= runtime.computing(precision) | {"seconds": round(time.monotonic() - started, 1)}
        checkpoint.save(taught.model, parent.card["architecture"], out, **known)
    return out


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
        "learned": earlier.after(parent, [] if taught.why else given),
        "recipe": head_learning.RECIPE,
        "borders": taught.borders,
        "helped": not taught.why,
        "why": taught.why,
        "kept": taught.share,
        "held_out_before": {"brain": taught.half_before},
        "held_out_after": {"brain": taught.half_after},
        "dice_before": {"brain": head_learning.score(given, before)},
        "dice_after": {"brain": head_learning.score(given, taught.after)},
        "changed": round(float(np.mean(changed)), 4),
        "steps": learned.steps,
        "stopped": learned.stopped,
        "loss": [round(loss, 4) for loss in learned.losses],
    }
