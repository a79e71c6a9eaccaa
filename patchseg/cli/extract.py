"""The command `patchseg extract`."""

import sys
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do again what is there already.")
    ] = False,
):
    """Find the brain in images of whole heads, of any animal, each on its own grid.

    Examples:

        patchseg extract rhesus_T1w.nii.gz --out derivatives/

        patchseg segment rhesus_T1w.nii.gz --mask derivatives/rhesus_T1w_desc-brain_mask.nii.gz

    For each image: the brain's mask, the image without all else, a probability map, a record
    (.json) and a page with the outline on the head (.html). Correct the mask in any editor and give
    it to segment with --mask. segment does both steps in one where it notices a head.

    Exit code: 0 all images have a mask, 1 some failed, 2 the command could not start.
    """
    check_writable(out)
    options.compute_with(threads)
    from patchseg.core.progress import progress
    from patchseg.inference import batch, inputs, mask_files, networks

    networks.load_heads(weights, precision)
    found, failed = inputs.find(images), 0
    inputs.check_names(found, out)
    for image in progress(found, "images", len(found)) if len(found) > 1 else found:
        try:
            said, status = mask_files.extract_file(
                image,
                out,
                weights,
                overwrite=overwrite,
                brain_number=brain,
                volume=volume,
                nan_as_background=nan_as_background,
                threads=threads,
                precision=precision,
            )
        except Exception as error:  # one image must never stop the others
            failed += 1
            print(f"failed  {batch.why(image, error)}", file=sys.stderr)
            continue
        kind = "" if said["head"] else "  (no head: the brain was extracted already)"
        reasons = f": {said['reasons']}" if said["reasons"] else ""
        print(f"{status}  {image}  {said['verdict']}{reasons}{kind}")
        print(mask_files.BrainPlace(image, out, brain).report)
    if failed:
        raise typer.Exit(1)
