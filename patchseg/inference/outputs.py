"""Results on disc under BIDS-derivatives names: written whole, and not twice."""

import copy
import gzip
import json
import re
import warnings
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from patchseg import __version__
from patchseg.core.errors import InputError
from patchseg.core.files import project_root, sha256, write_table, write_text
from patchseg.core.tissues import COLOURS, TISSUES
from patchseg.images import grid, volume
from patchseg.inference.request import differences, request
from patchseg.inference.result import Result
from patchseg.inference.segmentation import segment

FOREIGN = (
    "is there already and was not made by patchseg; write to another folder (--out), or replace it"
    " (--overwrite)"
)
LONGEST = 255
"""Bytes of a name that discs take."""
MAPS = ("uncertainty", "disagreement")
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
UNFINISHED = "_unfinished.json"
"""Ends the names of files that tell of an image without a result."""
KEPT, DONE, AGAIN = "kept", "done", "done again: other "
_BIDS = re.compile(
    r"(?P<subject>sub-[0-9A-Za-z]+)(_(?P<session>ses-[0-9A-Za-z]+))?"
    r"(_[0-9A-Za-z]+-[0-9A-Za-z+]+)*_(?P<suffix>[0-9A-Za-z]+)"
)


class TakenError(InputError):
    """The results under this name are of another image."""


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

    @property
    def note(self):
        """What says why there is no result (see `unfinished`)."""
        return self.out / "log" / f"{self.name}{UNFINISHED}"

    def absolute(self):
        """Return the same place, for a process with another current folder."""
        there = copy.copy(self)
        there.image, there.out = self.image.absolute(), self.out.absolute()
        there.folder = self.folder.absolute()
        return there

    def files(self):
        """Return the paths of what a record names: the images and the table."""
        return [*self.images().values(), self.path("volumes.tsv")]

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
    """Return the folder of relative paths in notebooks 5 and 6: the project, or the current one."""
    try:
        return project_root()
    except InputError:
        return Path.cwd()


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


def needed(place, mask, asked, overwrite=False):
    """Return what is to be done for a request: 'kept' (nothing), 'done', or 'done again: ...'.

    Raises
    ------
    InputError
        If files are in the way that patchseg did not make, or made from another image.
    """
    check_targets(place, mask)
    if overwrite:
        return DONE
    differ = differing(place, asked)
    paths = place.files()
    if not differ and _made_from(place) is not None and all(map(_is_whole, paths)):
        return KEPT
    check_foreign(place)
    return f"{AGAIN}{', '.join(differ)}" if differ else DONE


def _is_whole(path):
    """Whether a file is there and can be read to its end, as far as that is quick to see."""
    if not path.is_file() or not path.stat().st_size:
        return False
    if path.suffix != ".gz":
        return True
    try:
        with gzip.open(path) as handle:
            while handle.read(2**20):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def differing(place, asked):
    """Name what the results that are there were made with, other than what is asked for.

    Raises
    ------
    InputError
        If they were made from another image.
    """
    made = _made_from(place)
    differ = [] if made is None else differences(asked, made)
    if "image" in differ:
        raise TakenError(
            f"{place.record}: made from another image of the same name; write to another folder"
            " (--out), or replace it (--overwrite)"
        )
    return differ


def _made_from(place):
    """Return the request of the results that are there, or None if no record tells it."""
    try:
        made = json.loads(place.record.read_text(encoding="utf-8"))["request"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return made if isinstance(made, dict) else None


def check_targets(place, *inputs):
    """Raise InputError if a result would take the place of an input, or its name is too long."""
    longest = max((path.name for path in place.images().values()), key=len)
    if len(longest.encode(errors="replace")) > LONGEST:
        raise InputError(
            f"{place.image}: names of results, such as {longest[-40:]}, would be longer than"
            f" {LONGEST} bytes; give the image a shorter name"
        )
    inputs = {Path(path).resolve() for path in (place.image, *inputs) if path}
    for path in place.images().values():
        if path.resolve() in inputs:
            raise InputError(
                f"{path}: the result would take the place of the image or its mask; write to"
                " another folder (--out)"
            )


def check_foreign(place):
    """Raise InputError if a file is in the way that patchseg did not make, or that was changed.

    A record names the sha256 of the files beside it. Without one, as after a kill, images tell by
    their header and tables by their columns.
    """
    made, record = _files(place), place.record
    if record.is_file() and made is None:
        raise InputError(f"{record}: {FOREIGN}")
    paths = place.files()
    for path in (path for path in paths if path.is_file()):
        known = (made or {}).get(path.name)
        if known and known != sha256(path) and _is_whole(path):
            raise InputError(
                f"{path}: was changed after patchseg had made it; write to another folder (--out),"
                " or replace it (--overwrite)"
            )
        if not known and not _is_ours(path):
            raise InputError(f"{path}: {FOREIGN}")


def _files(place):
    """Return the sha256 of each file of a result by name; empty for a record of an earlier version,
    None where no record of patchseg is."""
    if _made_from(place) is None:
        return None
    files = json.loads(place.record.read_text(encoding="utf-8")).get("files")
    return files if isinstance(files, dict) else {}


def _is_ours(path):
    """Whether a file looks as patchseg writes it."""
    if path.suffix == ".tsv":
        return path.read_text(encoding="utf-8", errors="replace").startswith("tissue\tvolume_mm3")
    try:
        return bytes(nib.load(path).header["descrip"].tobytes()).startswith(grid.MARK)
    except Exception:  # damaged, or of another kind: whatever it is, it is not ours
        return False


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
