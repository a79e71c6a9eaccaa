"""Runs patchseg as a user does, and as on an older processor.

python benchmarks/commands.py FILE WORD...   # runs WORD..., writes what it took to FILE (JSON)
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OLDER = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
    " AVX512_SPR",
}
"""Environment in which oneDNN and NumPy leave out what processors without AVX-512 do not have."""


def command(*words, older=False):
    """Run patchseg in a process of its own.

    Parameters
    ----------
    *words : object
        Of the command line.
    older : bool
        As a processor without AVX-512, which has no bfloat16 either.

    Returns
    -------
    clock, used : float
        Seconds by the clock; of the processor, all threads and processes below included.
    peak_mb : int
        Most memory (MiB) of the largest of these processes.

    Raises
    ------
    RuntimeError
        With what it said, if it failed.
    """
    words = [*map(str, words), *(["--precision", "float32"] if older else [])]
    how = {"PATCHSEG_PROGRESS": "off", "TF_CPP_MIN_LOG_LEVEL": "3"} | (OLDER if older else {})
    with tempfile.TemporaryDirectory() as folder:
        took = Path(folder) / "took.json"
        done = subprocess.run(
            [sys.executable, __file__, took, sys.executable, "-m", "patchseg", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | how,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout[-2000:]}")
        return tuple(json.loads(took.read_text()).values())


def main():
    """Run a command and write what it took.

    That is done by a process of its own, because Linux counts what a process held when it started
    another one as memory of that, too: this one is small.
    """
    took, *words = sys.argv[1:]
    began = time.monotonic()
    process = subprocess.Popen(words)
    _, status, used = os.wait4(process.pid, 0)
    clock = time.monotonic() - began
    known = {"clock": clock, "used": used.ru_utime + used.ru_stime}
    Path(took).write_text(json.dumps(known | {"peak_mb": used.ru_maxrss // 1024}))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
