"""Scores on the test split, at three levels: patch, reassembled slice, whole volume."""

import joblib
import numpy as np
import pandas as pd

from patchseg import metrics, patching
from patchseg.core.progress import progress
from patchseg.core.tissues import TISSUES, UNLABELLED, is_tissue, most_probable
from patchseg.images.grid import AXES
from patchseg.inference import refine, views
from patchseg.patching import slices
from patchseg.preprocess import cut_slices
from patchseg.scoring import baseline

JOBS = 2  # processes for the surface distances
BATCH = 64  # patches that pass the network at once
SLICES = 16  # of which patches are gathered for it


def evaluate(networks, subjects, grids, seed):
    """Score all recipes, the first one also with borders from intensities, and HMRF.

    Parameters
    ----------
    networks : dict of (str, int) to keras.Model
        By recipe and seed.
    subjects : list of patchseg.datasets.bids.Subject
    grids : dict of str to patchseg.params.Preprocess
        By recipe; the first is that of the row with the borders, and of HMRF.
    seed : int
        Of HMRF, which can break down; a line then says that it has no rows for this subject.

    Returns
    -------
    rows : pandas.DataFrame
        As `evaluate_network` gives them, with columns `method` and `seed` (NaN for HMRF).
    """
    main, found = next(iter(grids)), []
    for (name, own), network in networks.items():
        for subject in subjects:
            rows = evaluate_network(network, subject, grids[name])
            found.append(rows.assign(method=name, seed=own))
    for (name, own), network in networks.items():
        for subject in subjects if name == main else ():
            rows = evaluate_sharpened(network, subject, grids[name])
            found.append(rows.assign(method=f"{name}, borders from intensities", seed=own))
    for subject in subjects:
        rows = evaluate_hmrf(subject, grids[main], seed)
        if rows is None:
            print(f"DIPY HMRF broke down on {subject.name}: no rows")
        else:
            found.append(rows.assign(method="DIPY HMRF", seed=np.nan))
    return pd.concat(found, ignore_index=True)


def evaluate_network(network, subject, grid):
    """Score a network on one brain: patches, the slices made of them, and the fused volume.

    Parameters
    ----------
    network : keras.Model
    subject : patchseg.datasets.bids.Subject
    grid : patchseg.params.Preprocess
        As the network was trained.

    Returns
    -------
    rows : pandas.DataFrame
        One row for each level ('patch', 'slice', 'volume'), place (axis, slice, patch; -1 where it
        does not apply) and tissue; see `metrics.score`. Places with neither true nor predicted
        tissue are left out.
    """
    one = subject.load()
    image, tasks = one.normalised(grid.top), []
    for axis in progress(grid.axes, subject.name):
        stack = slices(image, axis)
        for index, truth, found in _predicted(network, image, one.labels, grid, axis):
            whole = reassemble(found, grid, stack[index])
            tasks += _slice_tasks(one, axis, index, truth, most_probable(found), whole)
    fused = most_probable(views.volume(network, image, grid))
    return _score([*tasks, _volume_task(one, fused)]).assign(subject=subject.name)


def evaluate_sharpened(network, subject, grid):
    """Score a network's volume whose borders follow the image's own intensities.

    In the same places as `evaluate_network`: see `refine` and `evaluate_labels`.
    """
    one = subject.load()
    image = one.normalised(grid.top)
    probabilities = views.volume(network, image, grid)
    probabilities /= np.maximum(probabilities.sum(axis=-1, keepdims=True), 1e-6)
    found = refine.refine(image, probabilities, one.mask, one.voxel_mm)
    return evaluate_labels(most_probable(found) * one.mask, subject, grid)


def evaluate_hmrf(subject, grid, seed):
    """Score DIPY's HMRF (see `evaluate_labels`); None where it breaks down on the volume."""
    predicted = baseline.hmrf(subject.load().normalised(grid.top), seed=seed)
    return None if predicted is None else evaluate_labels(predicted, subject, grid)


def evaluate_labels(predicted, subject, grid):
    """Score labels of a whole volume in the same places as `evaluate_network`.

    Patches and slices are cut from the volume.

    Parameters
    ----------
    predicted : (x, y, z) ndarray of uint8
    subject : patchseg.datasets.bids.Subject
    grid : patchseg.params.Preprocess

    Returns
    -------
    rows : pandas.DataFrame
    """
    one = subject.load()
    image, predicted, tasks = one.normalised(grid.top), predicted * one.mask, []
    for axis in grid.axes:
        stack = slices(predicted, axis)
        cuts = (cut_slices(image, labels, grid, axis) for labels in (one.labels, predicted))
        for (index, _, truth), (_, _, patches) in zip(*cuts, strict=True):
            tasks += _slice_tasks(one, axis, index, truth, patches, stack[index])
    return _score([*tasks, _volume_task(one, predicted)]).assign(subject=subject.name)


def reassemble(probabilities, grid, image):
    """Put a slice together from the probabilities of its patches.

    Parameters
    ----------
    probabilities : (n, p, p, 3) ndarray of float32
    grid : patchseg.params.Preprocess
    image : (h, w) ndarray of float32
        The slice; where it is 0 there is no tissue.

    Returns
    -------
    labels : (h, w) ndarray of uint8
    """
    large = patching.reassemble(probabilities, (grid.slice_size, grid.slice_size))
    own = patching.from_grid(large, image.shape, grid.square, "bilinear")
    return most_probable(own) * (image > 0)


def _predicted(network, image, labels, grid, axis):
    """Yield number, true labels and probabilities of each slice's patches along an axis."""
    cuts = list(cut_slices(image, labels, grid, axis))
    for start in range(0, len(cuts), SLICES):
        some = cuts[start : start + SLICES]
        patches = np.concatenate([patches for _, patches, _ in some])
        found = np.split(views.predict(network, patches, BATCH), len(some))
        for (index, _, truth), probabilities in zip(some, found, strict=True):
            yield index, truth, probabilities


def _slice_tasks(one, axis, index, truth, patches, whole):
    """List what to score of a slice and its patches: place, truth, prediction and spacing.

    Patches have no spacing: their edges cut through tissues, so distances there mean nothing.
    """
    own = slices(one.labels, axis)[index]
    spacing = np.delete(one.voxel_mm, AXES.index(axis))
    pairs = enumerate(zip(truth, patches, strict=True))
    tasks = [(("patch", axis, index, number), *pair, None) for number, pair in pairs]
    return [*tasks, (("slice", axis, index, -1), own, whole, spacing)]


def _volume_task(one, predicted):
    return ("volume", "", -1, -1), one.labels, predicted, one.voxel_mm


def _score(tasks):
    tasks = [task for task in tasks if any(is_tissue(labels).any() for labels in task[1:3])]
    chunks = [tasks[start::32] for start in range(min(32, len(tasks)))]
    rows = joblib.Parallel(n_jobs=JOBS, return_as="generator")(
        joblib.delayed(_score_chunk)(chunk) for chunk in chunks
    )
    return pd.DataFrame([row for chunk in progress(rows, "scores", len(chunks)) for row in chunk])


def _score_chunk(tasks):
    names = ("level", "axis", "slice", "patch")
    return [
        dict(zip(names, place, strict=True)) | row
        for place, *pair, spacing in tasks
        for row in metrics.score(*pair, spacing)
    ]


def fold_curves(networks, subjects, grids, settings):
    """Return `fold_curve` of all networks by recipe and seed, with columns `recipe` and `seed`."""
    return pd.concat(
        [
            fold_curve(network, subjects, grids[name], settings).assign(recipe=name, seed=seed)
            for (name, seed), network in networks.items()
        ],
        ignore_index=True,
    )


def fold_curve(network, subjects, grid, settings):
    """Re-grid slices so that their folds become smaller or larger, and score the patches.

    Parameters
    ----------
    network : keras.Model
    subjects : list of patchseg.datasets.bids.Subject
    grid : patchseg.params.Preprocess
    settings : patchseg.params.Evaluate
        `fold_sizes`: a slice is resized to this times `slice_size` and cut into patches of the
        usual size. `fold_every`: take every n-th slice.

    Returns
    -------
    curve : pandas.DataFrame
        fold_size, tissue, dice: pooled over all patches of all subjects; NaN for a tissue that
        neither labels nor network have.
    """
    counts = np.zeros((len(settings.fold_sizes), len(TISSUES), 3), np.int64)
    for subject in subjects:
        one = subject.load()
        image = one.normalised(grid.top)
        for row, size in zip(counts, progress(settings.fold_sizes, "fold sizes"), strict=True):
            resized = grid.model_copy(
                update={"slice_size": int(size * grid.slice_size), "every": settings.fold_every}
            )
            for axis in grid.axes:
                for _, truth, found in _predicted(network, image, one.labels, resized, axis):
                    predicted = np.where(truth == UNLABELLED, 0, most_probable(found))
                    row += [
                        metrics.overlap_counts(truth == label, predicted == label)
                        for label in range(1, len(TISSUES) + 1)
                    ]
    total = counts[..., 1:].sum(axis=-1)
    dice = np.where(total > 0, 2 * counts[..., 0] / np.maximum(total, 1), np.nan)
    rows = [
        (size, tissue, dice[i, j])
        for i, size in enumerate(settings.fold_sizes)
        for j, tissue in enumerate(TISSUES)
    ]
    return pd.DataFrame(rows, columns=["fold_size", "tissue", "dice"])
