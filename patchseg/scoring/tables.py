"""Score tables as files: CSV, JSON for DVC, Markdown for people."""

import json
from pathlib import Path

import numpy as np

from patchseg.core.files import write_table, write_text
from patchseg.core.tissues import TISSUES


def markdown(table):
    """Return a score table as Markdown, a line for each method and level.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `metrics.table` by method, level and tissue.

    Returns
    -------
    text : str
    """
    head = (
        "| method | level | n | Dice WM / GM / CSF, mean ± sd | pooled Dice | pooled IoU | HD95"
        " (mm) | AVD (%) |"
    )
    lines = [head, "|" + "---|" * 8]
    for (method, level), group in table.groupby(["method", "level"], sort=False):
        rows = group.set_index("tissue").loc[list(reversed(TISSUES))]
        mean = " / ".join(
            _mean_sd(*pair) for pair in zip(rows.dice_mean, rows.dice_sd, strict=True)
        )
        columns = [
            " / ".join(f"{value:.{digits}f}" for value in rows[name]) for name, digits in _COLUMNS
        ]
        lines.append(
            f"| {method} | {level} | {' / '.join(map(str, rows.n))} | {mean} |"
            f" {' | '.join(columns)} |"
        )
    return "\n".join(lines) + "\n"


_COLUMNS = (("dice_pooled", 3), ("iou_pooled", 3), ("hd95_mm_mean", 2), ("avd_percent_mean", 1))


def _mean_sd(mean, sd):
    return f"{mean:.3f}" if np.isnan(sd) else f"{mean:.3f} ± {sd:.2f}"


def write_scores(table, markdown, folder):
    """Write a score table as `scores.csv`, `scores.json` (for DVC) and `scores.md`.

    Parameters
    ----------
    table : pandas.DataFrame
        Method, level, tissue and measures.
    markdown : str
        Of the table.
    folder : str or Path
    """
    folder = Path(folder)
    write_table(table, folder / "scores.csv")
    nested = {}
    for row in table.to_dict("records"):
        values = {
            name: float(f"{row[name]:.6g}")
            for name in ("dice_pooled", "iou_pooled", "dice_mean", "iou_mean")
        }
        nested.setdefault(row["method"], {}).setdefault(row["level"], {})[row["tissue"]] = values
    write_text(folder / "scores.json", json.dumps(nested, indent=2) + "\n")
    write_text(folder / "scores.md", markdown)
