"""Tissue segmentation (CSF, GM, WM) of brain MRI with a 2D UNet trained on small patches.

`patchseg.segment(image)` segments one image in memory, `patchseg.segment_file(path, out)` one file;
`patchseg.suggest(image, n)` says which slices of a new animal to label, and `patchseg.adapt(images, labels)` learns them. The rest is in
the modules.

Conventions, stated once: volumes are ``(x, y, z)`` in RAS+ order, stacks of slices ``(n, h, w)``, network input and output
``(n, h, w, c)``, channel last. Label images hold 0 background, 1 CSF, 2 GM, 3 WM. Intensities are normalised to [0, 1], 0 being the background.
"""

import os

# TensorFlow reads both when it is first imported. oneDNN's kernels are off by default on older processors, although they train
# this network faster there, too: 1.24 times on a first-generation AMD EPYC (benchmarks/training_speed.py measures it).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"

TISSUES = ("CSF", "GM", "WM")
"""Tissue names; the label of a tissue is its place here plus one, its output channel its place."""


_FUNCTIONS = {"segment": "segmentation", "segment_file": "outputs", "suggest": "suggestion", "adapt": "fine_tuning"}


def __getattr__(name):
    """Import the functions that people call only when they are called for: TensorFlow takes seconds to load."""
    if name not in _FUNCTIONS:
        raise AttributeError(f"module 'patchseg' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"patchseg.{_FUNCTIONS[name]}"), name)
