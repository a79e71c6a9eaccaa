"""The background of an image: its intensity, and whether the brain lies around it."""

import numpy as np

FACES = 0.5  # share of the voxels on the image's faces that the background holds

FEW = {True: (0.05, 0.05), False: (0.002, 0.01)}
"""What interpolation leaves below a background of 0, or (False) of another value, which somebody
chose: so many voxels, as a share of those above it, so far below, as a share of their median."""


def background(data):
    """Return the intensity of the background.

    It is the value that half of the image's faces hold, else 0 if there is a voxel of 0, else the
    minimum. Voxels that are not finite do not count; where half of the faces are such, it is 0 if a
    voxel is above 0, else the minimum.
    """
    faces = np.concatenate(
        [
            np.moveaxis(data, axis, 0)[end].ravel()  # np.take would copy the whole volume
            for axis in range(data.ndim)
            if data.shape[axis] > 2
            for end in (0, -1)
        ]
        or [data.ravel()]
    )
    known = np.isfinite(faces)
    if known.sum() < FACES * len(faces):
        finite = data[np.isfinite(data)]
        return float(finite.min()) if finite.size and finite.max() <= 0 else 0.0
    faces, data = faces[known], data[np.isfinite(data)]
    values, counts = np.unique(faces, return_counts=True)
    if counts.max() >= FACES * len(faces):
        return float(values[counts.argmax()])
    return 0.0 if (data == 0).any() and data.max() > 0 else float(data.min())


def is_signed(data):
    """Whether intensities lie on both sides of the background, as after a z-score.

    A few values a little below it, as interpolation leaves them, do not count.
    """
    level = background(data)
    if data.min() >= level:
        return False
    below, above = level - data[data < level], data[data > level] - level
    if not above.size:
        return False
    many, far = FEW[level == 0]
    if not below.size > many * above.size:
        return False
    return float(np.median(below)) > far * float(np.median(above))
