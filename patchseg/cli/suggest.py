"""The command `patchseg suggest`: which slices of new animals are worth labelling."""

import os
import re
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Annotated, NamedTuple

import typer

from patchseg.cli import options
from patchseg.cli.adapt import Labels, What, check_brain
from patchseg.core.errors import InputError
from patchseg.core.files import check_writable


def suggest(
    images: Annotated[list[Path], typer.Argument(help="An image, or several.", show_default=False)],
    slices: Annotated[
        int, typer.Option(min=1, help="How many slices to label, of all images together.")
    ] = 1,
    what: What = "tissues",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the files to paint in. Default: that of each image.",
            show_default=False,
        ),
    ] = None,
    weights: options.Weights = None,
    mask: options.Masks = None,
    labelled: Annotated[
        list[Path] | None,
        typer.Option(
            help=(
                "The label image so far: other slices are suggested. Repeat it: one for each image"
                " in the same order, or only those that there are, called NAME_labels or"
                " NAME_proposal after their image."
            ),
            show_default=False,
        ),
    ] = None,
    labels: Labels = "tissues",
    volume: options.Volume = None,
    nan_as_background: options.NanAsBackground = False,
    extract: options.Extract = "auto",
    brain_weights: options.BrainWeights = None,
    plane: Annotated[
        str | None,
        typer.Option(
            help="sagittal, coronal or axial. Default: the plane with the finest pixels.",
            show_default=False,
        ),
    ] = None,
    threads: options.Threads = None,
    precision: options.Precision = "auto",
):
    """Say which slices to label, and why: where the network is unsure, and not near labelled ones.

    Of several images it says which one the network knows least, and names the best slices of all.
    NAME_labels.nii.gz among the images counts as --labelled of its image, so the pairs that adapt
    takes can be given as they are.

    Writes for each image with such a slice NAME_labels.nii.gz on the image's grid, to paint in (1
    CSF, 2 GM, 3 WM, 0 not labelled): empty, or what is --labelled already; NAME_proposal.nii.gz,
    the same with the network's own guess on these slices, if you would rather correct than paint;
    and a picture, NAME_suggest.png. A label file that is there already is left alone; so is a
    proposal (the next one is NAME_proposal-2.nii.gz).

    With --what brain the guess is the mask of the brain in a whole head (1 brain, 2 not brain, 0
    not labelled) and the files are NAME_desc-brain_labels.nii.gz and so on.

    Examples:

        patchseg suggest ferret_T1w.nii.gz --slices 3

        patchseg suggest a.nii.gz b.nii.gz c.nii.gz --labelled a_labels.nii.gz --weights ferret

        patchseg suggest rhesus_T1w.nii.gz --what brain
    """
    from patchseg.cli import label_files

    images, labelled = label_files.pairs(images, labelled or [], what)
    for folder in {out or image.parent for image in images}:
        check_writable(folder)
    _check_names(images, out)
    own = {"mask": mask, "labels": labels, "extract": extract, "brain_weights": brain_weights}
    check_brain(what, own)
    options.compute_with(threads)
    from patchseg.adaptation import suggestion

    reading = {"volume": volume, "nan_as_background": nan_as_background}
    settings = {"labelled": labelled, "plane": plane, "threads": threads, "precision": precision}
    if what == "brain":
        found = suggestion.suggest_brain(images, slices, weights, **settings, **reading)
    else:
        found = suggestion.suggest(images, slices, weights, **own, **settings, **reading)
    place = {str(image): number for number, image in enumerate(images)}
    done = []
    for one in found:
        number = place[one.image]
        begun = labelled[number]
        files = _files(images[number], out or images[number].parent, what, begun, labels)
        if begun and not one.slices and labels != "tissues":
            begun = files.labels  # one coding for all that is learned
        brain = mask[number] if mask else None
        done.append(_Done(one, images[number], begun, brain, files))
        _write(done[-1], reading)
    _tell(done, weights)
    given = {"weights": weights, "brain-weights": brain_weights, "volume": volume}
    _tell_next(done, given, {"what": what, "extract": extract} | reading)


class _Files(NamedTuple):
    """What `suggest` writes."""

    labels: Path
    proposal: Path
    picture: Path


class _Done(NamedTuple):
    """An image that was looked at: what is suggested, what is labelled, its mask and files."""

    found: object
    image: Path
    labelled: Path | None
    mask: Path | None
    files: _Files


def _check_names(images, out):
    """Raise InputError if two images would write the same files, or a name would be too long."""
    from patchseg.inference import places, standing

    for image in images:
        longest = f"{places.stem(image)}_desc-brain_proposal-99.nii.gz"
        if len(longest.encode(errors="replace")) > standing.LONGEST:
            raise InputError(
                f"{image}: names of files to paint in, such as {longest[-40:]}, would be longer"
                f" than {standing.LONGEST} bytes; give the image a shorter name"
            )
    names = [(out or image.parent, places.stem(image)) for image in images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        folder, name = twice[0]
        raise InputError(
            f"{name}: two images are called so, and their files would be the same in {folder};"
            " rename one, or leave --out away if they lie in two folders"
        )


def _files(image, folder, what, begun, labels):
    from patchseg.cli import label_files
    from patchseg.inference import places

    stem = places.stem(image)
    base = folder / (f"{stem}_desc-brain" if what == "brain" else stem)
    own = base.with_name(f"{base.name}_labels.nii.gz")
    if begun and (labels != "tissues" or begun.resolve() != own.resolve()):  # it stays as it is
        own = label_files.free(base.with_name(f"{base.name}_labels"), ".nii.gz")
    return _Files(
        own,
        label_files.free(base.with_name(f"{base.name}_proposal"), ".nii.gz"),
        base.with_name(f"{base.name}_suggest.png"),
    )


def _write(done, reading):
    """Write what a suggestion gives: the file to paint in, the guess to correct, the picture."""
    from patchseg import figures
    from patchseg.images import volume

    found, image, labelled, _, files = done
    if not files.labels.exists() and (found.slices or labelled == files.labels):
        volume.write(found.labelled(), files.labels)
    if found.slices:
        volume.write(found.proposal(), files.proposal)
        source = volume.read(image, reading["volume"], reading["nan_as_background"])
        figures.save(_picture(found, source), files.picture)


def _picture(found, source):
    """Draw the suggested slices: the image, what was found, where it is unsure."""
    import numpy as np

    from patchseg import figures
    from patchseg.figures import sheet
    from patchseg.images import brain, grid, head

    guess, _ = grid.ras(found.guess, None)
    data, affine = grid.ras(source)
    if found.whole_head:
        shown, guess, outlined = np.clip(head.scaled(data), 0, 1), guess == 1, sheet.outline
    else:
        shown, outlined = brain.normalise(data, guess > 0), sheet.nested
    rows = [
        (number, f"{found.plane} {name}: {why}")
        for number, name, why in zip(found.slices, found.names(), found.reasons, strict=True)
    ]
    voxel_mm = grid.voxel_size_mm(affine)
    return figures.suggested(shown, guess, outlined, found.unsure, voxel_mm, found.plane, rows)


def _tell(done, weights):
    """Print the images, if there are several, and the slices of all, best first."""
    from patchseg.adaptation import record

    if len(done) > 1:
        measure = "entropy of the image / brain" if done[0].found.whole_head else "mean entropy"
        print(f"{measure}  labelled slices  image (the network knows the first one least)")
        for found, image, *_ in done:
            much = f"{found.mean_uncertainty:.2f}".rjust(len(measure))
            print(f"{much}  {found.labelled_slices:15}  {_short(image)}")
    named = [
        (gain, f"{found.plane} slice {name}", unsure, why, image)
        for found, image, *_ in done
        for gain, name, unsure, why in zip(
            found.gains, found.names(), found.uncertainty, found.reasons, strict=True
        )
    ]
    for _, name, unsure, why, image in sorted(named, key=lambda one: -one[0]):
        whose = f"{_short(image)}: " if len(done) > 1 else ""
        much = "" if done[0].found.whole_head else f"; mean entropy {unsure:.2f}"
        print(f"{whose}{name}  (voxel from 0{much})  {why}")
    print(record.outlook(weights))


def _tell_next(done, given, how):
    """Print what to paint in, and the command that learns it."""
    from patchseg.inference import places

    pairs, masks = [], []
    for found, image, labelled, mask, files in done:
        masks += [mask] if mask and (found.slices or found.begun) else []
        if found.slices:
            labels, proposal, picture = map(_short, files)
            print(f"correct {proposal}, or paint in {labels}; see {picture}")
            pairs += [_short(image), proposal]
        elif found.begun:
            pairs += [_short(image), _short(labelled)]
    again = "".join(f" --mask {quote(_short(mask))}" for mask in masks)
    for name, value in given.items():
        known = _called(value) if name.endswith("weights") and value else value
        again += f" --{name} {quote(_short(known))}" if known is not None else ""
    again += " --nan-as-background" if how["nan_as_background"] else ""
    again += f" --extract {how['extract']}" if how["extract"] != "auto" else ""
    again += " --what brain" if how["what"] == "brain" else ""
    end = "_heads" if how["what"] == "brain" else ""
    print(f"then, with the {'one' if len(pairs) == 2 else 'ones'} that you worked on:")
    name = _new_name(places.stem(done[0].image), end)
    print(f"patchseg adapt {' '.join(map(quote, pairs))}{again} --name {name}")


def _called(weights):
    """Return the name of weights that have one, else their path as it is."""
    from patchseg.inference import library

    with suppress(InputError):  # a folder that cannot be read: no matter here
        named = {library.find(name).resolve(): name for name in library.names()}
        return named.get(weights.resolve(), weights)
    return weights


def _new_name(stem, end):
    """Make a name for new weights: of an image, and not taken.

    Examples
    --------
    >>> _new_name("sub-01 (T1w)", "_heads")
    'sub-01_T1w_heads'
    """
    from patchseg.inference import library

    base = re.sub("[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:50] or "adapted"
    for number in range(1, 100):
        name = f"{base}{end}{f'-{number}' if number > 1 else ''}"
        with suppress(InputError):
            library.target(name)
            break
    return name


def _short(path):
    """Return a path as it is typed here: relative if it lies in the current folder.

    Examples
    --------
    >>> _short("-odd.nii"), _short(Path.cwd() / "a.nii")
    ('./-odd.nii', 'a.nii')
    """
    text = str(path).removeprefix(f"{Path.cwd()}{os.sep}")
    return f".{os.sep}{text}" if text.startswith("-") else text
