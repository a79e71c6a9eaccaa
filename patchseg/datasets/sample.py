"""The embedded sample: the MNI ICBM152 2009a T1w template in three coronal blocks.

nilearn carries it. It is left-right symmetric, so that only a split along y (posterior to anterior)
keeps the mirror image of a test voxel out of the training set.
"""

from pathlib import Path

import nibabel as nib
import nilearn
import numpy as np

from patchseg.core.tissues import TISSUES
from patchseg.datasets import bids, labels
from patchseg.datasets.labelled import Labelled
from patchseg.images import brain

BLOCKS = {
    "posterior": ("train", 27, 115),
    "middle": ("val", 121, 141),
    "anterior": ("test", 147, 208),
}
"""Split, first voxel along y (1 mm), and the one behind the last; 6 mm between two are left out."""

NOTICE = """MNI ICBM152 2009a nonlinear symmetric T1w template with its grey- and white-matter maps, 1 mm, as distributed with nilearn.

Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University.
Permission to use, copy, modify, and distribute this software and its documentation for any purpose and without fee is hereby
granted, provided that the above copyright notice appear in all copies. The authors and McGill University make no representations
about the suitability of this software for any purpose. It is provided "as is" without express or implied warranty. The authors
are not responsible for any data loss, equipment damage, property loss, or injury to subjects or patients resulting from the use
or misuse of this software package.

Changes made here: cut into three coronal blocks; the maps are set to 0 outside the brain (where the T1w is 0); CSF = brain - GM - WM.

V. S. Fonov, A. C. Evans, R. C. McKinstry, C. R. Almli, D. L. Collins (2009). Unbiased nonlinear average age-appropriate brain
templates from birth to adulthood. NeuroImage 47, S102. doi:10.1016/S1053-8119(09)70884-5
V. S. Fonov, A. C. Evans, K. Botteron, C. R. Almli, R. C. McKinstry, D. L. Collins (2011). Unbiased average age-appropriate atlases
for pediatric studies. NeuroImage 54(1), 313-327. doi:10.1016/j.neuroimage.2010.07.033
"""  # noqa: E501
README = """Three coronal blocks of the MNI ICBM152 2009a template. See LICENSE for its copyright notice.
"""  # noqa: E501


def build(folder):
    """Write the sample as a BIDS dataset into `folder`, the same bytes each time.

    Parameters
    ----------
    folder : str or Path
        Made if needed; files of the same name are replaced.
    """
    t1w, maps, affine = template()
    rows = []
    for name, (split, start, stop) in BLOCKS.items():
        subject = f"sub-{name}"
        rows.append((subject, "homo sapiens", split))
        block = affine @ nib.affines.from_matvec(np.eye(3), [0, start, 0])
        bids.write_image(folder, subject, "T1w", t1w[:, start:stop], block)
        for tissue in TISSUES:
            cut = maps[tissue][:, start:stop]
            bids.write_labels(folder, subject, f"label-{tissue}_probseg", cut, block, 1 / 255)
    licence = {"License": "see LICENSE"}
    made = {"GeneratedBy": [{"Name": "patchseg sample"}]}
    bids.describe(
        folder,
        {"Name": "MNI ICBM152 2009a, three coronal blocks", **licence},
        {"Name": "Tissue probabilities of the three blocks", **licence, **made},
        rows,
        {"LICENSE": NOTICE, "README": README},
    )


def template():
    """Return the whole template.

    Returns
    -------
    t1w : (x, y, z) ndarray of uint8
    maps : dict of str to (x, y, z) ndarray of uint8
        Probability of each tissue, times 255.
    affine : (4, 4) ndarray
    """
    images = {kind: nib.load(path) for kind, path in template_files().items()}
    t1w, gm, wm = (np.asarray(images[kind].dataobj) for kind in ("t1", "gm", "wm"))
    inside = t1w > 0
    gm, wm = gm * inside, wm * inside
    csf = np.clip(255 * inside - gm.astype(int) - wm, 0, 255).astype(np.uint8)
    return t1w, {"CSF": csf, "GM": gm, "WM": wm}, images["t1"].affine


def template_files():
    """Return where the template's T1w and maps lie: a dict from 't1', 'gm' and 'wm' to the path."""
    folder = Path(nilearn.__file__).parent / "datasets" / "data"
    return {
        kind: folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
        for kind in ("t1", "gm", "wm")
    }


def labelled_template():
    """Return the whole template, a `Labelled`; its labels are the tissues over 0.5."""
    image, maps, affine = template()
    mask = brain.foreground(image.astype(np.float32), "the template")
    probabilities = {tissue: data.astype(np.float32) / 255 for tissue, data in maps.items()}
    truth = labels.from_probabilities(probabilities, mask)
    return Labelled("mni", image.astype(np.float32), truth, affine, "human")
