"""Time, memory and accuracy of patchseg, DIPY HMRF and ANTs N4+Atropos on the same brains.

    PATCHSEG_ZOO=... python benchmarks/segmentation.py [--brains human-eve chimp] [--batch 100]
    python benchmarks/segmentation.py --report   # table only

Each method runs in a process of its own, one brain after the other, so that its peak memory is its
own. What is there is kept if it belongs to this code and this computer. Writes
artefacts/zoo/segmentation.csv, .md, a picture of each brain and, with --batch, memory.csv and
memory.png. Needs the extra `dev`.
"""

import multiprocessing
import os
import resource
import time
from importlib import import_module

import common
import numpy as np
import pandas as pd
from common import ARTEFACTS, STRANGERS, as_given, load, weights_of

from patchseg import checkpoint, figures, metrics
from patchseg.core import files, runtime
from patchseg.core.provenance import versions
from patchseg.core.tissues import TISSUES
from patchseg.datasets import zoo
from patchseg.images.brain import TOP

OUT = ARTEFACTS / "zoo"


def by_patchseg(one, weights):
    """Segment a `Labelled`; return labels, and seconds that the libraries took to start."""
    started = time.monotonic()
    from patchseg.inference import networks, segmentation

    networks.load(weights)
    start_up = time.monotonic() - started
    return segmentation.segment(*as_given(one), weights).dseg.get_fdata(), start_up


def by_hmrf(one, _):
    """As `by_patchseg`, by DIPY."""
    started = time.monotonic()
    from patchseg.scoring import baseline

    import_module("dipy.segment.tissue")
    start_up = time.monotonic() - started
    return baseline.hmrf(one.normalised(TOP)), start_up


def by_atropos(one, _):
    """As `by_patchseg`, by ANTs."""
    started = time.monotonic()
    from patchseg.images import bias
    from patchseg.scoring import baseline

    bias.load_ants()
    start_up = time.monotonic() - started
    return baseline.atropos(one.image, one.mask, one.voxel_mm), start_up


METHODS = {"patchseg": by_patchseg, "DIPY HMRF": by_hmrf, "ANTs N4+Atropos": by_atropos}
LIBRARY = {"patchseg": (), "DIPY HMRF": ("dipy",), "ANTs N4+Atropos": ("antspyx",)}


def segmented(brain, method, network):
    """Segment a brain by a method and score it inside the labelled voxels: labels and a row."""
    one = load(brain)  # reading it is no part of the time
    started = time.monotonic()
    found, start_up = METHODS[method](one, weights_of(network) if network else None)
    seconds = time.monotonic() - started - start_up
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    found = np.zeros_like(one.labels) if found is None else found.astype(np.uint8)
    scores = {row["tissue"]: row for row in metrics.score(one.labels, found, one.voxel_mm)}
    dice = {f"dice_{tissue}": scores[tissue]["dice"] for tissue in TISSUES}
    return found, {
        "network": network,
        **dice,
        "dice_GM_WM": (dice["dice_GM"] + dice["dice_WM"]) / 2,
        "hd95_mm_GM": scores["GM"]["hd95_mm"],
        "seconds": seconds,
        "start_up_s": start_up,
        "peak_mb": memory,
    }


def network_for(brain, method):
    """Return the network that never saw a brain, or nothing for a method without one."""
    return STRANGERS[brain] if method == "patchseg" else ""


def measure(brain, method):
    """Do one job: its row, and of patchseg a picture."""
    found, row = segmented(brain, method, network_for(brain, method))
    if method == "patchseg":
        one = load(brain)
        said = ", ".join(f"{tissue} {row[f'dice_{tissue}']:.3f}" for tissue in reversed(TISSUES))
        title = f"{brain}, never seen in training: Dice {said} inside the labelled voxels"
        shown = figures.compared(one.normalised(TOP), one.labels, found, one.voxel_mm, title)
        figures.save(shown, OUT / f"{brain}.png")
    return [row]


def key(brain, method):
    """Return the fingerprint of a row; seconds belong to a computer."""
    networks = [name] if (name := network_for(brain, method)) else []
    return common.key(
        segmented,
        METHODS[method],
        settings=[networks, runtime.computing(), versions(*LIBRARY[method])],
        brain_names=[brain],
        networks=networks,
    )


def one_process_each(do, jobs):
    """Do each job in a new process, as `map`."""
    for job in jobs:
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            yield alone.apply(do, (job,))


def check_strangers():
    """Raise SystemExit if a network was trained on the brain that it is to be scored on."""
    for name, network in STRANGERS.items():
        seen = set(checkpoint.read_card(weights_of(network))["brains"])
        if seen & {name, zoo.entry(name).same_brain_as}:
            raise SystemExit(f"{name}: network {network} was trained on it; name another one")


def memory_of_a_batch(n):
    """Segment `n` brains of changing sizes in one process; return the memory (MB) after each."""
    import nibabel as nib
    import psutil

    import patchseg

    one = load("macaque-4mo")
    small = one.image[::2, ::2, ::2]
    rows = []
    for number in range(n):
        cut = small[: small.shape[0] - number % 3, :, : small.shape[2] - number % 5]
        patchseg.segment(nib.Nifti1Image(cut, one.affine), scales=(0.5,), extract="never")
        rows.append((number + 1, psutil.Process().memory_info().rss / 2**20))
    return pd.DataFrame(rows, columns=["volumes", "memory_mb"])


def plot_memory(table):
    """Plot resident memory over the volumes of a batch."""
    figure = figures.Picture(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(table.volumes, table.memory_mb, color="#0072B2")
    axes.set(
        xlabel="volumes segmented in one process",
        ylabel="resident memory (MB)",
        ylim=(0, table.memory_mb.max() * 1.15),
    )
    figures.save(figure, OUT / "memory.png")


def report(table):
    """Write two tables for people: Dice; border, seconds and memory."""
    shown = table.round({"seconds": 1, "start_up_s": 1, "peak_mb": 0}).round(3)
    names = ["brain", "method", "network"]
    other = ["hd95_mm_GM", "seconds", "start_up_s", "peak_mb"]
    dice = [*names, *[name for name in shown if name.startswith("dice_")], "key"]
    more = common.markdown([*names[:2], *other], _lines(shown[[*names[:2], *other]]))
    common.write_markdown(OUT / "segmentation.md", dice, _lines(shown[dice]), table, more=more)


def _lines(shown):
    """Return the rows of a table as lists of text, nothing where there is no value."""
    filled = shown.astype(object).where(shown.notna(), "")
    return [[str(value) for value in line] for line in filled.to_numpy()]


def report_memory(count):
    """Segment many volumes in one process and write what memory it held."""
    table = memory_of_a_batch(count)
    files.write_table(table, OUT / "memory.csv")
    plot_memory(table)
    print(table.iloc[[0, 9, -1]].to_string(index=False))


def main():
    """Run what the command line asks for."""
    os.environ.setdefault("PATCHSEG_PROGRESS", "off")
    parser = common.parser(__doc__)
    parser.add_argument("--brains", nargs="*", default=list(STRANGERS), help="default: all")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help="default: all")
    parser.add_argument(
        "--batch",
        type=int,
        default=0,
        help="also segment this many volumes in one process and plot the memory",
    )
    given = parser.parse_args()
    check_strangers()
    table = common.complete(
        OUT / "segmentation.csv",
        [{"brain": name, "method": method} for name in STRANGERS for method in METHODS],
        key,
        measure,
        given.report,
        run=one_process_each,
        wanted=lambda job: job["brain"] in given.brains and job["method"] in given.methods,
    )
    report(table)
    if given.batch:
        report_memory(given.batch)


if __name__ == "__main__":
    main()
