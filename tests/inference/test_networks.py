import json
import shutil

import pytest

from patchseg import checkpoint, unet
from patchseg.core.errors import InputError
from patchseg.inference import networks

SMALL = {"kind": "unet", "levels": 2, "features": 2, "blocks": 1, "activation": "softmax"}


def save(path, architecture=SMALL, **known):
    checkpoint.save(unet.build(**architecture), architecture, path, **known)
    return path


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
    ],
)
def test_a_card_that_makes_no_sense_names_the_value(tmp_path, known, message):
    with pytest.raises(InputError, match=f"a.json: {message}"):
        networks.load(save(tmp_path / "a.weights.h5", **known))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 2}, "from 2 channels"),
        ({"out_channels": 5}, "to 6"),
        ({"levels": 7}, "7 levels"),
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
