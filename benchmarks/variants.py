"""What was tried on networks for any species and did not pay, beside what is done.

    python benchmarks/variants.py                # a quarter of an hour on two cores
    python benchmarks/variants.py --near FOLDER  # also the networks people-near, no-chimp-near and
                                                 # no-macaque-near (patchseg dev across train NAME)
    python benchmarks/variants.py --report       # the table only

Brains of the zoo, each by a network that never saw its species (or, of people, that person), and by
one that learned from people only. One thing differs in each row. Needs PATCHSEG_ZOO. Writes
artefacts/across/variants.csv and variants.md.
"""

from contextlib import contextmanager
from functools import cache
from pathlib import Path

import common
import keras
import numpy as np
from common import ACROSS, STRANGERS, load, number, weights_of
from scipy import ndimage

from patchseg import checkpoint, metrics, patching
from patchseg.core.tissues import TISSUES, most_probable, total
from patchseg.images import brain as brains
from patchseg.images import grid
from patchseg.inference import networks, refine, views
from patchseg.scoring.rows import keys

AS_IT_IS, ALONE, NEAR = "as it is", "the network alone", "magnifications 0.5 to 1.5, not to 3"
STATISTICS = {f"statistics of the image, share {share}": share for share in (0.1, 0.3)}
POWER = {"borders trust the network less (power 0.5)": 0.5}
POWER |= {"borders trust the network more (power 2)": 2.0}
AGREE = {f"neighbours agree (Potts {weight})": weight for weight in (1, 4)}
VARIANTS = (AS_IT_IS, ALONE, *STATISTICS, *POWER, *AGREE)
BRAINS = [name for name, network in STRANGERS.items() if network != "no-people"]
SIDE, PATCHES = 64, 192
"""Pixels and number of the patches that tell the statistics of an image."""
ROUNDS = 2
"""In which neighbours come to agree."""


def jobs():
    """List the brains, the networks that see them, and what is tried with these."""
    left_out = [
        {"network": STRANGERS[name], "brain": name, "variant": variant}
        for name in BRAINS
        for variant in (*VARIANTS, NEAR)
        if variant != NEAR or STRANGERS[name] != "no-mouse"
    ]
    people = [
        {"network": "people", "brain": name, "variant": variant}
        for name in BRAINS
        for variant in (AS_IT_IS, NEAR)
    ]
    return left_out + [job for job in people if job not in left_out]


@cache
def seen(network, brain, share=0.0):
    """Return image, probabilities of the network (x, y, z, 3), and mask, in the brain's box."""
    one, parent = load(brain), networks.load(network)
    box = brains.bounding_box(one.mask)
    ready, mask = one.normalised(parent.top)[box], one.mask[box]
    pixel_mm = one.size_mm / parent.brain_pixels
    with own_statistics(parent.model, ready, mask, one.voxel_mm, pixel_mm, share):
        fused = views.fuse(parent.model, ready, mask, one.voxel_mm, pixel_mm)
    return ready, fused.probabilities, mask


@contextmanager
def own_statistics(model, image, mask, voxel_mm, pixel_mm, share):
    """Mix a share of the image's own statistics into those of the batch normalisation."""
    layers = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    kept = [(one.get_weights(), one.momentum) for one in layers]
    if share:
        for layer in layers:
            layer.momentum = 1 - share
        model(patches(image, mask, voxel_mm, pixel_mm), training=True)
    try:
        yield
    finally:
        for layer, (weights, momentum) in zip(layers, kept, strict=True):
            layer.set_weights(weights)
            layer.momentum = momentum


def patches(image, mask, voxel_mm, pixel_mm):
    """Return patches (n, h, w, 1) of float32 around voxels of the brain at random, of all views."""
    shape = [max(1, round(n * mm / pixel_mm)) for n, mm in zip(image.shape, voxel_mm, strict=True)]
    pad = [(SIDE // 2, SIDE // 2)] * 3
    small, inside = np.pad(grid.resize(image, shape), pad), np.pad(np.ones(shape, bool), pad)
    inside[inside] = (grid.resize(mask.astype(np.float32), shape) > 0.5).ravel()
    rng, found = np.random.default_rng(0), []
    for axis in grid.AXES:
        stack, places = patching.slices(small, axis), np.argwhere(patching.slices(inside, axis))
        for at, y, x in places[rng.integers(len(places), size=PATCHES // 3)]:
            y, x = y - SIDE // 2, x - SIDE // 2
            found.append(stack[at, y : y + SIDE, x : x + SIDE])
    return np.stack(found)[..., None].astype(np.float32)


def agreed(probabilities, mask, weight):
    """Return probabilities (x, y, z, 3) after neighbours came to agree (mean-field Potts)."""
    logarithms, found = np.log(np.maximum(probabilities, 1e-6)), probabilities
    near = ndimage.generate_binary_structure(3, 1).astype(np.float32) / 6
    near[1, 1, 1] = 0
    for _ in range(ROUNDS):
        around = np.stack([ndimage.convolve(found[..., k], near) for k in range(len(TISSUES))], -1)
        found = np.exp(logarithms + weight * around) * mask[..., None]
        found /= np.maximum(total(found), 1e-9)[..., None]
    return found


def powered(probabilities, power):
    """Return probabilities (x, y, z, 3) that are flatter (power below 1) or steeper."""
    found = np.maximum(probabilities, 1e-6) ** power * (probabilities > 0).any(axis=-1)[..., None]
    return (found / np.maximum(total(found), 1e-9)[..., None]).astype(np.float32)


def measure(network, brain, variant, weights):
    """Segment a brain with one thing changed: a row."""
    one = load(brain)
    ready, plain, mask = seen(weights, brain, STATISTICS.get(variant, 0.0))
    given = powered(plain, POWER[variant]) if variant in POWER else plain
    found = plain if variant == ALONE else refine.refine(ready, given, mask, one.voxel_mm)
    if variant in AGREE:
        found = agreed(found, mask, AGREE[variant])
    labels = np.zeros(one.labels.shape, np.uint8)
    labels[brains.bounding_box(one.mask)] = most_probable(found) * mask
    scores = {row["tissue"]: row["dice"] for row in metrics.score(one.labels, labels, one.voxel_mm)}
    return [{tissue: round(scores[tissue], 4) for tissue in TISSUES}]


def report(table):
    """Write the table: a line a variant, a column a brain."""
    table = table.assign(dice=table[["GM", "WM"]].mean(axis=1))
    lines = []
    titles = {"species left out": lambda own: own.network == own.brain.map(STRANGERS)}
    titles["people only"] = lambda own: own.network == "people"
    for title, chosen in titles.items():
        part = table[chosen(table)]
        for variant, own in part.groupby("variant", sort=False):
            if title == "people only" and variant not in (AS_IT_IS, NEAR):
                continue
            by = own.set_index("brain")
            cells = [
                f"{number(by.dice[name])} ({by.CSF[name]:.2f})" if name in by.index else ""
                for name in BRAINS
            ]
            lines.append([title, variant, *cells, keys(own)])
    head = ["network", "variant", *BRAINS, "key"]
    said = "Mean Dice of GM and WM, in brackets that of CSF.\n"
    common.write_markdown(ACROSS / "variants.md", head, lines, table, said)


def main():
    """Do what is missing or stale, then write the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--near", type=Path, help="a folder of networks (see above)")
    given = parser.parse_args()

    def weights(network, variant):
        if variant != NEAR:
            return weights_of(network)
        return given.near and given.near / f"{network}-near{checkpoint.SUFFIX}"

    def key(network, brain, variant):
        path = weights(network, variant)
        use = checkpoint.use(path) if path else None
        return common.key(measure, settings=use, brain_names=[brain])

    common.publish(
        ACROSS / "variants.csv",
        [job for job in jobs() if given.near or job["variant"] != NEAR],
        key,
        lambda **job: measure(**job, weights=weights(job["network"], job["variant"])),
        report,
        given.report,
    )


if __name__ == "__main__":
    main()
