"""What labels of other animals are worth to a brain without labels, and where they do harm.

    PATCHSEG_ZOO=... python benchmarks/general.py     # a few minutes on two cores
    python benchmarks/general.py --report             # the table only

The regression of `patchseg dev across borders`, with other penalties, learned from brains of all
species but that of the brain that it is tried on. It is tried on every brain here, also where
`patchseg segment` leaves it out, which the table says. Images of a newborn are
made up from a person's labels. Needs PATCHSEG_ZOO. Writes artefacts/across/general.csv and .md.
"""

from dataclasses import replace
from functools import cache

import common
import numpy as np
from common import ACROSS, SETTINGS, STRANGERS, load, number, weights_of
from scipy import ndimage

from patchseg import metrics, params
from patchseg.adaptation import answers
from patchseg.adaptation.general import drawn
from patchseg.core.tissues import TISSUES
from patchseg.datasets import brains
from patchseg.images.grid import resize
from patchseg.inference import calibration, features, networks
from patchseg.scoring.rows import keys

PERSON, START = "human-nii2mesh", "people"
MADE_UP = {"newborn T1w, made up": (0.15, 0.62, 0.45), "newborn T2w, made up": (0.95, 0.5, 0.68)}
"""How bright CSF, GM and WM are; unmyelinated white matter changes places with grey matter."""
BRAINS = ("chimp", "chimp-t2", "macaque-21mo", "macaque-4mo", PERSON, "mouse-fvb-2", *MADE_UP)
RIDGES = (0.0, 50.0, 200.0, 800.0)
"""Penalties; 0 stands for no such regression."""


def teachers(brain):
    """Return the brains that teach: those of the package's network, this one's species left out."""
    own = brains.names(params.load(SETTINGS).across.networks["all"].general)
    species = load(PERSON if brain in MADE_UP else brain).species
    return [name for name in own if load(name).species != species]


@cache
def network_of(brain):
    """Return the network that never saw a brain."""
    return networks.load(weights_of(STRANGERS.get(brain, START)))


def shown(brain):
    """Return a brain, or a person's with a made-up image: a `Labelled`."""
    if brain not in MADE_UP:
        return load(brain)
    one, rng = load(PERSON), np.random.default_rng(0)

    def smooth(knots):
        return resize(rng.uniform(-1, 1, (knots,) * 3).astype(np.float32), one.mask.shape)

    table = np.full(256, MADE_UP[brain][0], np.float32)  # what nobody labelled is as CSF
    table[1:4] = MADE_UP[brain]
    image = ndimage.gaussian_filter(table[one.labels] + 0.06 * smooth(7), 0.5)
    image = image * np.exp(0.2 * smooth(3)) + rng.normal(0, 0.03, image.shape)
    return replace(one, image=(np.maximum(image, 0.01) * one.mask).astype(np.float32))


@cache
def seen(brain):
    """Return a brain, what a network that never saw it tells of its labelled voxels, contrast."""
    one, network = shown(brain), network_of(brain)
    filled = replace(one, labels=np.where(one.mask, 2, 0).astype(np.uint8))
    whole, inside = answers.evidence(network.model, network, filled), one.mask[one.mask]
    contrast = features.contrast(one.normalised(network.top)[one.mask], whole.sharp, inside)
    return one, whole.only(one.known[one.mask]), contrast


@cache
def taught(names):
    """Return what `general.drawn` draws of brains, as the network sees them that knows people."""
    count = params.load(SETTINGS).across.general.voxels
    return drawn(names, networks.load(weights_of(START)), count)


def measure(brain, ridge):
    """Try one penalty on one brain: a row."""
    one, whole, contrast = seen(brain)
    found, labels = whole.sharp, one.labels[one.known]
    if ridge:
        given = taught(tuple(teachers(brain)))
        settings = params.load(SETTINGS).adapt.calibration.model_copy(
            update={"most_voxels": len(given[2]), "ridge": ridge}
        )
        learned = calibration.fit(*given, settings, whole=True)
        found = calibration.apply(learned, whole.found, whole.sharp)
    tissue = found.argmax(axis=1) + 1
    scores = {
        name: round(float(metrics.dice(labels == n, tissue == n)), 4)
        for n, name in enumerate(TISSUES, 1)
    }
    return [{**scores, "size_mm": round(one.size_mm, 1), "contrast": round(contrast, 3)}]


def key(brain, ridge):
    """Return the fingerprint of a row."""
    names = sorted({PERSON if brain in MADE_UP else brain, *teachers(brain)})
    used = sorted({START, STRANGERS.get(brain, START)})
    own = params.load(SETTINGS)
    settings = [own.across.general.voxels, own.adapt.calibration.model_dump()]
    return common.key(measure, settings=settings, brain_names=names, networks=used)


def report(table):
    """Write the table: a line a penalty, a column a brain."""
    table = table.assign(dice=table[["GM", "WM"]].mean(axis=1))
    low, high = params.load(SETTINGS).across.general.sizes_mm
    rows = table.drop_duplicates("brain").set_index("brain")
    fits = rows.size_mm.between(low, high), rows.contrast >= calibration.LEAST_CONTRAST
    against = {
        name: " and ".join(["size"] * (not size) + ["contrast"] * (not clear))
        for name, size, clear in zip(rows.index, *fits, strict=True)
    }
    lines = [
        [
            "`segment`",
            *[f"left out: {against[name]}" if against[name] else "used" for name in BRAINS],
            "",
        ]
    ]
    for ridge, own in table.groupby("ridge", sort=False):
        by = own.set_index("brain")
        cells = [f"{number(by.dice[name])} ({by.CSF[name]:.2f})" for name in BRAINS]
        lines.append([f"penalty {ridge:g}" if ridge else "none", *cells, keys(own)])
    head = ["other animals' labels", *BRAINS, "key"]
    said = "Mean Dice of GM and WM, in brackets that of CSF.\n"
    common.write_markdown(ACROSS / "general.md", head, lines, table, said)


def main():
    """Do what is missing or stale, then write the table."""
    given = common.parser(__doc__).parse_args()
    jobs = [{"brain": brain, "ridge": ridge} for brain in BRAINS for ridge in RIDGES]
    common.publish(
        ACROSS / "general.csv", jobs, key, lambda **job: measure(**job), report, given.report
    )


if __name__ == "__main__":
    main()
