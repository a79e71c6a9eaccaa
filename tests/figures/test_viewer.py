"""The viewer's colours, and the painter in a real JupyterLab: does it draw and take strokes?"""

import os
import time
from pathlib import Path

import nbformat
import nibabel as nib
import numpy as np
import pytest
from lab import ROOT, chromium_page, coloured, jupyter_lab, picture

from patchseg.figures import viewer
from patchseg.images import grid


def test_labels_have_the_colours_of_the_figures():
    colours = viewer.label_colours()
    assert colours["labels"] == ["", "CSF", "GM", "WM"] and colours["A"] == [0, 255, 255, 255]
    assert [colours[channel][3] for channel in "RGB"] == [240, 228, 66]


def run_notebook(page, address):
    """Open a notebook in JupyterLab, run all cells, and return its first canvas."""
    page.goto(address)
    page.wait_for_selector(
        "#jp-main-statusbar >> text=/Idle/", timeout=120000
    )  # before its kernel runs, JupyterLab asks for one
    page.click(".lm-MenuBar-itemLabel:text-is('Run')")
    page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
    canvas = page.locator(".jp-Notebook canvas:not(.plain)").first
    canvas.wait_for(state="attached", timeout=300000)
    canvas.scroll_into_view_if_needed()
    return canvas


@pytest.mark.slow
def test_notebook_6_shows_the_proposal_and_takes_what_is_painted_and_saved(tmp_path):
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    notebook = nbformat.read(ROOT / "notebooks" / "6_adapt.ipynb", as_version=4)
    painting = next(
        number for number, cell in enumerate(notebook.cells) if "painter.box" in cell.source
    )
    notebook.cells = notebook.cells[
        : painting + 1
    ]  # what comes after it takes minutes, and waits for the hand
    turned = nib.load(
        ROOT / "data" / "sub-anterior" / "anat" / "sub-anterior_T1w.nii.gz"
    ).as_reoriented(np.array([[0, -1], [2, 1], [1, -1]]))
    nib.save(turned, notebooks / "turned.nii.gz")
    parameters = next(
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    )
    parameters.source = (
        f"image, out, weights, finished = '{notebooks / 'turned.nii.gz'}', '{notebooks / 'out'}',"
        " None, None"
    )
    nbformat.write(notebook, notebooks / "6_adapt.ipynb")
    with jupyter_lab(notebooks, tmp_path / "lab.txt") as address, chromium_page() as page:
        canvas = run_notebook(page, f"{address}/lab/tree/6_adapt.ipynb?reset")
        for _ in range(180):
            time.sleep(1)
            shown = picture(canvas)
            if coloured(shown) > 0.02:
                break
        assert coloured(shown) > 0.02, "the proposal was not drawn"
        page.click(".jp-Notebook .widget-toggle-button:text-is('WM')")
        time.sleep(1)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        x, y = box["x"] + 0.35 * box["width"], box["y"] + 0.5 * box["height"]
        page.mouse.move(x - 40, y - 60)
        page.mouse.down()
        for step in range(0, 81, 4):
            page.mouse.move(x - 40 + step, y - 60)
        page.mouse.up()
        time.sleep(2)
        kept = os.environ.get("PATCHSEG_SCREENSHOTS")
        if kept:
            page.screenshot(path=Path(kept) / "6_adapt.png")
        labels = notebooks / "out" / "turned_labels.nii.gz"
        for _ in range(180):
            time.sleep(0.5)
            if labels.exists():
                break
    proposal, painted = (
        nib.load(notebooks / "out" / f"turned_{what}.nii.gz") for what in ("guess", "labels")
    )
    assert painted.shape == turned.shape and np.allclose(painted.affine, turned.affine)
    before, after = (np.asarray(one.dataobj) for one in (proposal, painted))
    changed = after != before
    assert 20 < changed.sum() < 2000 and set(after[changed]) == {3}
    assert (
        np.flatnonzero(grid.ras(painted)[0].any(axis=(0, 2))).tolist()
        == np.flatnonzero(grid.ras(proposal)[0].any(axis=(0, 2))).tolist()
    )
