"""Labelled slices that are held out, to score what was learned of the others."""

import warnings

from patchseg.core.errors import InputError
from patchseg.images.grid import AXES


def split(given, new, hold_out):
    """Return what is learned of each image and what is held out.

    Parameters
    ----------
    given, new : sequence of patchseg.datasets.labelled.Labelled
        Images with all labels, and with those only that the weights to start from have not learned
        (see `earlier`).
    hold_out : int
        How many slices of each.

    Returns
    -------
    kept, held : tuple of patchseg.datasets.labelled.Labelled

    Raises
    ------
    InputError
        If an image has no more labelled slices than that.
    """
    parts, flattered = [], []
    for one, own in zip(given, new, strict=True):
        plane, numbers = one.slices()
        axis = AXES.index(plane)
        fresh = [number for number in numbers if own.known.take(number, axis).any()]
        kept, held = _of_one(one, numbers, fresh, hold_out)
        parts.append((kept, held))
        flattered += [one.name] if held.known.any() and set(held.slices()[1]) - set(fresh) else []
    if flattered:
        warnings.warn(
            f"{', '.join(flattered)}: too few labelled slices are new to hold {hold_out} of them"
            " out; the weights to start from have learned others that are held out, and look too"
            " good on them",
            stacklevel=3,
        )
    return tuple(zip(*parts, strict=True))


def _of_one(one, numbers, fresh, hold_out):
    """Return what is learned and what is held out: slices spread evenly among the labelled.

    Those are new to the weights to start from, if others of them are left to learn from; else, if
    they can be, such as they have learned.
    """
    if not 0 <= hold_out < len(numbers):
        raise InputError(
            f"{one.name}: {hold_out} slices to hold out of {len(numbers)} labelled; at least one"
            " must be left to learn from"
        )
    old = [number for number in numbers if number not in fresh]
    among = fresh if hold_out < len(fresh) else old if hold_out <= len(old) else numbers
    chosen = [among[int((i + 0.5) * len(among) / hold_out)] for i in range(hold_out)]
    left = one.only([number for number in numbers if number not in chosen]) if hold_out else one
    return left, one.only(chosen)
