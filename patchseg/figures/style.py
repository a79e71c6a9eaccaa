"""What all pictures share: colours, a reproducible figure, images and labels in a panel."""

import io

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from patchseg.core.files import replacing
from patchseg.core.tissues import COLOURS, UNLABELLED

GREY = "#8C8C8C"
"""Of brain that nobody labelled."""
LABEL_COLOURS = ListedColormap(["black", *COLOURS.values()]).with_extremes(over=GREY)
LABEL_NORM = BoundaryNorm([-0.5, 0.5, 1.5, 2.5, 3.5], 4)
LINES = {0: "#0072B2", 1: "#D55E00", 2: "#009E73"}
STYLES = ("-", "--", ":")


class Picture(Figure):
    """A matplotlib figure that Jupyter shows without pyplot, and that is the same each time."""

    def savefig(self, *arguments, **options):
        """Lay out once, then save: matplotlib's layout moves a little at each drawing."""
        if self.get_layout_engine() is not None:
            self.draw_without_rendering()
            self.set_layout_engine("none")
        super().savefig(*arguments, **options)

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, dpi=100, metadata={"Software": None})
        return buffer.getvalue()


def save(figure, path):
    """Write a figure as PNG (100 dpi) under a temporary name, then rename it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})


def show_image(axes, image, aspect=1):
    """Show a (h, w) image in [0, 1] in grey, the second axis upwards.

    `aspect` is the height of a pixel divided by its width.
    """
    axes.set_axis_off()
    return axes.imshow(np.rot90(image), cmap="gray", vmin=0, vmax=1, aspect=aspect)


def show_labels(axes, labels, aspect=1):
    """Show (h, w) labels in the colours of the tissues, the second axis upwards."""
    axes.set_axis_off()
    style = {"cmap": LABEL_COLOURS, "norm": LABEL_NORM, "interpolation": "nearest"}
    return axes.imshow(np.rot90(labels), aspect=aspect, **style)


def legend(figure, *labels, **position):
    """Name the tissues' colours below a figure, and grey if one of the `labels` shown has it."""
    colours = dict(COLOURS)
    if any((one == UNLABELLED).any() for one in labels):
        colours["not labelled"] = GREY
    handles = [
        Patch(facecolor=colour, edgecolor="black", label=name) for name, colour in colours.items()
    ]
    figure.legend(
        handles=handles, ncols=len(handles), frameon=False, **({"loc": "lower center"} | position)
    )
