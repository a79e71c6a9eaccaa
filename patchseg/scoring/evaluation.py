"""Scores on the test split, at three levels: patch, reassembled slice, whole volume."""

import joblib
import numpy as np
import pandas as pd

from patchseg import metrics, patching
from patchseg.core.progress import progress
from patchseg.core.tissues import TISSUES, UNLABELLED, is_tissue, most_probable
from patchseg.images.grid import AXES
from patchseg.inference import views
from patchseg.patching import slices
from patchseg.preprocess import cut_slices
from patchseg.scoring import baseline

JOBS = 2  # processes for the surface distances, which take most of the time


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
        for index, patches, truth in cut_slices(image, one.labels, grid, axis):
            found = views.predict(network, patches, len(patches))
            whole = reassemble(found, grid, slices(image, axis)[index])
            tasks += _slice_tasks(one, grid, axis, index, truth, most_probable(found), whole)
    fused = most_probable(views.volume(network, image, grid))
    return _score([*tasks, _volume_task(one, fused)]).assign(subject=subject.name)


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
            tasks += _slice_tasks(one, grid, axis, index, truth, patches, stack[index])
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


def _slice_tasks(one, grid, axis, index, truth, patches, whole):
    """List what to score of a slice and its patches: place, truth, prediction and spacing."""
    own = slices(one.labels, axis)[index]
    spacing = np.delete(one.voxel_mm, AXES.index(axis))
    pixel = patching.pixel_size(own.shape, grid.slice_size, grid.square, spacing)
    pairs = enumerate(zip(truth, patches, strict=True))
    tasks = [(("patch", axis, index, number), *pair, pixel) for number, pair in pairs]
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
        fold_size, tissue, dice: pooled over all patches of all subjects.
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
                for _, patches, truth in cut_slices(image, one.labels, resized, axis):
                    found = most_probable(views.predict(network, patches, 64))
                    predicted = np.where(truth == UNLABELLED, 0, found)
                    row += [
                        metrics.overlap_counts(truth == label, predicted == label)
                        for label in range(1, len(TISSUES) + 1)
                    ]
    dice = 2 * counts[..., 0] / np.maximum(counts[..., 1:].sum(axis=-1), 1)
    rows = [
        (size, tissue, dice[i, j])
        for i, size in enumerate(settings.fold_sizes)
        for j, tissue in enumerate(TISSUES)
    ]
    return pd.DataFrame(rows, columns=["fold_size", "tissue", "dice"])
