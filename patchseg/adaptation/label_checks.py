"""Labels that contradict the image: mirrored, shifted, in another order, another's.

Where labels belong is told by the image alone (see `label_fit`). The network's guess, which may be
poor, is asked only which tissue is which.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchseg import checkpoint, patching
from patchseg.adaptation import label_fit
from patchseg.images import brain
from patchseg.images.grid import AXES

MOST_SLICES = 12  # of an image that are looked at, evenly spread
MOST_SHOWN = 6  # in a picture
ONE_SIDED = 0.4, 0.25
"""Labels of less than the first share of their slices teach badly where the guess has more than the
second wrong of them (see ``benchmarks/strokes.py``: thirty strokes .3 to .6, scribbles .1)."""
MENDS = {
    "mirrored": "check the orientation in the editor that wrote them",
    "shifted": "check that they were painted on this image and its grid, not on a moved copy",
    "swapped": "say what the values mean (--labels), or paint them again",
    "another brain": "check that they belong to this image",
    "mask": "is this a brain mask? Give labels of the tissues",
}
UNMENDED = ("another brain", "mask")


@dataclass(frozen=True)
class Finding:
    """A labelled slice that is probably wrong, and what would fit.

    Attributes
    ----------
    name : str
        Of the image.
    plane : {'sagittal', 'coronal', 'axial'}
    number : int
        Of the slice, along the RAS+ axis of the plane.
    kind : {'mirrored', 'shifted', 'swapped', 'another brain', 'mask'}
    fault : str
        In words: 'look mirrored left-right'.
    flip, shift : tuple of three int
        -1 for the axes along which mirrored labels fit; by how many voxels moved ones do.
    order : tuple of three int
        The tissues that labels 1, 2 and 3 seem to mean.
    """

    name: str
    plane: str
    number: int
    kind: str
    fault: str
    flip: tuple = (1, 1, 1)
    shift: tuple = (0, 0, 0)
    order: tuple = (1, 2, 3)

    def __str__(self):
        """Name the slice, the fault and the mend."""
        where = f"{self.plane} slice {self.slice_name(self.number)}"
        return f"{self.name}: the labels of {where} {self.fault}; {MENDS[self.kind]}"

    def slice_name(self, number):
        """Return the name of a slice of the plane: 'y = 57'."""
        return f"{'xyz'[AXES.index(self.plane)]} = {number}"


def check(one, first):
    """Look for labelled slices that are wrong.

    Parameters
    ----------
    one : patchseg.datasets.labelled.Labelled
    first : (x, y, z) ndarray of uint8
        What the network finds before it learns.

    Returns
    -------
    findings : list of Finding
        One for each slice, at most.
    """
    plane, numbers = one.slices()
    axis, seen, found = AXES.index(plane), label_fit.levels(one.image, one.mask), []
    given = np.where(one.known, one.labels, 0)
    spread = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_SLICES)).round().astype(int)
    for number in [numbers[at] for at in spread]:
        labels, guess = (np.take(part, number, axis) for part in (given, first))
        wrong = label_fit.wrong(seen, labels, guess, axis, number)
        if wrong:
            found.append(Finding(one.name, plane, number, **wrong))
    return found


def better(one, finding):
    """Return the labels of a doubted slice as they would fit, and the number of that slice.

    Parameters
    ----------
    one : patchseg.datasets.labelled.Labelled
    finding : Finding

    Returns
    -------
    labels : (x, y, z) ndarray of uint8
        0 on all other slices.
    number : int
    """
    axis, shape = AXES.index(finding.plane), np.array(one.labels.shape)
    places = np.argwhere(np.take(one.known, finding.number, axis))
    places = np.insert(places, axis, finding.number, axis=1)
    tissues = np.array([0, *finding.order], np.uint8)[one.labels[tuple(places.T)]]
    at = np.where(np.array(finding.flip) > 0, places, shape - 1 - places) + finding.shift
    inside = ((at >= 0) & (at < shape)).all(axis=1)
    labels = np.zeros(shape, np.uint8)
    labels[tuple(at[inside].T)] = tissues[inside]
    return labels, int(at[0, axis])


def picture(one, first, findings):
    """Draw each doubted slice: the image, its labels, and what would fit (or the guess).

    Returns
    -------
    figure : patchseg.figures.Picture
    """
    from patchseg import figures

    given, rows = np.where(one.known, one.labels, 0), []
    for finding in findings[:MOST_SHOWN]:
        fitting, number = better(one, finding)
        words = f"would fit, {finding.slice_name(number)}"
        if finding.kind in UNMENDED:
            fitting, number, words = first, finding.number, "what the network finds"
        here = finding.slice_name(finding.number)
        tiles = [(f"image, {here}", finding.number, None)]
        tiles += [(f"labels {finding.fault}", finding.number, given), (words, number, fitting)]
        rows.append(tiles)
    title = f"{one.name}: labels that may be wrong"
    shown = brain.normalise(one.image, one.mask)
    return figures.doubted(shown, rows, one.voxel_mm, findings[0].plane, title)


def tell(given, first, findings, out):
    """Say what is doubted, and draw it beside the weights.

    Parameters
    ----------
    given : list of patchseg.datasets.labelled.Labelled
    first : list of (x, y, z) ndarray of uint8
        What the network finds in each before it learns.
    findings : list of list of Finding
        Of `check`, for each.
    out : Path
        Of the weights; NAME_doubted.png comes beside them (NAME_doubted-2.png for the next image).

    Returns
    -------
    remarks : list of str
        What the user should know; none if nothing is wrong.
    """
    from patchseg import figures

    remarks, base = [], Path(out).name.removesuffix(checkpoint.SUFFIX)
    for old in Path(out).parent.glob("*_doubted*.png"):  # of labels that were corrected since
        if re.fullmatch(re.escape(base) + r"_doubted(-\d+)?\.png", old.name):
            old.unlink()
    for number, (one, guess, own) in enumerate(zip(given, first, findings, strict=True), 1):
        path = Path(out).with_name(f"{base}_doubted{f'-{number}' if number > 1 else ''}.png")
        if not own:
            continue
        figures.save(picture(one, guess, own), path)
        for kind in dict.fromkeys(finding.kind for finding in own):
            first_one, *others = [finding for finding in own if finding.kind == kind]
            also = ", ".join(finding.slice_name(finding.number) for finding in others)
            remarks.append(f"{first_one}{also and f' ({kind}, too: {also})'}; see {path}")
    return remarks


def one_sided(one, guess):
    """Say that few voxels are labelled, mostly where the network is wrong; empty if not.

    What is learned from such labels overturns the network where it was right, too.

    Parameters
    ----------
    one : patchseg.datasets.labelled.Labelled
    guess : (x, y, z) ndarray of uint8
        What the network finds before it learns.
    """
    plane, numbers = one.slices()
    own = patching.slices(one.mask, plane)[numbers].sum()
    painted, wrong = one.known.sum() / own, (one.labels != guess)[one.known].mean()
    if painted >= ONE_SIDED[0] or wrong <= ONE_SIDED[1]:
        return ""
    return (
        f"{one.name}: only {painted:.0%} of the slice is labelled, and {wrong:.0%} of that is not"
        " what the network finds; labels that stand mostly where it is wrong can make it worse."
        " Begin with its proposal (patchseg suggest) and correct that, or label the rest of the"
        " slice, too"
    )


def share(given, findings):
    """Return the share of the labelled slices that were looked at and are doubted."""
    looked = sum(min(MOST_SLICES, len(one.slices()[1])) for one in given)
    return sum(map(len, findings)) / max(looked, 1)
