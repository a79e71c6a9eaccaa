import numpy as np
import pandas as pd
import pytest

from patchseg.datasets import brains
from patchseg.scoring import strangers


def rows(network, brain, dice, **known):
    return [
        {"network": network, "brain": brain, "tissue": tissue, "dice": value, "key": "k"} | known
        for tissue, value in zip(("CSF", "GM", "WM"), dice, strict=True)
    ]


def test_each_brain_stands_beside_the_classical_tools():
    table = strangers.left_out(
        pd.DataFrame(
            [
                *rows("no-chimp", "chimp", (0.3, 0.8, 0.9)),
                *rows("people", "chimp", (0.9, 0.9, 0.9)),
                *rows("hmrf", "chimp", (0.1, 0.5, 0.7)),
            ]
        )
    )
    (chimp,) = table.to_dict("records")
    assert list(table.index) == ["chimp"] and chimp["network"] == "no-chimp"
    assert chimp["CSF"] == 0.3 and chimp["GM, WM"] == pytest.approx(0.85)
    assert chimp["hmrf GM, WM"] == pytest.approx(0.6) and np.isnan(chimp["atropos CSF"])


def test_a_verdict_is_wrong_if_it_praises_the_poor_or_doubts_the_fine():
    seen = {"a": (0.7, "good"), "b": (0.7, "look"), "c": (0.95, "bad"), "d": (0.95, "good")}
    listed = [rows("n", brain, [dice] * 3, qc=qc) for brain, (dice, qc) in seen.items()]
    listed += [rows("hmrf", "a", [0.1] * 3, qc=np.nan), rows("n", "e", [0.8] * 3, qc="look")]
    table = strangers.gate(pd.DataFrame([row | {"why": np.nan} for part in listed for row in part]))
    assert table.set_index("brain").wrong.to_dict() == {
        "a": True,
        "b": False,
        "c": True,
        "d": False,
        "e": False,
    }
    assert table.dice.is_monotonic_increasing and (table.why == "").all()


def test_left_out_names_brains_of_the_zoo():
    assert set(strangers.LEFT_OUT) <= set(brains.names(["*"]))
