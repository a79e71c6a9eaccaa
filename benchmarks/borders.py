"""What a slice's labels say of the borders of the rest of a brain, and whether the checks tell.

    python benchmarks/borders.py            # four minutes on two cores
    python benchmarks/borders.py --report   # the table only

Coronal slices from front to back are labelled one at a time, whole or as scribbles on 5 % of them.
The logistic regression of `patchseg adapt` learns them from the answers of a network that never
saw the species (artefacts/across/networks) and does not learn itself. Dice is the mean of GM and WM
on all other slices. The checks leave the regression out where one half of the labels does not help
the other, or where the labels are of a part unlike the rest of the brain. Needs PATCHSEG_ZOO.
Writes artefacts/adaptation/borders.csv and borders.md.
"""

from itertools import product

import common
import numpy as np
from adaptation import LEAST, painted
from adaptation_tables import OUT
from common import ANIMALS, SETTINGS, STRANGERS, load
from strokes import seen

from patchseg import metrics, params
from patchseg.adaptation.answers import CHECKS, learned_borders
from patchseg.core.tissues import most_probable
from patchseg.inference import calibration
from patchseg.scoring.rows import keys

SLICES = 15
HOW = ("whole", "scribbles")


def measure(brain, how):
    """Learn one slice after the other: a row a slice."""
    one, whole, rows = load(brain), seen(brain), []
    recipe, mask = params.load(SETTINGS).adapt, one.mask
    area = one.known.sum(axis=(0, 2))
    large = np.flatnonzero(area >= LEAST * area.max())
    for place in large[np.linspace(0, len(large) - 1, SLICES).astype(int)]:
        given = painted(one, [place], how, seed=int(place))
        rest = (one.known & (np.indices(mask.shape, sparse=True)[1] != place))[mask]
        row, part = {"slice": int(place), "voxels": int(given.known.sum())}, given.known[mask]
        for name, checks in (("all", []), ("checked", CHECKS)):
            learned, _ = learned_borders([whole.only(part)], [given], recipe, 0, checks)
            after = calibration.apply(learned, *whole[:2]) if learned else whole.usual
            row[name] = _dice(one.labels[mask][rest], after[rest])
            row["used"] = bool(learned)
        rows.append(row | {"before": _dice(one.labels[mask][rest], whole.usual[rest])})
    return rows


def _dice(truth, probable):
    found = most_probable(probable)
    return round(float(np.mean([metrics.dice(truth == n, found == n) for n in (2, 3)])), 4)


def key(brain, how):
    """Return the fingerprint of the rows of a brain."""
    return common.key(
        measure,
        settings=params.load(SETTINGS).adapt.model_dump(),
        brain_names=[brain],
        networks=[STRANGERS[brain]],
    )


def report(table, by=("how", "brain"), title="labels", name="borders.md"):
    """Write the table: a line for each of what `by` tells apart."""
    lines = []
    for place, own in table.groupby(list(by), sort=False):
        gains = [own[name] - own.before for name in ("all", "checked")]
        told = [f"{number:+.3f}" for gain in gains for number in (gain.mean(), gain.min())]
        used = int((own.used.astype(str) == "True").sum())
        lines.append(
            [*place, f"{own.before.mean():.3f}", *told, f"{used} of {len(own)}", keys(own)]
        )
    head = [title, by[1], "without", "mean gain, no checks", "least", "mean gain, checks"]
    common.write_markdown(OUT / name, [*head, "least", "used", "key"], lines, table)


def main():
    """Do what is missing or stale, then write the table."""
    given = common.parser(__doc__).parse_args()
    jobs = [{"brain": brain, "how": how} for how, brain in product(HOW, ANIMALS)]
    common.publish(OUT / "borders.csv", jobs, key, measure, report, given.report)


if __name__ == "__main__":
    main()
