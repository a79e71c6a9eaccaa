"""What weights have learned in earlier rounds, by their card."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ball_brain, labelled_ball

from patchseg.adaptation import earlier
from patchseg.core.errors import InputError
from patchseg.inference.networks import Network

ONE = {"image_sha256": "ball", "plane": "coronal", "slices": [10, 14]}
TWO = {"image_sha256": "rat", "plane": "axial", "slices": [5]}


def ball(*rows):
    """The ball, labelled on these coronal slices."""
    labels = ball_brain()[1]
    labels = np.where(np.isin(np.arange(labels.shape[1]), rows)[:, None], labels, 0)
    return replace(labelled_ball(labels=labels), sha256={"image": "ball"})


def of(**card):
    return Network(None, Path("x.weights.h5"), card)


def test_rounds_add_up():
    assert earlier.learned(of(adapted_to=[ONE])) == [ONE]
    assert earlier.learned(of(adapted_to=[ONE], learned_before=[TWO])) == [TWO, ONE]
    assert earlier.learned(of(adapted_to=[ONE], learned_before=[ONE])) == [ONE]
    assert earlier.learned(of(species=["macaque"])) == []


@pytest.mark.parametrize("nothing", [{"kept": "parent"}, {"helped": False}])
def test_a_round_of_which_nothing_was_kept_taught_nothing(nothing):
    assert earlier.learned(of(adapted_to=[ONE], learned_before=[TWO], **nothing)) == [TWO]


def test_new_are_the_slices_that_were_not_learned():
    given = [ball(10, 18), ball(14)]
    assert earlier.new_slices(given, of(adapted_to=[ONE])) == [[18], []]
    for other in ({"image_sha256": "rat"}, {"plane": "axial"}):
        assert earlier.new_slices(given, of(adapted_to=[ONE | other])) == [[10, 18], [14]]


def test_where_none_is_new_all_count():
    """Somebody corrected the labels of slices that were learned."""
    assert earlier.new_slices([ball(10, 14)], of(adapted_to=[ONE])) == [[10, 14]]


def test_an_image_without_a_sum_is_new():
    one = replace(ball(10, 18), sha256={})
    assert earlier.new_slices([one], of(adapted_to=[ONE | {"image_sha256": ""}])) == [[10, 18]]


def test_a_card_that_tells_something_else_is_named():
    with pytest.raises(InputError, match=r"x\.json: adapted_to\.0\.slices\.0 = 'a'.*copy the card"):
        earlier.learned(of(adapted_to=[ONE | {"slices": ["a"]}]))
