"""Draw docs/figures/: how patchseg works, and the network with its shapes.

    python tools/drawings.py    # a minute; needs the zoo (`patchseg zoo fetch`, or PATCHSEG_ZOO)

A person and a macaque are shown. The networks have seen neither (artefacts/across/networks).
"""

from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

import patchseg
from patchseg import figures, params, patching
from patchseg.core.tissues import most_probable
from patchseg.datasets import brains
from patchseg.figures.style import Picture, legend, show_image, show_labels
from patchseg.images import brain, grid
from patchseg.inference import networks, views

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "figures"
SHOWN = {"a person": ("human-nii2mesh", "people"), "a macaque": ("macaque-21mo", "no-macaque")}
# percentile that is white; pixels across the brain, as the network looks at it; edge of a patch
TOP, PIXELS, PATCH = 99.0, 80, 64
FRAME = "#CC79A7"
PLACES = {"a person": (0.50, 0.70), "a macaque": (0.54, 0.66)}
"""Of the patch's centre in the slice, as shares of its edges."""


def small(name):
    """Return a brain in [0, 1], in cubes so large that its volume takes 80 pixels to the third."""
    one = brains.load(name)
    pixel_mm, voxel_mm = one.size_mm / PIXELS, one.voxel_mm
    ready = one.normalised(TOP)[brain.bounding_box(one.mask)]
    shape = tuple(round(n * edge / pixel_mm) for n, edge in zip(ready.shape, voxel_mm, strict=True))
    return np.pad(grid.resize(ready, shape), 8)


def weights(name):
    """Return the path of a network that was kept for the evidence."""
    return ROOT / "artefacts" / "across" / "networks" / f"{name}.weights.h5"


def answers(network, image):
    """Return the most probable tissues of one slice (h, w), passed as a whole."""
    padded = np.pad(image, [(0, -n % 32) for n in image.shape])
    return most_probable(views.predict(network.model, padded[None], 1)[0])[
        : image.shape[0], : image.shape[1]
    ]


def patches(part, shown):
    """Draw where a patch lies in a slice of two species. Return the last patch."""
    cells = part.subplots(2, 2)
    for row, (title, (image, place)) in zip(cells, shown.items(), strict=True):
        left, bottom = (
            round(share * n - PATCH / 2) for share, n in zip(place, image.shape, strict=True)
        )
        patch = image[left : left + PATCH, bottom : bottom + PATCH]
        show_image(row[0], image)
        row[0].add_patch(
            Rectangle(
                (left - 0.5, image.shape[1] - bottom - PATCH - 0.5),
                PATCH,
                PATCH,
                fill=False,
                edgecolor=FRAME,
                linewidth=2,
            )
        )
        row[0].set_title(title, fontsize=10)
        show_image(row[1], patch)
        row[1].set_title(f"{PATCH} × {PATCH} pixels", fontsize=10)
        for side in ("left", "right", "top", "bottom"):
            row[1].spines[side].set(color=FRAME, linewidth=2)
        row[1].set_axis_on()
        row[1].set(xticks=[], yticks=[])
    return patch


def network_of(part, patch, found):
    """Draw a patch, the network as boxes in the form of a U, and the patch's tissues."""
    above, middle, below = part.subplots(3, 1, height_ratios=[1, 1.1, 1])
    show_image(above, patch)
    show_labels(below, found)
    boxes = [(0, 0, 1.0), (1, -0.55, 0.6), (2, -0.85, 0.35), (3, -0.55, 0.6), (4, 0, 1.0)]
    for at, height, high in boxes:
        middle.add_patch(
            Rectangle(
                (at - 0.17, height - high / 2), 0.34, high, facecolor="#56B4E9", edgecolor="black"
            )
        )
    for (at, height, _), (to, into, _) in zip(boxes, boxes[1:], strict=False):
        colour = "#D55E00" if into < height else "#009E73"
        middle.add_patch(
            FancyArrowPatch(
                (at + 0.17, height),
                (to - 0.17, into),
                arrowstyle="-|>",
                mutation_scale=9,
                color=colour,
            )
        )
    for (at, height, _), (to, _, _) in zip(boxes[:2], boxes[:2:-1], strict=True):
        middle.add_patch(
            FancyArrowPatch(
                (at + 0.17, height),
                (to - 0.17, height),
                arrowstyle="-|>",
                mutation_scale=9,
                color="grey",
                linestyle="--",
            )
        )
    middle.set(xlim=(-0.5, 4.5), ylim=(-1.15, 0.6))
    middle.set_axis_off()
    above.set_title("patch or slice", fontsize=10)
    below.set_title("its tissues", fontsize=10)


def three_views(part, image, network):
    """Draw the middle slice across each axis, and what the network says of it."""
    for row, axis in zip(part.subplots(3, 2), patching.AXES, strict=True):
        stack = patching.slices(image, axis)
        one = stack[len(stack) * 45 // 100]
        show_image(row[0], one)
        show_labels(row[1], answers(network, one))
        row[0].set_title(axis, fontsize=10)


def borders(part, name, network):
    """Draw a part of a slice: image, network alone, and the borders that the image moved."""
    one = brains.load(name)
    given, mask = (
        nib.Nifti1Image(data, one.affine) for data in (one.image, one.mask.astype(np.uint8))
    )
    path = weights(network)
    results = [patchseg.segment(given, mask, path, sharpen=sharpen) for sharpen in (False, True)]
    alone, moved = (np.asarray(result.dseg.dataobj) for result in results)
    box = brain.bounding_box(one.mask)
    ready = one.normalised(TOP)[box]
    middle = ready.shape[1] // 2
    across, up = ready.shape[0], ready.shape[2]
    cut = (slice(across // 2, across), middle, slice(up // 3, up))
    rows = {"image": ready, "the network alone": alone[box], "borders moved": moved[box]}
    for axes, (title, values) in zip(part.subplots(3, 1), rows.items(), strict=True):
        show = show_image if title == "image" else show_labels
        show(axes, values[cut])
        axes.set_title(title, fontsize=10)


def how_it_works():
    """Draw the four steps, a column each."""
    ready = {title: small(name) for title, (name, _) in SHOWN.items()}
    shown = {
        title: (patching.slices(image, "coronal")[image.shape[1] // 2], PLACES[title])
        for title, image in ready.items()
    }
    network = networks.load(weights("no-macaque"))
    figure = Picture(figsize=(13, 5.6), layout="constrained")
    parts = figure.subfigures(1, 4, width_ratios=[3.4, 1.6, 2.9, 1.6])
    patch = patches(parts[0], shown)
    network_of(parts[1], patch, answers(network, patch))
    three_views(parts[2], ready["a macaque"], network)
    borders(parts[3], *SHOWN["a macaque"])
    titles = (
        "1 · patches: folds differ, a window less",
        "2 · the network",
        "3 · three views, averaged",
        "4 · borders",
    )
    for part, title in zip(parts, titles, strict=True):
        part.suptitle(title, fontsize=12, fontweight="bold")
    legend(figure, loc="outside lower center")
    return figure


if __name__ == "__main__":
    figures.save(figures.unet_diagram(params.load(ROOT / "params.yaml").train), OUT / "unet.png")
    figures.save(how_it_works(), OUT / "how_it_works.png")
