"""Every picture. Each function returns a `Picture`; `save` writes it as PNG, the same bytes each time."""

import io

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import find_objects

from patchseg import TISSUES
from patchseg.files import replacing
from patchseg.patching import AXES

# Okabe & Ito 2008: told apart with every kind of colour blindness, and different in lightness
COLOURS = {"CSF": "#56B4E9", "GM": "#E69F00", "WM": "#F0E442"}
_LABELS = ListedColormap(["black", *COLOURS.values()])
_NORM = BoundaryNorm([-0.5, 0.5, 1.5, 2.5, 3.5], 4)
_LINES = {0: "#0072B2", 1: "#D55E00", 2: "#009E73"}
_STYLES = ("-", "--", ":")


class Picture(Figure):
    """A matplotlib figure that Jupyter shows without pyplot and its global state, and that is the same each time it is drawn."""

    def savefig(self, *arguments, **options):
        """Lay out once, then save: matplotlib's layout moves a little at each drawing."""
        if self.get_layout_engine() is not None:
            self.draw_without_rendering()
            self.set_layout_engine("none")
        super().savefig(*arguments, **options)

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, dpi=100, metadata={"Software": None})
        return buffer.getvalue()


def save(figure, path):
    """Write a figure as PNG (100 dpi) under a temporary name, then rename it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})


def _show_image(axes, image):
    axes.imshow(np.rot90(image), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()


def _show_labels(axes, labels):
    axes.imshow(np.rot90(labels), cmap=_LABELS, norm=_NORM, interpolation="nearest")
    axes.set_axis_off()


def _legend(figure, **position):
    handles = [Patch(facecolor=colour, edgecolor="black", label=tissue) for tissue, colour in COLOURS.items()]
    figure.legend(handles=handles, ncols=len(handles), frameon=False, **({"loc": "lower center"} | position))


def slice_and_patches(image, patches, title):
    """Show a slice on its square grid (h, h) beside its patches (n, p, p), with their numbers in the order of `patching.extract`."""
    figure = Picture(figsize=(8.5, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.imshow(np.rot90(image), cmap="gray", vmin=0, vmax=1)
    ticks = range(0, image.shape[0] + 1, patches.shape[1])
    axes.set(title=title, xlabel="pixels", ylabel="pixels", xticks=ticks, yticks=ticks)
    axes.grid(color="#E69F00", linewidth=0.7)
    edge = int(np.sqrt(len(patches)))
    numbers = np.rot90(np.arange(len(patches)).reshape(edge, edge))
    for number, cell in zip(numbers.flat, right.subplots(edge, edge).flat, strict=True):
        _show_image(cell, patches[number])
        cell.set_title(str(number), fontsize=8, pad=2)
    right.suptitle(f"its {len(patches)} patches of {patches.shape[1]} × {patches.shape[2]} pixels")
    return figure


def zoomed_pairs(pairs):
    """Show (image, mask, zoomed image, zoomed mask) tuples, a row each; without any, say so."""
    if not pairs:
        figure = Picture(figsize=(7.5, 0.8))
        figure.text(0.5, 0.5, "This recipe zooms in on no patch.", ha="center", va="center")
        return figure
    figure = Picture(figsize=(7.5, 1.9 * len(pairs) + 0.6), layout="constrained")
    grid = figure.subplots(len(pairs), 4, squeeze=False)
    for row, (image, mask, zoomed_image, zoomed_mask) in zip(grid, pairs, strict=True):
        _show_image(row[0], image)
        _show_labels(row[1], mask)
        _show_image(row[2], zoomed_image)
        _show_labels(row[3], zoomed_mask)
    for axes, title in zip(grid[0], ("patch", "its mask", "zoomed in", "its mask, zoomed in"), strict=True):
        axes.set_title(title)
    _legend(figure, loc="outside lower center")
    return figure


def learning_curve(history):
    """Plot loss and validation Dice over the epochs of a history (see `training.fit`)."""
    figure = Picture(figsize=(8.5, 3.4), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    loss.plot(history.epoch, history.loss, color=_LINES[0], marker=".")
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for number, tissue in enumerate(reversed(TISSUES)):
        dice.plot(history.epoch, history[f"val_dice_{tissue}"], color=_LINES[number], linestyle=_STYLES[number], marker=".", label=tissue)
    best = int(history.val_dice.argmax())
    dice.axvline(history.epoch[best], color="grey", linewidth=0.8, label=f"best mean, epoch {history.epoch[best]}")
    dice.set(xlabel="epoch", ylabel="validation Dice", ylim=(0, 1))
    dice.legend(loc="lower right")
    return figure


def loss_curve(losses):
    """Plot the mean loss of each round of a fine-tuning."""
    figure = Picture(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(losses) + 1), losses, color=_LINES[0], marker="o")
    axes.set(xlabel="round", ylabel="mean loss", ylim=(0, None), title="fine-tuning")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def predictions(rows):
    """Show (title, image, true labels, predicted labels) tuples, a row each."""
    figure = Picture(figsize=(6.6, 2.1 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for axes, (title, image, truth, predicted) in zip(grid, rows, strict=True):
        _show_image(axes[0], image)
        _show_labels(axes[1], truth)
        _show_labels(axes[2], predicted)
        axes[0].set_title(title, fontsize=9, loc="left")
    figure.suptitle("image, true mask, prediction")
    _legend(figure, loc="outside lower center")
    return figure


def tissue_maps(title, image, truth, predicted):
    """Show an image beside its true and predicted labels, and where they differ (white), cropped to what is not empty."""
    box = find_objects((image > 0).astype(np.uint8))[0]
    box = tuple(slice(max(0, side.start - 4), side.stop + 4) for side in box)
    image, truth, predicted = image[box], truth[box], predicted[box]
    figure = Picture(figsize=(11, 1.2 + 2.7 * image.shape[1] / image.shape[0]), layout="constrained")
    axes = figure.subplots(1, 4)
    _show_image(axes[0], image)
    _show_labels(axes[1], truth)
    _show_labels(axes[2], predicted)
    axes[3].imshow(np.rot90(truth != predicted), cmap="gray", interpolation="nearest")
    axes[3].set_axis_off()
    for cell, name in zip(axes, ("T1w", "true labels", "prediction", "they differ (white)"), strict=True):
        cell.set_title(name)
    figure.suptitle(title)
    _legend(figure, loc="outside lower center")
    return figure


def fold_sizes(curve):
    """Plot Dice against fold size, a panel a tissue and a line a recipe (columns recipe, fold_size, tissue, dice)."""
    figure = Picture(figsize=(10, 3.6), layout="constrained")
    panels = figure.subplots(1, len(TISSUES), sharey=True)
    for axes, tissue in zip(panels, reversed(TISSUES), strict=True):
        for number, (recipe, rows) in enumerate(curve[curve.tissue == tissue].groupby("recipe", sort=False)):
            axes.plot(rows.fold_size, rows.dice, color=_LINES[number % 3], linestyle=_STYLES[number % 3], marker="os^"[number % 3], label=recipe)
        axes.axvline(1, color="grey", linewidth=0.8)
        axes.set(title=tissue, xlabel="fold size (1 = as trained)")
        axes.set_xticks(sorted(curve.fold_size.unique()), [f"{size:g}" for size in sorted(curve.fold_size.unique())])
    panels[0].set_ylabel("Dice, pooled over patches")
    panels[0].legend(loc="lower center")
    return figure


def adaptation(curve, lines):
    """Plot Dice against labelled slices, a panel a brain.

    Parameters
    ----------
    curve : pandas.DataFrame
        Columns brain, slices, how (a line each), dice, low, high (a band).
    lines : pandas.DataFrame
        Columns brain, method, dice: what needs no labels.

    Returns
    -------
    figure : Picture
    """
    brains = list(dict.fromkeys(curve.brain))
    figure = Picture(figsize=(1 + 2.7 * len(brains), 3.6), layout="constrained")
    panels = figure.subplots(1, len(brains), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, brains, strict=True):
        own = curve[curve.brain == name]
        ticks = sorted(own.slices.unique())
        for number, (how, rows) in enumerate(own.groupby("how", sort=False)):
            at = [ticks.index(count) for count in rows.slices]
            axes.fill_between(at, rows.low, rows.high, color=_LINES[number % 3], alpha=0.2, linewidth=0)
            axes.plot(at, rows.dice, color=_LINES[number % 3], linestyle=_STYLES[number % 3], marker="os^"[number % 3], markersize=4, label=how)
        for style, row in zip(("-.", (0, (1, 3))), lines[lines.brain == name].itertuples(), strict=False):
            axes.axhline(row.dice, color="black", linewidth=1, linestyle=style, label=row.method)
        axes.set(title=name, xlabel="labelled slices")
        axes.set_xticks(range(len(ticks)), ticks)
    panels[0].set_ylabel("Dice, mean of GM and WM")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def robustness(curve):
    """Plot Dice against the strength of disturbances, a panel each and a line a brain (columns disturbance, strength, unit, brain, dice)."""
    kinds = list(dict.fromkeys(curve.disturbance))
    columns = -(-len(kinds) // 2)
    figure = Picture(figsize=(1 + 2.7 * columns, 6), layout="constrained")
    panels = figure.subplots(2, columns, sharey=True, squeeze=False).ravel()
    for axes, kind in zip(panels, kinds, strict=False):
        own = curve[curve.disturbance == kind]
        for number, (name, rows) in enumerate(own.groupby("brain", sort=False)):
            axes.plot(rows.strength, rows.dice, color=_LINES[number % 3], linestyle=_STYLES[number % 3], marker="os^"[number % 3], markersize=4, label=name)
        axes.set(title=kind, xlabel=own.unit.iloc[0])
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    figure.supylabel("Dice, mean of GM and WM")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def ablation(table):
    """Plot what each choice of a recipe is worth, a panel a measure: a dot for each seed, a bar for their mean.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns variant (a row each, the first is the recipe itself, whose mean is drawn through all rows), measure (a panel each),
        dice (a dot each).

    Returns
    -------
    figure : Picture
    """
    variants, measures = (list(dict.fromkeys(table[column])) for column in ("variant", "measure"))
    figure = Picture(figsize=(3.2 + 2.6 * len(measures), 1.1 + 0.27 * len(variants)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        own = table[table.measure == measure]
        axes.axvline(own[own.variant == variants[0]].dice.mean(), color="grey", linewidth=0.8)
        for number, variant in enumerate(variants):
            dice = own[own.variant == variant].dice
            axes.plot(dice, [number] * len(dice), linestyle="none", marker="o", markersize=5, markerfacecolor="none", color=_LINES[0])
            axes.plot(dice.mean(), number, marker="|", markersize=13, markeredgewidth=2, color=_LINES[1])
        axes.set(title=measure, xlabel="Dice, mean of GM and WM", ylim=(len(variants) - 0.4, -0.6))
        axes.grid(axis="y", color="lightgrey", linewidth=0.5)
        axes.set_yticks(range(len(variants)), variants)
    return figure


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
    first, last = box[number].start, box[number].stop - 1
    if at is None:
        at = np.unique(np.linspace(first + 0.08 * (last - first), last - 0.08 * (last - first), count).round().astype(int))
    extent = [(box[side].stop - box[side].start) * voxel_mm[side] for side in (wide, high)]
    width = 11 if count <= len(at) else max(4.5, 11 * len(at) / 4) if len(at) < 4 else 11
    height = min(4, width / len(at) * extent[1] / extent[0])
    figure = Picture(figsize=(width, 2 * height + 0.9), layout="constrained")
    rows = figure.subplots(2, len(at), squeeze=False)
    shape = {"aspect": voxel_mm[high] / voxel_mm[wide]}
    titles = titles or [f"{'xyz'[number]} = {index}" for index in at]
    for index, title, above, below in zip(at, titles, *rows, strict=True):
        cut = tuple(index if side == number else box[side] for side in range(3))
        above.imshow(np.rot90(image[cut]), cmap="gray", vmin=0, vmax=1, **shape)
        if colours:
            shown = below.imshow(np.rot90(values[cut]), cmap=colours, vmin=0, vmax=1, **shape)
        else:
            below.imshow(np.rot90(values[cut]), cmap=_LABELS, norm=_NORM, interpolation="nearest", **shape)
        above.set_title(title, fontsize=8)
        above.set_axis_off()
        below.set_axis_off()
    left, right = ("L", "R") if wide == 0 else ("P", "A")
    for place, letter in ((0.03, left), (0.97, right)):
        align = "left" if letter == left else "right"
        rows[0, 0].text(place, 0.96, letter, transform=rows[0, 0].transAxes, color="#F0E442", ha=align, va="top", fontsize=9, fontweight="bold")
    if colours:
        figure.colorbar(shown, ax=rows, shrink=0.8, label="0 certain, 1 no idea")
    else:
        _legend(figure, loc="outside lower center")
    return figure


def compared(image, truth, found, voxel_mm, title):
    """Show the middle slice along each axis: the image, its labels, and what was found.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    truth, found : (x, y, z) ndarray of uint8
        0 in `truth` inside the brain means that nobody labelled it.
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
        at = middle + (box[number].stop - box[number].start) // 10 if number == 0 else middle  # beside the midline, where the folds are
        cut = tuple(at if side == number else box[side] for side in range(3))
        shape = {"aspect": voxel_mm[high] / voxel_mm[wide]}
        row[0].imshow(np.rot90(image[cut]), cmap="gray", vmin=0, vmax=1, **shape)
        for panel, labels in zip(row[1:], (truth, found), strict=True):
            panel.imshow(np.rot90(labels[cut]), cmap=_LABELS, norm=_NORM, interpolation="nearest", **shape)
        row[0].set_ylabel(f"{axis}, {'xyz'[number]} = {at}")
        for panel in row:
            panel.set(xticks=[], yticks=[])
    for panel, name in zip(panels[0], ("image", "labels of the source", "patchseg"), strict=True):
        panel.set_title(name)
    figure.suptitle(title)
    _legend(figure, loc="outside lower center")
    return figure


def intensities(image, labels):
    """Plot the histograms of the tissues' intensities: three humps that hardly overlap in a good T1w."""
    figure = Picture(figsize=(8.5, 3.2), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, 81)
    for number, tissue in enumerate(TISSUES):
        found = image[labels == number + 1]
        axes.hist(found, edges, histtype="stepfilled", color=COLOURS[tissue], alpha=0.45)
        axes.hist(found, edges, histtype="step", color="black", linestyle=_STYLES[number], linewidth=1.2, label=tissue)
    axes.set(xlabel="intensity (0 background, 1 the brain's 99th percentile)", ylabel="voxels", xlim=(0, 1))
    axes.legend()
    return figure


def tissue_volumes(table):
    """Plot the volume of each tissue (cm³) with the interval that the views span (columns as in `segmentation.Result.volumes`)."""
    rows = table[table.tissue.isin(TISSUES)].iloc[::-1]
    figure = Picture(figsize=(8.5, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.barh(rows.tissue, rows.probability_mm3 / 1000, color=[COLOURS[tissue] for tissue in rows.tissue], edgecolor="black")
    spread = [(rows.probability_mm3 - rows.low_mm3).clip(lower=0) / 1000, (rows.high_mm3 - rows.probability_mm3).clip(lower=0) / 1000]
    axes.errorbar(rows.probability_mm3 / 1000, rows.tissue, xerr=spread, color="black", linestyle="none", capsize=4)
    axes.set(xlabel="volume (cm³); bars from probabilities, whiskers from view to view")
    return figure
