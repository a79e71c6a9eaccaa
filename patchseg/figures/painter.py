"""Painting tissues in JupyterLab: NiiVue (ipyniivue), controls around it, and a label file."""

import json
import re
import threading
import time
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES
from patchseg.figures.viewer import label_colours
from patchseg.images import grid, volume
from patchseg.images.grid import AXES

HEIGHT = 500
LOOK = {
    "is_corner_orientation_text": True,
    "crosshair_width": 0.4,
    "crosshair_gap": 10.0,
    "crosshair_color": (0.8, 0.8, 0.8, 0.7),
    "is_force_mouse_click_to_voxel_centers": True,
}
"""Of the canvas; the gap of the cross-hair lets one see what is painted."""
WAIT_S = 1.0
"""From the end of a stroke until it is saved."""
SHARE = 0.2
"""Of the time, at most, that goes into saving."""
TOP = 99.9
"""Percentile of the intensities that is white at most."""
EDITORS = "ITK-SNAP, FSLeyes, 3D Slicer or napari"


@cache
def _canvas_class():
    """Return NiiVue with what painter.js adds to it.

    ipyniivue's module keeps its NiiVue object to itself; painter.js stands behind it in one module,
    and is told the names that the object and the module's functions have there.
    """
    import ipyniivue
    import traitlets as t

    theirs = (Path(ipyniivue.__file__).parent / "static" / "widget.js").read_text(encoding="utf-8")
    ours = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    inside = re.search(r"([\w$]+)\.setDrawingEnabled\(\1\.opts\.drawingEnabled\)", theirs)[1]
    theirs, functions = re.search(r"(.*)export\s*\{\s*([\w$]+) as default", theirs, re.S).groups()

    class Canvas(ipyniivue.NiiVue):
        """The settings are shared with the browser; strokes come as messages."""

        _esm = f"{theirs}\n{ours}\nexport default painter(() => {inside}, {functions});"
        names = t.List(t.Unicode()).tag(sync=True)
        colours = t.Dict().tag(sync=True)
        pen = t.Int(0).tag(sync=True)
        pen_size = t.Int(3).tag(sync=True)
        filled = t.Int(0).tag(sync=True)
        outline = t.Int(0).tag(sync=True)
        label_opacity = t.Float(0.5).tag(sync=True)
        window = t.List(t.Float(), [0.0, 255.0]).tag(sync=True)
        large = t.Int(1).tag(sync=True)
        beside = t.Bool(False).tag(sync=True)
        locked = t.List(t.Int()).tag(sync=True)
        keep = t.Float(0.0).tag(sync=True)
        place = t.List(t.Int()).tag(sync=True)
        otherwise = t.Unicode().tag(sync=True)
        told = None

        def _handle_custom_msg(self, content, buffers):
            if self.told is not None:
                self.told(content, buffers)

    return Canvas


class Painter:
    """An image to paint tissues on, or a brain; they go into a label file on the image's own grid.

    What is painted is saved a second after each stroke, and the place in the image with it, so that
    a closed tab or a restarted kernel loses nothing: the next painter of the same label file begins
    with them.

    Parameters
    ----------
    image : str or Path
    labels : str or Path
        The label file: opened if it is there.
    proposal : str or Path, optional
        Labels to begin with on slices of which nothing is labelled: correcting is faster than
        painting.
    plane : {'sagittal', 'coronal', 'axial'}
        That is painted in.
    number : int, optional
        Slice to show first, along the RAS+ axis; the middle one unless given.
    names : sequence of str
        Of the pens, whose labels count from 1.

    Attributes
    ----------
    box : object
        To show in a cell.
    values : (x, y, z) ndarray of uint8
        What is painted, RAS+.
    """

    def __init__(self, image, labels, proposal=None, plane="coronal", number=None, names=TISSUES):
        self.image, self.labels, self.names = Path(image), Path(labels), tuple(names)
        self.axis = AXES.index(plane)
        self.data, affine = grid.ras(volume.read(image))
        self.voxel_mm = grid.voxel_size_mm(affine)
        self.values = begun(self.labels, proposal, self.axis, self.data.shape)
        self.counts = np.count_nonzero(self.values, axis=self._other_axes())
        self.asked, self.proposal = [plane, number], proposal and Path(proposal)
        self.shown = self.unsaved = False
        self.timer, self.lock, self.took_s = None, threading.Lock(), 0.0
        self.box = self._box()

    def _other_axes(self):
        return tuple(side for side in range(3) if side != self.axis)

    def _box(self):
        """Return what a cell shows; where no widget can run, that is `otherwise`."""
        otherwise = self.otherwise()
        try:
            from patchseg.figures import controls

            self.canvas = _canvas_class()(height=HEIGHT, **LOOK)
        except ImportError:
            return Otherwise(otherwise)
        self.canvas.set_trait("names", list(self.names))
        self.canvas.colours = label_colours(self.names)
        self.canvas.large, self.canvas.otherwise = self.axis, otherwise
        self.canvas.place = self._place()
        self.canvas.told = self._told
        self.canvas.observe(lambda _: self._moved(), ["place", "large"])
        box = controls.around(self.canvas, self.save, otherwise)
        self.said = box.said
        self._say()
        return box

    def otherwise(self):
        """Return which file to paint in which editor, where no widget can run."""
        values = ", ".join(f"{number} {name}" for number, name in enumerate(self.names, 1))
        begin = f", beginning with a copy of {self.proposal.name}" if self.proposal else ""
        return (
            f"No painter can be shown here. Paint {self.labels.name} over {self.image.name} in"
            f" {EDITORS}{begin}: 0 not labelled, {values}."
        )

    def _remembered(self):
        return self.labels.with_name(f"{_stem(self.labels)}_place.json")

    def _place(self):
        """Return the voxel to show: that of last time, if the same slice was asked for then."""
        try:
            kept = json.loads(self._remembered().read_text())
            place = [int(at) for at in kept["place"]]
        except (OSError, ValueError, KeyError, TypeError):
            kept, place = {}, []
        inside = len(place) == 3 and all(
            0 <= at < length for at, length in zip(place, self.data.shape, strict=True)
        )
        if inside and kept.get("asked") == self.asked:
            return place
        place = [length // 2 for length in self.data.shape]
        if self.asked[1] is not None:
            place[self.axis] = int(self.asked[1])
        return place

    def _told(self, content, buffers):
        """Do what the browser asks for or tells."""
        event = content.get("event")
        if event == "ready":
            self._begin()
        elif event == "shown":
            self.shown = True
        elif event == "stroke":
            self.take(content["start"], content["size"], bytes(buffers[0]))

    def _begin(self):
        """Send image and labels to the browser."""
        box = grid.box(self.values > 0)
        start, size = [one.start for one in box], [one.stop - one.start for one in box]
        if not self.values.any():
            start, size = [0, 0, 0], [1, 1, 1]
            box = tuple(slice(0, 1) for _ in range(3))
        self.canvas.send(
            {"type": "begin", "start": start, "size": size},
            [as_nifti(self.data, self.voxel_mm), self.values[box].tobytes(order="F")],
        )

    def take(self, start, size, values):
        """Put a stroke into the labels, and save them soon.

        Parameters
        ----------
        start, size : sequence of three int
            The box around it, in voxels (RAS+).
        values : bytes
            The labels in it, the first axis running fastest.
        """
        box = tuple(slice(at, at + length) for at, length in zip(start, size, strict=True))
        new = np.frombuffer(values, np.uint8).reshape(size, order="F")
        others = self._other_axes()
        more = np.count_nonzero(new, axis=others) - np.count_nonzero(self.values[box], axis=others)
        self.counts[box[self.axis]] += more
        self.values[box] = new
        self.unsaved = True
        self._say()
        self._soon()

    def _moved(self):
        self._say()
        self._soon()

    def _soon(self):
        """Save after a while; more strokes until then are saved together."""
        if self.timer is None and self.shown:
            self.timer = threading.Timer(
                max(WAIT_S, self.took_s * (1 / SHARE - 1)), self._save_quietly
            )
            self.timer.start()

    def _save_quietly(self):
        self.timer = None
        try:
            if self.unsaved:
                self._write()
            kept = {"asked": self.asked, "place": list(self.canvas.place)}
            files.write_text(self._remembered(), json.dumps(kept))
        except (InputError, OSError) as error:
            self._say(f"NOT SAVED: {error}")

    def _write(self):
        with self.lock:
            before = time.process_time()
            self.unsaved = False
            try:
                volume.write(grid.like(self.values, volume.read(self.image)), self.labels)
            except Exception:
                self.unsaved = True
                raise
            self.took_s = time.process_time() - before
        self._say()

    def _say(self, problem=""):
        """Say slice, what is labelled, and whether it is saved."""
        axis = self.axis if self.canvas.large == len(AXES) else self.canvas.large
        labelled, slices = int(self.counts.sum()), int(np.count_nonzero(self.counts))
        kept = "<b>not saved yet</b>" if self.unsaved else f"saved in {self.labels.name}"
        if not self.unsaved and not self.labels.exists():
            kept = "nothing saved"
        self.said.value = (
            f"{AXES[axis]} slice <b>{self.canvas.place[axis]}</b> of 0 to"
            f" {self.data.shape[axis] - 1} · {labelled:,} voxels labelled on {slices}"
            f" {AXES[self.axis]} slice{'s' * (slices != 1)} · "
            f"{problem or kept}"
        )

    def save(self):
        """Write what is painted to the label file and return its path.

        Where the painter was not shown, the file stays as it is.

        Raises
        ------
        InputError
            If there is no label file either.
        """
        if self.shown:
            self._write()
        if not self.labels.is_file():
            raise InputError(
                f"{self.labels}: nothing is painted yet; paint above, then run this cell again"
            )
        return self.labels


class Otherwise(str):
    """A sentence that stands where a widget would."""

    __slots__ = ()
    __repr__ = str.__str__


def begun(labels, proposal, axis, shape):
    """Return the labels to begin with: those of the file, and the proposal on other slices.

    Parameters
    ----------
    labels, proposal : Path, str or None
        Files that may be missing.
    axis : int
        Along which slices are counted.
    shape : tuple of three int
        Of the image, RAS+.

    Returns
    -------
    values : (x, y, z) ndarray of uint8

    Raises
    ------
    InputError
        If a file is not on the grid of the image.
    """
    read = [_read(path, shape) for path in (labels, proposal)]
    values, guess = (np.zeros(shape, np.uint8) if one is None else one for one in read)
    others = tuple(side for side in range(3) if side != axis)
    empty = ~values.any(axis=others, keepdims=True)
    return np.where(empty, guess, values)


def _read(path, shape):
    if not path or not Path(path).is_file():
        return None
    values = grid.ras(volume.read_labels(path), None)[0]
    if values.shape != shape:
        raise InputError(
            f"{path}: its shape {values.shape} is not that of the image, {shape} (RAS+); move it"
            " away or take the right image"
        )
    return values.astype(np.uint8)


def as_nifti(data, voxel_mm):
    """Return an image as the bytes of a NIfTI file for the browser (.nii.gz).

    It is in RAS+ order with an affine of voxel sizes alone, so that the browser's order of voxels
    is that of `data`, however oblique the image was; intensities are bytes, 255 the brightest.

    Parameters
    ----------
    data : (x, y, z) ndarray of float32
    voxel_mm : sequence of three float
    """
    import gzip

    low, high = np.percentile(data[data > data.min()], [0, TOP]) if np.ptp(data) else (0.0, 1.0)
    low = min(low, data.min())
    bright = np.clip((data - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)
    image = nib.Nifti1Image(bright, np.diag([*voxel_mm, 1.0]))
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), 1)


def _stem(path):
    name = Path(path).name
    return name.removesuffix(".gz").removesuffix(".nii")
