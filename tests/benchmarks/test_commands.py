"""Benchmarks that run the command: what it took, and the tables that are made of it."""

import batch
import commands
import from_head
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import labelled_ball

KEYED = {"key": "abc", "machine": "a machine"}


def test_a_command_tells_what_it_took():
    clock, used, peak_mb = commands.command("--version")
    assert used > 0 and clock > 0 and 5 < peak_mb < 1000


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="nothing.nii.*no such file"):
        commands.command("segment", tmp_path / "nothing.nii", "--out", tmp_path / "out")


def test_what_a_further_image_and_a_report_take(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "OUT", tmp_path)
    seconds = {"first": 9, "plain": 8, "more, plain": 32, "more": 46}
    rows = [
        {"brain": "b", "older": False, "run": run, "seconds": took, "processor": 2 * took}
        | {"peak_mb": 1234}
        | KEYED
        for run, took in seconds.items()
    ]
    batch.report(pd.DataFrame(rows))
    line = (tmp_path / "batch.md").read_text().splitlines()[-1]
    assert "| 9.0 (18.0) | 6.2 (12.3) | 4.0 (8.0) | 2.0 (4.0) | 1,234 MB |" in line


def test_the_whole_way_is_the_sum_of_its_commands(tmp_path, monkeypatch):
    monkeypatch.setattr(from_head, "OUT", tmp_path)
    steps = {"segment, before": (5, 0.7), "suggest": (10, np.nan), "adapt": (60, np.nan)}
    steps |= {"segment, after": (6, 0.9)}
    rows = [
        {"head": "h", "older": True, "step": step, "seconds": took, "processor": took + 1}
        | {"gm": dice, "wm": dice}
        | KEYED
        for step, (took, dice) in steps.items()
    ]
    from_head.report(pd.DataFrame(rows))
    line = (tmp_path / "from_head.md").read_text().splitlines()[-1]
    assert "| AVX2 | 10 (11) | 60 (61) | 6 (7) | 76 (79) | 0.700 | 0.900 |" in line


def test_strokes_mend_the_one_slice_of_a_proposal():
    one = labelled_ball()
    guess = np.zeros(one.labels.shape, np.uint8)
    guess[:, 18] = np.where(one.labels[:, 18], 2, 0)
    mended, place = from_head.corrected(nib.Nifti1Image(guess, one.affine), one)
    labels, truth = np.asarray(mended.dataobj)[:, 18], one.labels[:, 18]
    assert place == 18 and not np.asarray(mended.dataobj)[:, 17].any()
    assert (labels == truth).mean() > (guess[:, 18] == truth).mean()
