"""The array script of SLURM by a stand-in of its sbatch, and the recipes of containers."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from conftest import write_dataset

from patchseg.cli import main

ROOT = Path(__file__).parents[2]
SBATCH = """#!/bin/sh
# runs the tasks of an array here, one after the other
last=${1#--array=1-}; script=$2; shift 2
for SLURM_ARRAY_TASK_ID in $(seq "$last"); do
    export SLURM_ARRAY_TASK_ID SLURM_CPUS_PER_TASK=4
    sh "$script" "$@"
done
"""
PATCHSEG = '#!/bin/sh\nprintf "%s\\n" "$*" >> asked.txt\n'


def commands(tmp_path, monkeypatch, array, *words):
    """Return what the tasks of the array script call."""
    for name, text in {"sbatch": SBATCH, "patchseg": PATCHSEG}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    script = ROOT / "docs" / "cluster" / "slurm_array.sh"
    subprocess.run(["sbatch", f"--array=1-{array}", script, *words], check=True)
    return (tmp_path / "asked.txt").read_text().splitlines()


def test_the_array_script_does_each_subject_once(network, tmp_path, monkeypatch, capsys):
    write_dataset(tmp_path / "in", [("sub-01", "train"), ("sub-b", "val")], (24, 22, 20))
    (tmp_path / "in" / "sub-notes.txt").touch()
    asked = commands(tmp_path, monkeypatch, 2, "in", "out")
    words = "bids in out participant --participant-label {} --threads 4"
    assert asked == [words.format("sub-01"), words.format("sub-b")]
    for line in (*asked, "bids in out group"):
        kept = line.removesuffix(" --threads 4").split()  # TensorFlow of the tests has its own
        options = ["--no-report"] if "participant" in kept else []
        monkeypatch.setattr(sys, "argv", ["patchseg", *kept, *options])
        with pytest.raises(SystemExit) as done:
            main.main()
        assert not done.value.code
    table = pd.read_csv("out/qc.tsv", sep="\t")
    assert table.image.tolist() == ["sub-01", "sub-b"] and set(table.status) == {"done"}


def test_the_script_is_as_short_as_the_documentation_says():
    assert len((ROOT / "docs" / "cluster" / "slurm_array.sh").read_text().splitlines()) == 10


def test_a_linter_finds_nothing_in_the_dockerfile():
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("no hadolint here: the Dockerfile was not linted")
    path = ROOT / "containers" / "Dockerfile"
    done = subprocess.run([linter, "--no-color", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def copied(text):
    """Return what a recipe copies from the project."""
    lines = re.findall(r"^(?:COPY|   ) (\S.*) /src/\S*$", text, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def sections(text):
    """Return the sections of an Apptainer recipe."""
    parts = re.split(r"^%(\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_both_containers_hold_all_that_the_package_is_built_of():
    docker = (ROOT / "containers" / "Dockerfile").read_text()
    apptainer = (ROOT / "containers" / "patchseg.def").read_text()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = build["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], *build["project"]["license-files"]}
    needed |= {"pyproject.toml", build["project"]["readme"]}
    assert copied(docker) == copied(apptainer) == needed
    image = re.search(r"^FROM (\S+)$", docker, re.MULTILINE)[1]
    assert f"\nFrom: {image}\n" in apptainer
    for name in ("post", "environment", "runscript", "test"):
        subprocess.run(["sh", "-n"], input=sections(apptainer)[name], text=True, check=True)
