import json

import numpy as np
import pytest
from conftest import ball_brain
from scipy import special

from patchseg.inference import calibration, features
from patchseg.params import shipped


def fit(*arguments, **options):
    return calibration.fit(*arguments, shipped().adapt.calibration, **options)


@pytest.fixture
def ball():
    """A ball brain whose network calls the outer half of the white matter grey."""
    image, labels = ball_brain()
    image = (image / image.max()).astype(np.float32)
    mask = labels > 0
    wrong = np.where((labels == 3) & (np.add(*np.indices(labels.shape)[:2]) % 2 == 0), 2, labels)
    plain = (
        np.stack([np.where(wrong == n, 0.8, 0.1) for n in (1, 2, 3)], axis=-1).astype(np.float32)
        * mask[..., None]
    )
    return image, labels, mask, plain


def test_labels_start_from_what_other_animals_said(ball):
    image, labels, mask, plain = ball
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    others = fit(found, plain[mask], labels[mask])
    begun = calibration.apply(others, found, plain[mask])
    turned = np.where(labels[mask] > 1, 5 - labels[mask], labels[mask])  # this animal's are turned
    own = fit(found, begun, turned)
    assert np.array_equal(
        calibration.apply(own | {"start": others}, found, plain[mask]),
        calibration.apply(own, found, begun),
    )
    assert not np.allclose(calibration.apply(own, found, plain[mask]), begun)


def test_halves_that_contradict_one_another_do_not_help(ball):
    image, labels, mask, plain = ball
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    truth, first = labels[mask], np.nonzero(mask)[0] < 20
    settings = shipped().adapt.calibration
    assert calibration.helps(found, *[plain[mask]] * 2, truth, first, settings)
    turned = np.where(first & (truth > 1), 5 - truth, truth)  # GM and WM change places
    assert not calibration.helps(found, *[plain[mask]] * 2, turned, first, settings)


def test_too_few_labels_to_look_whether_they_help_do_not_help(ball):
    image, labels, mask, plain = ball
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    some, settings = np.arange(mask.sum())[:: mask.sum() // 149][:150], shipped().adapt.calibration
    few = found[some], plain[mask][some], labels[mask][some]
    assert fit(*few) is not None
    first = np.arange(150) < 75
    assert not calibration.helps(*few[:2], few[1], few[2], first, settings)


def test_what_would_stay_is_what_it_is_measured_against(ball):
    image, labels, mask, plain = ball
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    truth, first = labels[mask], np.nonzero(mask)[0] < 20
    settings = shipped().adapt.calibration.model_copy(update={"ridge": 1e9})  # nothing is learned
    right = np.eye(3, dtype=np.float32)[truth - 1]
    assert calibration.helps(found, plain[mask], plain[mask], truth, first, settings)
    assert not calibration.helps(found, plain[mask], right, truth, first, settings)


def test_a_slice_holds_too_little_csf_to_tell_whether_labels_help(ball):
    image, labels, mask, plain = ball
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    truth = labels[mask]
    some = np.sort(np.concatenate([np.flatnonzero(truth == 1)[::100], np.flatnonzero(truth > 1)]))
    found, before, truth = found[some], plain[mask][some], truth[some]
    settings = shipped().adapt.calibration.model_copy(update={"ridge": 1e9})  # nothing is learned
    lost = np.where((truth == 1)[:, None], [0.1, 0.8, 0.1], before).astype(np.float32)
    first = np.arange(len(truth)) % 2 == 0
    assert np.mean(truth == 1) < 0.02
    assert calibration.helps(found, lost, before, truth, first, settings)
    none = truth != 3  # CSF and GM only: then CSF counts
    few = (part[none] for part in (found, lost, before, truth, first))
    assert not calibration.helps(*few, settings)


def test_labels_of_some_voxels_mend_all_the_others(ball):
    image, labels, mask, plain = ball
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    assert found.shape == (mask.sum(), features.COUNT) and np.isfinite(found).all()
    truth, some = labels[mask], np.random.default_rng(0).random(mask.sum()) < 0.1
    learned = fit(found[some], plain[mask][some], truth[some])
    after = calibration.apply(learned, found, plain[mask])
    assert np.allclose(after.sum(axis=1), 1, atol=1e-5)
    before, now = (np.mean(one.argmax(axis=1) + 1 == truth) for one in (plain[mask], after))
    assert before < 0.95 and now > 0.98
    assert json.loads(json.dumps(learned)) == learned  # for the card
    assert np.array_equal(
        calibration.apply(fit(found[some], plain[mask][some], truth[some]), found, plain[mask]),
        after,
    )


def test_a_tissue_that_nobody_labelled_keeps_its_probability(ball):
    image, labels, mask, plain = ball
    found, truth = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0), labels[mask]
    learned = fit(found[truth > 1], plain[mask][truth > 1], truth[truth > 1])
    assert learned["tissues"] == ["GM", "WM"]
    after = calibration.apply(learned, found, plain[mask])
    assert np.array_equal(after[:, 0], plain[mask][:, 0]) and np.allclose(
        after.sum(axis=1), 1, atol=1e-5
    )
    assert np.mean((after.argmax(axis=1) + 1 == truth)[truth > 1]) > 0.98


def test_without_a_bias_it_counts_little_how_many_voxels_of_a_tissue_somebody_labelled():
    """The first feature tells GM from WM, half of each; nine of ten labels are of GM."""
    rng = np.random.default_rng(0)
    truth = rng.integers(2, 4, 40000).astype(np.uint8)
    found = rng.normal(0, 1, (40000, features.COUNT)).astype(np.float32)
    found[:, 0] += np.where(truth == 2, 1, -1)
    even, given = np.full((40000, 3), [0.02, 0.49, 0.49], np.float32), np.arange(3000)
    chosen = given[(truth[given] == 2) | (rng.random(3000) < 1 / 9)]
    shares = []
    for whole in (True, False):
        learned = fit(found[chosen], even[chosen], truth[chosen], whole=whole)
        shares.append(np.mean(calibration.apply(learned, found, even).argmax(axis=1) == 1))
    assert abs(shares[1] - 0.5) < 0.1 < 0.2 < shares[0] - 0.5


def test_few_labels_move_little(ball):
    image, labels, mask, plain = ball
    found, truth = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0), labels[mask]
    moved = []
    for share in (0.01, 0.5):
        some = np.random.default_rng(0).random(mask.sum()) < share
        moved.append(
            np.abs(
                calibration.apply(
                    fit(found[some], plain[mask][some], truth[some]), found, plain[mask]
                )
                - plain[mask]
            ).mean()
        )
    assert moved[0] < moved[1]


def test_too_little_teaches_nothing(ball):
    image, labels, mask, plain = ball
    found, truth = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0), labels[mask]
    assert fit(found[:50], plain[mask][:50], truth[:50]) is None
    assert fit(found[truth == 2], plain[mask][truth == 2], truth[truth == 2]) is None


def test_terms_are_the_features_and_their_products():
    assert calibration._terms(
        np.array([[5.0, 7.0]]), np.array([1, 1]), np.array([2, 2])
    ).tolist() == [[2, 3, 4, 6, 9]]


def test_what_no_label_came_near_is_not_extrapolated():
    """Labels away from CSF teach GM against WM; where CSF is likelier, that must still hold."""
    rng = np.random.default_rng(0)
    found = rng.normal(0, 1, (16000, features.COUNT)).astype(np.float32)
    found[:, 0] = np.log(features.FLOOR)
    truth = np.where(found[:, 6] > 0, 3, 2).astype(np.uint8)
    sharp = np.full((16000, 3), [0.02, 0.49, 0.49], np.float32)
    learned = fit(found[:8000], sharp[:8000], truth[:8000])
    before = calibration.apply(learned, found[8000:], sharp[8000:])
    found[8000:, 0] = np.log(0.2)
    after = calibration.apply(learned, found[8000:], sharp[8000:])
    assert np.mean(after.argmax(axis=1) + 1 == truth[8000:]) > 0.95
    assert np.array_equal(after.argmax(axis=1), before.argmax(axis=1))


def test_features_tell_the_neighbours_answers_and_the_spread_of_the_brightness(ball):
    """An image that is bright and dark in turn along one axis, in one half of the brain."""
    image, _, mask, plain = ball
    place = np.indices(mask.shape)[0]
    image = np.where(place < 20, 0.5, 0.25 + 0.5 * (place % 2)).astype(np.float32) * mask
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    even, inner = place[mask] < 14, (found[:, 13] > 6) & (abs(place[mask] - 20) > 6)
    assert found[even & inner, 17:].max() < 1e-3
    assert found[~even & inner, 18] == pytest.approx(0.25, abs=0.02)
    assert found[inner, 14:17].sum(axis=1) == pytest.approx(1, abs=1e-3)


def test_probabilities_are_those_of_the_terms_whose_products_are_never_made(ball):
    image, labels, mask, plain = ball
    found = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0)
    learned = fit(found, plain[mask], labels[mask])
    parts = (np.array(learned[name]) for name in ("center", "scale", "weights", "bias"))
    center, scale, weights, bias = parts
    score = np.log(np.maximum(plain[mask], calibration.LEAST_SURE)) + bias
    score += calibration._terms(found, center, scale) @ weights.T
    after = calibration.apply(learned, found, plain[mask])
    assert np.allclose(after, special.softmax(score, axis=1), atol=1e-4)


def test_contrast_is_that_of_grey_and_white_matter_where_grey_lies_between(ball):
    image, labels, mask, _ = ball
    sure = np.stack([labels == n for n in (1, 2, 3)], axis=-1).astype(np.float32)
    apart = pytest.approx(image[labels == 3].mean() - image[labels == 2].mean(), abs=1e-5)
    assert features.contrast(image, sure, mask) == apart
    assert features.contrast(1 - image, sure, mask) == apart
    assert features.contrast(image, sure * (1, 0, 1), mask) == 0
    newborn = np.where(labels == 3, 0.5, image)  # between CSF and grey matter
    assert features.contrast(newborn, sure, mask) == 0
    rim = np.where((labels == 1) & (np.indices(mask.shape)[0] > 10), 0.1, 1 - image)
    assert features.contrast(rim, sure, mask) == apart  # a T2w, most of its CSF dark


def test_few_voxels_of_a_thin_tissue_move_less(ball, monkeypatch):
    """One voxel in hundred is white matter: the penalty is RARE / 0.01 times as high."""
    image, labels, mask, plain = ball
    found, truth = features.describe(image, plain, plain, mask, (1, 1, 1), 1.0), labels[mask]
    white = np.flatnonzero(truth == 3)
    some = np.sort(np.concatenate([np.flatnonzero(truth < 3), white[:: len(white) // 40][:40]]))
    given = found[some], plain[mask][some], truth[some]
    share = np.mean(truth[some] == 3)
    settings = shipped().adapt.calibration
    higher = settings.model_copy(update={"ridge": settings.ridge * calibration.RARE / share})
    learned = fit(*given)
    monkeypatch.setattr(calibration, "RARE", 0)
    assert share < 0.02 and learned != fit(*given)
    assert learned["weights"] == calibration.fit(*given, higher)["weights"]


def test_voxels_unlike_all_that_is_labelled_are_counted_by_hand():
    learned = {"center": [0.0, 10.0], "scale": [1.0, 2.0]}
    found = np.array([[3.9, 10], [4.1, 10], [0, 1.9], [0, 2.1]])
    assert calibration.unlike(learned, found) == 0.5
