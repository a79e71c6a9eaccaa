"""Runs patchseg as a user does, and as on an older processor."""

import os
import subprocess
import sys
import tempfile
import time

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
        Most memory (MiB) of the largest of these processes; not less than this one holds, which
        Linux counts for the process that it starts.

    Raises
    ------
    RuntimeError
        With what it said, if it failed.
    """
    words = [*map(str, words), *(["--precision", "float32"] if older else [])]
    how = {"PATCHSEG_PROGRESS": "off", "TF_CPP_MIN_LOG_LEVEL": "3"} | (OLDER if older else {})
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "patchseg", *words],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | how,
        )
        _, status, took = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        clock = time.monotonic() - began
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(words)}: {said.read().decode()[-2000:]}")
    return clock, took.ru_utime + took.ru_stime, took.ru_maxrss // 1024
