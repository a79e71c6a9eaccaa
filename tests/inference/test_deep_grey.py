"""Deep grey matter is found by a network of its own and moved out of white matter."""

import json

import nibabel as nib
import numpy as np
import pytest

from patchseg import checkpoint
from patchseg.core.errors import InputError
from patchseg.datasets import sample
from patchseg.inference import deep_grey, networks

PLACES = {"thalamus": (12, -18, 8), "putamen": (27, 2, 2), "pallidum": (20, -4, 0)}
"""In the template's space, mm, as the atlas AAL has them; the other side is mirrored."""
OTHERS = {"corpus callosum": (0, -28, 22), "white matter": (26, -22, 32), "cortex": (40, -60, 45)}


def test_white_matter_becomes_grey_as_far_as_it_is_deep():
    given = np.array([[0.1, 0.2, 0.7], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]], np.float32)
    found = deep_grey.moved(given, np.array([0.5, 1.0, 1.0], np.float32))
    assert np.allclose(found, [[0.1, 0.55, 0.35], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    assert given[1, 2] == 1  # what was given stays


def test_it_is_found_where_it_lies_in_a_person():
    one = sample.labelled_template()
    ready = one.normalised(99.0)
    found = deep_grey.probability(ready, one.mask, one.voxel_mm)
    inverse = np.linalg.inv(one.affine)

    def at(place, side):
        point = nib.affines.apply_affine(inverse, np.multiply(place, (side, 1, 1)))
        return found[tuple(np.rint(point).astype(int))]

    assert found.shape == one.mask.shape and (found[~one.mask] == 0).all()
    for name, place in PLACES.items():
        assert min(at(place, side) for side in (-1, 1)) > 0.5, name
    for name, place in OTHERS.items():
        assert max(at(place, side) for side in (-1, 1)) < 0.5, name
    assert 0.01 < (found > 0.5).sum() / one.mask.sum() < 0.05


def test_its_weights_segment_no_tissues(tmp_path):
    with pytest.raises(InputError, match=r"deep\.weights\.h5: a network that finds no tissues"):
        networks.load(checkpoint.DEEP)


def test_a_card_says_whether_it_is_looked_for():
    assert networks.load().deep
    known = checkpoint.use(checkpoint.SHIPPED)
    assert (
        known["deep_sha256"]
        == json.loads(checkpoint.card_path(checkpoint.DEEP).read_text())["sha256"]
    )
