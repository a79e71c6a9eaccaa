"""One brain or head by name: of the zoo, or the template that nilearn carries."""

from fnmatch import fnmatchcase
from functools import cache

from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.datasets import deep, sample, zoo
from patchseg.datasets import heads as whole

TEMPLATE = "mni"
"""The template that comes with nilearn, whole (see `sample`); not an entry of the zoo."""


def names(patterns, heads=False):
    """Return the brains that patterns name: 'mni' and entries of the zoo; with `heads` these, too.

    Parameters
    ----------
    patterns : iterable of str
        ``*`` stands for any letters.

    Returns
    -------
    names : list of str
        Each once, in the order of the patterns.

    Raises
    ------
    InputError
        If a pattern fits no brain.
    """
    known, found = [TEMPLATE, *zoo.entries(), *(whole.entries() if heads else [])], []
    for pattern in patterns:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            raise InputError(
                f"brain '{pattern}' is unknown; there are {', '.join(known[:8])} and more (patchseg"
                " zoo list)"
            )
        found += [name for name in fitting if name not in found]
    return found


def load(name):
    """Return a brain or a head of the zoo, or the template 'mni': a `Labelled`."""
    if name == TEMPLATE:
        return sample.labelled_template()
    return whole.load(name) if is_head(name) else zoo.load(name)


def teacher(name):
    """Return a brain as `load` does, without labels that would teach deep grey matter wrongly."""
    one = load(name)
    by_brightness = name == TEMPLATE or zoo.entry(name).coding in ("FAST", "probabilities")
    return deep.left_out(one) if by_brightness else one


def is_head(name):
    """Whether a name is that of a whole head."""
    return name in whole.entries()


def source(name):
    """Return the `zoo.Source` of a brain or head, None for the template."""
    if name == TEMPLATE:
        return None
    return whole.entry(name) if is_head(name) else zoo.entry(name)


@cache
def identity(name):
    """Return what a brain is, for a key: species, coding of its labels, sha256 of its files.

    The zoo's registry knows them, so that nothing is downloaded.
    """
    if name == TEMPLATE:
        found = sample.template_files().values()
        return ["human", "probabilities", [files.sha256(path) for path in found]]
    one = source(name)
    if is_head(name):
        return [one.species, "mask", one.by_index, [one.files[path].sha256 for path in one.files]]
    coding = [one.coding, one.codes] if one.codes else one.coding
    return [one.species, coding, [one.files[path].sha256 for path in sorted(one.files)]]
