"""Time, memory and accuracy of `patchseg.segment` beside DIPY HMRF and ANTs N4+Atropos, on the same
brains, in one run.

    PATCHSEG_ZOO=... python benchmarks/segmentation.py [--brains human-eve chimp] [--batch 100]

Each method runs in a process of its own, one brain after the other, so that its peak memory is its
own. Writes artefacts/zoo/segmentation.csv, .md, a picture of each brain and, with --batch,
memory.csv and memory.png. Needs the extra `dev`.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from patchseg import metrics
from patchseg.core import files
from patchseg.core.tissues import TISSUES
from patchseg.datasets import zoo
from patchseg.images import brain, grid

OUT = Path(__file__).parent.parent / "artefacts" / "zoo"
METHODS = ("patchseg", "DIPY HMRF", "ANTs N4+Atropos")
NETWORKS = Path(__file__).parent.parent / "artefacts" / "across" / "networks"
STRANGERS = {
    "human-eve": "no-people",
    "human-nii2mesh": "people",
    "chimp": "no-chimp",
    "chimp-t2": "no-chimp",
    "macaque-21mo": "no-macaque",
    "macaque-4mo": "no-macaque",
}
"""For each brain a network that never saw it, nor its species.

Of people, human-nii2mesh is a person never seen.
"""


def segment_with(method, name):
    """Segment one brain of the zoo.

    Return labels, seconds (start-up of the libraries apart) and peak memory in MB.
    """
    import nibabel as nib

    image, _, affine = zoo.load(name)
    mask, voxel_mm = brain.foreground(image), grid.voxel_size_mm(affine)
    if method == "patchseg":
        import patchseg
        from patchseg.inference import networks
        from patchseg.scoring import baseline

        started = time.monotonic()
        networks.load(weights_of(name))
        start_up = time.monotonic() - started
        started = time.monotonic()
        found = patchseg.segment(
            nib.Nifti1Image(image, affine),
            nib.Nifti1Image(mask.astype(np.uint8), affine),
            weights_of(name),
        ).dseg.get_fdata()
    else:
        start_up, started = np.nan, time.monotonic()
        found = (
            baseline.hmrf(brain.normalise(image, mask))
            if method == "DIPY HMRF"
            else baseline.atropos(image, mask, voxel_mm)
        )
    seconds = time.monotonic() - started
    return found, seconds, start_up, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def weights_of(name):
    """Return the weights to score on a brain: a network to which it is a stranger."""
    return NETWORKS / f"{STRANGERS[name]}.weights.h5"


def row(job):
    """Score one method on one brain inside the labelled voxels; draw what patchseg found."""
    from patchseg import checkpoint, figures

    method, name = job
    found, seconds, start_up, memory = segment_with(method, name)
    image, labels, affine = zoo.load(name)
    voxel_mm = grid.voxel_size_mm(affine)
    labelled = np.zeros_like(labels) if found is None else (found * (labels > 0)).astype(np.uint8)
    scores = {one["tissue"]: one for one in metrics.score(labels, labelled, voxel_mm)}
    dice = {f"dice_{tissue}": scores[tissue]["dice"] for tissue in TISSUES}
    network = STRANGERS[name] if method == "patchseg" else ""
    if network and {name, zoo.entry(name).same_brain_as} & set(
        checkpoint.read_card(weights_of(name))["brains"]
    ):
        raise SystemExit(f"{name}: network {network} was trained on it; name another one")
    if method == "patchseg":
        said = ", ".join(f"{tissue} {dice[f'dice_{tissue}']:.3f}" for tissue in reversed(TISSUES))
        title = f"{name}, never seen in training: Dice {said} inside the labelled voxels"
        shown = brain.normalise(image, brain.foreground(image))
        figures.save(
            figures.compared(shown, labels, found.astype(np.uint8), voxel_mm, title),
            OUT / f"{name}.png",
        )
    return {
        "brain": name,
        "method": method,
        "network": network,
        **dice,
        "dice_GM_WM": (dice["dice_GM"] + dice["dice_WM"]) / 2,
        "hd95_mm_GM": scores["GM"]["hd95_mm"],
        "seconds": seconds,
        "start_up_s": start_up,
        "peak_mb": memory,
    }


def memory_of_a_batch(n):
    """Segment one brain after the other in one process, in changing sizes.

    Return the resident memory (MB) after each.
    """
    import nibabel as nib
    import psutil

    import patchseg

    image, _, affine = zoo.load("macaque-4mo")
    small = image[::2, ::2, ::2]
    rows = []
    for number in range(n):
        cut = small[: small.shape[0] - number % 3, :, : small.shape[2] - number % 5]
        patchseg.segment(nib.Nifti1Image(cut, affine), scales=(0.5,), head_check=False)
        rows.append((number + 1, psutil.Process().memory_info().rss / 2**20))
    return pd.DataFrame(rows, columns=["volumes", "memory_mb"])


def plot_memory(table):
    """Plot resident memory over the volumes of a batch."""
    from patchseg.figures import Picture, save

    figure = Picture(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(table.volumes, table.memory_mb, color="#0072B2")
    axes.set(
        xlabel="volumes segmented in one process",
        ylabel="resident memory (MB)",
        ylim=(0, table.memory_mb.max() * 1.15),
    )
    save(figure, OUT / "memory.png")


def main():
    """Run what the command line asks for."""
    os.environ.setdefault("PATCHSEG_PROGRESS", "off")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [name for name in zoo.entries() if not name.startswith("human-labels")]
    parser.add_argument("--brains", nargs="*", default=names, help=f"default: {' '.join(names)}")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument(
        "--batch",
        type=int,
        default=0,
        help="also segment this many volumes in one process and plot the memory",
    )
    options = parser.parse_args()
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    hardware = f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"
    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("patchseg", "tensorflow", "dipy", "antspyx")
    )
    print(f"{hardware}; {versions}")
    rows = []
    for job in [(method, name) for name in options.brains for method in options.methods]:
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            rows.append(alone.apply(row, (job,)))
        print(
            "  ".join(
                f"{value:.3f}" if isinstance(value, float) else str(value)
                for value in rows[-1].values()
            ),
            flush=True,
        )
    if rows:
        table = pd.DataFrame(rows)
        files.write_table(table, OUT / "segmentation.csv")
        shown = table.assign(
            seconds=table.seconds.round(1),
            start_up_s=table.start_up_s.round(1),
            peak_mb=table.peak_mb.round(0),
        ).round(3)
        lines = [
            " | ".join(map(str, line))
            for line in [
                shown.columns,
                ["---"] * len(shown.columns),
                *shown.astype(object).where(shown.notna(), "").to_numpy(),
            ]
        ]
        files.write_text(
            OUT / "segmentation.md",
            f"{hardware}; {versions}\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n",
        )
    if options.batch:
        table = memory_of_a_batch(options.batch)
        files.write_table(table, OUT / "memory.csv")
        plot_memory(table)
        print(table.iloc[[0, 9, -1]].to_string(index=False))


if __name__ == "__main__":
    main()
