"""How a patch looks: made up from labels, or a real image bent; then what scanners do to images.

And how far the brain's mask reaches, which no two tools agree on.

In each function `rng` is a numpy.random.Generator and `settings` a `patchseg.params.Draw`; images
are (h, w) float32 in [0, 1], labels (h, w) uint8.
"""

import cv2
import numpy as np

from patchseg.core.tissues import TISSUES, UNLABELLED
from patchseg.datasets import deep

APART = 0.12
"""Tissues that are not this far apart in a real image are not repainted: it would stretch noise."""
WAY = {
    "thalamus": (0.0, 0.9),
    "caudate": (-0.1, 0.4),
    "putamen": (0.0, 0.8),
    "pallidum": (0.3, 1.05),
    "brain stem": (-0.1, 0.7),
}
"""How far from the rest of its tissue to the other of grey and white matter the brightness of a
structure may lie."""
LIKE_CORTEX, USUAL = (-0.5, 0.2), 0.8
"""The same where deep grey matter is like cortex or further from white matter, as in newborns; how
often it is not."""


def smooth(rng, shape, knots):
    """Return a smooth random field (h, w) in [-1, 1], of so many knots along each edge."""
    field = cv2.resize(
        rng.uniform(-1, 1, (knots, knots)).astype(np.float32),
        shape[::-1],
        interpolation=cv2.INTER_CUBIC,
    )
    return np.clip(field, -1, 1)


def brightness(rng, settings):
    """Return how bright CSF, GM and WM are: (3,) float, in an order that `orders` chooses.

    Of T1w, of T2w, of newborns (grey matter and white matter change places, in T1w and in T2w), or
    any order.
    """
    kind = rng.choice(4, p=np.array(settings.orders) / np.sum(settings.orders))
    if kind == 3:
        steps = np.linspace(rng.uniform(0.05, 0.3), rng.uniform(0.7, 1.0), 3)
        return rng.permutation(steps + rng.uniform(-0.1, 0.1, 3))
    dark, middle, bright = map(rng.uniform, (0.02, 0.35, 0.7), (0.4, 0.75, 1.0))
    middle = np.clip(middle, dark + 0.1, bright - 0.1)
    ends = [dark, bright] if kind == 0 or (kind == 2 and rng.random() < 0.5) else [bright, dark]
    csf, other = ends
    return np.array([csf, other, middle] if kind == 2 else [csf, middle, other])


def reshape(rng, truth, pixel, settings):
    """Make cortex thinner or thicker and smoother, in some patches, as it is in other brains.

    Newborns and foetuses have a thin one, mice a smooth one. `pixel` is as in `cut`.
    """
    if rng.random() >= settings.reshaped:
        return truth
    width, level = rng.uniform(0.5, 2.5) * pixel, rng.uniform(0.3, 0.7)
    changed = truth.copy()
    for tissue, other in ((3, 2), (1, 2)) if rng.random() < 0.5 else ((3, 2),):
        blurred = cv2.GaussianBlur((truth == tissue).astype(np.float32), (0, 0), width)
        both = (changed == tissue) | (changed == other)
        changed[both] = np.where(blurred[both] > level, tissue, other)
    return changed


def cut(rng, truth, pixel, settings):
    """Mask a brain less well, in some patches: too tight, or too loose.

    Parameters
    ----------
    truth : (h, w) ndarray of uint8
    pixel : float
        How many of its pixels make one of a patch.

    Returns
    -------
    truth : (h, w) ndarray of uint8
        0 also where brain was cut away.
    inside : (h, w) ndarray of bool
        What the mask holds: the brain, and with a loose mask what lies around it.
    """
    inside = truth > 0
    if rng.random() >= settings.rim or inside.all() or not inside.any():
        return truth, inside
    kind, width = rng.choice(3, p=[0.5, 0.25, 0.25]), rng.uniform(1.0, 4.0) * pixel
    if kind == 2:  # loose
        around = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3)
        return truth, around <= width
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    if kind == 1:  # eroded
        gone = depth <= max(pixel, width / 2)
    else:  # tight: what is neither grey nor white matter is left out
        gone = (depth <= width) & ((truth == 1) | (truth == UNLABELLED))
    truth = np.where(gone, 0, truth).astype(np.uint8)
    return truth, truth > 0


def make_up(rng, truth, inside, settings):
    """Give each tissue a brightness, and parts of it others.

    `truth` may name structures of deep grey matter and the brain stem (see `deep`): each has a
    brightness of its own.
    """
    means = brightness(rng, settings)
    table = np.zeros(256, np.float32)
    table[UNLABELLED] = rng.choice([means[0], rng.uniform(0, 1)])
    table[0] = rng.uniform(0, 1)  # what a loose mask holds beside the brain
    bright = dict(enumerate(means, start=1))
    bright |= _of_structures(rng, np.setdiff1d(truth, [0, *bright, UNLABELLED]), means)
    table[list(bright)] = list(bright.values())
    image = table[truth]
    for code, own_mean in bright.items():  # nor is tissue even
        own = truth == code
        if not own.any():
            continue
        if rng.random() < settings.parts:
            image += own * _parts(rng, own, means - own_mean, code % deep.STEP - 1)
        image += own * (
            smooth(rng, truth.shape, 6) * rng.uniform(0, 0.1)
            + rng.normal(0, rng.uniform(0, 0.06), truth.shape)
        )
    return np.clip(image, 0.01, None).astype(np.float32) * inside


def _of_structures(rng, codes, means):
    """Return how bright structures are that a map for drawing holds: a dict of float by code."""
    bright, names, usual = {}, list(deep.STRUCTURES), len(codes) and rng.random() < USUAL
    for code in codes:
        name, own = names[code // deep.STEP - 1], code % deep.STEP - 1
        other = TISSUES.index("WM" if name in deep.GREY else "GM")
        way = rng.uniform(*(WAY[name] if usual or name not in deep.GREY else LIKE_CORTEX))
        bright[int(code)] = means[own] + way * (means[other] - means[own])
    return bright


def _parts(rng, own, ways, tissue):
    """Return by how much parts of a tissue, by place and depth, are nearer to another's brightness.

    One or two parts, each a blob or a layer; together at most two thirds of the way. Their edges
    are soft: a sharp one is a border between tissues. `ways` (3,) is how far the tissues are in
    brightness.
    """
    change, far = np.zeros(own.shape, np.float32), ways * 2 / 3
    for _ in range(rng.integers(1, 3)):
        field = smooth(rng, own.shape, rng.integers(3, 9))
        depth = cv2.GaussianBlur(own.astype(np.float32), (0, 0), rng.uniform(2, 8))
        field = field + rng.uniform(-3, 3) * depth
        part = (field > np.quantile(field[own], rng.uniform(0.2, 0.9))).astype(np.float32)
        part = cv2.GaussianBlur(part, (0, 0), rng.uniform(2, 4))
        other = rng.choice([one for one in range(3) if one != tissue])
        change += part * rng.uniform(-0.15, 0.65) * ways[other]
    return np.clip(change, min(0, far.min()), max(0, far.max()))


def recolour(rng, image, inside, means, settings):
    """Bend the histogram of a real image, and give some the brightness of another contrast.

    Parameters
    ----------
    means : (3,) ndarray of float
        How bright CSF, GM and WM are in this brain; NaN where nobody knows.
    """
    apart = np.diff(np.sort(means)).min() > APART  # False with NaN
    if rng.random() < settings.repainted and apart:
        image = np.where(inside, _repainted(rng, image, means, settings), image)
    if rng.random() < settings.curves:
        knots = np.cumsum(rng.uniform(0.2, 1.0, 6))
        image = np.interp(
            image, np.linspace(0, 1, 7), np.concatenate([[0], knots / knots[-1]])
        ).astype(np.float32)
    return image ** np.float32(np.exp(rng.normal(0, settings.gamma)))


def _repainted(rng, image, means, settings):
    """Move the brightness of each tissue to where another contrast has it, in between linearly."""
    order = np.argsort(means)
    seen, wanted = means[order], brightness(rng, settings)[order]
    ends = rng.uniform(-0.15, 0.15, 2)
    seen = np.concatenate([[seen[0] - 0.3], seen, [seen[-1] + 0.3]])
    wanted = np.concatenate([[wanted[0] + ends[0]], wanted, [wanted[-1] + ends[1]]])
    return np.clip(np.interp(image, seen, wanted), 0.02, 1).astype(np.float32)


def degrade(rng, image, inside, settings):
    """Do what scanners do: bias field, blur, large pixels, noise, at times a filled background."""
    image = image * np.exp(smooth(rng, image.shape, 3) * rng.uniform(0, settings.bias))
    if rng.random() < settings.rim / 2:  # the mean of many brains fades out
        faded = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), rng.uniform(0.5, 2.5))
        image = image * np.clip(2 * faded - 1, 0, 1)
    if rng.random() < settings.blurred:
        image = cv2.GaussianBlur(image, (0, 0), *rng.uniform(0.3, 1.2, 2))
    if rng.random() < settings.coarse:
        h, w = image.shape
        size = np.rint(
            np.array([w, h]) / np.where(rng.random(2) < 0.5, 1, rng.uniform(1, 3, 2))
        ).astype(int)
        image = cv2.resize(
            cv2.resize(image, size, interpolation=cv2.INTER_AREA),
            (w, h),
            interpolation=cv2.INTER_LINEAR,
        )
    image = image * rng.uniform(0.75, 1.25)
    image = image + rng.normal(0, rng.uniform(0, settings.noise), image.shape)
    outside = 0.0
    if rng.random() < settings.background:
        outside = np.abs(rng.normal(rng.uniform(0, 0.5), rng.uniform(0, 0.2), image.shape))
    return np.clip(np.where(inside, np.clip(image, 0.004, None), outside), 0, 1).astype(np.float32)
