"""What somebody labelled in an image: read, checked, and handed on in RAS+ order."""

from pathlib import Path

import numpy as np

from patchseg.adaptation.record import sha256
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES, is_tissue
from patchseg.datasets import labels
from patchseg.datasets.labelled import Labelled
from patchseg.datasets.labels import PLAIN
from patchseg.images import brain, grid
from patchseg.images.volume import name_of, read_labels
from patchseg.images.volume import read as read_image
from patchseg.inference import mask as masks

OUTSIDE = 0.5
"""Share of the labelled voxels outside the brain, above which the labels are of another image."""
TOLD = 0.02
"""Share above which the user is told."""


def read(
    image,
    labelled,
    mask=None,
    codes=PLAIN,
    *,
    volume=None,
    nan_as_background=False,
    extract="auto",
    brain_weights=None,
    precision="auto",
):
    """Read an image and its labels, and check that they belong together.

    Parameters
    ----------
    image, labelled : nibabel image, str or Path
        On one grid. Labels are whole numbers, 0 (or 255) where nobody labelled.
    mask : nibabel image, str or Path, optional
        Of the brain; see `extract` unless given.
    codes : str
        What the labels' values mean (see `labels.coding`).
    volume : int, optional
        Which volume of a 4D image, from 0.
    nan_as_background : bool
        Treat voxels that are NaN or infinite as background instead of refusing them.
    extract, brain_weights, precision
        See `patchseg.segment`.

    Returns
    -------
    labelled : patchseg.datasets.labelled.Labelled

    Raises
    ------
    InputError
        If the grids differ, nothing is labelled, a value is no tissue, or the labels lie outside
        the brain.
    """
    name, labels_name = name_of(image), name_of(labelled)
    data, affine = grid.ras(read_image(image, volume, nan_as_background))
    values, other = grid.ras(read_labels(labelled), None)
    grid.check_same_grid(name, data, affine, labels_name, values, other)
    kept = 1.0
    if mask is None:
        looks = extract, precision, brain_weights
        inside, _ = masks.inside(data, grid.voxel_size_mm(affine), name, *looks)
    else:
        inside, kept = brain.read_mask(mask, name, data, affine)
    truth, remarks = _tissues(values, inside, codes, labels_name, name)
    if kept < 1:
        remarks.append(f"{name_of(mask)}: {masks.shares(kept).reason[0]}")
    sums = {"image": sha256(image, data), "labels": sha256(labelled, values)}
    return Labelled(name, data, truth, affine, sha256=sums, remarks=remarks)


def _tissues(values, inside, codes, labels_name, name):
    """Turn the codes of a label file into labels; return what the user should know, too."""
    known = labels.coding(codes)
    if not values.any():
        raise InputError(
            f"{labels_name}: every voxel is 0, so nothing is labelled; paint 1 CSF, 2 GM, 3 WM in a"
            " slice or two (patchseg suggest says which)"
        )
    remarks = unknown(values, known, codes, labels_name)
    everywhere = labels.from_codes(values, np.ones_like(inside), known, labels_name)
    painted = is_tissue(everywhere)
    if not painted.any():
        raise InputError(
            f"{labels_name}: no voxel has a value of CSF, GM or WM ({_shown(known)}); say what its"
            " values mean (--labels)"
        )
    away = float(painted[~inside].sum() / painted.sum())
    if away > OUTSIDE:
        raise InputError(
            f"{labels_name}: {away:.0%} of the labelled voxels lie outside the brain of {name};"
            " check that they belong to this image, or give a brain mask"
        )
    if away > TOLD:
        remarks.append(
            f"{labels_name}: {away:.1%} of the labelled voxels lie outside the brain and are left"
            " out"
        )
    truth = np.where(inside, everywhere, 0).astype(np.uint8)
    missing = [tissue for number, tissue in enumerate(TISSUES, 1) if not (truth == number).any()]
    if missing:
        remarks.append(
            f"{labels_name}: no voxel is labelled {' or '.join(missing)}; what the network knows of"
            " it stays as it is, or fades"
        )
    return truth, remarks


def unknown(values, known, codes, name):
    """Say which values are no tissue; in labels that somebody painted, one is a mistake.

    Parameters
    ----------
    values : ndarray of int
    known : dict
        Of `labels.coding`.
    codes, name : str
        Of the coding and of the file.

    Returns
    -------
    remarks : list of str

    Raises
    ------
    InputError
        If the coding is that of people who paint.
    """
    wrong = labels.unknown(values, known)
    if not len(wrong):
        return []
    shown = ", ".join(f"{code:g}" for code in wrong[:5]) + (" …" if len(wrong) > 5 else "")
    if codes == PLAIN:
        raise InputError(
            f"{name}: value {shown} is no tissue (0 not labelled, {_shown(known)}); paint it again,"
            " or say what the values mean: --labels csf=…,gm=…,wm=…, or --labels freesurfer"
        )
    return [f"{name}: value {shown} is no tissue of '{codes}' and counts as not labelled"]


def _shown(known):
    own = {tissue: "+".join(map(str, codes[:4])) for tissue, codes in known.items()}
    return ", ".join(f"{codes} {tissue}" for tissue, codes in own.items())


def finished(source, image):
    """Read finished labels of an image, of a file or of the BIDS dataset that holds the image.

    Parameters
    ----------
    source : str or Path
        A label file, or the folder of a dataset (see `bids.subjects`).
    image : str or Path

    Returns
    -------
    labels : nibabel image

    Raises
    ------
    InputError
        If the dataset does not hold the image.
    """
    from patchseg.datasets import bids

    if not Path(source).is_dir():
        return read_labels(source)
    for subject in bids.subjects(source):
        if subject.image_path.resolve() == Path(image).resolve():
            return grid.like(subject.load().labels, read_image(image))
    raise InputError(
        f"{source}: this dataset does not hold {image}; name the label file of the image"
    )
