"""What one slice of a true mask says of the brain's border in the rest of a head.

    python benchmarks/head_borders.py            # four minutes on two cores
    python benchmarks/head_borders.py --report   # the table only

Slices from end to end of each head, in each plane, are labelled one at a time, and taught to a
network that never saw the species (artefacts/across/networks) as `patchseg adapt --what brain
--steps 0` does it: the network stays as it is. Dice is that of the brain on all other slices. *All*
is without the checks that leave a border out. Needs PATCHSEG_ZOO. Writes
artefacts/adaptation/head_borders.csv and head_borders.md.
"""

import tempfile
import warnings
from functools import cache
from itertools import product
from pathlib import Path

import common
import nibabel as nib
import numpy as np
from adaptation_tables import OUT
from borders import report as write_gains
from common import load, weights_of

from patchseg import checkpoint, metrics, params
from patchseg.adaptation import heads
from patchseg.adaptation.brain_labels import BRAIN, OTHER
from patchseg.datasets.labelled import Labelled
from patchseg.images.grid import AXES
from patchseg.inference import border, extraction, networks
from patchseg.scoring.on_heads import LEFT_OUT

SLICES = 6
LEAST = 0.3
"""Share of the largest slice of the brain that a slice needs to be labelled."""


@cache
def seen(head):
    """Return what the network that never saw the species finds in a head."""
    one = load(head)
    return extraction.find(networks.load_heads(weights_of(LEFT_OUT[head])), one.image, one.voxel_mm)


def measure(head, plane):
    """Label one slice after the other: a row a slice."""
    one, raw, axis, found = load(head), seen(head), AXES.index(plane), []
    area = one.mask.sum(axis=tuple({0, 1, 2} - {axis}))
    large = np.flatnonzero(area >= LEAST * area.max())
    for place in large[np.linspace(0, len(large) - 1, SLICES).astype(int)]:
        labels = np.zeros(one.mask.shape, np.uint8)
        at = tuple(place if side == axis else slice(None) for side in range(3))
        labels[at] = np.where(one.mask[at], BRAIN, OTHER)
        row = {"slice": int(place), "before": _dice(one.mask, raw.mask, labels)}
        given = Labelled(head, one.image, labels, one.affine)
        own = border.around(one.image, raw, one.voxel_mm)
        free = border.learn([given], [own], params.shipped().adapt.calibration)
        row["used"], checked = _checked(head, labels)
        for name, borders in (("all", free), ("checked", checked)):
            row[name] = _dice(one.mask, border.moved(raw, own, borders).mask, labels)
        found.append(row)
    return found


def _checked(head, labels):
    """Return whether `adapt --what brain --steps 0` keeps what these labels teach; the borders."""
    one, start = load(head), weights_of(LEFT_OUT[head])
    image, painted = (nib.Nifti1Image(data, one.affine) for data in (one.image, labels))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        weights = Path(folder) / f"new{checkpoint.SUFFIX}"
        heads.adapt(image, painted, start, weights, steps=0)
        return checkpoint.read_card(weights)["helped"], border.of_card(weights)


def _dice(truth, found, labels):
    rest = labels == 0
    return round(metrics.dice(truth[rest], found[rest]), 4)


def key(head, plane):
    """Return the fingerprint of the rows of a head and a plane."""
    return common.key(measure, brain_names=[head], networks=[LEFT_OUT[head]])


def report(table):
    """Write the table: a line a head and plane."""
    write_gains(table, ("head", "plane"), "head", "head_borders.md")


def main():
    """Do what is missing or stale, then write the table."""
    given = common.parser(__doc__).parse_args()
    jobs = [{"head": head, "plane": plane} for head, plane in product(LEFT_OUT, AXES)]
    common.publish(OUT / "head_borders.csv", jobs, key, measure, report, given.report)


if __name__ == "__main__":
    main()
