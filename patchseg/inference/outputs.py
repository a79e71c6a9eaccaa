"""Results on disc under BIDS-derivatives names.

Write them whole, and know what is there already.
"""

import inspect
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from patchseg import __version__, checkpoint
from patchseg.core.errors import InputError
from patchseg.core.files import project_root, sha256, write_table, write_text
from patchseg.core.tissues import COLOURS, TISSUES
from patchseg.images import grid, volume
from patchseg.inference.segmentation import Result, segment

MAPS = ("uncertainty", "disagreement")
_BIDS = re.compile(
    r"(?P<subject>sub-[0-9A-Za-z]+)(_(?P<session>ses-[0-9A-Za-z]+))?(_[0-9A-Za-z]+-[0-9A-Za-z+]+)*_(?P<suffix>[0-9A-Za-z]+)"
)


class Place:
    """Where the results of one image go.

    A BIDS name such as ``sub-01_ses-2_T1w.nii.gz`` gives
    ``sub-01/ses-2/anat/sub-01_ses-2_dseg.nii.gz``; any other name such as ``ferret.nii.gz`` gives
    ``ferret_dseg.nii.gz``.

    Parameters
    ----------
    image : str or Path
    out : str or Path
        Folder of the derivatives.
    """

    def __init__(self, image, out):
        self.image, self.out = Path(image), Path(out)
        self.stem = stem(self.image)
        match = _BIDS.fullmatch(self.stem)
        self.name = self.stem.removesuffix(f"_{match['suffix']}") if match else self.stem
        parts = (
            [part for part in (match["subject"], match["session"], "anat") if part] if match else []
        )
        self.folder = self.out.joinpath(*parts)

    def path(self, ending):
        """Return the path of one result, for example of 'dseg.nii.gz'."""
        return self.folder / f"{self.name}_{ending}"

    @property
    def record(self):
        """The JSON beside the dseg. It is written last: where it is, everything is."""
        return self.path("dseg.json")

    @property
    def report(self):
        """The HTML page."""
        return self.path("report.html")

    def images(self):
        """Return the paths of all images, by what they hold."""
        names = (
            {"dseg": "dseg.nii.gz"}
            | {tissue: f"label-{tissue}_probseg.nii.gz" for tissue in TISSUES}
            | {name: f"desc-{name}_map.nii.gz" for name in MAPS}
        )
        return {what: self.path(ending) for what, ending in names.items()}


def stem(path):
    """Return a file's name without its extension: 'brain' for brain.nii.gz."""
    name = Path(path).name
    return next(
        (
            name[: -len(end)]
            for end in sorted(volume.EXTENSIONS, key=len, reverse=True)
            if name.lower().endswith(end)
        ),
        name,
    )


def base_folder():
    """Return the folder that relative paths of notebook 5 start from.

    The project's, or outside of a project the current one.
    """
    try:
        return project_root()
    except InputError:
        return Path.cwd()


def segment_file(image, out, mask=None, weights=None, overwrite=False, **settings):
    """Segment one image file and write the results, or read them if they are there already.

    Parameters
    ----------
    image : str or Path
    out : str or Path
        Folder of the derivatives; made if needed.
    mask, weights : str or Path, optional
    overwrite : bool
        Do it again.
    **settings
        Of `patchseg.segment`.

    Returns
    -------
    result : patchseg.inference.segmentation.Result

    Raises
    ------
    InputError
        See `patchseg.segment`; or if the folder holds results of another image or of other settings
        under the same name.
    """
    place = Place(image, out)
    asked = request(image, mask, weights, settings)
    check_targets(place, mask, overwrite)
    if not overwrite and done(place, asked):
        return read(place)
    write(segment(image, mask, weights, **settings), place, asked)
    return read(place)


def check_targets(place, mask, overwrite):
    """Raise InputError if a result would take the place of the image, of its mask, or of a file
    that is not a result of patchseg."""
    inputs = {Path(path).resolve() for path in (place.image, mask) if path}
    for path in place.images().values():
        if path.resolve() in inputs:
            raise InputError(
                f"{path}: the result would take the place of the image or its mask; write to"
                " another folder (--out)"
            )
        if path.is_file() and not overwrite and not place.record.is_file() and not _is_ours(path):
            raise InputError(
                f"{path}: is there already and was not made by patchseg; write to another folder"
                " (--out), or replace it (--overwrite)"
            )


def _is_ours(path):
    try:
        return bytes(nib.load(path).header["descrip"].tobytes()).startswith(grid.MARK)
    except Exception:  # damaged, or of another kind: whatever it is, it is not ours
        return False


def request(image, mask, weights, settings):
    """Return what makes a result what it is.

    The sha256 of all inputs, the settings and the version.
    """
    for path in filter(None, (image, mask)):
        volume.check_file(path)
    try:
        sums = {"image_sha256": sha256(image), "mask_sha256": sha256(mask) if mask else None}
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); ask for its permission"
            " (chmod +r)"
        ) from error
    every = {
        name: one.default
        for name, one in inspect.signature(segment).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    } | settings
    kept = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in sorted(every.items())
        if name != "tile"
    }
    path = weights or checkpoint.SHIPPED
    sums |= {
        "weights_sha256": checkpoint.read_card(path)["sha256"],
        "card_sha256": sha256(checkpoint.card_path(path)),
    }
    return sums | {"settings": kept, "patchseg": __version__}


def done(place, asked):
    """Return whether all results of a request are there.

    Raises
    ------
    InputError
        If results are there that were made from something else.
    """
    if not place.record.is_file():
        return False
    try:
        made = json.loads(place.record.read_text(encoding="utf-8"))["request"]
        differ = [name for name in asked if made.get(name) != asked[name]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if differ:
        raise InputError(
            f"{place.record}: made with another {', '.join(differ)}; do it again (--overwrite) or"
            " write to another folder (--out)"
        )
    return (
        all(path.is_file() for path in place.images().values())
        and place.path("volumes.tsv").is_file()
    )


def write(result, place, asked):
    """Write all results of one image, each whole or not at all, the JSON last."""
    try:
        place.record.unlink(missing_ok=True)
        place.report.unlink(missing_ok=True)  # it tells of the old result
        _describe(place.out)
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
        record = {
            "Description": "Tissue labels: 0 background, 1 CSF, 2 GM, 3 WM",
            "GeneratedBy": [{"Name": "patchseg", "Version": __version__}],
            "Sources": [place.image.name],
            "verdict": result.verdict,
            "reasons": result.reasons,
            "qc": json.loads(result.qc.to_json(orient="records")),
            "request": asked,
            "provenance": result.provenance,
        }
        write_text(place.record, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(
            f"{place.folder}: cannot be written ({error.strerror or error}); free space on the"
            " disc, or choose another folder (--out)"
        ) from error


def _describe(out):
    """Write what belongs to the folder as a whole: its BIDS description and the table of labels."""
    if not (out / "dataset_description.json").is_file():
        description = {
            "Name": "patchseg tissue segmentation",
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "patchseg", "Version": __version__}],
        }
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
    """Read the results of one image back from disc (see `segmentation.Result`)."""
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
    )
