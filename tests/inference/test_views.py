import keras
import numpy as np
import pytest
from conftest import ball_brain

from patchseg import unet
from patchseg.inference import views
from patchseg.inference.views import fuse, view_weights


class Echo:
    """A network whose input comes back as the probability of GM, to see what happens around it."""

    layers = ()

    def predict_on_batch(self, x):
        return np.concatenate([0 * x, x, 0 * x], axis=-1)


@pytest.mark.parametrize("square", [True, False])
def test_a_volume_comes_back_on_its_own_grid(grid, square):
    image = ball_brain((40, 21, 33))[0] / 100
    out = views.volume(Echo(), image, grid.model_copy(update={"square": square, "slice_size": 128}))
    assert out.shape == (*image.shape, 3)
    assert np.abs(out[..., 1] - image)[image > 0].mean() < 0.01
    assert not out[image == 0].any() and not out[..., 0].any()


def test_no_tissue_where_there_is_no_signal():
    images = np.zeros((3, 8, 8), np.float32)
    images[1, 2:4, 2:4] = 0.5
    out = views.predict(unet.build(levels=2, features=2, blocks=1), images, 2)
    assert (out > 0).any(axis=-1).sum() == 4


def test_softmax_background_is_left_out():
    network = unet.build(levels=2, features=2, blocks=1, activation="softmax")
    images = np.full((1, 4, 4), 0.5, np.float32)
    assert np.allclose(
        views.predict(network, images, 1), np.asarray(network(images[..., None]))[..., 1:]
    )


def brain_and_mask(shape=(40, 36, 32)):
    image, labels = ball_brain(shape)
    return image / 100, labels > 0, labels


def test_fuse_gives_probabilities_that_sum_to_1_inside_and_0_outside(thresholds):
    image, mask, labels = brain_and_mask()
    fused = fuse(thresholds, image, mask, (1, 1, 1), 1)
    assert (
        np.allclose(fused.probabilities.sum(-1)[mask], 1, atol=1e-5)
        and not fused.probabilities[~mask].any()
    )
    assert np.array_equal((fused.probabilities.argmax(-1) + 1) * mask, labels)
    assert fused.disagreement.max() < 1e-5 and fused.outside < 0.01
    assert all(
        np.allclose(share, np.bincount(labels[mask])[1:] / mask.sum(), atol=0.01)
        for share in fused.shares
    )


@pytest.mark.parametrize("pixel_mm", [0.7, 1.6])
def test_fuse_comes_back_to_an_anisotropic_grid(thresholds, pixel_mm):
    image, mask, labels = brain_and_mask((60, 60, 20))
    fused = fuse(thresholds, image, mask, (1, 1, 3), pixel_mm)
    assert fused.probabilities.shape == (*image.shape, 3)
    assert ((fused.probabilities.argmax(-1) + 1)[mask] == labels[mask]).mean() > 0.9


class Sided:
    """A network whose answer depends on the slice's shape: the views contradict each other."""

    layers = ()

    def predict_on_batch(self, x):
        out = np.zeros((*x.shape[:3], 3), np.float32)
        out[..., 0 if x.shape[1] > x.shape[2] else 2] = 1
        return out


def test_views_that_contradict_each_other_are_seen():
    image, mask, _ = brain_and_mask((80, 40, 40))
    fused = fuse(Sided(), image, mask, (1, 1, 1), 1)
    assert (
        fused.disagreement[mask].mean() == pytest.approx(fused.uncertainty[mask].mean(), abs=0.01)
        and fused.disagreement[mask].mean() > 0.5
    )


def test_tiles_agree_with_whole_slices_and_leave_no_seam():
    keras.utils.set_random_seed(0)
    network = unet.build(levels=3, features=4, blocks=1, activation="softmax")
    rng = np.random.default_rng(0)
    network.set_weights([w + rng.normal(0, 0.2, w.shape) for w in network.get_weights()])
    images = np.clip(rng.random((2, 256, 224), np.float32), 0, 1)
    whole, tiled = views._whole(network, images), views._tiled(network, images, 96)
    difference = np.abs(whole - tiled).max(axis=-1)
    assert difference.mean() < 1e-3 and (whole.argmax(-1) == tiled.argmax(-1)).mean() > 0.995
    borders = np.zeros(images.shape[1:], bool)
    for start in views._starts(256, 96):
        borders[max(0, start - 1) : start + 2] = True
    assert difference[:, borders].mean() <= 2 * difference[:, ~borders].mean() + 1e-4


def test_slices_are_padded_no_more_than_the_levels_need():
    class Two(Echo):
        layers = (keras.layers.MaxPooling2D(), keras.layers.MaxPooling2D())

        def predict_on_batch(self, x):
            assert x.shape == (1, 12, 8, 1) and not x[:, 10:].any() and not x[:, :, 7:].any()
            return super().predict_on_batch(x)

    assert np.allclose(views._whole(Two(), np.full((1, 10, 7), 0.25, np.float32))[..., 1], 0.25)


def test_tiles_cover_everything_once_or_more():
    assert views._starts(96, 96) == [0] and views._starts(10, 4) == [0, 2, 4, 6]
    echo = views._tiled(Echo(), np.full((1, 70, 130), 0.25, np.float32), 64)
    assert np.allclose(echo[..., 1], 0.25)


def test_thin_stacks_use_the_view_in_their_plane():
    assert view_weights((64, 64, 1), (1, 1, 5), 1) == {"axial": 1.0}
    assert sum(view_weights((64, 64, 64), (1, 2, 3), 1).values()) == pytest.approx(1)
    assert set(view_weights((4, 5, 6), (1, 1, 1), 1)) != set()


def test_a_single_slice_is_segmented(thresholds):
    image, mask, labels = brain_and_mask((64, 64, 3))
    one = fuse(thresholds, image[..., 1:2], mask[..., 1:2], (1, 1, 5), 1)
    assert np.array_equal((one.probabilities.argmax(-1) + 1) * mask[..., 1:2], labels[..., 1:2])
