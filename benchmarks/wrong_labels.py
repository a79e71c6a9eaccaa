"""Are wrong labels found, named and told apart from good ones? Faults made on purpose in the zoo.

    python benchmarks/wrong_labels.py             # minutes on two cores; current rows are kept
    python benchmarks/wrong_labels.py --report    # the table only

Coronal slices of each brain get good labels (true, coarse, scribbled, a corrected proposal) and
labels with a fault. The guess is that of a network that never saw the species; its coronal view
alone, for speed. Limits were fitted on the brains of `FITTED` and are judged on the others. Needs
PATCHSEG_ZOO. Writes artefacts/adaptation/wrong_labels.csv and .md.
"""

from functools import cache

import common
import cv2
import numpy as np
from common import ARTEFACTS, STRANGERS, load, weights_of
from scipy.ndimage import gaussian_filter

from patchseg.adaptation import label_fit
from patchseg.core.tissues import is_tissue, most_probable
from patchseg.images.grid import resize
from patchseg.inference import networks, views
from patchseg.scoring import rows

OUT = ARTEFACTS / "adaptation"
FITTED = ("human-eve", "chimp", "macaque-21mo", "mouse-fvb-2")
JUDGED = ("human-nii2mesh", "chimp-t2", "macaque-4mo", "mouse-fvb-3", "mouse-fvb-4")
OTHER = {
    "human-eve": "macaque-21mo",
    "chimp": "human-eve",
    "macaque-21mo": "chimp",
    "mouse-fvb-2": "mouse-fvb-3",
    "human-nii2mesh": "human-eve",
    "chimp-t2": "macaque-4mo",
    "macaque-4mo": "macaque-21mo",
    "mouse-fvb-3": "mouse-fvb-4",
    "mouse-fvb-4": "mouse-fvb-2",
}
"""Whose labels are given as those of another brain, scaled to the brain."""
SLICES = 8
GOOD = ("true", "coarse", "scribbles", "corrected proposal", "proposal")
MIRRORS = {"mirrored left-right": 0, "mirrored up-down": 2, "mirrored front-back": 1}
SHIFTS = {f"shifted by {n} slice(s)": n for n in (1, 2, 3)}
MOVES = {f"shifted by {n} voxels": n for n in (2, 4, 7)}
ORDERS = {
    "swapped CSF and GM": (2, 1, 3),
    "swapped GM and WM": (1, 3, 2),
    "swapped CSF and WM": (3, 2, 1),
    "swapped: 1 GM, 2 WM, 3 CSF": (3, 1, 2),
    "swapped: 1 WM, 2 CSF, 3 GM": (2, 3, 1),
}
FAULTS = (*MIRRORS, *SHIFTS, *MOVES, *ORDERS, "another brain", "mask as labels")


def given(one, guess, number, case, rng, other):
    """Return good or wrong labels (x, z) of a coronal slice; 0 is not labelled."""
    own = plane(one, number)
    if case == "coarse":
        near = [gaussian_filter((own == n).astype(np.float32), 1.5) for n in (1, 2, 3)]
        return np.where(own > 0, np.argmax(near, axis=0) + 1, 0)
    if case == "scribbles":
        return own * scribbled(own, rng)
    if case in ("proposal", "corrected proposal"):
        field = gaussian_filter(rng.normal(size=own.shape), 6)
        mended = (field < np.quantile(field[one.mask[:, number]], 0.6)) & (own > 0)
        return np.where(mended & (case != "proposal"), own, guess[:, number])
    if case in MIRRORS:
        last = one.labels.shape[1] - 1
        side = MIRRORS[case]
        return plane(one, last - number) if side == 1 else np.flip(own, side // 2)
    if case in SHIFTS:
        return plane(one, number + SHIFTS[case] * rng.choice([-1, 1]))
    if case in MOVES:
        angle = rng.uniform(0, 2 * np.pi)
        by = [round(MOVES[case] * turn) for turn in (np.cos(angle), np.sin(angle))]
        return np.roll(own, by, (0, 1))
    if case in ORDERS:
        return np.array([0, *ORDERS[case]], np.uint8)[own]
    if case == "mask as labels":
        return one.mask[:, number].astype(np.uint8)
    return of_another(one, number, other) if case == "another brain" else own


def plane(one, number):
    """Return the labels (x, z) of a coronal slice; 0 is not labelled."""
    labels = one.labels[:, number]
    return np.where(is_tissue(labels), labels, 0)


def scribbled(own, rng):
    """Return where short strokes go that fill 5 % of a slice, each in one tissue."""
    keep, places = np.zeros(own.shape, bool), np.argwhere(own)
    while keep.sum() < 0.05 * len(places):
        x, z = places[rng.integers(len(places))]
        for step in range(max(0, x - 4), min(len(own), x + 5)):
            keep[step, z] |= own[step, z] == own[x, z]
    return keep


def of_another(one, number, other):
    """Return the slice at the same share of another brain's length, scaled to this brain's."""
    ends, others = (np.flatnonzero(each.mask.any(axis=(0, 2)))[[0, -1]] for each in (one, other))
    at = round(np.interp(number, ends, others))
    boxes = []
    for each, n in ((one, number), (other, at)):
        x, z = np.nonzero(each.mask[:, n])
        boxes.append((slice(x.min(), x.max() + 1), slice(z.min(), z.max() + 1)))
    found = np.zeros(one.mask[:, number].shape, np.uint8)
    room = found[boxes[0]].shape
    source = np.ascontiguousarray(plane(other, at)[boxes[1]], np.uint8)
    found[boxes[0]] = cv2.resize(source, room[::-1], interpolation=cv2.INTER_NEAREST)
    return found


@cache
def network(name):
    """Return a network that is kept with the evidence; read once a process."""
    return networks.load(weights_of(name))


def numbers_of(one):
    """Return the coronal slices that are tried: evenly spaced among the well filled ones."""
    area = one.known.sum(axis=(0, 2))
    full = np.flatnonzero(area > 0.3 * area.max())
    return full[np.linspace(0, len(full) - 1, SLICES).round().astype(int)].tolist()


def guessed(parent, one, numbers):
    """Return what the coronal view of a network finds on some slices: (x, y, z) uint8."""
    pixel_mm, (x_mm, _, z_mm) = one.size_mm / parent.brain_pixels, one.voxel_mm
    stack = np.moveaxis(one.normalised(parent.top)[:, numbers], 1, 0)
    shape = [
        max(1, round(n * mm / pixel_mm))
        for n, mm in zip(stack.shape[1:], (x_mm, z_mm), strict=True)
    ]
    room = [(8, -(n + 16) % 32 + 8) for n in shape]
    padded = np.pad(resize(np.ascontiguousarray(stack), (len(stack), *shape)), [(0, 0), *room])
    found = views.predict(parent.model, padded, views.BATCH)
    found = resize(found[:, 8 : 8 + shape[0], 8 : 8 + shape[1]], stack.shape) + views.EPSILON
    guess = np.zeros(one.labels.shape, np.uint8)
    tissues = most_probable(found / found.sum(axis=-1, keepdims=True))
    guess[:, numbers] = np.moveaxis(tissues, 0, 1) * one.mask[:, numbers]
    return guess


def measure(brain):
    """Try all cases on the slices of a brain: a row for each."""
    one, other = load(brain), load(OTHER[brain])
    numbers = numbers_of(one)
    guess, found = guessed(network(STRANGERS[brain]), one, numbers), []
    seen = label_fit.levels(one.image, one.mask)
    for number in numbers:
        for case in (*GOOD, *FAULTS):
            rng = np.random.default_rng([number, (*GOOD, *FAULTS).index(case)])
            labels = given(one, guess, number, case, rng, other) * one.mask[:, number]
            wrong = label_fit.wrong(seen, labels, guess[:, number], 1, number) or {}
            row = {"slice": number, "case": case, "voxels": int(np.count_nonzero(labels))}
            found.append(row | {what: wrong.get(what, "") for what in ("kind", "fault")})
    return found


def key(brain):
    """Return the fingerprint of a brain's rows."""
    return common.key(measure, brain_names=[brain, OTHER[brain]], networks=[STRANGERS[brain]])


def report(table):
    """Write the table: what was found and named (faults) or accused (good labels)."""
    table = table.assign(kind=table.kind.fillna(""))
    table["named"] = [
        bool(kind) and case.startswith(kind)
        for case, kind in zip(table.case, table.kind, strict=True)
    ]
    groups = {
        "fitted on": list(FITTED),
        "judged": list(JUDGED),
        "judged, no mice": list(JUDGED[:3]),
        "judged, mice": list(JUDGED[3:]),
    }
    lines = []
    for case in (*GOOD, "all good", *FAULTS, "all faults"):
        wanted = {"all good": GOOD, "all faults": FAULTS}.get(case, (case,))
        cells = []
        for names in groups.values():
            own = table[table.brain.isin(names) & table.case.isin(wanted)]
            found = f"{(own.kind != '').mean():.2f}"
            cells.append(found if wanted[0] in GOOD else f"{found} ({own.named.mean():.2f})")
        lines.append([case, str(table.case.isin(wanted).sum()), *cells])
    head = ["labels", "slices", *groups]
    common.write_markdown(OUT / "wrong_labels.md", head, lines, table)
    print(common.markdown(head, lines))


def main():
    """Do what is missing or stale, one brain after the other, then write the table."""
    asked = common.parser(__doc__).parse_args()
    print(rows.machine())
    todo = [{"brain": name} for name in (*FITTED, *JUDGED)]
    table = common.complete(OUT / "wrong_labels.csv", todo, key, measure, asked.report)
    if len(table):
        report(table)


if __name__ == "__main__":
    main()
