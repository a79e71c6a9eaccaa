"""Labels with a fault are found and named; good ones, whatever the guess, are left alone."""

import re
from dataclasses import replace
from functools import cache

import matplotlib.image
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from patchseg.adaptation import label_checks, label_fit
from patchseg.datasets.labelled import Labelled

AT = 20
LEVELS = {"T1w": (0, 30, 60, 90), "T2w": (0, 90, 60, 30)}


@cache
def marbled(seed=0, contrast="T1w"):
    """An egg in which three tissues lie anyhow, as a `Labelled`: no side is like another."""
    shape = (48, 44, 40)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.9
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=shape), 2.5)
    tissues = np.digitize(field, np.quantile(field[inside], [0.2, 0.6])) + 1
    labels = (tissues * inside).astype(np.uint8)
    image = np.choose(labels, LEVELS[contrast]) + inside * rng.normal(0, 5, shape)
    return Labelled("egg", image.astype(np.float32), labels, np.eye(4))


def on_slice(one, labels, at=AT):
    """Put labels (x, z) on a coronal slice of a brain on which nothing else is labelled."""
    kept = np.where(one.mask, 255, 0).astype(np.uint8)
    kept[:, at] = np.where(one.mask[:, at] & (labels > 0), labels, kept[:, at])
    return replace(one, labels=kept)


WHOLE = marbled().labels
FAULTS = {
    "look mirrored left-right": WHOLE[::-1, AT],
    "look mirrored up-down": WHOLE[:, AT, ::-1],
    "would fit better moved by +1 along y": WHOLE[:, AT + 1],
    "would fit better moved by -3 along y": WHOLE[:, AT - 3],
    "would fit better moved by +4 along x, -2 along z": np.roll(WHOLE[:, AT], (-4, 2), (0, 1)),
    "look swapped: GM is WM, WM is GM": np.array([0, 1, 3, 2], np.uint8)[WHOLE[:, AT]],
    "look swapped: CSF is WM, GM is CSF, WM is GM": np.array([0, 2, 3, 1])[WHOLE[:, AT]],
    "hardly follow the image, wherever they are put": marbled(1).labels[:, AT],
    "are CSF wherever there is brain": (WHOLE[:, AT] > 0).astype(np.uint8),
}


@pytest.mark.parametrize("contrast", LEVELS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(fault, contrast):
    one = marbled(contrast=contrast)
    (finding,) = label_checks.check(on_slice(one, FAULTS[fault]), one.labels)
    assert (finding.plane, finding.number, finding.fault) == ("coronal", AT, fault)
    assert str(finding).startswith(f"egg: the labels of coronal slice y = {AT} {fault}; ")


@pytest.mark.parametrize("contrast", LEVELS)
@pytest.mark.parametrize("guess", ["right", "noise", "GM only"])
def test_true_labels_are_not_accused_however_poor_the_guess(guess, contrast):
    one = marbled(contrast=contrast)
    rng = np.random.default_rng(0)
    first = {"right": one.labels, "noise": rng.integers(1, 4, one.labels.shape), "GM only": 2}
    found = np.where(one.mask, first[guess], 0).astype(np.uint8)
    strokes = one.labels[:, AT] * (rng.random(one.labels[:, AT].shape) < 0.2)
    for labels in (one.labels[:, AT], strokes):
        assert label_checks.check(on_slice(one, labels), found) == []


@pytest.mark.parametrize("fault", [name for name in FAULTS if "moved" in name or "mirr" in name])
def test_what_would_fit_is_what_was_there_before_the_fault(fault):
    one = marbled()
    given = on_slice(one, FAULTS[fault])
    (finding,) = label_checks.check(given, one.labels)
    labels, number = label_checks.better(given, finding)
    assert labels[:, number].any() and np.count_nonzero(labels) == np.count_nonzero(given.known)
    assert (labels == one.labels)[labels > 0].all()


def test_labels_explain_nothing_by_chance():
    tables = np.array([[[8, 0], [0, 8]], [[4, 4], [4, 4]], [[0, 0], [0, 0]]])
    assert label_fit.explained(tables).round(6).tolist() == [1, 0, 0]


def test_strokes_only_where_the_guess_is_wrong_are_told():
    one = marbled()
    guess = np.where(one.labels == 3, 2, one.labels)  # white matter is not seen
    painted = one.labels[:, AT] * (np.arange(40) < 10)
    strokes = np.where(painted == 3, painted, 0)
    assert re.search(
        "only [1-9]% of the slice is labelled, and 100% of that is not what",
        label_checks.one_sided(on_slice(one, strokes), guess),
    )
    for labels in (one.labels[:, AT], painted * (painted < 3)):  # a whole slice; the guess is right
        assert label_checks.one_sided(on_slice(one, labels), guess) == ""


def test_the_user_is_told_and_shown(tmp_path):
    one = marbled()
    given = on_slice(one, FAULTS["look mirrored left-right"])
    given.labels[:, AT + 4] = np.where(one.mask[:, AT + 4], one.labels[::-1, AT + 4], 0)
    found = label_checks.check(given, one.labels)
    assert label_checks.share([given], [found]) == 1
    assert label_checks.check(one.only([AT]), one.labels) == []
    (told,) = label_checks.tell([given], [one.labels], [found], tmp_path / "new.weights.h5")
    said = (
        r"y = 20 look mirrored left-right; check .* \(mirrored, too: y = 24\); see .*_doubted.png"
    )
    assert re.search(said, told)
    shown = matplotlib.image.imread(tmp_path / "new_doubted.png")
    assert shown.shape[0] > 600 and shown.shape[1] > 900
    assert label_checks.tell([one], [one.labels], [[]], tmp_path / "good.weights.h5") == []
    assert [path.name for path in tmp_path.iterdir()] == ["new_doubted.png"]
    (tmp_path / "new_doubted-3.png").touch()  # of earlier labels
    label_checks.tell([one], [one.labels], [[]], tmp_path / "new.weights.h5")  # after a correction
    assert not list(tmp_path.iterdir())
