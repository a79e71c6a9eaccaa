"""The commands `patchseg across …`: train and score networks for brains of any species."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train networks for brains of any species on the zoo, and score them (section across of params.yaml).")
Network = Annotated[str, typer.Argument(help="A network of params.yaml, section across.", show_default=False)]
Params = Annotated[Path, typer.Option("--params", help="The settings.")]


@app.command()
def train(
    network: Network,
    params: Params = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Folder for patches, weights and card.")] = Path("work/across"),
    jobs: Annotated[int, typer.Option(min=1, help="Threads that draw patches.")] = 2,
):
    """Draw patches from the network's brains and train on them; a killed run goes on where it was. Takes an hour or more."""
    from patchseg import across

    print(across.train(network, params, out, jobs))


@app.command()
def score(
    weights: Annotated[Path, typer.Argument(help="Weights (.weights.h5).", show_default=False)],
    brains: Annotated[list[str], typer.Argument(help="Brains of the zoo.", show_default=False)],
    scale: Annotated[list[float] | None, typer.Option(help="Magnification; repeat it to average several.")] = None,
):
    """Segment brains of the zoo and print Dice inside the labelled voxels."""
    from patchseg import across

    for name in across.names(brains):
        rows, result = across.score(weights, name, tuple(scale or (1.0,)))
        dice = "  ".join(f"{row['tissue']} {row['dice']:.3f}" for row in rows)
        print(f"{name:16} {dice}  GM and WM {sum(row['dice'] for row in rows if row['tissue'] != 'CSF') / 2:.3f}  {result.provenance['seconds']} s  {result.verdict}")


@app.command()
def evidence(
    weights: Annotated[list[Path], typer.Argument(help="Weights (.weights.h5), each with its card.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Table; what it holds already is kept.")] = Path("artefacts/across/scores.csv"),
):
    """Score weights on every brain of the zoo that they were not trained on, beside HMRF and Atropos."""
    from patchseg import across

    table = across.evidence(weights, out)
    both = table[table.tissue.isin(["GM", "WM"])].pivot_table(index="brain", columns="network", values="dice", sort=False)
    print(both.round(3).to_string())
