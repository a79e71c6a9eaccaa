"""The running command for `faults.py`: killed, stopped, twice at once, without space, odd names.

Each run is a process that is forked from this one, where the command's libraries are loaded already
but TensorFlow does not run: it calls `patchseg.cli.main`, as the command does.
"""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from patchseg.core import runtime
from patchseg.core.files import PARTIAL

LIMIT_S = 300  # on a busy machine
RUN = ("command", "seconds", "peak_memory_mb")
NAMES = [
    "<img src=x onerror=alert(1)>",
    "a\"b'c&amp;d",
    "=1+1",
    "$(touch ran)`touch ran`;touch ran",
    "-rf",
    "{folder}{stem}",
    "%s%n..",
    "großes Hirn \u65e5\u672c",
    "x" * 220,
    "x" * 248,
    "x." * 124,
]
UNPRINTABLE = ["two\nlines", "a\ttab", "turned\u202eround", "byte\udcff", "bell\x07"]


@dataclass
class Bench:
    """Where it happens: small images, weights of a small network, and what the command is told."""

    folder: Path
    weights: Path

    @property
    def one(self):
        """The first image, in a list."""
        return [self.folder / "a.nii.gz"]

    def words(self, out, *more, images=None):
        """Return the words of a command for both images, or others."""
        images = images or [self.folder / "a.nii.gz", self.folder / "b.nii.gz"]
        own = ["--weights", self.weights, "--extract", "never", "--threads", "1"]
        return ["segment", *images, "--out", out, *own, *more]


def prepare(folder):
    """Make two small images and weights of a small network, in a process of its own."""
    code = """
import sys
from pathlib import Path
import nibabel as nib, numpy as np
from patchseg import checkpoint, unet
folder = Path(sys.argv[1])
made = {"kind": "unet", "levels": 2, "features": 2, "blocks": 1, "activation": "softmax"}
checkpoint.save(unet.build(**made), made, folder / "small.weights.h5", brain_pixels=32)
radius = np.sqrt(sum(a**2 for a in np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij")))
for name, low in (("a", 30), ("b", 40)):
    data = np.select([radius < 0.45, radius < 0.7, radius < 0.9], [90, 60, low], 0)
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.eye(4)), folder / f"{name}.nii.gz")
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, stderr=subprocess.DEVNULL)
    load()
    return Bench(folder, folder / "small.weights.h5")


def load():
    """Load what the command loads, before it is forked; no thread of TensorFlow runs after it."""
    with runtime.quiet():
        import nbconvert  # noqa: F401
        import papermill  # noqa: F401
        import tensorflow  # noqa: F401

        import patchseg.inference.batch
        import patchseg.unet  # noqa: F401


class Command:
    """A run of the command in a process (group) of its own.

    Parameters
    ----------
    words : list
    log : Path
        Gets standard output and error.
    before : callable, optional
        Called in the process first.
    """

    def __init__(self, words, log, before=None):
        self.log, self.started = log, time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(words, before)
        self.process, self.code = psutil.Process(self.pid), None

    def _become(self, words, before):
        code = 70
        try:
            os.setsid()
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1), os.dup2(handle, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.argv = ["patchseg", *map(str, words)]
            if before:
                before()
            from patchseg.cli import main

            main.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)

    def over(self):
        """Whether it has ended."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code is not None

    def wait(self, until=lambda: False, limit_s=LIMIT_S):
        """Wait for the end, or for something; return whether it has ended. Too long is an end."""
        while not self.over() and not until():
            if time.monotonic() - self.started > limit_s:
                self.kill()
                self.code = "hung"
            time.sleep(0.002)
        return self.over()

    def wait_s(self, seconds):
        """Wait for some seconds of its life, or its end; return whether it has ended."""
        return self.wait(lambda: time.monotonic() - self.started > seconds)

    def children(self, word=""):
        """Return the processes below it whose command holds a word."""
        found = []
        for one in self.process.children(recursive=True) if not self.over() else []:
            try:
                found += [one] if word in " ".join(one.cmdline()) else []
            except psutil.Error:
                continue
        return found

    def kill(self):
        """End it and all below it at once, without a chance to clean up (kill -9)."""
        for one in [*self.children(), self.process]:
            try:
                one.kill()
            except psutil.Error:
                continue
        if self.code is None:
            os.waitpid(self.pid, 0)
            self.code = -signal.SIGKILL

    def said(self):
        """Return what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def run(bench, words, before=None):
    """Run a command to its end; return it."""
    command = Command(words, bench.folder / "said.txt", before)
    command.wait()
    return command


def contents(out):
    """Return what a folder of results holds, without what differs from run to run."""
    found = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(path.relative_to(out))
        if path.suffix == ".json":
            record = json.loads(path.read_text(encoding="utf-8"))
            for key in RUN:
                record.get("provenance", {}).pop(key, None)
            found[name] = json.dumps(record, sort_keys=True)
        elif path.name == "qc.tsv":
            table = pd.read_csv(path, sep="\t").drop(columns="seconds", errors="ignore")
            found[name] = table.to_csv()
        elif path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            found[name] = text.rstrip().endswith("</html>")
        elif path.parent.name != "log":
            found[name] = path.read_bytes()
    return {name: found[name] for name in found if not name.startswith("log")}


def half_written(out):
    """Return files under final names that are not whole."""
    wrong = []
    for path in (path for path in out.rglob("*") if path.is_file()):
        try:
            if path.name.startswith("."):
                continue
            if path.suffix == ".gz":
                gzip.decompress(path.read_bytes())
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.parent.name != "log":
                assert path.stat().st_size
        except Exception:
            wrong.append(path.name)
    return wrong


def faults_of(bench, words, out, expected, before=None):
    """Run a command again after a fault; say what is wrong with the results, '' if nothing."""
    torn = half_written(out) if out.is_dir() else []
    if torn:
        return f"half-written {torn}"
    again = run(bench, words, before)
    if again.code != 0:
        return f"exit {again.code} when run again: {again.said()[-300:]}"
    now = contents(out)
    differ = sorted(
        name for name in now.keys() | expected.keys() if now.get(name) != expected.get(name)
    )
    return f"differs in {differ}" if differ else ""


def table(what, faults):
    """Return the row of a part: what was done, how often, what came of it, faults."""
    wrong = [fault for fault in faults if fault]
    said = "as undisturbed" if not wrong else "; ".join(sorted(set(wrong)))[:600]
    return [(what, len(faults), said, len(wrong))]


def kill_command(bench, seed, count):
    """Kill -9 of the command: at a random time, or when a random number of files has been there."""
    draw, out = np.random.default_rng([seed, 1]), bench.folder / "kill"
    words = bench.words(out, "--no-report")
    seconds, expected, faults = undisturbed(bench, words, out)
    for number in range(count):
        shutil.rmtree(out)
        some, late = int(draw.integers(1, 2 * len(expected))), draw.uniform(0, seconds)
        command, seen = Command(words, bench.folder / "said.txt"), set()
        if number % 2:
            command.wait_s(late)
        else:
            command.wait(lambda seen=seen, some=some: _seen(out, seen) >= some)
        command.kill()
        faults.append(faults_of(bench, words, out, expected))
    shutil.rmtree(out)
    return table("kill -9 of the command, then the same command", faults)


def undisturbed(bench, words, out):
    """Run a command; return how long it took (s), what it made, and an empty list for faults."""
    command = run(bench, words)
    if command.code != 0:
        raise RuntimeError(f"exit {command.code}: {command.said()}")
    return time.monotonic() - command.started, contents(out), []


def _seen(out, seen):
    """Return how many names have been in a folder, temporary ones included."""
    seen.update(entry.name for entry in os.scandir(out)) if out.is_dir() else None
    return len(seen)


def kill_child(bench, seed, count, word, *more):
    """Kill -9 of a worker (`joblib`) or of the report's kernel (`ipykernel`) at random moments."""
    draw, out = np.random.default_rng([seed, 2]), bench.folder / "child"
    words = bench.words(out, *more)
    seconds, expected, faults = undisturbed(bench, words, out)
    for _ in range(count):
        shutil.rmtree(out)
        command, said = Command(words, bench.folder / "said.txt"), ""
        command.wait(lambda c=command: c.children(word))
        command.wait_s(time.monotonic() - command.started + draw.uniform(0, seconds / 3))
        for child in command.children(word)[:1]:
            child.kill()
        command.wait()
        if command.code not in (0, 1) or "Traceback" in command.said():
            said = f"exit {command.code}: {command.said()[-300:]}"
        faults.append(said or faults_of(bench, words, out, expected))
    shutil.rmtree(out)
    return table(
        f"kill -9 of a {'worker' if 'joblib' in word else 'report'}, then the same command", faults
    )


def stop(bench, seed, count, sent):
    """SIGTERM or SIGINT at random times: exit 130, nothing left, no process left."""
    draw, out = np.random.default_rng([seed, int(sent)]), bench.folder / "stop"
    words = bench.words(out, images=bench.one)
    seconds, expected, faults = undisturbed(bench, words, out)
    for _ in range(count):
        shutil.rmtree(out, ignore_errors=True)
        command, said = Command(words, bench.folder / "said.txt"), ""
        if not command.wait_s(draw.uniform(0.1, 0.9) * seconds):
            below = command.children()
            command.process.send_signal(sent)
            command.wait(limit_s=time.monotonic() - command.started + 30)
            psutil.wait_procs(below, 10)
            left = [path.name for path in out.rglob(f"{PARTIAL}*")]
            if command.code != 130 or "Traceback" in command.said():
                said = f"exit {command.code}: {command.said()[-400:]}"
            elif left or any(one.is_running() for one in below):
                said = f"left: {left}, {sum(one.is_running() for one in below)} processes"
        faults.append(said or faults_of(bench, words, out, expected))
    shutil.rmtree(out, ignore_errors=True)
    return table(f"{sent.name} at a random moment, then the same command", faults)


def twice(bench, seed, count):
    """Two identical commands into one folder at once, the second a little later."""
    draw, out = np.random.default_rng([seed, 3]), bench.folder / "twice"
    words = bench.words(out, "--no-report")
    seconds, expected, faults = undisturbed(bench, words, out)
    for number in range(count):
        shutil.rmtree(out)
        first = Command(words, bench.folder / "first.txt")
        first.wait_s(number and draw.uniform(0, seconds))
        second = Command(words, bench.folder / "second.txt")
        first.wait(), second.wait()
        said = "".join(
            f"exit {one.code}: {one.said()[-300:]}" for one in (first, second) if one.code != 0
        )
        faults.append(said or faults_of(bench, words, out, expected))
    shutil.rmtree(out)
    return table("two identical commands into one folder", faults)


def _backwards():
    real, calls = time.time, iter(range(10**9))
    time.time = lambda: real() - 3600 * next(calls)


def clock(bench, seed, count):
    """The clock goes back an hour whenever it is read, and the files are of tomorrow."""
    out, faults = bench.folder / "clock", []
    words = bench.words(out, "--no-report", images=bench.one)
    run(bench, words)
    expected = contents(out)
    for number in range(count):
        if number % 2 == 0:
            shutil.rmtree(out)
        else:
            for path in out.rglob("*"):
                os.utime(path, (time.time() + 86400 * (1 + seed),) * 2)
        faults.append(faults_of(bench, words, out, expected, _backwards))
    shutil.rmtree(out)
    return table("clock going back, results of tomorrow", faults)


@contextmanager
def small_disc(place):
    """Mount a disc in memory; yield what sets its size (bytes) and whether it is read-only."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=True)

    def remount(options):
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def disc(bench, seed, count):
    """A disc that is full at a random byte, or read-only, then free again."""
    if os.geteuid() != 0:
        return [("full and read-only disc", 0, "left out: needs root", 0)]
    draw, faults = np.random.default_rng([seed, 4]), []
    with small_disc(bench.folder / "disc") as remount:
        out = bench.folder / "disc" / "out"
        words = bench.words(out, images=bench.one)
        run(bench, words)
        expected = contents(out)
        need = 4096 * sum(-(-path.stat().st_size // 4096) for path in out.rglob("*"))
        for number in range(count):
            shutil.rmtree(out)
            read_only = number % 5 == 4
            remount(
                "ro" if read_only else f"size={4096 * (2 + int(draw.integers(0, need // 4096)))}"
            )
            command, said = run(bench, words), ""
            remount("rw,size=64m")
            left = [path.name for path in out.rglob(f"{PARTIAL}*")]
            if command.code not in (1, 2) or "Traceback" in command.said() or left:
                said = f"exit {command.code}, left {left}: {command.said()[-400:]}"
            elif not re.search("No space|Read-only", command.said()):
                said = f"not said: {command.said()[-300:]}"
            faults.append(said or faults_of(bench, words, out, expected))
    return table("full disc (one in five: read-only), then the same command", faults)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, *[name for name, _ in attributes if name.startswith("on")]))


def names(bench, seed, count):
    """Images of hostile names: each has a result or is refused, and no page or table breaks."""
    folder, out = bench.folder / "names", bench.folder / "named"
    folder.mkdir()
    os.chdir(folder)
    faults = [_unprintable(bench, folder / f"{name}.nii.gz", out) for name in UNPRINTABLE]
    for name in NAMES:
        shutil.copy(bench.one[0], folder / f"{name}.nii.gz")
    command = run(bench, bench.words(out, "--no-report", images=[folder]))
    os.chdir(bench.folder)
    done = len(list(out.glob("*_dseg.json")))
    faults += ["" if command.code in (0, 1) else f"exit {command.code}: {command.said()[-300:]}"]
    faults += [_page(out), _listed(out)]
    faults += ["a name was run" if list(bench.folder.rglob("ran")) else ""]
    odd = re.search(".*(Traceback|please report).*", command.said())
    faults += [odd[0] if odd else ""]
    what = (
        f"hostile names of images: {done} segmented, {len(NAMES) + len(UNPRINTABLE) - done} refused"
    )
    return table(what, faults)


def _unprintable(bench, path, out):
    """Try an image whose name cannot be printed: it is refused in one line."""
    shutil.copy(bench.one[0], path)
    command = run(bench, bench.words(out, images=[path]))
    path.unlink()
    lines = command.said().strip().splitlines()
    return "" if command.code == 2 and len(lines) == 1 else f"{path.name!a}: {lines}"


def _page(out):
    if not (out / "index.html").is_file():
        return "no index.html"
    page = _Tags()
    page.feed((out / "index.html").read_text(encoding="utf-8"))
    odd = [tag for tag in page.found if tag[0] == "img" or len(tag) > 1]
    rows = sum(tag[0] == "tr" for tag in page.found) - 1
    return "" if not odd and rows == len(NAMES) else f"index.html: {rows} rows, {odd}"


def _listed(out):
    if not (out / "qc.tsv").is_file():
        return "no qc.tsv"
    found = pd.read_csv(out / "qc.tsv", sep="\t", dtype=str, keep_default_na=False)
    return "" if sorted(found.image) == sorted(NAMES) else f"qc.tsv: {sorted(found.image)}"
