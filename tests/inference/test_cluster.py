"""A worker in a process of its own stands in for many machines; its images are balls."""

import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest
from conftest import ball_brain, write_nifti
from in_worker import kill_some, segment_ball

from patchseg.inference import batch, unfinished

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(1, threads_per_worker=2, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        yield client


def run(images, out, one=segment_ball, client=None):
    return batch.run(
        images, out, [None] * len(images), with_report=False, one=one, client=client, threads=None
    )


def balls(*names):
    for name in names:
        write_nifti(Path("in") / f"{name}.nii.gz", ball_brain((24, 22, 20))[0])
    return [Path("in") / f"{name}.nii.gz" for name in names]


def test_results_errors_and_resume_are_those_of_one_machine(client, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = [*balls("a"), Path("in/broken.nii.gz")]
    images[1].write_bytes(images[0].read_bytes()[:2000])
    there = run(images, Path("there"), client=client)
    here = run(images, Path("here"))
    assert there == here and [one.status for one in there] == ["done", "failed"]
    assert there[1].reasons.startswith("in/broken.nii.gz: ")
    made = [path.relative_to("here") for path in Path("here").rglob("*.nii.gz")]
    assert len(made) == 6
    for path in made:
        assert ("there" / path).read_bytes() == ("here" / path).read_bytes()
    again = run(images, Path("there"), client=client)
    assert [one.status for one in again] == ["kept", "failed"]


def test_a_killed_worker_loses_nothing_and_an_image_that_kills_its_workers_is_named(
    client, tmp_path, capsys
):
    """A result that its worker had not handed over is found on disc."""
    names = ["unlucky", "a", "greedy", "b"]
    outcomes = run([Path(name) for name in names], tmp_path, kill_some, client)
    assert [outcome.failed for outcome in outcomes] == [False, False, True, False]
    assert "greedy: its worker was killed 2 times" in outcomes[2].reasons
    assert unfinished.find(tmp_path) == {"greedy": outcomes[2].reasons}
    assert [(tmp_path / name).is_file() for name in names] == [True, True, False, True]
    assert (tmp_path / "begun.txt").read_text().count("greedy") == batch.TRIES
    assert (tmp_path / "a").read_text() == "2"  # threads of the worker


def test_without_its_scheduler_a_run_ends_and_the_next_one_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = balls("a", "b")
    run(images[:1], Path("out"))
    code = "from distributed.cli.dask_scheduler import main; main()"
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "s.json"]
    scheduler = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with distributed.Client(scheduler_file="s.json", timeout=30) as client:
            Timer(0.3, scheduler.kill).start()
            outcomes = run(images, Path("out"), client=client)
    finally:
        scheduler.kill()
        scheduler.wait()
    assert all("is gone; start it again and run" in one.reasons for one in outcomes)
    assert set(unfinished.find(Path("out"))) == {"a", "b"}
    assert "waiting for the first worker of tcp://127.0.0.1" in capsys.readouterr().out
    assert [one.status for one in run(images, Path("out"))] == ["kept", "done"]
    assert unfinished.find(Path("out")) == {}
