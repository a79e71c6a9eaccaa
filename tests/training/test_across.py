import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import labelled_ball
from ruamel.yaml import YAML
from test_params import PROJECT
from typer.testing import CliRunner

from patchseg import checkpoint
from patchseg.cli import main
from patchseg.core.errors import InputError
from patchseg.datasets import brains
from patchseg.datasets.brains import load, names
from patchseg.inference import networks, qc, segmentation
from patchseg.scoring import on_zoo
from patchseg.training import across, drawn, loop


@pytest.fixture
def balls(monkeypatch):
    """Three balls in the place of the zoo; one of them has labels only."""

    def load(name):
        one = labelled_ball(name, species={"a": "ball", "b": "ball", "other": "egg"}[name])
        return replace(one, image=None) if name == "b" else one

    monkeypatch.setattr(brains, "load", load)
    monkeypatch.setattr(brains, "teacher", load)
    monkeypatch.setattr(brains, "names", lambda patterns, heads=False: list(patterns))
    monkeypatch.setattr(brains, "identity", lambda name: name)
    entry = type(
        "Entry",
        (),
        {
            "species": "ball",
            "licence": "CC0",
            "modality": "T1w",
            "same_brain_as": None,
            "image": "a.nii",
        },
    )
    monkeypatch.setattr(brains, "source", lambda name: entry)
    monkeypatch.setattr(on_zoo.zoo, "entries", lambda: {name: entry for name in ("a", "other")})


@pytest.fixture
def small(tmp_path):
    """The project's params.yaml with a network of seconds."""
    yaml = YAML()
    settings = yaml.load(PROJECT)
    settings["across"]["brain_pixels"] = 24
    settings["across"]["draw"].update(
        {
            "patches": 256,
            "validation": 16,
            "patch_size": 32,
            "brain_pixels": 24,
            "scales": [0.8, 1.2],
            "drawn": 0,
            "parts": 0,
            "reshaped": 0,
            "rim": 0,
            "repainted": 0,
            "curves": 0,
            "gamma": 0,
            "bias": 0,
            "coarse": 0,
        }
    )
    settings["across"]["train"].update(
        {
            "levels": 2,
            "features": [4, 8],
            "blocks": [1, 1],
            "epochs": 3,
            "steps_per_epoch": 80,
            "batch_size": 8,
            "learning_rate": 0.01,
            "validation_patches": 16,
            "precision": "float32",
        }
    )
    settings["across"]["networks"] = {
        "tiny": {"brains": ["a", "b"]},
        "odd": {"brains": ["a"], "draw": {"blured": 1}},
    }
    settings["across"]["networks"]["more"] = {
        "brains": ["other"],
        "start": "tiny",
        "kept": 0.5,
        "train": {"epochs": 1, "steps_per_epoch": 5, "learning_rate": 0.0001},
    }
    settings["across"]["networks"]["circle"] = {"brains": ["a"], "start": "more"}
    settings["heads"]["draw"].update({"patches": 24, "validation": 4, "patch_size": 16})
    settings["heads"]["train"].update(
        {
            "levels": 2,
            "features": [4, 8],
            "blocks": [1, 1],
            "epochs": 2,
            "steps_per_epoch": 6,
            "batch_size": 4,
            "validation_patches": 4,
            "precision": "float32",
        }
    )
    settings["heads"]["networks"] = {"finds": {"brains": ["a"]}}
    yaml.dump(settings, tmp_path / "params.yaml")
    return tmp_path / "params.yaml"


def test_another_contrast_of_a_brain_is_no_stranger(monkeypatch):
    monkeypatch.setattr(checkpoint, "read_card", lambda path: {"brains": ["chimp", "human-eve"]})
    mice = ["mouse-fvb-2", "mouse-fvb-3", "mouse-fvb-4"]
    assert on_zoo.unseen("any") == ["human-nii2mesh", "macaque-21mo", "macaque-4mo", *mice]
    monkeypatch.setattr(checkpoint, "read_card", lambda path: {"brains": ["chimp-t2"]})
    assert "chimp" not in on_zoo.unseen("any")


def test_brains_are_named_by_patterns():
    assert names(["mni", "human-labels-0*", "human-labels-01"])[:3] == [
        "mni",
        "human-labels-01",
        "human-labels-02",
    ]
    with pytest.raises(InputError, match="brain 'wombat' is unknown; there are mni, "):
        names(["wombat"])


def test_networks_of_the_project_are_known_and_mistakes_named(small):
    people = across.settings(PROJECT, "people")
    assert people.draw.patches > 10000 and people.start is None and people.train.loss == "dice_ce"
    assert not [name for name in people.brains if name.startswith(("chimp", "macaque"))]
    with pytest.raises(InputError, match="network 'x' is unknown; there are tiny, odd"):
        across.settings(small, "x")
    with pytest.raises(
        InputError,
        match=(
            "network 'circle' starts from 'more'; name a network of this section that starts from"
            " none"
        ),
    ):
        across.settings(small, "circle")
    with pytest.raises(
        InputError,
        match=(
            r"across.networks.odd.draw: key 'blured' \(value 1\) is unknown; did you mean"
            r" 'blurred'\?"
        ),
    ):
        across.settings(small, "odd")


def test_the_template_is_a_brain_like_the_others():
    one = load("mni")
    assert one.species == "human" and one.image.shape == one.labels.shape
    assert set(np.unique(one.labels)) == {0, 1, 2, 3, 255} and one.affine.shape == (4, 4)


def test_what_makes_a_set_or_a_network_changes_its_key(small, balls, package, monkeypatch):
    def keys():
        tiny = across.settings(small, "tiny")
        return [
            drawn.key(tiny.brains, tiny.draw),
            across.key(small, "tiny"),
            across.key(small, "more"),
        ]

    def changed(before):
        return [one != other for one, other in zip(before, keys(), strict=True)]

    def edit(name):
        (package / name).write_text((package / name).read_text() + "\nADDED = 1\n")

    for name, expected in (
        ("patching.py", [False, False, False]),
        ("unet.py", [False, True, True]),
        ("training/draw.py", [True, True, True]),
    ):
        before = keys()
        edit(name)
        assert changed(before) == expected, name
    before = keys()
    monkeypatch.setattr(
        brains, "identity", lambda name: "another file" if name == "other" else name
    )
    assert changed(before) == [False, False, True]  # only 'more' learns from 'other'
    before = keys()
    monkeypatch.setattr(loop, "precision", lambda _: "mixed_bfloat16")
    assert changed(before) == [False, True, True]


def test_a_network_and_its_start_are_trained_again_when_code_changes(
    small, balls, tmp_path, package, monkeypatch
):
    trained, out = [], tmp_path / "out"

    def fit(training, validation, settings, weights_path, state_path, start=None):
        trained.append(weights_path.parent.name)
        network = loop.compiled(loop.architecture_of(settings), settings)
        checkpoint.save(network, loop.architecture_of(settings), weights_path)
        return network, pd.DataFrame({"epoch": [1]})

    def train():
        trained.clear()
        across.train("more", small, out, jobs=1)
        return list(trained)

    monkeypatch.setattr(loop, "fit", fit)
    assert train() == ["tiny", "more"] and train() == []
    drawn_at = (out / "tiny" / "train" / "images.npy").stat().st_mtime_ns
    code = package / "unet.py"
    code.write_text(code.read_text() + "\nADDED = 1\n")
    assert train() == ["tiny", "more"] and train() == []
    assert (out / "tiny" / "train" / "images.npy").stat().st_mtime_ns == drawn_at
    (out / "more.weights.h5").write_bytes(b"cut off")
    assert train() == ["more"]
    card = checkpoint.read_card(out / "more.weights.h5")
    assert card["key"] == across.key(small, "more")
    assert card["computing"]["precision"] == "float32" and card["computing"]["processor"]
    code = package / "training" / "draw.py"
    code.write_text(code.read_text() + "\nADDED = 1\n")
    train()
    assert (out / "tiny" / "train" / "images.npy").stat().st_mtime_ns > drawn_at


def test_training_writes_weights_whose_card_says_all_and_which_segment(
    small, balls, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    path = across.train("tiny", small, out, jobs=1)
    found = json.loads(checkpoint.card_path(path).read_text())
    assert (
        found["brains"] == ["a", "b"]
        and found["command"] == "patchseg dev across train tiny"
        and found["train"]["seed"] == 0
    )
    assert found["sizes_mm"][0] == pytest.approx(26.1 / 1.2, abs=2) and found["brain_pixels"] == 24
    drawn = (out / "tiny" / "train" / "images.npy").stat().st_mtime_ns
    rows, result = on_zoo.score(path, "a")
    assert {row["tissue"] for row in rows} == {"CSF", "GM", "WM"} and np.mean(
        [row["dice"] for row in rows]
    ) > 0.5
    assert isinstance(result, segmentation.Result) and networks.load(path).brain_pixels == 24
    across.train("tiny", small, out, jobs=1)
    assert (out / "tiny" / "train" / "images.npy").stat().st_mtime_ns == drawn
    more = across.train("more", small, out, jobs=1)
    assert json.loads(checkpoint.card_path(more).read_text())["brains"] == ["a", "b", "other"]
    learned, first, last = (  # the last layer is fitted anew
        [w.numpy() for w in networks.load(one).model.trainable_weights[:-2]]
        for one in (out / "more" / "learned.weights.h5", path, more)
    )
    assert all(
        np.allclose(end, (one + other) / 2, atol=1e-6)
        for end, one, other in zip(last, learned, first, strict=True)
    )
    halfway, settled = (
        networks.load(one).model.trainable_weights[-1].numpy()
        for one in (out / "more" / "learned.weights.h5", more)
    )
    assert not np.allclose(settled, halfway, atol=1e-4)
    assert (
        np.mean([row["dice"] for row in on_zoo.score(more, "a")[0]]) > 0.5
    )  # five small steps from where it started
    assert on_zoo.unseen(path) == ["other"] and on_zoo.unseen(more) == []
    for _ in range(2):  # the second time everything is there
        table = on_zoo.evidence([path, more], tmp_path / "scores.csv")
        assert table.groupby("network").brain.unique().map(list).to_dict() == {
            "tiny": ["other"],
            "hmrf": ["other"],
            "atropos": ["other"],
        }
        assert table[table.network == "hmrf"].dice.min() > 0.8
        assert set(table[table.network == "tiny"].qc) <= set(qc.VERDICTS)
    shown = CliRunner().invoke(main.app, ["dev", "across", "score", str(path), "a"])
    assert (
        shown.exit_code == 0 and shown.output.startswith("a ") and "GM and WM 1.000" in shown.output
    )


def test_a_network_that_finds_brains_is_trained_by_the_same_command(small, balls, tmp_path):
    weights = across.train("finds", small, tmp_path / "out", jobs=1)
    card = checkpoint.read_card(weights)
    assert checkpoint.finds_brains(weights) and set(card["validation_dice"]) == {"other", "brain"}
    assert card["species"] == ["ball"] and "brain_pixels" not in card
    model = networks.load_heads(weights)
    answer = model.predict_on_batch(np.zeros((1, 16, 16, 16, 1), np.float32))
    assert answer.shape == (1, 16, 16, 16, 3)
    with pytest.raises(InputError, match="not weights that find the brain"):
        networks.load_heads(checkpoint.SHIPPED)
    with pytest.raises(InputError, match="a network of 3 dimensions from 1 channels to 3"):
        networks.load(weights)
