"""Pictures of the stages: patches, zoom-in, training, scores."""

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import find_objects

from patchseg.core.tissues import TISSUES, UNLABELLED
from patchseg.figures.style import LINES, STYLES, Picture, legend, show_image, show_labels


def slice_and_patches(image, patches, title):
    """Show a slice beside its patches, which have their numbers.

    Parameters
    ----------
    image : (h, h) ndarray in [0, 1]
        The slice on its square grid.
    patches : (n, p, p) ndarray
        Of `patching.extract`, all of them.
    title : str
    """
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
        show_image(cell, patches[number])
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
        show_image(row[0], image)
        show_labels(row[1], mask)
        show_image(row[2], zoomed_image)
        show_labels(row[3], zoomed_mask)
    titles = ("patch", "its mask", "zoomed in", "its mask, zoomed in")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    legend(figure, *(mask for _, mask, _, _ in pairs), loc="outside lower center")
    return figure


def learning_curve(history):
    """Plot loss and validation Dice over the epochs of one or more trainings.

    Lines are means over the seeds, bands go from the least to the most. The epochs over which the
    weights are averaged are shaded.

    Parameters
    ----------
    history : pandas.DataFrame
        Of `loop.fit_seeds`.
    """
    figure = Picture(figsize=(8.5, 3.4), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    _line(loss, history, "epoch", "loss", LINES[0], "-", marker=".")
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for number, tissue in enumerate(reversed(TISSUES)):
        column = f"val_dice_{tissue}"
        style = {"marker": ".", "label": tissue}
        _line(dice, history, "epoch", column, LINES[number], STYLES[number], **style)
    epochs = history.epoch.max()
    half = epochs // 2 + 0.5, epochs + 0.5
    dice.axvspan(*half, color="grey", alpha=0.15, linewidth=0, label="weights averaged")
    loss.axvspan(*half, color="grey", alpha=0.15, linewidth=0)
    for axes in (loss, dice):
        axes.set_xlim(0.5, epochs + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    dice.set(xlabel="epoch", ylabel="validation Dice", ylim=(0, 1))
    dice.legend(loc="lower right")
    seeds = history.seed.nunique()
    figure.suptitle(f"mean of {seeds} seeds, least to most" if seeds > 1 else "one seed")
    return figure


def _line(axes, table, x, y, color, linestyle, **style):
    """Plot the mean of y by x as a line, and from its least to its most as a band."""
    by_x = table.groupby(x)[y]
    middle, least, most = by_x.mean(), by_x.min(), by_x.max()
    axes.fill_between(middle.index, least, most, color=color, alpha=0.2, linewidth=0)
    axes.plot(middle.index, middle, color=color, linestyle=linestyle, **style)


def loss_curve(losses):
    """Plot the mean loss of each round of a fine-tuning."""
    figure = Picture(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(losses) + 1), losses, color=LINES[0], marker="o")
    top = 1.1 * max(losses)
    axes.set(xlabel="round", ylabel="mean loss", ylim=(0, top), title="fine-tuning")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def predictions(rows):
    """Show (title, image, true labels, predicted labels) tuples, a row each."""
    figure = Picture(figsize=(6.6, 2.1 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for axes, (title, image, truth, predicted) in zip(grid, rows, strict=True):
        show_image(axes[0], image)
        show_labels(axes[1], truth)
        show_labels(axes[2], predicted)
        axes[0].set_title(title, fontsize=9, loc="left")
    figure.suptitle("image, true mask, prediction")
    legend(figure, *(truth for _, _, truth, _ in rows), loc="outside lower center")
    return figure


def tissue_maps(title, image, truth, predicted):
    """Show an image, its true and predicted labels (h, w), and where they differ, cropped."""
    box = find_objects((image > 0).astype(np.uint8))[0]
    box = tuple(slice(max(0, side.start - 4), side.stop + 4) for side in box)
    image, truth, predicted = image[box], truth[box], predicted[box]
    figure = Picture(
        figsize=(11, 1.2 + 2.7 * image.shape[1] / image.shape[0]), layout="constrained"
    )
    axes = figure.subplots(1, 4)
    show_image(axes[0], image)
    show_labels(axes[1], truth)
    show_labels(axes[2], predicted)
    differ = (truth != predicted) & (truth != UNLABELLED)
    axes[3].imshow(np.rot90(differ), cmap="gray", interpolation="nearest")
    axes[3].set_axis_off()
    names = ("T1w", "true labels", "prediction", "they differ (white)")
    for cell, name in zip(axes, names, strict=True):
        cell.set_title(name)
    figure.suptitle(title)
    legend(figure, truth, loc="outside lower center")
    return figure


def fold_sizes(curve):
    """Plot Dice against fold size, a panel a tissue and a line a recipe.

    Lines are means over the seeds, bands go from the least to the most.

    Parameters
    ----------
    curve : pandas.DataFrame
        Columns recipe, seed, fold_size, tissue, dice.
    """
    figure = Picture(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, len(TISSUES))
    sizes = sorted(curve.fold_size.unique())
    for axes, tissue in zip(panels, reversed(TISSUES), strict=True):
        own = curve[curve.tissue == tissue].groupby("recipe", sort=False)
        for number, (recipe, rows) in enumerate(own):
            style = {"marker": "os^"[number % 3], "label": recipe}
            _line(axes, rows, "fold_size", "dice", LINES[number % 3], STYLES[number % 3], **style)
        axes.axvline(1, color="grey", linewidth=0.8)
        axes.set(title=tissue, xlabel="fold size (1 = as it is)", xscale="log")
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
    panels[0].set_ylabel("Dice, pooled over patches")
    handles, names = panels[0].get_legend_handles_labels()
    seeds = curve.seed.nunique()
    title = f"mean of {seeds} seeds, least to most" if seeds > 1 else None
    place = {"loc": "outside lower center", "ncols": len(names), "frameon": False}
    figure.legend(handles, names, title=title, **place)
    return figure
