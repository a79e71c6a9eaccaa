"""The table of stop_advice.py: what was said after each round, and what the next slice brought."""

import common
import numpy as np
import pandas as pd
from adaptation_tables import OUT
from common import SETTINGS

from patchseg import params
from patchseg.adaptation.record import next_gain

WORTH = 0.005
"""Dice that makes another slice worth the painting."""
BRAINS = ("macaque-21mo", "mouse-fvb-2", "chimp", "macaque-4mo", "mouse-fvb-3", "chimp-t2")
SETTLE = BRAINS[:3]
"""The half of the brains on which a threshold is settled; it is judged on the others."""
HEAD = (
    "learned",
    "brain",
    "labelled slices",
    "the last one brought",
    "share it moved",
    "advice",
    "estimate of the next",
    "the next one brought",
    "key",
)


def judged(table):
    """Return what was said after each round, and what the next slice brought.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `measure`; of a brain those of the longest run count.

    Returns
    -------
    said : pandas.DataFrame
        A row for each round after which another was made: `learned`, `brain`, `round`, `moved`,
        `stop`, `high` (the estimate), `before` and `brought` (by this round's slice and by the
        next), `key`.
    """
    enough, said = params.load(SETTINGS).adapt.enough, []
    for (learned, brain), own in table.groupby(["learned", "brain"], sort=False):
        own = own[own.rounds == own.rounds.max()].sort_values("round")
        dice = own[["gm", "wm"]].mean(axis=1).tolist()
        for number, row in enumerate(own.to_dict("records")):
            if 0 < number < len(own) - 1:
                known = {name: row[name] for name in ("round", "moved", "key")}
                known |= {"stop": row["moved"] <= enough}
                known["high"] = next_gain({"changed": row["moved"]})[1]
                gained = dice[number + 1] - dice[number], dice[number] - dice[number - 1]
                known |= dict(zip(("brought", "before"), gained, strict=True))
                said.append({"learned": learned, "brain": brain} | known)
    return pd.DataFrame(said)


def record_of(said):
    """Return lines that say how often the advice and the estimate held."""
    stop, more, below = said.stop, said.brought > WORTH, said.brought <= said.high
    lines = [
        f"- *stop* was said after {stop.sum()} of {len(said)} rounds; another slice still brought"
        f" more than {WORTH} after {(stop & more).sum()} of these",
        f"- *go on* was said after {(~stop).sum()} rounds; another slice brought {WORTH} or less"
        f" after {(~stop & ~more).sum()} of these",
    ]
    mine = said.brain.isin(SETTLE)
    for title, own in (("the", mine), ("the other", ~mine)):
        names = ", ".join(dict.fromkeys(said.brain[own]))
        if names:
            lines.append(
                f"- on {title} brains {names} the next slice brought no more than was estimated"
                f" after {below[own].sum()} of {own.sum()} rounds"
            )
    return lines


def settled(said):
    """Say what share moved tells best on half of the brains, and how well it does on the others."""
    more, mine = said.brought > WORTH, said.brain.isin(SETTLE)
    if mine.all() or not mine.any():
        return []
    right = {share: (said.moved > share) == more for share in np.arange(0.005, 0.105, 0.005)}
    best = max(right, key=lambda share: (right[share][mine].sum(), -share))
    return [
        f"- settled on {', '.join(SETTLE)}: stop at {best:.3f} is right after"
        f" {right[best][mine].sum()} of {mine.sum()} rounds, and on the other brains after"
        f" {right[best][~mine].sum()} of {(~mine).sum()}; always saying *stop* would be there after"
        f" {(~more)[~mine].sum()}"
    ]


def report(table):
    """Write the table, and how often the advice and the estimate held."""
    said = judged(table)
    lines = [
        [
            row.learned,
            row.brain,
            str(row.round),
            f"{row.before:+.3f}",
            f"{row.moved:.3f}",
            "stop" if row.stop else "go on",
            f"up to {row.high:.3f}",
            f"{row.brought:+.3f}",
            row.key,
        ]
        for row in said.itertuples()
    ]
    held = [
        "\n".join([f"Learned {learned}:\n", *record_of(own), *settled(own)]) + "\n"
        for learned, own in said.groupby("learned", sort=False)
    ]
    common.write_markdown(OUT / "stop_advice.md", HEAD, lines, table, more="\n".join(held))
