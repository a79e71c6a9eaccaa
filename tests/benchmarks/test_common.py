"""Rows of benchmarks: a stale one is done again, a kept one is not, and every table shows keys."""

import ablation
import adaptation
import adaptation_tables
import common
import fast_labels
import numpy as np
import pandas as pd
import pytest
import robustness
import rounds
import second_image
import segmentation
import stop_advice
import stop_advice_tables
from conftest import labelled_ball

from patchseg import checkpoint
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets import brains

JOBS = [{"brain": name} for name in ("a", "b")]
SETTING = {"a": 1, "b": 1}


def measured(brain):
    return [{"dice": 0.5}]


def key_of(brain):
    return common.key(measured, settings=SETTING[brain])


@pytest.fixture
def run(tmp_path):
    """A benchmark of two rows: returns its table and what it did."""

    def run(report=False):
        done = []

        def measure(brain):
            done.append(brain)
            return measured(brain)

        path = tmp_path / "rows.csv"
        return common.complete(path, JOBS, key_of, measure, report), done

    return run


def test_a_stale_row_is_done_again_and_a_kept_one_is_not(run, monkeypatch):
    assert run()[1] == ["a", "b"] and run()[1] == []
    monkeypatch.setitem(SETTING, "b", 2)
    table, done = run(report=True)
    assert done == [] and table.key[1] == f"earlier {table.key[0]}"
    assert run()[1] == ["b"] and run()[1] == []


def test_a_table_shows_keys_and_what_is_of_earlier_code(run, monkeypatch, tmp_path):
    run()
    monkeypatch.setitem(SETTING, "b", 2)
    table, _ = run(report=True)
    lines = [[row.brain, row.key] for row in table.itertuples()]
    common.write_markdown(tmp_path / "t.md", ["brain", "key"], lines, table, "Dice.\n")
    text = (tmp_path / "t.md").read_text()
    assert text.startswith("Dice.\n\n- 2 rows: ") and "tensorflow" in text
    assert "- 1 of 2 rows are of earlier code" in text
    assert text.endswith(f"| a | {table.key[0]} |\n| b | earlier {table.key[0]} |\n")


def test_brains_weights_and_precision_make_a_key(monkeypatch):
    first = common.key(measured, brain_names=["chimp"], networks=["people"])
    others = [
        common.key(measured, brain_names=["chimp-t2"], networks=["people"]),
        common.key(measured, brain_names=["chimp"], networks=["no-chimp"]),
        common.key(measured, brain_names=["chimp"]),
    ]
    monkeypatch.setattr(common.runtime, "precision", lambda _: "float16")
    others.append(common.key(measured, brain_names=["chimp"], networks=["people"]))
    assert len({first, *others}) == 5


def keys_of_benchmarks():
    return {
        "noise": robustness.key("noise", 0.1, "chimp"),
        "blur": robustness.key("blur", 1, "chimp"),
        "ablation": ablation.key(ablation.ALL, 0),
        "adaptation": adaptation.key(**adaptation.job("chimp", 1)),
        "patchseg": segmentation.key("chimp", "patchseg"),
        "DIPY HMRF": segmentation.key("chimp", "DIPY HMRF"),
        "fast_labels": fast_labels.key("eve to nii2mesh", "no-zoom"),
        "recipes": fast_labels.animal_key("patchseg", "chimp"),
        "rounds": rounds.key("chimp", "all"),
        "second image": second_image.key("mice", "all"),
        "stop": stop_advice.key("chimp", 8, "all"),
    }


ROUNDS = {"rounds", "second image", "stop"}
LEARNING = {"ablation", "adaptation"} | ROUNDS
PIPELINE = {"fast_labels", "recipes"}
SEGMENTS = {"noise", "blur", "adaptation", "patchseg"} | ROUNDS


@pytest.mark.parametrize(
    "file, expected",
    [
        ("figures/style.py", ROUNDS),  # pictures of doubted labels
        ("params.py", {"adaptation"} | ROUNDS),
        ("adaptation/suggestion.py", {"adaptation"} | ROUNDS),
        ("adaptation/fine_tuning.py", ROUNDS),
        ("patching.py", SEGMENTS | PIPELINE | {"ablation"}),
        ("training/draw.py", LEARNING),
        ("training/loop.py", {"ablation"} | PIPELINE),
        ("preprocess.py", PIPELINE),
        ("inference/qc.py", SEGMENTS),
        ("scoring/baseline.py", {"DIPY HMRF", "fast_labels"}),
    ],
)
def test_a_change_makes_stale_what_runs_it_and_nothing_else(package, file, expected):
    before = keys_of_benchmarks()
    (package / file).write_text((package / file).read_text() + "\nADDED = 1\n")
    after = keys_of_benchmarks()
    assert {name for name in after if after[name] != before[name]} == expected


def test_a_disturbance_makes_only_its_own_rows_stale(monkeypatch):
    before = keys_of_benchmarks()
    kind, *rest = robustness.KINDS["noise"]
    monkeypatch.setitem(robustness.KINDS, "noise", (robustness.bias, *rest))
    after = keys_of_benchmarks()
    assert {name for name in after if after[name] != before[name]} == {"noise"}


def test_a_setting_makes_only_the_rows_of_its_variant_stale(monkeypatch):
    def keys():
        return [ablation.key(name, 0) for name in ablation.VARIANTS]

    before = keys()
    monkeypatch.setitem(ablation.VARIANTS, "noise: none", {"draw": {"noise": 0.01}})
    changed = [one != other for one, other in zip(before, keys(), strict=True)]
    assert [name for name, is_new in zip(ablation.VARIANTS, changed, strict=True) if is_new] == [
        "noise: none"
    ]
    recipes = {name: adaptation.varied(name)[0] for name in adaptation.ABLATION}
    assert recipes["half a batch is replayed: none"].replay == 0
    assert recipes["other sizes and brightness: strong"].draw.patches == 1024
    assert recipes["other sizes and brightness: none"].draw.scales == (1, 1)


def test_nobody_is_scored_on_a_brain_that_its_network_saw():
    segmentation.check_strangers()
    for name, network in common.STRANGERS.items():
        assert name not in checkpoint.read_card(common.weights_of(network))["brains"]


@pytest.fixture
def ball(monkeypatch):
    one = labelled_ball("ball")
    monkeypatch.setattr(brains, "load", lambda name: one)
    common.load.cache_clear()
    yield one
    common.load.cache_clear()


@pytest.mark.parametrize("kind", robustness.KINDS)
def test_a_disturbed_brain_keeps_its_labels_in_the_same_tissue(ball, kind):
    disturb, strengths, _ = robustness.KINDS[kind]
    mildest = robustness.disturbed(ball, disturb, strengths[0])
    if kind != "fold size":
        assert np.array_equal(mildest.labels, ball.labels)
    worst = robustness.disturbed(ball, disturb, strengths[-1])
    assert worst.image.shape == worst.labels.shape
    assert set(np.unique(worst.labels)) <= {0, 1, 2, 3, UNLABELLED}
    means = [worst.image[worst.labels == tissue].mean() for tissue in (1, 2, 3)]
    assert means == sorted(means)


def test_painted_slices_are_labelled_whole_in_part_or_wrongly(ball):
    whole, scribbles, wrong = (
        adaptation.painted(ball, [18], how, 0) for how in ("whole", "scribbles", "wrong")
    )
    count = np.count_nonzero(ball.labels[:, 18])
    assert np.array_equal(whole.labels[:, 18], ball.labels[:, 18]) and whole.known.sum() == count
    assert 0.05 * count <= scribbles.known.sum() < 0.2 * count
    assert (scribbles.labels == ball.labels)[scribbles.known].all()
    share = (wrong.labels != ball.labels)[wrong.known].mean()
    assert wrong.known.sum() == count and 0.05 < share < 0.15
    for one in (whole, scribbles, wrong):
        assert np.array_equal(one.mask, ball.mask)
    left = adaptation.without(ball, [18])
    assert not left.known[:, 18].any() and left.known[:, 17].any()


def test_dice_counts_only_what_is_labelled(ball):
    assert common.dice(ball, ball.labels) == [1, 1]
    given = adaptation.painted(ball, [18], "whole", 0)
    found = np.where(given.known, ball.labels, 3)
    assert common.dice(given, found) == [1, 1]


def test_the_ceiling_is_a_line_of_its_own_and_each_count_tells_its_share_of_it():
    rows = [
        adaptation.job("chimp", 0) | {"dice": 0.5, "key": "aaaa"},
        adaptation.job("chimp", 5) | {"dice": 0.76, "key": "aaaa"},
        adaptation.job("chimp", 0, how=adaptation.CEILING) | {"dice": 0.8, "key": "bbbb"},
    ]
    table = pd.DataFrame(rows)
    curve = adaptation_tables.curve_of(table, pd.Series({("chimp", "hmrf"): 0.4}))
    lines = adaptation_tables.curve_lines(curve)
    assert [line[1:3] + line[-2:] for line in lines] == [
        ["0", "0.500", "0.625", "aaaa"],
        ["5", "0.760", "0.950", "aaaa"],
    ]
    (ceiling,) = adaptation_tables.ceiling_lines(table)
    assert ceiling == ["chimp", "every second", "0.800", "", "", "", "", "1", "bbbb"]


def test_the_ceiling_learns_every_second_slice_with_nothing_given_back(ball):
    held = np.flatnonzero(ball.known.any(axis=(0, 2)))
    assert adaptation.every_second(ball) == held[::2].tolist()
    recipe, steps = adaptation.to_the_end()
    assert recipe.kept == 1 and steps > recipe.most_steps


def test_the_curve_has_the_mean_of_a_brain_and_the_keys_of_its_rows():
    rows = [
        adaptation.job("chimp", 0) | {"dice": 0.5, "key": "aaaa"},
        adaptation.job("chimp", 1) | {"dice": 0.75, "key": "aaaa"},
        adaptation.job("chimp", 1, 0) | {"dice": 0.6, "key": "aaaa"},
        adaptation.job("chimp", 1, 1) | {"dice": 0.8, "key": "earlier"},
    ]
    curve = adaptation_tables.curve_of(pd.DataFrame(rows), pd.Series({("chimp", "hmrf"): 0.4}))
    one = curve[(curve.brain == "chimp") & (curve.slices == 1)].iloc[0]
    assert (one.suggested, one.low, one.high, one.n, one.gain) == (0.75, 0.6, 0.8, 2, 0.25)
    assert one.key == "aaaa, earlier" and one.hmrf == 0.4
    line = adaptation_tables.curve_lines(curve)[1]
    assert line[:4] == ["chimp", "1", "0.750", "0.700 (0.600 to 0.800, 2)"]
    assert line[-1] == "aaaa, earlier"


def test_the_record_of_the_advice_counts_what_the_next_slice_brought():
    row = {"brain": "x", "rounds": 3, "learned": "all", "key": "k"}
    moved, dice = [np.nan, 0.1, 0.01, 0.01], [0.8, 0.85, 0.86, 0.85]
    rows = [row | {"round": n, "moved": moved[n], "gm": dice[n], "wm": dice[n]} for n in range(4)]
    said = stop_advice_tables.judged(pd.DataFrame(rows))
    assert said.stop.tolist() == [False, True] and said["round"].tolist() == [1, 2]
    assert np.allclose(said.before, [0.05, 0.01]) and np.allclose(said.brought, [0.01, -0.01])
    stop, go, held = stop_advice_tables.record_of(said)
    assert "after 1 of 2 rounds" in stop and stop.endswith("after 0 of these")
    assert "after 1 rounds" in go and go.endswith("after 0 of these")
    assert "on the other brains x the next slice brought no more" in held
    assert "after 2 of 2 rounds" in held
    other = said.assign(brain=stop_advice_tables.SETTLE[0])
    (line,) = stop_advice_tables.settled(pd.concat([said, other]))
    assert "stop at 0.010 is right after 2 of 2 rounds, and on the other brains after 2" in line
