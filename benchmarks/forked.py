"""The command as a process that is forked from this one, for `faults.py`.

Its libraries are loaded here already, but TensorFlow does not run: it calls `patchseg.cli.main`, as
the command does.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from patchseg.core import runtime

LIMIT_S = 300  # on a busy machine


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
        import tensorflow  # noqa: F401

        import patchseg.inference.batch
        import patchseg.inference.cells
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
