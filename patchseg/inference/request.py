"""What makes a result what it is: inputs and settings that change a voxel.

Two equal requests have equal results, so that what is there already need not be done again.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from patchseg import __version__, checkpoint
from patchseg.core import files, runtime
from patchseg.core.errors import InputError
from patchseg.images import grid
from patchseg.images import volume as volumes
from patchseg.inference import library
from patchseg.inference.views import LARGEST


def request(
    image,
    mask=None,
    weights=None,
    *,
    volume=None,
    extract="auto",
    brain_weights=None,
    n4=False,
    scales=(1.0,),
    tile=None,
    sharpen=True,
    precision="auto",
    **_without_effect,
):
    """Return what makes a result what it is.

    Whether an odd image is refused (`nan_as_background`) and `threads` are left out: they change no
    voxel.

    Parameters
    ----------
    image, mask, weights and settings
        Of `patchseg.segment`.

    Returns
    -------
    asked : dict
        The sha256 sums of all inputs (of a file, or of the values in memory), the version, and the
        settings as they are used: 'auto' precision is the one of this processor.

    Raises
    ------
    InputError
        If a file cannot be read, or the weights do not fit their card.
    """
    path = library.find(weights) or checkpoint.SHIPPED
    card = checkpoint.read_card(path)
    return {
        "image_sha256": _sha256(image),
        "mask_sha256": None if mask is None else _sha256(mask),
        "weights_sha256": card["sha256"],
        "card_sha256": files.sha256(checkpoint.card_path(path)),
        "deep_sha256": checkpoint.read_card(checkpoint.DEEP)["sha256"]
        if card.get("deep")
        else None,
        "heads_sha256": (
            None if mask is not None or extract == "never" else _of_heads(brain_weights)
        ),
        "settings": {
            "volume": volume or 0,
            "extract": None if mask is not None else extract,
            "n4": n4,
            "scales": [float(scale) for scale in scales],
            "tile": tile or LARGEST,
            "sharpen": sharpen,
            "precision": runtime.precision(precision),
        },
        "patchseg": __version__,
    }


def _of_heads(weights):
    """Return the sum of the weights that find the brain; of their card, if it moves the border."""
    path = library.find(weights) or checkpoint.HEADS
    card = checkpoint.read_card(path)
    return files.sha256(checkpoint.card_path(path)) if card.get("borders") else card["sha256"]


def differences(asked, made):
    """Name what two requests differ in, in the words of the command; empty if in nothing."""
    names = {
        "mask_sha256": "mask",
        "weights_sha256": "weights",
        "card_sha256": "card of the weights",
    }
    names |= {"heads_sha256": "weights that find the brain"}
    names |= {"deep_sha256": "weights that find deep grey matter"}
    names |= {"image_sha256": "image", "patchseg": "version of patchseg"}
    found = [name for key, name in names.items() if asked[key] != made.get(key)]
    if "mask" in found:  # with a mask nothing is looked for
        found = [name for name in found if name != names["heads_sha256"]]
    wanted, had = asked["settings"], made.get("settings")
    had = had if isinstance(had, dict) else {}
    other = [name for name in wanted if wanted[name] != had.get(name)]
    return found + [name for name in other if name != "extract" or "mask" not in found]


def _sha256(source):
    if isinstance(source, str | Path):
        volumes.check_file(source)
        try:
            return files.sha256(source)
        except OSError as error:
            raise InputError(
                f"{source}: cannot be read ({error.strerror}); ask for its permission (chmod +r)"
            ) from error
    place = [source.shape, grid.unit_mm(source), np.asarray(source.affine, float).tolist()]
    digest = hashlib.sha256(json.dumps(place).encode())
    digest.update(np.ascontiguousarray(source.dataobj))
    return digest.hexdigest()
