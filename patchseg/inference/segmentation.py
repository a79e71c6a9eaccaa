"""One image to its tissues: `patchseg.segment`, everything in memory, on the image's own grid."""

import platform
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from patchseg import __version__
from patchseg.core.errors import InputError
from patchseg.core.runtime import free_memory, peak_memory_mb, quiet
from patchseg.core.tissues import TISSUES
from patchseg.images import brain, grid
from patchseg.images.brain import read_mask
from patchseg.images.volume import name_of, read
from patchseg.inference import calibration, qc

BYTES_PER_PIXEL = (
    64  # of the resampled brain: probabilities of a view and their sum, entropies, image and mask
)
LIBRARIES = ("tensorflow", "keras", "numpy", "nibabel", "opencv-python-headless", "scipy")


@dataclass(frozen=True)
class Result:
    """What `segment` finds out about one image.

    Attributes
    ----------
    dseg : nibabel image, uint8
        0 background, 1 CSF, 2 GM, 3 WM.
    probseg : nibabel image, (x, y, z, 3) float32
        Probability of CSF, GM, WM; they sum to 1 inside the brain.
    uncertainty, disagreement : nibabel image, float32
        In [0, 1], see `views.Fused`.
    volumes : pandas.DataFrame
        A row for each tissue and for the brain: `volume_mm3` from labels, `probability_mm3` from
        probabilities, `low_mm3` and `high_mm3` from the views that say least and most, `share` of
        the brain.
    qc : pandas.DataFrame
        A row for each check: `check`, `value`, `good` (what is expected), `verdict` (good, look or
        bad), `reason`.
    provenance : dict
        Versions, sha256 sums, settings, seconds, peak memory.
    """

    dseg: nib.spatialimages.SpatialImage
    probseg: nib.spatialimages.SpatialImage
    uncertainty: nib.spatialimages.SpatialImage
    disagreement: nib.spatialimages.SpatialImage
    volumes: pd.DataFrame
    qc: pd.DataFrame
    provenance: dict

    @property
    def verdict(self):
        """The worst verdict of all checks: good, look or bad."""
        return qc.worst(self.qc)

    @property
    def reasons(self):
        """Why it is not good, in one string; empty if it is."""
        return "; ".join(self.qc[self.qc.verdict != "good"].reason)


def segment(
    image,
    mask=None,
    weights=None,
    *,
    volume=None,
    nan_as_background=False,
    head_check=True,
    n4=False,
    scales=(1.0,),
    tile=None,
    sharpen=True,
):
    """Segment a brain-extracted image into CSF, GM and WM, on its own grid.

    Parameters
    ----------
    image : nibabel image, str or Path
        Any orientation, voxel size and real type; see `images.volume.read`.
    mask : nibabel image, str or Path, optional
        Non-zero in the brain, on the grid of the image. Without it the non-zero voxels are the
        brain.
    weights : str or Path, optional
        Weights of one's own (``.weights.h5``); those of the package unless given.
    volume : int, optional
        Which volume of a 4D image, from 0.
    nan_as_background : bool
        Treat voxels that are NaN or infinite as background instead of refusing them.
    head_check : bool
        Refuse an image without a mask that looks like a whole head.
    n4 : bool
        Correct the bias field first (N4, Tustison 2010; needs the extra `ants`).
    scales : tuple of float
        Magnifications at which the network looks, 1 being the size at which it saw brains in
        training; several are averaged.
    tile : int, optional
        Let slices pass in overlapping tiles of this many pixels (a multiple of 32), where memory is
        short.
    sharpen : bool
        Let the image's own intensities move the borders (see `refine`), and, for an animal that the
        weights were adapted to, what its labels said (see `calibration`).

    Returns
    -------
    result : Result

    Raises
    ------
    InputError
        Naming file, value and mend.

    Examples
    --------
    >>> result = patchseg.segment(nib.load("sub-01_T1w.nii.gz"))  # doctest: +SKIP
    >>> nib.save(result.dseg, "sub-01_dseg.nii.gz")  # doctest: +SKIP
    """
    with quiet():
        from patchseg.images.bias import n4 as correct
        from patchseg.inference import networks

    started = time.monotonic()
    check_settings(scales, tile)
    name = name_of(image)
    source = read(image, volume, nan_as_background)
    data, affine = grid.ras(source)
    voxel_mm = grid.voxel_size_mm(affine)
    inside = brain.foreground(data, name) if mask is None else read_mask(mask, name, data, affine)
    box = brain.bounding_box(inside)
    if n4:
        data = correct(data, inside, voxel_mm)
    with quiet():
        network = networks.load(weights)
    ready = brain.normalise(data, inside, network.top, name)
    profile = brain.depth_profile(ready, inside, voxel_mm)
    if mask is None and head_check:
        brain.check_no_head(inside, profile, name)
    size_mm = brain.size_mm(inside, voxel_mm)
    _check_size(name, ready[box].shape, voxel_mm, size_mm / network.brain_pixels / max(scales))
    fused = _fused(
        network,
        ready[box],
        inside[box],
        voxel_mm,
        [size_mm / network.brain_pixels / scale for scale in scales],
        tile,
    )
    if sharpen:
        fused = (
            calibration.with_image(network, ready[box], fused[0], inside[box], voxel_mm),
            *fused[1:],
        )
    volumes = _volumes(fused, inside[box], voxel_mm)
    checks = qc.table(ready, inside, voxel_mm, profile, fused, network)
    labels = (fused[0].argmax(axis=-1) + 1).astype(np.uint8) * inside[box]
    return Result(
        dseg=_own_grid(labels, source, box, data.shape),
        probseg=_own_grid(fused[0], source, box, data.shape),
        uncertainty=_own_grid(fused[1], source, box, data.shape),
        disagreement=_own_grid(fused[2], source, box, data.shape),
        volumes=volumes,
        qc=checks,
        provenance=_provenance(network, size_mm, scales, sharpen, started),
    )


def _check_size(name, shape, voxel_mm, pixel_mm):
    """Refuse a brain whose box would be huge at the network's pixel size.

    A mask of scattered voxels, or a large scale.
    """
    pixels = [max(1.0, n * size / pixel_mm) for n, size in zip(shape, voxel_mm, strict=True)]
    need, free = float(np.prod(pixels)) * BYTES_PER_PIXEL, free_memory()
    if need > free:
        shown = " x ".join(f"{n:.0f}" for n in pixels)
        raise InputError(
            f"{name}: at this scale the brain's box takes {shown} pixels, about {need / 2**30:.3g}"
            f" GiB of memory, {free / 2**30:.3g} GiB are free; check that the mask is one piece, or"
            " use a smaller --scale"
        )


def check_settings(scales, tile):
    """Raise InputError if a scale or the tile is out of range."""
    if not scales or not all(0.1 <= scale <= 10 for scale in scales):
        raise InputError(
            f"scale {', '.join(map(str, scales)) or '(none)'}: a magnification lies between 0.1 and"
            " 10; 1 is the usual one"
        )
    if tile is not None and (tile < 64 or tile % 32):
        raise InputError(
            f"tile {tile}: a tile has at least 64 pixels, and a multiple of 32; use for example 256"
        )


def _fused(network, image, mask, voxel_mm, pixels_mm, tile):
    """Average over the scales.

    Probabilities, uncertainty, disagreement, outside, and each view's shares.
    """
    from patchseg.inference import views

    looks = [
        views.fuse(network.model, image, mask, voxel_mm, pixel_mm, tile) for pixel_mm in pixels_mm
    ]
    if len(looks) == 1:
        one = looks[0]
        return (
            one.probabilities,
            one.uncertainty,
            one.disagreement,
            one.outside,
            list(one.shares.values()),
        )
    mean = [
        np.mean([getattr(look, name) for look in looks], axis=0)
        for name in ("probabilities", "uncertainty", "disagreement", "outside")
    ]
    return *mean, [share for look in looks for share in look.shares.values()]


def _volumes(fused, mask, voxel_mm):
    probabilities, *_, shares = fused
    voxel_mm3, total = float(np.prod(voxel_mm)), int(mask.sum())
    counts = np.bincount((probabilities.argmax(axis=-1) + 1)[mask], minlength=4)[1:]
    sums = probabilities.sum(axis=(0, 1, 2), dtype=np.float64)
    each = np.array([*shares, sums / total]) * total
    rows = [
        (
            tissue,
            counts[i] * voxel_mm3,
            sums[i] * voxel_mm3,
            np.nanmin(each[:, i]) * voxel_mm3,
            np.nanmax(each[:, i]) * voxel_mm3,
            counts[i] / total,
        )
        for i, tissue in enumerate(TISSUES)
    ]
    rows.append(("brain", *[total * voxel_mm3] * 4, 1.0))
    return pd.DataFrame(
        rows, columns=["tissue", "volume_mm3", "probability_mm3", "low_mm3", "high_mm3", "share"]
    )


def _own_grid(part, source, box, shape):
    whole = np.zeros((*shape, *part.shape[3:]), part.dtype)
    whole[box] = part
    return grid.like(whole, source)


def _provenance(network, size_mm, scales, sharpen, started):
    return {
        "patchseg": __version__,
        "weights": network.path.name,
        "weights_sha256": network.card["sha256"],
        "pixel_mm": [round(size_mm / network.brain_pixels / scale, 4) for scale in scales],
        "brain_size_mm": round(size_mm, 2),
        "sharpened": sharpen,
        "calibrated": sharpen and network.calibrates(size_mm),
        "libraries": (
            {"python": platform.python_version()}
            | {name: metadata.version(name) for name in LIBRARIES}
        ),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seconds": round(time.monotonic() - started, 2),
        "peak_memory_mb": peak_memory_mb(),
    }
