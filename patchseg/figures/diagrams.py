"""Drawings that explain: the network with its shapes, and what zoom-in does to a fold."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle

from patchseg.core.tissues import TISSUES
from patchseg.figures.style import (
    LABEL_COLOURS,
    LABEL_NORM,
    Picture,
    legend,
    show_image,
    show_labels,
)

BODIES = {
    "unet": "3 × 3 convolution, batch normalisation, ReLU",
    "resunet": "residual block of two 3 × 3 convolutions",
}
STEPS = {"body": "#0072B2", "pool": "#D55E00", "up": "#009E73", "skip": "#999999", "last": "black"}
FEATURES, FRAME = "#56B4E9", "#CC79A7"
DOWN = 1.3  # from a level to the next


def unet_diagram(settings, patch=64):
    """Draw the network that `unet.build` makes of these settings, with the shape after each step.

    Parameters
    ----------
    settings : patchseg.params.Train
        Its `network`, `levels`, `features`, `blocks` and `loss`.
    patch : int
        Edge of a patch in pixels.

    Returns
    -------
    figure : Picture
        Shapes are height × width × features.
    """
    channels = TISSUES if settings.loss == "bce" else ("background", *TISSUES)
    places = _places(settings, len(channels))
    figure = Picture(
        figsize=(1.08 * len(places) + 1, 1 + 1.15 * settings.levels), layout="constrained"
    )
    axes = figure.subplots()
    most = max(features for _, features, _ in places)
    boxes = [_box(axes, at, *place, patch, most) for at, place in enumerate(places)]
    _arrows(axes, places, boxes)
    axes.set(xlim=(-0.6, len(boxes) - 0.4), ylim=(-DOWN * (settings.levels - 1) - 0.6, 0.8))
    axes.set_axis_off()
    names = _names(settings, channels)
    handles = [
        Line2D([], [], color=STEPS[step], linestyle="--" if step == "skip" else "-", label=name)
        for step, name in names.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _places(settings, channels):
    """List (level, features, what it is) of what the network holds one after the other."""
    levels, widths = settings.levels, settings.features
    if isinstance(widths, int):
        widths = [widths * 2**level for level in range(levels)]
    places = [(0, 1, "input"), *[(level, width, "down") for level, width in enumerate(widths[:-1])]]
    places += [(levels - 1, widths[-1], "deepest")]
    for level in reversed(range(levels - 1)):
        places += [(level, 2 * widths[level], "joined"), (level, widths[level], "up")]
    return [*places, (0, channels, "output")]


def _names(settings, channels):
    """Say what each kind of arrow stands for."""
    blocks = (
        settings.blocks
        if isinstance(settings.blocks, int)
        else " or ".join(map(str, sorted(set(settings.blocks))))
    )
    activation = "sigmoid" if settings.loss == "bce" else "softmax"
    return {
        "body": f"{blocks} × ({BODIES[settings.network]})",
        "pool": "the largest of 2 × 2 pixels: edges halve; then as blue",
        "up": "transposed convolution: edges double",
        "skip": "copied and put beside it",
        "last": f"1 × 1 convolution, {activation}: {', '.join(channels)}",
    }


def _box(axes, at, level, features, kind, patch, most):
    """Draw feature maps, the more the wider. Return left, right, bottom and top."""
    edge = patch // 2**level
    high, wide = edge / patch, 0.1 + 0.4 * (features / most) ** 0.5
    left, bottom = at - wide / 2, -DOWN * level - high / 2
    halves = {"joined": (STEPS["skip"], STEPS["up"]), "input": ("white",), "output": ("white",)}
    colours = halves.get(kind, (FEATURES,))
    for number, colour in enumerate(colours):
        part = wide / len(colours)
        box = Rectangle(
            (left + number * part, bottom), part, high, facecolor=colour, edgecolor="black"
        )
        axes.add_patch(box)
    shape = f"{edge} × {edge} × {features}"
    aside = 0.1 if kind == "down" and level else 0  # not on the arrow that comes from the left
    where = (at, bottom - 0.05) if kind == "deepest" else (at + aside, bottom + high + 0.05)
    axes.text(*where, shape, ha="center", va="top" if kind == "deepest" else "bottom", fontsize=9)
    return left, at + wide / 2, bottom, bottom + high


def _arrows(axes, places, boxes):
    """Draw the steps between boxes, which stand in the order of the computation."""
    for number in range(1, len(boxes)):
        (before, _, _), (level, _, kind) = places[number - 1 : number + 1]
        from_left, from_right, from_bottom, _ = boxes[number - 1]
        left, right, bottom, _ = boxes[number]
        start = from_right, -DOWN * before
        if kind == "joined":
            _arrow(axes, start, ((left + 3 * right) / 4, bottom), "up")
            _arrow(axes, (boxes[1 + level][1], -DOWN * level), (left, -DOWN * level), "skip")
        else:
            step = "last" if kind == "output" else "body" if before == level else "pool"
            if step == "pool":
                start = (from_left + 3 * from_right) / 4, from_bottom
            _arrow(axes, start, (left, -DOWN * level), step)


def _arrow(axes, start, end, step):
    style = {"linestyle": "--", "linewidth": 1.2} if step == "skip" else {"linewidth": 1.8}
    style |= {"arrowstyle": "-|>", "mutation_scale": 13, "shrinkA": 3, "shrinkB": 3}
    axes.add_patch(FancyArrowPatch(start, end, color=STEPS[step], **style))


def zoom_steps(steps):
    """Show what zoom-in does to a fold: image, mask, and the brightness along the middle line.

    Parameters
    ----------
    steps : dict of float to (image, mask)
        The kept share of each edge, and what `augment.zoom_in` makes of the patch with it:
        (h, w) float in [0, 1] and (h, w) uint8 (0 background, 1 CSF, 2 GM, 3 WM, 255 unlabelled).

    Returns
    -------
    figure : Picture
    """
    figure = Picture(figsize=(3.1 * len(steps), 7.4), layout="constrained")
    rows = figure.subplots(3, len(steps), height_ratios=[1, 1, 0.55], squeeze=False)
    for (share, (image, mask)), (above, middle, below) in zip(steps.items(), rows.T, strict=True):
        line = image.shape[1] // 2
        show_image(above, image)
        show_labels(middle, mask)
        for panel in (above, middle):
            panel.axhline(image.shape[1] - 1 - line, color=FRAME, linewidth=1)
        for kept in set(steps) - {1} if share == 1 else ():
            _frame(above, kept, image.shape)
        title = "the patch" if share == 1 else f"its central {share:g}: {1 / share:.3g} × as large"
        above.set_title(title)
        _along(below, image[:, line], mask[:, line])
    rows[2, 0].set_ylabel("brightness")
    legend(figure, *(mask for _, mask in steps.values()), loc="outside lower center")
    return figure


def _frame(axes, kept, shape):
    """Draw what of a patch of this shape zoom-in keeps."""
    wide, high = (kept * n for n in shape)
    corner = ((shape[0] - wide) / 2 - 0.5, (shape[1] - high) / 2 - 0.5)
    axes.add_patch(Rectangle(corner, wide, high, fill=False, edgecolor=FRAME, linestyle="--"))


def _along(axes, brightness, labels):
    """Plot the brightness along a line, its labels as a strip, and how long the middle run is."""
    n, middle = len(labels), len(labels) // 2
    where = {"extent": (-0.5, n - 0.5, 0, 0.12), "aspect": "auto", "interpolation": "nearest"}
    axes.imshow(labels[None], cmap=LABEL_COLOURS, norm=LABEL_NORM, **where)
    axes.plot(brightness, color="black", linewidth=1.2)
    changes = np.flatnonzero(np.diff(labels)) + 1
    first, last = max([0, *changes[changes <= middle]]), min([n, *changes[changes > middle]])
    name = dict(enumerate(("background", *TISSUES))).get(labels[middle], "unlabelled")
    axes.set(xlim=(-0.5, n - 0.5), ylim=(0, 1.05), xlabel="pixel along the line")
    axes.set_title(f"{name} in the middle: {last - first} pixels")
