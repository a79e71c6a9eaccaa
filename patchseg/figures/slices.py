"""Slices with the outlines of what was found in them: side by side, or one at a time."""

import io

import cv2
import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.image import FigureImage
from matplotlib.lines import Line2D
from matplotlib.transforms import IdentityTransform

from patchseg.core.tissues import COLOURS
from patchseg.figures.style import Picture, legend
from patchseg.images import grid
from patchseg.images.grid import AXES

ROW_PX = 1080
"""Width of a row of slices."""
DPI = 100  # at which `style.save` writes: no pixel of a slice is scaled again
JPEG = {"quality": 72, "subsampling": 0}  # colours as sharp as the rest: lines are thin
GAP_PX, TITLE_PX, LEGEND_PX = 6, 18, 34
BRIGHT = 0.8  # of white: leaves the lines lighter than any tissue
DARK = 0.1  # air of a head is darker
FAINT = 0.3  # entropy from which a voxel is marked as unsure
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
    figure : Photo
    """
    cut = Cut(labels > 0, voxel_mm, axis, count, (ROW_PX // 4, 300))
    tiles = [
        with_lines(grey(cut(image, at), cut.size), nested(cut(labels, at))) for at in cut.places
    ]
    figure = _sheet(_rows(tiles, cut, 4))
    legend(figure)
    return figure


def unsure(values, brain, voxel_mm, axis, count=8):
    """Show slices of a map in [0, 1], 1 being 'no idea', over a brain; see `outlined`."""
    cut = Cut(brain, voxel_mm, axis, count, (ROW_PX // 4, 300))
    colours = matplotlib.colormaps["viridis"]
    shown = [
        cv2.resize(cut(values, at), cut.size, interpolation=cv2.INTER_AREA) for at in cut.places
    ]
    figure = _sheet(_rows([colours(one, bytes=True)[..., :3] for one in shown], cut, 4))
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
    figure : Photo
    """
    first = next(iter(masks.values()))
    lit = image > DARK
    brain = first if first.any() else lit
    rows, named, around = [], list(zip(LINES, masks.items(), strict=False)), lit | brain
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
        rows += _rows(tiles, cut, count)
    figure = _sheet(rows, title)
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
    figure : Photo
    """
    around, drawn = (image > DARK) | (found > 0), []
    cut = Cut(around, voxel_mm, axis, 1, (ROW_PX // 3, 340))
    for at, title in slices:
        bare = grey(cut(image, at), cut.size)
        lines = with_lines(bare, outlined(cut(found, at)))
        tiles = [("", with_lines(bare, [])), (title, lines), ("", _marked(bare, cut(unsure, at)))]
        drawn.append((tiles, cut.ends))
    figure = _sheet(drawn)
    if outlined is nested:
        legend(figure, loc="lower left")
    height = figure.bbox.height
    bar = figure.add_axes((0.66, 20 / height, 0.28, 8 / height))
    shades = ScalarMappable(Normalize(FAINT, 1), matplotlib.colormaps["viridis"])
    figure.colorbar(shades, cax=bar, orientation="horizontal")
    bar.set_xticks([FAINT, 1], ["a little unsure", "no idea"], fontsize=8)
    return figure


def outline(mask):
    """Return the line around a mask (see `with_lines`)."""
    return [(mask, *LINES[0])]


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
    figure : Photo
    """
    cut = Cut(image > 0, voxel_mm, axis, 1, (ROW_PX // 3, 340))
    drawn = []
    for row in rows:
        tiles = []
        for name, at, labels in row:
            lines = [] if labels is None else each(cut(labels, at))
            tiles.append((name, with_lines(grey(cut(image, at), cut.size), lines)))
        drawn.append((tiles, cut.ends))
    figure = _sheet(drawn, title)
    legend(figure)
    return figure


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


def _rows(tiles, cut, columns):
    """Break tiles into rows."""
    titled = list(zip(cut.titles(), tiles, strict=True))
    return [(titled[at : at + columns], cut.ends) for at in range(0, len(titled), columns)]


def _sheet(rows, title=None):
    """Put rows of titled tiles onto one page, without scaling them; room for a legend is below."""
    room = 24 if title else 0
    height = room + sum(TITLE_PX + tiles[0][1].shape[0] + GAP_PX for tiles, _ in rows)
    width = max(len(tiles) * (tiles[0][1].shape[1] + GAP_PX) for tiles, _ in rows)
    width = max(width, 500)
    page, words, y = np.full((height, width, 3), 255, np.uint8), [], room
    for tiles, ends in rows:
        high, wide = tiles[0][1].shape[:2]
        x = (width - len(tiles) * (wide + GAP_PX) + GAP_PX) // 2
        for number, (name, tile) in enumerate(tiles):
            page[y + TITLE_PX : y + TITLE_PX + high, x : x + wide] = tile
            words.append((x + wide / 2, y + TITLE_PX - 4, name, {"ha": "center"}))
            if number == 0:
                style = {"color": "#F0E442", "va": "top", "fontweight": "bold", "fontsize": 9}
                words.append((x + 4, y + TITLE_PX + 4, ends[0], style))
                words.append((x + wide - 4, y + TITLE_PX + 4, ends[1], style | {"ha": "right"}))
            x += wide + GAP_PX
        y += TITLE_PX + high + GAP_PX
    return _as_figure(page, words, title)


def _as_figure(page, words, title):
    height, width = page.shape[:2]
    figure = Photo(figsize=(width / DPI, (height + LEGEND_PX) / DPI), dpi=DPI)
    sheet = _Sheet(figure, offsety=LEGEND_PX)
    sheet.set_data(page)
    figure.images.append(sheet)
    if title:
        words = [*words, (width / 2, 16, title, {"ha": "center", "fontsize": 11})]
    for x, y, text, style in words:
        style = {"fontsize": 8, "transform": IdentityTransform()} | style
        figure.text(x, height + LEGEND_PX - y, text, **style)
    return figure
