"""Score networks on brains of the zoo that they never saw, beside classical tools."""

import numpy as np

from patchseg import checkpoint, metrics
from patchseg.core import runtime
from patchseg.core.provenance import fingerprint, versions
from patchseg.datasets import brains as named
from patchseg.datasets import zoo
from patchseg.images import brain
from patchseg.scoring import rows

CLASSICAL = {"hmrf": "dipy", "atropos": "antspyx"}
"""Tools beside the networks, and the libraries that they are of."""


def unseen(weights):
    """Return the brains of the zoo, with an image, that weights were trained on in no contrast."""
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
    result : patchseg.inference.result.Result
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
    """Score networks on the brains of the zoo that are new to them, beside HMRF and Atropos.

    Rows that today's code made are kept (see `rows.complete`).

    Parameters
    ----------
    weights : list of Path
    table_path : str or Path
        A .csv: network, brain, sha256 of the weights, tissue, the measures of `metrics.score`, what
        `qc` said of the whole image, and the key of each row.

    Returns
    -------
    table : pandas.DataFrame
    """
    from patchseg.inference import qc

    paths = {path.name.removesuffix(checkpoint.SUFFIX): path for path in weights}
    jobs = [{"network": name, "brain": one} for name, path in paths.items() for one in unseen(path)]
    brains = sorted({job["brain"] for job in jobs}, key=list(zoo.entries()).index)
    jobs += [{"network": method, "brain": one} for method in CLASSICAL for one in brains]

    def measure(network, brain):
        if network in CLASSICAL:
            return score_classical(network, brain)
        sha256 = checkpoint.read_card(paths[network])["sha256"][:12]
        measured, result = score(paths[network], brain)
        said = {"qc": qc.worst(result.qc), "why": "; ".join(filter(None, result.qc.reason))}
        return [{"sha256": sha256, **row, **said} for row in measured]

    return rows.complete(
        table_path,
        jobs,
        lambda network, brain: key(network, brain, paths),
        measure,
        what="brains",
        stays=lambda row: row["network"] not in paths,
    )


def key(network, brain, paths):
    """Return the fingerprint of what `evidence` says of a network or method on a brain."""
    brain = named.identity(brain)
    if network in CLASSICAL:
        library = versions(CLASSICAL[network])
        return fingerprint(code=[score_classical], settings=[network, library, brain])
    use = checkpoint.use(paths[network])
    return fingerprint(code=[score], settings=[use, runtime.precision("auto"), brain])
