"""Whether the advice to stop labelling holds, and the estimate of what another slice brings.

    python benchmarks/stop_advice.py --borders   # as with adapt --steps 0: a quarter of an hour
    python benchmarks/stop_advice.py --brains macaque-21mo --rounds 4   # trains, a minute a round
    python benchmarks/stop_advice.py --report    # the table only

What a user does, round after round: label the slice that `patchseg.suggest` names, and let
`patchseg.adapt` go on from the weights of the last round, without the guard. The first network
never saw the species (artefacts/across/networks). Slices are coronal. Dice is the mean of GM and WM
on the slices that no round labelled, the same in all rounds of a brain. Needs PATCHSEG_ZOO. Writes
artefacts/adaptation/stop_advice.csv and stop_advice.md.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import common
import nibabel as nib
from adaptation import without
from adaptation_tables import OUT
from common import SETTINGS, STRANGERS, as_given, dice, load, weights_of
from stop_advice_tables import BRAINS, report

import patchseg
from patchseg import checkpoint, params
from patchseg.adaptation.suggestion import fill_in
from patchseg.images.grid import ras

ROUNDS = 8
STEPS = {"borders": 0, "all": None}
"""Batches of each round, by what learns."""


def measure(brain, rounds, learned):
    """Label and learn one slice after the other: a row a round, 0 before any.

    `learned` is 'all', or 'borders' as with ``--steps 0``.
    """
    one = load(brain)
    image, mask = as_given(one)
    truth, labels = nib.Nifti1Image(one.labels, one.affine), None
    rows, found, slices = [{"round": 0}], [], []
    weights = weights_of(STRANGERS[brain])
    with TemporaryDirectory() as folder:
        for number in range(1, rounds + 2):
            now = patchseg.suggest(image, 1, weights, mask=mask, labelled=labels, plane="coronal")
            found.append(ras(now.guess, None)[0])
            if number > rounds:
                break
            labels = fill_in(now, truth, labels)
            new = Path(folder) / f"{number}{checkpoint.SUFFIX}"
            how = {"masks": mask, "steps": STEPS[learned], "guard": False}
            weights = patchseg.adapt(image, labels, weights, new, **how)
            slices += now.slices
            moved = checkpoint.read_card(weights)["changed"]
            rows.append({"round": number, "slice": slices[-1], "moved": moved})
            print(brain, rows[-1], flush=True)
    scored = without(one, slices)
    for row, labels in zip(rows, found, strict=True):
        row["gm"], row["wm"] = (round(float(score), 4) for score in dice(scored, labels))
    return rows


def key(brain, rounds, learned):
    """Return the fingerprint of the rows of a brain."""
    return common.key(
        measure,
        settings=params.load(SETTINGS).adapt.model_dump(),
        brain_names=[brain, "mni"],
        networks=[STRANGERS[brain]],
    )


def main():
    """Do what is missing or stale, one after the other, then write the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--brains", nargs="+", choices=BRAINS, default=list(BRAINS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="slices of each brain")
    parser.add_argument("--borders", action="store_true", help="only --steps 0")
    given = parser.parse_args()
    learned = "borders" if given.borders else "all"
    jobs = [{"brain": name, "rounds": given.rounds, "learned": learned} for name in given.brains]
    common.publish(OUT / "stop_advice.csv", jobs, key, measure, report, given.report)


if __name__ == "__main__":
    main()
