"""How many patches a second train here, and how many the loader gives.

    python benchmarks/training_speed.py

With and without oneDNN's kernels, in float32 and in mixed_bfloat16.
Each setting runs in a process of its own, because TensorFlow reads the switch when it is first
imported.
"""

import json
import os
import subprocess
import sys
import time

BATCHES = 40


def measure():
    """Train on random patches; print patches a second, trained and loaded, as JSON."""
    import numpy as np
    from common import SETTINGS

    from patchseg import params
    from patchseg.training import batches, loop

    settings = params.load(SETTINGS).train.model_copy(update={"precision": sys.argv[1]})
    network = loop.compiled(loop.architecture_of(settings), settings)
    rng = np.random.default_rng(0)
    patches = (
        rng.random((64, 64, 64)).astype(np.float16),
        rng.integers(0, 4, (64, 64, 64)).astype(np.uint8),
    )
    x, y = next(batches.batches(*patches, settings, 0))
    for _ in range(3):
        network.train_on_batch(x, y)
    started = time.perf_counter()
    for _ in range(BATCHES):
        network.train_on_batch(x, y)
    trained = BATCHES * settings.batch_size / (time.perf_counter() - started)
    started = time.perf_counter()
    count = sum(len(x) for x, _ in batches.batches(*patches, settings, 0))
    print(json.dumps([trained, count / (time.perf_counter() - started)]))


def main():
    """Print the table."""
    from patchseg.scoring import rows

    print(rows.machine())
    for precision in ("float32", "mixed_bfloat16"):
        rates = []
        for onednn in ("0", "1"):
            environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn}
            done = subprocess.run(
                [sys.executable, __file__, precision],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            rates.append(json.loads(done.stdout.strip().splitlines()[-1]))
        (off, _), (on, loaded) = rates
        print(
            f"{precision:15} oneDNN off {off:6.0f}  on {on:6.0f} patches a second  ratio"
            f" {on / off:.2f}; the loader gives {loaded:6.0f}",
            flush=True,
        )


if __name__ == "__main__":
    measure() if len(sys.argv) > 1 else main()
