"""What is called deep grey matter: of species that a network never saw, and by classical tools.

    PATCHSEG_ZOO=... python benchmarks/deep_grey.py     # five minutes
    python benchmarks/deep_grey.py --report             # table only

For each structure that the labels of the source name, the share of its voxels that get its tissue,
a voxel from its border; and Dice of the whole brain, mean of GM and WM. Methods as in
segmentation.py, and patchseg without the network that finds deep grey matter, all else the same.
human-nii2mesh and the mice have Dice only: the labels name no structures. Dice of *outside* leaves
out the middle of a person's brain, where FSL FAST knows no deep grey matter. Writes
artefacts/across/deep.csv and .md.
"""

import tempfile
from pathlib import Path

import common
import numpy as np
from common import ACROSS, STRANGERS, as_given, load, number, weights_of
from scipy import ndimage
from segmentation import LIBRARY, METHODS

from patchseg import checkpoint, metrics
from patchseg.core.provenance import versions
from patchseg.core.tissues import TISSUES, UNLABELLED
from patchseg.datasets import deep

BRAINS = ("chimp", "chimp-t2", "macaque-21mo", "macaque-4mo")
"""Those of the zoo whose labels name the structures."""
OTHERS = ("human-nii2mesh", "mouse-fvb-2", "mouse-fvb-3", "mouse-fvb-4")
WITH, WITHOUT = "patchseg", "patchseg without it"
CLASSICAL = [name for name in METHODS if name != WITH]


def found_by(brain, method):
    """Return the labels that a method gives a brain: (x, y, z) ndarray of uint8."""
    one = load(brain)
    if method in CLASSICAL:
        found, _ = METHODS[method](one, None)
        return np.zeros_like(one.labels) if found is None else found.astype(np.uint8)
    from patchseg.inference import segmentation

    weights = weights_of(STRANGERS[brain])
    with tempfile.TemporaryDirectory() as place:
        if method == WITHOUT:
            weights = _without(weights, Path(place))
        return segmentation.segment(*as_given(one), weights).dseg.get_fdata().astype(np.uint8)


def _without(weights, folder):
    """Copy weights, with a card that does not ask for deep grey matter."""
    new = folder / weights.name
    new.write_bytes(weights.read_bytes())
    card = {
        name: value for name, value in checkpoint.read_card(weights).items() if name != "sha256"
    }
    checkpoint.write_card(new, **card | {"deep": False})
    return new


def _dice(labels, found, where):
    """Return Dice, mean of GM and WM, in some voxels."""
    both = [metrics.dice((labels == n) & where, (found == n) & where) for n in (2, 3)]
    return round(float(np.mean(both)), 4)


def measure(brain, method):
    """Segment a brain by a method: a row for the whole brain, and for each structure."""
    one, found = load(brain), found_by(brain, method)
    rows = [{"structure": "brain", "dice": _dice(one.labels, found, one.known)}]
    if one.species == "human":
        outside = deep.left_out(one).labels != UNLABELLED
        rows += [{"structure": "outside", "dice": _dice(one.labels, found, one.known & outside)}]
    for n, structure in enumerate(deep.STRUCTURES if brain in BRAINS else (), start=1):
        inner = ndimage.binary_erosion(one.parts == n)
        said = found[inner]
        shares = {name: round(float((said == t).mean()), 3) for t, name in enumerate(TISSUES, 1)}
        rows.append({"structure": structure, "voxels": int(inner.sum()), **shares})
    return rows


def key(brain, method):
    """Return the fingerprint of rows."""
    computed = [] if method in CLASSICAL else [STRANGERS[brain]]
    how = METHODS[method if method in CLASSICAL else WITH]
    library = versions(*LIBRARY.get(method, ()))
    return common.key(measure, how, settings=library, brain_names=[brain], networks=computed)


def report(table):
    """Write the table for people: a line for each brain and method."""
    tissues = {name: "GM" if name in deep.GREY else "WM" for name in deep.STRUCTURES}
    lines = []
    for (brain, method), rows in table.groupby(["brain", "method"], sort=False):
        own = rows.set_index("structure")
        dice = [number(own.dice.get(where, np.nan)) for where in ("brain", "outside")]
        shares = [number(own[tissue].get(name, np.nan)) for name, tissue in tissues.items()]
        lines.append([brain, method, *dice, *shares, rows.key.iloc[0]])
    head = ["brain", "method", "Dice GM, WM", "outside", *tissues, "key"]
    common.write_markdown(ACROSS / "deep.md", head, lines, table)


def main():
    """Do what is missing or stale, then write the table."""
    given = common.parser(__doc__).parse_args()
    methods = [WITH, WITHOUT, *CLASSICAL]
    jobs = [{"brain": brain, "method": method} for brain in BRAINS for method in methods]
    jobs += [{"brain": brain, "method": method} for brain in OTHERS for method in methods[:2]]
    report(common.complete(ACROSS / "deep.csv", jobs, key, measure, given.report))


if __name__ == "__main__":
    main()
