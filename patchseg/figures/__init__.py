"""Every picture: each function returns a `Picture`, `save` writes it, the same bytes each time."""

from patchseg.figures.brains import compared, intensities, mosaic, tissue_volumes
from patchseg.figures.browse import slider
from patchseg.figures.diagrams import unet_diagram, zoom_steps
from patchseg.figures.slices import doubted, outlined, outlines, suggested, unsure
from patchseg.figures.stages import (
    fold_sizes,
    learning_curve,
    loss_curve,
    predictions,
    slice_and_patches,
    tissue_maps,
    zoomed_pairs,
)
from patchseg.figures.style import Picture, save

__all__ = [
    "Picture",
    "compared",
    "doubted",
    "fold_sizes",
    "intensities",
    "learning_curve",
    "loss_curve",
    "mosaic",
    "outlined",
    "outlines",
    "predictions",
    "save",
    "slice_and_patches",
    "slider",
    "suggested",
    "tissue_maps",
    "tissue_volumes",
    "unet_diagram",
    "unsure",
    "zoom_steps",
    "zoomed_pairs",
]
