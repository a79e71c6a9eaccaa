"""The commands of developers: the pipeline's stages, and networks for brains of any species."""

from pathlib import Path
from typing import Annotated

import typer

across = typer.Typer(
    no_args_is_help=True,
    help=(
        "Train networks for brains of any species on the zoo, and score them (section across of"
        " params.yaml)."
    ),
)
app = typer.Typer(
    no_args_is_help=True,
    help="For developers: the stages of the pipeline, and networks for brains of any species.",
)
app.add_typer(across, name="across")
Network = Annotated[
    str, typer.Argument(help="A network of params.yaml, section across.", show_default=False)
]
Params = Annotated[Path, typer.Option("--params", help="The settings.")]


@across.command()
def train(
    network: Network,
    params: Params = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Folder for patches, weights and card.")] = Path(
        "work/across"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Threads that draw patches.")] = 2,
):
    """Draw patches from the network's brains and train on them; a killed run goes on where it was.

    It takes a quarter of an hour to an hour. At the end it learns what `borders` learns.
    """
    from patchseg.adaptation import general
    from patchseg.training import across

    weights = across.train(network, params, out, jobs)
    general.learn(network, params, out)
    print(weights)


@across.command()
def borders(
    network: Network,
    params: Params = Path("params.yaml"),
    out: Annotated[
        Path, typer.Option(help="Folder of its weights, and of those that it starts from.")
    ] = Path("work/across"),
):
    """Learn what brains of several animals say of a trained network's borders; into its card."""
    from patchseg.adaptation import general

    known = general.learn(network, params, out)
    print(", ".join(known.get("general_brains", ["params.yaml names no brains for it"])))


@across.command()
def score(
    weights: Annotated[Path, typer.Argument(help="Weights (.weights.h5).", show_default=False)],
    brains: Annotated[list[str], typer.Argument(help="Brains of the zoo.", show_default=False)],
    scale: Annotated[
        list[float] | None, typer.Option(help="Magnification; repeat it to average several.")
    ] = None,
):
    """Segment brains of the zoo and print Dice inside the labelled voxels."""
    from patchseg.datasets.brains import names
    from patchseg.scoring import on_zoo

    for name in names(brains):
        rows, result = on_zoo.score(weights, name, tuple(scale or (1.0,)))
        dice = "  ".join(f"{row['tissue']} {row['dice']:.3f}" for row in rows)
        matter = sum(row["dice"] for row in rows if row["tissue"] != "CSF") / 2
        seconds = result.provenance["seconds"]
        print(f"{name:16} {dice}  GM and WM {matter:.3f}  {seconds} s  {result.verdict}")


@across.command()
def evidence(
    weights: Annotated[
        list[Path],
        typer.Argument(help="Weights (.weights.h5), each with its card.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Table; what it holds already is kept.")] = Path(
        "artefacts/across/scores.csv"
    ),
    heads: Annotated[Path, typer.Option(help="Table of the heads, likewise.")] = Path(
        "artefacts/across/heads.csv"
    ),
):
    """Score weights on the brains of the zoo that are new to them, beside HMRF and Atropos.

    Those that find the brain are scored on heads, beside median_otsu and BET.
    """
    from patchseg import checkpoint
    from patchseg.scoring import on_heads, on_zoo

    finders = [path for path in weights if checkpoint.finds_brains(path)]
    if finders:
        table = on_heads.evidence(finders, heads)
        print(table.pivot_table(index="head", columns="method", values="dice").round(3).to_string())
    weights = [path for path in weights if path not in finders]
    if not weights:
        return
    table = on_zoo.evidence(weights, out)
    both = table[table.tissue.isin(["GM", "WM"])].pivot_table(
        index="brain", columns="network", values="dice", sort=False
    )
    print(both.round(3).to_string())


@app.command()
def sample(
    folder: Annotated[str, typer.Argument(help="Folder of the dataset; made if needed.")] = "data",
):
    """Build the embedded sample from nilearn: three coronal blocks of the MNI template, as BIDS."""
    from patchseg.datasets.sample import build

    build(folder)
    print(f"{folder}: three subjects written")


@app.command()
def check(
    folder: Annotated[
        str,
        typer.Argument(help="A BIDS dataset: participants.tsv, sub-*/anat, derivatives/labels."),
    ] = "data",
):
    """Check a dataset before training on it: read every image and label and say what they hold."""
    from patchseg.datasets.bids import subjects

    for subject in subjects(folder):
        one = subject.load()
        size = " x ".join(f"{edge:.3g}" for edge in one.voxel_mm)
        print(
            f"{subject.name}  {subject.species}  {subject.split}  "
            f"{' x '.join(map(str, one.image.shape))} voxels of {size} mm, "
            f"{one.known.sum()} labelled"
        )


@app.command()
def strip(source: str, target: str):
    """Copy a notebook without outputs and session metadata (a DVC stage)."""
    from patchseg import pipeline

    pipeline.strip(source, target)


@app.command()
def stage(
    name: Annotated[str, typer.Argument(help="preprocess, augment, train or evaluate.")],
    recipe: Annotated[
        str | None, typer.Option(help="A recipe of params.yaml; evaluate takes none.")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder, inside the project, that gets work/ and artefacts/.")
    ] = ".",
):
    """Run one stage: its notebook, by papermill, with the settings of params.yaml."""
    from patchseg import pipeline

    pipeline.run_stage(name, recipe, out)


Tolerance = Annotated[
    float | None,
    typer.Option(min=0, help="Of Dice, beside four standard errors; that of params.yaml if none."),
]


@app.command()
def verdict(tolerance: Tolerance = None):
    """Say whether the last `dvc repro` reproduces the published scores; exit code 1 if not."""
    from patchseg import params
    from patchseg.core.files import project_root
    from patchseg.scoring import verdict

    root = project_root()
    reproduced, said = verdict.of_run(root, params.load(root / params.NAME), tolerance)
    print(said)
    raise typer.Exit(not reproduced)


@app.command()
def publish():
    """Make the scores of the last `dvc repro` the published ones (the folder published/)."""
    from patchseg import params
    from patchseg.core.files import project_root
    from patchseg.scoring import verdict

    root = project_root()
    verdict.publish(root, params.load(root / params.NAME))
    print(f"{root / verdict.PUBLISHED}: the last run's scores")
