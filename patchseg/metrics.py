"""Dice, IoU, HD95 and AVD of one tissue, and their summary over many patches, slices or volumes.

Both masks empty: the tissue is absent and was not invented, there is nothing to score; all four are
NaN and leave the mean. One mask empty: Dice and IoU are 0; HD95 is infinite, which is reported as
NaN and counted in `n_missed`; AVD is 100 % if the prediction is empty, and NaN if the truth is,
because it is relative to the true volume.
"""

import numpy as np
import pandas as pd
from scipy import ndimage

from patchseg.core.tissues import TISSUES, UNLABELLED

MEASURES = ("dice", "iou", "hd95_mm", "avd_percent")


def overlap_counts(truth, predicted):
    """Count the voxels of two boolean masks of one shape: in both, in truth, in prediction."""
    return (
        int(np.count_nonzero(truth & predicted)),
        int(np.count_nonzero(truth)),
        int(np.count_nonzero(predicted)),
    )


def dice(truth, predicted):
    """Dice coefficient, 2 |T P| / (|T| + |P|) (Dice 1945), in [0, 1]; NaN if both masks are empty.

    Examples
    --------
    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    both, n_truth, n_predicted = overlap_counts(truth, predicted)
    return 2 * both / (n_truth + n_predicted) if n_truth + n_predicted else np.nan


def iou(truth, predicted):
    """Intersection over union, |T P| / |T or P| (Jaccard 1912); NaN if both masks are empty.

    Examples
    --------
    >>> iou(np.array([True, True, False]), np.array([True, False, False]))
    0.5
    """
    both, n_truth, n_predicted = overlap_counts(truth, predicted)
    union = n_truth + n_predicted - both
    return both / union if union else np.nan


def hd95_mm(truth, predicted, spacing):
    """95th percentile of the Hausdorff distance (Huttenlocher 1993).

    Of the distances from each surface voxel of one mask to the surface of the other, both ways.

    Parameters
    ----------
    truth, predicted : ndarray of bool, one shape, 2D or 3D
    spacing : tuple of float
        Edge lengths of a voxel in mm.

    Returns
    -------
    distance : float
        In mm; NaN if either mask is empty.
    """
    if not truth.any() or not predicted.any():
        return np.nan
    # distances only matter inside the box that holds both masks
    box = ndimage.find_objects((truth | predicted).astype(np.uint8))[0]
    surfaces = [_surface(mask[box]) for mask in (truth, predicted)]
    to_other = [ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    return float(
        np.percentile(np.concatenate([to_other[1][surfaces[0]], to_other[0][surfaces[1]]]), 95)
    )


def _surface(mask):
    return mask & ~ndimage.binary_erosion(mask)


def avd_percent(truth, predicted):
    """Absolute volume difference, 100 | |P| - |T| | / |T|, in %; NaN if the truth is empty."""
    _, n_truth, n_predicted = overlap_counts(truth, predicted)
    return 100 * abs(n_predicted - n_truth) / n_truth if n_truth else np.nan


def score(truth, predicted, spacing):
    """Score two label images: one dict a tissue.

    Parameters
    ----------
    truth, predicted : ndarray of uint8, one shape, 2D or 3D
        0 background, 1 CSF, 2 GM, 3 WM. Where the truth is 255, unlabelled, nothing is scored.
    spacing : tuple of float or None
        Edge lengths of a voxel in mm; None leaves the distances out, which are then NaN.

    Returns
    -------
    rows : list of dict
        tissue, the four measures, `n_both`, `n_truth`, `n_predicted` (voxels, for pooling) and
        `share` of the labelled image that the true tissue fills.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            f"truth {truth.shape} and prediction {predicted.shape} differ in shape; bring them to"
            " one grid first"
        )
    rows, known = [], truth != UNLABELLED
    for label, tissue in enumerate(TISSUES, start=1):
        t, p = truth == label, (predicted == label) & known
        n_both, n_truth, n_predicted = overlap_counts(t, p)
        rows.append(
            {
                "tissue": tissue,
                "dice": dice(t, p),
                "iou": iou(t, p),
                "hd95_mm": np.nan if spacing is None else hd95_mm(t, p, spacing),
                "avd_percent": avd_percent(t, p),
                "n_both": n_both,
                "n_truth": n_truth,
                "n_predicted": n_predicted,
                "share": n_truth / max(1, int(known.sum())),
            }
        )
    return rows


def summarise(rows):
    """Summarise rows of `score`, all of one tissue.

    Parameters
    ----------
    rows : pandas.DataFrame

    Returns
    -------
    summary : dict
        n (rows that hold the tissue in truth or prediction), n_missed (rows where only one of the
        two does, which have no HD95), mean and sd of each measure, mean and median Dice over rows
        of which the tissue fills at least 1 %, and Dice and IoU of the pooled voxels.
    """
    present = rows[rows.dice.notna()]
    filled = present[present.share >= 0.01]
    both, total = int(rows.n_both.sum()), int(rows.n_truth.sum() + rows.n_predicted.sum())
    summary = {
        "n": len(present),
        "n_missed": int(((present.n_truth == 0) ^ (present.n_predicted == 0)).sum()),
    }
    summary |= {
        "dice_pooled": 2 * both / total if total else np.nan,
        "iou_pooled": both / (total - both) if total else np.nan,
    }
    for measure in MEASURES:
        summary |= {
            f"{measure}_mean": present[measure].mean(),
            f"{measure}_sd": present[measure].std(),
        }
    return summary | {
        "n_filled": len(filled),
        "dice_filled_mean": filled.dice.mean(),
        "dice_filled_median": filled.dice.median(),
    }


def table(rows, by):
    """Summarise rows of `score` for each combination of the columns `by`.

    Parameters
    ----------
    rows : pandas.DataFrame
    by : sequence of str
        Columns.

    Returns
    -------
    table : pandas.DataFrame
        One row for each combination (see `summarise`).
    """
    groups = rows.groupby(list(by), sort=False, observed=True, dropna=False)
    return pd.DataFrame(
        [dict(zip(by, key, strict=True)) | summarise(group) for key, group in groups]
    )
