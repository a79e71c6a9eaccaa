"""Slices with the outlines of what was found in them: side by side, or one below the other."""

import cv2
import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from patchseg.figures.sheet import (
    DARK,
    LINES,
    ROW_PX,
    Cut,
    each,
    grey,
    in_rows,
    nested,
    page,
    resized,
    with_lines,
)
from patchseg.figures.style import legend
from patchseg.images.grid import AXES

FAINT = 0.3  # entropy from which a voxel is marked as unsure


def outlined(image, labels, voxel_mm, axis, count=8):
    """Show slices of a brain along one axis with the outer border of each tissue.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    labels : (x, y, z) ndarray of uint8
        0 background, 1 CSF, 2 GM, 3 WM.
    voxel_mm : tuple of three float
    axis : {'sagittal', 'coronal', 'axial'}
    count : int
        Slices, at most; evenly spaced over the brain.

    Returns
    -------
    figure : patchseg.figures.sheet.Photo
    """
    cut = Cut(labels > 0, voxel_mm, axis, count, (ROW_PX // 4, 300))
    tiles = [
        with_lines(grey(cut(image, at), cut.size), nested(cut(labels, at))) for at in cut.places
    ]
    figure = page(in_rows(tiles, cut, 4))
    legend(figure)
    return figure


def unsure(values, brain, voxel_mm, axis, count=8):
    """Show slices of a map in [0, 1], 1 being 'no idea', over a brain; see `outlined`."""
    cut = Cut(brain, voxel_mm, axis, count, (ROW_PX // 4, 300))
    colours = matplotlib.colormaps["viridis"]
    shown = [
        cv2.resize(cut(values, at), cut.size, interpolation=cv2.INTER_AREA) for at in cut.places
    ]
    figure = page(in_rows([colours(one, bytes=True)[..., :3] for one in shown], cut, 4))
    height = figure.bbox.height
    bar = figure.add_axes((0.3, 20 / height, 0.4, 10 / height))
    figure.colorbar(ScalarMappable(cmap=colours), cax=bar, orientation="horizontal")
    bar.set_xticks([0, 1], ["0 certain", "1 no idea"], fontsize=8)
    return figure


def outlines(image, masks, voxel_mm, count=5, title=None):
    """Show slices of a whole head along each axis with the outline of its brain.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    masks : dict of str to (x, y, z) ndarray of bool
        One or two, by the name that the legend gives them; drawn one over the other.
    voxel_mm : tuple of three float
    count : int
        Slices along each axis, at most; evenly spaced over the brain.
    title : str, optional

    Returns
    -------
    figure : patchseg.figures.sheet.Photo
    """
    first = next(iter(masks.values()))
    lit = image > DARK
    brain = first if first.any() else lit
    drawn, named, around = [], list(zip(LINES, masks.items(), strict=False)), lit | brain
    for axis in AXES:
        room = (ROW_PX // count, 280)
        cut = Cut(brain, voxel_mm, axis, count, room, around)
        tiles = [
            with_lines(
                grey(cut(image, at), cut.size),
                [(cut(mask, at), *style) for style, (_, mask) in named],
            )
            for at in cut.places
        ]
        drawn += in_rows(tiles, cut, count)
    figure = page(drawn, title)
    handles = [
        Line2D([], [], color=colour, linestyle=style, label=name)
        for (colour, style), (name, _) in named
    ]
    figure.legend(handles=handles, ncols=len(handles), frameon=False, loc="lower center")
    return figure


def suggested(image, found, outlined, unsure, voxel_mm, axis, slices):
    """Show slices to label, one in a row: the image, what was found, and where it is unsure.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    found : (x, y, z) ndarray
        What was found in it.
    outlined : callable
        Takes a slice of that and returns its lines: `nested` of labels, `outline` of a mask.
    unsure : (x, y, z) ndarray of float
        Entropy, 0 certain, 1 no idea; marked from `FAINT`.
    voxel_mm : tuple of three float
    axis : {'sagittal', 'coronal', 'axial'}
    slices : list of (int, str)
        Number of each, and a title for its row.

    Returns
    -------
    figure : patchseg.figures.sheet.Photo
    """
    around, drawn = (image > DARK) | (found > 0), []
    cut = Cut(around, voxel_mm, axis, 1, (ROW_PX // 3, 340))
    for at, title in slices:
        bare = grey(cut(image, at), cut.size)
        lines = with_lines(bare, outlined(cut(found, at)))
        tiles = [("", with_lines(bare, [])), (title, lines), ("", _marked(bare, cut(unsure, at)))]
        drawn.append((tiles, cut.ends))
    figure = page(drawn, "from left to right: the image, what was found, where that is unsure")
    if outlined is nested:
        legend(figure, loc="lower left")
    height = figure.bbox.height
    bar = figure.add_axes((0.66, 20 / height, 0.28, 8 / height))
    shades = ScalarMappable(Normalize(FAINT, 1), matplotlib.colormaps["viridis"])
    figure.colorbar(shades, cax=bar, orientation="horizontal")
    bar.set_xticks([FAINT, 1], ["a little unsure", "no idea"], fontsize=8)
    return figure


def _marked(bare, unsure):
    """Colour where a (h, w) slice is unsure: (h, w, 3) uint8."""
    shades = resized(unsure, bare.shape[1::-1])
    shares = np.clip((shades - FAINT) / (1 - FAINT), 0, 1)
    colours = matplotlib.colormaps["viridis"](shares, bytes=True)[..., :3]
    return np.where(shades[..., None] > FAINT, colours, bare[..., None])


def doubted(image, rows, voxel_mm, axis, title):
    """Show labelled slices that may be wrong: in a row the slice bare and with outlines.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    rows : list of list of (str, int, ndarray or None)
        Of each tile in a row: its title, the number of the slice, and labels (x, y, z), of which
        each tissue is outlined.
    voxel_mm : tuple of three float
    axis : {'sagittal', 'coronal', 'axial'}
    title : str

    Returns
    -------
    figure : patchseg.figures.sheet.Photo
    """
    cut = Cut(image > 0, voxel_mm, axis, 1, (ROW_PX // 3, 340))
    drawn = []
    for row in rows:
        tiles = []
        for name, at, labels in row:
            lines = [] if labels is None else each(cut(labels, at))
            tiles.append((name, with_lines(grey(cut(image, at), cut.size), lines)))
        drawn.append((tiles, cut.ends))
    figure = page(drawn, title)
    legend(figure)
    return figure
