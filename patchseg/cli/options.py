"""Options that several commands share: one word for one thing."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from patchseg.core.errors import InputError

STOPPED = 130
"""Exit code after Ctrl-C; typer sets it."""
MASK = "Brain mask. Default: found in a whole head, else what is not background."
Masks = Annotated[
    list[Path] | None,
    typer.Option(
        help=f"{MASK} Repeat it, one for each image in the same order.", show_default=False
    ),
]


def names_of_weights(incomplete: str):
    """Complete a name of weights, for the shell."""
    from patchseg.inference import library

    return [name for name in library.names() if name.startswith(incomplete)]


def _file_of(weights: Path | None):
    from patchseg.inference import library

    return library.find(weights)


_BY_NAME = {
    "metavar": "FILE|NAME",
    "callback": _file_of,
    "autocompletion": names_of_weights,
    "show_default": False,
}
Weights = Annotated[
    Path | None,
    typer.Option(
        help=(
            "Your own .weights.h5, with its .json beside it; or its name, as `patchseg weights"
            " list` shows it. Default: those of the package."
        ),
        **_BY_NAME,
    ),
]
Volume = Annotated[
    int | None, typer.Option(help="Which volume of a 4D image, from 0.", show_default=False)
]
NanAsBackground = Annotated[
    bool,
    typer.Option(
        "--nan-as-background", help="Treat voxels that are NaN or infinite as background."
    ),
]
Extract = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(help="Look for the brain in images without a mask; auto does so in whole heads."),
]
BrainWeights = Annotated[
    Path | None,
    typer.Option(
        help=(
            "Your own weights that find the brain in a head (adapt --what brain): a file or a name."
        ),
        **_BY_NAME,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads to compute with. Default: all cores.", show_default=False),
]
Precision = Annotated[
    Literal["auto", "float32", "mixed_bfloat16"],
    typer.Option(help="auto takes bfloat16 where the processor computes with it."),
]
MaskPattern = Annotated[
    str | None,
    typer.Option(
        help=(
            "Brain mask. For several images a pattern: '{folder}/{stem}_mask.nii.gz' fills in"
            " each one's folder and name. Default: found in a whole head, else what is not"
            " background."
        )
    ),
]
Scale = Annotated[
    list[float] | None,
    typer.Option(
        help=(
            "Magnification; repeat it to average several. 1 shows brains at the size of the"
            " training."
        )
    ),
]
N4 = Annotated[
    bool,
    typer.Option(
        "--n4", help="Correct a strong bias field first (needs: pip install 'patchseg[ants]')."
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        help="Let slices pass in overlapping tiles of this many pixels, if memory is short."
    ),
]
Sharpen = Annotated[
    bool,
    typer.Option(
        help=(
            "Let the image's own intensities move the borders, find deep grey matter, and use what"
            " the weights were taught of the borders."
        )
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        min=1,
        help="Images at a time; each takes a process of about 1.5 GB (with a queue: a job).",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do again what is there already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")]
Report = Annotated[bool, typer.Option(help="Write an HTML report of each image.")]
Cluster = Annotated[
    str | None,
    typer.Option(
        help=(
            "Let other machines do the work: address of a Dask scheduler (tcp://head:8786), or"
            " slurm, pbs or sge (needs: pip install 'patchseg[cluster]')."
        ),
        show_default=False,
    ),
]
ClusterSettings = Annotated[
    Path | None,
    typer.Option(
        help="Settings of the queue: Dask's configuration (YAML), its section jobqueue.",
        show_default=False,
    ),
]


SETTINGS = (
    *("weights", "scale", "volume", "nan_as_background", "extract", "brain_weights", "n4"),
    *("tile", "sharpen", "threads", "precision", "overwrite"),
)
"""Options of commands that say how an image is done."""


def settings(given):
    """Return what of a command's options the functions below it are called with.

    Parameters
    ----------
    given : dict
        The options by name.

    Returns
    -------
    settings : dict
        Of `outputs.segment_file` or `mask_files.extract_file`.
    """
    found = {name: given[name] for name in SETTINGS if name in given}
    if "scale" in found:
        found["scales"] = tuple(found.pop("scale") or (1.0,))
    if found.get("brain_weights"):
        found["brain_weights"] = str(found["brain_weights"].absolute())
    return found


def machines(jobs, cluster, cluster_settings):
    """Connect to the cluster that a command names, meanwhile; None without one.

    Raises
    ------
    InputError
        See `cluster.connected`; or if there are settings for no cluster.
    """
    from patchseg.inference import cluster as clusters

    if cluster_settings and cluster is None:
        raise InputError(f"--cluster-settings {cluster_settings}: name a --cluster, too")
    if cluster is None:
        return nullcontext()
    return clusters.connected(cluster, jobs, cluster_settings)


def check_finds_brains(weights):
    """Raise InputError if weights are not of a network that finds the brain in a head."""
    from patchseg import checkpoint

    if weights and not checkpoint.finds_brains(weights):
        raise InputError(
            f"{weights}: not weights that find the brain in a head; make them with adapt"
            " --what brain"
        )


def compute_with(threads):
    """Start TensorFlow in this process, which is the command's own, on so many threads.

    Its greeting on standard error is dropped.
    """
    from patchseg.core import runtime

    if threads:
        runtime.set_threads(threads)
    runtime.start_quietly()
