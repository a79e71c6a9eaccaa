"""The command `patchseg`."""

import sys
from typing import Annotated

import typer

from patchseg.errors import InputError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Train and score a tissue segmentation (CSF, GM, WM) of brain MRI. `dvc repro` runs all stages."
)


@app.command()
def sample(folder: Annotated[str, typer.Argument(help="Folder of the dataset; made if needed.")] = "data"):
    """Build the embedded sample, a BIDS dataset of three coronal blocks of the MNI template, from the installed nilearn."""
    from patchseg.sample import build

    build(folder)
    print(f"{folder}: three subjects written")


@app.command()
def check(folder: Annotated[str, typer.Argument(help="A BIDS dataset: participants.tsv, sub-*/anat, derivatives/labels.")] = "data"):
    """Check a dataset before training on it: read every image and label and say what they hold."""
    from patchseg.dataset import subjects
    from patchseg.volume import voxel_size_mm

    for subject in subjects(folder):
        image, labels, affine = subject.load()
        size = " x ".join(f"{edge:.3g}" for edge in voxel_size_mm(affine))
        print(f"{subject.name}  {subject.species}  {subject.split}  {' x '.join(map(str, image.shape))} voxels of {size} mm, {(labels > 0).sum()} labelled")


@app.command()
def strip(source: str, target: str):
    """Copy a notebook without outputs and session metadata (a DVC stage)."""
    from patchseg import pipeline

    pipeline.strip(source, target)


@app.command()
def stage(
    name: Annotated[str, typer.Argument(help="preprocess, augment, train or evaluate.")],
    recipe: Annotated[str | None, typer.Option(help="A recipe of params.yaml; evaluate takes none.")] = None,
    out: Annotated[str, typer.Option(help="Folder, inside the project, that gets work/ and artefacts/.")] = ".",
):
    """Run one stage: its notebook, by papermill, with the settings of params.yaml."""
    from patchseg import pipeline

    pipeline.run_stage(name, recipe, out)


def main():
    """Run the command; errors of the input are one line and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"patchseg: {error}", file=sys.stderr)
        sys.exit(2)
