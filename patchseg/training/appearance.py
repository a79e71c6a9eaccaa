"""How a patch looks: made up from labels, or a real image bent; then what scanners do to images.

In each function `rng` is a numpy.random.Generator and `settings` a `patchseg.params.Draw`; images
are (h, w) float32 in [0, 1], labels (h, w) uint8.
"""

import cv2
import numpy as np

from patchseg.core.tissues import UNLABELLED


def smooth(rng, shape, knots):
    """Return a smooth random field (h, w) in [-1, 1], of so many knots along each edge."""
    field = cv2.resize(
        rng.uniform(-1, 1, (knots, knots)).astype(np.float32),
        shape[::-1],
        interpolation=cv2.INTER_CUBIC,
    )
    return np.clip(field, -1, 1)


def make_up(rng, truth, settings):
    """Give each tissue a brightness: in the order of T1w, of T2w, or in any order."""
    kind = rng.choice(3, p=np.array(settings.orders) / np.sum(settings.orders))
    if kind < 2:
        dark, middle, bright = map(rng.uniform, (0.02, 0.35, 0.7), (0.4, 0.75, 1.0))
        middle = np.clip(middle, dark + 0.1, bright - 0.1)
        means = [dark, middle, bright] if kind == 0 else [bright, middle, dark]
    else:
        means = rng.permutation(
            np.linspace(rng.uniform(0.05, 0.3), rng.uniform(0.7, 1.0), 3)
            + rng.uniform(-0.1, 0.1, 3)
        )
    table = np.zeros(256, np.float32)
    table[1:4], table[UNLABELLED] = means, rng.choice([means[0], rng.uniform(0, 1)])
    image = table[truth]
    for tissue in (1, 2, 3):  # tissue is not even: deep grey matter is not cortex
        image += (truth == tissue) * (
            smooth(rng, truth.shape, 6) * rng.uniform(0, 0.1)
            + rng.normal(0, rng.uniform(0, 0.06), truth.shape)
        )
    return np.clip(image, 0.01, None).astype(np.float32) * (truth > 0)


def recolour(rng, image, inside, settings):
    """Bend the histogram of a real image, and turn some around."""
    if rng.random() < settings.inverted:
        image = np.where(inside, np.clip(rng.uniform(0.9, 1.1) - image, 0.02, 1), image)
    if rng.random() < settings.curves:
        knots = np.cumsum(rng.uniform(0.2, 1.0, 6))
        image = np.interp(
            image, np.linspace(0, 1, 7), np.concatenate([[0], knots / knots[-1]])
        ).astype(np.float32)
    return image ** np.float32(np.exp(rng.normal(0, settings.gamma)))


def degrade(rng, image, inside, settings):
    """Do what scanners do: bias field, blur, large pixels, noise, at times a filled background."""
    image = image * np.exp(smooth(rng, image.shape, 3) * rng.uniform(0, settings.bias))
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
