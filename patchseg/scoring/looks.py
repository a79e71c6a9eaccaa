"""Places of the test split to look at, chosen by rank of their score, never by eye."""

import numpy as np

from patchseg.core.tissues import most_probable
from patchseg.images.grid import AXES
from patchseg.inference import views
from patchseg.patching import slices
from patchseg.preprocess import cut_slices
from patchseg.scoring.evaluation import reassemble


class Looks:
    """Places of the test split to look at, chosen by rank of their score, never by eye.

    Parameters
    ----------
    network : keras.Model
    subjects : list of patchseg.datasets.bids.Subject
    grid : patchseg.params.Preprocess
    rows : pandas.DataFrame
        Of `evaluate_network`, with a column `subject`.
    """

    def __init__(self, network, subjects, grid, rows):
        self._network, self._grid = network, grid
        self._subjects = {subject.name: subject for subject in subjects}
        self._rows = rows

    def _ranked(self, level):
        """Return mean Dice and IoU of the tissues by place, worst first.

        Of the places that hold at least 1 % of each tissue, if there are any.
        """
        rows = self._rows[self._rows.level == level]
        places = rows.groupby(["subject", "axis", "slice", "patch"]).agg(
            dice=("dice", "mean"), iou=("iou", "mean"), share=("share", "min")
        )
        filled = places[places.share >= 0.01]
        return (filled if len(filled) else places).sort_values("dice", kind="stable")

    def _cut(self, place):
        """Return image and labels of the slice at a place, and its patches with what is found."""
        subject, axis, index, _ = place
        one = self._subjects[subject].load()
        image = one.normalised(self._grid.top)
        cuts = cut_slices(image, one.labels, self._grid, axis)
        _, patches, truth = next(cut for cut in cuts if cut[0] == index)
        found = views.predict(self._network, patches, len(patches))
        return slices(image, axis)[index], slices(one.labels, axis)[index], patches, truth, found

    def _patch(self, place, row):
        _, axis, index, number = place
        *_, patches, truth, found = self._cut(place)
        title = f"{axis} slice {index}, patch {number}: Dice {row.dice:.3f}, IoU {row.iou:.3f}"
        return title, patches[number], truth[number], most_probable(found[number])

    def patches(self, ranks=("worst", "lower quartile", "median", "upper quartile", "best")):
        """Return (title, image, true labels, predicted labels) of patches at even ranks."""
        ranked = self._ranked("patch")
        at = np.linspace(0, len(ranked) - 1, len(ranks)).astype(int)
        found = [self._patch(ranked.index[i], ranked.iloc[i]) for i in at]
        return [
            (f"{rank}: {title}", *rest) for rank, (title, *rest) in zip(ranks, found, strict=True)
        ]

    def median_patch(self):
        """Return (title, image, true labels, predicted labels) of the patch of median Dice."""
        ranked = self._ranked("patch")
        return self._patch(ranked.index[len(ranked) // 2], ranked.iloc[len(ranked) // 2])

    def median_slice(self):
        """Return (title, image, true labels, predicted labels) of the slice of median Dice.

        Of those along the axis that cuts a volume into its largest slices, so that a block of a
        brain shows a whole one.
        """
        ranked = self._ranked("slice")
        shape = next(iter(self._subjects.values())).load().image.shape
        largest = min(self._grid.axes, key=lambda axis: shape[AXES.index(axis)])
        whole = ranked[ranked.index.get_level_values("axis") == largest]
        ranked = whole if len(whole) else ranked
        place, row = ranked.index[len(ranked) // 2], ranked.iloc[len(ranked) // 2]
        image, truth, _, _, found = self._cut(place)
        _, axis, index, _ = place
        scores = f"Dice {row.dice:.3f}, IoU {row.iou:.3f} (mean of the tissues)"
        predicted = reassemble(found, self._grid, image)
        return f"{axis} slice {index}: {scores}", image, truth, predicted
