"""A short campaign of `benchmarks/faults.py`, and that it sees what is wrong."""

import fault_files
import fault_runs

from patchseg.images import brain


def test_damaged_images_give_an_answer_or_a_clean_error():
    found, slowest = fault_files.tried(0, range(210))
    assert set(found) == {"answer", "refused"} and found.total() == 210
    assert min(found.values()) > 30 and slowest < fault_files.LIMIT_S


def test_a_reader_that_fails_is_seen(monkeypatch):
    def broken(*_):
        raise IndexError

    monkeypatch.setattr(brain, "foreground", broken)
    assert fault_files.tried(0, range(14))[0]["IndexError"] > 0


def test_half_written_and_different_results_are_seen(tmp_path):
    (tmp_path / "a.json").write_text('{"provenance": {"seconds": 1, "weights": "x"}}')
    (tmp_path / "b.json").write_text('{"provenance": {"seconds": 2, "weights": "x"}}')
    found = fault_runs.contents(tmp_path)
    assert found["a.json"] == found["b.json"] and not fault_runs.half_written(tmp_path)
    (tmp_path / "c.json").write_text('{"prov')
    (tmp_path / "d.nii.gz").write_bytes(b"\x1f\x8b")
    assert sorted(fault_runs.half_written(tmp_path)) == ["c.json", "d.nii.gz"]
