"""Whether what the header of an image says can be true: shape, affine, memory, compressed size."""

import gzip
import zlib

import nibabel as nib
import numpy as np

from patchseg.core.errors import InputError
from patchseg.core.memory import free_memory

BYTES_PER_VOXEL = 32
"""Of an image while it is segmented: data, a copy in RAS+ order, probabilities, uncertainties."""
VOXEL_MM = (0.005, 25.0)
"""Edges outside are a mistake in the header: microscopy is finer, no MRI is coarser."""


def which_volume(name, shape, volume, mend="choose one with --volume N, from 0 to {last}"):
    """Return the place along the fourth axis, or None for a 3D image."""
    if len(shape) not in (3, 4) or 0 in shape:
        raise InputError(
            f"{name}: shape {shape} is not that of a volume (x, y, z); save one volume of it"
        )
    if len(shape) == 3:
        if volume not in (None, 0):
            raise InputError(
                f"{name}: volume {volume} was asked for, but the image is 3D; leave --volume away"
            )
        return None
    if volume is None and shape[3] > 1:
        raise InputError(
            f"{name}: shape {shape} is 4D, {shape[3]} volumes; {mend.format(last=shape[3] - 1)}"
        )
    volume = volume or 0
    if not 0 <= volume < shape[3]:
        raise InputError(
            f"{name}: volume {volume} does not exist; choose one from 0 to {shape[3] - 1}"
        )
    return volume


def check_affine(name, affine, unit):
    """Raise InputError unless an affine gives voxels of a size that MRI has, in 3D."""
    if not np.isfinite(affine).all():
        raise InputError(
            f"{name}: the affine {affine.tolist()} is not finite; mend the header's sform or qform"
        )
    sizes = nib.affines.voxel_sizes(affine) * unit
    shown = " x ".join(f"{size:.3g}" for size in sizes)
    if not sizes.all():
        raise InputError(
            f"{name}: voxel size {shown} mm, an edge is 0; mend the header (pixdim, sform)"
        )
    if sizes.min() < VOXEL_MM[0] or sizes.max() > VOXEL_MM[1]:
        raise InputError(
            f"{name}: voxel size {shown} mm is outside {VOXEL_MM[0]:g} to {VOXEL_MM[1]:g} mm; mend"
            " the header (pixdim, sform, units)"
        )
    if abs(np.linalg.det(affine[:3, :3])) * unit**3 < 0.05 * sizes.prod():
        raise InputError(
            f"{name}: the affine {np.round(affine, 4).tolist()} is singular, its axes nearly"
            " coincide; mend the header's sform or qform"
        )


def check_memory(name, shape):
    """Raise InputError if an image of this shape needs more memory than is free."""
    need, free = float(np.prod(shape[:3], dtype=float)) * BYTES_PER_VOXEL, free_memory()
    if need > free:
        raise InputError(
            f"{name}: shape {shape[:3]} needs about {need / 2**30:.3g} GiB of memory,"
            f" {free / 2**30:.3g} GiB are free; crop or downsample it, or check whether the header"
            " is damaged"
        )


def check_size(path, expected):
    """Raise InputError if a file is shorter than its header says: before memory is taken for it."""
    _check_not_shorter(path, path.stat().st_size, expected)


def check_gzip(path, expected):
    """Read a compressed file to its end, because only then its checksum is compared.

    Parameters
    ----------
    path : Path
    expected : int
        Bytes that the header says: up to the last voxel.

    Raises
    ------
    InputError
        If it is damaged, shorter, or much longer.
    """
    size, limit = 0, expected + 2**24
    try:
        with gzip.open(path) as handle:
            while block := handle.read(2**20):
                size += len(block)
                if size > limit:
                    raise InputError(
                        f"{path}: holds more data than its header says ({expected} bytes); the"
                        " header may be damaged"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: the compressed file is truncated or damaged ({error}); copy it again"
        ) from error
    _check_not_shorter(path, size, expected)


def _check_not_shorter(path, size, expected):
    if size < expected:
        raise InputError(
            f"{path}: holds {size} bytes, but its header says {expected}; the file may be truncated"
            " or its header damaged, copy it again"
        )
