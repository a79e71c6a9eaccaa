"""Scores on the test split, at three levels: patch, reassembled slice, whole volume."""

from functools import partial

import joblib
import numpy as np
import pandas as pd

from patchseg import metrics, patching
from patchseg.core.progress import progress
from patchseg.core.tissues import TISSUES, most_probable
from patchseg.images.grid import AXES, voxel_size_mm
from patchseg.inference import views
from patchseg.patching import slices
from patchseg.preprocess import cut_slices
from patchseg.scoring import baseline

JOBS = 2  # processes for the surface distances, which take most of the time


def evaluate_network(network, subject, grid):
    """Score a network on one brain.

    Every patch by itself, the slices made of them, and the volume fused from all views.

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
    image, labels, affine = subject.load(grid.top)
    tasks = []
    for axis in progress(grid.axes, subject.name):
        for index, patches, truth in cut_slices(image, labels, grid, axis):
            probabilities = views.predict(network, patches, len(patches))
            tasks += _slice_tasks(
                image,
                labels,
                affine,
                grid,
                axis,
                index,
                truth,
                most_probable(probabilities),
                partial(reassemble, probabilities, grid),
            )
    fused = most_probable(views.volume(network, image, grid))
    return _score([*tasks, _volume_task(labels, fused, affine)]).assign(subject=subject.name)


def evaluate_hmrf(subject, grid, seed):
    """Score DIPY's HMRF; see `evaluate_labels`.

    None where the algorithm breaks down on the volume.
    """
    predicted = baseline.hmrf(subject.load(grid.top)[0], seed=seed)
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
    image, labels, affine = subject.load(grid.top)
    tasks = []
    for axis in grid.axes:
        for (index, _, truth), (_, _, patches) in zip(
            cut_slices(image, labels, grid, axis),
            cut_slices(image, predicted, grid, axis),
            strict=True,
        ):
            tasks += _slice_tasks(
                image,
                labels,
                affine,
                grid,
                axis,
                index,
                truth,
                patches,
                lambda shape, a=axis, i=index: slices(predicted, a)[i],
            )
    return _score([*tasks, _volume_task(labels, predicted, affine)]).assign(subject=subject.name)


def reassemble(probabilities, grid, shape):
    """Return the labels of a slice of `shape`, from the probabilities of its patches."""
    large = patching.reassemble(probabilities, (grid.slice_size, grid.slice_size))
    return most_probable(patching.from_grid(large, shape, grid.square, "bilinear"))


def _slice_tasks(image, labels, affine, grid, axis, index, truth, patches, slice_labels):
    """List what to score of one slice.

    (place, true labels, predicted labels, spacing) for each patch and for the slice.
    """
    own_image, own_truth = slices(image, axis)[index], slices(labels, axis)[index]
    spacing = np.delete(voxel_size_mm(affine), AXES.index(axis))
    pixel = patching.pixel_size(own_truth.shape, grid.slice_size, grid.square, spacing)
    tasks = [
        (("patch", axis, index, n), *pair, pixel)
        for n, pair in enumerate(zip(truth, patches, strict=True))
    ]
    return [
        *tasks,
        (
            ("slice", axis, index, -1),
            own_truth,
            slice_labels(own_truth.shape) * (own_image > 0),
            spacing,
        ),
    ]


def _volume_task(labels, predicted, affine):
    return ("volume", "", -1, -1), labels, predicted, voxel_size_mm(affine)


def _score(tasks):
    tasks = [task for task in tasks if task[1].any() or task[2].any()]
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
        image, labels, _ = subject.load(grid.top)
        for row, size in zip(counts, progress(settings.fold_sizes, "fold sizes"), strict=True):
            resized = grid.model_copy(
                update={"slice_size": int(size * grid.slice_size), "every": settings.fold_every}
            )
            for axis in grid.axes:
                for _, patches, truth in cut_slices(image, labels, resized, axis):
                    predicted = most_probable(views.predict(network, patches, 64))
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
