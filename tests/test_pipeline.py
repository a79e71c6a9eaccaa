"""Stages run by papermill and DVC: the pipeline at smoke size, twice, and killed midway."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import nibabel as nib
import pandas as pd
import psutil
import pytest
from ruamel.yaml import YAML

from patchseg import params, pipeline
from patchseg.cli import dev
from patchseg.core import files
from patchseg.core.errors import InputError

ROOT = Path(__file__).parents[1]
SMOKE = {
    "preprocess": {"axes": ["coronal"], "every": 4, "jobs": 1},
    "train": {
        "levels": 2,
        "features": 4,
        "blocks": 1,
        "epochs": 4,
        "steps_per_epoch": 24,
        "batch_size": 4,
        "validation_patches": 8,
    },
    "evaluate": {"fold_sizes": [0.5, 1.0], "fold_every": 15},
}


def project(folder):
    """Copy what Git carries into `folder`, with smoke settings, the sample and one recipe."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(
        lambda name: (
            name
            and not name.startswith(("store", "artefacts", "dvc.lock"))
            and (ROOT / name).is_file()
        ),
        listed,
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "data", folder / "data")
    for path in (folder / "data").rglob("*.nii.gz"):
        image = nib.load(path)
        nib.save(image.slicer[::2, ::2, ::2], path)  # an eighth of the voxels
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    for section, values in SMOKE.items():
        params[section].update(values)
    params["compare"], params["seeds"] = ["patchseg"], [0, 1]
    yaml.dump(params, folder / "params.yaml")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def environment(folder):
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1",
    }


def repro(folder, *options):
    done = subprocess.run(
        ["dvc", "repro", *options],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def digests(folder):
    paths = [
        path
        for name in ("work", "artefacts")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    ]  # leftovers of a kill included
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("once"))
    return folder, repro(folder)


@pytest.mark.slow
def test_repro_says_what_it_does_and_writes_every_artefact(finished):
    folder, said = finished
    assert [line for line in said.split("\n") if line.endswith(": started")] == [
        f"{s}: started"
        for s in ("preprocess patchseg", "augment patchseg", "train patchseg", "evaluate")
    ]
    assert said.count("validation Dice") == 2 * 5  # four epochs, and what is kept
    made = digests(folder)
    for name in (
        "scores.csv",
        "scores.json",
        "scores.md",
        "differences.md",
        "fold_sizes.csv",
        "4_evaluate.ipynb",
        "figures/slice.png",
        "patchseg/history.csv",
        "patchseg/zoom_in.png",
    ):
        assert f"artefacts/{name}" in made


@pytest.mark.slow
def test_a_run_reproduces_itself_and_a_moved_score_differs(finished):
    folder, _ = finished
    for command, code in (("publish", 0), ("verdict", 0)):
        assert dev_command(folder, command).returncode == code
    scores = folder / "artefacts" / "scores.csv"
    rows = pd.read_csv(scores)
    assert set(rows.seed.dropna()) == {0, 1}
    moved = rows.assign(dice=rows.dice.where(rows.level != "volume", 0.1))
    try:
        moved.to_csv(scores, index=False)
        told = dev_command(folder, "verdict")
        assert told.returncode == 1 and "patchseg volume WM" in told.stdout
    finally:
        files.write_table(rows, scores)


def dev_command(folder, name):
    """Run a command of `patchseg dev` in a project."""
    command = [sys.executable, "-m", "patchseg", "dev", name]
    environ = environment(folder)
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)


@pytest.mark.slow
def test_a_second_repro_is_a_no_op(finished):
    folder, _ = finished
    before = digests(folder)
    assert "up to date" in repro(folder) and digests(folder) == before


def stale(folder):
    """Return the stages whose own dependencies changed, without their recipe."""
    said = subprocess.run(
        ["dvc", "status", "--json", "dvc.yaml"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.split("@")[0] for name in json.loads(said)}


@contextmanager
def changed(path, old, new):
    """Replace the first such text of a file for a while."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


@pytest.mark.slow
def test_stages_that_use_changed_code_are_stale_and_no_others(finished):
    folder, _ = finished
    assert stale(folder) == set()
    patching = folder / "patchseg" / "patching.py"
    with changed(patching, "\n\ndef ", "\n\nADDED = 1\n\n\ndef "):
        assert stale(folder) == {"preprocess", "augment", "evaluate"}
    with changed(folder / "patchseg" / "core" / "tissues.py", '"CSF", "GM"', '"GM", "CSF"'):
        assert stale(folder) == {"preprocess", "augment", "train", "evaluate"}


@pytest.mark.slow
def test_stages_that_read_the_dataset_are_stale_when_it_is_another_one(finished):
    folder, _ = finished
    shutil.copytree(folder / "data", folder / "other")
    try:
        with changed(folder / "params.yaml", "dataset: data", "dataset: other"):
            assert stale(folder) == {"preprocess", "augment", "evaluate"}
    finally:
        shutil.rmtree(folder / "other")


@pytest.mark.slow
def test_a_changed_parameter_reruns_only_what_depends_on_it_and_a_hand_run_nothing(finished):
    folder, _ = finished
    notebook = folder / "notebooks" / "1_preprocess.ipynb"
    book = nbformat.read(notebook, as_version=4)
    book.cells[2].execution_count, book.metadata["hand"] = 7, "run"
    book.cells[2].outputs = [nbformat.v4.new_output("stream", text="seen")]
    nbformat.write(book, notebook)
    planned = subprocess.run(
        ["dvc", "repro", "--dry"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    ).stdout
    assert "Running stage 'preprocess" not in planned
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("learning_rate: 0.0", "learning_rate: 0.1", 1))
    planned = subprocess.run(
        ["dvc", "repro", "--dry"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    ).stdout
    (folder / "params.yaml").write_text(text)
    assert "Running stage 'train@patchseg'" in planned
    assert "Running stage 'preprocess" not in planned and "Running stage 'augment" not in planned


@pytest.mark.slow
def test_killed_in_preprocess_and_in_train_it_goes_on_to_the_same_bytes(finished, tmp_path):
    """In another folder, so that this is also a second run of everything."""
    folder = project(tmp_path)
    kill_when(folder, "preprocess patchseg: started")
    kill_when(folder, "epoch   2/4")
    assert not list((folder / "work" / "train").rglob("*.h5"))
    (state,) = (folder / "build" / "state").rglob("seed-0.npz")
    repro(folder)
    assert not state.exists()
    assert digests(folder) == digests(finished[0])


def kill_when(folder, line):
    """Start `dvc repro` and kill it and all its children, hard, when it prints `line`."""
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for said in process.stdout:
        if line in said:
            break
    else:
        pytest.fail(f"dvc repro ended without saying {line!r}")
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:  # dvc first: it writes its lock when a stage fails, and not in whole
        if member.is_running():
            member.kill()
    process.stdout.close()
    process.wait()
    time.sleep(1)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A project with one tiny notebook as its preprocess stage."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def write(*sources, parameters="dataset = ''\nrecipe = ''\nout = ''\npreprocess = {}"):
        cells = [
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *map(nbformat.v4.new_code_cell, sources),
        ]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        nbformat.write(
            nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "1_preprocess.ipynb"
        )
        shutil.rmtree(tmp_path / "build", ignore_errors=True)

    return write


def test_a_stage_gets_the_settings_with_their_types(small, capfd):
    small(
        "print(recipe, out, preprocess['square'], preprocess['axes'],"
        " type(preprocess['keep_empty']).__name__)"
    )
    pipeline.run_stage("preprocess", "original", "here")
    assert "original here False ['sagittal', 'coronal', 'axial'] float" in capfd.readouterr().out
    first = Path("here/artefacts/original/1_preprocess.ipynb").read_bytes()
    pipeline.run_stage("preprocess", "original", "here")
    assert Path("here/artefacts/original/1_preprocess.ipynb").read_bytes() == first


def test_an_edited_notebook_is_stripped_again_except_by_dvc(small, capfd, monkeypatch):
    """DVC strips in a stage of its own and compares bytes."""
    small("print('old')")
    pipeline.run_stage("preprocess", "patchseg")
    source, copy = (Path(f) / "1_preprocess.ipynb" for f in ("notebooks", "build/notebooks"))
    first = copy.read_bytes(), copy.stat().st_mtime_ns
    book = nbformat.read(source, as_version=4)
    book.cells[-1].execution_count = 5
    nbformat.write(book, source)
    pipeline.run_stage("preprocess", "patchseg")
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == first
    source.write_text(source.read_text().replace("old", "new"))
    monkeypatch.setenv("DVC_STAGE", "preprocess@patchseg")
    pipeline.run_stage("preprocess", "patchseg")
    assert capfd.readouterr().out.count("old") == 3
    monkeypatch.delenv("DVC_STAGE")
    pipeline.run_stage("preprocess", "patchseg")
    assert "new" in capfd.readouterr().out
    pipeline.strip(source, "by-dvc.ipynb")
    assert copy.read_bytes() == Path("by-dvc.ipynb").read_bytes()


def test_a_cell_may_take_as_long_as_params_say(small):
    small("import time; time.sleep(2)")
    pipeline.run_stage("preprocess", "patchseg")
    assert params.load("params.yaml").cell_timeout_s is None
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("cell_timeout_s: null", "cell_timeout_s: 1"))
    with pytest.raises(InputError, match="longer than 1 s; raise cell_timeout_s in params.yaml"):
        pipeline.run_stage("preprocess", "patchseg")


def test_a_notebook_leaves_this_process_as_it_was(small, capfd):
    """The kernel has no bars, and what it says on standard error goes into the log."""
    small("import os; os.write(2, b'greeting'); print(os.environ['PATCHSEG_PROGRESS'])")
    before = dict(os.environ), os.fstat(2)
    del os.environ["PATCHSEG_PROGRESS"]
    try:
        pipeline.run_stage("preprocess", "patchseg")
        assert "PATCHSEG_PROGRESS" not in os.environ
    finally:
        os.environ.update(before[0])
    assert (os.fstat(2).st_ino, os.fstat(2).st_dev) == (before[1].st_ino, before[1].st_dev)
    said = capfd.readouterr()
    assert "off" in said.out and "greeting" not in said.err
    assert "greeting" in Path("build/log/preprocess-patchseg.txt").read_text()


def test_a_failing_notebook_keeps_the_old_result_and_says_where(small):
    small("1 / 0")
    old = Path("artefacts/patchseg/1_preprocess.ipynb")
    old.parent.mkdir(parents=True)
    old.write_text("old")
    with pytest.raises(
        InputError,
        match=(
            r"preprocess patchseg: ZeroDivisionError: division by zero .*the notebook up to there:"
            r" .*build/failed/1_preprocess.ipynb"
        ),
    ):
        pipeline.run_stage("preprocess", "patchseg")
    assert old.read_text() == "old" and list(old.parent.iterdir()) == [old]
    assert "ZeroDivisionError" in Path("build/failed/1_preprocess.ipynb").read_text()


def test_wrong_calls_name_the_mend(small):
    small("pass", parameters="dataset = ''")
    with pytest.raises(InputError, match="its parameters cell lacks out, preprocess, recipe"):
        pipeline.run_stage("preprocess", "patchseg")
    with pytest.raises(InputError, match="stage 'zoom' is unknown"):
        pipeline.run_stage("zoom")
    with pytest.raises(InputError, match="the other stages need one"):
        pipeline.run_stage("train")
    with pytest.raises(InputError, match="no dvc.yaml here"):
        files.project_root("/")


def test_evaluate_gets_the_grid_of_each_recipe():
    values = pipeline.stage_parameters(ROOT / "params.yaml", "evaluate")
    assert [values["recipes"][name]["top"] for name in ("original", "patchseg")] == [100, 99]


def test_strip_drops_outputs_and_ids(tmp_path):
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "1", outputs=[nbformat.v4.new_output("stream", text="1")], execution_count=3
            )
        ]
    )
    nbformat.write(book, tmp_path / "a.ipynb")
    dev.strip(str(tmp_path / "a.ipynb"), str(tmp_path / "b.ipynb"))
    cell = nbformat.read(tmp_path / "b.ipynb", as_version=4).cells[0]
    assert (cell.outputs, cell.execution_count, cell.id) == ([], None, "cell-00")
