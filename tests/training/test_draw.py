from dataclasses import replace

import numpy as np
import pytest
from conftest import ball_brain, labelled_ball

from patchseg import params
from patchseg.core.errors import InputError
from patchseg.core.tissues import UNLABELLED
from patchseg.training import appearance, batches, draw

PLAIN = {
    "patches": 8,
    "validation": 8,
    "patch_size": 32,
    "brain_pixels": 24,
    "scales": (1, 1),
    "rotation_deg": 0,
    "anisotropy": 0,
    "elastic": 0,
    "anywhere": 0,
    "thick": 0,
    "drawn": 0,
    "orders": (1, 0, 0, 0),
    "parts": 0,
    "reshaped": 0,
    "rim": 0,
    "repainted": 0,
    "curves": 0,
    "gamma": 0,
    "bias": 0,
    "blurred": 0,
    "coarse": 0,
    "noise": 0,
    "background": 0,
    "seed": 0,
}


def settings(**changes):
    return params.Draw(**PLAIN | changes)


def ball(name="a", species="ball", image=True, unlabelled=()):
    whole = ball_brain()[1]
    one = labelled_ball(name, labels=np.where(np.isin(whole, unlabelled), 0, whole))
    return draw.brain_of(replace(one, species=species, image=one.image if image else None))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_without_any_change_image_and_labels_belong_together(rng):
    brain = ball()
    for _ in range(20):
        image, labels = draw.patch(rng, brain, settings())
        assert (
            image.dtype == np.float32
            and labels.dtype == np.uint8
            and image.shape == labels.shape == (32, 32)
        )
        assert (image[labels == 0] == 0).all()
        means = [
            image[labels == tissue].mean() for tissue in (1, 2, 3) if (labels == tissue).sum() > 20
        ]
        assert means == sorted(means)


def test_the_scale_says_how_large_a_brain_is_seen(rng):
    shares = [
        np.mean(
            [(draw.patch(rng, ball(), settings(scales=(s, s)))[1] > 0).mean() for _ in range(40)]
        )
        for s in (0.4, 1, 3)
    ]
    assert shares[0] < 0.4 < shares[2] and shares == sorted(shares)


def test_the_brain_is_seen_at_one_size_whatever_its_voxels():
    fine, coarse = (
        draw.brain_of(labelled_ball(shape=(edge,) * 3, affine=np.diag([size, size, size, 1])))
        for edge, size in ((80, 0.1), (40, 7))
    )
    areas = [
        np.mean(
            [
                (draw.patch(np.random.default_rng(s), one, settings())[1] > 0).mean()
                for s in range(60)
            ]
        )
        for one in (fine, coarse)
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.1)


ORDERS = {
    (1, 0, 0, 0): ["CSF GM WM"],
    (0, 1, 0, 0): ["WM GM CSF"],
    (0, 0, 1, 0): ["CSF WM GM", "GM WM CSF"],  # newborns, T1w and T2w
}


def from_dark_to_bright(image, labels):
    """Return the tissues of a patch, the darkest first; None where not all are there."""
    medians = {
        name: np.median(image[labels == tissue])
        for tissue, name in enumerate(("CSF", "GM", "WM"), start=1)
        if (labels == tissue).sum() > 20
    }
    return " ".join(sorted(medians, key=medians.get)) if len(medians) == 3 else None


@pytest.mark.parametrize("orders", ORDERS)
def test_made_up_images_have_the_order_that_is_asked_for(rng, orders):
    drawn = [
        draw.patch(rng, ball(image=False), settings(orders=orders, scales=(0.8, 0.8)))
        for _ in range(30)
    ]
    assert {from_dark_to_bright(*one) for one in drawn} - {None} == set(ORDERS[orders])


@pytest.mark.parametrize("orders", ORDERS)
def test_a_real_image_is_repainted_in_the_order_that_is_asked_for(rng, orders):
    for _ in range(20):
        drawn = draw.patch(rng, ball(), settings(orders=orders, repainted=1, scales=(0.8, 0.8)))
        assert from_dark_to_bright(*drawn) in [None, *ORDERS[orders]]
        assert (drawn[0][drawn[1] == 0] == 0).all()


def test_a_brain_without_one_tissue_is_not_repainted(rng):
    brain, twin = ball(unlabelled=(1,)), np.random.default_rng(5)
    assert np.isnan(brain.means[0]) and not np.isnan(brain.means[1:]).any()
    found, _ = draw.patch(np.random.default_rng(5), brain, settings(repainted=1))
    assert (found == draw.patch(twin, brain, settings())[0]).all()


def test_a_mask_cut_otherwise_moves_no_border_inside(rng):
    truth = np.zeros((64, 64), np.uint8)
    truth[8:56, 8:56], truth[9:55, 9:55], truth[20:44, 20:44] = 1, 2, 3
    seen = set()
    for _ in range(60):
        labels, inside = appearance.cut(rng, truth, 1, settings(rim=1))
        assert ((labels == truth) | (labels == 0)).all() and inside[labels > 0].all()
        seen.add(
            "loose"
            if (inside & (truth == 0)).any()
            else "eroded"
            if ((labels == 0) & (truth > 1)).any()
            else "tight"
        )
    assert seen == {"loose", "eroded", "tight"}
    labels, inside = appearance.cut(rng, truth, 1, settings())
    assert (labels == truth).all() and (inside == (truth > 0)).all()


def test_a_reshaped_brain_has_another_cortex_and_the_same_outline(rng):
    truth = np.zeros((64, 64), np.uint8)
    truth[8:56, 8:56], truth[16:48, 16:48] = 2, 3
    shares = []
    for _ in range(30):
        changed = appearance.reshape(rng, truth, 1, settings(reshaped=1))
        assert ((changed > 0) == (truth > 0)).all()
        shares.append((changed == 3).sum())
    assert min(shares) < (truth == 3).sum() < max(shares)


def test_parts_of_a_tissue_stay_nearer_to_it_than_to_another_and_have_soft_edges(rng):
    own = np.zeros((64, 64), bool)
    own[8:56, 8:56] = True
    means, found = np.array([0.2, 0.5, 0.9]), []
    for _ in range(50):
        change = appearance._parts(rng, own, means - means[1], 1)
        assert change.min() >= -0.2 - 1e-6 and change.max() <= 0.4 * 2 / 3 + 1e-6
        found.append(np.ptp(change))
        steps = np.abs(np.diff(change, axis=0)).max()
        assert steps <= 0.3 * np.ptp(means)
    assert np.mean(found) > 0.05


def test_tissues_that_are_equally_bright_are_not_repainted(rng):
    image, inside = np.linspace(0.1, 1, 64, dtype=np.float32).reshape(8, 8), np.ones((8, 8), bool)
    for means in ([0.5, 0.55, 0.9], [0.5, 0.5, 0.9], [0.5, np.nan, 0.9]):
        found = appearance.recolour(rng, image, inside, np.array(means), settings(repainted=1))
        assert np.array_equal(found, image)


def test_a_loose_mask_holds_what_lies_around_the_brain(rng):
    for one in (ball(), ball(image=False)):
        drawn = [draw.patch(rng, one, settings(rim=1, scales=(0.6, 0.6))) for _ in range(40)]
        assert any((image[labels == 0] > 0.05).sum() > 50 for image, labels in drawn)
        assert all((image[labels > 0] > 0).all() for image, labels in drawn)


def test_what_nobody_labelled_is_ignored_and_not_background(rng):
    brain = ball(unlabelled=(1,))
    _, labels = draw.patch(rng, brain, settings(scales=(0.5, 0.5)))
    assert {0, 2, 3, UNLABELLED} == set(np.unique(labels)) and len(brain.places) == 2
    with pytest.raises(InputError, match="a: no voxel is labelled"):
        ball(unlabelled=(1, 2, 3))


def test_every_tissue_is_at_the_centre_as_often(rng):
    middle = [draw.patch(rng, ball(), settings())[1][15:17, 15:17].max() for _ in range(150)]
    counts = np.bincount(middle, minlength=4)
    assert counts[1:].min() > 30


def test_anything_goes_and_stays_an_image(rng):
    wild = settings(
        scales=(0.3, 4),
        rotation_deg=180,
        anisotropy=0.3,
        elastic=3,
        anywhere=0.5,
        thick=0.5,
        drawn=0.5,
        orders=(0.3, 0.2, 0.2, 0.3),
        parts=0.5,
        reshaped=0.5,
        rim=0.5,
        repainted=0.5,
        curves=0.5,
        gamma=0.5,
        bias=0.5,
        blurred=0.5,
        coarse=0.5,
        noise=0.2,
        background=0.5,
    )
    for _ in range(100):
        image, labels = draw.patch(rng, ball(), wild)
        assert (
            image.min() >= 0
            and image.max() <= 1
            and np.isfinite(image).all()
            and set(np.unique(labels)) <= {0, 1, 2, 3}
        )


def test_thin_brains_and_single_slices_can_be_drawn_from(rng):
    one = labelled_ball(shape=(40, 36, 9), affine=np.diag([1, 1, 5, 1]))
    thin = replace(one, image=one.image[..., 4:5], labels=one.labels[..., 4:5])
    brain = draw.brain_of(thin)
    assert any((draw.patch(rng, brain, settings(thick=1))[1] > 0).any() for _ in range(10))


def test_species_and_kinds_are_balanced(rng):
    brains = [
        ball("one", "rare"),
        *[ball(str(i), "common") for i in range(3)],
        *[ball(f"l{i}", "common", image=False) for i in range(6)],
    ]
    chosen = [draw.choose(rng, brains).name for _ in range(400)]
    assert (
        150 < chosen.count("one") < 250 and 60 < sum(name.startswith("l") for name in chosen) < 140
    )


def test_a_cluster_draws_the_same_patches(monkeypatch, request):
    monkeypatch.setattr(draw, "CHUNK", 3)
    here = draw.in_memory([ball()], 8, settings(noise=0.1))
    request.getfixturevalue("on_dask")
    there = draw.in_memory([ball()], 8, settings(noise=0.1))
    assert all(map(np.array_equal, here, there))


def test_a_set_has_the_size_asked_for_and_the_same_bytes_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "CHUNK", 3)
    for jobs, folder in ((1, "a"), (2, "b")):
        draw.write_set([ball()], tmp_path / folder, 8, settings(noise=0.1), jobs=jobs)
    draw.write_set([ball()], tmp_path / "other", 8, settings(noise=0.1), seed=1)
    images, labels = batches.open_training_set(tmp_path / "a")
    assert images.shape == labels.shape == (8, 32, 32) and images.dtype == np.float16
    same = [
        (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        for name in ("images.npy", "labels.npy")
    ]
    assert all(same) and not np.array_equal(
        images, batches.open_training_set(tmp_path / "other")[0]
    )
