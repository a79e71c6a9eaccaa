"""Score networks on brains of the zoo that they never saw, beside classical tools."""

from pathlib import Path

import numpy as np
import pandas as pd

from patchseg import checkpoint, metrics
from patchseg.core import files
from patchseg.core.progress import progress
from patchseg.datasets import brains as named
from patchseg.datasets import zoo
from patchseg.images import brain


def unseen(weights):
    """Return the brains of the zoo with an image that weights were not trained on, nor on another
    contrast of the same brain."""
    trained_on = set(checkpoint.read_card(weights).get("brains", []))
    known = zoo.entries()
    same = {
        name: (
            {name, one.same_brain_as}
            | {other for other in known if known[other].same_brain_as == name}
        )
        for name, one in known.items()
    }
    return [name for name, one in known.items() if one.modality and not same[name] & trained_on]


def score(weights, name, scales=(1.0,), sharpen=True):
    """Segment a brain of the zoo and compare it with its labels, inside the labelled voxels.

    Parameters
    ----------
    weights : str, Path or None
        None takes those of the package.
    name : str
    scales : tuple of float
        Magnifications, averaged.
    sharpen : bool
        See `segmentation.segment`.

    Returns
    -------
    rows : list of dict
        As `metrics.score` gives them, one for each tissue.
    result : patchseg.inference.segmentation.Result
    """
    import nibabel as nib

    from patchseg.inference import segmentation

    one = named.load(name)
    image, mask = (
        nib.Nifti1Image(part, one.affine) for part in (one.image, one.mask.astype(np.uint8))
    )
    result = segmentation.segment(image, mask, weights, scales=scales, sharpen=sharpen)
    found = np.asarray(result.dseg.dataobj)
    return metrics.score(one.labels, found, one.voxel_mm), result


def score_classical(method, name):
    """Score a classical tool on a brain of the zoo, given its mask; rows as of `score`.

    Parameters
    ----------
    method : {'hmrf', 'atropos'}
        DIPY's HMRF, or ANTs' N4 and Atropos.
    name : str
    """
    from patchseg.scoring import baseline

    one = named.load(name)
    classical = {
        "hmrf": lambda: baseline.hmrf(one.normalised(brain.TOP)),
        "atropos": lambda: baseline.atropos(one.image, one.mask, one.voxel_mm),
    }
    found = classical[method]()
    found = np.zeros_like(one.labels) if found is None else found
    return metrics.score(one.labels, found, one.voxel_mm)


def evidence(weights, table_path):
    """Score networks on every brain of the zoo that they were not trained on, beside HMRF and
    Atropos; keep the rows that are there.

    Parameters
    ----------
    weights : list of Path
    table_path : str or Path
        A .csv: network, brain, tissue, and the measures of `metrics.score`. A row stays until the
        weights change.

    Returns
    -------
    table : pandas.DataFrame
    """
    table_path = Path(table_path)
    rows = (
        pd.read_csv(
            table_path, dtype={"sha256": str}, keep_default_na=False, na_values=[""]
        ).to_dict("records")
        if table_path.exists()
        else []
    )
    jobs = [
        (
            path.name.removesuffix(checkpoint.SUFFIX),
            checkpoint.read_card(path)["sha256"][:12],
            path,
            name,
        )
        for path in weights
        for name in unseen(path)
    ]
    brains = sorted({job[-1] for job in jobs}, key=list(zoo.entries()).index)
    jobs += [(method, "", None, name) for method in ("hmrf", "atropos") for name in brains]
    wanted = {(network, sha256, name) for network, sha256, _, name in jobs}
    rows = [
        row
        for row in rows
        if (row["network"], row["sha256"] if isinstance(row["sha256"], str) else "", row["brain"])
        in wanted
    ]
    have = {(row["network"], row["brain"]) for row in rows}
    for network, sha256, path, name in progress(jobs, "brains"):
        if (network, name) in have:
            continue
        found = score(path, name)[0] if path else score_classical(network, name)
        rows += [{"network": network, "sha256": sha256, "brain": name, **row} for row in found]
        files.write_table(pd.DataFrame(rows), table_path)
    return pd.DataFrame(rows)
