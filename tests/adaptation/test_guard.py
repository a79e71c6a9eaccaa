"""What is learned is kept only where it helps labels that it has not seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ball_brain, labelled_ball

from patchseg import params
from patchseg.adaptation import earlier, guard, learning
from patchseg.adaptation.guard import ADAPTED, BORDERS, PARENT
from patchseg.core.tissues import most_probable
from patchseg.inference import networks
from patchseg.inference.features import COUNT

RECIPE = params.load(Path(__file__).parents[2] / "params.yaml").adapt
WHOLE = ball_brain()[1]


def sure(truth=0.8, shift=0):
    """A network that gives each voxel's tissue, or the one after it, so much probability."""
    table = np.full((4, 3), (1 - truth) / 2, np.float32)
    table[[1, 2, 3], [(tissue + shift) % 3 for tissue in range(3)]] = truth
    return table


KNOWS = sure()
GUESSES = np.where(np.arange(4)[:, None] == 3, np.float32([0.1, 0.5, 0.4]), KNOWS)  # WM becomes GM


@pytest.fixture(autouse=True)
def answers_from_tables(monkeypatch):
    """A network is a table: the probabilities that it gives the voxels of each tissue."""

    def evidence(model, parent, one):
        sharp = model[WHOLE[one.known]]
        noise = np.random.default_rng(0).normal(size=(len(sharp), COUNT - 3))
        found = np.hstack([np.log(sharp), noise]).astype(np.float32)
        return guard.answers.Evidence(found, sharp, sharp, found)

    monkeypatch.setattr(guard.answers, "evidence", evidence)


def painted(*rows, labels=WHOLE):
    """The ball, labelled on these coronal slices, in every second line of voxels."""
    kept = np.zeros_like(labels)
    kept[::2, list(rows)] = labels[::2, list(rows)]
    return labelled_ball(labels=kept)


def judged(given, model=GUESSES, steps=0, card=None):
    parent = networks.Network(model, Path("parent"), card or {})
    return guard.judge(given, [most_probable(model[WHOLE])] * len(given), parent, RECIPE, 0, steps)


@pytest.fixture
def taught(monkeypatch):
    """Networks that are returned as trained, one after the other; what they were taught."""
    seen, models = [], []

    def train(given, parent, recipe, seed=0, steps=None, on_round=None):
        seen.append((given, recipe, steps))
        return learning.Learned(models[(len(seen) - 1) % len(models)])

    monkeypatch.setattr(learning, "train", train)
    return seen, models


def test_slices_are_counted_over_images_and_a_single_one_has_two_halves():
    two = [painted(10, 18), painted(14)]
    numbers, unit = guard._numbered(two, two)
    assert unit == "slices" and [np.unique(one).tolist() for one in numbers] == [[1, 2], [3]]
    (halves,), unit = guard._numbered([painted(18)], [painted(18)])
    assert unit == "halves of a slice"
    assert abs(np.mean(halves == 1) - 0.5) < 0.05 and set(halves) == {1, 2}


def test_what_helps_the_slices_that_were_left_out_is_kept(taught):
    seen, models = taught
    models += [KNOWS]
    found = judged([painted(10, 14, 18)], steps=101)
    assert found.kept == ADAPTED and found.left_out == 3 and found.unit == "slices"
    assert found.tried[ADAPTED].gain > 0.1 and BORDERS not in found.tried
    groups = [sorted(given[0].slices()[1]) for given, *_ in seen]
    assert groups == [[10, 18], [14]]  # each slice is scored by a network that has not seen it
    assert [steps for *_, steps in seen] == [50, 50]
    assert seen[0][1].draw.patches == RECIPE.draw.patches // 2
    assert "the adapted network is kept: on 3 slices" in found.sentence()


def test_labels_of_a_part_unlike_the_rest_of_the_brain_move_no_borders():
    given = painted(10, 14, 18)
    seen = guard.answers.evidence(GUESSES, None, given)
    away = seen.around + 50 * (np.arange(len(seen.around)) % 3 == 0)[:, None]  # of a third
    far, slices = [seen._replace(around=away)], ([given], RECIPE, 0)
    learned, left_out = guard.answers.learned_borders([seen], *slices)
    assert learned and not left_out
    assert guard.answers.learned_borders(far, *slices) == (None, "unlike")
    learned, left_out = guard.answers.learned_borders(far, *slices, checks=[])
    assert learned and not left_out


def test_borders_alone_are_not_judged_by_halves_of_a_slice_unlike_the_rest(monkeypatch):
    plain = guard.answers.evidence

    def evidence(model, parent, one):
        seen = plain(model, parent, one)
        return seen._replace(around=seen.around + 50)

    monkeypatch.setattr(guard.answers, "evidence", evidence)
    found = judged([painted(18)])
    assert found.kept == PARENT and found.tried[BORDERS].unlike
    assert found.sentence().endswith("label a slice nearer the middle")


def learned(*rows):
    """A card of weights that have learned these slices of the ball."""
    return {"learned": earlier.after(networks.Network(None, None, {}), [painted(*rows)])}


def test_slices_that_the_parent_has_learned_are_taught_and_not_scored(taught):
    seen, models = taught
    models += [KNOWS]
    found = judged([painted(10, 14, 18, 20)], steps=80, card=learned(10, 18))
    assert found.kept == ADAPTED and found.left_out == 2 and found.unit == "slices"
    groups = sorted(given[0].slices()[1] for given, *_ in seen)
    assert groups == [[10, 14, 18], [10, 18, 20]]


def test_of_a_single_new_slice_two_halves_are_scored(taught):
    seen, models = taught
    models += [KNOWS]
    found = judged([painted(10, 18)], steps=80, card=learned(10))
    assert found.kept == ADAPTED and found.unit == guard.HALVES and found.left_out == 2
    for given, *_ in seen:
        held = painted(10, 18).known & ~given[0].known
        assert held.any() and not held[:, 10].any()


def test_a_new_part_of_a_slice_in_another_plane_is_what_is_scored(taught):
    seen, models = taught
    models += [KNOWS]
    both = painted(10)
    labels = both.labels.copy()
    labels[:12, :, 12] = WHOLE[:12, :, 12]
    assert replace(both, labels=labels).slices() == ("coronal", [10])
    judged([replace(both, labels=labels)], steps=80, card=learned(10))
    for given, *_ in seen:
        held = (labels != given[0].labels) & (labels > 0)
        assert held[..., 12].any() and not held[:, 10].any()


def test_a_parent_is_not_kept_for_what_it_has_learned(taught):
    """It is right on the slice of the round before only."""
    _, models = taught
    models += [KNOWS]
    first = most_probable(GUESSES[WHOLE])
    first[:, 10] = WHOLE[:, 10]
    found = {}
    for name, card in (("plain", {}), ("told", learned(10))):
        parent = networks.Network(GUESSES, Path("parent"), card)
        found[name] = guard.judge([painted(10, 18)], [first], parent, RECIPE, 0, 80)
    assert found["told"].parent["WM"] < 0.1 < found["plain"].parent["WM"]
    assert found["told"].agree < found["plain"].agree - 0.05
    assert found["told"].tried[ADAPTED].gain > found["plain"].tried[ADAPTED].gain + 0.05


def test_what_does_not_help_is_not(taught):
    _, models = taught
    models += [GUESSES]
    found = judged([painted(10, 18)], model=KNOWS, steps=80)
    assert found.kept == PARENT and found.tried[ADAPTED].gain < 0.01
    assert found.sentence().startswith("the parent is kept: on 2 slices")
    assert found.told()["kept"] == "parent" and found.told()["guard"]["parent"]["dice"]["GM"] == 1


def test_where_nothing_is_learned_what_the_parent_knows_of_such_brains_counts(taught, monkeypatch):
    _, models = taught
    models += [GUESSES]
    plain = guard.answers.evidence

    def evidence(model, parent, one):
        return plain(model, parent, one)._replace(usual=KNOWS[WHOLE[one.known]])

    monkeypatch.setattr(guard.answers, "evidence", evidence)
    monkeypatch.setattr(guard.answers, "learned_borders", lambda *_: (None, "halves"))
    found = judged([painted(10, 18)], steps=80)
    assert found.kept == ADAPTED and found.tried[ADAPTED].dice["WM"] == 1


def test_borders_alone_may_help(taught):
    _, models = taught
    models += [np.full((4, 3), 1 / 3, np.float32)]  # the training spoils it
    found = judged([painted(10, 18)], steps=80)
    assert found.kept == BORDERS and list(found.tried) == [ADAPTED, BORDERS]
    assert "only its borders are moved" in found.sentence()


def test_a_gain_within_its_own_error_is_none():
    assert guard.Tried({}, 0.03, 0.02).helps and not guard.Tried({}, 0.02, 0.02).helps
    halves = [guard.Tried({}, gain, 0.02, of_halves=True).helps for gain in (-0.01, -0.03)]
    assert halves == [True, False]
    slight = guard.Tried({"GM": 0.8}, -0.01, 0.02, of_halves=True)
    known = guard.Judged(ADAPTED, 2, guard.HALVES, {"GM": 0.81}, {ADAPTED: slight}, 0.8)
    assert known.sentence() == (
        "the adapted network is kept: what the network learned from one half of the slice neither"
        " helps nor harms the other half, as far as can be told: Dice -0.010 (standard error 0.020;"
        " GM 0.810 to 0.800). The whole slice teaches more"
    )


def test_labels_that_are_doubted_are_not_learned(taught):
    _, models = taught
    models += [KNOWS]
    first = [most_probable(GUESSES[WHOLE])]
    parent = networks.Network(GUESSES, Path("parent"), {})
    for doubted, kept in ((0.5, ADAPTED), (1.0, PARENT)):
        found = guard.judge([painted(10, 18)], first, parent, RECIPE, 0, 80, doubted)
        assert found.kept == kept
    assert "the labels look wrong" in found.sentence() and len(taught[0]) == 2


def test_labels_without_sense_teach_nothing():
    rng = np.random.default_rng(0)
    drawn = rng.integers(1, 4, WHOLE.shape).astype(np.uint8)
    mixed = np.where(rng.random(WHOLE.shape) < 0.4, drawn, WHOLE) * (WHOLE > 0)
    found = judged([painted(10, 18, labels=mixed)], model=KNOWS)
    assert found.kept == PARENT and list(found.tried) == [BORDERS]


def test_labels_that_hardly_agree_with_the_parent_are_not_believed(taught):
    exchanged = np.choose(WHOLE, [0, 3, 1, 2]).astype(np.uint8)
    found = judged([painted(10, 18, labels=exchanged)], model=KNOWS, steps=80)
    assert found.kept == PARENT and not taught[0] and "say --no-guard" in found.sentence()


def test_too_little_to_judge_leaves_the_parent():
    one = painted(18, labels=np.where(WHOLE == 2, 2, 0).astype(np.uint8))
    found = judged([one], model=KNOWS)
    assert found.kept == PARENT and "too little is labelled to judge" in found.sentence()


def test_ctrl_c_while_it_is_judged_ends_it(taught, monkeypatch):
    stopped = replace(learning.Learned(KNOWS), stopped=True)
    monkeypatch.setattr(learning, "train", lambda *_, **__: stopped)
    with pytest.raises(KeyboardInterrupt):
        judged([painted(10, 18)], steps=80)
