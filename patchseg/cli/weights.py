"""The commands `patchseg weights list`, `show`, `add` and `remove`."""

from pathlib import Path
from typing import Annotated

import typer

from patchseg.cli import options

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Weights of your own animals, by name, in a folder of yours or the one that"
        " PATCHSEG_WEIGHTS names.\n\n"
        "`patchseg adapt IMAGE LABELLED --name ferret` puts some there;"
        " `patchseg segment IMAGE --weights ferret` uses them. segment says which ones were taught"
        " on a like image, and takes none by itself."
    ),
)
Name = Annotated[
    str,
    typer.Argument(
        help="A name, as `patchseg weights list` shows it.",
        autocompletion=options.names_of_weights,
        show_default=False,
    ),
]
COLUMNS = (
    "name",
    "kind",
    "animals",
    "contrast",
    "made",
    "taught by",
    "slices",
    "held-out Dice",
    "size (mm)",
)
LONGEST = 40
"""Letters of a cell of the table."""


@app.command("list")
def list_():
    """List all weights that have a name: those of the package, then yours.

    Held-out Dice is the mean over the tissues, on labelled slices that were not learned. Size is
    the cube root of the brain's volume: of the brains that the weights were calibrated for, or, for
    those of the package, of the brains that they were trained on.
    """
    from patchseg.inference import library

    found = library.entries()
    rows = [COLUMNS, *[_row(one) for one in found if not one.problem]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    for one in found:
        if one.problem:
            print(f"{one.name}  cannot be used: {library.shown(one.problem)}")
    print(f"\nyours lie in {library.folder()}")


@app.command()
def show(name: Name):
    """Say in plain words what the card of weights tells."""
    from patchseg.inference import library

    one = library.entry(name)
    print(f"{name}: {library.shown(one.problem) if one.problem else _what(one)}")
    lines = [] if one.problem else [*_origin(one.told), *_scores(one.told), *_use(one)]
    for line in [*lines, f"file: {one.path}"]:
        print(f"  {library.shown(line)}")


@app.command()
def add(
    file: Annotated[
        Path, typer.Argument(help="Weights (.weights.h5), with their .json.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(help="Default: the name of the file.", show_default=False)
    ] = None,
):
    """Copy weights that you have into the folder, for example those of a colleague."""
    from patchseg import checkpoint
    from patchseg.inference import border, library, networks

    heads = checkpoint.finds_brains(file)
    for load in (networks.load_heads, border.of_card) if heads else (networks.load,):
        load(file)  # whether they can be used at all
    print(library.add(file, name))


@app.command()
def remove(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False):
    """Delete weights of yours, and their card."""
    from patchseg.inference import library

    path = library.removable(name)
    if not yes:
        typer.confirm(f"Delete {path} and its card?", abort=True)
    library.remove(name)
    print(f"removed {name}")


def _row(one):
    """Return the cells of an `Entry` in the table."""
    from patchseg.inference import library

    told = one.told
    images = [taught.image for taught in told.adapted_to]
    held, looks = told.held_out_after.values(), told.looks
    sizes = told.calibrated_mm or (told.sizes_mm if not images else None)
    cells = (
        one.name,
        one.kind,
        "" if images else ", ".join(told.species),
        ", ".join({look.contrast(): 0 for look in looks} if images else told.contrasts),
        one.made if not one.own else "",
        f"{images[0]} + {len(images) - 1}" if len(images) > 1 else "".join(images),
        str(sum(len(taught.slices) for taught in told.adapted_to) or ""),
        f"{sum(held) / len(held):.3f}" if held else "",
        f"{sizes[0]:.3g} to {sizes[1]:.3g}" if sizes else "",
    )
    return [library.shown(cell, LONGEST) or "-" for cell in cells]


def _what(one):
    kinds = {"tissues": "tell the tissues (CSF, GM, WM)", "masks": "find the brain in a head"}
    whose = "of the package" if one.own else f"of yours, written on {one.made}"
    return f"weights that {kinds[one.kind]}, {whose}"


def _origin(told):
    """Return lines that say what taught the weights."""
    if not told.adapted_to:
        yield f"trained on: {', '.join(told.species) or 'the card does not say'}"
        yield f"contrasts: {', '.join(told.contrasts) or 'the card does not say'}"
        return
    yield f"adapted from {told.parent_name or 'other weights'} (sha256 {told.parent[:12]})"
    for number, taught in enumerate(told.adapted_to):
        shown = ", ".join(map(str, taught.slices))
        how = "nothing kept of" if told.kept == "parent" else "taught by"
        line = f"{how} {taught.image}: {taught.plane} slices {shown}"
        if number < len(told.looks):
            look = told.looks[number]
            line += f"; a brain of {look.volume} cm³, voxels of {look.voxel_mm:.3g} mm"
            line += f", contrast {look.contrast()}" if look.contrast() else ""
        yield line
    if told.kept == "parent" and not told.guard.get("said"):
        yield "what the labels teach was not better: the network as it was"
    if told.kept == "borders":
        yield "only the borders of the tissues were moved"
    if not told.helped:
        yield "what the labels teach was not kept: the network as it was"
    if told.stopped:
        yield "the training was stopped"


def _scores(told):
    """Return lines that say how well they do."""
    if told.scores_from:
        yield f"scores in the card: {told.scores_from}"
    for what, before, after in (
        ("the labelled voxels, which it learned", told.dice_before, told.dice_after),
        ("labels held out", told.held_out_before, told.held_out_after),
    ):
        if after and told.kept != "parent":
            each = [
                f"{tissue} {f'{before[tissue]:.3f} before, ' if tissue in before else ''}"
                f"{value:.3f} now"
                for tissue, value in after.items()
            ]
            yield f"Dice on {what}: {'; '.join(each)}"
    judged = told.guard.get("said")
    if judged:
        yield f"when it was taught: {judged}"
    elif told.adapted_to and not told.held_out_after:
        yield "no labels were held out (adapt --hold-out 1), so nothing tells how it does elsewhere"


def _use(one):
    """Return lines that say what to use them for."""
    told = one.told
    if told.calibrated_mm:
        yield (
            f"calibrated for brains of {_sizes(told.calibrated_mm)}; in others what it learned of"
            " the borders is left out"
        )
    elif told.sizes_mm and not told.adapted_to:
        yield f"trained on brains of {told.sizes_mm[0]:.3g} to {told.sizes_mm[1]:.3g} mm"
    if told.general_mm:
        yield (
            f"without labels of the animal, brains of {_sizes(told.general_mm)} with the contrast"
            f" of adults get borders by labels of {', '.join(told.general_brains) or 'others'}"
        )
    yield from told.limits
    option = "--brain-weights" if one.kind == "masks" else "--weights"
    yield f"use: patchseg segment IMAGE {option} {one.name}"


def _sizes(edges):
    low, high = (f"{edge**3 / 1000:.3g}" for edge in edges)
    return f"{edges[0]:.3g} to {edges[1]:.3g} mm ({low} to {high} cm³)"
