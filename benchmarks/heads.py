"""Brains found in whole heads of species never seen: tables, pictures, the gate, tissues after it.

    PATCHSEG_ZOO=... python benchmarks/heads.py
    python benchmarks/heads.py --report   # pictures and tables of what is measured

Reads artefacts/across/heads.csv (patchseg dev across evidence). Writes beside it heads_gate.csv,
which says of every brain and head of the zoo, in 24 orders and directions of its axes and with a
field of view that is cut, whether it was told to be a head; heads_tissues.csv, Dice of the
chimpanzee's tissues inside the mask that was found and inside the true one; heads.md; and a picture
of each head in artefacts/heads/.
"""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pandas as pd
from common import (
    ACROSS,
    ARTEFACTS,
    complete,
    key,
    load,
    markdown,
    number,
    parser,
    weights_of,
    write_markdown,
)
from nibabel.processing import resample_from_to

from patchseg import checkpoint, figures, metrics
from patchseg.core.tissues import TISSUES
from patchseg.datasets import brains, heads, zoo
from patchseg.images import head
from patchseg.inference import mask as masks
from patchseg.inference import segmentation
from patchseg.scoring import rows
from patchseg.scoring.on_heads import LEFT_OUT, TOOLS

OUT = ARTEFACTS / "heads"
CUTS = (0.15, 0.5)
"""Shares of an edge that are cut away."""
STRANGER = {
    "chimpanzee": "heads-no-chimp",
    "macaque": "heads-no-macaque",
    "mouse": "heads-no-mouse",
}
"""The network that never saw a species; people's extracted brains were seen by all."""
PACKAGE = "of the package"


def rotations():
    """Return the 24 orders and directions of the axes that are turns, each as (order, signs)."""
    return [
        (order, signs)
        for order, signs in product(permutations(range(3)), product((1, -1), repeat=3))
        if np.linalg.det(np.eye(3)[list(order)] * np.array(signs)[:, None]) > 0
    ]


def views():
    """Return what is done to an image before the gate sees it, by name."""
    done = {f"turn-{number}": turn for number, turn in enumerate(rotations())}
    cuts = {
        f"cut-{share:.0%}-{'xyz'[axis]}{end}": (axis, end, share)
        for share, axis, end in product(CUTS, range(3), (0, 1))
    }
    return done | cuts


def seen(image, voxel_mm, view):
    """Return an image and its voxel size, turned or with its field of view cut."""
    if isinstance(view[0], tuple):
        order, signs = view
        turned = image.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
        return turned, tuple(np.array(voxel_mm)[list(order)])
    axis, end, share = view
    n = image.shape[axis]
    kept = slice(int(share * n), n) if end == 0 else slice(0, n - int(share * n))
    return image[tuple(kept if one == axis else slice(None) for one in range(3))], voxel_mm


def gate(name):
    """Return a row for each view of a brain or head and each network: is it said to be a head?

    By one that never saw the species, if there is one, and by that of the package.
    """
    one, is_head = load(name), brains.is_head(name)
    stranger = STRANGER.get(one.species)
    paths = {stranger: weights_of(stranger)} if stranger else {}
    found = []
    for network, path in (paths | {PACKAGE: None}).items():
        for title, view in views().items():
            other = masks.share_of_other(*seen(one.image, one.voxel_mm, view), path)
            right = (other > masks.HEAD) == is_head
            row = {"network": network, "view": title, "head": is_head}
            found.append(row | {"other": round(other, 4), "right": right})
    return found


def tissues(name):
    """Return Dice of the tissues of a chimpanzee's head inside both masks, by one network."""
    one, labelled = load(name), load("chimp")
    onto = nib.Nifti1Image(one.image, one.affine)
    labels = nib.Nifti1Image(labelled.labels, labelled.affine)
    truth = np.asarray(resample_from_to(labels, onto, order=0).dataobj)
    found = masks.find(one.image, one.voxel_mm, name, weights_of(LEFT_OUT[name]))
    result = []
    for title, mask in (("true", one.mask), ("found", found.mask)):
        given = nib.Nifti1Image(mask.astype(np.uint8), one.affine)
        dseg = segmentation.segment(onto, given, weights_of("no-chimp")).dseg
        labels = np.asarray(dseg.dataobj)
        known = (truth > 0) & (truth < 255)
        dice = {
            tissue: round(metrics.dice(truth == n, (labels == n) & known), 4)
            for n, tissue in enumerate(TISSUES, start=1)
        }
        result.append({"mask": title, **dice, "GM, WM": (dice["GM"] + dice["WM"]) / 2})
    return result


def pictures():
    """Draw each head with the outline of its source and of the network that never saw it."""
    for name, network in LEFT_OUT.items():
        one = load(name)
        found = masks.find(one.image, one.voxel_mm, name, weights_of(network))
        figure = figures.outlines(
            np.clip(head.scaled(one.image), 0, 1),
            {"mask of the source": one.mask, f"patchseg ({network})": found.mask},
            one.voxel_mm,
            5,
            f"{name}, Dice {metrics.dice(one.mask, found.mask):.3f}",
        )
        figures.save(figure, OUT / f"{name}.png")


def report(scores, gates, tissue_table):
    """Write the table for people."""
    by = scores.set_index(["method", "head"])
    lines = []
    for name, network in LEFT_OUT.items():
        if (network, name) not in by.index:
            continue
        row = by.loc[(network, name)]
        others = [number(by.dice.get((tool, name), np.nan)) for tool in TOOLS]
        lines.append(
            [
                name,
                network,
                number(row.dice),
                f"{row.hd95_mm:.2f}",
                f"{row.hd95_1mm:.1f}",
                str(row.qc),
                f"{row.seconds:.1f}",
                *others,
                row.key,
            ]
        )
    kind = gates.view.str.replace("-[0-9xyz]+$", "", regex=True)
    right = gates.right.astype(bool).groupby([gates.network, gates["head"], kind])
    said = (
        "\nThe gate, right of how many (24 orders and directions of the axes; 15 % or half of an"
        " edge cut away):\n\n"
        + markdown(
            ["network", "image", "view", "right"],
            [
                [
                    network,
                    "head" if is_head else "extracted brain",
                    view,
                    f"{sum(one)} of {len(one)}",
                ]
                for (network, is_head, view), one in right
            ],
        )
        + "\nDice of the chimpanzee's tissues (no-chimp) inside the true mask and that found by"
        " patchseg:\n\n"
        + markdown(
            ["head", "mask", *TISSUES, "GM, WM"],
            [
                [row["head"], row["mask"], *[number(row[one]) for one in (*TISSUES, "GM, WM")]]
                for row in tissue_table.to_dict("records")
            ],
        )
    )
    titles = ["head", "network", "Dice", "HD95 (mm)", "HD95 (1 mm-equivalent)", "said", "s"]
    write_markdown(ACROSS / "heads.md", [*titles, *TOOLS, "key"], lines, scores, more=said)


def main():
    """Measure what is missing, then write tables and pictures."""
    wanted = parser(__doc__).parse_args()
    names = [name for name, one in zoo.entries().items() if one.image] + list(heads.entries())
    finders = sorted(set(LEFT_OUT.values()))
    gates = complete(
        ACROSS / "heads_gate.csv",
        [{"brain": name} for name in names],
        lambda brain: key(
            gate,
            settings=checkpoint.use(checkpoint.HEADS),
            brain_names=[brain],
            networks=finders,
        ),
        lambda brain: gate(brain),
        wanted.report,
    )
    table = complete(
        ACROSS / "heads_tissues.csv",
        [{"head": name} for name in LEFT_OUT if "chimp" in name],
        lambda head: key(tissues, brain_names=[head, "chimp"], networks=[*finders, "no-chimp"]),
        lambda head: tissues(head),
        wanted.report,
    )
    if not wanted.report:
        pictures()
    scores = pd.DataFrame(rows.read(ACROSS / "heads.csv"))
    report(scores, gates, table)
    print((ACROSS / "heads.md").read_text())


if __name__ == "__main__":
    main()
