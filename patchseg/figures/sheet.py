"""A page of slices: which, how large, with which lines, side by side and not scaled again."""

import io

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import FigureImage
from matplotlib.transforms import IdentityTransform

from patchseg.core.tissues import COLOURS
from patchseg.figures.style import Picture
from patchseg.images import grid
from patchseg.images.grid import AXES

ROW_PX = 1080
"""Width of a row of slices."""
DPI = 100  # at which `style.save` writes: no pixel of a slice is scaled again
JPEG = {"quality": 72, "subsampling": 0}  # colours as sharp as the rest: lines are thin
GAP_PX, TITLE_PX, LEGEND_PX = 6, 18, 34
BRIGHT = 0.8  # of white: leaves the lines lighter than any tissue
DARK = 0.1  # air of a head is darker
LINES = (("#E69F00", "-"), ("#56B4E9", "--"))
"""Around brains: the first, and another one over it."""


class Photo(Picture):
    """A picture made of images: Jupyter gets it as JPEG, a third of a PNG."""

    def _repr_png_(self):
        return None

    def _repr_jpeg_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, dpi=DPI, format="jpeg", pil_kwargs=JPEG)
        return buffer.getvalue()


class _Sheet(FigureImage):
    """A page of slices in a figure; matplotlib's own way samples each pixel again, to itself."""

    def make_image(self, renderer, magnification=1.0, unsampled=False):
        """Return the page with its last row first, where it lies, and no transform."""
        opaque = cv2.cvtColor(self.get_array()[::-1], cv2.COLOR_RGB2RGBA)
        return opaque, self.ox, self.oy, IdentityTransform()


class Cut:
    """Slices of a brain along an axis: which, what part of each, and how large they are drawn.

    Parameters
    ----------
    brain : (x, y, z) ndarray of bool, RAS+
    voxel_mm : tuple of three float
    axis : {'sagittal', 'coronal', 'axial'}
    count : int
        Slices, at most.
    size_px : tuple of two int
        A slice is drawn as wide and high as fits in here.
    around : (x, y, z) ndarray of bool, optional
        Of each slice the box around this is shown; around the brain unless given.

    Attributes
    ----------
    places : list of int
        Along the RAS+ axis; evenly spaced and not too near the brain's ends.
    size : tuple of two int
        Width and height (px) of each.
    limits : tuple of two int
        The brain's first and last slice.
    ends : str
        Letters of the left and the right end.
    """

    def __init__(self, brain, voxel_mm, axis, count, size_px, around=None):
        self.number = AXES.index(axis)
        box = grid.box(brain)
        first, last = box[self.number].start, box[self.number].stop - 1
        self.limits, room = (first, last), 0.08 * (last - first)
        spread = np.linspace(first + room, last - room, count)
        self.places = np.unique(spread.round().astype(int)).tolist()
        shown = box if around is None else grid.box(around)
        self.box = [slice(max(side.start - 1, 0), side.stop + 1) for side in shown]
        wide, high = [side for side in range(3) if side != self.number]
        voxels = [len(range(*self.box[side].indices(brain.shape[side]))) for side in (wide, high)]
        mm = voxels[0] * voxel_mm[wide], voxels[1] * voxel_mm[high]
        scale = min(size_px[0] / mm[0], size_px[1] / mm[1])
        self.size = tuple(max(1, round(length * scale)) for length in mm)
        self.ends = "LR" if wide == 0 else "PA"

    def __call__(self, data, at):
        """Return one slice of a volume, the second of its axes upwards."""
        self.box[self.number] = at
        return np.rot90(data[tuple(self.box)])

    def titles(self):
        """Return a name for each slice."""
        return [f"{'xyz'[self.number]} = {at}" for at in self.places]


def grey(plane, size):
    """Draw a slice in [0, 1]: uint8; see `resized`."""
    return (np.clip(resized(plane, size), 0, 1) * 255 * BRIGHT).round().astype(np.uint8)


def resized(plane, size):
    """Return a (h, w) slice at a width and height (px): (size[1], size[0]) float32."""
    plane = np.ascontiguousarray(plane, np.float32)
    smaller = size[0] < plane.shape[1]
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def nested(labels):
    """Return what is inside the outer border of each tissue of a slice, with its line.

    CSF is around GM and GM around WM, so that a border is drawn once and not from both sides.

    Returns
    -------
    lines : list of (ndarray of bool, str, str)
        See `with_lines`.
    """
    return [
        (labels >= label, colour, "-") for label, colour in enumerate(COLOURS.values(), start=1)
    ]


def each(labels):
    """Return where each tissue of a slice lies, with its line; as `nested`, in any order."""
    return [(labels == label, colour, "-") for label, colour in enumerate(COLOURS.values(), 1)]


def outline(mask):
    """Return the line around a mask (see `with_lines`)."""
    return [(mask, *LINES[0])]


def with_lines(drawn, lines):
    """Draw the borders of masks into a slice.

    Parameters
    ----------
    drawn : (h, w) ndarray of uint8
        See `grey`.
    lines : list of (ndarray of bool, str, str)
        Masks of the slice at its own size; colour; '-' or '--'.

    Returns
    -------
    drawn : (h, w, 3) ndarray of uint8, RGB
    """
    drawn = cv2.cvtColor(drawn, cv2.COLOR_GRAY2RGB)
    for mask, colour, style in lines:
        rgb = [round(255 * share) for share in to_rgb(colour)]
        cv2.polylines(drawn, borders(mask, drawn.shape[1::-1], style), False, rgb, 1, cv2.LINE_AA)
    return drawn


def borders(mask, size, style="-"):
    """Return the borders of a mask that is drawn at a size (px): lists of points."""
    inside = cv2.resize(np.ascontiguousarray(mask, np.uint8) * 255, size) > 127
    found, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    closed = [np.concatenate([line, line[:1]]) for line in found]
    if style == "-":
        return closed
    return [line[at : at + 6] for line in closed for at in range(0, len(line), 10)]


def in_rows(tiles, cut, columns):
    """Break tiles into rows."""
    titled = list(zip(cut.titles(), tiles, strict=True))
    return [(titled[at : at + columns], cut.ends) for at in range(0, len(titled), columns)]


def page(rows, title=None):
    """Put rows of titled tiles onto one page, without scaling them; room for a legend is below."""
    room = 24 if title else 0
    height = room + sum(TITLE_PX + tiles[0][1].shape[0] + GAP_PX for tiles, _ in rows)
    width = max(len(tiles) * (tiles[0][1].shape[1] + GAP_PX) for tiles, _ in rows)
    width = max(width, 500)
    shown, words, y = np.full((height, width, 3), 255, np.uint8), [], room
    for tiles, ends in rows:
        high, wide = tiles[0][1].shape[:2]
        x = (width - len(tiles) * (wide + GAP_PX) + GAP_PX) // 2
        for number, (name, tile) in enumerate(tiles):
            shown[y + TITLE_PX : y + TITLE_PX + high, x : x + wide] = tile
            words.append((x + wide / 2, y + TITLE_PX - 4, name, {"ha": "center"}))
            if number == 0:
                style = {"color": "#F0E442", "va": "top", "fontweight": "bold", "fontsize": 9}
                words.append((x + 4, y + TITLE_PX + 4, ends[0], style))
                words.append((x + wide - 4, y + TITLE_PX + 4, ends[1], style | {"ha": "right"}))
            x += wide + GAP_PX
        y += TITLE_PX + high + GAP_PX
    return _as_figure(shown, words, title)


def _as_figure(shown, words, title):
    height, width = shown.shape[:2]
    figure = Photo(figsize=(width / DPI, (height + LEGEND_PX) / DPI), dpi=DPI)
    laid = _Sheet(figure, offsety=LEGEND_PX)
    laid.set_data(shown)
    figure.images.append(laid)
    if title:
        words = [*words, (width / 2, 16, title, {"ha": "center", "fontsize": 11})]
    for x, y, text, style in words:
        style = {"fontsize": 8, "transform": IdentityTransform()} | style
        figure.text(x, height + LEGEND_PX - y, text, **style)
    return figure
