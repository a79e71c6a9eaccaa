"""What the labelled voxels of an animal say of the network's answers and the image's intensities.

A network that never saw the animal is wrong in a regular way: its borders lie too far in or out, a
tissue is too dark for it. A few hundred labelled voxels tell how. Logistic regression (multinomial,
on the voxel's `features` and their products) learns it in a second or two. It starts from the
probabilities that are there and moves them only as far as the labels ask for: few labels move them
little. It has no bias, so that how much of each tissue somebody chose to label counts little. It
holds for brains of about the same size; other brains are left as they are.

What the labels of one animal say helps others a little, too: the network and the mixture of
Gaussians are wrong in the same way on many brains. So the cards of networks for any species hold a
calibration of several animals (see `patchseg.adaptation.general`). An animal's own labels start
from it.
"""

import numpy as np
from scipy import optimize, special

from patchseg import metrics
from patchseg.core.tissues import TISSUES
from patchseg.inference import features

# The form of the model: what a card's numbers mean depends on these and on `features`. How it is
# fitted stands in params.yaml, section adapt.calibration.
LEAST_SURE = 0.02
"""A tissue's probability before the labels speak is at least this: they can still choose it."""
TERMS = features.COUNT + features.COUNT * (features.COUNT + 1) // 2
"""Features and their products."""
FARTHEST = 4.0
"""Standard deviations from the labelled voxels' mean; what lies farther counts as this far."""
MATTER = (TISSUES.index("GM") + 1, TISSUES.index("WM") + 1)
"""Values of grey and white matter in label images."""
RARE = 0.25
"""Share of the labels. Where grey or white matter has less, the penalty is as many times higher: a
thin tissue's few voxels say little of the rest of it."""
UNLIKE = 0.3
"""At most this share of a brain lies farther than `FARTHEST` from what is labelled; beyond, the
labels are of too small a part of it, as a slice at its front or back."""
LOST = 0.01
"""Dice that half of the labels may cost the other half; the whole teaches more."""
CHUNK = 100_000
"""Voxels at a time, so that the features need little memory."""
LEAST_CONTRAST = 0.1
"""Grey and white matter differ by this much where other animals' labels hold (see
`features.contrast`): in mice and newborns, where those do harm, they do not, as far as the
network's own answers tell."""


def fit(found, sharp, labels, settings, seed=0, slices=1, whole=False):
    """Learn from labelled voxels.

    Parameters
    ----------
    found : (n, 19) ndarray of float32
        `features.describe` of the labelled voxels.
    sharp : (n, 3) ndarray of float32
        Their probabilities so far.
    labels : (n,) ndarray of uint8
        1 CSF, 2 GM, 3 WM.
    settings : patchseg.params.Calibration
    seed : int
    slices : int
        On so many slices they lie; more of them weaken the penalty.
    whole : bool
        Whether whole brains are labelled, as in `patchseg.adaptation.general`. Then how common each
        tissue is counts, too, as a bias.

    Returns
    -------
    calibration : dict of lists, or None
        For `apply`, and for a card. None if there is too little to learn from: fewer than
        `least_voxels`, or one tissue only.
    """
    tissues = np.unique(labels)
    if len(labels) < settings.least_voxels or len(tissues) < 2:
        return None
    rows = np.random.default_rng(seed).permutation(len(labels))[: settings.most_voxels]
    center = found[rows].mean(axis=0, dtype=float)
    scale = np.maximum(found[rows].std(axis=0, dtype=float), settings.least_spread)
    terms = _terms(found[rows], center, scale)
    middle, spread = terms.mean(axis=0), np.maximum(terms.std(axis=0), settings.least_spread)
    truth, start = labels[rows, None] == tissues, _scores(sharp[rows][:, tissues - 1])
    ridge = settings.ridge * np.sqrt(len(rows) / slices) * max(1, RARE / _rarest(labels))
    weights, bias = _regression((terms - middle) / spread, truth, start, ridge, whole)
    weights = weights.T / spread
    bias = bias - weights @ middle
    numbers = {"center": center, "scale": scale, "weights": weights, "bias": bias}
    return {
        "tissues": [TISSUES[n - 1] for n in tissues],
        **{name: np.round(value, 6).tolist() for name, value in numbers.items()},
    }


def _rarest(labels):
    """Return the share of grey or white matter in labels, of which there is less, if of both."""
    shares = [np.mean(labels == tissue) for tissue in MATTER]
    return min(shares) or 1.0


def unlike(calibration, found):
    """Return the share of voxels that lie farther than `FARTHEST` from those labelled.

    Parameters
    ----------
    calibration : dict of lists
        Of `fit`.
    found : (n, 19) ndarray of float32
        Of the voxels of a brain.
    """
    away = np.abs((found - calibration["center"]) / calibration["scale"])
    return float((away > FARTHEST).any(axis=1).mean())


def helps(found, sharp, usual, labels, first, settings, seed=0, slices=1):
    """Whether what one half of the labels teaches mends the other half, both ways.

    Where a tissue is thin, as white matter in a mouse's slice, the regression can lose it.

    Parameters
    ----------
    found, sharp, labels, settings, seed, slices
        As for `fit`.
    usual : (n, 3) ndarray of float32
        The probabilities that would stay.
    first : (n,) ndarray of bool
        Which voxels are the first half.

    Returns
    -------
    helps : bool
        Whether the mean Dice of grey and white matter (of all tissues, if one of these is not
        labelled) falls by less than `LOST`. False where a half is too little to learn from, so that
        nothing tells. A slice holds too little CSF to tell.
    """
    few = settings.model_copy(update={"most_voxels": min(settings.most_voxels, 10000)})
    after = np.zeros(len(labels), np.uint8)
    for half in (first, ~first):
        learned = fit(found[half], sharp[half], labels[half], few, seed, slices)
        if learned is None:
            return False
        after[~half] = apply(learned, found[~half], sharp[~half]).argmax(axis=1) + 1
    before = usual.argmax(axis=1) + 1
    tissues = np.unique(labels)
    tissues = MATTER if np.isin(MATTER, tissues).all() else tissues
    gained = [
        metrics.dice(labels == tissue, after == tissue)
        - metrics.dice(labels == tissue, before == tissue)
        for tissue in tissues
    ]
    return float(np.mean(gained)) > -LOST


def _regression(terms, truth, start, ridge, biased):
    """Multinomial logistic regression that starts from scores that are there.

    Parameters
    ----------
    terms : (n, t) ndarray of float
    truth : (n, k) ndarray of bool
    start : (n, k) ndarray of float
    ridge : float
        Penalty on the squared weights, not on the bias.
    biased : bool
        Whether there is a bias; otherwise it is 0.

    Returns
    -------
    weights : (t, k) ndarray
    bias : (k,) ndarray
    """
    size, count = (terms.shape[1], truth.shape[1]), truth.shape[1]

    def loss(numbers):
        weights, bias = numbers[:-count].reshape(size), numbers[-count:]
        score = start + terms @ weights + bias
        wrong = special.softmax(score, axis=1) - truth
        value = -special.log_softmax(score, axis=1)[truth].sum() + ridge / 2 * (weights**2).sum()
        slope = [(terms.T @ wrong + ridge * weights).ravel(), biased * wrong.sum(axis=0)]
        return value, np.concatenate(slope)

    begin, options = np.zeros((size[0] + 1) * count), {"maxiter": 200}
    numbers = optimize.minimize(loss, begin, jac=True, method="L-BFGS-B", options=options).x
    return numbers[:-count].reshape(size), numbers[-count:]


def apply(calibration, found, sharp):
    """Return the probabilities of voxels by a calibration.

    Those of a tissue that was not labelled stay as they are.

    Parameters
    ----------
    calibration : dict of lists
        Of `fit`; as ``start`` it may hold another one, which is applied before it.
    found : (n, 19) ndarray of float32
        Their `features.describe`.
    sharp : (n, 3) ndarray of float32
        Their probabilities so far.

    Returns
    -------
    probabilities : (n, 3) ndarray of float32
    """
    if calibration.get("start"):
        sharp = apply(calibration["start"], found, sharp)
    center, scale, weights, bias = (
        np.array(calibration[name], np.float32) for name in ("center", "scale", "weights", "bias")
    )
    known = [TISSUES.index(tissue) for tissue in calibration["tissues"]]
    alone, pairs = weights[:, : len(center)], np.triu_indices(len(center))
    together = np.zeros((len(known), len(center), len(center)), np.float32)
    together[:, *pairs] = weights[:, len(center) :]
    result = sharp.copy()
    for start in range(0, len(found), CHUNK):
        part = slice(start, start + CHUNK)
        near = _standardised(found[part], center, scale)
        score = _scores(sharp[part][:, known]) + near @ alone.T + bias
        for at, products in enumerate(together):  # as `_terms` @ weights, without the products
            score[:, at] += np.einsum("ij,ij->i", near @ products, near)
        rest = 1 - np.delete(sharp[part], known, axis=1).sum(axis=1, keepdims=True)
        result[part, known] = rest * special.softmax(score, axis=1)
    return result


def _scores(probabilities):
    """Return the logarithms of probabilities, none of them too small."""
    return np.log(np.maximum(probabilities, LEAST_SURE))


def _standardised(found, center, scale):
    return np.clip((found - center) / scale, -FARTHEST, FARTHEST)


def _terms(found, center, scale):
    """Return standardised features, and their products with one another."""
    near = _standardised(found, center, scale)
    left, right = np.triu_indices(near.shape[1])
    return np.concatenate([near, near[:, left] * near[:, right]], axis=1)
