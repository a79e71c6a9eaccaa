from dataclasses import replace

import numpy as np
import pytest
from conftest import ball_head
from test_params import PROJECT

from patchseg import params
from patchseg.training import batches, head_sources, heads, losses
from patchseg.training.head_sources import (
    AIR,
    BRAIN,
    CSF,
    DEEP,
    GM,
    OTHER,
    SKIN,
    SKULL,
    SOFT,
    UNSURE,
    WM,
)

PLAIN = {
    "patch_size": 24,
    "rotation_deg": 0,
    "anisotropy": 0,
    "elastic": 0,
    "anywhere": 0,
    "curves": 0,
    "inverted": 0,
    "extracted": 0,
    "bias": 0,
    "blurred": 0,
    "coarse": 0,
    "gain": 0,
    "noise": 0,
    "cut": 0,
    "smooth": 0,
    "plain": 1,
    "bent": 0,
}


def settings(**changes):
    usual = params.load(PROJECT).heads.draw.model_dump()
    return params.HeadDraw.model_validate(usual | PLAIN | changes)


@pytest.fixture(scope="module")
def person():
    """A head of shells: white and grey matter, CSF, skull, soft tissue, skin."""
    axes = np.meshgrid(*[np.arange(60) - 29.5] * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    edges, codes = (8, 13, 15, 18, 24, 26), (2, 3, 24, 515, 507, 511)
    labels = np.select([radius < edge for edge in edges], codes, 0)
    return head_sources.from_labels("person", labels, (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def animal():
    image, brain = ball_head()
    return head_sources.from_image("animal", image, brain, (1.0, 1.0, 1.0), "ball")


def test_codes_become_classes():
    codes = np.array([0, 2, 3, 24, 10, 507, 511, 515, 502, 530, 502])
    assert head_sources.classes(codes).tolist() == [
        0, WM, GM, CSF, DEEP, SOFT, SKIN, SKULL, 8, 9, 8
    ]  # fmt: skip


def test_size_and_reach_by_hand(person):
    assert person.size_mm == pytest.approx((4 / 3 * np.pi) ** (1 / 3) * 15, rel=0.01)
    assert np.allclose(person.reach * person.size_mm, 15, atol=0.7)
    assert np.allclose(person.centre_mm, person.centre_mm[0]) and person.made_up


def test_bending_moves_what_is_around_the_brain_and_no_brain(person):
    rng = np.random.default_rng(0)
    axis = np.zeros((3, 50, 1, 1), np.float32)
    axis[1, :, 0, 0] = np.linspace(0.01, 2, 50)
    surface = 15 / person.size_mm
    for _ in range(20):
        bent = heads._bent(rng, person, axis)
        inside = axis[1] < 0.9 * surface
        assert np.allclose(bent[1][inside], axis[1][inside])
        assert (np.diff(bent[1, :, 0, 0]) > 0).all()  # nothing is turned over
        assert not bent[[0, 2]].any()


@pytest.mark.parametrize("seed", range(4))
def test_a_cube_holds_its_labels_and_nothing_else(person, animal, seed):
    for one in (person, animal):
        usual = params.load(PROJECT).heads.draw.model_copy(update={"patch_size": 24})
        first, again = (heads.patch(np.random.default_rng(seed), one, usual) for _ in range(2))
        image, labels = first
        assert image.shape == labels.shape == (24, 24, 24)
        assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1
        assert set(np.unique(labels)) <= {AIR, OTHER, BRAIN, UNSURE}
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_an_extracted_brain_has_nothing_around_it(person):
    for seed in range(5):
        image, labels = heads.patch(np.random.default_rng(seed), person, settings(extracted=1))
        assert OTHER not in labels
        assert not image[labels == AIR].any()


def test_a_cut_field_of_view_has_air_beyond(animal):
    def empty_faces(labels):
        faces = [np.take(labels, end, axis) for axis in range(3) for end in (0, -1)]
        return sum(not face.any() for face in faces)

    for seed in range(5):
        whole, cut = (
            heads.patch(np.random.default_rng(seed), animal, settings(scales=(60, 60), cut=share))
            for share in (0, 1)
        )
        assert empty_faces(whole[1]) == 0 and 1 <= empty_faces(cut[1]) <= 3


def test_the_brain_takes_as_many_voxels_as_wanted(animal):
    one = settings(scales=(14, 14), patch_size=48)
    sizes = [
        (heads.patch(np.random.default_rng(seed), animal, one)[1] == BRAIN).sum() ** (1 / 3)
        for seed in range(6)
    ]
    assert max(sizes) == pytest.approx(14, rel=0.05)


def test_kinds_of_heads_and_species_are_chosen_evenly(person, animal):
    extracted = replace(
        animal, levels=[(*level[:1], level[1] // 2 * 2, *level[2:]) for level in animal.levels]
    )
    other = replace(animal, species="egg")
    rng, counts = np.random.default_rng(0), {}
    everyone = {"person": person, "animal": animal, "other": other, "extracted": extracted}
    shares = settings(shares=(0.5, 0.4, 0.1))
    for _ in range(2000):
        one = heads.choose(rng, list(everyone.values()), shares)
        name = next(name for name, head in everyone.items() if head is one)
        counts[name] = counts.get(name, 0) + 1 / 2000
    expected = {"person": 0.5, "animal": 0.2, "other": 0.2, "extracted": 0.1}
    assert counts == pytest.approx(expected, abs=0.04)


def test_labels_and_losses_of_volumes():
    labels = np.array([0, 1, 2, 255], np.uint8).reshape(1, 4, 1, 1)
    channels = losses.one_hot(labels, background=True, classes=2)
    assert channels[0, :, 0, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    perfect = channels + (labels == 255)[..., None] / 3
    assert float(losses.dice_cross_entropy(channels, perfect.astype(np.float32))) < 0.01
    wrong = np.roll(perfect, 1, axis=-1).astype(np.float32)
    assert float(losses.dice_cross_entropy(channels, wrong)) > 1


def test_volumes_are_mirrored_along_all_three_edges():
    x = np.arange(8.0).reshape(1, 2, 2, 2).repeat(200, 0)
    y = x.astype(np.uint8)
    batches.flip(np.random.default_rng(0), x, y)
    assert np.array_equal(x, y) and len({tuple(one.ravel()) for one in y}) == 8
