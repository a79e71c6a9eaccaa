import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import directed_hausdorff
from sklearn.metrics import f1_score, jaccard_score

from patchseg import metrics

MASKS = arrays(bool, (5, 6))


@given(MASKS, MASKS)
def test_overlap_agrees_with_scikit_learn(truth, predicted):
    if truth.any() or predicted.any():
        assert metrics.dice(truth, predicted) == pytest.approx(
            f1_score(truth.ravel(), predicted.ravel())
        )
        assert metrics.iou(truth, predicted) == pytest.approx(
            jaccard_score(truth.ravel(), predicted.ravel())
        )
        assert metrics.iou(truth, predicted) == pytest.approx(
            metrics.dice(truth, predicted) / (2 - metrics.dice(truth, predicted))
        )


def test_edge_cases_are_as_documented():
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert np.isnan(
        [
            metrics.dice(empty, empty),
            metrics.iou(empty, empty),
            metrics.hd95_mm(empty, empty, (1, 1)),
            metrics.avd_percent(empty, empty),
        ]
    ).all()
    assert metrics.dice(full, empty) == metrics.iou(empty, full) == 0
    assert np.isnan(metrics.hd95_mm(full, empty, (1, 1)))
    assert metrics.avd_percent(full, empty) == 100 and np.isnan(metrics.avd_percent(empty, full))


def test_hd95_by_hand_uses_mm():
    truth, predicted = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    truth[4, 2], predicted[4, 5] = True, True
    assert metrics.hd95_mm(truth, predicted, (1.0, 0.5)) == 1.5
    assert metrics.hd95_mm(truth, truth, (1.0, 0.5)) == 0


@given(arrays(bool, (7, 7)), arrays(bool, (7, 7)))
def test_hd95_never_exceeds_scipy_hausdorff(truth, predicted):
    if truth.any() and predicted.any():
        surfaces = [np.argwhere(metrics._surface(mask)) for mask in (truth, predicted)]
        largest = max(directed_hausdorff(*surfaces)[0], directed_hausdorff(*surfaces[::-1])[0])
        assert metrics.hd95_mm(truth, predicted, (1, 1)) <= largest + 1e-9


def test_score_refuses_different_shapes():
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.score(np.zeros((2, 2)), np.zeros((3, 3)), (1, 1))


def test_table_summarises_by_hand():
    a, b = np.array([[1, 1], [2, 3]], np.uint8), np.array([[1, 2], [2, 3]], np.uint8)
    rows = pd.DataFrame(
        metrics.score(a, b, (1, 1))
        + metrics.score(a, a, (1, 1))
        + metrics.score(a * 0, a * 0, (1, 1))
    )
    table = metrics.table(rows, ("tissue",)).set_index("tissue")
    assert table.loc["CSF", "n"] == 2 and table.loc["CSF", "n_missed"] == 0
    assert table.loc["CSF", "dice_mean"] == pytest.approx((2 / 3 + 1) / 2)
    assert table.loc["CSF", "dice_pooled"] == pytest.approx(6 / 7) and table.loc[
        "CSF", "iou_pooled"
    ] == pytest.approx(3 / 4)
    assert table.loc["CSF", "avd_percent_mean"] == 25
    assert table.loc["WM", "dice_filled_median"] == 1


def test_unlabelled_voxels_are_not_scored():
    truth = np.array([[1, 1, 255, 255], [0, 0, 2, 2]], np.uint8)
    predicted = np.array([[1, 1, 1, 2], [0, 0, 2, 1]], np.uint8)
    rows = {row["tissue"]: row for row in metrics.score(truth, predicted, (1, 1))}
    assert rows["CSF"]["dice"] == 2 * 2 / (2 + 3) and rows["GM"]["dice"] == 2 * 1 / (2 + 1)
    assert rows["CSF"]["share"] == 2 / 6 and rows["WM"]["n_predicted"] == 0
