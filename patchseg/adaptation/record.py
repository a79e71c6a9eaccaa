"""What the card of adapted weights tells: from what they came about, how they do, their use."""

import hashlib
from pathlib import Path

import numpy as np

from patchseg import checkpoint, params
from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES
from patchseg.images import brain
from patchseg.inference import library, resemblance

NEXT, NOISE = 0.25, 0.005
"""Another slice rarely brings more Dice than this share of what the last round moved, and this.
Set by eye with five brains of the zoo in sight; it held after 40 of 42 rounds of those and a sixth.
"""
LEFT_OUT = {
    "few": "too little is labelled",
    "unlike": (
        "what is labelled is unlike much of the brain (a slice at its front or back?); a slice"
        " nearer the middle would move them"
    ),
    "halves": "what one half of the labels says of them does not help the other",
}
"""In words, why borders were left out (see `patchseg.adaptation.answers`)."""
INHERITED = (
    "top",
    "brain_pixels",
    "contrasts",
    "brains",
    "species",
    "licences",
    "general",
    "general_mm",
    "general_brains",
    "deep",
)
"""What the new card takes over from the parent's: how to use the network, not its scores."""


def sha256(source, values):
    """Return the sum of a file, or of the values of an image in memory."""
    if isinstance(source, str | Path):
        return files.sha256(source)
    return hashlib.sha256(np.ascontiguousarray(values)).hexdigest()


def told(parent, recipe, learned, kept, held, first, last):
    """Return what the card tells of how the weights came about and how they do."""
    found = {
        "parent": parent.card["sha256"],
        "parent_name": parent.path.name,
        "adapted_to": [described(one, TISSUES, rest) for one, rest in zip(kept, held, strict=True)],
        "recipe": recipe.model_dump(mode="json"),
        "dice_before": dice(kept, first),
        "steps": learned.steps,
        "stopped": learned.stopped,
        "loss": [round(loss, 4) for loss in learned.losses],
    }
    if last:
        found |= {"dice_after": dice(kept, last), "changed": _changed(first, last)}
    if last and any(one.known.any() for one in held):
        found |= {"held_out_before": dice(held, first), "held_out_after": dice(held, last)}
    return found


def described(one, names, held=None):
    """Return what the card tells of a `Labelled` that was learned, a dict.

    `names` are those of the labels, from 1; `held` is what was held out of it.
    """
    plane, numbers = one.slices()
    return {
        "image": one.name,
        **{f"{kind}_sha256": value for kind, value in one.sha256.items()},
        "plane": plane,
        "slices": numbers,
        "held_out": held.slices()[1] if held and held.known.any() else [],
        "voxels": {name: int((one.labels == n).sum()) for n, name in enumerate(names, 1)},
    }


def use(parent, network, given):
    """Return what the card tells of how to use the network, a dict.

    `given` are the images that taught it; none if the parent is kept, whose looks then stay.
    """
    known = inherited(parent, [*parent.sizes_mm, *(one.size_mm for one in given)])
    if network.calibration:
        known |= {"calibration": network.calibration, "calibrated_mm": network.calibrated_mm}
    own = looks(given, parent.top) if given else parent.card.get("looks", [])
    return known | {"looks": own}


def looks(given, top):
    """Return how the images look that taught the network, for offers to like ones: a list of dict.

    `top` is the percentile by which they are normalised.
    """
    found = []
    for one in given:
        ready = one.normalised(top)
        profile = brain.depth_profile(ready, one.mask, one.voxel_mm)
        found.append(resemblance.look(ready, one.mask, one.size_mm, one.voxel_mm, profile))
    return found


def inherited(parent, sizes_mm):
    """Return what the card takes over from the parent's, and the sizes of the brains, a dict."""
    known = {key: parent.card[key] for key in INHERITED if key in parent.card}
    return known | {"sizes_mm": [round(min(sizes_mm), 1), round(max(sizes_mm), 1)]}


def dice(given, found):
    """Return Dice of each tissue that is labelled, pooled over images, in the labelled voxels."""
    truth = np.concatenate([one.labels[one.known] for one in given])
    guess = np.concatenate([labels[one.known] for one, labels in zip(given, found, strict=True)])
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
    """Return the share of GM and WM that is another tissue than before: 1 - their mean Dice."""
    dice = []
    for n in (2, 3):
        pairs = zip(first, last, strict=True)
        both = sum(np.count_nonzero((a == n) & (b == n)) for a, b in pairs)
        total = sum(np.count_nonzero(a == n) for a in (*first, *last))
        dice.append(2 * both / max(1, total))
    return round(float(1 - np.mean(dice)), 4)


def still_pays(weights, enough=None):
    """Say whether labelling another slice is likely to pay, and what it may bring.

    It does while the last round still moved much of the brain to another tissue.

    Parameters
    ----------
    weights : str or Path
        Of `adapt`; or their name.
    enough : float, optional
        Share of the brain's GM and WM that a round must move to be worth the painting; the
        recipe's unless given.

    Returns
    -------
    pays : bool
    reason : str
    """
    found = checkpoint.read_card(library.find(weights))
    if "adapted_to" not in found:
        raise InputError(
            f"{weights}: these weights were not adapted, so there is no last round to judge by"
        )
    if "changed" not in found:
        return True, "the last round was stopped; go on with it"
    if found.get("kept") == "parent":
        return True, "nothing was kept; check the labels, or label another slice"
    pays = found["changed"] > (params.shipped().adapt.enough if enough is None else enough)
    what = "the brain" if found.get("what") == "brain" else "grey and white matter"
    how = f"what was learned moved {found['changed']:.1%} of {what}"
    advice = f"{how}; label another slice" if pays else f"{how}: another slice will hardly help"
    return pays, f"{advice} ({outlook(weights)})" if next_gain(found) else advice


def said(card):
    """Return what was kept and what was left out, and why, in a sentence each: a list of str.

    Parameters
    ----------
    card : dict
        Of adapted weights.
    """
    why = card.get("borders_left_out")
    borders = [f"the borders stay where they are: {LEFT_OUT[why]}"] if why else []
    return [card["guard"]["said"], *borders] if "guard" in card else borders


def next_gain(card):
    """Return the least and the most Dice that another slice is likely to bring.

    Parameters
    ----------
    card : dict

    Returns
    -------
    gain : tuple of two float, or None
        None if the card tells of no round that was kept to its end, or of masks of brains, of which
        it was not measured.
    """
    if "changed" not in card or card.get("kept") == "parent" or card.get("what") == "brain":
        return None
    return 0.0, round(NEXT * card["changed"] + NOISE, 4)


def outlook(weights=None):
    """Say what another slice is likely to bring, judged by the last round (see `next_gain`).

    Parameters
    ----------
    weights : str or Path, optional
        Those of the package unless given; or their name.

    Returns
    -------
    said : str
    """
    card = checkpoint.read_card(library.find(weights) or checkpoint.SHIPPED)
    gain = next_gain(card)
    if gain:
        return f"another slice will probably bring up to {gain[1]:.3f} of Dice"
    why = "nothing was learned"
    if "adapted_to" not in card:
        why = "no slice was learned yet"
    elif "changed" not in card:
        why = "the last round was stopped"
    if card.get("what") == "brain":
        why = "this was measured for tissues only"
    return f"what a slice will bring is not known: {why}"
