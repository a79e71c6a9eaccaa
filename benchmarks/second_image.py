"""Whether a second image is worth more than a second slice of the first.

    python benchmarks/second_image.py            # as with adapt --steps 0: ten minutes
    python benchmarks/second_image.py --train    # the network learns, too
    python benchmarks/second_image.py --report   # the table only

Two images of a species that the network never saw (artefacts/across/networks) get two labelled
coronal slices in all, as `patchseg.suggest` names them, which `patchseg.adapt` learns without the
guard. Dice is the mean of GM and WM on the slices that no arm labelled. Needs PATCHSEG_ZOO. Writes
artefacts/adaptation/second_image.csv and second_image.md.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import common
import nibabel as nib
import numpy as np
from adaptation import painted, without
from adaptation_tables import OUT
from common import SETTINGS, STRANGERS, as_given, dice, load, number, weights_of

import patchseg
from patchseg import params
from patchseg.core.tissues import UNLABELLED
from patchseg.images.grid import ras
from patchseg.scoring.rows import keys

PAIRS = {
    "macaques": ("macaque-21mo", "macaque-4mo"),
    "mice": ("mouse-fvb-2", "mouse-fvb-3", "mouse-fvb-4"),
}
"""Two brains to label, and a third one, if there is one, only to score."""
ARMS = {
    "none": (0, 0),
    "as suggested": None,
    "one slice each": (1, 1),
    "two of the first": (2, 0),
    "two of the second": (0, 2),
}
"""How many slices of the first and of the second are learned, each the best of its own brain; None:
those that are suggested if both are given."""


def arms(first, second, weights, folder):
    """Return the slices of each arm: a dict, by arm, of a dict of list of int, by brain."""
    images, masks, own = [], [], {}
    for name in (first, second):
        image, mask = as_given(load(name))
        images.append(str(folder / f"{name}.nii"))
        nib.save(image, images[-1])
        masks.append(mask)
        found = patchseg.suggest(images[-1], 2, weights, mask=mask, plane="coronal")
        own[name] = found.slices
    both = patchseg.suggest(images, 2, weights, mask=masks, plane="coronal")
    return {
        arm: {Path(found.image).name.removesuffix(".nii"): found.slices for found in both}
        if counts is None
        else {name: own[name][:count] for name, count in zip(own, counts, strict=True)}
        for arm, counts in ARMS.items()
    }


def taught(slices, weights, steps, out):
    """Return the weights that learned slices of brains; those given if there are none."""
    names = [name for name, numbers in slices.items() if numbers]
    if not names:
        return weights
    images, masks = zip(*[as_given(load(name)) for name in names], strict=True)
    given = [painted(load(name), slices[name], "whole", 0) for name in names]
    labels = [
        nib.Nifti1Image(np.where(one.labels == UNLABELLED, 0, one.labels), one.affine)
        for one in given
    ]
    how = {"masks": list(masks), "steps": steps, "guard": False}
    return patchseg.adapt(list(images), labels, weights, out, **how)


def measure(pair, learned):
    """Learn the slices of each arm and score all brains where nobody labels: a row a brain."""
    first, second, *_ = PAIRS[pair]
    weights, rows = weights_of(STRANGERS[first]), []
    with TemporaryDirectory() as folder:
        chosen = arms(first, second, weights, Path(folder))
        labelled = {
            name: {at for slices in chosen.values() for at in slices.get(name, [])}
            for name in PAIRS[pair]
        }
        for arm, slices in chosen.items():
            out = Path(folder) / f"{len(rows)}.weights.h5"
            new = taught(slices, weights, 0 if learned == "borders" else None, out)
            told = "; ".join(f"{one} {' '.join(map(str, at))}" for one, at in slices.items() if at)
            for name in PAIRS[pair]:
                image, mask = as_given(load(name))
                found = ras(patchseg.segment(image, mask, new).dseg, None)[0]
                scores = dice(without(load(name), labelled[name]), found)
                row = dict(zip(("gm", "wm"), (round(float(one), 4) for one in scores), strict=True))
                rows.append({"arm": arm, "brain": name, "slices": told} | row)
    return rows


def key(pair, learned):
    """Return the fingerprint of the rows of a pair."""
    return common.key(
        measure,
        settings=[params.load(SETTINGS).adapt.model_dump(), ARMS],
        brain_names=[*PAIRS[pair], "mni"],
        networks=[STRANGERS[PAIRS[pair][0]]],
    )


def report(table):
    """Write the table: a line a brain, a column an arm."""
    table = table.assign(dice=table[["gm", "wm"]].mean(axis=1))
    lines = []
    for place, own in table.groupby(["learned", "pair", "brain"], sort=False):
        scores = own.set_index("arm").dice
        lines.append([*place, *[number(scores.get(arm)) for arm in ARMS], keys(own)])
    head = ["learned", "pair", "scored on", *ARMS, "key"]
    common.write_markdown(OUT / "second_image.md", head, lines, table)


def main():
    """Do what is missing or stale, then write the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--train", action="store_true", help="the network learns, too")
    given = parser.parse_args()
    learned = "all" if given.train else "borders"
    jobs = [{"pair": pair, "learned": learned} for pair in PAIRS]
    common.publish(OUT / "second_image.csv", jobs, key, measure, report, given.report)


if __name__ == "__main__":
    main()
