"""The brain of a head on disc, under BIDS-derivatives names: written whole, and not twice."""

import html
import json
from base64 import b64encode

import numpy as np

from patchseg import __version__, checkpoint
from patchseg.core.errors import InputError
from patchseg.core.files import sha256, write_text
from patchseg.images import grid, head, volume
from patchseg.inference import outputs
from patchseg.inference.mask import extract
from patchseg.inference.request import request

KEPT, DONE = outputs.KEPT, outputs.DONE


def paths(place):
    """Return where the files of a mask go, by what they hold.

    Parameters
    ----------
    place : patchseg.inference.outputs.Place
    """
    suffix = place.stem.removeprefix(place.name).removeprefix("_")
    brain = f"desc-brain_{suffix}.nii.gz" if suffix else "desc-brain.nii.gz"
    endings = {
        "mask": "desc-brain_mask.nii.gz",
        "brain": brain,
        "probability": "label-brain_probseg.nii.gz",
        "record": "desc-brain_mask.json",
        "report": "desc-brain_report.html",
    }
    return {what: place.path(ending) for what, ending in endings.items()}


def extract_file(image, out, weights=None, *, overwrite=False, **settings):
    """Find the brain in one image file and write it, or read what is there already.

    Parameters
    ----------
    image : str or Path
    out : str or Path
        Folder of the derivatives; made if needed.
    weights : str or Path, optional
    overwrite : bool
        Do again what is there.
    **settings
        Of `patchseg.extract`.

    Returns
    -------
    said : dict
        `status` ('kept' or 'done'), `verdict`, `reasons`, `head` and `seconds`.

    Raises
    ------
    InputError
        See `patchseg.extract`; or if a file of another origin is in the way.
    """
    place = outputs.Place(image, out)
    there = paths(place)
    wanted = {name: settings.get(name) for name in ("volume", "precision") if name in settings}
    asked = request(image, None, weights or checkpoint.HEADS, extract="always", **wanted)
    before = _record(there)
    if before and before["request"] == asked and not overwrite and _whole(there, before):
        return before["said"] | {"status": KEPT}
    own = before["files"] if before else {}
    for what in ("mask", "brain", "probability"):
        path = there[what]
        if path.is_file() and not overwrite and own.get(path.name) != sha256(path):
            raise InputError(
                f"{path}: is there already and was not made, or was changed after it was made;"
                " write to another folder (--out), or replace it (--overwrite)"
            )
    found = extract(image, weights, **settings)
    return write(found, there, asked) | {"status": DONE}


def write(found, there, asked):
    """Write a `mask.Mask` to the `paths` of its image, the record last; return what it says."""
    try:
        there["record"].unlink(missing_ok=True)
        volume.write(found.mask, there["mask"])
        volume.write(found.brain, there["brain"])
        share = np.asarray(found.probability.dataobj)
        volume.write(grid.in_bytes(share, found.mask), there["probability"])
        write_text(there["report"], page(found, there["report"].name.removesuffix("_report.html")))
        said = {
            "verdict": found.verdict,
            "reasons": found.reasons,
            "head": bool(found.head),
            "seconds": found.provenance["seconds"],
        }
        record = {
            "Description": "Brain mask: 1 in the brain",
            "Type": "Brain",
            "GeneratedBy": [{"Name": "patchseg", "Version": __version__}],
            "Sources": [str(found.image).rsplit("/", 1)[-1]],
            "said": said,
            "qc": json.loads(found.qc.to_json(orient="records")),
            "request": asked,
            "provenance": found.provenance,
            "files": {
                there[what].name: sha256(there[what]) for what in ("mask", "brain", "probability")
            },
        }
        write_text(there["record"], json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(
            f"{there['mask'].parent}: cannot be written ({error.strerror or error}); free space on"
            " the disc, or choose another folder (--out)"
        ) from error
    return said


def page(found, title):
    """Return the report of a mask: its outline on the head and the checks, as one HTML page."""
    from patchseg import figures

    data, affine = grid.ras(volume.read(found.image)) if found.image else grid.ras(found.brain)
    mask = grid.ras(found.mask, None)[0] > 0
    shown = np.clip(head.scaled(data), 0, 1)
    outline = {"brain": mask}
    picture = figures.outlines(shown, outline, grid.voxel_size_mm(affine), 6)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>"
        for row in found.qc.itertuples(index=False)
    )
    names = "".join(f"<th>{html.escape(name)}</th>" for name in found.qc.columns)
    kind = "a whole head" if found.head else "an extracted brain"
    made = found.provenance
    return _PAGE.format(
        title=html.escape(title),
        said=html.escape(f"{found.verdict}{': ' if found.reasons else ''}{found.reasons}"),
        kind=kind,
        size=f"{mask.sum() * np.prod(grid.voxel_size_mm(affine)) / 1000:.4g}",
        picture=b64encode(picture._repr_png_()).decode(),
        names=names,
        rows=rows,
        made=html.escape(f"patchseg {made['patchseg']}, weights {made['weights_sha256'][:12]}"),
    )


def _record(there):
    """Return the record of a mask that is there, or None."""
    try:
        found = json.loads(there["record"].read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(found, dict) and all(
        isinstance(found.get(name), dict) for name in ("request", "files", "said")
    )
    return found if known else None


def _whole(there, record):
    """Whether the files of a record are there, as they were made."""
    return there["report"].is_file() and all(
        there[what].is_file() and record["files"].get(there[what].name) == sha256(there[what])
        for what in ("mask", "brain", "probability")
    )


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}: brain mask</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; max-width: 70rem; }}
table {{ border-collapse: collapse; }}
th, td {{ border-bottom: 1px solid #ccc; padding: .35rem .7rem; text-align: left; }}
img {{ max-width: 100%; }}
</style></head><body>
<h1>{title}: brain mask</h1>
<p><strong>{said}</strong></p>
<p>The image shows {kind}; the brain has {size} cm³. The line is its border.</p>
<img alt="Slices of the head with the outline of the brain" src="data:image/png;base64,{picture}">
<h2>Can it be trusted?</h2>
<p>Each check says good, look or bad.</p>
<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>
<p>{made}</p>
</body></html>
"""
