from pathlib import Path

import keras
import numpy as np
import pytest

from patchseg import figures, params, unet
from patchseg.augment import zoom_in

RECIPE = params.load(Path(__file__).parents[2] / "params.yaml").train


def shapes_drawn(figure):
    return [tuple(map(int, text.get_text().split(" × "))) for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    "changes",
    [{}, {"levels": 4, "features": [32, 48, 64, 128], "blocks": [1, 1, 2, 2]}, {"loss": "bce"}],
)
def test_the_diagram_names_the_shapes_that_the_network_has(changes):
    settings = RECIPE.model_copy(update=changes)
    activation = "sigmoid" if settings.loss == "bce" else "softmax"
    network = unet.build(
        "unet", settings.levels, settings.features, settings.blocks, activation=activation
    )
    kept = (keras.layers.InputLayer, keras.layers.ReLU, keras.layers.Concatenate)
    layers = [one for one in network.layers if isinstance(one, kept)]
    maps = keras.Model(network.input, [*[one.output for one in layers], network.output])
    found = [tuple(one.shape[1:]) for one in maps(np.zeros((1, 64, 64, 1), np.float32))]
    drawn = shapes_drawn(figures.unet_diagram(settings, 64))
    assert drawn[0] == (64, 64, 1) and drawn[-1] == (64, 64, 3 + (activation == "softmax"))
    assert list(dict.fromkeys(found)) == list(dict.fromkeys(drawn))


def test_the_diagram_says_what_the_steps_are():
    changes = {"network": "resunet", "levels": 2, "features": 8, "blocks": [1, 2], "loss": "bce"}
    settings = RECIPE.model_copy(update=changes)
    names = [text.get_text() for text in figures.unet_diagram(settings).legends[0].get_texts()]
    assert names[0] == "1 or 2 × (residual block of two 3 × 3 convolutions)"
    assert names[-1] == "1 × 1 convolution, sigmoid: CSF, GM, WM"


def test_zooming_in_twice_doubles_the_run_in_the_middle():
    mask = np.full((64, 64), 3, np.uint8)
    mask[28:36] = 2  # a fold 8 pixels wide
    image = np.where(mask == 2, 0.5, 1.0)
    steps = {share: zoom_in(image, mask, share) for share in (1, 0.5)}
    figure = figures.zoom_steps(steps)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles[:2] == ["the patch", "its central 0.5: 2 × as large"]
    assert titles[4:] == ["GM in the middle: 8 pixels", "GM in the middle: 16 pixels"]
    assert (
        len(figure.axes[0].patches) == 1 and not figure.axes[1].patches
    )  # the frame of what is kept


def test_zoom_steps_without_zoom_show_the_patch():
    figure = figures.zoom_steps({1: (np.ones((8, 8)), np.ones((8, 8), np.uint8))})
    assert [panel.get_title() for panel in figure.axes] == [
        "the patch",
        "",
        "CSF in the middle: 8 pixels",
    ]


def test_what_nobody_labelled_is_no_tissue():
    figure = figures.zoom_steps({1: (np.ones((8, 8)), np.full((8, 8), 255, np.uint8))})
    assert figure.axes[2].get_title() == "unlabelled in the middle: 8 pixels"
    assert figure.legends[0].get_texts()[-1].get_text() == "not labelled"
