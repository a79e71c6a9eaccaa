"""Deep grey matter: named by label maps, unknown to labels that were made from brightness."""

import os

import numpy as np
import pytest
from conftest import labelled_ball

from patchseg.core.tissues import UNLABELLED
from patchseg.datasets import brains, deep

real = pytest.mark.skipif(
    not os.environ.get("PATCHSEG_ZOO"), reason="PATCHSEG_ZOO names no folder with real brains"
)


def test_codes_become_structures_and_these_their_tissue():
    codes = np.array([0, 3, 10, 49, 11, 12, 52, 41, 9999])
    assert deep.parts_of(codes).tolist() == [0, 0, 1, 1, 2, 3, 4, 0, 0]
    assert deep.for_drawing(np.array([2, 3, 255, 0]), np.array([1, 5, 5, 1])).tolist() == [
        12,
        53,
        255,
        0,
    ]
    drawn = np.array([0, 1, 2, 12, 22, 32, 42, 3, UNLABELLED], np.uint8)
    assert deep.tissue_of(drawn).tolist() == [0, 1, 2, 2, 2, 2, 2, 3, UNLABELLED]
    assert deep.tissue_of(drawn).dtype == np.uint8


def test_labels_are_left_out_in_the_middle_of_the_brain_only():
    one = labelled_ball()
    found = deep.left_out(one)
    gone = (found.labels == UNLABELLED) & (one.labels != UNLABELLED)
    low, high = (np.argwhere(one.mask).min(axis=0), np.argwhere(one.mask).max(axis=0))
    places = (np.argwhere(gone) - low) / (high - low)
    assert np.array_equal(found.mask, one.mask) and np.array_equal(found.image, one.image)
    assert np.array_equal(found.labels[~gone], one.labels[~gone])
    assert np.allclose(places.mean(axis=0), deep.CENTRE, atol=0.02)
    assert (np.abs(places - deep.CENTRE).max(axis=0) <= deep.HALF).all()
    whole = 4 / 3 * np.pi * np.prod(deep.HALF) * np.prod(high - low)
    assert gone.sum() == pytest.approx(whole, rel=0.15)


@real
def test_who_teaches_deep_grey_matter():
    named, by_brightness = brains.teacher("human-labels-01"), brains.teacher("mni")
    assert set(np.unique(named.parts)) == {0, 1, 2, 3, 4, 5}
    assert (named.labels[np.isin(named.parts, [1, 2, 3, 4])] == 2).mean() > 0.99
    left_out = by_brightness.labels == UNLABELLED
    assert 0.05 < left_out.sum() / by_brightness.mask.sum() < 0.15
    assert brains.teacher("mouse-fvb-2").parts is None
