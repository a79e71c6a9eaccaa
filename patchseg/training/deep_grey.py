"""Patches for the network that finds deep grey matter, made up from label maps that name it.

Where deep grey matter lies is seen from afar: by the ventricles, the cortex, the brain's shape. So
these patches show half of a brain or more, and half of them lie around it. They are drawn as those
for tissues (see `draw`), with other labels.
"""

from dataclasses import replace

import numpy as np

from patchseg.core.errors import InputError
from patchseg.datasets import brains as named
from patchseg.datasets import deep
from patchseg.training import draw

OTHER, DEEP, WHITE = 1, 2, 3
"""Labels of a patch, beside 0 outside the brain and 255 unlabelled."""


def load(name):
    """Return a label map by name, ready to draw from: a `draw.Brain` (see `brain_of`)."""
    return brain_of(named.load(name))


def brain_of(one):
    """Make a `draw.Brain` without an image of a `Labelled` whose source names structures.

    Raises
    ------
    InputError
        If it names none.
    """
    if one.parts is None:
        raise InputError(f"{one.name}: its labels do not name deep grey matter; use label maps")
    labels = deep.for_drawing(one.labels, one.parts)
    found = draw.brain_of(replace(one, labels=labels, image=None))
    _, drawn, voxel_mm = found.levels[0]
    kinds, rng = classes(drawn), np.random.default_rng(0)
    wanted = [np.flatnonzero(kinds == DEEP), np.flatnonzero((kinds > 0) & (kinds <= WHITE))]
    places = [draw.places_of(rng, voxels, drawn.shape, voxel_mm) for voxels in wanted]
    return replace(found, places=places)


def classes(drawn):
    """Turn a map for drawing (see `deep.for_drawing`) into labels of a patch, uint8."""
    table = np.arange(256).astype(np.uint8)
    table[:4] = 0, OTHER, OTHER, WHITE
    for number, name in enumerate(deep.STRUCTURES, start=1):
        own = OTHER, DEEP if name in deep.GREY else OTHER, WHITE
        table[deep.STEP * number + np.arange(1, 4)] = own
    return table[drawn]


def patch(rng, one, settings):
    """Draw one patch: as `draw.patch`, with the labels of this module."""
    image, drawn = draw.patch(rng, one, settings)
    return image, classes(drawn)


def choose(rng, brains, settings=None):
    """Choose a label map, each as often."""
    return brains[rng.integers(len(brains))]
