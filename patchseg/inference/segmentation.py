"""One image to its tissues: `patchseg.segment`, everything in memory, on the image's own grid."""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from patchseg import __version__
from patchseg.core import memory, runtime
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES
from patchseg.images import brain, grid
from patchseg.images.bias import n4 as correct
from patchseg.images.volume import name_of, read
from patchseg.inference import mask as masks
from patchseg.inference import networks, qc, resemblance, sharpening, views
from patchseg.inference.request import request
from patchseg.inference.result import Result

GIVEN, FOREGROUND = "the mask that was given", "what is not background"
FOUND = "found by patchseg in the head"
"""Where the brain of a result comes from."""
BYTES_PER_PIXEL = 64
"""Of the resampled brain: probabilities of a view and their sum, entropies, image and mask."""


def segment(
    image,
    mask=None,
    weights=None,
    *,
    volume=None,
    nan_as_background=False,
    extract="auto",
    brain_weights=None,
    n4=False,
    scales=(1.0,),
    tile=None,
    sharpen=True,
    threads=None,
    precision="auto",
):
    """Segment the image of a brain, or of a whole head, into CSF, GM and WM, on its own grid.

    Parameters
    ----------
    image : nibabel image, str or Path
        Any orientation, voxel size and real type; see `images.volume.read`.
    mask : nibabel image, str or Path, optional
        Non-zero in the brain, on the grid of the image; one of shares, such as a probability map,
        is cut at 0.5. Without it see `extract`.
    weights : str or Path, optional
        Weights of one's own (``.weights.h5``), or their name (see `library`); those of the package
        unless given.
    volume : int, optional
        Which volume of a 4D image, from 0.
    nan_as_background : bool
        Treat voxels that are NaN or infinite as background instead of refusing them.
    extract : {'auto', 'always', 'never'}
        Whether the brain is looked for in an image without a mask: 'auto' does so if the image
        shows a head (see `mask.extract`); else the brain is what is not background.
    brain_weights : str or Path, optional
        Of a network that finds the brain in a head; those of the package unless given.
    n4 : bool
        Correct the bias field first (N4, Tustison 2010; needs the extra `ants`).
    scales : tuple of float
        Magnifications at which the network looks, 1 being the size at which it saw brains in
        training; several are averaged.
    tile : int, optional
        Let slices pass in overlapping tiles of this many pixels (a multiple of 32), where memory is
        short.
    sharpen : bool
        Let the image's own intensities move the borders (see `refine`), then deep grey matter (see
        `deep_grey`), and what labels said of the borders: of an animal that the weights were
        adapted to, or of others (see `calibration`).
    threads : int, optional
        Threads that compute; those of the libraries, usually one a core, unless given. TensorFlow
        takes the number when it starts in a process and keeps it (see `runtime.at_most`).
    precision : {'auto', 'float32', 'mixed_bfloat16'}
        In which the network computes; 'auto' is bfloat16 where the processor has it (see
        `networks.load`). The result's `provenance` tells what it was.

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
    started = time.monotonic()
    check_settings(scales, tile, extract)
    with runtime.at_most(threads):
        asked = request(
            image,
            mask,
            weights,
            volume=volume,
            extract=extract,
            brain_weights=brain_weights,
            n4=n4,
            scales=scales,
            tile=tile,
            sharpen=sharpen,
            precision=precision,
        )
        looks = extract, brain_weights, precision
        scan = _scan(image, mask, volume, nan_as_background, *looks)
        if n4:
            scan = replace(scan, data=correct(scan.data, scan.mask, scan.voxel_mm))
        network = networks.load(weights, precision)
        ready = brain.normalise(scan.data, scan.mask, network.top, scan.name)
        profile = brain.depth_profile(ready, scan.mask, scan.voxel_mm)
        fused, whose = _fused(network, scan, ready, scales, tile), ""
        if sharpen:
            fused, whose = _sharpened(network, scan, ready, fused)
        checks = qc.table(scan.mask, scan.voxel_mm, profile, fused, network)
        if scan.found:
            checks = qc.joined(masks.table(scan.found, scan.size_mm), checks)
        if scan.kept < 1:
            checks = qc.joined(masks.shares(scan.kept), checks)
        seen = resemblance.look(ready, scan.mask, scan.size_mm, scan.voxel_mm, profile)
        made = _provenance(network, scan, scales, precision, started)
        made |= {"sharpened": sharpen, "deep_grey": sharpen and network.deep}
        made |= {"calibrated": whose or False, "look": seen}
    return Result(
        **_images(scan, fused),
        volumes=_volumes(fused, scan.inside, scan.voxel_mm),
        qc=checks,
        provenance=made,
        request=asked,
        image=str(image) if isinstance(image, str | Path) else image.get_filename(),
    )


@dataclass(frozen=True)
class _Scan:
    """An image that was read: data and mask in RAS+ order, and the brain's box."""

    name: str
    source: nib.spatialimages.SpatialImage
    data: np.ndarray
    mask: np.ndarray
    voxel_mm: tuple
    box: tuple
    found: object = None  # what `mask.find` said of it, if the brain was looked for
    brain: str = GIVEN
    kept: float = 1.0  # of a mask of shares (see `brain.read_mask`)

    @property
    def inside(self):
        """The mask in the brain's box."""
        return self.mask[self.box]

    @property
    def size_mm(self):
        """The brain's size (see `brain.size_mm`)."""
        return brain.size_mm(self.mask, self.voxel_mm)


def _scan(image, mask, volume, fill, extract, brain_weights, precision):
    name, source = name_of(image), read(image, volume, fill)
    data, affine = grid.ras(source)
    voxel_mm, found, how, kept = grid.voxel_size_mm(affine), None, GIVEN, 1.0
    if mask is not None:
        inside, kept = brain.read_mask(mask, name, data, affine)
    else:
        inside, found = masks.inside(data, voxel_mm, name, extract, precision, brain_weights)
        how = FOUND if found else FOREGROUND
    box = brain.bounding_box(inside)
    return _Scan(name, source, data, inside, voxel_mm, box, found, how, kept)


def _check_size(name, shape, voxel_mm, pixel_mm):
    """Refuse a brain whose box would be huge at the network's pixel size.

    That is a mask of scattered voxels, or a large scale.
    """
    pixels = [max(1.0, n * size / pixel_mm) for n, size in zip(shape, voxel_mm, strict=True)]
    need, free = float(np.prod(pixels)) * BYTES_PER_PIXEL, memory.free_memory()
    if need > free:
        shown = " x ".join(f"{n:.0f}" for n in pixels)
        raise InputError(
            f"{name}: at this scale the brain's box takes {shown} pixels, about {need / 2**30:.3g}"
            f" GiB of memory, {free / 2**30:.3g} GiB are free; check that the mask is one piece, or"
            " use a smaller --scale"
        )


def check_settings(scales, tile, extract="auto"):
    """Raise InputError if a scale or the tile is out of range, or `extract` is unknown."""
    masks.check_choice(extract)
    if not scales or not all(0.1 <= scale <= 10 for scale in scales):
        raise InputError(
            f"scale {', '.join(map(str, scales)) or '(none)'}: a magnification lies between 0.1 and"
            " 10; 1 is the usual one"
        )
    if tile is not None and (tile < 64 or tile % 32):
        raise InputError(
            f"tile {tile}: a tile has at least 64 pixels, and a multiple of 32; use for example 256"
        )


def _fused(network, scan, image, scales, tile):
    """Look at all scales and average what was seen."""
    pixels_mm = [scan.size_mm / network.brain_pixels / scale for scale in scales]
    image = image[scan.box]
    _check_size(scan.name, image.shape, scan.voxel_mm, min(pixels_mm))
    return views.mean(
        [
            views.fuse(network.model, image, scan.inside, scan.voxel_mm, pixel_mm, tile)
            for pixel_mm in pixels_mm
        ]
    )


def _sharpened(network, scan, image, fused):
    probabilities, whose = sharpening.calibrated(
        network, image[scan.box], fused.probabilities, scan.inside, scan.voxel_mm
    )
    return replace(fused, probabilities=probabilities), whose


def _volumes(fused, mask, voxel_mm):
    voxel_mm3, total = float(np.prod(voxel_mm)), int(mask.sum())
    counts = np.bincount(fused.labels[mask], minlength=4)[1:]
    sums = fused.probabilities.sum(axis=(0, 1, 2), dtype=np.float64)
    each = np.array([*fused.shares, sums / total]) * total
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


def _images(scan, fused):
    """Return the images of a `Result`, on the grid of the image."""
    parts = {
        "dseg": fused.labels,
        "probseg": fused.probabilities,
        "uncertainty": fused.uncertainty,
        "disagreement": fused.disagreement,
    }
    return {name: _own_grid(part, scan) for name, part in parts.items()}


def _own_grid(part, scan):
    whole = np.zeros((*scan.data.shape, *part.shape[3:]), part.dtype)
    whole[scan.box] = part
    return grid.like(whole, scan.source)


def _provenance(network, scan, scales, precision, started):
    return {
        "patchseg": __version__,
        "weights": network.path.name,
        "weights_sha256": network.card["sha256"],
        "brain": scan.brain,
        "pixel_mm": [round(scan.size_mm / network.brain_pixels / scale, 4) for scale in scales],
        "brain_size_mm": round(scan.size_mm, 2),
        **runtime.computing(precision),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seconds": round(time.monotonic() - started, 2),
        "peak_memory_mb": memory.peak_memory_mb(),
    }
