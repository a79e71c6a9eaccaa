import numpy as np
import pytest

from patchseg.core.tissues import most_probable


@pytest.mark.parametrize(
    ("probabilities", "label"),
    [
        ((0.7, 0.2, 0.1), 1),
        ((0.1, 0.3, 0.35), 3),  # softmax, background 0.25
        ((0.1, 0.2, 0.25), 0),  # softmax, background 0.45
        ((0.2, 0.2, 0.15), 0),  # sigmoid: no tissue is probable
        ((0.4, 0.9, 0.8), 2),  # sigmoid: two are
        ((0.0, 0.0, 0.0), 0),
        ((1 / 3, 1 / 3, 1 / 3), 1),  # inside a brain something is always chosen
    ],
)
def test_background_is_what_the_tissues_leave(probabilities, label):
    assert most_probable(np.array(probabilities, np.float32)) == label
