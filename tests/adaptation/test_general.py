"""What the labels of several brains teach of another, as `patchseg dev across borders` does it."""

import json
from dataclasses import replace

import keras
import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, labelled_ball
from ruamel.yaml import YAML
from test_params import PROJECT
from typer.testing import CliRunner

import patchseg
from patchseg import checkpoint, metrics, params, unet
from patchseg.adaptation import answers, general
from patchseg.cli import main
from patchseg.core.errors import InputError
from patchseg.datasets import brains
from patchseg.inference import calibration, networks

SIZE = labelled_ball().size_mm


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two small networks, settings by which one learns of the other's answers, and balls."""
    yaml, how = YAML(), {"levels": 2, "features": 4, "out_channels": 3, "activation": "softmax"}
    settings = yaml.load(PROJECT)
    settings["across"]["general"] |= {"voxels": 500, "ridge": 1.0, "sizes_mm": [1.0, 2 * SIZE]}
    settings["across"]["networks"] = {
        "first": {"brains": ["a"]},
        "second": {"brains": ["a"], "start": "first", "general": ["a", "b"]},
    }
    yaml.dump(settings, tmp_path / "params.yaml")
    for seed, name in enumerate(("first", "second")):
        keras.utils.set_random_seed(seed)
        path = tmp_path / f"{name}{checkpoint.SUFFIX}"
        checkpoint.save(unet.build(**how), how, path, brain_pixels=20, name=name, brains=["mni"])

    def load(name):
        shape = {"a": (40, 36, 32), "b": (36, 40, 34), "new": (34, 34, 40)}[name]
        return labelled_ball(name, shape, ball_brain(shape)[1])

    monkeypatch.setattr(brains, "load", load)
    monkeypatch.setattr(brains, "teacher", load)
    monkeypatch.setattr(brains, "names", lambda patterns, heads=False: list(patterns))
    return tmp_path


def dice(network, one):
    found = answers.answer(network, one)
    return np.mean([metrics.dice(one.labels == n, found == n) for n in (1, 2, 3)])


def test_brains_with_labels_help_one_without(folder, monkeypatch):
    monkeypatch.setattr(networks, "LEAST_CONTRAST", 0)  # a network that learned nothing sees none
    path = folder / f"second{checkpoint.SUFFIX}"
    before, bytes_before = networks.load(path), path.read_bytes()
    known = general.learn("second", folder / "params.yaml", folder)
    card, after = checkpoint.read_card(path), networks.load(path)
    assert path.read_bytes() == bytes_before and card["name"] == "second"
    assert card["general_brains"] == ["a", "b"] == known["general_brains"]
    assert after.general["tissues"] == ["CSF", "GM", "WM"] and before.general is None
    new = brains.load("new")
    assert dice(after, new) > dice(before, new) + 0.1
    first = checkpoint.card_path(path).read_bytes()
    general.learn("second", folder / "params.yaml", folder)
    assert checkpoint.card_path(path).read_bytes() == first


def test_a_network_for_which_no_brains_are_named_stays_as_it_is(folder):
    card = checkpoint.card_path(folder / f"first{checkpoint.SUFFIX}")
    before = card.read_bytes()
    assert general.learn("first", folder / "params.yaml", folder) == {}
    assert card.read_bytes() == before
    checkpoint.write_card(  # params.yaml named some once
        folder / f"first{checkpoint.SUFFIX}", **json.loads(before) | {"general_mm": [1, 2]}
    )
    assert general.learn("first", folder / "params.yaml", folder) == {}
    assert card.read_bytes() == before


def test_the_command_says_whose_labels_it_learned(folder):
    def borders(name):
        arguments = ["dev", "across", "borders", name, "--params", str(folder / "params.yaml")]
        return CliRunner().invoke(main.app, [*arguments, "--out", str(folder)])

    assert "a, b" in borders("second").output
    assert "names no brains" in borders("first").output
    wrong = borders("third")
    assert wrong.exit_code and "'third' is unknown; there are first, second" in str(wrong.exception)


def test_brains_that_taught_the_start_teach_nothing_here(folder):
    path = folder / f"first{checkpoint.SUFFIX}"
    card = checkpoint.read_card(path)
    known = {key: value for key, value in card.items() if key != "sha256"}
    checkpoint.write_card(path, **known | {"brains": ["b"]})
    with pytest.raises(InputError, match=r"second.general: b taught the network first"):
        general.learn("second", folder / "params.yaml", folder)


@pytest.mark.parametrize(("section", "changes", "says"), [
    ("networks", {"second": {"brains": ["a"], "general": ["a"]}}, "second starts from no network"),
    ("general", {"voxels": 10}, "a, b: too few voxels"),
])  # fmt: skip
def test_what_can_teach_nothing_is_refused_and_leaves_the_card(folder, section, changes, says):
    path, yaml = folder / "params.yaml", YAML()
    settings = yaml.load(path)
    settings["across"][section] |= changes
    yaml.dump(settings, path)
    card = checkpoint.card_path(folder / f"second{checkpoint.SUFFIX}")
    before = card.read_bytes()
    with pytest.raises(InputError, match=says):
        general.learn("second", path, folder)
    assert card.read_bytes() == before


def test_what_was_learned_is_used_told_and_inherited(folder, monkeypatch):
    monkeypatch.setattr(networks, "LEAST_CONTRAST", 0)
    path, new = folder / f"second{checkpoint.SUFFIX}", brains.load("new")
    image, mask = (nib.Nifti1Image(part, new.affine) for part in (new.image, new.mask.astype("u1")))

    def calibrated(weights, **how):
        found = patchseg.segment(image, mask, weights=weights, extract="never", **how)
        return found.provenance["calibrated"]

    assert calibrated(path) is False
    general.learn("second", folder / "params.yaml", folder)
    assert calibrated(path) == "other animals" and calibrated(path, sharpen=False) is False
    kept = np.where(np.arange(new.labels.shape[1])[:, None] == 17, new.labels, 0).astype("u1")
    given = nib.Nifti1Image(kept, new.affine), path, folder / f"own{checkpoint.SUFFIX}"
    own = patchseg.adapt(image, *given, masks=mask, steps=0, guard=False)
    assert calibrated(own) == "this animal"
    first, second = (checkpoint.read_card(one) for one in (path, own))
    for name in ("general", "general_mm", "general_brains"):
        assert first[name] == second[name]
    assert second["calibration"]["start"] == first["general"]
    monkeypatch.setattr(networks, "LEAST_CONTRAST", 1.1)  # it does not hold for this brain
    alone = checkpoint.read_card(patchseg.adapt(image, *given, masks=mask, steps=0, guard=False))
    assert "start" not in alone["calibration"]


def test_a_card_of_another_version_says_what_to_do(folder):
    path = folder / f"second{checkpoint.SUFFIX}"
    general.learn("second", folder / "params.yaml", folder)
    card = checkpoint.read_card(path)
    card["general"]["center"].pop()
    checkpoint.write_card(path, **{key: value for key, value in card.items() if key != "sha256"})
    with pytest.raises(InputError, match=r"general.center holds 18 values.*across borders"):
        networks.load(path)


def test_it_holds_for_some_sizes_and_contrasts_and_gives_way_to_the_animal_s_own_labels(folder):
    general.learn("second", folder / "params.yaml", folder)
    network = networks.load(folder / f"second{checkpoint.SUFFIX}")
    low = calibration.LEAST_CONTRAST
    assert network.borders(SIZE, low) == (network.general, "other animals")
    assert network.borders(SIZE, 0.9 * low) == network.borders(3 * SIZE, low) == (None, "")
    own = replace(network, calibration={"bias": []}, calibrated_mm=(SIZE - 1, SIZE + 1))
    assert own.borders(SIZE, 0)[1] == "this animal" == own.borders(SIZE, low)[1]
    assert own.borders(1.5 * SIZE, low)[1] == "other animals"


def test_the_package_s_own_holds_for_apes_and_monkeys_and_not_for_people():
    card = json.loads(checkpoint.card_path(checkpoint.SHIPPED).read_text())
    low, high = card["general_mm"]
    assert low < 49 and 79 < high < 100  # macaques, chimpanzees, people (mm)
    across = params.shipped().across
    assert (low, high) == across.general.sizes_mm
    assert card["general_brains"] == brains.names(across.networks["all"].general)
