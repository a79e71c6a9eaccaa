"""Public images of whole heads with a brain mask, by name, and label maps of whole heads.

`heads.json` beside this file names their files as `zoo.json` does those of the brains; they are
fetched in the same way.
"""

from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from pydantic import model_validator

from patchseg.core.errors import InputError
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets import zoo
from patchseg.datasets.labelled import Labelled
from patchseg.images import grid, volume

REGISTRY = Path(__file__).with_name("heads.json")


class Entry(zoo.Source):
    """One head of `heads.json`."""

    modality: Literal["T1w", "T2w"]
    image: str
    mask: str  # not 0 in the brain
    by_index: bool = False  # the header of the mask is wrong, its voxels are those of the image

    @model_validator(mode="after")
    def _files_are_named(self):
        for path in (self.image, self.mask):
            if path not in self.files:
                raise ValueError(f"'{path}' is not under files; add it with its sha256 and bytes")
        return self


def entries():
    """Read and check `heads.json`: a dict of str to Entry."""
    return zoo.registry(REGISTRY, Entry)


def entry(name):
    """Return the head of that name, or raise InputError with the names that there are."""
    known = entries()
    if name not in known:
        raise InputError(f"{REGISTRY}: '{name}' is no head; there are {', '.join(known)}")
    return known[name]


def load(name):
    """Get a whole head and its brain mask.

    Parameters
    ----------
    name : str
        An entry of `heads.json`.

    Returns
    -------
    labelled : Labelled
        Its image is the whole head; the brain is unlabelled (255), all else 0.

    Raises
    ------
    InputError
        See `zoo.fetch`; or if image and mask are on different grids.
    """
    wanted = entry(name)
    paths = zoo.fetch_files(wanted)
    image, mask = volume.read(paths[wanted.image]), volume.read(paths[wanted.mask])
    if wanted.by_index and mask.shape == image.shape:
        mask = nib.Nifti1Image(np.asarray(mask.dataobj), image.affine, image.header)
    data, affine = grid.ras(image)
    inside, other = grid.ras(mask)
    grid.check_same_grid(paths[wanted.image], data, affine, paths[wanted.mask], inside, other)
    truth = np.where(inside != 0, UNLABELLED, 0).astype(np.uint8)
    return Labelled(name, data, truth, affine, wanted.species)


def codes(name):
    """Get the label map of a whole head from the zoo, for example 'human-labels-01'.

    Returns
    -------
    codes : (x, y, z) ndarray of int
        FreeSurfer's in the brain; above 500 skull, skin, muscle, eyes and the like.
    affine : (4, 4) ndarray
    """
    wanted, paths = zoo.entry(name), zoo.fetch(name)
    return volume.load_labels(paths[wanted.labels])
