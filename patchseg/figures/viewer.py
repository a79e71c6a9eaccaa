"""Looking and painting in JupyterLab (ipyniivue): an image, what lies over it, and a pen."""

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb

from patchseg import figures
from patchseg.core.tissues import COLOURS, TISSUES
from patchseg.images import grid, volume
from patchseg.images.grid import AXES

HEIGHT = 420
DRAWN = 0.5  # opacity of what is painted


def view(image, result, opacity=0.4):
    """Show an image and what was found in it; a list chooses the overlay and a slider fades it.

    Parameters
    ----------
    image : str or Path
    result : patchseg.inference.result.Result
        Of `patchseg.segment_file`: its images lie on disc.
    opacity : float
        Of the overlay, in [0, 1].

    Returns
    -------
    box : ipywidgets.VBox
    """
    from ipyniivue import NiiVue
    from ipywidgets import Dropdown, FloatSlider, HBox, VBox

    dseg = result.dseg.get_filename()
    stem = dseg.removesuffix("dseg.nii.gz")
    overlays = (
        {"labels": dseg}
        | {tissue: f"{stem}label-{tissue}_probseg.nii.gz" for tissue in TISSUES}
        | {"uncertainty": f"{stem}desc-uncertainty_map.nii.gz"}
    )
    canvas = NiiVue(height=HEIGHT, is_corner_orientation_text=True)
    volumes = [{"path": str(image)}]
    volumes += [
        {"path": path, "opacity": 0.0, "colormap": "viridis", "cal_min": 0.0, "cal_max": 1.0}
        for path in overlays.values()
    ]
    volumes[1] = {"path": dseg, "opacity": opacity}
    canvas.load_volumes(volumes)
    canvas.volumes[1].set_colormap_label(label_colours())
    chooser = Dropdown(options=list(overlays), description="overlay")
    slider = FloatSlider(opacity, min=0, max=1, step=0.05, description="opacity")

    def show(_):
        for name, shown in zip(overlays, canvas.volumes[1:], strict=True):
            shown.opacity = slider.value if name == chooser.value else 0.0

    chooser.observe(show, "value")
    slider.observe(show, "value")
    return VBox([HBox([chooser, slider]), canvas])


def label_colours(names=TISSUES):
    """Return the label colours as NiiVue wants them, the background transparent.

    Parameters
    ----------
    names : sequence of str
        Of the labels, from 1; at most as many as there are tissues.

    Returns
    -------
    colours : dict of list
        R, G, B, A, I and labels.
    """
    colours = [COLOURS[tissue] for tissue in TISSUES[: len(names)]]
    rgb = np.array([(0, 0, 0), *map(to_rgb, colours)]) * 255
    red, green, blue = rgb.round().astype(int).T.tolist()
    return {
        "R": red,
        "G": green,
        "B": blue,
        "A": [0, *[255] * len(names)],
        "I": list(range(len(names) + 1)),
        "labels": ["", *names],
    }


class LiveCurve:
    """A curve that grows while a network learns: hand it to `patchseg.adapt` as `on_round`."""

    def __init__(self):
        self.handle = None

    def __call__(self, history):
        """Draw the losses so far in the place of the last drawing."""
        from IPython.display import display

        figure = figures.loss_curve(history)
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)


def _canvas(image, plane, number):
    """Return a canvas that shows a slice of an image, ready to be drawn on."""
    from ipyniivue import NiiVue, SliceType

    canvas = NiiVue(height=HEIGHT, is_corner_orientation_text=True)
    canvas.load_volumes([{"path": str(image)}])
    canvas.set_slice_type(getattr(SliceType, plane.upper()))
    canvas.draw_opacity = DRAWN
    canvas.set_crosshair_width(0)  # it would hide what is painted
    if number is not None:
        axis = AXES.index(plane)
        length = grid.ras(volume.read(image))[0].shape[axis]
        canvas.scene.crosshair_pos = [
            (number + 0.5) / length if side == axis else 0.5 for side in range(3)
        ]
    return canvas


def _painted(path):
    """Whether there is a label file with something in it."""
    return bool(path) and Path(path).is_file() and bool(np.any(volume.read(path).dataobj))


def _pens(names):
    from ipywidgets import ToggleButtons

    labels = [(name, number) for number, name in enumerate(names, 1)]
    options = [("look", -1), *labels, ("erase", 0)]
    pens = ToggleButtons(options=options, value=-1, description="pen")
    pens.style.button_width = "70px"
    return pens


def _button(name, action, **style):
    from ipywidgets import Button

    button = Button(description=name, **style)
    button.on_click(lambda _: action())
    return button


class Painter:
    """An image to paint tissues on, or a brain; they go into a label file on the image's own grid.

    Parameters
    ----------
    image : str or Path
    labels : str or Path
        The label file: opened if it is there, written by `save`.
    proposal : str or Path, optional
        Labels to begin with, where the label file is empty or missing: correcting is faster than
        painting.
    plane : {'sagittal', 'coronal', 'axial'}
        That is painted in.
    number : int, optional
        Slice to show first, along the RAS+ axis; the middle one unless given.
    names : sequence of str
        Of the pens, whose labels count from 1.

    Attributes
    ----------
    box : ipywidgets.VBox
        To show in a cell.

    Notes
    -----
    NiiVue holds the drawing in RAS+ order, the first axis running fastest, and sends it when asked,
    not by itself.
    """

    def __init__(self, image, labels, proposal=None, plane="coronal", number=None, names=TISSUES):
        from ipywidgets import HBox, Label, VBox

        self.image, self.labels, self.said = Path(image), Path(labels), Label()
        self.names = names
        self.canvas = _canvas(self.image, plane, number)
        start = next((Path(path) for path in (labels, proposal) if _painted(path)), None)
        self.canvas.on_canvas_attached(lambda: self._begin(start))
        self.canvas.on_mouse_up(lambda _: self._pull())
        self.pen = _pens(names)
        self.pen.observe(lambda change: self._take(change["new"]), "value")
        undo = _button("undo", self.canvas.draw_undo)
        save = _button("save", self.save, button_style="primary")
        self.box = VBox([HBox([self.pen, undo, save]), self.canvas, self.said])

    def _begin(self, start):
        from ipyniivue import ColorMap

        if start is not None:
            self.canvas.load_drawing(str(start))
        self.canvas.set_draw_colormap(ColorMap(**label_colours(self.names)))

    def _take(self, pen):
        self.canvas.set_drawing_enabled(pen >= 0)
        if pen >= 0:
            self.canvas.set_pen_value(pen, False)

    def _pull(self):
        if self.pen.value >= 0:
            self.canvas.send({"type": "set_drawing_enabled", "data": [True]})

    def save(self):
        """Write what is painted to the label file and return its path.

        Without a drawing, as where there is no browser, the file stays as it is.
        """
        drawn = self.canvas.draw_bitmap
        if drawn is not None and len(drawn):
            volume.write(drawing(drawn, volume.read(self.image)), self.labels)
            self.said.value = f"saved: {self.labels}"
        return self.labels


def drawing(drawn, image):
    """Make a label image of NiiVue's drawing.

    Parameters
    ----------
    drawn : bytes or ndarray of uint8
        A value for each voxel, in RAS+ order, the first axis running fastest.
    image : nibabel image
        That was painted on.

    Returns
    -------
    labels : nibabel image, uint8
        On the grid of `image`.
    """
    shape = grid.ras(image)[0].shape
    values = (
        np.frombuffer(drawn, np.uint8)
        if isinstance(drawn, bytes | bytearray | memoryview)
        else np.asarray(drawn, np.uint8)
    )
    return grid.like(values.reshape(shape, order="F").copy(), image)
