"""What the labels of several brains teach of another, as `patchseg dev across borders` does it."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from conftest import ball_brain, labelled_ball
from ruamel.yaml import YAML
from test_params import PROJECT
from typer.testing import CliRunner

from patchseg import checkpoint, metrics, unet
from patchseg.adaptation import answers, general
from patchseg.cli import main
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
        checkpoint.save(unet.build(**how), how, path, brain_pixels=20, name=name)

    def load(name):
        shape = {"a": (40, 36, 32), "b": (36, 40, 34), "new": (34, 34, 40)}[name]
        return labelled_ball(name, shape, ball_brain(shape)[1])

    monkeypatch.setattr(brains, "load", load)
    monkeypatch.setattr(brains, "names", lambda patterns: list(patterns))
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
    arguments = ["dev", "across", "borders", "first", "--params", str(folder / "params.yaml")]
    said = CliRunner().invoke(main.app, [*arguments, "--out", str(folder)])
    assert said.exit_code == 0 and "names no brains" in said.output


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
    assert not any(name.startswith("mouse") for name in card["general_brains"])
