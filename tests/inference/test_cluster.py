"""A worker on this machine stands in for many others; its images are balls."""

import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ball_brain, ball_head, write_nifti
from in_worker import fill_some, kill_some

from patchseg.cli import main, options
from patchseg.core import runtime, source
from patchseg.core.errors import InputError
from patchseg.inference import batch, cluster, mask_files, unfinished, work

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")


def run(images, out, one=None, client=None):
    return batch.run(
        images, out, [None] * len(images), with_report=False, one=one, client=client, threads=None
    )


def balls(*names):
    for name in names:
        write_nifti(Path("in") / f"{name}.nii.gz", ball_brain((24, 22, 20))[0])
    return [Path("in") / f"{name}.nii.gz" for name in names]


def local(**options):
    return distributed.LocalCluster(1, threads_per_worker=2, dashboard_address=None, **options)


def test_results_errors_and_resume_are_those_of_one_machine(network, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "set_threads", lambda count: None)  # of this process
    images = [*balls("a"), Path("in/broken.nii.gz")]
    images[1].write_bytes(images[0].read_bytes()[:2000])
    with local(processes=False) as made, cluster.connected(made.scheduler_address) as client:
        there = run(images, Path("there"), client=client)
        again = run(images, Path("there"), client=client)
    assert there == run(images, Path("here"))
    assert [one.status for one in there] == ["done", "failed"]
    assert there[1].reasons.startswith("in/broken.nii.gz: ")
    made = [path.relative_to("here") for path in Path("here").rglob("*.nii.gz")]
    assert len(made) == 6
    for path in made:
        assert ("there" / path).read_bytes() == ("here" / path).read_bytes()
    assert [one.status for one in again] == ["kept", "failed"]


def test_brains_are_extracted_as_on_one_machine(heads_network, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "set_threads", lambda count: None)
    images = [Path("in/head.nii.gz"), *balls("ball"), Path("in/none.nii.gz")]
    write_nifti(images[0], ball_head((40, 36, 30))[0])

    def extract(out, client=None):
        places = [mask_files.BrainPlace(image, out) for image in images]
        options = {"threads": None, "overwrite": False}
        return work.each(batch.extract_one, places, [()] * 3, options, client=client)

    with local(processes=False) as made, cluster.connected(made.scheduler_address) as client:
        there = extract(Path("there"), client)
        again = extract(Path("there"), client)
    assert there == extract(Path("here"))
    assert [one.status for one in there] == ["done", "done", "failed"]
    assert [one.remark for one in there] == ["", batch.NO_HEAD, ""]
    assert there[2].reasons.startswith("in/none.nii.gz: no such file")
    made = [path.relative_to("here") for path in Path("here").rglob("*.nii.gz")]
    assert len(made) == 6
    for path in made:
        assert ("there" / path).read_bytes() == ("here" / path).read_bytes()
    assert [one.status for one in again] == ["kept", "kept", "failed"]
    notes = [path.name for path in Path("there/log").iterdir()]
    assert notes == ["none_desc-brain_unextracted.json"]
    assert unfinished.find(Path("there")) == {}  # no image failed to be segmented


def test_a_killed_worker_loses_nothing_and_an_image_that_kills_its_workers_is_named(
    tmp_path, capsys
):
    """A worker in a process of its own, which its nanny starts again."""
    names = ["greedy", "a"]
    with local() as made, distributed.Client(made) as client:
        outcomes = run([Path(name) for name in names], tmp_path, kill_some, client)
    assert [outcome.failed for outcome in outcomes] == [True, False]
    assert "greedy: its worker was killed 2 times" in outcomes[0].reasons
    assert unfinished.find(tmp_path) == {"greedy": outcomes[0].reasons}
    assert [(tmp_path / name).is_file() for name in names] == [False, True]
    assert (tmp_path / "begun.txt").read_text().count("greedy") == work.TRIES
    assert (tmp_path / "a").read_text() == "2"  # threads of the worker


@pytest.mark.slow
def test_an_image_above_the_memory_limit_of_its_worker_is_named_and_others_finish(tmp_path, capsys):
    """The nanny itself kills the worker, above 95 % of the limit."""
    with local(memory_limit="600MiB") as made, distributed.Client(made) as client:
        outcomes = run([Path("greedy"), Path("a")], tmp_path, fill_some, client)
    assert [outcome.failed for outcome in outcomes] == [True, False]
    assert re.search(
        "greedy: its worker was killed .* give the workers more mem", outcomes[0].reasons
    )
    assert (tmp_path / "begun.txt").read_text().count("greedy") == work.TRIES
    assert (tmp_path / "a").is_file()


def test_without_its_scheduler_a_run_ends_and_the_next_one_goes_on(
    network, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    images = balls("a", "b")
    run(images[:1], Path("out"))
    code = "from distributed.cli.dask_scheduler import main; main()"
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "s.json"]
    scheduler = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with distributed.Client(scheduler_file="s.json", timeout=120) as client:
            told = cluster.say
            monkeypatch.setattr(cluster, "say", lambda text: (told(text), scheduler.kill()))
            outcomes = run(images, Path("out"), client=client)
    finally:
        scheduler.kill()
        scheduler.wait()
    assert all("is gone; start it again and run" in one.reasons for one in outcomes)
    assert set(unfinished.find(Path("out"))) == {"b"}
    assert "waiting for the first worker of tcp://127.0.0.1" in capsys.readouterr().out
    assert [one.status for one in run(images, Path("out"))] == ["kept", "done"]
    assert unfinished.find(Path("out")) == {}


def test_workers_of_a_queue_are_jobs_with_these_settings(tmp_path):
    settings = tmp_path / "queue.yaml"
    text = "jobqueue:\n  {}:\n    cores: 4\n    memory: 8GB\n    walltime: '01:00:00'\n"
    for queue, line in (("slurm", "--cpus-per-task=4"), ("pbs", "ncpus=4"), ("sge", "h_rt=01:00")):
        settings.write_text(text.format(queue))
        with cluster.connected(queue, 0, settings) as client:
            script = client.cluster.job_script()
        assert line in script and "--nthreads 4 " in script and "--nworkers" not in script
    settings.write_text("jobqueue:\n  slurm:\n    cores: 4\n")
    with pytest.raises(InputError, match="memory per job .*; write cores and memory below"):
        cluster.connected("slurm", 1, settings).__enter__()


def test_a_queue_that_takes_no_jobs_here_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = tmp_path / "queue.yaml"
    settings.write_text("jobqueue:\n  slurm:\n    cores: 4\n    memory: 8GB\n")
    with pytest.raises(InputError, match="--cluster slurm: there is no sbatch here"):
        cluster.connected("slurm", 1, settings).__enter__()


@pytest.mark.parametrize("where", ["", "foo", "SLURM", "127.0.0.1"])
def test_what_is_no_address_and_no_queue_is_refused_at_once(where):
    with pytest.raises(InputError, match=f"--cluster '{where}': neither the address"):
        cluster.connected(where).__enter__()


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: [", "cannot be read as YAML"), ("- 1", "holds no settings"), (None, "cannot be read")],
)
def test_odd_settings_are_refused(tmp_path, text, says):
    if text:
        (tmp_path / "queue.yaml").write_text(text)
    with pytest.raises(InputError, match=says):
        cluster.connected("slurm", 1, tmp_path / "queue.yaml").__enter__()


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "nothing://x", "tcp://127.0.0.1:70000", "tls://127.0.0.1:1"]
)
def test_an_address_without_a_scheduler_is_named(address, monkeypatch):
    monkeypatch.setattr(cluster, "WAIT", "0.3s")
    with pytest.raises(InputError, match=f"--cluster {address}: no Dask scheduler answers"):
        cluster.connected(address).__enter__()


@pytest.mark.parametrize("module", ["distributed", "dask_jobqueue"])
def test_without_dask_the_error_says_how_to_install_it(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install 'patchseg\[cluster\]'"):
        cluster.connected("slurm").__enter__()


def test_a_worker_with_another_version_computes_nothing(monkeypatch):
    worker = SimpleNamespace(address="tcp://a:1", state=SimpleNamespace(nthreads=1))
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    with pytest.raises(InputError, match="tcp://a:1 has patchseg .*, the command 0.0; install"):
        cluster._work("0.0", pytest.fail, ())


def test_what_workers_run_fetches_nothing():
    """Only the zoo downloads, and no weights."""
    names = {
        path.name
        for path in source.closure(
            "patchseg.inference.batch", "patchseg.cli.segment", "patchseg.cli.extract"
        )
    }
    assert {"batch.py", "networks.py", "checkpoint.py"} <= names and "zoo.py" not in names


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (distributed.KilledWorker("a", None, 0), "its worker was killed once, probably"),
        (ImportError("No module named 'patchseg'"), "a worker lacks something .No module named"),
        (ZeroDivisionError("odd"), "odd"),
    ],
)
def test_what_becomes_of_an_image_when_its_worker_does_not_say(error, says):
    lost = SimpleNamespace(result=lambda: (_ for _ in ()).throw(error))
    outcome = work._not_done(Path("a.nii"), cluster._result(lost))
    assert outcome.failed and re.search(says, outcome.reasons)
    assert outcome.reasons.startswith("a.nii: ")


def test_the_commands_hand_the_work_to_a_cluster(network, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        cluster, "connected", lambda *words: asked.append(words) or nullcontext(None)
    )
    monkeypatch.setattr(options, "compute_with", lambda threads: None)
    monkeypatch.chdir(tmp_path)
    image = write_nifti(Path("in/sub-1/anat/sub-1_T1w.nii.gz"), ball_brain((24, 22, 20))[0])
    common = ("--no-report", "--jobs", "3", "--cluster")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["patchseg", *map(str, words)])
        with pytest.raises(SystemExit) as done:
            main.main()
        return done.value.code or 0

    assert run("segment", image, "--out", "out", *common, "tcp://head:8786") == 0
    words = ("bids", "in", "out", "participant", *common, "sge", "--cluster-settings", "q.yaml")
    assert run(*words) == 0
    assert run("extract", image, "--out", "out", *common[1:], "pbs") == 0
    asked_for = [("tcp://head:8786", 3, None), ("sge", 3, Path("q.yaml")), ("pbs", 3, None)]
    assert asked == asked_for
    for command in ("segment", "extract"):
        assert run(command, image, "--cluster-settings", "q.yaml") == 2
        assert "--cluster-settings q.yaml: name a --cluster, too" in capsys.readouterr().err
