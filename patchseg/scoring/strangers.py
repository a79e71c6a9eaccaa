"""Tables of networks on brains whose species is new to them (of `on_zoo.evidence`)."""

import numpy as np
import pandas as pd

from patchseg.core.tissues import TISSUES

LEFT_OUT = {
    "human-eve": "no-people",
    "human-nii2mesh": "no-people",
    "chimp": "no-chimp",
    "chimp-t2": "no-chimp",
    "macaque-21mo": "no-macaque",
    "macaque-4mo": "no-macaque",
    "mouse-fvb-2": "no-mouse",
    "mouse-fvb-3": "no-mouse",
    "mouse-fvb-4": "no-mouse",
}
"""For each brain the network that learned from all other species of the zoo."""
POOR, FINE = 0.75, 0.9
"""Dice, mean of GM and WM: below, a result should not be called good; above, it should be."""


def left_out(scores):
    """Return Dice of each brain by the network that never saw its species, beside classical tools.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row for each network or tool, brain and tissue: network, brain, tissue, dice, key.

    Returns
    -------
    table : pandas.DataFrame
        By brain: network, Dice of CSF, GM and WM and the mean of GM and WM, that mean and CSF of
        HMRF and Atropos, key. What was not measured is NaN.
    """
    dice = scores.pivot_table(index=["network", "brain"], columns="tissue", values="dice")
    dice["GM, WM"] = dice[["GM", "WM"]].mean(axis=1)
    keys = scores.groupby(["network", "brain"]).key.first()
    rows = {}
    for brain, network in LEFT_OUT.items():
        if (network, brain) not in dice.index:
            continue
        row = {"network": network, **dice.loc[(network, brain), [*TISSUES, "GM, WM"]]}
        for tool in ("hmrf", "atropos"):
            for name in ("CSF", "GM, WM"):
                row[f"{tool} {name}"] = dice[name].get((tool, brain), np.nan)
        rows[brain] = row | {"key": keys[network, brain]}
    return pd.DataFrame.from_dict(rows, orient="index")


def gate(scores):
    """Return what the quality checks said of each brain new to a network, the worst Dice first.

    Parameters
    ----------
    scores : pandas.DataFrame
        As for `left_out`, with `qc` (good, look or bad) and `why`; rows without them are left out.

    Returns
    -------
    table : pandas.DataFrame
        network, brain, dice (mean of GM and WM), qc, wrong, why. A verdict is wrong if it calls a
        poor result good, or a fine one not.
    """
    matter = scores[scores.tissue.isin(["GM", "WM"])].dropna(subset="qc")
    by = matter.groupby(["network", "brain"], sort=False)
    table = by.agg(dice=("dice", "mean"), qc=("qc", "first"), why=("why", "first"))
    good = table.qc == "good"
    wrong = ((table.dice < POOR) & good) | ((table.dice > FINE) & ~good)
    table.insert(2, "wrong", wrong)
    table["why"] = ["" if pd.isna(why) else why for why in table.why]
    return table.sort_values("dice").reset_index()
