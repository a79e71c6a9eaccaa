"""Looking at a result in JupyterLab: the image with labels, probabilities or uncertainty over it (ipyniivue)."""

import numpy as np
from matplotlib.colors import to_rgb

from patchseg import TISSUES
from patchseg.figures import COLOURS

HEIGHT = 420


def view(image, result, opacity=0.4):
    """Show an image and what was found in it; a list chooses the overlay and a slider fades it.

    Parameters
    ----------
    image : str or Path
    result : patchseg.segmentation.Result
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
    overlays = {"labels": dseg} | {tissue: f"{stem}label-{tissue}_probseg.nii.gz" for tissue in TISSUES} | {"uncertainty": f"{stem}desc-uncertainty_map.nii.gz"}
    canvas = NiiVue(height=HEIGHT, is_corner_orientation_text=True)
    volumes = [{"path": str(image)}]
    volumes += [{"path": path, "opacity": 0.0, "colormap": "viridis", "cal_min": 0.0, "cal_max": 1.0} for path in overlays.values()]
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


def label_colours():
    """Return the label colours as NiiVue wants them: lists R, G, B, A, I and labels; the background is transparent."""
    rgb = np.array([(0, 0, 0), *[to_rgb(COLOURS[tissue]) for tissue in TISSUES]]) * 255
    red, green, blue = rgb.round().astype(int).T.tolist()
    return {"R": red, "G": green, "B": blue, "A": [0, 255, 255, 255], "I": [0, 1, 2, 3], "labels": ["", *TISSUES]}
