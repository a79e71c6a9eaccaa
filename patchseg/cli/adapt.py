"""The command `patchseg adapt`: a new animal from a few slices."""

import warnings
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

import typer

from patchseg.cli import options
from patchseg.core.errors import InputError

CODES = (
    "What the values of the label image mean: tissues (1 CSF, 2 GM, 3 WM), freesurfer, fast, or"
    " codes such as csf=4,gm=3+42,wm=2+41."
)
Labels = Annotated[str, typer.Option(help=CODES)]
What = Annotated[
    Literal["tissues", "brain"],
    typer.Option(
        help=(
            "What is taught: the tissues of a brain, or which voxels of a whole head are brain (the"
            " network behind extract)."
        )
    ),
]
NOT_OF_BRAINS = "--what brain looks for the brain itself, so {} is of no use; leave it away"


def check_brain(what, own):
    """Raise InputError for options that only tissues have, by name."""
    usual = {"labels": "tissues", "extract": "auto", "guard": True}
    for name, value in own.items() if what == "brain" else ():
        if (value or None) != usual.get(name):
            option = "no-guard" if name == "guard" else name.replace("_", "-")
            raise InputError(NOT_OF_BRAINS.format(f"--{option}"))


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
        Path | None,
        typer.Option(
            help=(
                "The new weights (.weights.h5); their card (.json) comes beside them. Default:"
                " adapted.weights.h5; of --what brain: heads.weights.h5."
            ),
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="In the place of --out: a name for the new weights (see patchseg weights).",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace weights that are there already.")
    ] = False,
    what: What = "tissues",
    weights: options.Weights = None,
    mask: options.Masks = None,
    labels: Labels = "tissues",
    volume: options.Volume = None,
    nan_as_background: options.NanAsBackground = False,
    extract: options.Extract = "auto",
    brain_weights: options.BrainWeights = None,
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
                "Batches of training. Default: 80 for one slice, more for many; of a brain's mask"
                " 100, if moving the border is not enough. 0 leaves the network as it is and learns"
                " only where its borders lie: half a minute."
            ),
            show_default=False,
        ),
    ] = None,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard/--no-guard",
            help=(
                "Score what is learned on labels that are left out in turn, and leave the network"
                " as it was where that does not help. It takes about 2.5 times as long. --no-guard"
                " keeps what the network learned."
            ),
        ),
    ] = True,
    threads: options.Threads = None,
    precision: options.Precision = "auto",
):
    """Teach the network a new animal from a few labelled slices: two minutes on a laptop.

    Before it learns all labels it learns half of them and is scored on the other half, both ways.
    Where it does not become better by more than its own error (with one slice: where it becomes
    worse by more), or where most labels look wrong, the network stays as it was, and the command
    says so. The next commands work all the same.

    Ctrl-C keeps the best so far, once all labels are being learned; before that nothing is kept.

    Labels are an ordinary image on the grid of the brain: 0 not labelled, 1 CSF, 2 GM, 3 WM, or
    what --labels says. Whole slices, scribbles or single structures, in any plane.

    With --what brain it learns which voxels of a whole head are brain: 1 brain, 2 not brain, 0 not
    labelled, or a mask of 0 and 1 on a slice or a few (other slices are then not labelled). It
    learns where the border lies, in seconds; the network itself learns only if it found the brain
    badly. Half of what is labelled is learned first; if that does not help the other half, all
    stays as it was. The new weights are for extract, and for segment and bids (--brain-weights).
    There Ctrl-C keeps the best round only while it trains.

    Examples:

        patchseg adapt ferret_T1w.nii.gz ferret_T1w_proposal.nii.gz --name ferret

        patchseg adapt a.nii.gz a_aseg.nii.gz b.nii.gz b_aseg.nii.gz --labels freesurfer

        patchseg segment *_T1w.nii.gz --weights ferret --out derivatives/

        patchseg adapt a.nii.gz a_desc-brain_proposal.nii.gz --what brain --out heads.weights.h5

        patchseg extract *_T1w.nii.gz --weights heads.weights.h5 --out derivatives/
    """
    if len(files) % 2:
        raise InputError(
            f"{len(files)} files: give an image and its labels, or several such pairs: IMAGE"
            " LABELLED IMAGE LABELLED …"
        )
    own = {"labels": labels, "extract": extract, "brain_weights": brain_weights}
    own |= {"hold_out": hold_out, "guard": guard}
    check_brain(what, {"mask": mask} | own)
    out = _target(out, name, what, overwrite)
    options.compute_with(threads)
    from patchseg.adaptation import fine_tuning, heads

    settings = {
        "volume": volume,
        "nan_as_background": nan_as_background,
        "seed": seed,
        "steps": steps,
        "threads": threads,
        "precision": precision,
    }
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: typer.echo(f"note: {message}", err=True)
        if what == "brain":
            heads.adapt(files[::2], files[1::2], weights, out, **settings)
        else:
            fine_tuning.adapt(files[::2], files[1::2], weights, out, masks=mask, **own, **settings)
    again = {"mask": mask, "volume": volume, "brain-weights": brain_weights}
    again |= {"extract": extract if extract != "auto" else None}
    again |= {"nan-as-background": "" if nan_as_background else None}
    of_labels = {"labels": labels if labels != "tissues" else None}
    of_labels |= {"what": what if what == "brain" else None}
    _tell(out, name, files, _words(again), _words(of_labels))


def _target(out, name, what, overwrite):
    """Return where new weights go; those that are there are not lost unasked."""
    if name is None:
        from patchseg.checkpoint import SUFFIX

        out = out or Path("heads.weights.h5" if what == "brain" else "adapted.weights.h5")
        if out.is_file() and not overwrite and out.name.endswith(SUFFIX):
            raise InputError(
                f"{out}: there already; give another --out, or a --name, or replace it"
                " (--overwrite)"
            )
        return out
    if out:
        raise InputError(f"--out {out} --name {name}: give one of them")
    if overwrite:
        raise InputError(
            f"--name {name} --overwrite: a name is not taken from other weights; remove those first"
            f" (patchseg weights remove {name})"
        )
    from patchseg.inference import library

    return library.target(name)


def _words(options):
    """Return options as words of a command: those that are given."""
    return "".join(
        f" --{option} {quote(str(value))}" if value != "" else f" --{option}"
        for option, values in options.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None
    )


def _tell(out, name, files, again, of_labels):
    """Print what the card of adapted weights says, and what to do next."""
    from patchseg import checkpoint
    from patchseg.adaptation import record

    known = checkpoint.read_card(out)
    held = "half of the labels, held out" if known.get("what") == "brain" else "slices held out"
    for title, key in (
        (f"{held}, before", "held_out_before"),
        (f"{held}, now", "held_out_after"),
        ("labelled voxels, before", "dice_before"),
        ("the same, now that they are learned", "dice_after"),
    ):
        if key in known and not (key.endswith("after") and known.get("kept") == "parent"):
            shown = "  ".join(f"{tissue} {value:.3f}" for tissue, value in known[key].items())
            print(f"Dice on {title}: {shown}")
    for line in record.said(known):
        print(line)
    advice = record.still_pays(out)[1] if known.get("helped", True) else "all stays as it was"
    print(f"{known['seconds']:.0f} s, {known['steps']} batches; {advice}")
    if known.get("why"):
        from patchseg.adaptation.head_learning import WHY

        typer.echo(f"note: {WHY[known['why']]}; check the labels, or label another slice", err=True)
    _tell_next(out, name, files, again, of_labels, known)
    if known["stopped"]:
        typer.echo(f"{out} holds the best of the {known['steps']} batches so far", err=True)
        raise typer.Exit(options.STOPPED)


def _tell_next(out, name, files, again, of_labels, known):
    """Print where the weights are, and the commands that use them and go on with them.

    `again` are options that hold for the image, `of_labels` those that hold for its labels.
    """
    from patchseg.adaptation import record
    from patchseg.inference import places

    if known.get("kept") == "parent" or not known.get("helped", True):
        print(f"{out}: the weights it started from, unchanged")
        return
    print(out)
    images, own = [quote(str(one)) for one in files[::2]], quote(str(name or out))
    does = "extract" if known.get("what") == "brain" else "segment"
    folder = quote(f"{name or places.stem(files[0])}-results")
    one = len(images) == 1
    given = f"{' '.join(images)} --weights {own}"
    print(f"look at it: patchseg {does} {given} --out {folder}/{again if one else ''}")
    if one and record.still_pays(out)[0]:
        labels = quote(str(files[1]))
        print(f"go on: patchseg suggest {given} --labelled {labels}{again}{of_labels}")
