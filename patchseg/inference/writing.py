"""Results on disc under BIDS-derivatives names, each whole or not at all."""

import json

import numpy as np
import pandas as pd

from patchseg import __version__
from patchseg.core.errors import InputError
from patchseg.core.files import sha256, write_table, write_text
from patchseg.core.tissues import COLOURS, TISSUES
from patchseg.images import grid, volume
from patchseg.inference.places import MAPS

NOT_BIDS = (
    "*.html",
    "*.js",
    "*.png",
    "*_map.nii.gz",
    "*_volumes.tsv",
    "*_thumbnail.webp",
    "volumes*.tsv",
    "qc.tsv",
    "look_first.tsv",
    "log",
)
"""What the BIDS validator is told to leave out, because the standard has no name for it."""


def write(result, place):
    """Write all results of one image, each whole or not at all, the JSON last."""
    try:
        place.record.unlink(missing_ok=True)
        place.report.unlink(missing_ok=True)  # it tells of the old result
        describe(place.out)
        paths = place.images()
        volume.write(result.dseg, paths["dseg"])
        for number, tissue in enumerate(TISSUES):
            volume.write(
                grid.in_bytes(np.asarray(result.probseg.dataobj[..., number]), result.dseg),
                paths[tissue],
            )
        for name in MAPS:
            volume.write(
                grid.in_bytes(np.asarray(getattr(result, name).dataobj), result.dseg), paths[name]
            )
        write_table(result.volumes, place.path("volumes.tsv"))
        record = json.dumps(_record(result, place), indent=2, ensure_ascii=False)
        write_text(place.record, record + "\n")
    except OSError as error:
        raise InputError(
            f"{place.folder}: cannot be written ({error.strerror or error}); free space on the"
            " disc, or choose another folder (--out)"
        ) from error


def _record(result, place):
    paths = place.files()
    return {
        "Description": "Tissue labels: 0 background, 1 CSF, 2 GM, 3 WM",
        "GeneratedBy": [{"Name": "patchseg", "Version": __version__}],
        "Sources": [place.image.name],
        "verdict": result.verdict,
        "reasons": result.reasons,
        "qc": json.loads(result.qc.to_json(orient="records")),
        "request": result.request,
        "provenance": result.provenance,
        "files": {path.name: sha256(path) for path in paths},
    }


def describe(out, sources=None):
    """Write what belongs to the folder as a whole, where it is not there yet.

    Its BIDS description, the table of labels, and what BIDS does not know.

    Parameters
    ----------
    out : Path
    sources : dict, optional
        Of the description: where the images come from.
    """
    if not (out / ".bidsignore").is_file():
        write_text(out / ".bidsignore", "\n".join(NOT_BIDS) + "\n")
    if not (out / "dataset_description.json").is_file():
        description = {
            "Name": "patchseg tissue segmentation",
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "patchseg", "Version": __version__}],
        } | (sources or {})
        write_text(out / "dataset_description.json", json.dumps(description, indent=2) + "\n")
    if not (out / "dseg.tsv").is_file():
        names = {"CSF": "cerebrospinal fluid", "GM": "grey matter", "WM": "white matter"}
        rows = [(0, "background", "BG", "#000000")] + [
            (number, names[tissue], tissue, COLOURS[tissue])
            for number, tissue in enumerate(TISSUES, start=1)
        ]
        write_table(
            pd.DataFrame(rows, columns=["index", "name", "abbreviation", "color"]), out / "dseg.tsv"
        )
