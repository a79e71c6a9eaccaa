"""A slice at a time in a page: a slider, arrow keys and a switch, in plain JavaScript and CSS."""

from base64 import b64encode
from io import BytesIO

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from patchseg.core.tissues import COLOURS
from patchseg.figures import sheet

MOST = 60
"""Slices in a page."""
SIZE_PX, EDGE_PX = 320, 4
"""Longest edge of a slice, and the black around it."""
QUALITY = 68


def slider(image, labels, voxel_mm, axis="axial", most=MOST):
    """Make a page's part that shows one slice of a brain, with the outer border of each tissue.

    All slices are in it, one below the other in two images: a JPEG of the brain, and over it a PNG
    of the lines. The slider moves them, so that the page needs nothing else; without JavaScript it
    shows the middle slice.

    Parameters
    ----------
    image : (x, y, z) ndarray of float in [0, 1], RAS+
    labels : (x, y, z) ndarray of uint8
        0 background, 1 CSF, 2 GM, 3 WM.
    voxel_mm : tuple of three float
    axis : {'sagittal', 'coronal', 'axial'}
    most : int
        Slices: each of the brain, or each second, third, ... if there are more.

    Returns
    -------
    page : IPython.display.HTML
    """
    from IPython.display import HTML

    cut = sheet.Cut(labels > 0, voxel_mm, axis, most, (SIZE_PX, SIZE_PX))
    first, last = cut.limits
    step = -(-(last - first + 1) // most)
    places = range(first, last + 1, step)
    brains = [np.pad(sheet.grey(cut(image, at), cut.size), EDGE_PX) for at in places]
    lines = [np.pad(_lines(cut(labels, at), cut.size), EDGE_PX) for at in places]
    wide, high = (length + 2 * EDGE_PX for length in cut.size)
    return HTML(
        _PAGE.format(
            axis=axis,
            letter="xyz"[cut.number],
            left=cut.ends[0],
            right=cut.ends[1],
            first=places[0],
            last=places[-1],
            step=step,
            at=places[len(places) // 2],
            span=max(places[-1] - places[0], 1),
            strips=len(places),
            wide=wide,
            high=high,
            brain=_as_jpeg(np.concatenate(brains)),
            lines=_as_png(np.concatenate(lines)),
            names="".join(
                f'<span><i style="background:{colour}"></i>{tissue}</span>'
                for tissue, colour in COLOURS.items()
            ),
        )
    )


def _lines(labels, size):
    """Draw the borders of the tissues of a slice: (h, w) uint8, the label or 0 for nothing."""
    drawn = np.zeros(size[::-1], np.uint8)
    for label, (mask, _, _) in enumerate(sheet.nested(labels), start=1):
        cv2.polylines(drawn, sheet.borders(mask, size), False, label, 1)
    return drawn


def _as_jpeg(strip):
    """Encode (h, w) uint8."""
    _, coded = cv2.imencode(".jpg", strip, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return b64encode(coded).decode()


def _as_png(strip):
    """Encode labels in the colours of the tissues, 0 as nothing: two bits a pixel."""
    image, coded = Image.fromarray(strip).convert("P"), BytesIO()
    rgb = [round(255 * share) for colour in COLOURS.values() for share in to_rgb(colour)]
    image.putpalette([0, 0, 0, *rgb])
    image.save(coded, "PNG", bits=2, transparency=0, compress_level=3)
    return b64encode(coded.getvalue()).decode()


_PAGE = """<figure class="patchseg-slices" style="--at: {at}">
<style>
.patchseg-slices {{ margin: 0; max-width: 40rem; font: 15px/1.5 system-ui, sans-serif; }}
.patchseg-slices label {{ display: inline-flex; align-items: center; gap: .5rem; }}
.patchseg-slices label.at {{ display: flex; }}
.patchseg-slices input[type=range] {{ flex: 1; min-width: 6rem; }}
.patchseg-slices output {{ min-width: 2.5em; font-variant-numeric: tabular-nums; }}
.patchseg-slices .slice {{ position: relative; margin: .4rem 0; aspect-ratio: {wide} / {high};
  max-height: 80vh; max-width: 100%; background: black; color: #F0E442; cursor: pointer; }}
.patchseg-slices .slice i {{ position: absolute; inset: 0; background-repeat: no-repeat;
  background-size: 100% {strips}00%;
  background-position: 0 calc((var(--at) - {first}) * 100% / {span}); }}
.patchseg-slices .slice b {{ position: absolute; top: .2rem; left: .5rem; }}
.patchseg-slices .slice b + b {{ left: auto; right: .5rem; }}
.patchseg-slices figcaption {{ display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }}
.patchseg-slices figcaption i {{ display: inline-block; width: 1.6em; height: .7em;
  border: 1px solid black; margin-right: .4em; }}
</style>
<label class="at">{axis} slice {letter} =
<output>{at}</output>
<input type="range" min="{first}" max="{last}" step="{step}" value="{at}" autocomplete="off"
 oninput="this.previousElementSibling.value = this.value;
 this.closest('figure').style.setProperty('--at', this.value)"></label>
<div class="slice" role="img" aria-label="{axis} slice of the brain with outlines of its tissues"
 onclick="this.previousElementSibling.querySelector('input').focus()">
<i style="background-image: url(data:image/jpeg;base64,{brain})"></i>
<i class="lines" style="background-image: url(data:image/png;base64,{lines})"></i>
<b>{left}</b><b>{right}</b></div>
<figcaption><label><input type="checkbox" checked autocomplete="off" onchange=
"this.closest('figure').querySelector('.lines').hidden = !this.checked">outlines</label>
{names}</figcaption></figure>
"""
