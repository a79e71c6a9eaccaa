"""The commands `patchseg suggest` and `patchseg adapt`: a new animal from a few slices."""

import warnings
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from patchseg.cli import options
from patchseg.core.errors import InputError

CODES = (
    "What the values of the label image mean: tissues (1 CSF, 2 GM, 3 WM), freesurfer, fast, or"
    " codes such as csf=4,gm=3+42,wm=2+41."
)
Labels = Annotated[str, typer.Option(help=CODES)]


def suggest(
    image: Annotated[Path, typer.Argument(help="An image.", show_default=False)],
    slices: Annotated[int, typer.Option(min=1, help="How many slices to label.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the files to paint in. Default: that of the image.", show_default=False
        ),
    ] = None,
    weights: options.Weights = None,
    mask: Annotated[Path | None, typer.Option(help=options.MASK, show_default=False)] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(
            help="The label image so far: other slices are suggested.", show_default=False
        ),
    ] = None,
    labels: Labels = "tissues",
    volume: options.Volume = None,
    nan_as_background: options.NanAsBackground = False,
    extract: options.Extract = "auto",
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
    """Say which slices to label: where the network is unsure, and not beside one another.

    Writes NAME_labels.nii.gz on the image's grid, to paint in (1 CSF, 2 GM, 3 WM, 0 not labelled):
    empty, or what is --labelled already; NAME_proposal.nii.gz, the same with the network's own
    guess on these slices, if you would rather correct than paint; and a picture, NAME_suggest.png.
    A label file that is there already is left alone; so is a proposal (the next one is
    NAME_proposal-2.nii.gz).

    Example:

        patchseg suggest ferret_T1w.nii.gz --slices 3
    """
    options.check_writable(out or image.parent)
    options.compute_with(threads)
    from patchseg.adaptation import suggestion
    from patchseg.inference import outputs

    reading = {"volume": volume, "nan_as_background": nan_as_background}
    found = suggestion.suggest(
        image,
        slices,
        weights,
        mask=mask,
        labelled=labelled,
        labels=labels,
        extract=extract,
        plane=plane,
        threads=threads,
        precision=precision,
        **reading,
    )
    stem, folder = outputs.stem(image), out or image.parent
    empty, picture = folder / f"{stem}_labels.nii.gz", folder / f"{stem}_suggest.png"
    names = (f"{stem}_proposal{f'-{number}' if number > 1 else ''}.nii.gz" for number in count(1))
    proposal = next(folder / name for name in names if not (folder / name).exists())
    _write(found, image, reading, empty, proposal, picture)
    for name, unsure in zip(found.names(), found.uncertainty, strict=True):
        print(f"{found.plane} slice {name}  (voxel from 0; mean entropy {unsure:.2f})")
    print(f"paint in {empty}, or correct {proposal}; see {picture}")
    given = {"weights": weights, "mask": mask, "volume": volume}
    again = "".join(
        f" --{name} {quote(str(value))}" for name, value in given.items() if value is not None
    )
    again += " --nan-as-background" if nan_as_background else ""
    again += f" --extract {extract}" if extract != "auto" else ""
    learned = f"{folder / stem}_adapted.weights.h5"
    print("then, with the one that you worked on:")
    print(f"patchseg adapt {quote(str(image))} {quote(str(empty))}{again} --out {quote(learned)}")


def _write(found, image, reading, empty, proposal, picture):
    """Write what a suggestion gives: the file to paint in, the guess to correct, the picture."""
    import numpy as np

    from patchseg import figures
    from patchseg.images import brain, grid, volume

    tissues, _ = grid.ras(found.result.dseg)
    if not empty.exists():
        volume.write(found.labelled(), empty)
    volume.write(found.proposal(), proposal)
    source = volume.read(image, reading["volume"], reading["nan_as_background"])
    data, affine = grid.ras(source)
    shown = brain.normalise(data, tissues > 0)
    figure = figures.mosaic(
        shown,
        tissues.astype(np.uint8),
        grid.voxel_size_mm(affine),
        found.plane,
        at=found.slices,
        titles=found.names(),
    )
    figures.save(figure, picture)


def adapt(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="An image and its label image; several pairs one after the other.",
            metavar="IMAGE LABELLED [IMAGE LABELLED]...",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="The new weights (.weights.h5); their card (.json) comes beside them."),
    ] = Path("adapted.weights.h5"),
    weights: options.Weights = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            help=f"{options.MASK} Repeat it, one for each image in the same order.",
            show_default=False,
        ),
    ] = None,
    labels: Labels = "tissues",
    volume: options.Volume = None,
    nan_as_background: options.NanAsBackground = False,
    extract: options.Extract = "auto",
    hold_out: Annotated[
        int,
        typer.Option(
            min=0,
            help=(
                "Keep so many labelled slices of each image back, to score what was learned on the"
                " others."
            ),
        ),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**32 - 1, help="The same input and seed give the same weights."),
    ] = 0,
    steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=(
                "Batches of training. Default: 80 for one slice, up to 240 for many. 0 leaves the"
                " network as it is and learns only, in seconds, where its borders lie."
            ),
            show_default=False,
        ),
    ] = None,
    threads: options.Threads = None,
    precision: options.Precision = "auto",
):
    """Teach the network a new animal from a few labelled slices: a minute on a laptop.

    Ctrl-C keeps the best so far.

    Labels are an ordinary image on the grid of the brain: 0 not labelled, 1 CSF, 2 GM, 3 WM, or
    what --labels says. Whole slices, scribbles or single structures, in any plane.

    Examples:

        patchseg adapt ferret_T1w.nii.gz ferret_labels.nii.gz --out ferret.weights.h5

        patchseg adapt a.nii.gz a_aseg.nii.gz b.nii.gz b_aseg.nii.gz --labels freesurfer

        patchseg segment *_T1w.nii.gz --weights ferret.weights.h5 --out derivatives/
    """
    if len(files) % 2:
        raise InputError(
            f"{len(files)} files: give an image and its labels, or several such pairs: IMAGE"
            " LABELLED IMAGE LABELLED …"
        )
    options.compute_with(threads)
    from patchseg.adaptation import fine_tuning

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: typer.echo(f"note: {message}", err=True)
        fine_tuning.adapt(
            files[::2],
            files[1::2],
            weights,
            out,
            masks=mask,
            labels=labels,
            volume=volume,
            nan_as_background=nan_as_background,
            extract=extract,
            hold_out=hold_out,
            seed=seed,
            steps=steps,
            threads=threads,
            precision=precision,
        )
    _tell(out)


def _tell(out):
    """Print what the card of adapted weights says."""
    from patchseg import checkpoint
    from patchseg.adaptation import record

    known = checkpoint.read_card(out)
    for title, key in (
        ("slices held out, before", "held_out_before"),
        ("slices held out, now", "held_out_after"),
        ("labelled voxels, before", "dice_before"),
        ("the same, now that they are learned", "dice_after"),
    ):
        if key in known:
            shown = "  ".join(f"{tissue} {value:.3f}" for tissue, value in known[key].items())
            print(f"Dice on {title}: {shown}")
    print(f"{known['seconds']:.0f} s, {known['steps']} batches; {record.still_pays(out)[1]}")
    print(out)
    if known["stopped"]:
        typer.echo(f"{out} holds the best of the {known['steps']} batches so far", err=True)
        raise typer.Exit(options.STOPPED)
