"""Score networks that find the brain on heads that they never saw, beside other tools."""

import contextlib
import io
import time
from importlib.util import find_spec

import numpy as np

from patchseg import checkpoint, metrics
from patchseg.core import runtime
from patchseg.core.provenance import fingerprint, versions
from patchseg.datasets import brains as named
from patchseg.datasets import heads
from patchseg.images import brain
from patchseg.scoring import rows

LEFT_OUT = {
    "head-macaque-yerkes-t1": "heads-no-macaque",
    "head-macaque-yerkes-t2": "heads-no-macaque",
    "head-chimp-yerkes-t1": "heads-no-chimp",
    "head-chimp-yerkes-t2": "heads-no-chimp",
    "head-mouse-2": "heads-no-mouse",
}
"""For each head a network that never saw its species."""
TOOLS = {"median_otsu": "dipy", "bet": "brainextractor"}
"""Other tools, and the libraries that they are of."""
BRAIN_MM = 100.0
"""To BET, which knows people only, a brain is scaled to this cube root of its volume."""


def measured(truth, found, voxel_mm):
    """Compare two masks.

    Parameters
    ----------
    truth, found : (x, y, z) ndarray of bool
    voxel_mm : tuple of three float

    Returns
    -------
    row : dict
        `dice`; `hd95_mm`, and the same in voxels of 1 mm-equivalent (`hd95_1mm`: as if the brain
        had the volume of a macaque's, where a voxel of 1 mm is usual); `volume_ratio`.
    """
    size = (truth.sum() * np.prod(voxel_mm)) ** (1 / 3)
    far = metrics.hd95_mm(truth, found, voxel_mm)
    return {
        "dice": round(metrics.dice(truth, found), 4),
        "hd95_mm": round(far, 3),
        "hd95_1mm": round(far / size * MACAQUE_MM, 2),
        "volume_ratio": round(float(found.sum() / truth.sum()), 3),
    }


MACAQUE_MM = 46.0


def score(weights, name):
    """Find the brain of a head by a network: a row as of `measured`, and what the checks said."""
    from patchseg.inference import mask as masks
    from patchseg.inference import qc

    one = named.load(name)
    started = time.monotonic()
    found = masks.find(one.image, one.voxel_mm, name, weights)
    seconds = time.monotonic() - started
    checks = masks.table(found, brain.size_mm(found.mask, one.voxel_mm))
    return measured(one.mask, found.mask, one.voxel_mm) | {
        "other": round(found.other, 3),
        "agreement": round(found.agreement, 3),
        "steadiness": round(found.steadiness, 3),
        "sharpness": round(found.sharpness, 3),
        "qc": qc.worst(checks),
        "seconds": round(seconds, 2),
    }


def score_tool(tool, name):
    """Find the brain of a head by another tool: a row as of `measured`."""
    one = named.load(name)
    started = time.monotonic()
    found = {"median_otsu": _median_otsu, "bet": _bet}[tool](one)
    seconds = time.monotonic() - started
    return measured(one.mask, found, one.voxel_mm) | {"seconds": round(seconds, 2)}


def _median_otsu(one):
    """DIPY's, with its usual settings."""
    from dipy.segment.mask import median_otsu

    return median_otsu(one.image, median_radius=4, numpass=4)[1].astype(bool)


def _bet(one):
    """BET (Smith 2002), in its Python version, told that the brain is as large as a person's."""
    import nibabel as nib
    from brainextractor import BrainExtractor

    factor = BRAIN_MM / one.size_mm
    image = nib.Nifti1Image(
        np.clip(one.image, 0, None), np.diag([*(np.array(one.voxel_mm) * factor), 1])
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it counts its thousand steps
        tool = BrainExtractor(img=image)
        tool.run()
    return np.asarray(tool.compute_mask()) > 0


def evidence(weights, table_path):
    """Score networks on the heads that are new to them, beside other tools.

    Rows that today's code made are kept (see `rows.complete`), and those of tools that are not
    installed here.

    Parameters
    ----------
    weights : list of Path
        Named as in `LEFT_OUT`.
    table_path : str or Path

    Returns
    -------
    table : pandas.DataFrame
    """
    paths = {path.name.removesuffix(checkpoint.SUFFIX): path for path in weights}
    known = heads.entries()
    seen = {name: set(checkpoint.read_card(path)["brains"]) for name, path in paths.items()}
    jobs = [
        {"method": name, "head": head} for name in paths for head in known if head not in seen[name]
    ]
    tools = [tool for tool, library in TOOLS.items() if find_spec(library)]
    jobs += [{"method": tool, "head": head} for tool in tools for head in known]

    def measure(method, head):
        if method in TOOLS:
            return [score_tool(method, head)]
        sha256 = checkpoint.read_card(paths[method])["sha256"][:12]
        return [{"sha256": sha256, **score(paths[method], head)}]

    return rows.complete(
        table_path,
        jobs,
        lambda method, head: key(method, head, paths),
        measure,
        what="heads",
        stays=lambda row: row["method"] not in [*paths, *tools],
    )


def key(method, head, paths):
    """Return the fingerprint of what `evidence` says of a network or tool on a head."""
    head = named.identity(head)
    if method in TOOLS:
        return fingerprint(code=[score_tool], settings=[method, versions(TOOLS[method]), head])
    use = checkpoint.use(paths[method])
    return fingerprint(code=[score], settings=[use, runtime.precision("auto"), head])
