import json
import shutil

import numpy as np
import pytest

from patchseg import checkpoint, unet
from patchseg.core.errors import InputError
from patchseg.inference import networks
from patchseg.inference.calibration import TERMS
from patchseg.inference.features import COUNT

SMALL = {"kind": "unet", "levels": 2, "features": 2, "blocks": 1, "activation": "softmax"}


def save(path, architecture=SMALL, **known):
    checkpoint.save(unet.build(**architecture), architecture, path, **known)
    return path


EARLIER = {"tissues": ["GM", "WM"], "center": [0.0] * 14, "scale": [1.0] * 14}
EARLIER |= {"weights": [[0.0] * 119] * 2, "bias": [0.0, 0.0]}
"""A calibration of the version before, which knew five features less."""
TODAY = {"tissues": ["GM", "WM"], "center": [0.0] * COUNT, "scale": [1.0] * COUNT}
TODAY |= {"weights": [[0.0] * TERMS] * 2, "bias": [0.0, 0.0]}


def test_replaced_weights_are_loaded_anew(tmp_path):
    first, second = (
        save(tmp_path / "a.weights.h5"),
        save(tmp_path / "b.weights.h5", brain_pixels=50),
    )
    before = networks.load(first)
    assert networks.load(first) is before
    for one, other in (
        (second, first),
        (checkpoint.card_path(second), checkpoint.card_path(first)),
    ):
        shutil.copy(one, other)
    assert (
        networks.load(first).brain_pixels == 50
        and networks.load(first).card["sha256"] == checkpoint.read_card(second)["sha256"]
    )


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"top": "a"}, "top = 'a'"),
        ({"top": 0}, "top = 0"),
        ({"brain_pixels": -5}, "brain_pixels = -5"),
        ({"sizes_mm": 3}, "sizes_mm = 3"),
        ({"contrasts": 5}, "contrasts = 5"),
        (
            {"calibration": EARLIER},
            r"calibration\.center holds 14 values, which is not .*; adapt again with the same",
        ),
        (
            {"calibration": TODAY | {"start": EARLIER}},
            r"calibration\.start\.center holds 14 values, which is not .*; adapt again with",
        ),
        ({"calibration": {"start": 3}}, r"calibration\.\w+ = "),
    ],
)
def test_a_card_that_makes_no_sense_names_the_value(tmp_path, known, message):
    with pytest.raises(InputError, match=f"a.json: {message}"):
        networks.load(save(tmp_path / "a.weights.h5", **known))


def test_weights_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    path = save(tmp_path / "a.weights.h5")

    def refuse(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(checkpoint, "sha256", refuse)
    with pytest.raises(InputError, match=r"a.weights.h5: cannot be read \(Permission denied\)"):
        networks.load(path)


def test_missing_weights_are_named(tmp_path):
    path = save(tmp_path / "a.weights.h5")
    checkpoint.card_path(path).unlink()
    with pytest.raises(InputError, match=r"^\S+a\.json: no such file; weights are two files"):
        networks.load(path)
    with pytest.raises(InputError, match=r"^\S+b\.weights\.h5: no such file"):
        networks.load(tmp_path / "b.weights.h5")


def test_a_hostile_sha256_does_not_reach_the_terminal(tmp_path):
    path = save(tmp_path / "a.weights.h5")
    card = checkpoint.card_path(path)
    card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": "\x1b[2J\n"}))
    with pytest.raises(InputError, match="copy both files again") as error:
        networks.load(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 2}, "from 2 channels"),
        ({"out_channels": 5}, "to 6"),
        ({"levels": 7}, "architecture.levels = 7"),
    ],
)
def test_networks_for_something_else_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        networks.load(save(tmp_path / "a.weights.h5", SMALL | change))


def test_the_weights_of_the_package_are_described():
    found = json.loads(checkpoint.card_path(checkpoint.SHIPPED).read_text())
    assert checkpoint.SHIPPED.stat().st_size < 10 * 2**20
    for key in ("brains", "species", "licences", "draw", "train", "commit", "command", "sizes_mm"):
        assert found[key]


@pytest.mark.parametrize(
    ("key", "value"),
    [("levels", 10**6), ("levels", True), ("features", [10**9]), ("blocks", -1), ("code", "x")],
)
def test_a_card_of_an_absurd_network_is_refused_before_it_is_built(tmp_path, key, value):
    path = tmp_path / "odd.weights.h5"
    path.write_bytes(b"weights")
    checkpoint.write_card(path, {"levels": 2, "features": 4, key: value})
    with pytest.raises(InputError, match=f"odd.json: architecture.{key}"):
        checkpoint.load(path)


def test_a_card_that_describes_more_than_its_file_holds_is_refused_before_it_is_built(
    tmp_path, monkeypatch
):
    path = save(tmp_path / "a.weights.h5")
    checkpoint.write_card(path, SMALL | {"levels": 6, "features": [2048] * 6, "blocks": 16})
    monkeypatch.setattr(unet, "build", None)
    with pytest.raises(InputError, match="but the network of a.json takes .* or more"):
        checkpoint.load(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    network = unet.build(**SMALL)
    network.set_weights([array * np.nan for array in network.get_weights()])
    checkpoint.save(network, SMALL, tmp_path / "a.weights.h5")
    with pytest.raises(InputError, match="NaN or infinite"):
        checkpoint.load(tmp_path / "a.weights.h5")
