import pytest

from patchseg import checkpoint
from patchseg.adaptation import record


@pytest.mark.parametrize(("known", "pays", "says"), [
    ({"changed": 0.1}, True, "label another slice (another slice may bring up to 0.100 of Dice)"),
    ({"changed": 0.01}, False, "hardly help (another slice may bring up to 0.010 of Dice)"),
    ({"changed": 0, "kept": "parent"}, True, "nothing was kept"),
    ({}, True, "the last round was stopped"),
])  # fmt: skip
def test_advice_and_outlook_follow_from_what_the_last_round_moved(known, pays, says, tmp_path):
    path = tmp_path / "new.weights.h5"
    path.write_bytes(b"weights")
    checkpoint.write_card(path, {}, adapted_to=[], **known)
    assert record.still_pays(path)[0] == pays and says in record.still_pays(path)[1]
    assert ("may bring" in record.outlook(path)) == (known.get("changed", 0) > 0)


def test_before_the_first_slice_nothing_is_promised():
    assert record.outlook() == "what a slice will bring is not known: no slice was learned yet"
