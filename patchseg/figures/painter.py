"""Painting tissues in JupyterLab: NiiVue (ipyniivue), controls around it, and a label file."""

import json
import threading
import time
from pathlib import Path

import numpy as np

from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES, UNLABELLED
from patchseg.figures import canvas
from patchseg.figures.viewer import label_colours
from patchseg.images import grid, volume
from patchseg.images.grid import AXES

WAIT_S = 1.0
"""From the end of a stroke until it is saved."""
SHARE = 0.2
"""Of the time, at most, that goes into saving."""
EDITORS = "ITK-SNAP, FSLeyes, 3D Slicer or napari"


class Painter:
    """An image to paint tissues on, or a brain; they go into a label file on the image's own grid.

    What is painted is saved a second after each stroke, and the place in the image with it, so that
    a closed tab or a restarted kernel loses nothing: the next painter of the same label file begins
    with them. A file that an editor or another painter has changed meanwhile is never replaced.

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
        if not self.labels.name.endswith((".nii", ".nii.gz")) or self.labels.is_dir():
            raise InputError(f"{labels}: not a name for a label file; end it in .nii.gz")
        if plane not in AXES:
            raise InputError(f"plane '{plane}' is unknown; use {', '.join(AXES)}")
        self.axis = AXES.index(plane)
        self.data, self.affine = grid.ras(volume.read(image))
        self.voxel_mm = grid.voxel_size_mm(self.affine)
        slices = self.data.shape[self.axis]
        if number is not None and not 0 <= int(number) < slices:
            raise InputError(f"{image}: there is no {plane} slice {number}, only 0 to {slices - 1}")
        self.asked = [plane, None if number is None else int(number)]
        self.proposal, self.kept = proposal and Path(proposal), self._kept()
        self.stamp, there = _stamp(self.labels), self._read(self.labels)
        guess = self._read(self.proposal)
        self.values, self.offered = begun(there, guess, self.axis, self.kept["offered"])
        self.new = not np.array_equal(self.values, there)  # the file does not hold all of it yet
        self.counts = np.count_nonzero(self.values, axis=self._other_axes())
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

            self.canvas = canvas.kind()(height=canvas.HEIGHT, **canvas.LOOK)
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

    def _kept(self):
        """Return what is kept beside the label file: slice asked for, place, offered slices."""
        nothing = {"asked": None, "place": [], "offered": []}
        try:
            kept = json.loads(self._remembered().read_text())
            same = self.labels.is_file() and kept["asked"][0] == self.asked[0]
            lists = {name: [int(at) for at in kept[name]] for name in ("place", "offered")}
        except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
            return nothing  # damaged: one begins in the middle
        return {"asked": kept["asked"], **lists} if same else nothing

    def _read(self, path):
        """Return labels (x, y, z) uint8 of a file on the image's grid; 0 without one."""
        if not path or not path.is_file():
            return np.zeros(self.data.shape, np.uint8)
        values, affine = grid.ras(volume.read_labels(path), None)
        grid.check_same_grid(self.image, self.data, self.affine, path, values, affine)
        odd = sorted(set(np.unique(values).tolist()) - {*range(len(self.names) + 1), UNLABELLED})
        if odd:
            raise InputError(
                f"{path}: {odd[0]} is no label here; there are 0 to {len(self.names)}"
                f" ({', '.join(self.names)}). Write these values, or move the file away"
            )
        return values.astype(np.uint8)

    def _changed(self):
        """Whether somebody else has written the label file since this painter read or wrote it."""
        return _stamp(self.labels) not in (None, self.stamp)

    def _place(self):
        """Return the voxel to show: that of last time, if the same slice was asked for then."""
        place, shape = self.kept["place"], self.data.shape
        inside = len(place) == 3 and all(0 <= at < n for at, n in zip(place, shape, strict=True))
        if inside and self.kept["asked"] == self.asked:
            return place
        place = [length // 2 for length in shape]
        if self.asked[1] is not None:
            place[self.axis] = self.asked[1]
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
            [canvas.as_nifti(self.data, self.voxel_mm), self.values[box].tobytes(order="F")],
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
            if not self._changed():
                self._write_kept()
        except Exception as error:  # in a thread of its own, where nobody else would tell
            self._say(f"NOT SAVED: {error}")

    def _write_kept(self):
        kept = {"asked": self.asked, "place": list(self.canvas.place), "offered": self.offered}
        files.write_text(self._remembered(), json.dumps(kept))

    def _write(self):
        with self.lock:
            if self._changed():
                raise InputError(
                    f"{self.labels}: another program or painter has written it meanwhile; run the"
                    " cell of this painter again, which opens it, and paint the last strokes anew"
                )
            before = time.thread_time()
            self.unsaved = False
            try:
                volume.write(grid.like(self.values, volume.read(self.image)), self.labels)
            except Exception:
                self.unsaved = True
                raise
            self.stamp, self.new = _stamp(self.labels), False
            self.took_s = time.thread_time() - before
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

        The file stays as it is where the painter was not shown, or where all strokes are in it
        and an editor has changed it since.

        Raises
        ------
        InputError
            If there is no label file; or if there are strokes that are not in it, and somebody
            else has written it.
        """
        if self.shown and (self.unsaved or not self._changed()):
            if self.unsaved or self.new or not self.labels.is_file():
                self._write()
            self._write_kept()
        if not self.labels.is_file():
            raise InputError(
                f"{self.labels}: nothing is painted yet; paint above, then run this cell again"
            )
        return self.labels


class Otherwise(str):
    """A sentence that stands where a widget would."""

    __slots__ = ()
    __repr__ = str.__str__


def begun(labels, guess, axis, offered=()):
    """Return the labels to begin with: those that are there, and the guess on new slices.

    Parameters
    ----------
    labels, guess : (x, y, z) ndarray of uint8
        0 where there is nothing.
    axis : int
        Along which slices are counted.
    offered : sequence of int
        Slices whose guess was shown before: if they are empty, somebody erased them.

    Returns
    -------
    values : (x, y, z) ndarray of uint8
    offered : list of int
        With the slices of this guess.
    """
    others = tuple(side for side in range(3) if side != axis)
    new = ~labels.any(axis=others)
    new[[at for at in offered if 0 <= at < labels.shape[axis]]] = False
    known = sorted({*offered, *np.flatnonzero(guess.any(axis=others)).tolist()})
    wide = np.expand_dims(new, others)
    return np.where(wide, guess, labels), known


def _stamp(path):
    """Return what tells whether a file was written again; None if it is not there."""
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size, known.st_ino


def _stem(path):
    name = Path(path).name
    return name.removesuffix(".gz").removesuffix(".nii")
