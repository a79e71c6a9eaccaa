import pytest

from patchseg import checkpoint
from patchseg.scoring import on_zoo


@pytest.mark.parametrize(
    "file, stale",
    [
        ("scoring/baseline.py", {"hmrf", "atropos"}),
        ("inference/refine.py", {"people"}),
        ("metrics.py", {"people", "hmrf", "atropos"}),
        ("training/loop.py", set()),
        ("figures/style.py", set()),
    ],
)
def test_a_row_of_the_evidence_is_stale_when_what_made_it_changes(package, file, stale):
    paths = {"people": checkpoint.SHIPPED}

    def keys():
        return {name: on_zoo.key(name, "chimp", paths) for name in ("people", *on_zoo.CLASSICAL)}

    before = keys()
    (package / file).write_text((package / file).read_text() + "\nADDED = 1\n")
    assert {name for name, key in keys().items() if key != before[name]} == stale


def test_weights_brain_and_precision_make_the_key_of_the_evidence(monkeypatch):
    paths = {"people": checkpoint.SHIPPED}
    first = on_zoo.key("people", "chimp", paths)
    assert on_zoo.key("people", "chimp-t2", paths) != first
    monkeypatch.setattr(on_zoo.runtime, "precision", lambda _: "float16")
    other = on_zoo.key("people", "chimp", paths)
    monkeypatch.setattr(checkpoint, "read_card", lambda _: {"sha256": "other"})
    assert len({first, other, on_zoo.key("people", "chimp", paths)}) == 3
