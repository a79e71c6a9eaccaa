"""A whole head to its brain: `patchseg.extract`, everything in memory, on the image's own grid."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from patchseg import __version__, checkpoint
from patchseg.core import memory, runtime
from patchseg.core.errors import InputError
from patchseg.images import brain, grid
from patchseg.images.volume import name_of, read
from patchseg.inference import border, extraction, library, networks, qc
from patchseg.inference.request import request

HEAD = 0.25
"""Share of the tissue that is no brain above which an image shows a head (see `Found.other`). By
networks that never saw the species, the zoo's brains have .13 at most, its heads .71 at least."""
EXTRACT = ("auto", "always", "never")
THIN = 0.3
"""Of its longest edge: a stack that is thinner is not looked at; no network learned such."""
FULL = 0.9
"""Share of voxels above which a stack has no empty background."""
MEND = "give a brain mask (--mask), or, if the brain is extracted already, say --extract never"
# Limits as in `qc`: look below, look above, bad below, bad above
AGREEMENT = (0.85, np.inf, 0.6, np.inf)
STEADINESS = (0.93, np.inf, 0.7, np.inf)
SHARPNESS = (0.93, np.inf, 0.8, np.inf)
PIECES = (0, 1.5, 0, np.inf)
SHARES = (1.0, np.inf, 0, np.inf)


@dataclass(frozen=True)
class Mask:
    """The brain of an image.

    Attributes
    ----------
    mask : nibabel image, uint8
        1 in the brain.
    probability, uncertainty : nibabel image, float32 in [0, 1]
        That a voxel is brain, and the entropy of it.
    brain : nibabel image
        The image, 0 outside the brain.
    qc : pandas.DataFrame
        A row for each check, as in `result.Result`.
    head : bool
        Whether the image shows more than a brain.
    provenance, request : dict
        What computed it, and what it was made from (see `result.Result`).
    image : str or None
        The path of the image.
    """

    mask: nib.spatialimages.SpatialImage
    probability: nib.spatialimages.SpatialImage
    uncertainty: nib.spatialimages.SpatialImage
    brain: nib.spatialimages.SpatialImage
    qc: pd.DataFrame
    head: bool
    provenance: dict
    request: dict
    image: str | None = None

    def __repr__(self):
        """Name the image, its verdict and the volume."""
        size = self.provenance["brain_size_mm"] ** 3
        return f"<Mask of {self.image or 'an image'}: {self.verdict}; {size:.4g} mm³>"

    @property
    def verdict(self):
        """The worst verdict of all checks: good, look or bad."""
        return qc.worst(self.qc)

    @property
    def reasons(self):
        """Why it is not good, in one string; empty if it is."""
        return qc.reasons(self.qc)


def extract(
    image,
    weights=None,
    *,
    brain_number=None,
    always=False,
    volume=None,
    nan_as_background=False,
    threads=None,
    precision="auto",
):
    """Find the brain in an image of a whole head, of any animal, on the image's own grid.

    Parameters
    ----------
    image : nibabel image, str or Path
        Any orientation, voxel size and real type; see `images.volume.read`. An extracted brain
        comes back as it is.
    weights : str or Path, optional
        Weights of one's own (``.weights.h5``), or their name (see `library`); those of the package
        unless given.
    brain_number : int, optional
        Of several brains in one image, as mice are scanned, counted from 1: from left to right,
        then from back to front, then from bottom to top. The largest unless given.
    always : bool
        Look for the brain even if the image seems to show an extracted one.
    volume, nan_as_background, threads, precision
        See `patchseg.segment`.

    Returns
    -------
    mask : Mask

    Raises
    ------
    InputError
        If there is no brain in the image, or the image cannot be read; naming file and mend.

    Examples
    --------
    >>> mask = patchseg.extract("rhesus_T1w.nii.gz")  # doctest: +SKIP
    >>> nib.save(mask.brain, "rhesus_desc-brain_T1w.nii.gz")  # doctest: +SKIP
    """
    started = time.monotonic()
    with runtime.at_most(threads):
        path = library.find(weights) or checkpoint.HEADS
        asked = request(image, None, path, volume=volume, extract="never", precision=precision)
        name, source = name_of(image), read(image, volume, nan_as_background)
        data, affine = grid.ras(source)
        voxel_mm = grid.voxel_size_mm(affine)
        brain.check_varies(data, name)
        other = share_of_other(data, voxel_mm, weights, precision)
        if always or other > HEAD or brain_number:
            found = find(data, voxel_mm, name, weights, precision, brain_number)
        else:
            found = extraction.whole(brain.foreground(data, name), other)
    made = {
        "patchseg": __version__,
        "weights": Path(path).name,
        "weights_sha256": checkpoint.read_card(path)["sha256"],
        "brain_size_mm": round(brain.size_mm(found.mask, voxel_mm), 2),
        "other": round(found.other, 4),
        **runtime.computing(precision),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seconds": round(time.monotonic() - started, 2),
        "peak_memory_mb": memory.peak_memory_mb(),
    }
    kept = np.where(found.mask, data, 0).astype(np.float32)
    return Mask(
        mask=grid.like(found.mask.astype(np.uint8), source),
        probability=grid.like(found.probability, source),
        uncertainty=grid.like(extraction.entropy(found.probability), source),
        brain=grid.like(kept, source),
        qc=table(found, brain.size_mm(found.mask, voxel_mm), (data, voxel_mm)),
        head=found.other > HEAD,
        provenance=made,
        request=asked,
        image=str(image) if isinstance(image, str | Path) else image.get_filename(),
    )


def find(data, voxel_mm, name="image", weights=None, precision="auto", brain_number=None):
    """Find the brain in an array, or raise InputError if there is none.

    Parameters
    ----------
    data : (x, y, z) ndarray of float
    voxel_mm : tuple of three float
    name : str or Path
        Named in the error.
    weights : str or Path, optional
    precision : str
    brain_number : int, optional
        See `extract`.

    Returns
    -------
    found : extraction.Found
    """
    brain.check_varies(data, name)
    if is_thin(data.shape, voxel_mm):
        raise InputError(
            f"{name}: too few slices to find a brain in: the thinnest edge is less than {THIN:.0%}"
            " of the longest; draw the mask of the brain by hand, and give it to segment (--mask)"
        )
    network, borders = networks.load_heads(weights, precision), border.of_card(weights)
    try:
        found = extraction.find(network, data, voxel_mm, brain_number)
    except InputError as error:
        raise InputError(f"{name}: {error}; look at its page without --brain") from error
    if not found.mask.any():
        raise InputError(
            f"{name}: no brain is found in it; {MEND}, or check that it is not cut off"
        )
    return border.moved(found, border.around(data, found, voxel_mm), borders) if borders else found


def share_of_other(data, voxel_mm, weights=None, precision="auto"):
    """Return what the gate goes by: the share of the tissue that is none of the brain."""
    network = networks.load_heads(weights, precision)
    return extraction.other_share(network, data, voxel_mm)


def is_thin(shape, voxel_mm):
    """Whether a stack is too thin for a network that looks at volumes (see `THIN`)."""
    edges = np.array(shape) * voxel_mm
    return bool(edges.min() < THIN * edges.max())


def inside(data, voxel_mm, name="image", extract="auto", precision="auto", weights=None):
    """Return the brain of an image that came without a mask.

    Parameters
    ----------
    data : (x, y, z) ndarray of float
    voxel_mm : tuple of three float
    name : str or Path
        Named in the error.
    extract : {'auto', 'always', 'never'}
        Whether it is looked for: 'auto' does so if the image shows a head; else the brain is what
        is not background (see `brain.foreground`).
    precision : str
    weights : str or Path, optional
        Of the network that looks.

    Returns
    -------
    mask : (x, y, z) ndarray of bool
    found : extraction.Found or None
        None if it was not looked for.

    Raises
    ------
    InputError
        If `extract` is unknown, no brain is found, or a thin stack has no background.
    """
    check_choice(extract)
    brain.check_varies(data, name)
    thin = is_thin(data.shape, voxel_mm)
    if extract == "always" or (
        extract == "auto" and not thin and share_of_other(data, voxel_mm, weights, precision) > HEAD
    ):
        found = find(data, voxel_mm, name, weights, precision)
        return found.mask, found
    mask = brain.foreground(data, name)
    if extract == "auto" and thin and mask.mean() > FULL:
        raise InputError(
            f"{name}: {mask.mean():.0%} of the voxels are not background, so the brain cannot be"
            f" told from the rest; {MEND}"
        )
    return mask, None


def check_choice(extract):
    """Raise InputError if `extract` is none of `EXTRACT`."""
    if extract not in EXTRACT:
        raise InputError(f"extract '{extract}' is unknown; use {', '.join(EXTRACT)}")


def table(found, size_mm, image=None):
    """Check a mask: a row for each check, as of `qc.table`.

    Parameters
    ----------
    found : extraction.Found
    size_mm : float
        Of the brain (see `brain.size_mm`).
    image : tuple of ndarray and voxel size, optional
        To check what is inside, too (see `qc.contrast`).
    """
    rows = [
        qc.row(
            "two looks agree",
            found.agreement,
            AGREEMENT,
            f"the brain of the first and of the last look differ (Dice {found.agreement:.2f})",
        ),
        qc.row(
            "mirrored alike",
            found.steadiness,
            STEADINESS,
            f"the brain is another one in mirrored images (Dice {found.steadiness:.2f})",
        ),
        qc.row(
            "sharp border",
            found.sharpness,
            SHARPNESS,
            f"the border of the brain is unsure ({found.sharpness:.2f})",
        ),
        qc.row(
            "brains",
            found.pieces,
            PIECES,
            f"there seem to be {found.pieces} brains; the largest is taken (another: patchseg"
            " extract --brain 1, 2 and so on, from left to right)",
        ),
        qc.row("brain size (mm)", size_mm, qc.ANY_SIZE, qc.odd_size(size_mm)),
        qc.clipped(found.mask),
    ]
    if image:
        data, voxel_mm = image
        rows.append(qc.contrast(data, found.mask, voxel_mm))
    return pd.DataFrame(rows, columns=qc.COLUMNS)


def shares(kept):
    """Say that a mask of shares was cut: a row as of `table`; see `brain.read_mask` for `kept`."""
    said = f"the mask holds shares: cut at {brain.HALF:g}, {kept:.0%} of what is above 0 is brain"
    return pd.DataFrame([qc.row("mask of shares", kept, SHARES, said)], columns=qc.COLUMNS)
