"""What a user's files, folders and patterns mean: images, and the mask of each."""

import glob
import re
from pathlib import Path

from patchseg.core.errors import InputError
from patchseg.images import volume
from patchseg.inference.places import Place, stem

SUFFIXES = ("T1w", "T2w")
"""Of a BIDS dataset, what is segmented; T2w only where a session has no T1w."""


def find(sources):
    """List the images that the user's files and folders mean.

    Parameters
    ----------
    sources : list of str or Path
        Files; folders of images; BIDS datasets, whose T1w images are taken.

    Returns
    -------
    images : list of Path, not empty
        Without what `patchseg suggest` wrote beside them.

    Raises
    ------
    InputError
        If a folder holds no image.
    """
    images = []
    for source in map(Path, sources):
        try:
            images += _in_folder(source) if source.is_dir() else [source]
        except OSError as error:
            raise InputError(
                f"{source}: cannot be opened ({error.strerror}); check the name and its permissions"
            ) from error
    check_printable(images)
    names = {(image.parent, stem(image)) for image in images}
    return [image for image in dict.fromkeys(images) if image_of(image) not in names]


def check_printable(images):
    """Raise InputError for a name that tables, logs and the terminal cannot show."""
    for image in images:
        if not str(image).isprintable():
            raise InputError(
                f"{str(image)!r}: a name with letters that cannot be printed; rename the file"
            )


def image_of(path):
    """Return folder and stem of the image that labels or a proposal of `suggest` belong to.

    None if the file is neither.
    """
    base = re.sub(r"(_desc-brain)?_(labels|proposal)(-\d+)?$", "", stem(path))
    return (path.parent, base) if base != stem(path) else None


def _is_result(path):
    """Whether an image was written by patchseg, into the folder of its input."""
    ends = r"_(dseg|label-[A-Za-z]+_probseg|desc-[a-z]+_map|desc-brain[0-9]*(_[A-Za-z0-9]+)?)$"
    base = re.sub(ends, "", stem(path))
    if base == stem(path):
        return False
    record = path.with_name(f"{base}_dseg.json")
    return record.is_file() or any(path.parent.glob(f"{glob.escape(base)}_desc-brain*_mask.json"))


def _in_folder(folder):
    """List the images of a folder, or of the BIDS dataset that it is."""
    anat = anat_folders(folder)
    if anat:
        found = [image for path in anat for image in _in_session(path)]
        wanted = " or ".join(f"*_{suffix}" for suffix in SUFFIXES)
        none = f"{folder}: a BIDS dataset without any {wanted} image; name the files themselves"
    else:
        found = images_in(folder)
        none = (
            f"{folder}: no image ({', '.join(volume.EXTENSIONS)}) and no BIDS subject (sub-*/anat)"
            " in it; name another folder"
        )
    if not found:
        raise InputError(none)
    return found


def anat_folders(dataset, subject="sub-*"):
    """List the folders of a BIDS dataset that hold anatomical images, one a session."""
    return [
        path
        for pattern in (f"{subject}/anat", f"{subject}/ses-*/anat")
        for path in sorted(dataset.glob(pattern))
        if path.is_dir()
    ]


def _in_session(anat):
    """List the images of the first suffix (see `SUFFIXES`) that a session has."""
    for suffix in SUFFIXES:
        found = [path for path in images_in(anat) if stem(path).endswith(f"_{suffix}")]
        if found:
            return found
    return []


def images_in(folder):
    """List the images of a folder; masks beside them and results are none."""
    return [path for path in _images(folder) if not _is_result(path)]


def _images(folder):
    """List the images of a folder; masks beside them are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(volume.EXTENSIONS)
        and not path.name.startswith(".")
        and not stem(path).endswith("_mask")
    )


def masks(images, pattern):
    """Return the mask of each image.

    Parameters
    ----------
    images : list of Path
    pattern : str or None
        A path, relative to the current folder as all paths are, in which is filled in for each
        image: ``{folder}``, its folder; ``{stem}``, its name without extension; ``{name}``, its
        BIDS name without suffix (sub-01 of sub-01_T1w.nii.gz).

    Returns
    -------
    masks : list of Path or None

    Raises
    ------
    InputError
        If one mask is given for several images, another word is in braces, or a mask lies beside
        its image and not where the pattern says.
    """
    if pattern is None:
        return [None] * len(images)
    if "{" not in pattern and len(images) > 1:
        raise InputError(
            f"mask {pattern}: one mask for {len(images)} images; write a pattern such as"
            " '{folder}/{stem}_mask.nii.gz'"
        )
    filled = [_filled(pattern, image) for image in images]
    for mask, image in zip(filled, images, strict=True):
        if not mask.exists() and (image.parent / mask).is_file():
            raise InputError(
                f"mask {mask}: no such file in the current folder, but it lies beside {image};"
                f" write '{{folder}}/{pattern}'"
            )
    return [None if mask == image else mask for mask, image in zip(filled, images, strict=True)]


def _filled(pattern, image):
    place = Place(image, ".")
    known = {"folder": str(image.parent), "stem": place.stem, "name": place.name}
    parts = re.split(r"\{(\w*)\}", pattern)
    if set("{}") & set("".join(parts[::2])) or not set(parts[1::2]) <= set(known):
        raise InputError(
            f"mask {pattern}: only {{folder}}, {{stem}} and {{name}} can be filled in; check the"
            " braces"
        )
    parts[1::2] = [known[word] for word in parts[1::2]]
    return Path("".join(parts))


def without_masks(images, masks):
    """Return images and masks without the images that are masks of others.

    A glob such as ``*.nii.gz`` takes them along.
    """
    taken = {mask.resolve() for mask in masks if mask}
    kept = [pair for pair in zip(images, masks, strict=True) if pair[0].resolve() not in taken]
    return tuple(map(list, zip(*kept, strict=True))) if kept else (images, masks)


def check_names(images, out):
    """Raise InputError if two images would write the same results."""
    taken = {}
    for image in images:
        record = Place(image, out).record
        if record in taken:
            raise InputError(
                f"{image}: would overwrite the results of {taken[record]} ({record.name}); run them"
                " with different --out folders"
            )
        taken[record] = image
