"""Seconds and memory of `patchseg segment` on many images: the first, each further one, its report.

    python benchmarks/batch.py           # five minutes on two cores
    python benchmarks/batch.py --avx2    # as an older processor, as far as libraries allow
    python benchmarks/batch.py --report  # the table only

The command as a user runs it, in a process of its own: one brain of a person; six more of them
without reports; six more with reports. Each is done twice, and the faster one counts, because a
machine is seldom alone for long. What each further image takes is a sixth of the difference.
The clock tells only on a machine that does nothing else; seconds of the processor are of all
threads. Needs PATCHSEG_ZOO. Writes artefacts/zoo/batch.csv and batch.md.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import common
import nibabel as nib
from commands import OLDER, command
from common import ARTEFACTS, as_given, load

from patchseg import checkpoint

OUT = ARTEFACTS / "zoo"
BRAIN = "human-nii2mesh"
MORE = 6
RUNS = {"first": (1, True), "plain": (1, False), "more, plain": (1 + MORE, False)}
RUNS |= {"more": (1 + MORE, True)}
"""How many images a command segments, and whether it makes reports."""
TIMES = 2


def measure(brain, older):
    """Run the commands one after the other: a row a command."""
    rows = []
    with TemporaryDirectory() as folder:
        folder, image = Path(folder), as_given(load(brain))[0]
        for number in range(1 + MORE):
            nib.save(image, folder / f"sub-{number}_T1w.nii")
        for run, (count, reports) in RUNS.items():
            words = ["segment", *sorted(folder.glob("sub-*_T1w.nii"))[:count]]
            words += ["--out", folder / run, "--extract", "never", "--overwrite"]
            words += [] if reports else ["--no-report"]
            took = [command(*words, older=older) for _ in range(TIMES)]
            clock, used, _ = min(took)
            row = {"run": run, "images": count, "reports": reports, "seconds": round(clock, 2)}
            rows.append(row | {"processor": round(used, 2), "peak_mb": max(one[2] for one in took)})
            print(rows[-1], flush=True)
    return rows


def key(brain, older):
    """Return the fingerprint of the rows."""
    settings = [checkpoint.use(checkpoint.SHIPPED), OLDER if older else None]
    return common.key(measure, "patchseg.inference.batch", settings=settings, brain_names=[brain])


def report(table):
    """Write the table: a line for each processor."""
    lines = []
    for older, own in table.groupby("older", sort=False):
        by = own.set_index("run")[["seconds", "processor"]]

        def said(first, second, share, by=by):
            apart = (by.loc[second] - by.loc[first]) / share
            return f"{apart.seconds:.1f} ({apart.processor:.1f})"

        lines.append(
            [
                "AVX2" if older else "as it is",
                f"{by.seconds['first']:.1f} ({by.processor['first']:.1f})",
                said("first", "more", MORE),
                said("plain", "more, plain", MORE),
                said("more, plain", "more", 1 + MORE),
                f"{own.peak_mb.max():,.0f} MB",
                ", ".join(sorted(set(own.key))),
            ]
        )
    head = ["processor", "the first", "each further one", "without report", "a report"]
    common.write_markdown(OUT / "batch.md", [*head, "memory at most", "key"], lines, table)


def main():
    """Do what is missing or stale, then write the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--avx2", action="store_true", help="as on a processor without AVX-512")
    given = parser.parse_args()
    jobs = [{"brain": BRAIN, "older": given.avx2}]
    common.publish(OUT / "batch.csv", jobs, key, measure, report, given.report)


if __name__ == "__main__":
    main()
