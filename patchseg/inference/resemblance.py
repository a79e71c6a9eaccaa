"""How alike two images of brains are: in size, in voxels, and in which part is how bright.

A result carries the `look` of its image, the card of adapted weights those of the images that
taught them. So patchseg can say that somebody has weights of a like animal; it never takes them by
itself.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat

SHARES = tuple(range(5, 100, 10))
"""Percentiles of the brain's intensities that a look holds."""
SHELLS = 8
"""Of `brain.depth_profile`."""
CONTRAST = 0.06
"""Of the range from background to the brightest voxels: two looks differ less, on average.

Two macaques of one scanner differ by 0.03, another macaque of another scanner by 0.14, its T2w by
0.17, a mouse by 0.16. A mask that is cut one voxel closer, or a bias field of 20 %, moves a look by
0.04 at most.
"""
SIZE = 1.2
"""So many times smaller or larger (edge length) a brain may be, where a card tells no range."""
VOXEL = 2.0
"""So many times finer or coarser voxels may be."""
FLAT = 0.05
"""Rim and depth that differ by a smaller share tell no contrast."""
NAMED = 3
"""Images that an offer names."""

Length = Annotated[FiniteFloat, Field(gt=0, lt=1e5)]


class Look(BaseModel):
    """How an image of a brain looks.

    Attributes
    ----------
    size_mm : float
        Cube root of the brain's volume.
    voxel_mm : float
        Cube root of a voxel's.
    quantiles : list of float
        Of the normalised intensities in the brain, at `SHARES`.
    profile : list of float, or None
        From the surface inwards (see `brain.depth_profile`).
    """

    size_mm: Length
    voxel_mm: Length
    quantiles: Annotated[list[FiniteFloat], Field(min_length=len(SHARES), max_length=len(SHARES))]
    profile: Annotated[list[FiniteFloat], Field(min_length=SHELLS, max_length=SHELLS)] | None = None

    def contrast(self):
        """Return 'like T1w' where the rim is darker than the depth, 'like T2w' where brighter."""
        if self.profile is None:
            return ""
        rim, depth = np.mean(self.profile[1:3]), np.mean(self.profile[6:])
        if abs(rim - depth) <= FLAT * max(abs(rim), abs(depth)):
            return ""
        return "like T1w" if rim < depth else "like T2w"

    @property
    def volume(self):
        """The brain's volume as it is shown, in cm³."""
        return f"{self.size_mm**3 / 1000:.3g}"


def look(image, mask, size_mm, voxel_mm, profile):
    """Return how an image looks, for a record or a card: a dict (see `Look`).

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
        Normalised.
    mask : (x, y, z) ndarray of bool
    size_mm : float
        See `brain.size_mm`.
    voxel_mm : tuple of three float
    profile : (8,) ndarray of float, or None
        Of `brain.depth_profile`.
    """
    quantiles = np.percentile(image[mask], SHARES)
    return {
        "size_mm": round(float(size_mm), 2),
        "voxel_mm": round(float(np.prod(voxel_mm) ** (1 / 3)), 4),
        "quantiles": np.round(quantiles, 3).tolist(),
        "profile": None if profile is None else np.round(profile, 3).tolist(),
    }


def distance(one, other):
    """Return how far the contrasts of two looks are apart: 0 alike, 1 black and white.

    The larger of two mean differences: of the quantiles, and of the profiles where both have one.
    """
    pairs = [(one.quantiles, other.quantiles)]
    if one.profile and other.profile:
        pairs.append((one.profile, other.profile))
    return max(float(np.mean(np.abs(np.subtract(*pair)))) for pair in pairs)


def reason(seen, told):
    """Say why an image is like those that taught weights, and how far it is from the nearest.

    Parameters
    ----------
    seen : Look
        Of the image.
    told : patchseg.inference.library.Told
        Of the card.

    Returns
    -------
    found : tuple of float and str, or None
        None if it is not alike in size, voxels and contrast. The distance is infinite for a card
        that tells no looks: then the size alone decides, and the reason says so.
    """
    sizes = [one.size_mm for one in told.looks]
    room = told.calibrated_mm or (sizes and (min(sizes) / SIZE, max(sizes) * SIZE))
    if not room or not room[0] <= seen.size_mm <= room[1]:
        return None
    if not told.looks:
        low, high = (f"{edge**3 / 1000:.3g}" for edge in room)
        return np.inf, (
            f"brain of {seen.volume} cm³, taught for {low} to {high}; size only, the card does not"
            " tell the contrast"
        )
    nearest = min(told.looks, key=lambda one: distance(seen, one))
    finer = seen.voxel_mm / nearest.voxel_mm
    if distance(seen, nearest) > CONTRAST or not 1 / VOXEL <= finer <= VOXEL:
        return None
    return distance(seen, nearest), (
        f"brain of {seen.volume} cm³ against {nearest.volume}, voxels of {seen.voxel_mm:.2g} mm"
        f" against {nearest.voxel_mm:.2g}, contrast like it"
    )


def offers(seen, entries):
    """Say which adapted weights images resemble most: a line for each weights that some do.

    Parameters
    ----------
    seen : list of (str or Path, dict)
        Images, and the `look` of each; others than dicts that hold one are left out.
    entries : list of patchseg.inference.library.Entry

    Returns
    -------
    lines : list of str
        Of weights that resemble an image as much, the newest: a later round knows more.
    """
    alike, newest = {}, sorted(entries, key=lambda one: -one.written)
    for image, known in seen:
        try:
            own = Look.model_validate(known)
        except ValueError:  # a record of an earlier version, or a changed one
            continue
        found = [(reason(own, one.told), one.name) for one in newest if one.offered]
        found = [(*why, name) for why, name in found if why]
        if found:
            _, why, name = min(found, key=lambda one: one[0])
            alike.setdefault(name, []).append((Path(image).name, why))
    return [_line(name, images, len(seen)) for name, images in alike.items()]


def _line(name, images, total):
    why = images[0][1]
    if total == 1:
        return (
            f"weights '{name}' were taught on an image like this one ({why}); try --weights {name}"
        )
    named = ", ".join(image for image, _ in images[:NAMED])
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return (
        f"weights '{name}' were taught on an image like {len(images)} of these {total}: {named}"
        f"{more} (the first: {why}); try --weights {name} for them"
    )
