"""Which slices of a new animal are worth labelling."""

import numpy as np

from patchseg import patching
from patchseg.adaptation import brain_labels, planes, proposals, reading
from patchseg.adaptation.brain_labels import BRAIN, OTHER
from patchseg.adaptation.proposals import Suggestion as Suggestion  # what callers get
from patchseg.core.tissues import UNLABELLED, is_tissue
from patchseg.datasets.labels import PLAIN, coding, from_codes
from patchseg.images.grid import check_same_grid, like, ras
from patchseg.images.volume import name_of, read_labels
from patchseg.inference import mask as masks
from patchseg.inference import segmentation


def suggest(
    image,
    slices=1,
    weights=None,
    *,
    mask=None,
    labelled=None,
    labels=PLAIN,
    volume=None,
    nan_as_background=False,
    extract="auto",
    brain_weights=None,
    plane=None,
    threads=None,
    precision="auto",
):
    """Suggest slices to label: where the network is unsure, and not beside one another.

    Parameters
    ----------
    image : nibabel image, str or Path, or a list of them
    slices : int
        How many, of all images together.
    weights : str or Path, optional
        Those of the package unless given.
    mask : nibabel image, str or Path, optional
        Of the brain; of several images a list, None where there is none.
    labelled : nibabel image, str or Path, optional
        What is labelled already; other slices are suggested. Of several images a list, None where
        nothing is labelled.
    labels : str
        What its values mean (see `patchseg.adapt`).
    volume : int, optional
        Which volume of a 4D image, from 0.
    nan_as_background, extract, brain_weights
        See `patchseg.segment`.
    plane : {'sagittal', 'coronal', 'axial'}, optional
        The one with the finest pixels of each image unless given; coronal if they are all alike.
    threads, precision
        See `patchseg.segment`.

    Returns
    -------
    suggestion : Suggestion, or a list of them
        Of a list of images one for each, that of which the network knows least first.

    Raises
    ------
    InputError
        See `patchseg.segment`; or if the brains have fewer slices than are wanted, or lists differ
        in length.

    Notes
    -----
    Slices are chosen one after the other so that the sum over all slices of uncertainty times the
    nearness of the nearest labelled slice grows most (facility location; greedy is within 1 - 1/e
    of the best choice, Nemhauser 1978). See `choice.choose` for several images.
    """
    planes.check(plane)
    coding(str(labels))  # also where nothing is labelled: it is easily mistaken for `labelled`

    def look(one, brain, painted_so_far):
        result = segmentation.segment(
            one,
            brain,
            weights,
            volume=volume,
            nan_as_background=nan_as_background,
            extract=extract,
            brain_weights=brain_weights,
            threads=threads,
            precision=precision,
        )
        so_far = None
        if painted_so_far is not None:
            so_far = _tissues_so_far(result.dseg, one, painted_so_far, labels)
        return proposals.seen(name_of(one), result, result.dseg, plane, so_far)

    return proposals.over(look, slices, image, {"masks": mask, "label images": labelled})


def suggest_brain(
    image,
    slices=1,
    weights=None,
    *,
    labelled=None,
    volume=None,
    nan_as_background=False,
    plane=None,
    threads=None,
    precision="auto",
):
    """Suggest slices of a head on which to correct the mask of the brain (see `suggest`).

    Parameters
    ----------
    image : nibabel image, str or Path, or a list of them
        Of a whole head.
    weights : str or Path, optional
        Of a network that finds the brain; those of the package unless given.
    labelled : nibabel image, str or Path, optional
        What is corrected already (see `brain_labels.read`); of several images a list, None where
        nothing is.
    slices, volume, nan_as_background, plane, threads, precision
        See `suggest`.

    Returns
    -------
    suggestion : Suggestion, or a list of them
        Its `guess` is 1 in the brain and 2 in all else.

    Raises
    ------
    InputError
        See `patchseg.extract`; or if the brains have fewer slices than are wanted, or lists differ
        in length.
    """
    planes.check(plane)

    def look(one, painted_so_far):
        result = masks.extract(
            one,
            weights,
            always=True,
            volume=volume,
            nan_as_background=nan_as_background,
            threads=threads,
            precision=precision,
        )
        so_far, inside = None, ras(result.mask, None)[0] > 0
        if painted_so_far is not None:
            values = _on_grid_of(result.mask, painted_so_far, name_of(one))
            if values.any():  # not the empty file that `patchseg suggest` writes
                so_far, _ = brain_labels.meaning(values, name_of(painted_so_far))
        guess = like(np.where(inside, BRAIN, OTHER).astype(np.uint8), result.mask)
        return proposals.seen(name_of(one), result, guess, plane, so_far)

    return proposals.over(look, slices, image, {"label images": labelled})


def _tissues_so_far(dseg, image, labelled, labels):
    """Return what is labelled already of tissues: (x, y, z) uint8, 0 where nothing is."""
    values = _on_grid_of(dseg, labelled, name_of(image))
    codes, name = coding(labels), name_of(labelled)
    reading.unknown(values, codes, labels, name)
    known = from_codes(values, np.ones(values.shape, bool), codes, name)
    return np.where(is_tissue(known), known, 0).astype(np.uint8)


def _on_grid_of(own, labelled, name):
    """Return the values of a label image that lies on the grid of a result: (x, y, z), RAS+."""
    data, affine = ras(own)
    values, other = ras(read_labels(labelled), None)
    check_same_grid(name, data, affine, name_of(labelled), values, other)
    return values


def fill_in(suggestion, finished, so_far=None):
    """Take the suggested slices out of finished labels, in the place of a hand that paints.

    Parameters
    ----------
    suggestion : Suggestion
    finished : nibabel image, str or Path
        Labels on the grid of the image.
    so_far : nibabel image, str or Path, optional
        Slices that are labelled already.

    Returns
    -------
    labels : nibabel image, uint8
        0 in all other slices.
    """
    grid = suggestion.guess
    values = _on_grid_of(grid, finished, "the image")
    kept = np.zeros(values.shape) if so_far is None else ras(read_labels(so_far), None)[0]
    own = patching.slices(np.where(values == UNLABELLED, 0, values), suggestion.plane)
    patching.slices(kept, suggestion.plane)[suggestion.slices] = own[suggestion.slices]
    return like(kept.astype(np.uint8), grid)
