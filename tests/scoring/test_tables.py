import json

import numpy as np
import pandas as pd
import pytest

from patchseg.scoring import tables


def made(method, dice, level="patch", tissue="GM"):
    """Rows of `tables.scores`: one for each seed; no seed where there is one value."""
    seeds = range(len(dice)) if len(dice) > 1 else [np.nan]
    return pd.DataFrame(
        [
            (method, seed, level, tissue, 9, value, value / 2, 1.0, 5.0)
            for seed, value in zip(seeds, dice, strict=True)
        ],
        columns=["method", "seed", "level", "tissue", "n", "dice", "iou", "hd95_mm", "avd_percent"],
    )


def test_patches_are_pooled_and_slices_averaged():
    places = {"method": "a", "seed": 0, "tissue": "GM", "n": 3, "hd95_mm_mean": 1.0}
    counted = {"dice_pooled": 0.9, "dice_mean": 0.6, "iou_pooled": 0.8, "iou_mean": 0.5}
    table = pd.DataFrame(
        [
            places | counted | {"level": level, "avd_percent_mean": 2.0}
            for level in ("patch", "slice", "volume")
        ]
    )
    found = tables.scores(table)
    assert found.dice.tolist() == [0.9, 0.6, 0.6] and found.iou.tolist() == [0.8, 0.5, 0.5]


def test_mean_and_spread_over_seeds_by_hand():
    table = tables.over_seeds(pd.concat([made("a", [0.8, 0.9, 1.0]), made("HMRF", [0.7])]))
    assert table.dice.tolist() == pytest.approx([0.9, 0.7])
    assert table.dice_sd[0] == pytest.approx(0.1) and np.isnan(table.dice_sd[1])
    assert table.seeds.tolist() == [3, 1]


def test_differences_are_paired_by_seed():
    """The recipes differ by 0.01 in each seed, and by ten times that between seeds."""
    rows = pd.concat(
        [made("a", [0.81, 0.91, 0.71]), made("b", [0.80, 0.901, 0.699]), made("HMRF", [0.5])]
    )
    (row,) = tables.differences(rows, "a").itertuples()
    assert (row.against, row.seen) == ("b", "better")
    assert row.difference == pytest.approx(0.01) and row.low < 0.01 < row.high
    half = 4.3027 * np.std([0.01, 0.009, 0.011], ddof=1) / np.sqrt(3)  # Student's t, 2 degrees
    assert row.high - row.difference == pytest.approx(half, rel=1e-3)
    (row,) = tables.differences(rows, "b").itertuples()
    assert row.seen == "worse"


def test_no_difference_is_seen_where_the_interval_holds_0_or_there_is_none():
    rows = pd.concat([made("a", [0.8, 0.9]), made("b", [0.9, 0.8])])
    (row,) = tables.differences(rows, "a").itertuples()
    assert row.low < 0 < row.high and row.seen == "no difference seen"
    one = rows[rows.seed == 0]
    (row,) = tables.differences(one, "a").itertuples()
    assert np.isnan(row.low) and row.seen == "one seed"
    text = tables.differences_markdown(tables.differences(one, "a"), "a")
    assert "| b | patch |  | -0.100 (one seed) |  |" in text


def test_tables_are_written_and_read_back(tmp_path):
    tissues = ("CSF", "GM", "WM")
    table = pd.concat(
        [
            made(method, dice, tissue=tissue)
            for method, dice in (("a", [0.8, 0.9]), ("HMRF", [0.5]))
            for tissue in tissues
        ]
    )
    counted = {
        f"{name}_{kind}": table[name] for name in ("dice", "iou") for kind in ("pooled", "mean")
    }
    filled = {f"dice_filled_{kind}": table.dice for kind in ("mean", "median")}
    distances = {"hd95_mm_mean": np.nan, "avd_percent_mean": 3.0, "n_filled": 7}
    tables.write_scores(table.assign(**counted, **filled, **distances), "a", tmp_path)
    read = pd.read_csv(tmp_path / "scores.csv")
    assert len(read) == 9 and read[read.seed == 1].dice.tolist() == [0.9] * 3
    text = (tmp_path / "scores.md").read_text().replace("\u00a0", " ")
    assert "| a | patch | 0.850 ± 0.071 | 0.850 ± 0.071 | 0.850 ± 0.071 | 0.850 ± 0.071 |" in text
    assert "| HMRF | patch | 0.500 | 0.500 | 0.500 | 0.500 |" in text
    metrics = json.loads((tmp_path / "scores.json").read_text())
    assert metrics["a"]["patch"]["GM"] == {"dice": 0.85, "dice_sd": 0.0707107, "iou": 0.425}
    assert metrics["HMRF"]["patch"]["GM"] == {"dice": 0.5, "iou": 0.25}
    text = (tmp_path / "measures.md").read_text().replace("\u00a0", " ")
    assert "| a | patch | 0.425 / 0.425 / 0.425 | – | 3.0 / 3.0 / 3.0 |" in text
    text = (tmp_path / "filled_patches.md").read_text().replace("\u00a0", " ")
    assert "| a | 7 / 7 / 7 | 0.850 / 0.850 / 0.850 |" in text
    assert pd.read_csv(tmp_path / "differences.csv").empty


def test_fold_sizes_are_compared_seed_by_seed():
    rows = [
        (recipe, seed, size, "GM", dice + gap * (recipe == "a") * size)
        for recipe in "ab"
        for size in (0.5, 2.0)
        for seed, (dice, gap) in enumerate([(0.8, 0.05), (0.9, 0.051), (0.7, 0.049)])
    ]
    curves = pd.DataFrame(rows, columns=["recipe", "seed", "fold_size", "tissue", "dice"])
    head, _, small, large = tables.fold_markdown(curves, "a").splitlines()
    assert head == "| a minus | fold size | WM | GM | CSF |"
    assert small.startswith("| b | 0.5 |  | +0.025 (") and large.startswith(
        "| b | 2.0 |  | +0.100 ("
    )
