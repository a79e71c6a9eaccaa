"""Where results go: BIDS-derivatives names of one image's files."""

import copy
import re
from pathlib import Path

from patchseg.core.errors import InputError
from patchseg.core.files import project_root
from patchseg.core.tissues import TISSUES
from patchseg.images import volume

MAPS = ("uncertainty", "disagreement")
UNFINISHED = "_unfinished.json"
"""Ends the names of files that tell of an image without a result."""
_BIDS = re.compile(
    r"(?P<subject>sub-[0-9A-Za-z]+)(_(?P<session>ses-[0-9A-Za-z]+))?"
    r"(_[0-9A-Za-z]+-[0-9A-Za-z+]+)*_(?P<suffix>[0-9A-Za-z]+)"
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
