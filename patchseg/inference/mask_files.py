"""The brain of a head on disc, under BIDS-derivatives names: written whole, and not twice."""

import json

import numpy as np

from patchseg import __version__, checkpoint
from patchseg.core.errors import InputError
from patchseg.core.files import sha256, write_text
from patchseg.images import grid, volume
from patchseg.inference import brain_page, standing, writing
from patchseg.inference.mask import extract
from patchseg.inference.places import Place
from patchseg.inference.request import request


class BrainPlace(Place):
    """Where the brain of one image goes (see `Place`).

    Parameters
    ----------
    image, out : str or Path
    number : int, optional
        Of several brains in one image (see `mask.extract`).
    """

    def __init__(self, image, out, number=None):
        super().__init__(image, out)
        self.label = f"brain{number or ''}"

    @property
    def record(self):
        """The JSON beside the mask. It is written last: where it is, everything is."""
        return self.path(f"desc-{self.label}_mask.json")

    @property
    def report(self):
        """The HTML page."""
        return self.path(f"desc-{self.label}_report.html")

    @property
    def note(self):
        """What says why there is no mask; tables of results do not read it."""
        return self.out / "log" / f"{self.name}_desc-{self.label}_unextracted.json"

    def files(self):
        """Return the paths of what a record names."""
        return list(self.images().values())

    def images(self):
        """Return the paths of all images, by what they hold."""
        suffix = self.stem.removeprefix(self.name).removeprefix("_")
        desc = f"desc-{self.label}"
        names = {
            "mask": f"{desc}_mask.nii.gz",
            "brain": f"{desc}_{suffix}.nii.gz" if suffix else f"{desc}.nii.gz",
            "probability": f"label-{self.label}_probseg.nii.gz",
        }
        return {what: self.path(ending) for what, ending in names.items()}


def extract_file(image, out, weights=None, *, overwrite=False, start=None, **settings):
    """Find the brain in one image file and write it, or read what is there already.

    Parameters
    ----------
    image : str or Path
    out : str or Path
        Folder of the derivatives; made if needed.
    weights : str or Path, optional
    overwrite : bool
        Do again what is there, and replace what patchseg did not make.
    start : callable, optional
        As of `outputs.fulfil`.
    **settings
        Of `patchseg.extract`.

    Returns
    -------
    said : dict
        `verdict`, `reasons`, `head` and `seconds`.
    status : str
        As of `outputs.fulfil`.

    Raises
    ------
    InputError
        See `patchseg.extract` and `standing.needed`.
    """
    place = BrainPlace(image, out, settings.get("brain_number"))
    wanted = {name: settings[name] for name in ("volume", "precision") if name in settings}
    asked = request(image, None, weights or checkpoint.HEADS, extract="never", **wanted)
    status = standing.needed(place, None, asked, overwrite)
    if status == standing.KEPT and place.report.is_file():
        return json.loads(place.record.read_text(encoding="utf-8"))["said"], status
    if start:
        start()
    found = extract(image, weights, **settings)
    reading = settings.get("volume"), settings.get("nan_as_background", False)
    shown = brain_page.render(found, volume.read(image, *reading), place.name)
    status = standing.DONE if status == standing.KEPT else status
    return write(found, place, asked, shown), status


def write(found, place, asked, shown):
    """Write a `mask.Mask` and its page, the record last; return what the record says of it."""
    there = place.images()
    said = {
        "verdict": found.verdict,
        "reasons": found.reasons,
        "head": bool(found.head),
        "seconds": found.provenance["seconds"],
    }
    try:
        place.record.unlink(missing_ok=True)
        writing.describe(place.out)
        volume.write(found.mask, there["mask"])
        volume.write(found.brain, there["brain"])
        share = np.asarray(found.probability.dataobj)
        volume.write(grid.in_bytes(share, found.mask), there["probability"])
        write_text(place.report, shown)
        record = {
            "Description": "Brain mask: 1 in the brain",
            "Type": "Brain",
            "GeneratedBy": [{"Name": "patchseg", "Version": __version__}],
            "Sources": [place.image.name],
            "said": said,
            "qc": json.loads(found.qc.to_json(orient="records")),
            "request": asked,
            "provenance": found.provenance,
            "files": {path.name: sha256(path) for path in place.files()},
        }
        write_text(place.record, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(
            f"{place.folder}: cannot be written ({error.strerror or error}); free space on the"
            " disc, or choose another folder (--out)"
        ) from error
    return said
