"""The page of a brain that was found in a head: its outline on the image, and the checks."""

from base64 import b64encode

import numpy as np

from patchseg.images import grid, head
from patchseg.inference.page import template

SLICES = 6
"""Of each direction."""


def render(found, image, title):
    """Return the report of a mask as one HTML page.

    Parameters
    ----------
    found : patchseg.inference.mask.Mask
    image : nibabel image
        In which it was found.
    title : str

    Returns
    -------
    text : str
    """
    from patchseg import figures

    data, affine = grid.ras(image)
    mask, voxel_mm = grid.ras(found.mask, None)[0] > 0, grid.voxel_size_mm(affine)
    shown = np.clip(head.scaled(data), 0, 1)
    picture = figures.outlines(shown, {"brain": mask}, voxel_mm, SLICES)
    return template("brain_page.html").render(
        title=title,
        verdict=found.verdict,
        reasons=found.reasons,
        head=found.head,
        size=f"{mask.sum() * np.prod(voxel_mm) / 1000:.4g}",
        picture=b64encode(picture._repr_jpeg_()).decode(),
        checks=found.qc,
        made=found.provenance,
    )
