"""A small picture of one result for the page of a cohort: three slices, the tissues' borders."""

import cv2
import numpy as np

from patchseg.core.files import replacing
from patchseg.core.tissues import COLOURS, TISSUES
from patchseg.images import grid, volume

ENDING = "thumbnail.webp"
EDGE = 144
"""Pixels along the longest edge of the brain's box."""
MARGIN = 0.04
"""Of the longest edge, shown around the brain."""
FINER = 3
"""Lines are drawn on so many times more pixels, so that they come out thin and smooth."""
QUALITY = 60


def write(place, result, chosen=None, fill=False):
    """Draw the thumbnail of a result beside its record, unless it is there and newer than that.

    Parameters
    ----------
    place : patchseg.inference.places.Place
        Its image is read.
    result : patchseg.inference.result.Result
    chosen, fill
        `volume` and `fill` of `volume.read`.
    """
    path = place.path(ENDING)
    if path.is_file() and path.stat().st_mtime_ns >= place.record.stat().st_mtime_ns:
        return
    image, affine = grid.ras(volume.read(place.image, chosen, fill))
    labels = grid.ras(result.dseg, np.uint8)[0]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded(picture(image, labels, grid.voxel_size_mm(affine))))


def encoded(shown):
    """Return a picture, (h, w, 3) ndarray of uint8 (blue, green, red), as the bytes of a WebP."""
    return cv2.imencode(".webp", shown, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()


def picture(image, labels, voxel_mm):
    """Draw the middle slices along x, y and z side by side, with the borders of the tissues.

    The sagittal one lies beside the midline, where the folds are. The left of the image is the left
    of the picture.

    Parameters
    ----------
    image : (x, y, z) ndarray of float, RAS+
    labels : (x, y, z) ndarray of uint8
    voxel_mm : tuple of three float

    Returns
    -------
    shown : (h, w, 3) ndarray of uint8
        Blue, green, red; about `EDGE` high.
    """
    box = grid.box(labels)
    edges = [(one.stop - one.start) * mm for one, mm in zip(box, voxel_mm, strict=True)]
    room = MARGIN * max(edges)
    wide = grid.widened(box, [room / mm for mm in voxel_mm], labels.shape)
    grey = _grey(image, labels, box)
    pixels = EDGE / (max(edges) + 2 * room)
    slices = []
    for axis in range(3):
        at = (box[axis].start + box[axis].stop) // 2
        at += (box[axis].stop - box[axis].start) // 10 if axis == 0 else 0
        cut = tuple(at if one == axis else wide[one] for one in range(3))
        size = [
            max(1, round((wide[one].stop - wide[one].start) * voxel_mm[one] * pixels))
            for one in range(3)
            if one != axis
        ]
        slices.append(_slice(grey(image[cut]), labels[cut], size))
    return _side_by_side(slices)


def _grey(image, labels, box):
    """Return a function from intensities to [0, 255]: black to bright as the brain has them."""
    few = tuple(slice(one.start, one.stop, max(1, (one.stop - one.start) // 40)) for one in box)
    inside = image[few][labels[few] > 0]
    low, high = np.percentile(inside if inside.size else image[few], [0.5, 99.5])
    low = min(low, max(0.0, low - (high - low)))  # 0 is black, unless far below the brain
    return lambda cut: np.clip((cut - low) / max(high - low, 1e-6), 0, 1) * 255


def _slice(grey, labels, size):
    """Draw one slice, (a, b) arrays, on `size` pixels, the second axis upwards."""
    fine = [one * FINER for one in size]
    shown = grid.resize(grid.resize(grey.astype(np.float32), size), fine)
    shown = np.ascontiguousarray(np.repeat(np.rot90(shown)[..., None], 3, axis=2).astype(np.uint8))
    for number, tissue in enumerate(TISSUES, start=1):
        inside = grid.resize((labels >= number).astype(np.float32), fine) > 0.5
        lines, _ = cv2.findContours(
            np.pad(np.rot90(inside), 1).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(shown, lines, -1, _bgr(COLOURS[tissue]), 2, cv2.LINE_AA, offset=(-1, -1))
    return cv2.resize(shown, size, interpolation=cv2.INTER_AREA)


def _bgr(colour):
    """Return a colour such as '#56B4E9' as blue, green, red."""
    return tuple(bytes.fromhex(colour[1:])[::-1])


def _side_by_side(slices):
    """Put pictures into one row, each in the middle of its height."""
    height = max(len(one) for one in slices)
    rows = [(height - len(one)) // 2 for one in slices]
    padded = [
        np.pad(one, ((above, height - len(one) - above), (2, 2), (0, 0)))
        for one, above in zip(slices, rows, strict=True)
    ]
    return np.concatenate(padded, axis=1)
