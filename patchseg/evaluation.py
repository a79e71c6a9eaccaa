"""Scores on the test split, at three levels: patch, reassembled slice, whole volume."""

import json
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from patchseg import TISSUES, baseline, metrics, patching, views, volume
from patchseg.files import write_table, write_text
from patchseg.patching import slices
from patchseg.progress import progress
from patchseg.shards import cut_slices

JOBS = 2  # processes for the surface distances, which take most of the time


def evaluate_network(network, subject, grid):
    """Score a network on one brain: every patch by itself, the slices made of them, and the volume fused from all views.

    Parameters
    ----------
    network : keras.Model
    subject : patchseg.dataset.Subject
    grid : patchseg.params.Preprocess
        As the network was trained.

    Returns
    -------
    rows : pandas.DataFrame
        One row for each level ('patch', 'slice', 'volume'), place (axis, slice, patch; -1 where it does not apply) and tissue;
        see `metrics.score`. Places with neither true nor predicted tissue are left out.
    """
    image, labels, affine = subject.load(grid.top)
    tasks = []
    for axis in progress(grid.axes, subject.name):
        for index, patches, truth in cut_slices(image, labels, grid, axis):
            probabilities = views.predict(network, patches, len(patches))
            tasks += _slice_tasks(image, labels, affine, grid, axis, index, truth, views.labels(probabilities), partial(_reassemble, probabilities, grid))
    fused = views.labels(views.volume(network, image, grid))
    return _score([*tasks, _volume_task(labels, fused, affine)]).assign(subject=subject.name)


def evaluate_hmrf(subject, grid, seed):
    """Score DIPY's HMRF; see `evaluate_labels`. None where the algorithm breaks down on the volume."""
    predicted = baseline.hmrf(subject.load(grid.top)[0], seed=seed)
    return None if predicted is None else evaluate_labels(predicted, subject, grid)


def evaluate_labels(predicted, subject, grid):
    """Score labels of a whole volume in the same places as `evaluate_network`; patches and slices are cut from the volume.

    Parameters
    ----------
    predicted : (x, y, z) ndarray of uint8
    subject : patchseg.dataset.Subject
    grid : patchseg.params.Preprocess

    Returns
    -------
    rows : pandas.DataFrame
    """
    image, labels, affine = subject.load(grid.top)
    tasks = []
    for axis in grid.axes:
        for (index, _, truth), (_, _, patches) in zip(cut_slices(image, labels, grid, axis), cut_slices(image, predicted, grid, axis), strict=True):
            tasks += _slice_tasks(image, labels, affine, grid, axis, index, truth, patches, lambda shape, a=axis, i=index: slices(predicted, a)[i])
    return _score([*tasks, _volume_task(labels, predicted, affine)]).assign(subject=subject.name)


def _reassemble(probabilities, grid, shape):
    """Return the labels of a slice of `shape`, put together from the probabilities of its patches."""
    large = patching.reassemble(probabilities, (grid.slice_size, grid.slice_size))
    return views.labels(patching.from_grid(large, shape, grid.square, "bilinear"))


def _slice_tasks(image, labels, affine, grid, axis, index, truth, patches, slice_labels):
    """List what to score of one slice: (place, true labels, predicted labels, spacing) for each patch and for the slice."""
    own_image, own_truth = slices(image, axis)[index], slices(labels, axis)[index]
    spacing = np.delete(volume.voxel_size_mm(affine), patching.AXES.index(axis))
    pixel = patching.pixel_size(own_truth.shape, grid.slice_size, grid.square, spacing)
    tasks = [(("patch", axis, index, n), *pair, pixel) for n, pair in enumerate(zip(truth, patches, strict=True))]
    return [*tasks, (("slice", axis, index, -1), own_truth, slice_labels(own_truth.shape) * (own_image > 0), spacing)]


def _volume_task(labels, predicted, affine):
    return ("volume", "", -1, -1), labels, predicted, volume.voxel_size_mm(affine)


def _score(tasks):
    tasks = [task for task in tasks if task[1].any() or task[2].any()]
    chunks = [tasks[start::32] for start in range(min(32, len(tasks)))]
    rows = joblib.Parallel(n_jobs=JOBS, return_as="generator")(joblib.delayed(_score_chunk)(chunk) for chunk in chunks)
    return pd.DataFrame([row for chunk in progress(rows, "scores", len(chunks)) for row in chunk])


def _score_chunk(tasks):
    names = ("level", "axis", "slice", "patch")
    return [dict(zip(names, place, strict=True)) | row for place, *pair, spacing in tasks for row in metrics.score(*pair, spacing)]


def fold_curve(network, subjects, grid, settings):
    """Re-grid slices so that their folds become smaller or larger, and score the patches.

    Parameters
    ----------
    network : keras.Model
    subjects : list of patchseg.dataset.Subject
    grid : patchseg.params.Preprocess
    settings : patchseg.params.Evaluate
        `fold_sizes`: a slice is resized to this times `slice_size` and cut into patches of the usual size. `fold_every`: take
        every n-th slice.

    Returns
    -------
    curve : pandas.DataFrame
        fold_size, tissue, dice: pooled over all patches of all subjects.
    """
    counts = np.zeros((len(settings.fold_sizes), len(TISSUES), 3), np.int64)
    for subject in subjects:
        image, labels, _ = subject.load(grid.top)
        for row, size in zip(counts, progress(settings.fold_sizes, "fold sizes"), strict=True):
            resized = grid.model_copy(update={"slice_size": int(size * grid.slice_size), "every": settings.fold_every})
            for axis in grid.axes:
                for _, patches, truth in cut_slices(image, labels, resized, axis):
                    predicted = views.labels(views.predict(network, patches, 64))
                    row += [metrics.overlap_counts(truth == label, predicted == label) for label in range(1, len(TISSUES) + 1)]
    dice = 2 * counts[..., 0] / np.maximum(counts[..., 1:].sum(axis=-1), 1)
    rows = [(size, tissue, dice[i, j]) for i, size in enumerate(settings.fold_sizes) for j, tissue in enumerate(TISSUES)]
    return pd.DataFrame(rows, columns=["fold_size", "tissue", "dice"])


class Looks:
    """Places of the test split to look at, chosen by rank of their score, never by eye.

    Parameters
    ----------
    network : keras.Model
    subjects : list of patchseg.dataset.Subject
    grid : patchseg.params.Preprocess
    rows : pandas.DataFrame
        Of `evaluate_network`, with a column `subject`.
    """

    def __init__(self, network, subjects, grid, rows):
        self._network, self._grid = network, grid
        self._subjects = {subject.name: subject for subject in subjects}
        self._rows = rows

    def _ranked(self, level):
        """Mean Dice and IoU of the tissues by place, worst first: places that hold at least 1 % of each, if there are any."""
        rows = self._rows[self._rows.level == level]
        places = rows.groupby(["subject", "axis", "slice", "patch"]).agg(dice=("dice", "mean"), iou=("iou", "mean"), share=("share", "min"))
        filled = places[places.share >= 0.01]
        return (filled if len(filled) else places).sort_values("dice", kind="stable")

    def _patch(self, place, row):
        subject, axis, index, number = place
        image, labels, _ = self._subjects[subject].load(self._grid.top)
        at = next(found for found in cut_slices(image, labels, self._grid, axis) if found[0] == index)
        predicted = views.labels(views.predict(self._network, at[1], len(at[1])))
        return f"{axis} slice {index}, patch {number}: Dice {row.dice:.3f}, IoU {row.iou:.3f}", at[1][number], at[2][number], predicted[number]

    def patches(self, ranks=("worst", "lower quartile", "median", "upper quartile", "best")):
        """Return (title, image, true labels, predicted labels) of the patches at evenly spaced ranks."""
        ranked = self._ranked("patch")
        at = np.linspace(0, len(ranked) - 1, len(ranks)).astype(int)
        found = [self._patch(ranked.index[i], ranked.iloc[i]) for i in at]
        return [(f"{rank}: {title}", *rest) for rank, (title, *rest) in zip(ranks, found, strict=True)]

    def median_patch(self):
        """Return (title, image, true labels, predicted labels) of the patch of median Dice."""
        ranked = self._ranked("patch")
        return self._patch(ranked.index[len(ranked) // 2], ranked.iloc[len(ranked) // 2])

    def median_slice(self):
        """Return (title, image, true labels, predicted labels) of the reassembled slice of median Dice, on its own grid."""
        ranked = self._ranked("slice")
        (subject, axis, index, _), row = ranked.index[len(ranked) // 2], ranked.iloc[len(ranked) // 2]
        image, labels, _ = self._subjects[subject].load(self._grid.top)
        at = next(found for found in cut_slices(image, labels, self._grid, axis) if found[0] == index)
        own_image, own_truth = slices(image, axis)[index], slices(labels, axis)[index]
        predicted = _reassemble(views.predict(self._network, at[1], len(at[1])), self._grid, own_truth.shape) * (own_image > 0)
        return f"{axis} slice {index}: Dice {row.dice:.3f}, IoU {row.iou:.3f} (mean of the tissues)", own_image, own_truth, predicted


def markdown(table):
    """Write a score table (of `metrics.table` by method, level and tissue) as Markdown: a line for each method and level."""
    head = "| method | level | n | Dice WM / GM / CSF, mean ± sd | pooled Dice | pooled IoU | HD95 (mm) | AVD (%) |"
    lines = [head, "|" + "---|" * 8]
    for (method, level), group in table.groupby(["method", "level"], sort=False):
        rows = group.set_index("tissue").loc[list(reversed(TISSUES))]
        mean = " / ".join(_mean_sd(*pair) for pair in zip(rows.dice_mean, rows.dice_sd, strict=True))
        columns = [" / ".join(f"{value:.{digits}f}" for value in rows[name]) for name, digits in _COLUMNS]
        lines.append(f"| {method} | {level} | {' / '.join(map(str, rows.n))} | {mean} | {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


_COLUMNS = (("dice_pooled", 3), ("iou_pooled", 3), ("hd95_mm_mean", 2), ("avd_percent_mean", 1))


def _mean_sd(mean, sd):
    return f"{mean:.3f}" if np.isnan(sd) else f"{mean:.3f} ± {sd:.2f}"


def write_scores(table, markdown, folder):
    """Write a score table (method, level, tissue, measures) as `scores.csv`, `scores.json` (for DVC) and `scores.md`."""
    folder = Path(folder)
    write_table(table, folder / "scores.csv")
    nested = {}
    for row in table.to_dict("records"):
        values = {name: float(f"{row[name]:.6g}") for name in ("dice_pooled", "iou_pooled", "dice_mean", "iou_mean")}
        nested.setdefault(row["method"], {}).setdefault(row["level"], {})[row["tissue"]] = values
    write_text(folder / "scores.json", json.dumps(nested, indent=2) + "\n")
    write_text(folder / "scores.md", markdown)
