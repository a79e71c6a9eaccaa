"""A BIDS folder of T1w images with tissue labels: subjects, species, splits; read and written.

participants.tsv                  participant_id, species, split (train, val or test)
sub-X/anat/sub-X_T1w.nii.gz       brain-extracted image
derivatives/labels/sub-X/anat/
    sub-X_dseg.nii.gz             0 background, 1 CSF, 2 GM, 3 WM, 255 (or 0 inside the brain)
                                  not labelled
    or sub-X_label-GM_probseg.nii.gz and WM, and CSF (which else is the rest of the brain)
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from patchseg.core.errors import InputError
from patchseg.core.files import write_text
from patchseg.core.tissues import TISSUES
from patchseg.datasets import labels
from patchseg.datasets.labelled import Labelled
from patchseg.images import brain, grid, volume

COLUMNS = ("participant_id", "species", "split")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Subject:
    """One brain: where its image and labels lie, and which split it belongs to."""

    name: str
    species: str
    split: str
    root: Path

    @property
    def image_path(self):
        """Path of the T1w image."""
        return self.root / self.name / "anat" / f"{self.name}_T1w.nii.gz"

    @property
    def label_paths(self):
        """Paths by what they hold: 'dseg', or each tissue that has a probability map."""
        stem = self.root / "derivatives" / "labels" / self.name / "anat" / self.name
        dseg = stem.with_name(f"{self.name}_dseg.nii.gz")
        if dseg.exists():
            return {"dseg": dseg}
        maps = {
            tissue: stem.with_name(f"{self.name}_label-{tissue}_probseg.nii.gz")
            for tissue in TISSUES
        }
        missing = [str(maps[tissue]) for tissue in ("GM", "WM") if not maps[tissue].exists()]
        if missing:
            raise InputError(
                f"{self.name}: no labels; neither {dseg} nor {', '.join(missing)} exists"
            )
        return {tissue: path for tissue, path in maps.items() if path.exists()}

    @property
    def files(self):
        """Every file that is read for this subject."""
        return [self.image_path, *self.label_paths.values()]

    def load(self):
        """Read image and labels.

        Returns
        -------
        labelled : Labelled

        Raises
        ------
        InputError
            If a file cannot be used, image and labels are on different grids, or a label is
            unknown.
        """
        image, affine = volume.load(self.image_path)
        mask = brain.foreground(image, self.image_path)
        read = {}
        for tissue, path in self.label_paths.items():
            reader = volume.load_labels if tissue == "dseg" else volume.load
            read[tissue], other = reader(path)
            grid.check_same_grid(self.image_path, image, affine, path, read[tissue], other)
        if "dseg" in read:
            truth = _from_dseg(read["dseg"], mask, self.label_paths["dseg"])
        else:
            truth = labels.from_probabilities(read, mask, self.name)
        return Labelled(self.name, image, truth, affine, self.species)


def _from_dseg(dseg, mask, path):
    codes = labels.CODINGS[labels.PLAIN]
    if len(wrong := labels.unknown(dseg, codes)):
        raise InputError(
            f"{path}: label {wrong[0]:g} is unknown; use 0 background, 1 CSF, 2 GM, 3 WM, 255"
            " unlabelled"
        )
    return labels.from_codes(dseg, mask, codes, path)


def subjects(root, split=None):
    """List the subjects of a BIDS folder in the order of `participants.tsv`.

    Parameters
    ----------
    root : str or Path
        The dataset's folder.
    split : {'train', 'val', 'test'}, optional
        Only this split.

    Returns
    -------
    subjects : list of Subject, not empty

    Raises
    ------
    InputError
        If `participants.tsv` is missing, lacks a column, repeats a subject, names an unknown split,
        or a split is empty.
    """
    root = Path(root)
    table = _participants(root / "participants.tsv")
    everyone = [
        Subject(row.participant_id, row.species, row.split, root) for row in table.itertuples()
    ]
    empty = [name for name in SPLITS if not any(subject.split == name for subject in everyone)]
    if empty:
        raise InputError(
            f"{root / 'participants.tsv'}: no subject has split '{empty[0]}'; give at least one"
            f" subject to each of {', '.join(SPLITS)}"
        )
    return [subject for subject in everyone if split in (None, subject.split)]


def _participants(path):
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; a dataset needs it with the columns {', '.join(COLUMNS)} (for"
            " the sample: dvc pull)"
        )
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a tab-separated table ({error}); save it as UTF-8 text with tabs"
        ) from error
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise InputError(
            f"{path}: column '{missing[0]}' is missing, found {', '.join(table.columns)}; add it"
            " (columns are separated by tabs)"
        )
    twice = table.participant_id[table.participant_id.duplicated()]
    if len(twice):
        raise InputError(f"{path}: {twice.iloc[0]} is listed twice; keep one row a subject")
    odd = table.participant_id[~table.participant_id.str.fullmatch(r"sub-[0-9A-Za-z]+")]
    if len(odd):
        raise InputError(
            f"{path}: participant_id '{odd.iloc[0]}' is not a BIDS name; use sub- and letters or"
            " digits"
        )
    unknown = table[~table.split.isin(SPLITS)]
    if len(unknown):
        raise InputError(
            f"{path}: split '{unknown.split.iloc[0]}' of {unknown.participant_id.iloc[0]} is"
            f" unknown; use {', '.join(SPLITS)}"
        )
    return table


def write_image(folder, subject, suffix, data, affine):
    """Write an image of a subject: ``sub-X/anat/sub-X_T1w.nii.gz`` for the suffix T1w."""
    volume.save(Path(folder) / subject / "anat" / f"{subject}_{suffix}.nii.gz", data, affine)


def write_labels(folder, subject, ending, data, affine, slope=None):
    """Write labels of a subject, ending in 'dseg' or 'label-GM_probseg' (see `volume.save`)."""
    anat = Path(folder) / "derivatives" / "labels" / subject / "anat"
    volume.save(anat / f"{subject}_{ending}.nii.gz", data, affine, slope)


def describe(folder, about, labels_about, rows, texts=()):
    """Write what describes a dataset, `participants.tsv` last: where it is, everything is.

    Parameters
    ----------
    folder : str or Path
    about, labels_about : dict
        What the descriptions of the dataset and of its labels say, beside the version of BIDS.
    rows : list of (subject, species, split)
    texts : dict of str to str, optional
        More files by name, README for example.
    """
    for path, kind, own in (
        ("dataset_description.json", "raw", about),
        ("derivatives/labels/dataset_description.json", "derivative", labels_about),
    ):
        described = {"Name": own["Name"], "BIDSVersion": "1.9.0", "DatasetType": kind, **own}
        write_text(Path(folder) / path, json.dumps(described, indent=2) + "\n")
    for name, text in dict(texts).items():
        write_text(Path(folder) / name, text)
    table = "".join("\t".join(row) + "\n" for row in (COLUMNS, *rows))
    write_text(Path(folder) / "participants.tsv", table)
