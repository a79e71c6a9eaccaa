"""NiiVue (ipyniivue) with what painter.js adds to it, and an image as the browser takes it."""

import gzip
import re
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

HEIGHT = 500
LOOK = {
    "is_corner_orientation_text": True,
    "crosshair_width": 0.4,
    "crosshair_gap": 10.0,
    "crosshair_color": (0.8, 0.8, 0.8, 0.7),
    "is_force_mouse_click_to_voxel_centers": True,
}
"""Of the canvas; the gap of the cross-hair lets one see what is painted."""
TOP = 99.0
"""Percentile of the intensities that is white; what is brighter, as vessels are, is white, too."""


@cache
def kind():
    """Return the class of the canvas: NiiVue with what painter.js adds to it.

    ipyniivue's module keeps its NiiVue object to itself; painter.js stands behind it in one module,
    and is told the names that the object and the module's functions have there.
    """
    import ipyniivue
    import traitlets as t

    theirs = (Path(ipyniivue.__file__).parent / "static" / "widget.js").read_text(encoding="utf-8")
    ours = Path(__file__).with_name("painter.js").read_text(encoding="utf-8")
    inside = re.search(r"\.setDrawingEnabled\(([\w$]+)\.opts\.drawingEnabled\)", theirs)[1]
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


def as_nifti(data, voxel_mm):
    """Return an image as the bytes of a NIfTI file for the browser (.nii.gz).

    It is in RAS+ order with an affine of voxel sizes alone, so that the browser's order of voxels
    is that of `data`, however oblique the image was; intensities are bytes, 255 the brightest.

    Parameters
    ----------
    data : (x, y, z) ndarray of float32
    voxel_mm : sequence of three float
    """
    low = data.min()
    some = data.ravel(order="K")[:: max(1, data.size // 10**6)]
    high = np.percentile(some[some > low], TOP) if (some > low).any() else low + 1
    bright = np.empty(data.shape, np.uint8, order="F")  # as NIfTI stores it
    for at in range(data.shape[2]):
        slab = (data[..., at] - low) * (255 / (high - low))
        bright[..., at] = np.clip(slab, 0, 255, out=slab)
    image = nib.Nifti1Image(bright, np.diag([*voxel_mm, 1.0]))
    image.header.set_xyzt_units("mm")
    image.header["cal_max"] = 255  # or NiiVue looks for a range of its own in all voxels
    return gzip.compress(image.to_bytes(), 1)
