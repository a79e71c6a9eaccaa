"""Label files on the command line: which image each belongs to, told by its name."""

from pathlib import Path

from patchseg.core.errors import InputError
from patchseg.inference import inputs
from patchseg.inference.places import stem


def pairs(typed, given, what):
    """Sort images and label files.

    Parameters
    ----------
    typed : list of Path
        Images, folders of such, and label files called NAME_labels or NAME_proposal after an image.
    given : list of Path
        Label files (--labelled).
    what : {'tissues', 'brain'}
        Label files of the other kind are left out.

    Returns
    -------
    images : list of Path
    labelled : list of Path or None
        The label file of each image.

    Raises
    ------
    InputError
        See `inputs.find`; or if it is not clear to which image a label file belongs.
    """
    found = inputs.find(typed)
    names = {stem(path) for path in found}
    others = [path for path in found if (inputs.image_of(path) or ("", None))[1] in names]
    images = [path for path in found if path not in others]
    others += [path for path in typed if path not in found and path.is_file()]
    for image in images:
        if image not in typed:  # of a folder
            others += sorted(image.parent.glob("*_labels.nii.gz"))
    beside = [path for path in dict.fromkeys(others) if _kind(path) == what and _own(path, images)]
    return images, _of_each(images, given, beside)


def _kind(path):
    return "brain" if "_desc-brain_" in path.name else "tissues"


def _own(path, images):
    """Return the images that a label file is called after, those in its own folder if any are."""
    folder, base = inputs.image_of(path) or (None, None)
    own = [image for image in images if stem(image) == base]
    return [image for image in own if image.parent == folder] or own


def _of_each(images, given, beside):
    known = _by_name(images, beside)
    if all(_own(path, images) for path in given):
        known |= _by_name(images, given)
    elif len(given) == len(images):
        known = dict(zip(images, given, strict=True))
    else:
        raise InputError(
            f"{len(images)} images and {len(given)} label images (--labelled): give one for each"
            " image, in the same order, or only those that there are, called NAME_labels.nii.gz"
            " after their image"
        )
    return [known.get(image) for image in images]


def _by_name(images, files):
    """Return the label file of each image that has one, a dict: labels come before proposals."""
    known = {}
    for path in sorted(dict.fromkeys(files), key=lambda one: "_labels" not in one.name):
        own = _own(path, images)
        if len(own) > 1:
            raise InputError(
                f"{path}: {len(own)} images have this name; give one label image for each image, in"
                " the same order (--labelled)"
            )
        before = known.setdefault(own[0], path)
        if before != path and ("_labels" in path.name or "_labels" not in before.name):
            raise InputError(
                f"{own[0]}: {before.name} and {path.name} are both its labels; name the one that"
                " counts with --labelled, and leave the others away"
            )
    return known


def free(base: Path, end):
    """Return the first of NAME, NAME-2, NAME-3 that is not there.

    Examples
    --------
    >>> free(Path("no/a_labels"), ".nii.gz").name
    'a_labels.nii.gz'
    """
    number, path = 1, base.with_name(f"{base.name}{end}")
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}{end}")
    return path
