"""How time and memory of preprocessing grow with the number of subjects.

    python benchmarks/subjects.py [--subjects 50 200 1000] [--jobs 1] [--work DIR]

The subjects are one: the MNI template that nilearn carries, every third voxel of it, under many
names (hard links). Each number of subjects runs in a process of its own, whose memory counts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from patchseg import preprocess
from patchseg.core.memory import peak_memory_mb
from patchseg.datasets import bids, sample
from patchseg.params import Preprocess
from patchseg.scoring import rows

STEP = 3
"""Of the template's voxels along each axis, one of so many is kept."""
SETTINGS = {
    **{"top": 99, "axes": ["sagittal", "coronal", "axial"], "every": 1, "slice_size": 64},
    **{"patch_size": 32, "square": False, "keep_empty": 0.1, "seed": 0},
}


def make(folder, count):
    """Write a BIDS dataset of so many subjects (3 or more), which share their files."""
    t1w, maps, affine = sample.template()
    first, cut = "sub-00001", (slice(None, None, STEP),) * 3
    affine = affine.copy()
    affine[:3, :3] *= STEP
    bids.write_image(folder, first, "T1w", t1w[cut], affine)
    for tissue, share in maps.items():
        bids.write_labels(folder, first, f"label-{tissue}_probseg", share[cut], affine, 1 / 255)
    files = [path for path in folder.rglob("*.nii.gz") if first in path.name]
    names = [f"sub-{number:05d}" for number in range(1, count + 1)]
    for name in names[1:]:
        for path in files:
            copy = folder / str(path.relative_to(folder)).replace(first, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
    about = {"Name": "one template under many names"}
    splits = ["train", "val", "test"] + ["train"] * (count - 3)
    people = [(name, "homo sapiens", split) for name, split in zip(names, splits, strict=True)]
    bids.describe(folder, about, about, people)


def measure(work, count, jobs):
    """Preprocess so many subjects in this process; return what that took."""
    dataset, shards = work / "dataset", work / "shards"
    make(dataset, count)
    start, busy = time.perf_counter(), _busy()
    paths = preprocess.preprocess(dataset, shards, Preprocess(**SETTINGS, jobs=jobs))
    return {
        "subjects": len(paths),
        "clock_s": time.perf_counter() - start,
        "busy_s": _busy() - busy,
        "peak_mb": peak_memory_mb(),
        "shards_mb": sum(path.stat().st_size for path in paths) / 1e6,
    }


def _busy():
    """Return the seconds of the processor that this process and its children have taken."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def apart(count, jobs, work):
    """Let another process measure."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        words = ["--subjects", str(count), "--jobs", str(jobs), "--work", folder, "--here"]
        command = [sys.executable, __file__, *words]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    """Measure each number of subjects and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--subjects", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", type=Path, help="a folder on a disc with room (1 MB a subject)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.work, given.subjects[0], given.jobs)))
        return
    print(f"{rows.machine()}; {given.jobs} jobs", flush=True)
    print("subjects  seconds  of the processor  of it a subject  peak of memory (MB)  shards (MB)")
    for count in given.subjects:
        one = apart(count, given.jobs, given.work)
        print(
            f"{count:8d}  {one['clock_s']:7.1f}  {one['busy_s']:16.1f}"
            f"  {one['busy_s'] / count:15.3f}  {one['peak_mb']:19.0f}  {one['shards_mb']:11.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
