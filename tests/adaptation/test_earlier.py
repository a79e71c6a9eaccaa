"""What weights have learned in earlier rounds, by their card."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ball_brain, labelled_ball

from patchseg.adaptation import earlier
from patchseg.core.errors import InputError
from patchseg.core.tissues import UNLABELLED
from patchseg.inference.networks import Network

SHAPE = ball_brain()[1].shape


def ball(coronal=(), axial=()):
    """The ball, labelled on these slices."""
    labels, known = ball_brain()[1], np.zeros(SHAPE, bool)
    known[:, list(coronal)], known[..., list(axial)] = True, True
    return labelled_ball(labels=np.where(known, labels, 0))


def of(**card):
    return Network(None, Path("x.weights.h5"), card)


def learned(*rounds):
    """Weights that were taught labels, a round each."""
    parent = of()
    for one in rounds:
        parent = of(learned=earlier.after(parent, [one]))
    return parent


def test_rounds_add_up():
    told = learned(ball([10, 14]), ball([10, 14, 18])).card["learned"]
    assert [(one["plane"], one["slices"]) for one in told] == [
        ("coronal", [10, 14]),
        ("coronal", [10, 14, 18]),
    ]
    assert earlier.after(of(learned=told), []) == told
    assert earlier.after(of(learned=told), [ball([10, 14])]) == told
    assert earlier.learned(of(adapted_to=[{"plane": "axial"}])) == []


@pytest.mark.parametrize("before", [ball([10]), ball([10], axial=[12])])
def test_new_are_labels_on_slices_that_were_not_learned(before):
    both = ball([10, 18], axial=[12])
    (one,) = earlier.new([both], learned(before))
    assert not (one.known & before.known).any() and one.known[:, 18].any()
    assert one.known[..., 12].any() == (not before.known[:, 18, 12].any())
    assert np.array_equal(one.known, both.known & (one.labels != UNLABELLED))
    assert np.array_equal(one.mask, both.mask)


def test_labels_of_other_planes_are_learned_too():
    (one,) = earlier.new([ball([10], axial=[12])], learned(ball([10], axial=[12])))
    assert not one.known.any()


def test_another_image_is_new_and_the_same_values_are_not():
    first = ball([10])
    other = replace(first, image=first.image + 1)
    again = replace(first, image=first.image.copy(), name="a copy")
    found = earlier.new([other, again], learned(first))
    assert [one.known.any() for one in found] == [True, False]


def test_where_none_is_new_all_labels_judge():
    """Somebody corrected the labels of slices that were learned."""
    one = ball([10])
    assert earlier.to_judge([one], learned(one)) == [one]
    (found, _) = earlier.to_judge([ball([10, 18]), one], learned(one))
    assert found.slices() == ("coronal", [18])


def test_slices_that_no_image_has_are_not_there():
    one = ball([10])
    (told,) = learned(one).card["learned"]
    (found,) = earlier.new([one], of(learned=[told | {"slices": [99, -1]}]))
    assert np.array_equal(found.labels, one.labels)


def test_a_card_that_tells_something_else_is_named():
    (told,) = learned(ball([10])).card["learned"]
    with pytest.raises(InputError, match=r"x\.json: learned\.0\.slices\.0 = 'a'.*copy the card"):
        earlier.learned(of(learned=[told | {"slices": ["a"]}]))
    with pytest.raises(InputError, match=r"x\.json: learned\.0\.plane = 'oblique'"):
        earlier.learned(of(learned=[told | {"plane": "oblique"}]))
