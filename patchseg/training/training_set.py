"""Shards to one training set: every patch, and zoomed-in copies."""

from pathlib import Path

import numpy as np

from patchseg.augment import zoom_in
from patchseg.core.errors import InputError
from patchseg.core.files import replacing
from patchseg.core.progress import progress
from patchseg.preprocess import load_shard


def write_training_set(shards, folder, share, fractions, seed):
    """Join shards into one training set: every patch, then zoomed-in copies of a share of them.

    Parameters
    ----------
    shards : list of Path
    folder : str or Path
        Gets `images.npy` (n, p, p) float16 and `labels.npy` (n, p, p) uint8, which can be
        memory-mapped.
    share : float
        Zoomed-in copies per patch, in [0, 1]; 0 makes none.
    fractions : list of float
        Each copy draws one of them (see `zoom_in`).
    seed : int

    Returns
    -------
    pairs : list of (image, mask, zoomed image, zoomed mask)
        Up to 4 pairs that were zoomed, from all over the set and with all tissues, to look at.

    Raises
    ------
    InputError
        If the shards hold no patch.
    """
    rng = np.random.default_rng(seed)
    counts = [len(load_shard(path)["place"]) for path in shards]
    chosen = [np.flatnonzero(rng.random(count) < share) for count in counts]
    n = sum(counts) + sum(map(len, chosen))
    if not n:
        raise InputError(
            f"{', '.join(map(str, shards)) or 'no shard'}: no patch to train on; check the images"
            " and preprocess.every"
        )
    patch = load_shard(shards[0])["images"].shape[1:]
    shown, wanted = [], np.linspace(sum(counts), n, 5)[:4]
    with (
        replacing(Path(folder) / "images.npy") as image_file,
        replacing(Path(folder) / "labels.npy") as label_file,
    ):
        images = np.lib.format.open_memmap(image_file, "w+", np.float16, (n, *patch))
        labels = np.lib.format.open_memmap(label_file, "w+", np.uint8, (n, *patch))
        at, copies = 0, sum(counts)
        for path, picks in zip(progress(shards, "shards"), chosen, strict=True):
            shard = load_shard(path)
            count = len(shard["images"])
            images[at : at + count], labels[at : at + count] = shard["images"], shard["labels"]
            at += count
            for pick, fraction in zip(picks, rng.choice(fractions, len(picks)), strict=True):
                pair = shard["images"][pick], shard["labels"][pick]
                images[at], labels[at] = zoom_in(*pair, float(fraction))
                copies += 1
                complete = {1, 2, 3} <= set(np.unique(pair[1]))
                if len(shown) < 4 and copies > wanted[len(shown)] and complete:
                    shown.append((*pair, images[at].copy(), labels[at].copy()))
                at += 1
        images.flush()
        labels.flush()
    return shown
