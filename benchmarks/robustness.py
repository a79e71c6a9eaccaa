"""Dice against noise, bias, blur, voxel size, slice thickness, rotation and fold size.

    python benchmarks/robustness.py            # ten minutes on two cores; current rows are kept
    python benchmarks/robustness.py --report   # the figure only

The network was trained on people only (artefacts/across/networks/people); it has seen none of the
three brains. Needs PATCHSEG_ZOO. Writes artefacts/across/robustness.csv and .png.
"""

import common
import numpy as np
from common import ACROSS, as_given, dice, load, weights_of
from scipy import ndimage

from patchseg import figures
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets.labelled import Labelled
from patchseg.figures.style import LINES, STYLES, Picture
from patchseg.images import brain
from patchseg.inference import segmentation

NETWORK = "people"
BRAINS = ("human-nii2mesh", "chimp", "macaque-21mo")


def noise(image, labels, affine, strength):
    """Add Gaussian noise, as a share of the brain's 99th percentile."""
    top = np.percentile(image[image > 0], 99)
    added = np.random.default_rng(0).normal(0, strength * top, image.shape).astype(np.float32)
    return np.where(image > 0, np.maximum(image + added, 1e-3 * top), 0), labels, affine


def bias(image, labels, affine, strength):
    """Multiply by a smooth field that goes up and down by this share."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.shape], indexing="ij")
    field = np.sin(1.5 * x + 1) * np.cos(1.2 * y) * np.sin(1.3 * z + 0.7)
    field -= field[image > 0].mean()
    field = (1 + strength * field / np.abs(field[image > 0]).max()).astype(np.float32)
    return image * field, labels, affine


def blur(image, labels, affine, strength):
    """Smooth by a Gaussian of so many voxels, inside the brain."""
    inside = (image > 0).astype(np.float32)
    weight = np.maximum(ndimage.gaussian_filter(inside, strength), 1e-3)
    return ndimage.gaussian_filter(image, strength) / weight * inside, labels, affine


def _coarser(image, labels, affine, steps):
    """Average blocks of voxels, an odd number along each edge; the middle one's label is true."""
    steps = [int(step) for step in steps]
    cut = tuple(slice(0, n - n % step) for n, step in zip(image.shape, steps, strict=True))
    image, labels = image[cut], labels[cut]
    split = [size for n, step in zip(image.shape, steps, strict=True) for size in (n // step, step)]
    image = image.reshape(split).mean(axis=(1, 3, 5))
    middle = tuple(slice(step // 2, None, step) for step in steps)
    return image.astype(np.float32), labels[middle], affine @ np.diag([*steps, 1])


def voxel_size(image, labels, affine, strength):
    """Average cubes of so many voxels along each edge; the labels of their middles are true."""
    return _coarser(image, labels, affine, [strength] * 3)


def thickness(image, labels, affine, strength):
    """Average so many axial slices; the labels of the middle ones are true."""
    return _coarser(image, labels, affine, [1, 1, strength])


def rotation(image, labels, affine, strength):
    """Turn by so many degrees about two axes."""
    for axes in ((0, 2), (1, 2)):
        image = ndimage.rotate(image, strength, axes, reshape=False, order=1)
        labels = ndimage.rotate(labels, strength, axes, reshape=False, order=0)
    return np.where(image > 0.02 * image.max(), image, 0), labels, affine


def same(image, labels, affine, _):
    """Leave the image; the magnification changes instead."""
    return image, labels, affine


KINDS = {
    "noise": (noise, (0, 0.05, 0.1, 0.15), "standard deviation"),
    "bias": (bias, (0, 0.2, 0.4, 0.6), "up and down by this share"),
    "blur": (blur, (0, 0.5, 1, 1.5), "standard deviation (voxels)"),
    "voxel size": (voxel_size, (1, 3, 5), "times as large"),
    "slice thickness": (thickness, (1, 3, 5, 7), "times as thick"),
    "rotation": (rotation, (0, 10, 20, 30), "degrees about two axes"),
    "fold size": (same, (0.5, 0.7, 1, 1.4, 2), "magnification"),
}


def picture(curve):
    """Plot Dice against the strength of disturbances, a panel each and a line a brain.

    Parameters
    ----------
    curve : pandas.DataFrame
        Columns disturbance, strength, unit, brain, dice.
    """
    kinds = list(dict.fromkeys(curve.disturbance))
    columns = -(-len(kinds) // 2)
    figure = Picture(figsize=(1 + 2.7 * columns, 6), layout="constrained")
    panels = figure.subplots(2, columns, sharey=True, squeeze=False).ravel()
    for axes, kind in zip(panels, kinds, strict=False):
        own = curve[curve.disturbance == kind]
        for number, (name, rows) in enumerate(own.groupby("brain", sort=False)):
            axes.plot(
                rows.strength,
                rows.dice,
                color=LINES[number % 3],
                linestyle=STYLES[number % 3],
                marker="os^"[number % 3],
                markersize=4,
                label=name,
            )
        axes.set(title=kind, xlabel=own.unit.iloc[0])
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    figure.supylabel("Dice, mean of GM and WM")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def disturbed(one, disturb, strength):
    """Return a `Labelled` as a worse scanner would have seen it.

    Where the disturbed image has brain and no label, it is unlabelled.
    """
    image = np.where(one.mask, one.image, 0).astype(np.float32)
    labels = np.where(one.known, one.labels, 0).astype(np.uint8)
    image, labels, affine = disturb(image, labels, one.affine, strength)
    mask = brain.foreground(image, one.name)
    labels = np.where(mask, np.where(labels > 0, labels, UNLABELLED), 0).astype(np.uint8)
    return Labelled(one.name, image, labels, affine)


def measure(disturbance, strength, brain):
    """Segment a disturbed brain: one row."""
    disturb, _, unit = KINDS[disturbance]
    one = disturbed(load(brain), disturb, strength)
    scales = (strength if disturbance == "fold size" else 1.0,)
    result = segmentation.segment(*as_given(one), weights_of(NETWORK), scales=scales)
    found = dice(one, np.asarray(result.dseg.dataobj))
    return [{"unit": unit, "dice": round(float(np.mean(found)), 4)}]


def key(disturbance, strength, brain):
    """Return the fingerprint of a row."""
    code = (measure, KINDS[disturbance][0])
    return common.key(*code, brain_names=[brain], networks=[NETWORK])


def main():
    """Do what is missing or stale, then draw."""
    given = common.parser(__doc__).parse_args()
    jobs = [
        {"disturbance": kind, "strength": strength, "brain": name}
        for name in BRAINS
        for kind in KINDS
        for strength in KINDS[kind][1]
    ]
    table = common.complete(
        ACROSS / "robustness.csv", jobs, key, measure, given.report, what="images"
    )
    figures.save(picture(table), ACROSS / "robustness.png")


if __name__ == "__main__":
    main()
