"""The command `patchseg segment`, and what it shares with `patchseg bids`."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from patchseg.cli import options
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
    mask: options.MaskPattern = None,
    weights: options.Weights = None,
    scale: options.Scale = None,
    volume: options.Volume = None,
    nan_as_background: options.NanAsBackground = False,
    extract: options.Extract = "auto",
    brain_weights: options.BrainWeights = None,
    n4: options.N4 = False,
    tile: options.Tile = None,
    sharpen: options.Sharpen = True,
    threads: options.Threads = None,
    precision: options.Precision = "auto",
    jobs: options.Jobs = 1,
    cluster: options.Cluster = None,
    cluster_settings: options.ClusterSettings = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    report: options.Report = True,
):
    """Segment brain MRI into CSF, GM and WM, each image on its own grid.

    Examples:

        patchseg segment sub-01_T1w.nii.gz --out derivatives/

        patchseg segment my_bids_dataset --out derivatives/ --jobs 2

        patchseg segment *.nii.gz --out derivatives/ --mask '{folder}/{stem}_mask.nii.gz'

        patchseg segment ferret_T1w.nii.gz --weights ferret

    For each image: labels (1 CSF, 2 GM, 3 WM), a probability map of each tissue, uncertainty,
    volumes (mm³), a record (.json), a thumbnail and a report (.html). For all: the page index.html;
    volumes.tsv, volumes_wide.tsv, qc.tsv and look_first.tsv.
    A second run does only what is missing, or was made with other settings. Paths are relative to
    the current folder; {folder}, {stem} (the name without extension) and {name} (without the BIDS
    suffix, too) are filled in for each image. With --cluster the workers read and write the same
    folders.

    Exit code: 0 all images have a result, 1 some failed (the reasons are on standard error and in
    qc.tsv), 2 the command could not start.
    """
    settings = options.settings(locals())
    check(settings)
    from patchseg.inference import inputs
    from patchseg.inference.places import Place

    found, brains = with_masks(inputs.find(images), out, mask)
    if dry_run:
        show_plan(found, out, brains, settings)
        return
    work = {"jobs": jobs, "cluster": cluster, "cluster_settings": cluster_settings}
    outcomes = run(found, out, brains, settings, report, **work)
    if report and len(outcomes) == 1 and not outcomes[0].failed:
        print(Place(outcomes[0].image, out).report)
        return
    finish(outcomes, f"see {out / 'index.html'}")


def check(settings):
    """Stop before the work if settings of `outputs.segment_file` cannot be used."""
    from patchseg import checkpoint
    from patchseg.core import runtime
    from patchseg.images import bias
    from patchseg.inference import segmentation

    if settings["threads"]:
        runtime.set_threads(settings["threads"])

    weights = settings["weights"]
    segmentation.check_settings(settings["scales"], settings["tile"], settings["extract"])
    if checkpoint.finds_brains(weights or checkpoint.SHIPPED):
        raise InputError(
            f"{weights}: weights that find the brain in a head; name weights that know tissues (and"
            " these as --brain-weights)"
        )
    options.check_finds_brains(settings["brain_weights"])
    if settings["n4"]:
        bias.load_ants()  # says how to install it, before the work


def with_masks(found, out, mask):
    """Return the images that are no masks, and the mask of each (see `inputs.masks`)."""
    from patchseg.inference import inputs

    brains = inputs.masks(found, mask)
    if mask and "{" in mask:
        found, brains = inputs.without_masks(found, brains)
    inputs.check_names(found, out)
    return found, brains


def show_plan(found, out, brains, settings):
    """Print what a run would do."""
    from patchseg.inference import batch

    for image, what in batch.plan(found, out, brains, settings):
        print(f"{image}  {what}")


def run(found, out, brains, settings, report, *, jobs, cluster, cluster_settings, tables=True):
    """Segment images here or on a cluster; see `batch.run`."""
    from patchseg.inference import batch

    with options.machines(jobs, cluster, cluster_settings) as client:
        outcomes = batch.run(
            found, out, brains, jobs, report, _one, tables=tables, client=client, **settings
        )
    if settings["weights"] is None:
        _offer(outcomes)
    return outcomes


def _offer(outcomes):
    """Say which weights of the user were taught on like images; they are never taken unasked."""
    from patchseg.inference import library, resemblance

    seen = [(outcome.image, outcome.look) for outcome in outcomes if outcome.look]
    with suppress(InputError):  # of a folder that cannot be read there is nothing to offer
        for line in resemblance.offers(seen, library.entries()):
            print(line)


def finish(outcomes, hint):
    """Print how many images have a result; exit code 1 if some have none."""
    failed = sum(one.failed for one in outcomes)
    if len(outcomes) > 1 or failed:
        print(f"{len(outcomes) - failed} of {len(outcomes)} images segmented; {hint}")
    if failed:
        raise typer.Exit(1)


def _one(image, out, mask, with_report, settings):
    """Segment one image, perhaps in a process of its own, without TensorFlow's greeting."""
    from patchseg.inference import batch

    start = partial(options.compute_with, settings["threads"])
    return batch.segment_one(image, out, mask, with_report, settings, start)
