import pandas as pd
import pytest

from patchseg.scoring import rows

JOBS = [{"brain": name, "strength": strength} for name in ("a", "b") for strength in (0, 0.5)]


@pytest.fixture
def done():
    """Jobs that were done, in their order."""
    return []


@pytest.fixture
def complete(tmp_path, done):
    def measure(brain, strength):
        done.append((brain, strength))
        return [{"tissue": "GM", "dice": strength}, {"tissue": "WM", "dice": None}]

    def run(key="aaaaaaaa99", jobs=JOBS, **given):
        keyed = key if callable(key) else lambda **_: key
        return rows.complete(tmp_path / "t.csv", jobs, keyed, measure, **given)

    return run


def test_what_is_there_is_kept_and_what_is_missing_is_done(complete, done, tmp_path):
    complete(jobs=JOBS[:2])
    table = complete()
    assert done == [("a", 0), ("a", 0.5), ("b", 0), ("b", 0.5)]
    assert table.brain.tolist() == ["a"] * 4 + ["b"] * 4 and set(table.key) == {"aaaaaaaa"}
    first = (tmp_path / "t.csv").read_bytes()
    complete()
    assert len(done) == 4 and (tmp_path / "t.csv").read_bytes() == first


def test_stale_rows_are_done_again_and_others_are_not(complete, done):
    complete()
    done.clear()
    table = complete(lambda brain, strength: "aaaaaaaa" if brain == "a" else "12345e67")
    assert done == [("b", 0), ("b", 0.5)]
    assert table.key.tolist() == ["aaaaaaaa"] * 4 + ["12345e67"] * 4
    complete(lambda brain, strength: "aaaaaaaa" if brain == "a" else "12345e67")
    assert len(done) == 2  # a key is no number


def test_until_they_are_done_stale_rows_stay_and_say_so(complete, done, tmp_path):
    complete()
    table = complete("bbbbbbbb", wanted=lambda job: job["brain"] == "b")
    assert table.key.tolist() == ["earlier aaaaaaaa"] * 4 + ["bbbbbbbb"] * 4
    assert rows.keys(table) == "earlier aaaaaaaa, bbbbbbbb"
    assert "4 of 8 rows are of earlier code" in rows.note(table)
    assert rows.read(tmp_path / "t.csv")[0]["key"] == "earlier aaaaaaaa"
    done.clear()
    table = complete(wanted=lambda job: False)  # the earlier code again
    assert table.key.tolist() == ["aaaaaaaa"] * 4 + ["earlier bbbbbbbb"] * 4 and not done


def test_a_table_without_keys_is_of_earlier_code(complete, done, tmp_path):
    pd.DataFrame([job | {"dice": 0.5} for job in JOBS]).to_csv(tmp_path / "t.csv", index=False)
    table = complete(wanted=lambda job: False)
    assert table.key.tolist() == ["earlier"] * 4 and not done
    assert "4 rows: computer and versions not recorded" in rows.note(table)
    assert "tensorflow" in complete().machine[0] and len(done) == 4


def test_a_kill_loses_one_job(complete, done, tmp_path):
    def dying(do, jobs):
        yield from map(do, jobs[:2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(run=dying)
    complete()
    assert done == [("a", 0), ("a", 0.5), ("b", 0), ("b", 0.5)]


def test_jobs_that_come_in_another_order_stand_in_theirs(complete, done):
    table = complete(run=lambda do, jobs: map(do, reversed(jobs)))
    assert table.brain.tolist() == ["a"] * 4 + ["b"] * 4 and done[0] == ("b", 0.5)


def test_rows_of_no_job_go(complete):
    complete()
    assert len(complete(jobs=JOBS[:1])) == 2
    assert len(complete(jobs=[])) == 0
