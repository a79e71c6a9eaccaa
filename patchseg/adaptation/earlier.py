"""Which labels the weights to start from have learned in earlier rounds.

On those they look better than they are, so they say nothing of what a new round is worth. What was
learned is kept as slices: a later label on one of them counts as learned, too.
"""

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ValidationError

from patchseg import checkpoint
from patchseg.core.errors import InputError
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets.labelled import painted
from patchseg.images.grid import AXES


class _Slices(BaseModel):
    """Slices of an image that were learned; `image` is the sum of its values."""

    image: str
    plane: Literal[AXES]
    slices: list[int]


class _Card(BaseModel):
    learned: list[_Slices] = []


def learned(parent):
    """Return what weights have learned of labels, in all rounds.

    Parameters
    ----------
    parent : patchseg.inference.networks.Network

    Returns
    -------
    learned : list of dict
        ``image`` (sha256 of its values), ``plane`` and ``slices``; empty if the card does not tell,
        as those of earlier versions.

    Raises
    ------
    InputError
        If the card tells something else.
    """
    try:
        return _Card.model_validate(parent.card).model_dump()["learned"]
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{checkpoint.card_path(parent.path)}: {'.'.join(map(str, first['loc']))} ="
            f" {first['input']!r}: {first['msg']}; copy the card again, or train again"
        ) from error


def after(parent, given):
    """Return what weights have learned after a round, for their card (see `learned`).

    Parameters
    ----------
    parent : patchseg.inference.networks.Network
    given : sequence of patchseg.datasets.labelled.Labelled
        What the round taught.
    """
    known = learned(parent)
    return known + [told for one in given for told in _slices(one) if told not in known]


def _slices(one):
    """Return slices that hold all labels: a list of dict. Mostly one plane, as somebody painted."""
    rest, found = one.known, []
    while rest.any():
        plane, numbers = painted(rest)
        found.append({"image": _sum(one), "plane": plane, "slices": numbers})
        rest = rest & ~_on(found[-1], rest.shape)
    return found


def _sum(one):
    return hashlib.sha256(np.ascontiguousarray(one.image)).hexdigest()


def _on(told, shape):
    """Return which voxels lie on slices; a card may name some that the image does not have."""
    axis = AXES.index(told["plane"])
    own = np.isin(np.arange(shape[axis]), told["slices"])
    return np.expand_dims(own, [other for other in range(3) if other != axis])


def new(given, parent):
    """Return images with those labels only that weights have not learned.

    Parameters
    ----------
    given : sequence of patchseg.datasets.labelled.Labelled
    parent : patchseg.inference.networks.Network

    Returns
    -------
    new : list of patchseg.datasets.labelled.Labelled
        Some may be without labels.
    """
    known = learned(parent)
    return [_without(one, known) for one in given] if known else list(given)


def to_judge(given, parent):
    """Return images with the labels that can judge a round (see `new`).

    All of them where none is new: somebody may have corrected labels.
    """
    found = new(given, parent)
    return found if any(one.known.any() for one in found) else list(given)


def _without(one, known):
    own, labels = _sum(one), one.labels
    for told in known:
        if told["image"] == own:
            labels = np.where(one.known & _on(told, labels.shape), UNLABELLED, labels)
    return replace(one, labels=labels.astype(np.uint8))
