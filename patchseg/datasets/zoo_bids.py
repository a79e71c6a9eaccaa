"""Brains of the zoo as a BIDS dataset that the pipeline takes."""

import re
from pathlib import Path

from patchseg.core.errors import InputError
from patchseg.datasets import bids, zoo


def subject(name):
    """Return the BIDS name of a brain, letters and digits only.

    Examples
    --------
    >>> subject("human-eve")
    'sub-humaneve'
    """
    return "sub-" + re.sub("[^a-z0-9]", "", zoo.entry(name).same_brain_as or name)


def write(folder, names=None, splits=None):
    """Write brains as a BIDS dataset that the pipeline takes.

    It is named by `dataset:` in params.yaml (see `patchseg.datasets.bids`). A T2w is written beside
    the T1w of the same brain (``sub-chimp`` has both). The pipeline trains on the T1w.

    Parameters
    ----------
    folder : str or Path
        Made if needed. It may not hold a dataset already.
    names : list of str, optional
        Default: all brains that have an image.
    splits : dict of str to {'train', 'val', 'test'}, optional
        Overrides the registry's split of a brain. Each split needs at least one brain. The
        registry's splits train on a person and the chimpanzee, validate on a person and test on the
        macaques, a species that the network has not seen.

    Returns
    -------
    written : list of str
        Names of the brains in the dataset.
    skipped : dict of str to str
        Why the others are not: labels without an image, a T2w without a T1w of that brain, or one
        whose T1w was not asked for.

    Raises
    ------
    InputError
        See `zoo.fetch`; or if the folder holds a dataset, or a split is unknown or empty.
    """
    folder, known, splits = Path(folder), zoo.entries(), dict(splits or {})
    if (folder / "participants.tsv").exists():
        raise InputError(
            f"{folder}: holds a dataset already (participants.tsv); name another folder, or"
            " remove it"
        )
    names = list(dict.fromkeys(names or [name for name, one in known.items() if one.image]))
    chosen = {name: zoo.entry(name) for name in names}
    skipped = {name: reason for name, one in chosen.items() if (reason := _why_not(one, chosen))}
    written = [name for name in names if name not in skipped]
    split = _splits(known, [name for name in written if chosen[name].modality == "T1w"], splits)
    for name in written:
        one, modality = zoo.load(name), chosen[name].modality
        bids.write_image(folder, subject(name), modality, one.image, one.affine)
        if modality == "T1w":
            bids.write_labels(folder, subject(name), "dseg", one.labels, one.affine)
    rows = [(subject(name), chosen[name].species, split[name]) for name in split]
    _describe(folder, written, rows)
    return written, skipped


def _why_not(one, chosen):
    if one.image is None:
        return "labels without an image"
    if one.modality != "T1w" and not one.same_brain_as:
        return f"a {one.modality} without a T1w, which the pipeline trains on"
    if one.same_brain_as and one.same_brain_as not in chosen:
        return f"a {one.modality} without its T1w, {one.same_brain_as}"
    return None


def _splits(known, names, overrides):
    """Return {name: split} of the brains with a T1w."""
    for name, split in overrides.items():
        if name not in names:
            raise InputError(
                f"split '{split}' is given to '{name}', which is not among the brains to write:"
                f" {', '.join(names)}; name one of them"
            )
        if split not in bids.SPLITS:
            raise InputError(f"split '{split}' of {name} is unknown; use {', '.join(bids.SPLITS)}")
    split = {name: overrides.get(name, known[name].split) for name in names}
    empty = [one for one in bids.SPLITS if one not in split.values()]
    if empty:
        given = ", ".join(f"{name}={one}" for name, one in split.items()) or "none"
        raise InputError(
            f"no brain has split '{empty[0]}' (brains with a T1w: {given}); name more brains, or"
            f" give one another split, for example --split NAME={empty[0]}"
        )
    return split


def _describe(folder, written, rows):
    """Write what describes the dataset, with the licence of each brain."""
    readme = [
        "Public brains with tissue labels, by `patchseg zoo bids`. Each has its own licence.",
        "",
        *zoo.notices(written),
        "",
        "dseg: 0 background, 1 CSF, 2 GM, 3 WM, 255 not labelled.",
    ]
    licence, made = {"License": "see README"}, {"GeneratedBy": [{"Name": "patchseg zoo bids"}]}
    bids.describe(
        folder,
        {"Name": "patchseg zoo", **licence},
        {"Name": "Tissue labels of the patchseg zoo", **licence, **made},
        rows,
        {"README": "\n".join(readme) + "\n"},
    )
