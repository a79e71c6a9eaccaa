"""The commands `patchseg suggest` and `patchseg adapt`.

A few labelled slices of a new animal, and a network that knows it.
"""

import warnings
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES

Weights = Annotated[
    Path | None,
    typer.Option(
        help="Weights to start from (.weights.h5). Default: those of the package.",
        show_default=False,
    ),
]


def suggest(
    image: Annotated[Path, typer.Argument(help="A brain-extracted image.", show_default=False)],
    slices: Annotated[int, typer.Option(min=1, help="How many slices to label.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the files to paint in. Default: that of the image.", show_default=False
        ),
    ] = None,
    weights: Weights = None,
    mask: Annotated[
        Path | None, typer.Option(help="Brain mask. Default: what is not 0.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="What is labelled already: other slices are suggested.", show_default=False
        ),
    ] = None,
    head_check: Annotated[
        bool, typer.Option(help="Refuse an image without a mask that looks like a whole head.")
    ] = True,
    plane: Annotated[
        str | None,
        typer.Option(
            help="sagittal, coronal or axial. Default: the plane with the finest pixels.",
            show_default=False,
        ),
    ] = None,
):
    """Say which slices to label: where the network is unsure, and not beside one another.

    Writes NAME_labels.nii.gz, empty, on the image's grid, to paint in (1 CSF, 2 GM, 3 WM, 0 not
    labelled); NAME_proposal.nii.gz, the network's own guess on these slices, if you would rather
    correct than paint; and a picture, NAME_suggest.png. A label file that is there already is left
    alone; so is a proposal (the next one is NAME_proposal-2.nii.gz).

    Example:

        patchseg suggest ferret_T1w.nii.gz --slices 3
    """
    import numpy as np

    from patchseg import figures
    from patchseg.adaptation import suggestion
    from patchseg.images import brain, grid, volume
    from patchseg.inference import outputs

    found = suggestion.suggest(
        image, slices, weights, mask=mask, labels=labels, plane=plane, head_check=head_check
    )
    stem, folder = outputs.stem(image), out or image.parent
    folder.mkdir(parents=True, exist_ok=True)
    empty, picture = folder / f"{stem}_labels.nii.gz", folder / f"{stem}_suggest.png"
    names = (f"{stem}_proposal{f'-{number}' if number > 1 else ''}.nii.gz" for number in count(1))
    proposal = next(folder / name for name in names if not (folder / name).exists())
    if not empty.exists():
        volume.write(
            grid.like(np.zeros(grid.ras(found.result.dseg)[0].shape, np.uint8), found.result.dseg),
            empty,
        )
    volume.write(found.proposal(), proposal)
    data, affine = grid.ras(volume.read(image))
    tissues = grid.ras(found.result.dseg)[0]
    shown = brain.normalise(data, tissues > 0)
    figures.save(
        figures.mosaic(
            shown,
            tissues.astype(np.uint8),
            grid.voxel_size_mm(affine),
            found.plane,
            at=found.slices,
            titles=found.names(),
        ),
        picture,
    )
    for name, unsure in zip(found.names(), found.uncertainty, strict=True):
        print(f"{found.plane} slice {name}  (voxel from 0; mean entropy {unsure:.2f})")
    print(f"paint in {empty}, or correct {proposal}; see {picture}")
    options = "".join(
        f" --{name} {value}" for name, value in (("weights", weights), ("mask", mask)) if value
    )
    print(
        f"then, with the one that you worked on: patchseg adapt {image} {empty}{options} --out"
        f" {folder / stem}_adapted.weights.h5"
    )


def adapt(
    files: Annotated[
        list[Path],
        typer.Argument(
            help=(
                "An image and its labels; several pairs one after the other: IMAGE LABELS IMAGE"
                " LABELS …"
            ),
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="The new weights (.weights.h5); their card (.json) comes beside them."),
    ] = Path("adapted.weights.h5"),
    weights: Weights = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            help="Brain mask of each image, in the same order. Default: what is not 0.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(help="Values of the tissues in the label file; all others but 0 are refused."),
    ] = "csf=1,gm=2,wm=3",
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
    seed: Annotated[int, typer.Option(help="The same input and seed give the same weights.")] = 0,
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
):
    """Teach the network a new animal from a few labelled slices: a minute on a laptop.

    Ctrl-C keeps the best so far.

    Labels are an ordinary image on the grid of the brain: 0 not labelled, 1 CSF, 2 GM, 3 WM. Whole
    slices, scribbles or single structures, in any plane.

    Examples:

        patchseg adapt ferret_T1w.nii.gz ferret_labels.nii.gz --out ferret.weights.h5

        patchseg adapt a.nii.gz a_aseg.nii.gz b.nii.gz b_aseg.nii.gz --labels csf=4,gm=9,wm=12 --out
        ferret.weights.h5

        patchseg segment *_T1w.nii.gz --weights ferret.weights.h5 --out derivatives/
    """
    from patchseg import checkpoint
    from patchseg.adaptation import fine_tuning

    if len(files) % 2:
        raise InputError(
            f"{len(files)} files: give an image and its labels, or several such pairs: IMAGE LABELS"
            " IMAGE LABELS …"
        )
    values = tissue_values(labels)
    warnings.showwarning = lambda message, *_: typer.echo(f"note: {message}", err=True)
    fine_tuning.adapt(
        files[::2],
        files[1::2],
        weights,
        out,
        masks=mask,
        values=values,
        hold_out=hold_out,
        seed=seed,
        steps=steps,
    )
    known = checkpoint.read_card(out)
    for title, key in (
        ("slices held out, before", "held_out_before"),
        ("slices held out, now", "held_out_after"),
        ("labelled voxels, before", "dice_before"),
    ):
        if key in known:
            print(
                f"Dice on {title}: "
                + "  ".join(f"{tissue} {value:.3f}" for tissue, value in known[key].items())
            )
    print(f"{known['seconds']:.0f} s, {known['steps']} batches; {fine_tuning.still_pays(out)[1]}")
    print(out)
    if known["stopped"]:
        typer.echo(
            f"patchseg: stopped; {out} holds the best of the {known['steps']} batches; the same"
            " command starts again",
            err=True,
        )
        raise typer.Exit(130)


def tissue_values(text):
    """Read 'csf=4,gm=9,wm=12': the values of CSF, GM and WM.

    Raises
    ------
    InputError
        If a tissue is missing or unknown, or a value is no whole number.

    Examples
    --------
    >>> tissue_values("wm=12,csf=4,gm=9")
    (4, 9, 12)
    """
    try:
        found = {
            name.strip().upper(): int(value)
            for name, value in (part.split("=") for part in text.split(","))
        }
        return (
            tuple(found.pop(tissue) for tissue in TISSUES)
            if set(found) == set(TISSUES)
            else _refuse(text)
        )
    except ValueError:
        return _refuse(text)


def _refuse(text):
    raise InputError(
        f"--labels {text}: write the value of each tissue, for example --labels csf=4,gm=9,wm=12"
    )
