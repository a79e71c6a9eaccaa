"""The command `patchseg segment`."""

from pathlib import Path
from typing import Annotated

import typer

from patchseg.cli.options import (
    Extract,
    NanAsBackground,
    Precision,
    Threads,
    Volume,
    Weights,
    compute_with,
)
from patchseg.core.errors import InputError


def segment(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Images (.nii, .nii.gz, .mgz), folders of them, or BIDS datasets.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")] = Path(
        "derivatives/patchseg"
    ),
    mask: Annotated[
        str | None,
        typer.Option(
            help=(
                "Brain mask. For several images a pattern: '{folder}/{stem}_mask.nii.gz' fills in"
                " each one's folder and name. Default: found in a whole head, else what is not 0."
            )
        ),
    ] = None,
    weights: Weights = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(
            help=(
                "Magnification; repeat it to average several. 1 shows brains at the size of the"
                " training."
            )
        ),
    ] = None,
    volume: Volume = None,
    nan_as_background: NanAsBackground = False,
    extract: Extract = "auto",
    brain_weights: Annotated[
        Path | None,
        typer.Option(
            help="Your own weights that find the brain in a head (adapt --what brain).",
            show_default=False,
        ),
    ] = None,
    n4: Annotated[
        bool,
        typer.Option(
            "--n4", help="Correct a strong bias field first (needs: pip install 'patchseg[ants]')."
        ),
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(
            help="Let slices pass in overlapping tiles of this many pixels, if memory is short."
        ),
    ] = None,
    sharpen: Annotated[
        bool,
        typer.Option(
            help=(
                "Let the image's own intensities move the borders, and what the weights were taught"
                " of them."
            )
        ),
    ] = True,
    threads: Threads = None,
    precision: Precision = "auto",
    jobs: Annotated[
        int, typer.Option(min=1, help="Images at a time; each takes a process of about 1.5 GB.")
    ] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do again what is there already.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be done.")
    ] = False,
    report: Annotated[bool, typer.Option(help="Write an HTML report of each image.")] = True,
):
    """Segment brain MRI into CSF, GM and WM, each image on its own grid.

    Examples:

        patchseg segment sub-01_T1w.nii.gz --out derivatives/

        patchseg segment my_bids_dataset --out derivatives/ --jobs 2

        patchseg segment *.nii.gz --out derivatives/ --mask '{folder}/{stem}_mask.nii.gz'

    For each image: labels (1 CSF, 2 GM, 3 WM), a probability map of each tissue, uncertainty,
    volumes (mm³), a record (.json) and a report (.html). For all: volumes.tsv, qc.tsv, index.html.
    A second run does only what is missing, or was made with other settings. Paths are relative to
    the current folder; {folder}, {stem} (the name without extension) and {name} (without the BIDS
    suffix, too) are filled in for each image.

    Exit code: 0 all images have a result, 1 some failed (the reasons are on standard error and in
    qc.tsv), 2 the command could not start.
    """
    from patchseg.core import runtime

    if threads:
        runtime.set_threads(threads)
    with runtime.quiet():  # TensorFlow greets when it is loaded; what computes starts it (_one)
        from patchseg import checkpoint
        from patchseg.images import bias
        from patchseg.inference import batch, inputs, outputs, segmentation

    segmentation.check_settings(tuple(scale or (1.0,)), tile, extract)
    if checkpoint.finds_brains(weights or checkpoint.SHIPPED):
        raise InputError(
            f"{weights}: weights that find the brain in a head; name weights that know tissues (and"
            " these as --brain-weights)"
        )
    if brain_weights and not checkpoint.finds_brains(brain_weights):
        raise InputError(
            f"{brain_weights}: not weights that find the brain in a head; make them with adapt"
            " --what brain"
        )
    if n4:
        bias.load_ants()  # says how to install it, before the work
    found = inputs.find(images)
    brains = inputs.masks(found, mask)
    if mask and "{" in mask:
        found, brains = inputs.without_masks(found, brains)
    inputs.check_names(found, out)
    options = {
        "weights": weights,
        "scales": tuple(scale or (1.0,)),
        "volume": volume,
        "nan_as_background": nan_as_background,
        "extract": extract,
        "brain_weights": brain_weights and str(brain_weights.resolve()),
        "n4": n4,
        "tile": tile,
        "sharpen": sharpen,
        "threads": threads,
        "precision": precision,
        "overwrite": overwrite,
    }
    if dry_run:
        for image, what in batch.plan(found, out, brains, options):
            print(f"{image}  {what}")
        return
    outcomes = batch.run(found, out, brains, jobs, report, _one, **options)
    failed = sum(one.failed for one in outcomes)
    if len(outcomes) > 1 or failed:
        print(
            f"{len(outcomes) - failed} of {len(outcomes)} images segmented; see"
            f" {out / 'index.html'}"
        )
    elif report:
        print(outputs.Place(outcomes[0].image, out).report)
    if failed:
        raise typer.Exit(1)


def _one(image, out, mask, with_report, options):
    """Segment one image, perhaps in a process of its own, without TensorFlow's greeting."""
    compute_with(options["threads"])
    from patchseg.inference import batch

    return batch.segment_one(image, out, mask, with_report, options)
