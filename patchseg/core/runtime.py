"""How this process computes: seeds, precision, memory, and what compiled libraries print."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import keras


@contextmanager
def stderr_to(path):
    """Send the standard error of this process, and of those it starts, to a file.

    Exceptions still come.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with open(path, "wb") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def quiet():
    """Drop what compiled libraries print on standard error meanwhile.

    TensorFlow greets when it is loaded.
    """
    return stderr_to(os.devnull)


def make_deterministic(seed):
    """Seed Python, NumPy and the backend, and ask TensorFlow for kernels that give the same result
    each time."""
    # Keras numbers its layers per process, and their names go into the weights file
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def precision(wanted):
    """Return Keras's name of a precision.

    'auto' is mixed_bfloat16 where the processor computes with it, else float32.
    """
    if wanted != "auto":
        return wanted
    processor = Path("/proc/cpuinfo")
    flags = processor.read_text() if processor.exists() else ""
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


@contextmanager
def computing_in(wanted):
    """Let networks that are built meanwhile compute in a precision (see `precision`).

    Their weights are float32 in any.
    """
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(precision(wanted))
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def peak_memory_mb():
    """Return the largest memory (MB) that this process has held since it started, or None where the
    system does not tell."""
    if os.name != "posix":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
