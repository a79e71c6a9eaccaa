import pytest

from patchseg import checkpoint
from patchseg.adaptation import answers, record


@pytest.mark.parametrize(("known", "pays", "says"), [
    ({"changed": 0.1}, True, "label another slice (another slice will probably bring up to 0.030"),
    ({"changed": 0.02}, False, "hardly help (another slice will probably bring up to 0.010 of"),
    ({"changed": 0.1, "what": "brain"}, True, "moved 10.0% of the brain; label another slice"),
    ({"changed": 0, "kept": "parent"}, True, "nothing was kept"),
    ({}, True, "the last round was stopped"),
])  # fmt: skip
def test_advice_and_outlook_follow_from_what_the_last_round_moved(known, pays, says, tmp_path):
    path = tmp_path / "new.weights.h5"
    path.write_bytes(b"weights")
    checkpoint.write_card(path, {}, adapted_to=[], **known)
    assert record.still_pays(path)[0] == pays and says in record.still_pays(path)[1]
    assert ("up to" in record.outlook(path)) == ("up to" in says)


def test_the_card_says_what_was_kept_and_why_the_borders_were_left_out():
    assert record.said({}) == []
    assert record.said({"guard": {"said": "kept: …"}}) == ["kept: …"]
    (only,) = record.said({"borders_left_out": "unlike"})
    assert only.startswith("the borders stay where they are: what is labelled is unlike")
    assert set(record.LEFT_OUT) == {answers.FEW, *answers.CHECKS}


def test_before_the_first_slice_nothing_is_promised():
    assert record.outlook() == "what a slice will bring is not known: no slice was learned yet"
