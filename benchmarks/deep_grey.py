"""What is called deep grey matter: of species that a network never saw, and by classical tools.

    PATCHSEG_ZOO=... python benchmarks/deep_grey.py     # four minutes
    python benchmarks/deep_grey.py --report             # table only

For each structure that the labels of the source name, the share of its voxels that get its tissue,
a voxel from its border. Methods as in segmentation.py, and patchseg without the network that finds
deep grey matter. Writes artefacts/across/deep.csv and .md.
"""

import common
from common import ACROSS, STRANGERS, load, number
from scipy import ndimage
from segmentation import LIBRARY, METHODS, network_for, segmented

from patchseg.core.provenance import versions
from patchseg.core.tissues import TISSUES
from patchseg.datasets import deep

BRAINS = ("chimp", "chimp-t2", "macaque-21mo", "macaque-4mo")
"""Those of the zoo whose labels name the structures."""


def measure(brain, method):
    """Segment a brain by a method: a row for each structure."""
    parts, found = load(brain).parts, segmented(brain, method, network_for(brain, method))[0]
    rows = []
    for n, structure in enumerate(deep.STRUCTURES, start=1):
        inner = ndimage.binary_erosion(parts == n)
        said = found[inner]
        shares = {name: round(float((said == t).mean()), 3) for t, name in enumerate(TISSUES, 1)}
        rows.append({"structure": structure, "voxels": int(inner.sum()), **shares})
    return rows


def key(brain, method):
    """Return the fingerprint of rows."""
    networks = [name] if (name := network_for(brain, method)) else []
    return common.key(
        measure,
        METHODS[method],
        settings=versions(*LIBRARY[method]),
        brain_names=[brain],
        networks=networks,
    )


def report(table):
    """Write the table for people: a line for each brain and method."""
    lines = []
    for (brain, method), own in table.groupby(["brain", "method"], sort=False):
        shares = own.set_index("structure")
        tissues = {name: "GM" if name in deep.GREY else "WM" for name in deep.STRUCTURES}
        shown = [number(shares.loc[name, tissue]) for name, tissue in tissues.items()]
        network = STRANGERS[brain] if method == "patchseg" else ""
        lines.append([brain, method, network, *shown, own.key.iloc[0]])
    head = ["brain", "method", "network", *deep.STRUCTURES, "key"]
    common.write_markdown(ACROSS / "deep.md", head, lines, table)


def main():
    """Do what is missing or stale, then write the table."""
    given = common.parser(__doc__).parse_args()
    jobs = [{"brain": brain, "method": method} for brain in BRAINS for method in METHODS]
    report(common.complete(ACROSS / "deep.csv", jobs, key, measure, given.report))


if __name__ == "__main__":
    main()
