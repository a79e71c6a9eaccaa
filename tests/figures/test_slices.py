import re
from base64 import b64decode

import cv2
import numpy as np
import pytest
from conftest import ball_brain, ball_head

from patchseg import figures
from patchseg.core.tissues import COLOURS
from patchseg.figures import sheet

ORANGE, BLUE = (230, 159, 0), (86, 180, 233)


def shown(figure):
    """Return the pixels that lie in a figure as they are, (h, w, 3)."""
    (image,) = figure.images
    return np.asarray(image.get_array())


def count(pixels, rgb):
    """Count pixels near a colour; JPEG is not in it yet."""
    return int((np.abs(pixels.astype(int) - rgb).max(axis=-1) < 50).sum())


def test_a_line_is_drawn_on_the_border_and_nowhere_else():
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    drawn = sheet.with_lines(np.zeros((20, 20), np.uint8), [(mask, "#E69F00", "-")])
    assert count(drawn, ORANGE) == 4 * 9 and count(drawn[5], ORANGE) == 10
    assert not drawn[7:13, 7:13].any() and not drawn[:4].any() and not drawn[16:].any()
    dashed = sheet.with_lines(np.zeros((20, 20), np.uint8), [(mask, "#E69F00", "--")])
    assert 0 < count(dashed, ORANGE) < 4 * 9


def test_tissues_lie_within_each_other_and_a_missing_one_hides_no_border():
    labels = np.array([[0, 1, 2, 3], [0, 0, 1, 3]], np.uint8)
    brain, inner, white = (mask.tolist() for mask, _, _ in sheet.nested(labels))
    assert brain == [[False, True, True, True], [False, False, True, True]]
    assert inner == [[False, False, True, True], [False, False, False, True]]
    assert white == [[False, False, False, True], [False, False, False, True]]
    assert [colour for _, colour, _ in sheet.nested(labels)] == list(COLOURS.values())


def test_a_small_brain_in_a_large_image_is_drawn_large_and_its_aspect_kept():
    image, labels = ball_brain((24, 20, 10))
    around = ((50, 60), (70, 40), (30, 30))
    image, labels = np.pad(image / 100, around), np.pad(labels, around)
    cut = sheet.Cut(labels > 0, (1, 1, 3), "coronal", 8, (270, 600))
    wide, high = cut.size
    voxels = cut(labels, cut.places[0]).shape  # the brain's box and one voxel around it
    assert wide == 270 and high / wide == pytest.approx(3 * voxels[0] / voxels[1], abs=0.01)
    assert voxels[1] < 28 and all(70 < at < 90 for at in cut.places)
    pixels = shown(figures.outlined(image, labels, (1, 1, 3), "coronal"))
    assert all(
        count(pixels, [int(colour[at : at + 2], 16) for at in (1, 3, 5)]) > 500
        for colour in COLOURS.values()
    )


def test_slices_are_named_and_their_ends_marked():
    image, labels = ball_brain()
    figure = figures.outlined(image / 100, labels, (1, 1, 1), "axial", count=3)
    words = [text.get_text() for text in figure.texts]
    assert words == ["z = 4", "L", "R", "z = 16", "z = 27"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["CSF", "GM", "WM"]
    jpeg = cv2.imdecode(np.frombuffer(figure._repr_jpeg_(), np.uint8), 1)[..., ::-1].astype(int)
    pixels = shown(figure)
    assert figure._repr_png_() is None and jpeg.shape[1] == pixels.shape[1]
    tile = slice(20, 240)  # not scaled: but for JPEG, what is saved is what was drawn
    assert np.abs(jpeg[tile].mean() - pixels[tile].mean()) < 2


def test_outlines_show_each_mask_in_each_view():
    image, brain = ball_head((40, 36, 30))
    masks = {"brain": brain, "other": np.roll(brain, 3, 0)}
    figure = figures.outlines(image / 100, masks, (1, 1, 2), 4, "a ball")
    words = [text.get_text() for text in figure.texts]
    assert "a ball" in words and [sum(f"{a} = " in one for one in words) for a in "xyz"] == [4] * 3
    assert [text.get_text() for text in figure.legends[0].texts] == ["brain", "other"]
    assert count(shown(figure), ORANGE) > 500 and count(shown(figure), BLUE) > 500
    empty = figures.outlines(image / 100, {"none": brain & False}, (1, 1, 2), 3)
    assert count(shown(empty), ORANGE) == 0


def test_unsure_is_drawn_in_the_colours_of_its_bar():
    values = np.zeros((20, 20, 20), np.float32)
    values[4:16, 4:16, 4:16] = 1
    pixels = shown(figures.unsure(values, values > 0, (1, 1, 1), "axial", 2))
    assert count(pixels, (253, 231, 37)) > 10000  # the yellow end of viridis


def strips(page):
    """Return the images of a slider: brains and lines."""
    coded = re.findall(r"base64,([^)]*)\)", page)
    return [cv2.imdecode(np.frombuffer(b64decode(one), np.uint8), -1) for one in coded]


def test_the_slider_holds_every_slice_of_a_small_brain():
    image, labels = ball_brain((40, 36, 32))
    page = figures.slider(image / 100, labels, (1, 1, 1), "axial").data
    first, last = (np.flatnonzero((labels > 0).any(axis=(0, 1)))[[0, -1]]).tolist()
    assert f'min="{first}" max="{last}" step="1" value="16"' in page and "--at: 16" in page
    assert "http" not in page and "<script" not in page
    brains, lines = strips(page)
    number = last - first + 1
    assert brains.shape[0] % number == 0 and lines.shape == (*brains.shape, 4)
    one = lines.reshape(number, -1, lines.shape[1], 4)[16 - first]
    assert len(np.unique(one.reshape(-1, 4), axis=0)) == 4 and (one[..., 3] == 0).mean() > 0.8


def test_the_slider_takes_evenly_spaced_slices_of_a_large_brain():
    image, labels = ball_brain((20, 90, 20))
    page = figures.slider(image / 100, labels, (1, 1, 1), "coronal", most=30).data
    low, high, step = (
        int(re.search(f'{word}="(\\d+)"', page)[1]) for word in ("min", "max", "step")
    )
    assert step == 3 and (high - low) % step == 0
    assert f"100% {(high - low) // step + 1}00%" in page


def test_a_brain_of_one_slice_has_a_slider_too():
    image, labels = ball_brain()
    page = figures.slider(image[..., 16:17] / 100, labels[..., 16:17], (1, 1, 1), "axial").data
    assert 'min="0" max="0" step="1" value="0"' in page and "100% / 1)" in page
