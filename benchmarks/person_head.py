"""The brain of a person's head that taught no network: the mean of 27 scans of one man (Colin27).

    apt-get download mricron-data && dpkg-deb -x mricron-data_*.deb mricron     # Debian, 16 MB
    python benchmarks/person_head.py --folder mricron/usr/share/mricron/templates   # a minute
    python benchmarks/person_head.py --report      # the table only

T1w, 1 mm (Holmes 1998). Two extracted brains come with it: ch2bet.nii.gz (by BET) and
ch2better.nii.gz (at 0.5 mm, without furrows and ventricles). The truth is the second one, closed
over 5 mm, so that it holds them; the first one, closed likewise, shows how far two masks of one
head may be apart. A slice of the truth is learned as `patchseg adapt --what brain` does, on the
plane that `patchseg suggest --what brain` names. Beside it DIPY's median_otsu with its usual
settings.

What the package's weights call deep grey matter there, inside the mask of ch2bet.nii.gz: the atlas
AAL (Tzourio-Mazoyer 2002) was drawn on this very head. Writes person.csv, person_deep.csv and
person.md in artefacts/across/.
"""

import tempfile
import warnings
from functools import cache
from pathlib import Path

import common
import nibabel as nib
import numpy as np
import pandas as pd
from common import ACROSS, number, weights_of
from dipy.segment.mask import median_otsu
from nilearn.image import resample_to_img
from scipy import ndimage

import patchseg
from patchseg import checkpoint, metrics
from patchseg.adaptation import heads, suggestion
from patchseg.core import files
from patchseg.core.tissues import TISSUES
from patchseg.images import grid
from patchseg.inference import mask as masks

HEAD, TRUTH, OTHER = "ch2.nii.gz", "ch2better.nii.gz", "ch2bet.nii.gz"
ATLAS = "aal.nii.gz"
DEEP = {
    "caudate": (71, 72),
    "putamen": (73, 74),
    "pallidum": (75, 76),
    "thalamus": (77, 78),
    "hippocampus": (37, 38),
    "amygdala": (41, 42),
}
"""Structures of the atlas, each left and right."""
SUMS = {
    HEAD: "a009051127f64dc3dd554d5f5b589870ea72106d9642c21b4e7093e478cfc309",
    TRUTH: "a094f3ccf383c495c9569625bd0c06993fd4b02d2a8d9966da5fea7d7e530e8d",
    OTHER: "592a2d20abdf36eefcb540ca8958428040edffc1bc1a18ba1dcfbabac77c5dd1",
    ATLAS: "b512dcd3f36b77f56be7a9a038134096e66314b7e8c31d25875b96bcf6991454",
}
METHODS = ("of the package", "heads-people", "median_otsu", OTHER)
FAINT = 0.1
"""Of the brightest percentile, what is brain in an extracted one at least."""
CLOSED = 5
"""Voxels (mm) over which furrows are closed: about the widest of them."""
folder = Path()


@cache
def seen(name):
    """Return an image on the head's grid: (x, y, z) ndarray of float32, RAS+; and its affine."""
    for file in (folder / HEAD, folder / name):
        if not file.exists() or files.sha256(file) != SUMS[file.name]:
            raise SystemExit(f"{file}: not the file of Debian's mricron-data; see the first lines")
    image, head = nib.load(folder / name), nib.load(folder / HEAD)
    if image.shape != head.shape:
        image = resample_to_img(image, head, force_resample=True, copy_header=True)
    data, affine = grid.ras(image, np.float32)
    return data, affine


def brain_of(name):
    """Return the mask of an extracted brain: (x, y, z) ndarray of bool."""
    data = np.pad(seen(name)[0], CLOSED + 1)
    mask = data > FAINT * np.percentile(data[data > 0], 99)
    wide = ndimage.distance_transform_edt(~mask) <= CLOSED
    closed = ndimage.distance_transform_edt(wide) > CLOSED
    return ndimage.binary_fill_holes(closed)[(slice(CLOSED + 1, -CLOSED - 1),) * 3]


def measure(method, slices):
    """Find the brain by a network or tool, after so many slices: one row."""
    (image, affine), truth = seen(HEAD), brain_of(TRUTH)
    free = np.ones(truth.shape, bool)
    if method == OTHER:
        found = brain_of(OTHER)
    elif method == "median_otsu":
        found = median_otsu(image, median_radius=4, numpass=4)[1].astype(bool)
    else:
        weights = weights_of(method) if method in METHODS[1:] else checkpoint.HEADS
        with tempfile.TemporaryDirectory() as place:
            if slices:
                weights, free = _taught(image, affine, truth, weights, slices, Path(place))
            found = masks.find(image, grid.voxel_size_mm(affine), HEAD, weights).mask
    ratio = float(found[free].sum() / truth[free].sum())
    dice = round(metrics.dice(truth & free, found & free), 4)
    return [{"dice": dice, "volume_ratio": round(ratio, 3)}]


def _taught(image, affine, truth, weights, slices, place):
    """Return weights that learned slices of the truth, and the voxels that were not labelled."""
    image = nib.Nifti1Image(image, affine)
    labels = nib.Nifti1Image(np.where(truth, 1, 2).astype(np.uint8), affine)
    wanted = suggestion.suggest_brain(image, slices, weights)
    labels = suggestion.fill_in(wanted, labels)
    with warnings.catch_warnings(action="ignore"):
        learned = heads.adapt(image, labels, weights, place / f"new{checkpoint.SUFFIX}")
    return learned, grid.ras(labels)[0] == 0


@cache
def tissues():
    """Return what the weights of the package find: (x, y, z) ndarray of uint8, RAS+."""
    image, affine = seen(HEAD)
    mask = nib.Nifti1Image(brain_of(OTHER).astype(np.uint8), affine)
    return grid.ras(patchseg.segment(nib.Nifti1Image(image, affine), mask).dseg, None)[0]


def measure_deep(structure):
    """Return what is found inside a structure, a voxel from its border: one row of shares."""
    inside = ndimage.binary_erosion(np.isin(seen(ATLAS)[0], DEEP[structure]))
    found = tissues()[inside]
    row = {tissue: round(float((found == n).mean()), 3) for n, tissue in enumerate(TISSUES, 1)}
    return [{"voxels": int(inside.sum()), **row}]


def key_deep(structure):
    """Return the fingerprint of a row of a structure."""
    return common.key(measure_deep, settings=[SUMS, checkpoint.use(checkpoint.SHIPPED)])


def key(method, slices):
    """Return the fingerprint of a row."""
    used = [] if method in ("median_otsu", OTHER) else [method]
    own = [checkpoint.use(checkpoint.HEADS)] if used == [METHODS[0]] else []
    networks = [one for one in used if one != METHODS[0]]
    return common.key(measure, settings=[SUMS, own], networks=networks)


def report(table, deep):
    """Write both tables: a line a row."""
    lines = [
        [row.method, str(row.slices), number(row.dice), number(row.volume_ratio), row.key]
        for row in table.itertuples()
    ]
    head = ["by", "labelled slices", "Dice", "volume found / true", "key"]
    shares = [
        [row.structure, *(number(getattr(row, tissue)) for tissue in TISSUES), row.key]
        for row in deep.itertuples()
    ]
    more = "\nShares of deep grey matter that are called each tissue:\n\n"
    more += common.markdown(["structure", *TISSUES, "key"], shares)
    common.write_markdown(ACROSS / "person.md", head, lines, pd.concat([table, deep]), more=more)


def main():
    """Do what is missing or stale, then write the table."""
    global folder
    parser = common.parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="holds ch2.nii.gz")
    given = parser.parse_args()
    folder = given.folder
    jobs = [{"method": method, "slices": 0} for method in METHODS]
    jobs += [{"method": method, "slices": 1} for method in METHODS[:2]]
    table = common.complete(ACROSS / "person.csv", jobs, key, measure, given.report)
    deep = [{"structure": name} for name in DEEP]
    path = ACROSS / "person_deep.csv"
    report(table, common.complete(path, deep, key_deep, measure_deep, given.report))


if __name__ == "__main__":
    main()
