"""The painter: what it keeps, and what a hand does in a page of Chromium."""

import gzip
import json
import shutil
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import painter as bench
import pytest

from patchseg.core.errors import InputError
from patchseg.figures import canvas
from patchseg.figures import painter as painting
from patchseg.images import grid, volume

SHAPE = (20, 24, 16)
TURNED = np.array([[1, -1], [2, 1], [0, -1]])
"""From RAS+ to another order of axes."""


@pytest.fixture
def image(tmp_path):
    """A bright ball, oblique and in another order of axes than RAS+."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    values = 100 * (sum(axis**2 for axis in axes) < 0.8).astype(np.float32)
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.2, 0.1, -0.15) @ np.diag([1, 1.2, 1.5]), [5, -7, 3]
    )
    nib.save(nib.Nifti1Image(values, affine).as_reoriented(TURNED), tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


def write_labels(image, name, values):
    """Write labels (RAS+) on the grid of an image; return their path."""
    volume.write(grid.like(values, volume.read(image)), image.with_name(name))
    return image.with_name(name)


def marked(*slices, label=1):
    """Labels (RAS+) with a block on these coronal slices."""
    values = np.zeros(SHAPE, np.uint8)
    values[5:8, list(slices), 6:9] = label
    return values


def test_a_stroke_is_saved_on_the_grid_of_the_image(image):
    painter = painting.Painter(image, image.with_name("labels.nii.gz"), number=4)
    painter.shown = True
    painter.take([2, 4, 3], [2, 1, 2], bytes([1, 2, 3, 0]))
    assert "3 voxels labelled on 1 coronal slice " in painter.said.value
    saved = nib.load(painter.save())
    painter.timer.cancel()
    assert saved.shape == nib.load(image).shape
    assert np.allclose(saved.affine, nib.load(image).affine)
    values = grid.ras(saved, None)[0]
    assert values[2:4, 4, 3:5].T.tolist() == [[1, 2], [3, 0]] and values.sum() == 6


def test_strokes_and_place_save_themselves_and_the_next_painter_begins_there(image, monkeypatch):
    monkeypatch.setattr(painting, "WAIT_S", 0.01)
    labels = image.with_name("labels.nii.gz")
    painter = painting.Painter(image, labels, number=4)
    painter.shown = True
    painter.canvas.place = [3, 9, 5]
    painter.take([2, 4, 3], [1, 1, 1], bytes([2]))
    for timer in [one for one in threading.enumerate() if isinstance(one, threading.Timer)]:
        timer.join(10)
    assert "saved in labels.nii.gz" in painter.said.value
    again = painting.Painter(image, labels, number=4)
    assert again.values[2, 4, 3] == 2 and np.array_equal(again.values, painter.values)
    assert list(again.canvas.place) == [3, 9, 5]
    assert list(painting.Painter(image, labels, number=7).canvas.place) == [10, 7, 8]
    (image.parent / "labels_place.json").write_text(json.dumps({"place": [99, 0, 0]}))
    assert list(painting.Painter(image, labels, number=4).canvas.place) == [10, 4, 8]


def test_the_proposal_fills_only_slices_of_which_nothing_is_labelled():
    labels, proposal = marked(4, label=3), marked(4, 9, label=1)
    begun, offered = painting.begun(labels, proposal, 1)
    assert np.array_equal(begun, marked(4, label=3) + marked(9)) and offered == [4, 9]
    erased, _ = painting.begun(labels, proposal, 1, offered)
    assert np.array_equal(erased, marked(4, label=3))  # what a hand erased stays erased


def test_labels_of_another_image_are_refused(image):
    other = image.with_name("other.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.uint8), np.eye(4)), other)
    with pytest.raises(InputError, match="other.nii.gz: shape"):
        painting.Painter(image, other)
    nib.save(nib.Nifti1Image(marked(4), np.diag([9, 9, 9, 1])), other)
    with pytest.raises(InputError, match="other.nii.gz: affine"):
        painting.Painter(image, other)
    wrong = write_labels(image, "codes.nii.gz", marked(4).astype(np.int16) * 1001)
    with pytest.raises(InputError, match="codes.nii.gz: .*001 is no label here; there are 0 to 3"):
        painting.Painter(image, wrong)


@pytest.mark.parametrize(("known", "says"), [
    ({"labels": "labels"}, "labels: not a name for a label file; end it in .nii.gz"),
    ({"plane": "foo"}, "plane 'foo' is unknown; use sagittal, coronal, axial"),
    ({"number": 99}, "there is no coronal slice 99, only 0 to"),
    ({"number": -5}, "there is no coronal slice -5"),
])  # fmt: skip
def test_odd_arguments_are_refused(image, known, says):
    labels = image.with_name(known.pop("labels", "labels.nii.gz"))
    with pytest.raises(InputError, match=says):
        painting.Painter(image, labels, **known)


def test_a_damaged_place_is_left_aside(image):
    labels, kept = (
        write_labels(image, "labels.nii.gz", marked(4)),
        image.with_name("labels_place.json"),
    )
    for text in ('{"asked": ["coronal", 4], "place": [1e999], "offered": []}', "[" * 100000,
                 '{"asked": ["coronal", 4], "place": [], "offered": [-1000]}'):  # fmt: skip
        kept.write_text(text)
        assert list(painting.Painter(image, labels, number=4).canvas.place) == [10, 4, 8]


def test_what_an_editor_or_another_painter_wrote_is_never_replaced(image):
    labels = write_labels(image, "labels.nii.gz", marked(4))
    old = painting.Painter(image, labels, number=4)
    old.shown = True
    write_labels(image, "labels.nii.gz", marked(4, 9, label=2))
    edited = labels.read_bytes()
    assert old.save() == labels and labels.read_bytes() == edited  # nothing to add to it
    old.take([2, 4, 3], [1, 1, 1], bytes([3]))
    old.timer.cancel()
    with pytest.raises(InputError, match="labels.nii.gz: another program or painter has written"):
        old.save()
    old._save_quietly()
    assert "NOT SAVED" in old.said.value and labels.read_bytes() == edited
    assert not image.with_name("labels_place.json").exists()


def test_without_a_browser_the_label_file_stays_or_is_asked_for(image):
    painter = painting.Painter(image, image.with_name("labels.nii.gz"))
    with pytest.raises(InputError, match="nothing is painted yet"):
        painter.save()
    labels = write_labels(image, "labels.nii.gz", marked(4))
    before = labels.read_bytes()
    assert painter.save() == labels and labels.read_bytes() == before


def test_where_no_widget_can_run_the_cell_says_what_to_paint_where(image, monkeypatch):
    given = image, image.with_name("labels.nii.gz"), image.with_name("proposal.nii.gz")
    said = painting.Painter(*given).box._repr_mimebundle_()["text/plain"]
    for part in ("labels.nii.gz", "proposal.nii.gz", "ITK-SNAP", "1 CSF, 2 GM, 3 WM"):
        assert part in said
    monkeypatch.setattr(canvas, "kind", absent)
    assert repr(painting.Painter(*given).box) == said


def absent():
    raise ImportError("ipyniivue")


def test_the_browser_gets_the_voxels_in_their_own_order():
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    packed = canvas.as_nifti(data, (1, 2, 3))
    sent = nib.Nifti1Image.from_bytes(gzip.decompress(packed))
    assert np.array_equal(sent.affine, np.diag([1, 2, 3, 1])) and sent.get_data_dtype() == np.uint8
    assert np.all(np.diff(np.asarray(sent.dataobj).ravel()) >= 0)
    assert sent.header["cal_max"] == 255  # or NiiVue searches all voxels for a range


@pytest.fixture
def page():
    if not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("no Chromium on this machine")
    with bench.chromium() as (page, _):
        yield page


def test_a_hand_paints_fills_locks_undoes_and_comes_back(image, page):
    proposal = write_labels(image, "proposal.nii.gz", marked(12, label=2))
    painter = painting.Painter(image, image.with_name("labels.nii.gz"), proposal, number=12)
    shown = bench.Shown(page, painter)
    assert np.array_equal(painter.values, marked(12, label=2))

    shown.key("3", "[")  # WM, a pen of one voxel
    shown.stroke((0.25, 0.3), (0.45, 0.3))
    line = np.argwhere(painter.values == 3)
    assert len(line) > 3 and set(line[:, 1]) == {12} and len(set(line[:, 2])) == 1
    assert np.array_equal(line[:, 0], np.arange(line[0, 0], line[-1, 0] + 1))
    once = painter.values.copy()

    shown.key("f", "1")
    shown.stroke((0.25, 0.55), (0.45, 0.55), (0.45, 0.8), (0.25, 0.8))
    filled = np.argwhere(painter.values == 1)
    low, high = filled.min(0), filled.max(0)
    assert len(filled) == np.prod(high - low + 1) > 9  # the inside, too

    shown.key("Control+z")
    assert np.array_equal(painter.values, once)
    shown.key("Control+y")
    assert np.array_equal(np.argwhere(painter.values == 1), filled)
    shown.key("Control+z", "Control+z", "Control+z")
    assert np.array_equal(painter.values, marked(12, label=2))

    shown.key("f", "0", "]", "]", "]", "]")
    page.evaluate("model.set('locked', [2])")
    shown.stroke((0.2, 0.5), (0.5, 0.5))
    assert np.array_equal(painter.values, marked(12, label=2))  # nothing else was there to erase

    shown.key("ArrowUp")
    assert painter.canvas.place[1] == 13 and "coronal slice <b>13</b>" in painter.said.value


def test_a_flood_fills_what_is_enclosed_and_nothing_else(image, page):
    ring = np.zeros(SHAPE, np.uint8)
    ring[6:13, 12, 4:11] = 2
    ring[7:12, 12, 5:10] = 0
    labels = write_labels(image, "labels.nii.gz", ring)
    painter = painting.Painter(image, labels, number=12)
    shown = bench.Shown(page, painter)
    shown.key("3", "f", "f")
    assert page.evaluate("model.state.filled") == 2
    shown.stroke((0.24, 0.5), (0.24, 0.5))  # outside the ring: not enclosed
    assert np.array_equal(painter.values, ring)
    shown.stroke((0.33, 0.5), (0.34, 0.5))
    filled = ring.copy()
    filled[7:12, 12, 5:10] = 3
    assert np.array_equal(painter.values, filled)
    shown.key("Control+z")
    assert np.array_equal(painter.values, ring)
    shown.key("f", "f", "1")
    page.evaluate("() => { model.send = () => { throw new Error('Cannot send'); }; }")
    shown.stroke((0.33, 0.5), (0.34, 0.5))  # the kernel is gone
    assert "Run the cells again" in page.locator(".lost").inner_text()


def test_a_stroke_that_keeps_to_the_brightness_stays_in_the_ball(image, page):
    painter = painting.Painter(image, image.with_name("labels.nii.gz"), number=12)
    shown = bench.Shown(page, painter)
    shown.key("3", "[")
    page.evaluate("model.set('keep', 25)")
    shown.stroke((0.35, 0.5), (0.21, 0.06))  # from the middle to a corner
    painted = painter.data[painter.values == 3]
    assert len(painted) > 5 and painted.min() == 100  # the background is 0
    page.evaluate("model.set('keep', 0)")
    shown.stroke((0.35, 0.5), (0.21, 0.06))
    assert painter.data[painter.values == 3].min() == 0


def test_the_last_cell_of_notebook_6_leaves_labels_that_the_next_run_can_read(tmp_path):
    notebook = Path(__file__).parents[2] / "notebooks" / "6_adapt.ipynb"
    cells = json.loads(notebook.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    values = np.zeros((6, 5, 4), np.uint8)
    values[2:4] = np.array([1, 2, 3, 2, 0])[:, None]
    labels, path = nib.Nifti1Image(values, np.eye(4)), tmp_path / "labels.nii.gz"
    volume.write(labels, path)
    for painted in (path, labels):  # what a hand painted, and what was filled in
        exec(code[-1], {"volume": volume, "labels": painted, "labels_file": path, "out": tmp_path})
        again = volume.read_labels(path)
        assert again.get_data_dtype() == np.uint8
        assert np.array_equal(np.asarray(again.dataobj), values)
