"""Looking in JupyterLab (ipyniivue): an image and what lies over it; a curve that grows."""

import numpy as np
from matplotlib.colors import to_rgb

from patchseg import figures
from patchseg.core.tissues import COLOURS, TISSUES

HEIGHT = 420


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
