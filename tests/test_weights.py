import json
import shutil

import pytest

from patchseg import card, unet, weights
from patchseg.errors import InputError

SMALL = {"kind": "unet", "levels": 2, "features": 2, "blocks": 1, "activation": "softmax"}


def save(path, architecture=SMALL, **known):
    unet.save(unet.build(**architecture), architecture, path, **known)
    return path


def test_replaced_weights_are_loaded_anew(tmp_path):
    first, second = save(tmp_path / "a.weights.h5"), save(tmp_path / "b.weights.h5", brain_pixels=50)
    before = weights.load(first)
    assert weights.load(first) is before
    for one, other in ((second, first), (card.path_of(second), card.path_of(first))):
        shutil.copy(one, other)
    assert weights.load(first).brain_pixels == 50 and weights.load(first).card["sha256"] == card.read(second)["sha256"]


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
        weights.load(save(tmp_path / "a.weights.h5", **known))


@pytest.mark.parametrize(("change", "message"), [({"in_channels": 2}, "from 2 channels"), ({"out_channels": 5}, "to 6"), ({"levels": 7}, "7 levels")])
def test_networks_for_something_else_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        weights.load(save(tmp_path / "a.weights.h5", SMALL | change))


def test_the_weights_of_the_package_are_described():
    found = json.loads(card.path_of(card.SHIPPED).read_text())
    assert card.SHIPPED.stat().st_size < 10 * 2**20
    for key in ("brains", "species", "licences", "draw", "train", "commit", "command", "sizes_mm"):
        assert found[key]
