"""The zoo: public brains of several species with tissue labels, by name.

`zoo.json` beside this file names each brain's files in a public repository, pinned by commit and
sha256, with species, label coding, licence and citation. No image is in this repository. Files come
from the folder that PATCHSEG_ZOO names, or else are downloaded into the user's cache, in both as
``<owner>+<repository>/<path>``.

Labels are 0 background, 1 CSF, 2 GM, 3 WM, and 255 where the source left out a part of the brain:
FreeSurfer's labels of the chimpanzee and the macaques have no CSF in the sulci, and cerebellum,
brain stem and midbrain of the mice hold both grey and white matter.

To add a species, add one entry to `zoo.json`.
"""

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from patchseg.core.errors import InputError
from patchseg.core.progress import SWITCH
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets import deep, labels
from patchseg.datasets.labelled import Labelled
from patchseg.images import brain, grid, volume

REGISTRY = Path(__file__).with_name("zoo.json")
VARIABLE = "PATCHSEG_ZOO"
"""Environment variable: a folder that holds the files already, so that none is downloaded."""
RAW = "https://raw.githubusercontent.com"
RETRIES = 3


class File(BaseModel):
    """What the bytes of one file are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1)]


class Source(BaseModel):
    """Files of a public repository: where they lie, what they are and whose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    species: str
    licence: str
    citation: str
    repository: Annotated[str, Field(pattern=r"^https://github\.com/[\w.-]+/[\w.-]+$")]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    files: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")], File]

    @property
    def folder(self):
        """Name of the folder of its repository's files: ``<owner>+<repository>``."""
        return self.repository.removeprefix("https://github.com/").replace("/", "+")

    def url(self, path):
        """Return the public address of one of its files."""
        return f"{RAW}/{self.folder.replace('+', '/')}/{self.commit}/{path}"


class Entry(Source):
    """One brain of `zoo.json`: its files and what they hold."""

    modality: Literal["T1w", "T2w"] | None  # None: labels without an image
    split: Literal["train", "val", "test"] | None = None  # in the dataset that `zoo_bids` writes
    # the entry with the T1w, if this is another contrast of that brain
    same_brain_as: str | None = None
    image: str | None
    # one label image, or a probability map a tissue
    labels: str | dict[Literal["CSF", "GM", "WM"], str]
    coding: Literal["FAST", "FreeSurfer", "probabilities", "codes"]
    codes: dict[Literal["CSF", "GM", "WM"], list[int]] | None = None  # of the coding "codes"

    @model_validator(mode="after")
    def _fits_together(self):
        for path in filter(None, [self.image, *self.label_files.values()]):
            if path not in self.files:
                raise ValueError(f"'{path}' is not under files; add it with its sha256 and bytes")
        if (self.image is None) != (self.modality is None):
            raise ValueError("give both image and modality, or null for both")
        if (self.coding == "probabilities") != isinstance(self.labels, dict):
            raise ValueError(
                "coding 'probabilities' wants a file for each tissue, the others want one file"
            )
        if self.coding == "probabilities" and (
            self.image is None or not {"GM", "WM"} <= set(self.labels)
        ):
            raise ValueError("coding 'probabilities' wants an image and maps of GM and WM")
        if (self.coding == "codes") != (self.codes is not None):
            raise ValueError("coding 'codes' wants the codes of each tissue, the others want none")
        every = [code for codes in (self.codes or {}).values() for code in codes]
        if self.codes and (len(self.codes) < 3 or min(every) < 1 or len(set(every)) < len(every)):
            raise ValueError("codes wants CSF, GM and WM, and each code once and above 0")
        allowed = {
            "T1w": {(True, False)},
            "T2w": {(False, True), (False, False)},
            None: {(False, False)},
        }
        if (self.split is not None, self.same_brain_as is not None) not in allowed[self.modality]:
            raise ValueError(
                "a T1w wants a split, a T2w may have same_brain_as, labels alone want neither"
            )
        return self

    @property
    def label_files(self):
        """Paths in the repository by what they hold: 'dseg', or each tissue that has a map."""
        return self.labels if isinstance(self.labels, dict) else {"dseg": self.labels}


def entries():
    """Read and check `zoo.json`.

    Returns
    -------
    entries : dict of str to Entry
        By name.

    Raises
    ------
    InputError
        Naming the entry, the key and the mend.
    """
    found = registry(REGISTRY, Entry)
    for name, one in found.items():
        if one.same_brain_as and getattr(found.get(one.same_brain_as), "modality", None) != "T1w":
            raise InputError(
                f"{REGISTRY}: {name}.same_brain_as = '{one.same_brain_as}': no entry of that name"
                " has a T1w; name one that has"
            )
    return found


def registry(path, kind):
    """Read and check a registry, a JSON file of sources by name; a mistake raises InputError.

    Parameters
    ----------
    path : Path
    kind : type
        A `Source`.

    Returns
    -------
    entries : dict of str to Source
    """
    names = Annotated[str, Field(pattern="^[a-z0-9-]+$")]
    try:
        return TypeAdapter(dict[names, kind]).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        value = "" if isinstance(first["input"], dict | bytes) else f" = {first['input']!r}"
        raise InputError(
            f"{path}: {'.'.join(map(str, first['loc']))}{value}:"
            f" {first['msg'].removeprefix('Value error, ')}"
        ) from error


def entry(name):
    """Return the entry of that name, or raise InputError with the names that there are."""
    known = entries()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise InputError(
            f"{REGISTRY}: '{name}' is not in the zoo; "
            + (f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known)}")
        )
    return known[name]


def fetch(name):
    """Get every file of a brain and compare its sha256 with the registry.

    Parameters
    ----------
    name : str
        An entry, for example 'macaque-21mo'.

    Returns
    -------
    paths : dict of str to Path
        Where each file of the entry (its path in the repository) lies on this machine.

    Raises
    ------
    InputError
        If the name is unknown, a file in the folder of PATCHSEG_ZOO is missing or has other bytes,
        or it cannot be downloaded.
    """
    return fetch_files(entry(name))


def fetch_files(wanted):
    """Get every file of a `Source`; as `fetch`."""
    if folder := os.environ.get(VARIABLE):
        return {path: _look_up(Path(folder), wanted, path) for path in wanted.files}
    return _download(wanted)


def _look_up(folder, wanted, path):
    import pooch

    file, expected = folder / wanted.folder / path, wanted.files[path]
    again = f"copy it again from {wanted.url(path)}, or unset {VARIABLE} to download it"
    if not file.is_file():
        raise InputError(f"{file}: no such file, although {VARIABLE} names {folder}; {again}")
    if file.stat().st_size != expected.bytes:
        raise InputError(
            f"{file}: {file.stat().st_size} bytes, the registry says {expected.bytes}; {again}"
        )
    if (found := pooch.file_hash(file)) != expected.sha256:
        raise InputError(f"{file}: sha256 {found}, the registry says {expected.sha256}; {again}")
    return file


def _download(wanted):
    import pooch

    cache = pooch.create(
        path=pooch.os_cache("patchseg") / "zoo" / wanted.folder,
        base_url="",
        registry={path: file.sha256 for path, file in wanted.files.items()},
        urls={path: wanted.url(path) for path in wanted.files},
        retry_if_failed=RETRIES,
    )
    paths = {}
    for path in wanted.files:
        try:
            paths[path] = Path(cache.fetch(path, progressbar=os.environ.get(SWITCH) != "off"))
        except (OSError, ValueError) as error:
            # no connection, no such page, no room; other bytes than the registry's
            mend = (
                f"go online and try again, or set {VARIABLE} to a folder that holds"
                f" {wanted.folder}/{path}"
            )
            raise InputError(
                f"{wanted.url(path)}: cannot be downloaded ({' '.join(str(error).split())}); {mend}"
            ) from error
    return paths


def load(name):
    """Get a brain with its labels.

    The image is set to 0 outside its brain (`brain.foreground`). That removes stray voxels, the
    artificial spheres of human-nii2mesh, and the small negative values that interpolation left
    around the macaques.

    Parameters
    ----------
    name : str
        An entry of the zoo.

    Returns
    -------
    labelled : Labelled
        Its image is None if the entry has labels only; what they enclose is then the brain.

    Raises
    ------
    InputError
        See `fetch`; or if image and labels are on different grids.
    """
    wanted, paths = entry(name), fetch(name)
    reader = volume.load if wanted.coding == "probabilities" else volume.load_labels
    read = {key: reader(paths[path]) for key, path in wanted.label_files.items()}
    maps = {key: data for key, (data, _) in read.items()}
    parts = deep.parts_of(maps["dseg"]) if wanted.coding == "FreeSurfer" else None
    if wanted.image is None:
        truth = _recoded(maps["dseg"], True, wanted, paths)
        mask = brain.foreground((truth != UNLABELLED).astype(np.float32), name)
        return Labelled(name, None, truth * mask, read["dseg"][1], wanted.species, parts)
    image, affine = volume.load(paths[wanted.image])
    for key, (data, other) in read.items():
        path = paths[wanted.label_files[key]]
        grid.check_same_grid(paths[wanted.image], image, affine, path, data, other)
    mask = brain.foreground(image, paths[wanted.image])
    if wanted.coding == "probabilities":
        truth = labels.from_probabilities(maps, mask)
    else:
        truth = _recoded(maps["dseg"], mask, wanted, paths)
    image = np.where(mask, np.maximum(image, 0), 0).astype(np.float32)
    return Labelled(name, image, truth, affine, wanted.species, parts)


def _recoded(values, mask, wanted, paths):
    codes = wanted.codes or labels.CODINGS[wanted.coding.lower()]
    return labels.from_codes(values, mask, codes, paths[wanted.labels])


def notices(names):
    """Return licence, citation and source of brains: a line for each source."""
    known = entries()
    return notices_of({name: known[name] for name in names})


def notices_of(sources_by_name):
    """Return licence, citation and address of each `Source`: a line for each repository."""
    sources = {}
    for name, one in sources_by_name.items():
        sources.setdefault(
            f"licence {one.licence}. Please cite {one.citation}. Source:"
            f" {one.repository}/tree/{one.commit}",
            [],
        ).append(name)
    return [f"{_span(members)}: {text}" for text, members in sources.items()]


def _span(names):
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]} ({len(names)})"
