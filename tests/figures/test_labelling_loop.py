"""Notebooks 5 and 6 in JupyterLab, used as a person would, on real brains: nightly, minutes.

PATCHSEG_SCREENSHOTS names a folder for a picture of each step.
"""

import json
import os
import shutil
from pathlib import Path

import nbformat
import nibabel as nib
import numpy as np
import pytest
from lab import ROOT, Notebook, chromium_page, coloured, jupyter_lab, picture, until

from patchseg.core.tissues import TISSUES
from patchseg.images import grid

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.skipif("PATCHSEG_ZOO" not in os.environ, reason="needs brains of the zoo"),
]
MACAQUE = (
    "DCAN-Labs+dcan-macaque-pipeline/global/templates/JointLabelCouncil/"
    "J_Macaque_4mo_atlas_nACQ_194x252x160space_0.5mm/T1w_brain.nii.gz"
)
MOUSE = "dama-lab+mouse-brain-atlas/FVB_NCrl/in_vivo/template/FVB_NCrl_in_vivo_2.nii.gz"
FEW = """
from dataclasses import replace

from patchseg import params
from patchseg.adaptation import fine_tuning

judge = fine_tuning.judge
fine_tuning.judge = lambda *given: replace(judge(*given), kept="adapted")
few = {"patches": 32}
known = params.shipped().adapt
small = known.model_copy(update={"round": 2, "batch_size": 8,
    "draw": known.draw.model_copy(update=few), "replayed": known.replayed.model_copy(update=few)})
"""
"""In the cell of the parameters: a recipe that learns little in seconds, and is kept all the same:
a few strokes do not help, so that the guard would keep the parent and draw no curve."""


@pytest.fixture
def folder(tmp_path):
    """A folder with a macaque and a mouse, in which notebooks are opened."""
    (tmp_path / "notebooks").mkdir()
    for name, path in (("macaque", MACAQUE), ("mouse", MOUSE)):
        shutil.copy(
            Path(os.environ["PATCHSEG_ZOO"]) / path, tmp_path / "notebooks" / f"{name}.nii.gz"
        )
    return tmp_path / "notebooks"


def copied(folder, name, parameters, replaced=("", "")):
    """Copy a notebook with parameters of its own; return where cells stand that hold a text."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(*replaced) if replaced[0] else cell.source
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = parameters
    nbformat.write(notebook, folder / name)
    code = [at for at, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    return code, lambda text: [at for at in code if text in notebook.cells[at].source]


def ras(path):
    return grid.ras(nib.load(path), None)[0]


class Hand:
    """The hand at the painter of a cell, and the file it paints into."""

    def __init__(self, notebook, number, labels):
        self.notebook, self.labels = notebook, labels
        self.canvas, self.cell = notebook.canvas(number), notebook.cell(number)

    def said(self):
        return self.cell.locator(".widget-html").first.inner_text()

    def choose(self, name):
        self.cell.locator(f".widget-toggle-button:text-is('{name}')").first.click()

    def draw(self, start, end):
        """Draw with the mouse between places, in shares of the canvas."""
        self.canvas.scroll_into_view_if_needed()
        box, mouse = self.canvas.bounding_box(), self.notebook.page.mouse
        places = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
        ]
        mouse.move(*places[0])
        mouse.down()
        mouse.move(*places[1], steps=12)
        mouse.up()

    def changed(self, before, *keys):
        """Press keys, wait until the file holds something new, and return the labels in it."""
        for key in keys:
            self.notebook.page.keyboard.press(key)

        def new():
            found = self.labels.exists() and "saved in" in self.said() and ras(self.labels)
            return found is not False and not np.array_equal(found, before) and (found,)

        return until(new, 120, "saving")[0]


def test_the_loop_of_notebook_6(folder, tmp_path):
    out = folder / "out"
    code, holding = copied(
        folder,
        "6_adapt.ipynb",
        f"image, out = '{folder / 'macaque.nii.gz'}', '{out}'\nweights = finished = None\n{FEW}",
        ("on_round=LiveCurve()", "steps=4, recipe=small, on_round=LiveCurve()"),
    )
    painters, (_, *learning) = holding("painter.box"), [0, *holding("patchseg.adapt(")]
    upto = [at for at in code if at <= painters[0]]
    labels = out / "macaque_labels.nii.gz"
    with jupyter_lab(folder, tmp_path / "lab.txt") as address, chromium_page() as page:
        notebook = Notebook(page, address, "6_adapt.ipynb")
        notebook.run(*upto)
        notebook.keep("suggested", upto[-2])
        hand = Hand(notebook, painters[0], labels)
        until(lambda: coloured(picture(hand.canvas)) > 0.02, 60, "the proposal")
        notebook.keep("painter", painters[0])
        proposal = ras(out / "macaque_guess.nii.gz")
        suggested = np.flatnonzero(proposal.any(axis=(0, 2)))

        painted = proposal
        for label, (name, y) in enumerate(zip(TISSUES, (0.45, 0.5, 0.55), strict=True), 1):
            before = painted
            hand.choose(name)
            hand.draw((0.2, y), (0.35, y))
            painted = hand.changed(before)
            new = painted != before
            assert set(painted[new]) == {label} and new.sum() > 10
            assert np.flatnonzero(new.any(axis=(0, 2))).tolist() == suggested.tolist()
        notebook.keep("strokes", painters[0])
        assert np.array_equal(hand.changed(painted, "Control+z"), before)
        assert np.array_equal(hand.changed(before, "Control+y"), painted)

        hand.draw((0.2, 0.6), (0.3, 0.6))
        page.close()
        until(lambda: not np.array_equal(ras(labels), painted), 60, "a stroke before the end")
        painted, page, taken = ras(labels), page.context.new_page(), notebook.taken
        notebook = Notebook(page, address, "6_adapt.ipynb")
        notebook.taken = taken  # pictures are numbered on
        notebook.run(*upto)
        hand = Hand(notebook, painters[0], labels)
        assert np.array_equal(ras(labels), painted)
        notebook.keep("after_closing", painters[0])
        hand.choose("GM")

        page.keyboard.press("ArrowUp")
        until(lambda: f"slice {suggested[0] + 1} of" in hand.said(), 60, "the next slice")
        hand.draw((0.3, 0.5), (0.35, 0.5))
        wrong = hand.changed(painted)
        assert np.flatnonzero(wrong.any(axis=(0, 2))).tolist() == [*suggested, suggested[0] + 1]
        notebook.keep("next_slice", painters[0])
        assert np.array_equal(hand.changed(wrong, "Control+z"), painted)

        place = out / "macaque_labels_place.json"
        shown = suggested[0] + 1
        until(lambda: json.loads(place.read_text())["place"][1] == shown, 10, "the place")
        said = hand.said()
        notebook.restart()
        page.wait_for_selector(".lost >> text=/kernel of this painter has ended/")
        notebook.keep("cut_off", painters[0])
        notebook.run(*upto)
        hand = Hand(notebook, painters[0], labels)
        assert hand.said() == said and np.array_equal(ras(labels), painted)
        notebook.keep("after_restart", painters[0])
        hand.choose("WM")
        hand.canvas.click(button="middle", position={"x": 9, "y": 9})
        page.keyboard.press("ArrowDown")
        until(lambda: f"slice {suggested[0]} of" in hand.said(), 60, "the slice before")
        hand.draw((0.3, 0.4), (0.35, 0.4))
        painted = hand.changed(painted)
        notebook.keep("painted_on", painters[0])

        for at in [at for at in code if painters[0] < at < painters[1]]:
            notebook.run(at)
            notebook.keep(f"cell_{at}", at)
        assert notebook.cell(learning[0]).locator("img").count() == 1  # the curve
        first = json.loads((out / "macaque.json").read_text())
        assert first["kept"] == "adapted" and first["guard"]["left_out"] == 2
        assert np.array_equal(ras(labels), painted)

        notebook.run(painters[1])
        hand = Hand(notebook, painters[1], labels)
        guess, old = ras(out / "macaque_guess.nii.gz"), painted > 0
        assert np.array_equal(guess[old], painted[old])
        again = np.flatnonzero(np.where(old, 0, guess).any(axis=(0, 2)))
        assert again.size and not set(again) & set(np.flatnonzero(old.any(axis=(0, 2))))
        hand.choose("GM")
        hand.draw((0.25, 0.5), (0.4, 0.5))
        both = hand.changed(painted)
        notebook.keep("second_round", painters[1])
        assert np.array_equal(both[old], painted[old]) and both[:, again].any()
        for at in [at for at in code if at > painters[1]]:
            notebook.run(at)
            notebook.keep(f"cell_{at}", at)
        assert notebook.cell(learning[1]).locator("img").count() == 1
    second = json.loads((out / "round-2.json").read_text())
    assert second["guard"]["left_out"] == 2 and set(second["dice_after"]) == set(TISSUES)
    for name in ("macaque", "round-2"):
        assert (out / f"{name}.weights.h5").stat().st_size > 10**5
    assert second["parent"] != first["parent"]


def test_notebook_5_and_its_viewer(folder, tmp_path):
    code, holding = copied(
        folder,
        "5_segment.ipynb",
        f"image, out = '{folder / 'mouse.nii.gz'}', '{folder / 'out'}'\n"
        "mask, weights, settings = None, None, {}",
    )
    (viewed,), (painter,) = holding("view(image"), holding("painter.box")
    with jupyter_lab(folder, tmp_path / "lab.txt") as address, chromium_page() as page:
        notebook = Notebook(page, address, "5_segment.ipynb")
        for at in code:
            notebook.run(at)
            notebook.keep(f"cell_{at}", at)
        canvas = notebook.canvas(viewed)
        until(lambda: coloured(picture(canvas)) > 0.01, 60, "labels")
        shown = picture(canvas)
        box = canvas.bounding_box()
        page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.25 * box["height"])
        until(lambda: np.abs(picture(canvas) - shown).mean() > 0.003, 60, "another place")
        notebook.keep("viewer_clicked", viewed)
        slider = notebook.cell(viewed).locator(".widget-readout").first
        slider.fill("0")
        slider.press("Enter")
        until(lambda: coloured(picture(canvas)) < coloured(shown) / 2, 60, "labels that fade")
        notebook.keep("viewer_faded", viewed)
        Hand(notebook, painter, folder / "out")
        notebook.keep("mask", painter)
    assert sorted(path.name for path in (folder / "out").glob("*_dseg.nii.gz"))
