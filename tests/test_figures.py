import numpy as np
import pandas as pd
from conftest import ball_brain

from patchseg import figures


def test_compared_shows_image_labels_and_result_along_each_axis():
    image, labels = ball_brain()
    figure = figures.compared(image / image.max(), labels, np.where(labels == 3, 2, labels), (1, 1, 2), "a ball")
    panels = figure.axes
    assert len(panels) == 9 and [panel.get_title() for panel in panels[:3]] == ["image", "labels of the source", "patchseg"]
    shown = [set(np.unique(panel.images[0].get_array())) for panel in panels[1:3]]
    assert shown == [{0, 1, 2, 3}, {0, 1, 2}] and panels[0].get_ylabel().startswith("sagittal, x = ")
    assert panels[0].get_aspect() == 2.0  # voxels twice as high as wide


def test_mosaic_marks_left_and_right():
    image, labels = ball_brain()
    figure = figures.mosaic(image / image.max(), labels, (1, 1, 1), "axial", count=4)
    assert [text.get_text() for text in figure.axes[0].texts] == ["L", "R"] and len(figure.axes) == 8
    assert [text.get_text() for text in figures.mosaic(image / image.max(), labels, (1, 1, 1), "sagittal").axes[0].texts] == ["P", "A"]


def test_curve_of_an_adaptation_has_a_panel_a_brain_and_a_line_a_way():
    rows = [(name, count, how, 0.5 + 0.1 * count, 0.4, 0.9) for name in ("chimp", "macaque") for how in ("suggested", "random") for count in (0, 1, 5)]
    lines = pd.DataFrame([("chimp", "HMRF", 0.8), ("macaque", "HMRF", 0.7), ("chimp", "Atropos", 0.82)], columns=["brain", "method", "dice"])
    figure = figures.adaptation(pd.DataFrame(rows, columns=["brain", "slices", "how", "dice", "low", "high"]), lines)
    assert [axes.get_title() for axes in figure.axes] == ["chimp", "macaque"] and [len(axes.lines) for axes in figure.axes] == [4, 3]
    assert [label.get_text() for label in figure.legends[0].get_texts()] == ["suggested", "random", "HMRF", "Atropos"]


def test_robustness_has_a_panel_a_disturbance():
    rows = [(kind, strength, "share", name, 0.9 - strength) for kind in ("noise", "bias", "blur") for name in ("a", "b") for strength in (0, 0.1)]
    figure = figures.robustness(pd.DataFrame(rows, columns=["disturbance", "strength", "unit", "brain", "dice"]))
    assert [axes.get_title() for axes in figure.axes] == ["noise", "bias", "blur", ""] and all(len(axes.lines) == 2 for axes in figure.axes[:3])


def test_ablation_has_a_panel_a_measure_and_a_dot_a_seed():
    rows = [(variant, measure, 0.8 + 0.01 * seed) for variant in ("as it is", "without") for measure in ("T1w", "T2w") for seed in range(3)]
    figure = figures.ablation(pd.DataFrame(rows, columns=["variant", "measure", "dice"]))
    assert [axes.get_title() for axes in figure.axes] == ["T1w", "T2w"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["as it is", "without"]
    assert [len(line.get_xdata()) for line in figure.axes[1].lines[1:]] == [3, 1, 3, 1]


def test_live_curve_draws_in_the_place_of_the_last_drawing(monkeypatch):
    import IPython.display

    from patchseg.viewer import LiveCurve

    shown = []

    class Handle:
        def update(self, figure):
            shown[-1] = figure

    monkeypatch.setattr(IPython.display, "display", lambda figure, display_id: shown.append(figure) or Handle())
    curve = LiveCurve()
    curve([0.9])
    curve([0.9, 0.5])
    assert len(shown) == 1 and shown[0].axes[0].lines[0].get_ydata().tolist() == [0.9, 0.5]


def test_slices_of_a_mosaic_can_be_chosen():
    image = np.zeros((20, 24, 22), np.float32)
    image[4:16, 4:20, 4:18] = 0.5
    figure = figures.mosaic(image, (image > 0).astype(np.uint8), (1, 1, 1), "coronal", at=[7, 12])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["y = 7", "y = 12"]
