import numpy as np
from conftest import ball_brain

from patchseg.inference import refine


def unsure(labels, centre=0.5):
    """Probabilities of an unsure network that takes every border one voxel too far out."""
    shifted = np.roll(labels, 1, axis=0)
    found = np.full((*labels.shape, 3), 0.15, np.float32)
    for tissue in (1, 2, 3):
        found[shifted == tissue, tissue - 1] = 0.7
    return found / found.sum(axis=-1, keepdims=True) * (labels > 0)[..., None]


def test_intensities_move_the_borders_whatever_the_contrast():
    _, labels = ball_brain()
    rng = np.random.default_rng(0)
    for means in ((0.3, 0.6, 0.9), (0.9, 0.6, 0.3), (0.4, 0.8, 0.6)):
        image = (np.choose(labels, [0, *means]) + rng.normal(0, 0.03, labels.shape)).astype(
            np.float32
        ) * (labels > 0)
        before = unsure(labels)
        after = refine.refine(image, before, labels > 0, (1, 1, 1))
        inside = labels > 0
        assert (before.argmax(-1) + 1 == labels)[inside].mean() < 0.97
        assert (after.argmax(-1) + 1 == labels)[inside].mean() > 0.99
        assert np.allclose(after[inside].sum(-1), 1, atol=1e-5) and not after[~inside].any()


def test_a_dark_rim_does_not_hide_bright_ventricles():
    """In a T2w the mean of rim and ventricles is that of white matter; one Gaussian fits neither.

    The ventricles became grey matter.
    """
    _, labels = ball_brain((60, 54, 48))
    inside = labels > 0
    ventricles = np.zeros(labels.shape, bool)
    ventricles[26:34, 23:31, 20:28] = True
    labels = np.where(ventricles, 1, labels)
    image = np.choose(labels, [0, 0.2, 0.6, 0.4]) + 0.75 * ventricles
    image = (image + np.random.default_rng(0).normal(0, 0.03, labels.shape)) * inside
    after = refine.refine(image.astype(np.float32), unsure(labels), inside, (1, 1, 1))
    found = after.argmax(-1) + 1
    assert (found == 1)[ventricles].mean() > 0.99 and (found == labels)[inside].mean() > 0.98


def test_a_smooth_bias_field_is_found_too():
    _, labels = ball_brain((60, 54, 48))
    field = np.linspace(0.6, 1.4, 60)[:, None, None]
    image = (np.choose(labels, [0, 0.3, 0.5, 0.7]) * field).astype(np.float32)
    after = refine.refine(image, unsure(labels), labels > 0, (1, 1, 1))
    assert (after.argmax(-1) + 1 == labels)[labels > 0].mean() > 0.99


def test_an_image_without_contrast_leaves_the_network_its_say():
    _, labels = ball_brain()
    before = unsure(labels)
    after = refine.refine(
        np.where(labels > 0, 0.5, 0).astype(np.float32), before, labels > 0, (1, 1, 1)
    )
    assert (after.argmax(-1) == before.argmax(-1))[before.max(-1) > 0.5].all()


def test_one_slice_and_a_missing_tissue_do_not_break_it():
    _, labels = ball_brain()
    labels = labels[:, :, 15:16]
    before = unsure(labels)
    before[..., 0] = 0
    before[..., 1:] += 1e-9
    before *= (labels > 0)[..., None] / before.sum(axis=-1, keepdims=True)
    image = np.choose(labels, [0, 0.3, 0.6, 0.9]).astype(np.float32)
    after = refine.refine(image, before, labels > 0, (1, 1, 1))
    assert np.isfinite(after).all() and np.allclose(after[labels > 0].sum(-1), 1, atol=1e-5)
