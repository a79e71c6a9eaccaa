"""Preprocessing: each subject becomes one file of patches (a shard), whole or not at all."""

from pathlib import Path
from zipfile import BadZipFile

import joblib
import numpy as np

from patchseg import patching
from patchseg.core.errors import InputError
from patchseg.core.files import replacing
from patchseg.core.progress import progress
from patchseg.core.provenance import fingerprint, versions
from patchseg.datasets.bids import subjects
from patchseg.images.grid import AXES

LIBRARIES = ("numpy", "opencv-python-headless", "scipy")
"""Their versions may change the bits of a shard."""


def cut_slices(image, labels, grid, axis):
    """Yield the patches of one volume, slice by slice, along one axis.

    Parameters
    ----------
    image : (x, y, z) ndarray of float32 in [0, 1]
    labels : (x, y, z) ndarray of uint8
        0 background, 1 CSF, 2 GM, 3 WM, 255 unlabelled, here and in the patches.
    grid : object with `slice_size`, `patch_size`, `square` and `every`
        params.yaml, section preprocess.
    axis : {'sagittal', 'coronal', 'axial'}

    Yields
    ------
    index : int
        Number of the slice.
    images : (n, patch, patch) ndarray of float32
    masks : (n, patch, patch) ndarray of uint8
    """
    stack, truth = patching.slices(image, axis), patching.slices(labels, axis)
    for index in range(0, len(stack), grid.every):
        large = patching.to_grid(stack[index], grid.slice_size, grid.square, "bilinear")
        mask = patching.to_grid(truth[index], grid.slice_size, grid.square, "nearest")
        yield (
            index,
            patching.extract(large, grid.patch_size),
            patching.extract(mask, grid.patch_size),
        )


def write_shard(subject, path, settings):
    """Cut one subject into patches, unless a shard of the same input, settings and code is there.

    The shard holds `images` (n, p, p) float16, `labels` (n, p, p) uint8, `place` (n, 3) int32
    (axis, slice, patch) and `key`.

    Parameters
    ----------
    subject : patchseg.datasets.bids.Subject
    path : str or Path
        Of the shard (.npz).
    settings : patchseg.params.Preprocess

    Returns
    -------
    path : Path
    """
    given = settings.model_dump(exclude={"jobs"})
    key = fingerprint(
        code=["patchseg.preprocess"], settings=[given, versions(*LIBRARIES)], files=subject.files
    )
    if shard_key(path) == key:
        return path
    one = subject.load()
    image = one.normalised(settings.top)
    own = fingerprint(settings=given, files=subject.files)  # other code draws the same patches
    rng = np.random.default_rng([settings.seed, int(own[:8], 16)])
    images, masks, places = [], [], []
    for axis in settings.axes:
        for index, patches, truth in cut_slices(image, one.labels, settings, axis):
            keep = patching.keep_mask(patches, settings.keep_empty, rng)
            images.append(patches[keep].astype(np.float16))
            masks.append(truth[keep])
            places.append([(AXES.index(axis), index, patch) for patch in np.flatnonzero(keep)])
    places = np.array([place for group in places for place in group], np.int32).reshape(-1, 3)
    with replacing(path) as temporary:
        np.savez(
            temporary,
            images=np.concatenate(images),
            labels=np.concatenate(masks),
            place=places,
            key=key,
        )
    return path


def shard_key(path):
    """Return the fingerprint of what a shard was made from, or None if there is no whole shard."""
    try:
        with np.load(path, allow_pickle=False) as shard:
            return str(shard["key"])
    except (OSError, ValueError, KeyError, BadZipFile):
        return None


def preprocess(dataset, folder, settings):
    """Write one shard for each subject of a dataset, subjects in parallel.

    Shards that are there and current are kept. Each of `settings.jobs` processes holds one subject
    at a time.

    Parameters
    ----------
    dataset : str or Path
        BIDS folder.
    folder : str or Path
        Where the shards `sub-X.npz` go. Shards of subjects that left the dataset, and what a killed
        run left behind, are removed.
    settings : patchseg.params.Preprocess

    Returns
    -------
    paths : list of Path
        In the order of `participants.tsv`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    everyone = subjects(dataset)
    paths = [folder / f"{subject.name}.npz" for subject in everyone]
    for stale in {*folder.glob("*.npz"), *folder.glob(".partial-*")} - set(paths):
        stale.unlink()
    tasks = (
        joblib.delayed(write_shard)(subject, path, settings)
        for subject, path in zip(everyone, paths, strict=True)
    )
    done = joblib.Parallel(n_jobs=min(settings.jobs, len(everyone)), return_as="generator")(tasks)
    return list(progress(done, "subjects", len(everyone)))


def load_shard(path):
    """Read a shard: a dict of `images`, `labels` and `place` (see `write_shard`).

    Raises
    ------
    InputError
        If it is not a whole shard.
    """
    if shard_key(path) is None:
        raise InputError(f"{path}: not a whole shard; run the preprocess stage again")
    with np.load(path, allow_pickle=False) as shard:
        return {name: shard[name] for name in ("images", "labels", "place")}
