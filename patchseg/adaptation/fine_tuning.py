"""Teach a network a new animal from a few labelled voxels.

One slice and a minute are enough to begin with.

Training goes on with patches around the labels, mixed with patches of the MNI template whose labels
are the network's own answers, so that it learns the new without losing the old (learning without
forgetting, Li and Hoiem 2018). Then the labels tell how the network's answers and the image's
intensities go together in this animal (see `calibration`).
"""

import time
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

from patchseg import checkpoint, params
from patchseg.adaptation import labelled
from patchseg.core.errors import InputError
from patchseg.core.progress import progress_bar
from patchseg.core.runtime import computing_in, deterministic
from patchseg.core.tissues import TISSUES
from patchseg.datasets import sample
from patchseg.images import brain, grid
from patchseg.inference import calibration
from patchseg.training import draw

STEPS = 80
"""Batches for one labelled slice; more gain little."""
MORE_STEPS = 25
"""Batches for each further slice."""
MOST_STEPS = 240
BATCH = 32
REPLAY = 0.5
"""Share of a batch that comes from the template."""
LEARNING_RATE = 1e-3
"""At the start; it falls to 0 as a cosine."""
ROUND = 20
"""Batches between two looks at the loss. Ctrl-C keeps what the best round gave."""
IN_PLANE = 0.6
"""Share of the patches in the plane that was painted.

In the other planes a labelled slice is a line.
"""
NEW = params.Draw(
    patches=1024,
    validation=1,
    patch_size=64,
    brain_pixels=80,
    scales=(0.75, 1.33),
    rotation_deg=20,
    anisotropy=0.1,
    elastic=1.0,
    anywhere=0.1,
    thick=0.0,
    drawn=0.0,
    orders=(1.0, 0.0, 0.0),
    inverted=0.0,
    curves=0.3,
    gamma=0.15,
    bias=0.2,
    blurred=0.1,
    coarse=0.05,
    noise=0.03,
    background=0.0,
    seed=0,
)
"""Patches around the labels, at about the size at which the network will look."""
OLD = NEW.model_copy(
    update={
        "patches": 512,
        "scales": (0.5, 2.5),
        "rotation_deg": 30.0,
        "thick": 0.1,
        "drawn": 0.3,
        "orders": (0.5, 0.3, 0.2),
        "inverted": 0.2,
        "curves": 0.5,
        "gamma": 0.25,
        "bias": 0.4,
        "blurred": 0.3,
        "coarse": 0.2,
        "noise": 0.08,
        "background": 0.05,
    }
)
"""Patches of the template, at any size and contrast."""
KEPT = 0.5
"""Share of what was learned that is kept.

The weights are averaged with the parent's, which forget less and overfit less (Wortsman 2022).
"""
ALIKE = 1.2
"""What the labels say (see `calibration`) holds for brains up to so many times smaller or larger
(edge length) than those that were labelled."""
INHERITED = ("top", "brain_pixels", "contrasts", "brains", "species", "licences")
"""What the new card takes over from the parent's.

How to use the network and what it was trained on, not the parent's scores.
"""
POOR = 0.4
"""Dice between labels and the first guess below which the user is asked whether they belong
together."""
ENOUGH = 0.02
"""Share of the brain's GM and WM that one more round must move to be worth the painting (see
`still_pays`)."""


def adapt(
    images,
    labels,
    weights=None,
    out="adapted.weights.h5",
    *,
    masks=None,
    values=(1, 2, 3),
    hold_out=0,
    seed=0,
    steps=None,
    on_round=None,
):
    """Fine-tune a network on images that are labelled in part, and write its weights and card.

    Parameters
    ----------
    images, labels : nibabel image, str or Path, or lists of them
        Brain-extracted images, and for each a label image on its grid: 0 not labelled, 1 CSF, 2 GM,
        3 WM. Whole slices, scribbles or single structures, in any plane.
    weights : str or Path, optional
        To start from; those of the package unless given.
    out : str or Path
        Gets the weights (``.weights.h5``), with their card (``.json``) beside them.
    masks : nibabel image, str or Path, or list of them, optional
        Brain masks.
    values : tuple of three int
        Labels of CSF, GM and WM.
    hold_out : int
        So many of the labelled slices of each image are not learned but scored; the scores go into
        the card.
    seed : int
        The same input and seed give the same bytes.
    steps : int, optional
        Batches; grows with the number of slices unless given. 0 leaves the network as it is and
        only learns where its borders lie, in seconds.
    on_round : callable, optional
        Called after each round with the list of mean losses so far.

    Returns
    -------
    weights : Path

    Raises
    ------
    InputError
        See `labelled.read`; or if lists differ in length, too many slices are held out, too little
        is labelled for `steps` 0, or `out` cannot be written.

    Notes
    -----
    Ctrl-C (KeyboardInterrupt) ends the training early: the best round so far is written, and the
    card says ``stopped``.
    """
    from patchseg.inference import networks

    parent = networks.load(weights)
    started = time.monotonic()
    out = Path(out)
    check_target(out, parent.path)
    given = _read_all(images, labels, masks, values)
    kept, held = zip(*[_split(one, hold_out) for one in given], strict=True)
    sizes = [brain.size_mm(one.mask, one.voxel_mm) for one in given]
    first = [answer(parent, one) for one in given]
    agreement = _dice(given, first)
    if np.mean(list(agreement.values())) < POOR:
        shown = "  ".join(f"{tissue} {value:.2f}" for tissue, value in agreement.items())
        names = ", ".join(one.name for one in given)
        warnings.warn(
            f"{names}: the labels hardly agree with what the network finds (Dice {shown}); check"
            " that they belong to this image",
            stacklevel=2,
        )
    with deterministic(seed):
        model, history, stopped = (
            (parent.model, [], False)
            if steps == 0
            else train(list(kept), parent, seed, steps, on_round)
        )
        try:
            network = calibrated(model, parent, kept, seed)
            last = [answer(network, one) for one in given]
        except KeyboardInterrupt:
            if not history:
                raise
            network, last, stopped = replace(parent, model=model), None, True
    if steps == 0 and network.calibration is parent.calibration:
        raise InputError(
            f"too little is labelled for --steps 0: {calibration.LEAST} voxels of two tissues are"
            " needed; paint more, or let the network learn"
        )
    found = {
        "parent": parent.card["sha256"],
        "parent_name": parent.path.name,
        "adapted_to": [_described(one, rest) for one, rest in zip(kept, held, strict=True)],
        "dice_before": _dice(kept, first),
        "steps": len(history) * ROUND,
        "stopped": stopped,
        "loss": [round(loss, 4) for loss in history],
        "seed": seed,
    }
    if last:
        found |= {"dice_after": _dice(kept, last), "changed": _changed(first, last)}
    if last and hold_out:
        found |= {"held_out_before": _dice(held, first), "held_out_after": _dice(held, last)}
    known = {key: parent.card[key] for key in INHERITED if key in parent.card}
    known |= {
        "sizes_mm": [
            round(min(parent.sizes_mm[0], *sizes), 1),
            round(max(parent.sizes_mm[1], *sizes), 1),
        ],
        "command": "patchseg adapt",
    }
    if network.calibration:
        known |= {"calibration": network.calibration, "calibrated_mm": network.calibrated_mm}
    checkpoint.save(
        model,
        parent.card["architecture"],
        out,
        **known | found | {"seconds": round(time.monotonic() - started, 1)},
    )
    return out


def check_target(out, parent):
    """Raise InputError if weights cannot be written there."""
    if not out.name.endswith(checkpoint.SUFFIX):
        raise InputError(f"{out}: not a name of weights; end it in {checkpoint.SUFFIX}")
    if out.resolve() in (Path(parent).resolve(), checkpoint.SHIPPED.resolve()):
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


def _read_all(images, labels, masks, values):
    images, labels = (
        list(one) if isinstance(one, list | tuple) else [one] for one in (images, labels)
    )
    masks = (
        [None] * len(images)
        if masks is None
        else list(masks)
        if isinstance(masks, list | tuple)
        else [masks]
    )
    if not len(images) == len(labels) == len(masks):
        raise InputError(
            f"{len(images)} images, {len(labels)} label images and {len(masks)} masks; give one of"
            " each for every image, in the same order"
        )
    given = [
        labelled.read(image, label, mask, values)
        for image, label, mask in zip(images, labels, masks, strict=True)
    ]
    for remark in (remark for one in given for remark in one.remarks):
        warnings.warn(remark, stacklevel=3)
    return given


def _split(one, hold_out):
    """Return what is learned and what is held out: slices spread evenly among the labelled ones."""
    _, numbers = one.slices()
    if not 0 <= hold_out < len(numbers):
        raise InputError(
            f"{one.name}: {hold_out} slices to hold out of {len(numbers)} labelled; at least one"
            " must be left to learn from"
        )
    chosen = [numbers[int((i + 0.5) * len(numbers) / hold_out)] for i in range(hold_out)]
    return (
        one.only([number for number in numbers if number not in chosen]) if hold_out else one
    ), one.only(chosen)


def train(
    given,
    parent,
    seed=0,
    steps=None,
    on_round=None,
    *,
    replay=REPLAY,
    learning_rate=LEARNING_RATE,
    fixed=("BatchNormalization",),
    new=None,
    in_plane=IN_PLANE,
    kept=KEPT,
):
    """Fine-tune a network on labelled voxels. The keyword arguments are there for the ablation.

    Parameters
    ----------
    given : list of labelled.Labelled
    parent : patchseg.inference.networks.Network
    seed : int
    steps : int, optional
    on_round : callable, optional
        As in `adapt`.
    replay : float
        Share of a batch that comes from the template.
    learning_rate : float
    fixed : tuple of str
        Layers that do not learn, by the name of their class; "encoder" and "decoder" mean the way
        down and the way up. Batch statistics of a single slice would spoil those of many brains.
    new : patchseg.params.Draw, optional
        `NEW` unless given.
    in_plane : float
    kept : float

    Returns
    -------
    network : keras.Model
    history : list of float
        Mean loss of each round.
    stopped : bool
        Whether somebody pressed Ctrl-C.
    """
    if steps is None:
        steps = min(
            MOST_STEPS, STEPS + MORE_STEPS * (sum(len(one.slices()[1]) for one in given) - 1)
        )
    options = replay, learning_rate, fixed, new or NEW, in_plane, kept
    with deterministic(seed):
        return _train(given, parent, seed, steps, on_round, *options)


def _train(given, parent, seed, steps, on_round, replay, learning_rate, fixed, new, in_plane, kept):
    import keras

    from patchseg import unet
    from patchseg.training.losses import binary_cross_entropy, dice_cross_entropy

    with computing_in("auto"):
        network = unet.build(**parent.card["architecture"])
    network.set_weights(parent.model.get_weights())
    up = [isinstance(layer, keras.layers.Conv2DTranspose) for layer in network.layers].index(True)
    for number, layer in enumerate(network.layers):
        layer.trainable = (
            type(layer).__name__ not in fixed
            and ("encoder" if number < up else "decoder") not in fixed
        )
    softmax = parent.card["architecture"].get("activation", "sigmoid") == "softmax"
    loss = dice_cross_entropy if softmax else binary_cross_entropy
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps)), loss
    )
    history, stopped, best = [], False, None
    bar = progress_bar("fine-tuning", steps)
    try:
        batches = _batches(given, parent, new, in_plane, round(BATCH * replay), softmax, seed)
        for _ in range(max(1, round(steps / ROUND))):
            losses = []
            for _ in range(ROUND):
                x, y = next(batches)
                network.reset_metrics()
                losses.append(float(network.train_on_batch(x, y)))
                bar.update(1)
            history.append(float(np.mean(losses)))
            if history[-1] <= min(history):
                best = network.get_weights()
            if on_round:
                on_round(history)
    except KeyboardInterrupt:
        if best is None:
            raise
        network.set_weights(best)
        stopped = True
    finally:
        bar.close()
    unet.go_back(network, parent.model, kept)
    return network, history, stopped


def _batches(given, parent, new, in_plane, old_count, softmax, seed):
    """Yield batches for ever.

    Patches around the labels, and of the template with the network's own answers.
    """
    from patchseg.training.losses import one_hot

    brains = []
    for one in given:
        image = np.where(one.mask, one.data, brain.background(one.data))
        brains.append(
            draw.brain_of(
                one.name, "new", image, one.labels, one.voxel_mm, parent.top, _planes(one, in_plane)
            )
        )
    images, labels = draw.in_memory(brains, new.patches, new, seed)
    truth = one_hot(labels, softmax)
    if old_count:
        image, known, affine = sample.labelled_template()
        old_images, _ = draw.in_memory(
            [draw.brain_of("template", "old", image, known, grid.voxel_size_mm(affine))],
            OLD.patches,
            OLD,
            seed,
        )
        old_truth = np.concatenate(
            [
                np.asarray(parent.model.predict_on_batch(part[..., None]))
                for part in np.split(old_images, len(old_images) // 64)
            ]
        )
    rng = np.random.default_rng(seed)
    while True:
        rows = rng.integers(len(images), size=BATCH - old_count)
        x, y = images[rows], truth[rows]
        if old_count:
            rows = rng.integers(len(old_images), size=old_count)
            x, y = np.concatenate([x, old_images[rows]]), np.concatenate([y, old_truth[rows]])
        for axis in (1, 2):
            flip = rng.random(len(x)) < 0.5
            x[flip], y[flip] = np.flip(x[flip], axis), np.flip(y[flip], axis)
        yield x[..., None], y


def _planes(one, in_plane):
    """Return the share of patches across each axis: most where the labels fill slices."""
    filled = one.filled()
    painted = filled == filled.max()
    if painted.all():
        return (1 / 3,) * 3
    return tuple(np.where(painted, in_plane / painted.sum(), (1 - in_plane) / (~painted).sum()))


def calibrated(model, parent, given, seed=0):
    """Return a network with what the labelled voxels say of its answers (see `calibration`).

    Parameters
    ----------
    model : keras.Model
    parent : patchseg.inference.networks.Network
    given : sequence of labelled.Labelled
    seed : int

    Returns
    -------
    network : patchseg.inference.networks.Network
    """
    from patchseg.inference import refine

    found, before, labels = [], [], []
    for one in given:
        ready, plain, mask, box = _plain(model, parent, one)
        sharp = refine.refine(ready, plain, mask, one.voxel_mm)
        at = one.labels[box][mask] > 0
        pixel_mm = brain.size_mm(one.mask, one.voxel_mm) / parent.brain_pixels
        found.append(calibration.features(ready, plain, sharp, mask, one.voxel_mm, pixel_mm)[at])
        before.append(sharp[mask][at])
        labels.append(one.labels[box][mask][at])
    sizes = [brain.size_mm(one.mask, one.voxel_mm) for one in given]
    learned = calibration.fit(*map(np.concatenate, (found, before, labels)), seed)
    if learned is None:  # too few: what an earlier round learned stays
        return replace(parent, model=model)
    return replace(
        parent,
        model=model,
        calibration=learned,
        calibrated_mm=(round(min(sizes) / ALIKE, 1), round(max(sizes) * ALIKE, 1)),
    )


def _plain(model, parent, one):
    """Return the image in the brain's box, what a network finds there by itself, the mask and the
    box."""
    from patchseg.inference import views

    box = brain.bounding_box(one.mask)
    ready, mask = brain.normalise(one.data, one.mask, parent.top, one.name)[box], one.mask[box]
    pixel_mm = brain.size_mm(one.mask, one.voxel_mm) / parent.brain_pixels
    return ready, views.fuse(model, ready, mask, one.voxel_mm, pixel_mm).probabilities, mask, box


def answer(network, one):
    """Return the labels (x, y, z) uint8 that `patchseg.segment` gives a `labelled.Labelled`."""
    ready, plain, mask, box = _plain(network.model, network, one)
    return _labels(
        calibration.with_image(network, ready, plain, mask, one.voxel_mm), mask, box, one.mask.shape
    )


def look(model, parent, one):
    """Return what a network finds in a `labelled.Labelled`.

    Its labels (x, y, z) uint8, and those sharpened by the image's intensities.
    """
    from patchseg.inference import refine

    ready, plain, mask, box = _plain(model, parent, one)
    return [
        _labels(found, mask, box, one.mask.shape)
        for found in (plain, refine.refine(ready, plain, mask, one.voxel_mm))
    ]


def _labels(probabilities, mask, box, shape):
    labels = np.zeros(shape, np.uint8)
    labels[box] = (probabilities.argmax(axis=-1) + 1) * mask
    return labels


def _dice(given, found):
    """Return Dice of each tissue that is labelled, pooled over images, in the labelled voxels."""
    truth = np.concatenate([one.labels[one.labels > 0] for one in given])
    guess = np.concatenate(
        [labels[one.labels > 0] for one, labels in zip(given, found, strict=True)]
    )
    overlap = {
        tissue: (np.sum((truth == n) & (guess == n)), np.sum(truth == n), np.sum(guess == n))
        for n, tissue in enumerate(TISSUES, 1)
    }
    return {
        tissue: round(float(2 * both / (own + other)), 4)
        for tissue, (both, own, other) in overlap.items()
        if own
    }


def _changed(first, last):
    """Return the share of GM and WM that is another tissue than before.

    1 - their mean Dice, pooled over images.
    """
    dice = []
    for n in (2, 3):
        both = sum(np.count_nonzero((a == n) & (b == n)) for a, b in zip(first, last, strict=True))
        dice.append(2 * both / max(1, sum(np.count_nonzero(a == n) for a in (*first, *last))))
    return round(float(1 - np.mean(dice)), 4)


def _described(one, held):
    plane, numbers = one.slices()
    left_out = held.slices()[1] if held.labels.any() else []
    counts = {tissue: int((one.labels == n).sum()) for n, tissue in enumerate(TISSUES, 1)}
    return {
        "image": one.name,
        **{f"{kind}_sha256": value for kind, value in one.sha256.items()},
        "plane": plane,
        "slices": numbers,
        "held_out": left_out,
        "voxels": counts,
    }


def still_pays(weights):
    """Say whether labelling another slice is likely to pay.

    It does while the last round still moved much of the brain to another tissue.

    Parameters
    ----------
    weights : str or Path
        Of `adapt`.

    Returns
    -------
    pays : bool
    reason : str
    """
    found = checkpoint.read_card(weights)
    if "adapted_to" not in found:
        raise InputError(
            f"{weights}: these weights were not adapted, so there is no last round to judge by"
        )
    if "changed" not in found:
        return True, "the last round was stopped; go on with it"
    pays = found["changed"] > ENOUGH
    how = f"the last round moved {found['changed']:.1%} of grey and white matter"
    return pays, f"{how}; label another slice" if pays else f"{how}: another slice will hardly help"
