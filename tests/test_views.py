import numpy as np
import pytest
from conftest import ball_brain

from patchseg import segment, unet


class Echo:
    """A network that gives back its input as the probability of GM, to see what happens around it."""

    def predict_on_batch(self, x):
        return np.concatenate([0 * x, x, 0 * x], axis=-1)


@pytest.mark.parametrize("square", [True, False])
def test_a_volume_comes_back_on_its_own_grid(grid, square):
    image = ball_brain((40, 21, 33))[0] / 100
    out = segment.volume(Echo(), image, grid.model_copy(update={"square": square, "slice_size": 128}))
    assert out.shape == (*image.shape, 3)
    assert np.abs(out[..., 1] - image)[image > 0].mean() < 0.01
    assert not out[image == 0].any() and not out[..., 0].any()


def test_no_tissue_where_there_is_no_signal():
    images = np.zeros((3, 8, 8), np.float32)
    images[1, 2:4, 2:4] = 0.5
    out = segment.predict(unet.build(levels=2, features=2, blocks=1), images, 2)
    assert (out > 0).any(axis=-1).sum() == 4


def test_softmax_background_is_left_out():
    network = unet.build(levels=2, features=2, blocks=1, activation="softmax")
    images = np.full((1, 4, 4), 0.5, np.float32)
    assert np.allclose(segment.predict(network, images, 1), np.asarray(network(images[..., None]))[..., 1:])
