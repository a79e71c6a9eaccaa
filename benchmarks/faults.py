"""Faults and attacks: damaged files, kills, a full disc, odd names. Prints a table.

    python benchmarks/faults.py                 # all, some minutes on two free cores
    python benchmarks/faults.py reader weights  # some parts
    python benchmarks/faults.py --short         # a few of each

A fault is: a traceback, an answer that is wrong, more than 20 s or 2 GB for a file, results that
differ from those of an undisturbed run, anything half-written or left. The exit code is 1 if there
is one. Parts that need a small disc are left out unless it runs as root.
"""

import argparse
import ast
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import fault_files
import fault_names
import fault_runs
import forked

from patchseg import __version__

COUNTS = {
    "reader": (10_000, 500),
    "weights": (200, 20),
    "command": (30, 2),
    "worker": (10, 1),
    "report": (10, 1),
    "stop": (5, 1),
    "twice": (5, 1),
    "disc": (10, 2),
    "clock": (4, 2),
    "names": (1, 1),
}
"""How often, and in the short campaign."""


def rows(part, bench, seed, count):
    """Do one part of the campaign; return rows (what, how often, what came of it, faults)."""
    if part == "reader":
        return fault_files.reader(seed, count)
    if part == "weights":
        return _in_own_process(bench.weights, seed, count)
    if part == "report":
        return fault_runs.kill_command(bench, seed, count, report=True)
    if part == "stop":
        return [
            row
            for sent in (signal.SIGTERM, signal.SIGINT)
            for row in fault_runs.stop(bench, seed, count, sent)
        ]
    done = {"command": fault_runs.kill_command, "twice": fault_runs.twice, "disc": fault_runs.disc}
    done |= {"worker": fault_runs.kill_worker, "clock": fault_runs.clock}
    done |= {"names": fault_names.names}
    return done[part](bench, seed, count)


def _in_own_process(weights, seed, count):
    """Attack by weights where TensorFlow may start, and memory be limited."""
    code = f"from pathlib import Path; import fault_files as f; path = Path({str(weights)!r});"
    code += f"print(f.weights(path, {seed}, {count}))"
    here = {"cwd": Path(__file__).parent, "env": os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **here)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode:
        return [
            ("damaged and hostile weights and cards", count, f"killed: {done.stderr[-200:]}", 1)
        ]
    return ast.literal_eval(last)


def main():
    """Run the parts that are asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(COUNTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="how often, instead of the usual number")
    parser.add_argument("--short", action="store_true")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(COUNTS)
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(COUNTS)}")
    os.environ["PATCHSEG_PROGRESS"] = "off"
    lines, faults = [], 0
    with tempfile.TemporaryDirectory() as folder:
        bench = forked.prepare(Path(folder))
        for part in asked.parts or COUNTS:
            started = time.monotonic()
            for row in rows(part, bench, asked.seed, asked.count or COUNTS[part][asked.short]):
                lines.append([*map(str, row), f"{time.monotonic() - started:.0f}"])
                faults += row[-1]
                print(*lines[-1], sep=" | ", flush=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"\npatchseg {__version__}, {machine}, seed {asked.seed}\n")
    print(common.markdown(["what", "times", "what came of it", "faults", "seconds"], lines))
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
