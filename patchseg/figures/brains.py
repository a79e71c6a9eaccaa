"""Pictures of whole brains: slices, labels, intensities, volumes."""

import numpy as np
from matplotlib.lines import Line2D
from scipy.ndimage import find_objects

from patchseg.core.tissues import COLOURS, TISSUES
from patchseg.figures.style import (
    LABEL_COLOURS,
    LABEL_NORM,
    STYLES,
    Picture,
    legend,
    show_image,
    show_labels,
)
from patchseg.images.grid import AXES

OUTLINES = (("#E69F00", "-"), ("#56B4E9", "--"))


def mosaic(image, values, voxel_mm, axis, count=8, colours=None, at=None, titles=None):
    """Show slices of a brain along one axis and below them what was found there.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    values : (x, y, z) ndarray
        Labels (uint8), or, with `colours`, a map in [0, 1].
    voxel_mm : tuple of three float
    axis : {'sagittal', 'coronal', 'axial'}
    count : int
        Slices, at most; evenly spaced.
    colours : str, optional
        A matplotlib colour map for `values`.
    at : list of int, optional
        These slices instead.
    titles : list of str, optional
        Their names; the number along the RAS+ axis unless given.

    Returns
    -------
    figure : Picture
    """
    number = AXES.index(axis)
    box = find_objects((image > 0).astype(np.uint8))[0]
    wide, high = [side for side in range(3) if side != number]
    at = _spread(box[number], count) if at is None else at
    extent = [(box[side].stop - box[side].start) * voxel_mm[side] for side in (wide, high)]
    width = 11 if len(at) >= min(count, 4) else max(4.5, 11 * len(at) / 4)
    height = min(4, width / len(at) * extent[1] / extent[0])
    figure = Picture(figsize=(width, 2 * height + 0.9), layout="constrained")
    rows = figure.subplots(2, len(at), squeeze=False)
    titles = titles or [f"{'xyz'[number]} = {index}" for index in at]
    for index, title, above, below in zip(at, titles, *rows, strict=True):
        cut = tuple(index if side == number else box[side] for side in range(3))
        aspect = voxel_mm[high] / voxel_mm[wide]
        show_image(above, image[cut], aspect)
        shown = show_labels(below, values[cut], aspect, colours)
        above.set_title(title, fontsize=8)
    _mark_ends(rows[0, 0], "LR" if wide == 0 else "PA")
    if colours:
        figure.colorbar(shown, ax=rows, shrink=0.8, label="0 certain, 1 no idea")
    else:
        legend(figure, loc="outside lower center")
    return figure


def outlines(image, masks, voxel_mm, count=5, title=None):
    """Show slices of a whole head along each axis with the outline of its brain.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    masks : dict of str to (x, y, z) ndarray of bool
        By the name that the legend gives them; drawn one over the other.
    voxel_mm : tuple of three float
    count : int
        Slices along each axis, evenly spaced over the brain.
    title : str, optional

    Returns
    -------
    figure : Picture
    """
    first = next(iter(masks.values()))
    box = find_objects((first if first.any() else image > 0).astype(np.uint8))[0]
    figure = Picture(figsize=(11, 7.5), layout="constrained")
    panels = figure.subplots(3, count)
    for number, row in enumerate(panels):
        wide, high = [side for side in range(3) if side != number]
        for at, panel in zip(
            np.linspace(*_inner(box[number]), count).astype(int), row, strict=True
        ):
            show_image(panel, np.take(image, at, number), voxel_mm[high] / voxel_mm[wide])
            panel.set_title(f"{'xyz'[number]} = {at}", fontsize=8)
            for (colour, style), mask in zip(OUTLINES, masks.values(), strict=False):
                _outline(panel, np.take(mask, at, number), colour, style)
        _mark_ends(row[0], "LR" if wide == 0 else "PA")
    handles = [
        Line2D([], [], color=colour, linestyle=style, label=name)
        for (colour, style), name in zip(OUTLINES, masks, strict=False)
    ]
    figure.legend(handles=handles, ncols=len(handles), frameon=False, loc="outside lower center")
    if title:
        figure.suptitle(title)
    return figure


def outlined(image, mask, voxel_mm, axis, at, titles):
    """Show slices of a whole head along one axis with the outline of its brain.

    Parameters
    ----------
    image, mask, voxel_mm
        See `outlines`.
    axis : {'sagittal', 'coronal', 'axial'}
    at : list of int
    titles : list of str

    Returns
    -------
    figure : Picture
    """
    number = AXES.index(axis)
    wide, high = [side for side in range(3) if side != number]
    size = [image.shape[side] * voxel_mm[side] for side in (wide, high)]
    width = min(11, 5.5 * len(at))
    height = width / len(at) * size[1] / size[0] + 0.5
    figure = Picture(figsize=(width, height), layout="constrained")
    panels = figure.subplots(1, len(at), squeeze=False)[0]
    for index, title, panel in zip(at, titles, panels, strict=True):
        show_image(panel, np.take(image, index, number), voxel_mm[high] / voxel_mm[wide])
        _outline(panel, np.take(mask, index, number), *OUTLINES[0])
        panel.set_title(title, fontsize=8)
    _mark_ends(panels[0], "LR" if wide == 0 else "PA")
    return figure


def _outline(panel, mask, colour, style):
    """Draw the border of the mask of a slice, if it has one."""
    cut = np.rot90(mask)
    if min(cut.shape) > 1 and cut.any() and not cut.all():
        panel.contour(cut, [0.5], colors=colour, linestyles=style, linewidths=1.3)


def _inner(side):
    """Return the first and last slice of a side that are shown."""
    room = 0.1 * (side.stop - side.start)
    return side.start + room, side.stop - 1 - room


def _spread(side, count):
    """Return evenly spaced slices of a side of the brain's box, not too near its ends."""
    first, last = side.start, side.stop - 1
    room = 0.08 * (last - first)
    return np.unique(np.linspace(first + room, last - room, count).round().astype(int))


def _mark_ends(axes, letters):
    """Write the letters of the left and the right end into a panel."""
    style = {"color": "#F0E442", "va": "top", "fontsize": 9, "fontweight": "bold"}
    for place, letter, align in zip((0.03, 0.97), letters, ("left", "right"), strict=True):
        axes.text(place, 0.96, letter, transform=axes.transAxes, ha=align, **style)


def compared(image, truth, found, voxel_mm, title):
    """Show the middle slice along each axis: the image, its labels, and what was found.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    truth, found : (x, y, z) ndarray of uint8
        255 in `truth`: brain that nobody labelled.
    voxel_mm : tuple of three float
    title : str

    Returns
    -------
    figure : Picture
    """
    box = find_objects((image > 0).astype(np.uint8))[0]
    figure = Picture(figsize=(9, 9), layout="constrained")
    panels = figure.subplots(3, 3)
    for number, (axis, row) in enumerate(zip(AXES, panels, strict=True)):
        wide, high = [side for side in range(3) if side != number]
        middle = (box[number].start + box[number].stop) // 2
        # beside the midline, where the folds are
        at = middle + (box[number].stop - box[number].start) // 10 if number == 0 else middle
        cut = tuple(at if side == number else box[side] for side in range(3))
        shape = {"aspect": voxel_mm[high] / voxel_mm[wide]}
        row[0].imshow(np.rot90(image[cut]), cmap="gray", vmin=0, vmax=1, **shape)
        for panel, labels in zip(row[1:], (truth, found), strict=True):
            panel.imshow(
                np.rot90(labels[cut]),
                cmap=LABEL_COLOURS,
                norm=LABEL_NORM,
                interpolation="nearest",
                **shape,
            )
        row[0].set_ylabel(f"{axis}, {'xyz'[number]} = {at}")
        for panel in row:
            panel.set(xticks=[], yticks=[])
    for panel, name in zip(panels[0], ("image", "labels of the source", "patchseg"), strict=True):
        panel.set_title(name)
    figure.suptitle(title)
    legend(figure, truth, loc="outside lower center")
    return figure


def intensities(image, labels):
    """Plot the histograms of the tissues' intensities: humps that hardly overlap in a good T1w."""
    figure = Picture(figsize=(8.5, 3.2), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, 81)
    for number, tissue in enumerate(TISSUES):
        found = image[labels == number + 1]
        axes.hist(found, edges, histtype="stepfilled", color=COLOURS[tissue], alpha=0.45)
        axes.hist(
            found,
            edges,
            histtype="step",
            color="black",
            linestyle=STYLES[number],
            linewidth=1.2,
            label=tissue,
        )
    axes.set(
        xlabel="intensity (0 background, 1 the brain's 99th percentile)",
        ylabel="voxels",
        xlim=(0, 1),
    )
    axes.legend()
    return figure


def tissue_volumes(table):
    """Plot the volume of each tissue (cm³) with the interval that the views span.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `patchseg.inference.result.Result`, its `volumes`.
    """
    rows = table[table.tissue.isin(TISSUES)].iloc[::-1]
    figure = Picture(figsize=(8.5, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        rows.tissue,
        rows.probability_mm3 / 1000,
        color=[COLOURS[tissue] for tissue in rows.tissue],
        edgecolor="black",
    )
    spread = [
        (rows.probability_mm3 - rows.low_mm3).clip(lower=0) / 1000,
        (rows.high_mm3 - rows.probability_mm3).clip(lower=0) / 1000,
    ]
    axes.errorbar(
        rows.probability_mm3 / 1000,
        rows.tissue,
        xerr=spread,
        color="black",
        linestyle="none",
        capsize=4,
    )
    axes.set(xlabel="volume (cm³); bars from probabilities, whiskers from view to view")
    return figure
