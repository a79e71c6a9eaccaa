import json
import os
import random
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest

from patchseg.core import memory, runtime
from patchseg.core.errors import InputError


def test_computing_tells_what_computes_and_loads_no_tensorflow():
    code = (
        "import json, sys\n"
        "from patchseg.core import runtime\n"
        "print(json.dumps([runtime.computing('float32'), 'tensorflow' in sys.modules]))"
    )
    told, loaded = json.loads(
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": "3"},
        ).stdout
    )
    assert not loaded
    assert told["processor"] and (told["threads"], told["precision"]) == (3, "float32")
    assert told["libraries"]["numpy"] == np.__version__
    assert {"python", "tensorflow", "keras"} <= set(told["libraries"])


def test_auto_precision_is_what_the_processor_computes_with(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "_CPUINFO", tmp_path / "cpuinfo")
    assert runtime.precision("auto") == "float32"
    (tmp_path / "cpuinfo").write_text("model name : Some CPU\nflags : fpu avx512_bf16\n")
    assert runtime.precision("auto") == "mixed_bfloat16"
    assert runtime.precision("float32") == "float32"
    assert runtime.computing()["processor"].startswith("Some CPU")
    with pytest.raises(InputError, match="precision 'half' is unknown; use auto, float32"):
        runtime.precision("half")


@pytest.mark.parametrize(
    ("version", "line", "files"),
    [
        (1, "4:memory:/job", {"memory.limit_in_bytes": 1000, "memory.usage_in_bytes": 700}),
        (2, "0::/job", {"memory.max": 1000, "memory.current": 700}),
    ],
)
def test_free_memory_respects_the_limit_of_a_control_group(tmp_path, version, line, files):
    """Of 1000 bytes 700 are taken, 200 of which are cached files that can be dropped: 500 left."""
    folder = tmp_path / ("memory" if version == 1 else "") / "job"
    folder.mkdir(parents=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")
    dropped = "total_inactive_file" if version == 1 else "inactive_file"
    (folder / "memory.stat").write_text(f"cache 300\n{dropped} 200\n")
    (tmp_path / "own").write_text(f"9:name=systemd:/\n{line}\n")
    assert memory.free_memory(tmp_path, tmp_path / "own") == 500
    (folder / "memory.stat").write_text(f"cache 300\n{dropped} 0\n")
    assert memory.free_memory(tmp_path, tmp_path / "own") == 300


def test_free_memory_takes_the_narrowest_group_and_knows_no_limit(tmp_path):
    for name, limit in (("", "max"), ("outer", "900"), ("outer/inner", "max")):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("100")
        (folder / "memory.stat").write_text("inactive_file 0\n")
    (tmp_path / "own").write_text("0::/outer/inner\n")
    assert memory.free_memory(tmp_path, tmp_path / "own") == 800
    (tmp_path / "own").write_text("0::/elsewhere\n")
    free = memory.free_memory(tmp_path, tmp_path / "own")
    assert free == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_deterministic_leaves_the_generators_as_they_were():
    import tensorflow as tf
    from tensorflow.python.eager import context
    from tensorflow.python.framework import config

    def states():
        generator = np.random.get_state()
        return (
            random.getstate(),
            (generator[0], generator[1].tolist(), *generator[2:]),
            context.global_seed(),
            config.is_op_determinism_enabled(),
        )

    tf.random.set_seed(7)
    before = states()
    with pytest.raises(KeyboardInterrupt), runtime.deterministic(1):
        inside = random.random(), float(np.random.rand()), float(tf.random.uniform([]))
        assert config.is_op_determinism_enabled()
        raise KeyboardInterrupt
    assert states() == before
    with runtime.deterministic(1):
        again = random.random(), float(np.random.rand()), float(tf.random.uniform([]))
    assert again == inside and states() == before


def test_quiet_drops_what_libraries_say_and_lets_errors_through(capfd):
    with pytest.raises(ValueError, match="real"), runtime.quiet():
        os.write(2, b"greeting")
        raise ValueError("real")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_two_threads_that_are_quiet_at_once_give_standard_error_back(capfd):
    """The first one leaves while the second one is still inside."""
    inside, leave = threading.Event(), threading.Event()

    def second():
        with runtime.quiet():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=second)
    with runtime.quiet():
        other.start()
        inside.wait(10)
    os.write(2, b"still dropped")
    leave.set()
    other.join()
    os.write(2, b"back")
    assert capfd.readouterr().err == "back"


def test_threads_that_tensorflow_cannot_take_any_more_are_refused():
    """In a process of its own: TensorFlow keeps its number for good."""
    code = (
        "import cv2, tensorflow as tf\n"
        "from patchseg.core import runtime\n"
        "from patchseg.core.errors import InputError\n"
        "before = cv2.getNumThreads()\n"
        "with runtime.at_most(1):\n"
        "    tf.zeros(3) + 1\n"
        "    assert (cv2.getNumThreads(), runtime.threads()) == (1, 1)\n"
        "assert cv2.getNumThreads() == before\n"
        "with runtime.at_most(1):\n"
        "    pass\n"
        "try:\n"
        "    with runtime.at_most(5):\n"
        "        pass\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("threads 5: TensorFlow runs in this process with 1 already"), (
        done.stderr
    )
    with pytest.raises(InputError, match="threads 0: at least one"), runtime.at_most(0):
        pass
