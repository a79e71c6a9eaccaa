"""The sets of a network, drawn from brains by name and kept as long as their key holds."""

import json

from patchseg.core import files
from patchseg.core.provenance import fingerprint, versions
from patchseg.datasets import brains as named
from patchseg.params import DeepDraw, HeadDraw
from patchseg.training import batches, deep_grey, draw, head_sources, heads

LIBRARIES = ("numpy", "opencv-python-headless", "scipy")
"""Their versions may change the bits of a patch."""


def draw_sets(folder, chosen, drawing, jobs):
    """Draw patches from brains, unless the sets of the same code, settings and brains are there.

    Parameters
    ----------
    folder : Path
        Gets ``train`` and ``val`` (see `draw.write_set`) and then ``set.json``: their key, and the
        least and largest size of a brain that they show.
    chosen : list of str
        Brains or heads (see `brains.names`).
    drawing : patchseg.params.Draw, patchseg.params.DeepDraw or patchseg.params.HeadDraw
    jobs : int
        Threads.

    Returns
    -------
    training, validation : pairs of (n, p, p) or (n, p, p, p) ndarray, memory-mapped
    sizes_mm : list of two float
        The least and the largest size of a brain that they show: one that is magnified threefold
        is seen like one that is three times smaller.
    """
    today, described = key(chosen, drawing), folder / "set.json"
    if not described.is_file() or json.loads(described.read_text())["key"] != today:
        described.unlink(missing_ok=True)
        whole = isinstance(drawing, HeadDraw)
        of, load = _how(drawing)
        brains = [load(name) for name in chosen]
        for seed, (part, count) in enumerate(
            {"train": drawing.patches, "val": drawing.validation}.items()
        ):
            draw.write_set(brains, folder / part, count, drawing, seed, jobs, of)
        sizes = [one.size_mm for one in brains]
        least, most = (1, 1) if whole else drawing.scales
        shown = [round(min(sizes) / most, 1), round(max(sizes) / least, 1)]
        files.write_text(described, json.dumps({"key": today, "sizes_mm": shown}))
    training, validation = (batches.open_training_set(folder / part) for part in ("train", "val"))
    return training, validation, json.loads(described.read_text())["sizes_mm"]


def _how(drawing):
    """Return the module that draws, and what loads a brain for it."""
    if isinstance(drawing, HeadDraw):
        return heads, head_sources.load
    return (deep_grey, deep_grey.load) if isinstance(drawing, DeepDraw) else (draw, draw.load)


def key(chosen, drawing):
    """Return the fingerprint of the sets: code that draws, settings, brains and libraries."""
    brains = [[name, named.identity(name)] for name in chosen]
    return fingerprint(
        code=["patchseg.training.drawn"],
        settings=[drawing.model_dump(), brains, versions(*LIBRARIES)],
    )
