"""How this process computes: processor, threads, precision, memory, seeds, standard error.

TensorFlow is loaded only by what needs it.
"""

import os
import platform
import random
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from threading import Lock

import numpy as np

from patchseg.core.errors import InputError

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
LIBRARIES = ("tensorflow", "keras", "numpy", "nibabel", "opencv-python-headless", "scipy")
"""Those whose version can change a result."""
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
_CPUINFO = Path("/proc/cpuinfo")


def computing(wanted="auto"):
    """Say what computes here, for keys and records.

    TensorFlow is not loaded for it. Where it is loaded already and has a graphics processor, this
    one is named, too.

    Parameters
    ----------
    wanted : str
        See `precision`.

    Returns
    -------
    what : dict
        `processor` (str), `threads` (int), `precision` (str) and `libraries` (dict of versions,
        Python's included).
    """
    return {
        "processor": _processor(),
        "threads": threads(),
        "precision": precision(wanted),
        "libraries": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in LIBRARIES},
    }


def _processor():
    names = [
        line.partition(":")[2].strip()
        for line in (_CPUINFO.read_text().splitlines() if _CPUINFO.exists() else [])
        if line.startswith("model name")
    ]
    found = [names[0] if names else platform.processor() or platform.machine()]
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        found += [
            tf.config.experimental.get_device_details(one).get("device_name", "GPU")
            for one in tf.config.list_physical_devices("GPU")
        ]
    return ", ".join(found)


def threads():
    """Return how many threads one TensorFlow operation may take in this process."""
    told = 0
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        told = tf.config.threading.get_intra_op_parallelism_threads()
    return told or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or _cores()


def _cores():
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def precision(wanted="auto"):
    """Return Keras's name of a precision.

    Parameters
    ----------
    wanted : {'auto', 'float32', 'mixed_bfloat16'}
        'auto' is mixed_bfloat16 where the processor computes with it, else float32.

    Raises
    ------
    InputError
        If it is unknown.
    """
    if wanted not in PRECISIONS:
        raise InputError(f"precision '{wanted}' is unknown; use {', '.join(PRECISIONS)}")
    if wanted != "auto":
        return wanted
    flags = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


@contextmanager
def computing_in(wanted):
    """Let networks that are built meanwhile compute in a precision (see `precision`).

    Their weights are float32 in any precision.
    """
    import keras

    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(precision(wanted))
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def set_threads(count):
    """Let this process, and those it starts, compute on so many threads.

    For a command, which owns its process: environment variables are set, which TensorFlow and the
    linear algebra below NumPy read when they are loaded.
    """
    os.environ.update(dict.fromkeys(_THREADS, str(count)))


@contextmanager
def at_most(count):
    """Compute on so many threads meanwhile; None leaves it to the libraries.

    Parameters
    ----------
    count : int or None

    Raises
    ------
    InputError
        If it is no positive number, or TensorFlow runs in this process with another number: it
        takes the number when it starts and keeps it until the process ends.
    """
    if count is None:
        yield
        return
    if count < 1:
        raise InputError(f"threads {count}: at least one is needed; leave it away for all cores")
    import cv2
    import tensorflow as tf
    from threadpoolctl import threadpool_limits

    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:  # it runs already
        if threads() != count:
            raise InputError(
                f"threads {count}: TensorFlow runs in this process with {threads()} already and"
                " keeps them; give the number before anything is computed, or set"
                " TF_NUM_INTRAOP_THREADS before Python starts"
            ) from error
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def keeping_generators():
    """Give the global generators of Python and NumPy their states back afterwards.

    Keras draws the seeds of new layers from Python's, even where their weights are then read from
    a file.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def deterministic(seed):
    """Seed all global generators meanwhile, and let TensorFlow give the same result each time.

    Afterwards the generators of Python and NumPy go on where they were; TensorFlow's begins anew
    from the seed that it had.
    """
    with keeping_generators(), _deterministic_tensorflow(seed):
        random.seed(seed)
        np.random.seed(seed)
        yield


@contextmanager
def _deterministic_tensorflow(seed):
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf
    from tensorflow.python.eager import context
    from tensorflow.python.framework import config  # the way back is not public

    before, already = context.global_seed(), config.is_op_determinism_enabled()
    tf.random.set_seed(seed)
    config.enable_op_determinism()
    try:
        yield
    finally:
        tf.random.set_seed(before)
        if not already:
            config.disable_op_determinism()


class _Quiet:
    """Standard error, dropped as long as somebody wants it dropped; two may overlap in threads."""

    def __init__(self):
        self.lock, self.wanted, self.saved = Lock(), 0, None

    def __enter__(self):
        with self.lock:
            if not self.wanted:
                sys.stderr.flush()
                self.saved = os.dup(2)
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)
            self.wanted += 1

    def __exit__(self, *_):
        with self.lock:
            self.wanted -= 1
            if not self.wanted:
                sys.stderr.flush()
                os.dup2(self.saved, 2)
                os.close(self.saved)


_QUIET = _Quiet()


def start_quietly():
    """Load TensorFlow and let it find its devices, without the greeting on standard error.

    For a command or a notebook, which owns its process: standard error is turned away meanwhile.
    """
    with quiet():
        import tensorflow as tf

        tf.config.list_logical_devices()
        tf.get_logger().setLevel("ERROR")  # nor its advice on tracing, when much is learned


def quiet():
    """Drop what is written to standard error meanwhile, by compiled libraries, too.

    For a command, which owns its process. Exceptions are still raised.
    """
    return _QUIET
