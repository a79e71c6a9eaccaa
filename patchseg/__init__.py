"""Tissue segmentation (CSF, GM, WM) of brain MRI with a 2D UNet trained on small patches.

`patchseg.segment(image)` segments one image in memory, `patchseg.segment_file(path, out)` one file;
`patchseg.extract(image)` finds the brain in a whole head; `patchseg.suggest(image, n)` says which
slices of a new animal to label, and `patchseg.adapt(images, labels)` learns them. The rest is in
the rooms: `patching`, `augment`, `unet` and `metrics` are the small module of the design, and data
goes one way through the others.

Conventions, stated once: volumes are ``(x, y, z)`` in RAS+ order, stacks of slices ``(n, h, w)``,
network input and output ``(n, h, w, c)``, channel last. Label images hold 0 background, 1 CSF, 2
GM, 3 WM, and 255 for brain that nobody labelled. Intensities are normalised to [0, 1], 0 being the
background.
"""

import os
from importlib import import_module

# TensorFlow reads both when it is first imported. oneDNN's kernels are off by default on older
# processors, although they train this network faster there, too: 1.24 times on a first-generation
# AMD EPYC (benchmarks/training_speed.py measures it).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"

FUNCTIONS = {
    "extract": "inference.mask",
    "segment": "inference.segmentation",
    "segment_file": "inference.outputs",
    "suggest": "adaptation.suggestion",
    "adapt": "adaptation.fine_tuning",
}
"""Which module of the package each is in. Keys of what was computed follow it (`core.source`)."""
__all__ = ["adapt", "extract", "segment", "segment_file", "suggest"]


def __getattr__(name):
    """Import a function when it is called for, because TensorFlow takes seconds to load."""
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'patchseg' has no attribute '{name}'")
    return getattr(import_module(f"patchseg.{FUNCTIONS[name]}"), name)


def __dir__():
    """List them before they are imported, so that Tab finds them."""
    return [*__all__, "__version__"]
