"""Results on disc under BIDS-derivatives names: written whole, and not twice."""

import json
import warnings

import nibabel as nib
import numpy as np
import pandas as pd

from patchseg import __version__
from patchseg.core.errors import InputError
from patchseg.core.files import sha256, write_table, write_text
from patchseg.core.tissues import COLOURS, TISSUES
from patchseg.images import grid, volume
from patchseg.inference.places import MAPS, Place
from patchseg.inference.request import request
from patchseg.inference.result import Result
from patchseg.inference.segmentation import segment
from patchseg.inference.standing import AGAIN, KEPT, needed

RUN = ("command", "seconds", "peak_memory_mb", "look")
"""Of the provenance, what belongs to one run, and the numbers that are not for people."""
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


def segment_file(image, out, mask=None, weights=None, *, overwrite=False, **settings):
    """Segment one image file and write the results, or read them if they are there already.

    Results of the same image that were made with another mask, other weights or other settings are
    made again, and a warning says so.

    Parameters
    ----------
    image : str or Path
    out : str or Path
        Folder of the derivatives; made if needed.
    mask, weights : str or Path, optional
    overwrite : bool
        Make them again in any case, and in the place of what patchseg did not make.
    **settings
        Of `patchseg.segment`.

    Returns
    -------
    result : patchseg.inference.result.Result

    Raises
    ------
    InputError
        See `patchseg.segment`; or if the folder holds files under the same names that patchseg did
        not make, or made from another image.
    """
    result, status = fulfil(image, out, mask, weights, overwrite=overwrite, **settings)
    if status.startswith(AGAIN):
        warnings.warn(f"{image}: {status}", stacklevel=2)
    return result


def fulfil(image, out, mask=None, weights=None, *, overwrite=False, start=None, **settings):
    """Do what `segment_file` does, and say what was done.

    Parameters
    ----------
    image, out, mask, weights, overwrite, **settings
        See `segment_file`.
    start : callable, optional
        Called before something is computed: not for what is there, nor for a file that is not.

    Returns
    -------
    result : patchseg.inference.result.Result
    status : str
        'kept', 'done', or 'done again: other ' and what differs.
    """
    place = Place(image, out)
    status = needed(place, mask, request(image, mask, weights, **settings), overwrite)
    if status != KEPT:
        if start:
            start()
        made = segment(image, mask, weights, **settings)
        write(made, place)
        try:
            return read(place), status
        except FileNotFoundError:  # the same command runs twice, and the other one writes, too
            return made, status
    return read(place), status


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


def read(place):
    """Read the results of one image back from disc (see `result.Result`)."""
    record = json.loads(place.record.read_text(encoding="utf-8"))
    found = {what: nib.load(path) for what, path in place.images().items()}
    probabilities = np.stack(
        [np.asarray(found[tissue].dataobj, np.float32) for tissue in TISSUES], axis=-1
    )
    return Result(
        dseg=found["dseg"],
        probseg=nib.Nifti1Image(
            probabilities, found["dseg"].affine, found["dseg"].header, dtype=np.float32
        ),
        uncertainty=found["uncertainty"],
        disagreement=found["disagreement"],
        volumes=pd.read_csv(place.path("volumes.tsv"), sep="\t"),
        qc=pd.DataFrame(record["qc"]),
        provenance=record["provenance"],
        request=record["request"],
        image=str(place.image),
    )


def told(result):
    """Return how a result was made, for a page: what differs between two runs is left out.

    Returns
    -------
    made : dict of str to str
    """
    made = {name: value for name, value in result.provenance.items() if name not in RUN}
    libraries = made.pop("libraries", {})
    return {name: str(value) for name, value in (made | libraries).items()}
