"""The network's answer, sharpened by how bright the tissues are in this image.

A network learns where a tissue lies, and at which brightness its training labels put the border. In
another animal, sequence or scanner that brightness differs. So the network's probabilities become
the prior of a mixture of Gaussians, fitted to this image by expectation and maximisation together
with a smooth bias field. Ashburner and Friston (2005) do so with an atlas as the prior. CSF has two
of them, one darker and one brighter than grey matter, told apart anew in each round: in a T2w the
ventricles are bright, and the brain's rim, where the mask's zeros mix in, is dark.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

ROUNDS = 5
"""Of expectation and maximisation."""
SMOOTH = 0.1
"""Width of the bias field's smoothing, as a share of the brain's size."""
FLOOR = 1e-3
"""What the network holds for impossible is this probable: clear intensities can overrule it."""
NOISE = 0.02
"""Standard deviation of the intensities, at least; an image without contrast tells nothing."""
SAFETY = 2.0
"""Variance of what is taken for noise, as a multiple of the noise's own."""
OF = (0, 0, 1, 2)
"""Which tissue each Gaussian is of."""
_NEIGHBOURS = ndimage.generate_binary_structure(3, 1).astype(np.float32) / 6
_NEIGHBOURS[1, 1, 1] = 0
ENOUGH = 200_000
"""Voxels that the mixture is fitted to, about."""


def refine(image, probabilities, mask, voxel_mm):
    """Return probabilities that agree with the image's intensities as well as with the network.

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
    probabilities : (x, y, z, 3) ndarray of float32
        Of the network: CSF, GM, WM. They sum to 1 in the mask.
    mask : (x, y, z) ndarray of bool
        The brain.
    voxel_mm : tuple of three float

    Returns
    -------
    refined : (x, y, z, 3) ndarray of float32
        They sum to 1 in the mask and are 0 outside.

    Notes
    -----
    The tissues share one standard deviation. With one each, the widest takes what lies far from
    all: vessels, for example.
    """
    image = _denoised(image, mask)
    count = int(mask.sum())
    step = max(1, round((count / ENOUGH) ** (1 / 3)))
    thin = tuple(
        slice(step // 2 if n > step else 0, None, step if n >= 16 * step else 1) for n in mask.shape
    )
    width = [SMOOTH * (count * np.prod(voxel_mm)) ** (1 / 3) / edge for edge in voxel_mm]  # voxels
    mixture, ratio, block = _fit(
        image[thin],
        probabilities[thin],
        mask[thin],
        [w / part.step for w, part in zip(width, thin, strict=True)],
    )
    places = [
        (np.arange(n, dtype=np.float32) - part.start) / part.step
        for n, part in zip(mask.shape, thin, strict=True)
    ]
    even = image[mask] / _at(ratio, places, block)[mask]
    refined = np.zeros_like(probabilities)
    refined[mask] = _tissues(_posterior(_logarithms(probabilities[mask]), even, mixture)).T
    return refined


def _denoised(image, mask):
    """Average each voxel with its neighbours as far as they differ by noise only (Lee 1980)."""
    share = np.maximum(ndimage.uniform_filter(mask.astype(np.float32), 3), 1e-3)
    mean = ndimage.uniform_filter(image, 3) / share
    variance = ndimage.uniform_filter(image * image, 3) / share - mean * mean
    inner = ndimage.binary_erosion(mask)
    if not inner.any():
        return image
    detail = (image - ndimage.convolve(image, _NEIGHBOURS))[inner]
    noise = SAFETY * (1.4826 * np.median(np.abs(detail - np.median(detail)))) ** 2 / (1 + 1 / 6)
    kept = np.maximum(variance - noise, 0) / np.maximum(variance, noise + 1e-9)
    return (mean + kept * (image - mean)) * mask


@dataclass(frozen=True)
class _Mixture:
    """Four Gaussians: CSF that is darker than grey matter, CSF that is brighter, GM and WM.

    `shares` (4,): of its tissue. `means` (4,). The variance is the same for all.
    """

    shares: np.ndarray
    means: np.ndarray
    variance: float


def _fit(image, probabilities, mask, width):
    """Fit the mixture and the bias field.

    Returns
    -------
    mixture : _Mixture
    ratio : (i, j, k) ndarray of float32
        The bias field on a coarse grid.
    block : list of three int
        Voxels along the edges of a block of that grid.
    """
    prior, seen, field = probabilities[mask], image[mask], np.float32(1)
    logarithms, found = _logarithms(prior), prior.T
    block = [max(1, min(round(w / 2), n)) for w, n in zip(width, mask.shape, strict=True)]
    blur = [w / b for w, b in zip(width, block, strict=True)]
    places = [np.arange(n, dtype=np.float32) for n in mask.shape]
    for _ in range(ROUNDS):
        even = seen / field
        mixture = _maximised(found, even)
        parts = _posterior(logarithms, even, mixture)
        found, sums = _tissues(parts), []
        for values in (seen, mixture.means @ parts):
            whole = np.zeros(mask.shape, np.float32)
            whole[mask] = values
            sums.append(ndimage.gaussian_filter(_sums(whole, block), blur) + 1e-3)
        ratio = np.clip(sums[0] / sums[1], 0.2, 5).astype(np.float32)
        field = _at(ratio, places, block)[mask]
    return mixture, ratio, block


def _maximised(found, even):
    """Return the mixture that fits voxels best, given each tissue's share in them (3, n)."""
    csf, grey, white = found
    border = (grey @ even + 1e-3 * even.mean()) / (grey.sum() + 1e-3)
    dark = even < border
    parts = np.stack([csf * dark, csf * ~dark, grey, white])
    weights = parts.sum(axis=1) + 1e-3
    means = ((parts @ even + 1e-3 * even.mean()) / weights).astype(np.float32)
    spread = sum(float(part @ (even - mean) ** 2) for part, mean in zip(parts, means, strict=True))
    shares = (weights / _tissues(weights)[list(OF)]).astype(np.float32)
    return _Mixture(shares, means, spread / len(even) + NOISE**2)


def _tissues(parts):
    """Add up the Gaussians (4, ...) of each tissue: (3, ...)."""
    return np.stack([parts[0] + parts[1], parts[2], parts[3]])


def _logarithms(prior):
    """Return the logarithms (3, n) of probabilities (n, 3), none of them impossible."""
    return np.log(np.maximum(prior.T, FLOOR))


def _posterior(logarithms, even, mixture):
    """Return each Gaussian's share (4, n) in voxels of this brightness."""
    found = np.empty((len(OF), len(even)), np.float32)
    for k, tissue in enumerate(OF):
        found[k] = logarithms[tissue] + np.log(mixture.shares[k])
        found[k] -= 0.5 / np.float32(mixture.variance) * (even - mixture.means[k]) ** 2
    found = np.exp(found - found.max(axis=0))
    return found / found.sum(axis=0)


def _sums(values, block):
    """Sum over blocks of voxels."""
    for axis, edge in enumerate(block):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], edge), axis=axis)
    return values


def _at(coarse, places, block):
    """Look up a grid of blocks of voxels, linearly, at all places along each axis, in voxels."""
    for axis, (at, edge) in enumerate(zip(places, block, strict=True)):
        last = coarse.shape[axis] - 1
        found = np.clip((at + 0.5) / edge - 0.5, 0, last)
        low = np.minimum(found.astype(int), max(0, last - 1))
        share = np.reshape(
            found - low.astype(np.float32), [-1 if n == axis else 1 for n in range(3)]
        )
        lower, upper = coarse.take(low, axis), coarse.take(np.minimum(low + 1, last), axis)
        coarse = lower + share * (upper - lower)
    return coarse
