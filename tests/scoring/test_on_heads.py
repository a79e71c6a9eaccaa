import numpy as np
import pytest
from conftest import Shells, ball_head

from patchseg import checkpoint
from patchseg.core.tissues import UNLABELLED
from patchseg.datasets import brains, heads
from patchseg.datasets.labelled import Labelled
from patchseg.inference import networks
from patchseg.scoring import on_heads


@pytest.fixture
def ball(monkeypatch):
    """A ball's head in the place of each head of the zoo, and a network that finds its brain."""
    image, brain = ball_head()
    truth = np.where(brain, UNLABELLED, 0).astype(np.uint8)
    one = Labelled("ball", image, truth, np.eye(4), "ball")
    monkeypatch.setattr(brains, "load", lambda name: one)
    monkeypatch.setattr(brains, "identity", lambda name: name)
    monkeypatch.setattr(heads, "entries", lambda: {"head-a": None, "head-b": None})
    monkeypatch.setattr(networks, "load_heads", lambda path=None, precision="auto": Shells())
    card = {"brains": ["head-b"], "sha256": "0123456789abcdef"}
    monkeypatch.setattr(checkpoint, "read_card", lambda path: card)
    return one


def test_masks_are_compared_by_hand():
    truth, found = np.zeros((2, 20, 20, 20), bool)
    truth[5:15, 5:15, 5:15] = True
    found[6:16, 5:15, 5:15] = True
    row = on_heads.measured(truth, found, (0.5, 0.5, 0.5))
    assert row["dice"] == pytest.approx(0.9) and row["volume_ratio"] == 1
    assert row["hd95_mm"] == pytest.approx(0.5)
    assert row["hd95_1mm"] == pytest.approx(0.5 / 5 * on_heads.MACAQUE_MM)


def test_a_network_and_other_tools_are_scored_on_heads_that_are_new_to_them(
    ball, tmp_path, monkeypatch
):
    monkeypatch.setattr(on_heads, "TOOLS", {"median_otsu": "dipy"})
    weights = [tmp_path / "heads-x.weights.h5"]
    table = on_heads.evidence(weights, tmp_path / "heads.csv").set_index(["method", "head"])
    assert list(table.index) == [
        ("heads-x", "head-a"), ("median_otsu", "head-a"), ("median_otsu", "head-b")
    ]  # fmt: skip
    own = table.loc["heads-x", "head-a"]
    assert own.dice > 0.97 and own.qc == "good" and own.other > 0.5
    assert (table.loc["median_otsu"].dice > 0.3).all()
    monkeypatch.setattr(brains, "load", lambda name: pytest.fail("measured again"))
    again = on_heads.evidence(weights, tmp_path / "heads.csv").set_index(["method", "head"])
    assert list(again.key) == list(table.key)


def test_heads_that_were_left_out_are_heads_of_the_zoo():
    assert set(on_heads.LEFT_OUT) == set(heads.entries())
