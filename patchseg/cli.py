"""The command `patchseg`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from patchseg import adapt_cli
from patchseg.across_cli import app as across_app
from patchseg.errors import InputError
from patchseg.zoo_cli import app as zoo_app

STOPPED = 130
"""Exit code after Ctrl-C; typer sets it."""
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Tissue segmentation (CSF, GM, WM) of brain MRI of any species.\n\n`patchseg segment IMAGE --out FOLDER` is what most people need; "
    "`sample`, `check`, `strip` and `stage` belong to the training pipeline, which `dvc repro` runs.",
)
app.add_typer(zoo_app, name="zoo")
app.add_typer(across_app, name="across")


@app.command()
def segment(
    images: Annotated[list[Path], typer.Argument(help="Brain-extracted images (.nii, .nii.gz, .mgz), folders of them, or BIDS datasets.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")] = Path("derivatives/patchseg"),
    mask: Annotated[str | None, typer.Option(help="Brain mask, beside each image: '{stem}_mask.nii.gz' fills in the name. Default: what is not 0.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Your own .weights.h5, with its .json beside it. Default: those of the package.")] = None,
    scale: Annotated[list[float] | None, typer.Option(help="Magnification; repeat it to average several. 1 shows brains at the size of the training.")] = None,
    volume: Annotated[int | None, typer.Option(help="Which volume of a 4D image, from 0.")] = None,
    nan_as_background: Annotated[bool, typer.Option("--nan-as-background", help="Treat voxels that are NaN or infinite as background.")] = False,
    head_check: Annotated[bool, typer.Option(help="Refuse images that look like a whole head.")] = True,
    n4: Annotated[bool, typer.Option("--n4", help="Correct a strong bias field first (needs: pip install 'patchseg[ants]').")] = False,
    tile: Annotated[int | None, typer.Option(help="Let slices pass in overlapping tiles of this many pixels, if memory is short.")] = None,
    sharpen: Annotated[bool, typer.Option(help="Let the image's own intensities move the borders, and what the weights were taught of them.")] = True,
    jobs: Annotated[int, typer.Option(min=1, help="Images at a time; each takes a process of about 1.5 GB.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do again what is there already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
    report: Annotated[bool, typer.Option(help="Write an HTML report of each image.")] = True,
):
    """Segment brain MRI into CSF, GM and WM, each image on its own grid.

    Examples:

        patchseg segment sub-01_T1w.nii.gz --out derivatives/

        patchseg segment my_bids_dataset --out derivatives/ --jobs 2

        patchseg segment *.nii.gz --out derivatives/ --mask '{stem}_mask.nii.gz'

    For each image: labels (1 CSF, 2 GM, 3 WM), a probability map of each tissue, uncertainty, volumes (mm³), a record (.json) and a
    report (.html). For all: volumes.tsv, qc.tsv, index.html. A second run does only what is missing.

    Exit code: 0 all images have a result, 1 some failed (the reasons are on standard error and in qc.tsv), 2 the command could not start.
    """
    from patchseg import batch, card, outputs, segmentation

    segmentation.check_settings(tuple(scale or (1.0,)), tile)
    card.read(weights or card.SHIPPED)
    found = batch.find(images)
    brains = batch.masks(found, mask)
    if mask and "{" in mask:  # a glob such as *.nii.gz takes the masks along
        kept = [(image, brain) for image, brain in zip(found, brains, strict=True) if image.resolve() not in {b.resolve() for b in brains if b}]
        found, brains = map(list, zip(*kept, strict=True)) if kept else (found, brains)
    batch.check_names(found, out)
    options = {
        "weights_path": weights, "scales": tuple(scale or (1.0,)), "index": volume, "nan_as_background": nan_as_background,
        "head_check": head_check, "n4": n4, "tile": tile, "sharpen": sharpen, "overwrite": overwrite,
    }  # fmt: skip
    if dry_run:
        for image, what in batch.plan(found, out, brains, options):
            print(f"{image}  {what}")
        return
    outcomes = batch.run(found, out, brains, jobs, report, **options)
    failed = sum(one.status == "failed" for one in outcomes)
    if len(outcomes) > 1 or failed:
        print(f"{len(outcomes) - failed} of {len(outcomes)} images segmented; see {out / 'index.html'}")
    elif report:
        print(outputs.Place(outcomes[0].image, out).report)
    if failed:
        raise typer.Exit(1)


app.command()(adapt_cli.suggest)
app.command()(adapt_cli.adapt)


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
    except SystemExit as end:
        if end.code == STOPPED:
            print("patchseg: stopped; the same command goes on with what is missing", file=sys.stderr)
        raise
