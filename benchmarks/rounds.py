"""Whether what rounds of labelling lead to depends on their order, and what they take.

    python benchmarks/rounds.py             # five minutes for each of two brains
    python benchmarks/rounds.py --borders   # as with adapt --steps 0
    python benchmarks/rounds.py --report    # the table only

Two coronal slices, as `patchseg.suggest` names them, are learned without the guard: both at once,
or one after the other, the second round from the weights of the first and with the labels of both,
as a user does it; and in the other order. The first network never saw the species
(artefacts/across/networks). Dice is the mean of GM and WM on all other slices. Needs PATCHSEG_ZOO.
Writes artefacts/adaptation/rounds.csv and rounds.md.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import common
import numpy as np
from adaptation import slices_of, without
from adaptation_tables import OUT
from common import ANIMALS, SETTINGS, STRANGERS, as_given, dice, load, number, weights_of
from second_image import taught

import patchseg
from patchseg import checkpoint, params
from patchseg.images.grid import ras
from patchseg.inference import networks
from patchseg.scoring.rows import keys

BRAINS = ("chimp", "macaque-21mo")
WAYS = {"at once": ((0, 1),), "in order": ((0,), (0, 1)), "turned round": ((1,), (0, 1))}
"""Which of the slices each round learns."""


def measure(brain, learned):
    """Learn the two slices in each way: a row a way."""
    one, first, rows = load(brain), weights_of(STRANGERS[brain]), []
    slices = slices_of(one, networks.load(first), 2, -1)
    image, mask = as_given(one)
    for way, rounds in WAYS.items():
        weights, seconds = first, []
        with TemporaryDirectory() as folder:
            for count, chosen in enumerate(rounds):
                out = Path(folder) / f"{count}{checkpoint.SUFFIX}"
                given = {brain: [slices[at] for at in chosen]}
                weights = taught(given, weights, 0 if learned == "borders" else None, out)
                seconds.append(str(checkpoint.read_card(weights)["seconds"]))
            labels = ras(patchseg.segment(image, mask, weights).dseg, None)[0]
        gm, wm = (round(float(score), 4) for score in dice(without(one, slices), labels))
        row = {"way": way, "slices": " ".join(map(str, slices)), "seconds": " ".join(seconds)}
        rows.append(row | {"gm": gm, "wm": wm})
    return rows


def key(brain, learned):
    """Return the fingerprint of the rows of a brain."""
    return common.key(
        measure,
        settings=params.load(SETTINGS).adapt.model_dump(),
        brain_names=[brain, "mni"],
        networks=[STRANGERS[brain]],
    )


def report(table):
    """Write the table: a line a brain."""
    table, lines = table.assign(dice=table[["gm", "wm"]].mean(axis=1)), []
    for place, own in table.groupby(["learned", "brain"], sort=False):
        by = own.set_index("way")
        scores = [by.dice.get(way, np.nan) for way in WAYS]
        seconds = [by.seconds[way].replace(" ", ", ") for way in WAYS]
        apart = f"{np.ptp(scores):.4f}"
        lines.append([*place, *map(number, scores), apart, *seconds, keys(own)])
    head = ["learned", "brain", *WAYS, "they differ by", *[f"s, {way}" for way in WAYS], "key"]
    common.write_markdown(OUT / "rounds.md", head, lines, table)


def main():
    """Do what is missing or stale, then write the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--brains", nargs="+", choices=list(ANIMALS), default=list(BRAINS))
    parser.add_argument("--borders", action="store_true", help="only --steps 0")
    given = parser.parse_args()
    learned = "borders" if given.borders else "all"
    jobs = [{"brain": name, "learned": learned} for name in given.brains]
    common.publish(OUT / "rounds.csv", jobs, key, measure, report, given.report)


if __name__ == "__main__":
    main()
