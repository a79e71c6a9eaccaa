"""Which images of a cohort to look at first, and why."""

import numpy as np
import pandas as pd

FAR = 3.5
"""Robust z beyond which a value is an outlier (Iglewicz & Hoaglin 1993)."""
ENOUGH = 8
"""Images of a group below which none of them is called an outlier."""
NORMAL = 1.4826
"""Standard deviations in a median absolute deviation of normal values."""
ORDER = ("failed", "bad", "look", "good")
"""Verdicts, in the order in which to look."""
SHOWN = 3
"""Outliers of one image that are told in words."""


def outliers(table, measures=None):
    """Find values far from the median of their group.

    The robust z of a value is its distance from the median, divided by 1.4826 times the median
    absolute deviation (MAD) of the group. Where the MAD is 0, because more than half of the values
    are the same, there is no z, and no outlier.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each image: `image`, perhaps `group` (the species, for example), and measures.
        Values that are NaN do not count.
    measures : list of str, optional
        Columns with numbers; all of them unless given.

    Returns
    -------
    odd : pandas.DataFrame
        image, group, measure, value, median, n (images of the group), z; the farthest first.
        `group` is '' without groups. Groups of fewer than `ENOUGH` images have none.

    Examples
    --------
    >>> values = [9.0, 9.0, 10.0, 10.0, 10.0, 11.0, 11.0, 20.0]  # the MAD is 1
    >>> odd = outliers(pd.DataFrame({"image": list("abcdefgh"), "GM": values}))
    >>> odd[["image", "value", "median", "n"]].values.tolist(), float(odd.z.round(2)[0])
    ([['h', 20.0, 10.0, 8]], 6.74)
    """
    if measures is None:
        measures = list(table.select_dtypes("number"))
    group = table.group if "group" in table else pd.Series("", index=table.index)
    found = []
    for name, rows in table.groupby(group.astype(str), sort=True):
        for measure in measures:
            values = rows[measure].replace([np.inf, -np.inf], np.nan).dropna()
            middle = values.median()
            spread = NORMAL * (values - middle).abs().median()
            if len(values) < ENOUGH or not spread > 0:
                continue
            z = (values - middle) / spread
            for at in z.index[z.abs() > FAR]:
                row = (rows.image[at], name, measure, values[at], middle, len(values), z[at])
                found.append(row)
    columns = ["image", "group", "measure", "value", "median", "n", "z"]
    odd = pd.DataFrame(found, columns=columns)
    return odd.sort_values("z", key=abs, ascending=False, kind="stable", ignore_index=True)


def look_first(table, odd):
    """List the images to look at, in the order in which to do so, each with the reason.

    First those that failed, then those that are bad, then those to look at, then good ones with
    an outlier. Among equals the one with the farthest outlier comes first.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each image: image, verdict, reasons.
    odd : pandas.DataFrame
        Of `outliers`.

    Returns
    -------
    first : pandas.DataFrame
        image, verdict, why.
    """
    told = {name: _told(rows) for name, rows in odd.groupby("image", sort=False)}
    farthest = odd.z.abs().groupby(odd.image).max()
    first = table[(table.verdict != "good") | table.image.isin(list(told))]
    rank = pd.DataFrame(
        {"verdict": first.verdict.map(ORDER.index), "z": -first.image.map(farthest).fillna(0.0)}
    )
    first = first.loc[rank.sort_values(["verdict", "z"], kind="stable").index]
    why = [
        "; ".join(part for part in (reasons, told.get(image, "")) if part)
        for image, reasons in zip(first.image, first.reasons, strict=True)
    ]
    return pd.DataFrame({"image": first.image.values, "verdict": first.verdict.values, "why": why})


def _told(rows):
    """Say the outliers of one image in words, the farthest first."""
    first = rows.iloc[0]
    parts = [
        f"{row.measure} {short(row.value)}, median {short(row.median)}, robust z {row.z:+.1f}"
        for row in rows.head(SHOWN).itertuples()
    ]
    if len(rows) > SHOWN:
        parts.append(f"and {len(rows) - SHOWN} more")
    group = f" ({first.group})" if first.group else ""
    return f"outlier among {first.n} images{group}: {'; '.join(parts)}"


def short(value):
    """Return a number as text with about three digits, '' if it is none."""
    if not np.isfinite(value):
        return ""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
