"""Which labelled slices the weights to start from have learned in earlier rounds.

On those they look better than they are, so they say nothing of what a new round is worth.
"""

from pydantic import BaseModel, ValidationError

from patchseg import checkpoint
from patchseg.core.errors import InputError


class _Taught(BaseModel):
    """Slices of an image that were learned."""

    image_sha256: str = ""
    plane: str = ""
    slices: list[int] = []


class _Card(BaseModel):
    """What a card tells of its last round, and of those before."""

    kept: str | float = ""
    helped: bool = True
    adapted_to: list[_Taught] = []
    learned_before: list[_Taught] = []


def learned(parent):
    """Return what weights have learned of labels, in all rounds.

    Parameters
    ----------
    parent : patchseg.inference.networks.Network

    Returns
    -------
    learned : list of dict
        For the card: the sum of an image (``image_sha256``), the painted plane, its slices.

    Raises
    ------
    InputError
        If the card tells something else.
    """
    try:
        card = _Card.model_validate(parent.card)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{checkpoint.card_path(parent.path)}: {'.'.join(map(str, first['loc']))} ="
            f" {first['input']!r}: {first['msg']}; copy the card again, or train again"
        ) from error
    last = card.adapted_to if card.helped and card.kept != "parent" else []
    last = [one for one in last if one not in card.learned_before]
    return [one.model_dump() for one in (*card.learned_before, *last)]


def new_slices(given, parent):
    """Return the labelled slices of each image that weights have not learned.

    Parameters
    ----------
    given : sequence of patchseg.datasets.labelled.Labelled
    parent : patchseg.inference.networks.Network

    Returns
    -------
    numbers : list of list of int
        Slices of the painted plane; all that are labelled, where none is new: the labels may be.
    """
    known, places = learned(parent), [one.slices() for one in given]
    new = [
        [number for number in slices if not _among(known, one.sha256.get("image"), plane, number)]
        for one, (plane, slices) in zip(given, places, strict=True)
    ]
    return new if any(new) else [slices for _, slices in places]


def _among(known, image, plane, number):
    """Whether a slice of an image has been learned; an image without a sum has not."""
    return any(
        (one["image_sha256"], one["plane"]) == (image, plane) and number in one["slices"]
        for one in known
    )
