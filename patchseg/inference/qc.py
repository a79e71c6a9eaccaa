"""Is the result to be trusted? Checks that say good, look or bad, each with its reason."""

import numpy as np
import pandas as pd
from scipy import ndimage

from patchseg.core.tissues import TISSUES
from patchseg.images import brain, grid, head

VERDICTS = ("good", "look", "bad")
# Limits: look below, look above, bad below, bad above. They hold the zoo's people, apes and monkeys
# with room around them. Mice lie outside: a third of their brain is unlabelled, and a network that
# never saw them finds their white matter badly.
SHARES = {
    "CSF": (0.001, 0.45, 0.0, 0.65),
    "GM": (0.30, 0.75, 0.10, 0.90),
    "WM": (0.12, 0.55, 0.03, 0.75),
}
# of networks that never saw the species: T1w entropy 0.41 to 0.48, disagreement 0.08 to 0.11; the
# chimpanzee's T2w 0.58 and 0.09, the mice's, which they find badly, 0.60 and 0.08
UNCERTAINTY = (-np.inf, 0.53, -np.inf, 0.68)
DISAGREEMENT = (-np.inf, 0.16, -np.inf, 0.30)
OUTSIDE = (-np.inf, 0.10, -np.inf, 0.30)
CLIPPED = (-np.inf, 0.02, -np.inf, 0.25)
RIM = (-np.inf, 1.05, -np.inf, np.inf)
CONTRAST = (0.02, np.inf, 0.0, np.inf)  # .04 in the mouse's head of the zoo, .08 to .30 in others
SIZE_ROOM = 1.25  # a brain may be so many times smaller or larger (edge) than those of training
ANY_SIZE = (6.0, 140.0, 0.0, np.inf)
"""Cube roots (mm) of the volumes of brains from a young mouse's to a large person's."""
SIZES = {"mouse": 7.7, "rat": 12.5, "marmoset": 20, "macaque": 46, "chimpanzee": 75, "human": 110}
"""The same of some adults, to say what a brain of an odd size could be."""
FACTORS = (0.1, 10, 0.001, 1000)
"""By which headers are wrong: ten in rodents' data, a thousand where a unit is."""
COLUMNS = ["check", "value", "good", "verdict", "reason"]


def table(mask, voxel_mm, profile, fused, network):
    """Check a result.

    Parameters
    ----------
    mask : (x, y, z) ndarray of bool
        The brain, RAS+.
    voxel_mm : tuple of three float
    profile : (8,) ndarray of float or None
        Of `brain.depth_profile`.
    fused : patchseg.inference.views.Fused
        Inside the brain's box.
    network : patchseg.inference.networks.Network

    Returns
    -------
    checks : pandas.DataFrame
        check, value, good (what is expected), verdict, reason.
    """
    inside = mask[brain.bounding_box(mask)]
    rows = [
        *_shares(fused, inside),
        *_agreement(fused, inside),
        *_whole_brain(mask, voxel_mm, fused, network),
    ]
    if profile is not None:
        rows.append(_rim(profile, network))
    return pd.DataFrame(rows, columns=COLUMNS)


def _shares(fused, inside):
    """Check how much of the brain each tissue takes."""
    counts = np.bincount(fused.labels[inside], minlength=4)[1:] / inside.sum()
    return [
        row(f"{tissue} share", share, SHARES[tissue], f"{tissue} is {share:.1%} of the brain")
        for tissue, share in zip(TISSUES, counts, strict=True)
    ]


def _agreement(fused, inside):
    """Check how sure the network is, and whether its views agree."""
    mean = float(fused.uncertainty[inside].mean())
    spread = float(fused.disagreement[inside].mean())
    contradict = f"the views contradict each other ({spread:.2f})"
    return [
        row("uncertainty", mean, UNCERTAINTY, f"the network is unsure (mean entropy {mean:.2f})"),
        row("disagreement", spread, DISAGREEMENT, contradict),
    ]


def _whole_brain(mask, voxel_mm, fused, network):
    """Check whether the mask holds a brain, a whole one, of a size that the network knows."""
    outside = fused.outside
    size, (low, high) = brain.size_mm(mask, voxel_mm), network.sizes_mm
    none = (
        f"{outside:.0%} of the brain looks like none; is the mask too large, or the head still on?"
    )
    low, high = max(low / SIZE_ROOM, ANY_SIZE[0]), min(high * SIZE_ROOM, ANY_SIZE[1])
    if network.calibration:  # also a shrew, or a whale, that labels taught
        low, high = min(low, network.calibrated_mm[0]), max(high, network.calibrated_mm[1])
    limits = (low, high, 0.0, np.inf)
    rows = [
        row("not brain", outside, OUTSIDE, none),
        clipped(mask),
        row("brain size (mm)", size, limits, odd_size(size)),
    ]
    return [*rows, _taught_size(size, network)] if network.calibration else rows


def _taught_size(size, network):
    """Check that a brain is of the size of those that the weights were adapted to."""
    low, high = network.calibrated_mm
    other = (
        f"the weights were adapted to brains of {low:.3g} to {high:.3g} mm, this one has"
        f" {size:.3g}; what they learned of the borders is left out. Use weights of this animal"
    )
    return row("adapted to (mm)", size, (low, high, 0.0, np.inf), other)


def odd_size(size_mm):
    """Say that a brain has an odd size, and by which factor its header could be wrong."""
    said = (
        f"the brain's volume is {size_mm**3 / 1000:.3g} cm³, unlike those of the training; check"
        " the voxel size and the mask"
    )
    low, high, *_ = ANY_SIZE
    for factor in () if low <= size_mm <= high else FACTORS:
        if low <= size_mm * factor <= high:
            ratios = {name: abs(np.log(size_mm * factor / own)) for name, own in SIZES.items()}
            like = min(ratios, key=ratios.get)
            return f"{said} (voxels {factor:g} times as long would give a brain like a {like}'s)"
    return said


def worst(checks):
    """Return the worst verdict of a table of checks."""
    return max(checks.verdict, key=VERDICTS.index)


def reasons(checks):
    """Return why a table of checks is not good, in one string; empty if it is."""
    return "; ".join(checks[checks.verdict != "good"].reason)


def joined(first, second):
    """Return two tables of checks as one; a check that both hold counts once."""
    return pd.concat([first, second]).drop_duplicates("check", keep="last", ignore_index=True)


def row(check, value, limits, reason):
    """Return one check: a row of `COLUMNS`.

    Parameters
    ----------
    check : str
        What is checked.
    value : float
    limits : tuple of four float
        Look below, look above, bad below, bad above.
    reason : str
        Told unless the verdict is good.
    """
    look_low, look_high, bad_low, bad_high = limits
    if look_low <= value <= look_high:
        verdict = "good"
    else:
        verdict = "look" if bad_low <= value <= bad_high else "bad"
    if look_high == np.inf:
        good = f"≥ {look_low:.3g}"
    else:
        good = f"≤ {look_high:.3g}" if look_low <= 0 else f"{look_low:.3g} to {look_high:.3g}"
    return check, float(f"{value:.4g}"), good, verdict, "" if verdict == "good" else reason


def _rim(profile, network):
    """Compare the surface with the depth: darker in a T1w, brighter in a T2w.

    The outermost shell is left out, because half of it is background.
    """
    ratio = float(np.mean(profile[1:3]) / max(profile[6:].mean(), 1e-6))
    known = (
        "on which the network is less accurate"
        if "T2w" in network.contrasts
        else f"the network knows {', '.join(network.contrasts)}"
    )
    return row(
        "rim to depth",
        ratio,
        RIM,
        f"the surface is brighter than the depth ({ratio:.2f} times), as in a T2w; {known}",
    )


def clipped(mask):
    """Check whether the brain ends at a face of the image; those across thin stacks do not count.

    Parameters
    ----------
    mask : (x, y, z) ndarray of bool

    Returns
    -------
    row : tuple
        See `row`.
    """
    faces = [
        np.take(mask, end, axis).mean()
        for axis in range(3)
        if mask.shape[axis] >= 16
        for end in (0, -1)
    ]
    share = float(max(faces, default=0.0))
    cut = f"the brain touches {share:.0%} of a face of the image; is the field of view cut off?"
    return row("clipped", share, CLIPPED, cut)


def contrast(image, mask, voxel_mm):
    """Check whether what the mask holds has tissues; a phantom has none.

    Parameters
    ----------
    image : (x, y, z) ndarray of float
        Of any brightness.
    mask : (x, y, z) ndarray of bool
    voxel_mm : tuple of three float

    Returns
    -------
    row : tuple
        See `row`. The value is the spread of the brightness around its mean nearby, as a share of
        the brightness (see `head.scaled`), at 32 voxels along the brain.
    """
    image = head.scaled(image)
    box = grid.box(mask)
    pixel_mm = brain.size_mm(mask, voxel_mm) / 32
    shape = [
        max(4, round(n * mm / pixel_mm)) for n, mm in zip(mask[box].shape, voxel_mm, strict=True)
    ]
    small = grid.resize(image[box], shape)
    whole = grid.resize(mask[box].astype(np.float32), shape) > 0.99
    inside = ndimage.binary_erosion(whole, iterations=2)
    if not inside.any():
        inside = np.ones(shape, bool)
    near, weight = (ndimage.gaussian_filter(one * inside, 3.0) for one in (small, inside * 1.0))
    detail = (small - near / np.maximum(weight, 1e-6))[inside]
    spread = float(np.std(detail) / max(abs(small[inside].mean()), 1e-6))
    even = f"what is inside is of one brightness ({spread:.3f}); is it a phantom?"
    return row("contrast inside", spread, CONTRAST, even)
