"""The command `patchseg extract`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from patchseg.cli import options
from patchseg.core.files import check_writable


def extract(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Images of whole heads (.nii, .nii.gz, .mgz), folders of them, or BIDS datasets.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if needed.")] = Path(
        "derivatives/patchseg"
    ),
    weights: options.Weights = None,
    brain: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=(
                "Which of several brains in one image, counted from left to right, then from back"
                " to front. Default: the largest."
            ),
            show_default=False,
        ),
    ] = None,
    volume: options.Volume = None,
    nan_as_background: options.NanAsBackground = False,
    threads: options.Threads = None,
    precision: options.Precision = "auto",
    jobs: options.Jobs = 1,
    cluster: options.Cluster = None,
    cluster_settings: options.ClusterSettings = None,
    overwrite: options.Overwrite = False,
):
    """Find the brain in images of whole heads, of any animal, each on its own grid.

    Examples:

        patchseg extract rhesus_T1w.nii.gz --out derivatives/

        patchseg extract my_bids_dataset --out derivatives/ --jobs 2

        patchseg segment rhesus_T1w.nii.gz --mask derivatives/rhesus_T1w_desc-brain_mask.nii.gz

    For each image: the brain's mask, the image without all else, a probability map, a record
    (.json) and a page with the outline on the head (.html). Correct the mask in any editor and give
    it to segment with --mask. segment does both steps in one where it notices a head.

    Exit code: 0 all images have a mask, 1 some failed, 2 the command could not start.
    """
    settings = options.settings(locals()) | {"brain_number": brain}
    options.check_finds_brains(weights)
    check_writable(out)
    from patchseg.core import runtime
    from patchseg.inference import inputs, mask_files, work

    if threads:
        runtime.set_threads(threads)
    found = inputs.find(images)
    inputs.check_names(found, out)

    def shown(outcome):
        page = mask_files.BrainPlace(outcome.image, out, brain).report
        return work.line(outcome) + ("" if outcome.failed else f"\n{page}")

    places, given = [mask_files.BrainPlace(image, out, brain) for image in found], [()] * len(found)
    with options.machines(jobs, cluster, cluster_settings) as client:
        outcomes = work.each(_one, places, given, settings, jobs, client, shown)
    if any(outcome.failed for outcome in outcomes):
        raise typer.Exit(1)


def _one(image, out, settings):
    """Find the brain in one image, perhaps in another process, without TensorFlow's greeting."""
    from patchseg.inference import batch

    return batch.extract_one(
        image, out, settings, partial(options.compute_with, settings["threads"])
    )
