import numpy as np
from conftest import ball_brain

from patchseg import figures


def test_compared_shows_image_labels_and_result_along_each_axis():
    image, labels = ball_brain()
    figure = figures.compared(
        image / image.max(), labels, np.where(labels == 3, 2, labels), (1, 1, 2), "a ball"
    )
    panels = figure.axes
    assert len(panels) == 9 and [panel.get_title() for panel in panels[:3]] == [
        "image",
        "labels of the source",
        "patchseg",
    ]
    shown = [set(np.unique(panel.images[0].get_array())) for panel in panels[1:3]]
    assert shown == [{0, 1, 2, 3}, {0, 1, 2}] and panels[0].get_ylabel().startswith(
        "sagittal, x = "
    )
    assert panels[0].get_aspect() == 2.0  # voxels twice as high as wide


def test_mosaic_marks_left_and_right():
    image, labels = ball_brain()
    figure = figures.mosaic(image / image.max(), labels, (1, 1, 1), "axial", count=4)
    assert [text.get_text() for text in figure.axes[0].texts] == ["L", "R"] and len(
        figure.axes
    ) == 8
    assert [
        text.get_text()
        for text in figures.mosaic(image / image.max(), labels, (1, 1, 1), "sagittal").axes[0].texts
    ] == ["P", "A"]


def test_live_curve_draws_in_the_place_of_the_last_drawing(monkeypatch):
    import IPython.display

    from patchseg.figures.viewer import LiveCurve

    shown = []

    class Handle:
        def update(self, figure):
            shown[-1] = figure

    monkeypatch.setattr(
        IPython.display, "display", lambda figure, display_id: shown.append(figure) or Handle()
    )
    curve = LiveCurve()
    curve([0.9])
    curve([0.9, 0.5])
    assert len(shown) == 1 and shown[0].axes[0].lines[0].get_ydata().tolist() == [0.9, 0.5]


def test_slices_of_a_mosaic_can_be_chosen():
    image = np.zeros((20, 24, 22), np.float32)
    image[4:16, 4:20, 4:18] = 0.5
    figure = figures.mosaic(image, (image > 0).astype(np.uint8), (1, 1, 1), "coronal", at=[7, 12])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["y = 7", "y = 12"]


def test_no_point_of_a_flat_loss_is_cut_off():
    axes = figures.loss_curve([0.66, 0.659]).axes[0]
    assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 0.7
