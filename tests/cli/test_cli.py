import inspect
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import patchseg
from patchseg.cli import main

DEVELOPERS = ("sample", "check", "strip", "stage", "across")
COMMAND_ONLY = {  # what only a command needs: files, folders and what it prints
    "segment": {"images", "out", "jobs", "cluster", "cluster_settings"}
    | {"overwrite", "dry_run", "report"},
    "suggest": {"images", "out", "what"},
    "adapt": {"files", "what", "name", "overwrite"},
}


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["patchseg", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main.main()
    return done.value.code


def test_sample_is_the_same_bytes_each_time_and_passes_the_check(tmp_path, monkeypatch, capsys):
    for name in "ab":
        assert run(monkeypatch, "dev", "sample", tmp_path / name) == 0
    made = [
        sorted(
            path.relative_to(tmp_path / name)
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        )
        for name in "ab"
    ]
    assert made[0] == made[1] and len(made[0]) == 17
    assert all(
        (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
        for path in made[0]
    )
    capsys.readouterr()
    assert run(monkeypatch, "dev", "check", tmp_path / "a") == 0
    said = capsys.readouterr().out.split("\n")
    assert [line.split("  ")[2] for line in said[:3]] == [
        "train",
        "val",
        "test",
    ] and "197 x 88 x 189 voxels of 1 x 1 x 1 mm" in said[0]


def test_sample_blocks_lie_apart_in_the_template(tmp_path):
    import nibabel as nib

    from patchseg.datasets import bids, sample

    sample.build(tmp_path)
    blocks = []
    for subject in bids.subjects(tmp_path):
        image = nib.load(subject.image_path)
        start = image.affine[1, 3]
        blocks.append((start, start + image.shape[1]))
        assert set(subject.label_paths) == {"CSF", "GM", "WM"}
        one = subject.load()
        image, labels = one.normalised(100), one.labels
        assert not labels[image == 0].any() and set(labels.flat) == {0, 1, 2, 3, 255}
    assert all(
        later[0] - earlier[1] == 6 for earlier, later in zip(blocks, blocks[1:], strict=False)
    )


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "dev", "check", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith("patchseg: ") and error.count("\n") == 1 and "participants.tsv" in error


def shown(*words):
    """What a command prints that a person types, in a wide terminal."""
    done = CliRunner().invoke(main.app, words, env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 0, done.output
    return done.output


def test_everyday_commands_come_first_and_those_of_developers_under_dev():
    said = shown("--help")
    places = [said.index(f" {name} ") for name in ("segment", "suggest", "adapt", "zoo", "dev")]
    assert places == sorted(places) and " strip " not in said
    assert all(f" {name} " in shown("dev", "--help") for name in DEVELOPERS)
    assert shown("--version") == f"patchseg {patchseg.__version__}\n"


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "patchseg", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == (f"patchseg {patchseg.__version__}\n", "")


def test_one_word_for_one_thing_in_all_commands_and_the_api():
    """An option of two commands is one option, and a keyword of the function below."""
    click = typer.main.get_command(main.app)
    words = {
        name: {option.name for option in click.commands[name].params}
        for name in ("segment", "suggest", "adapt")
    }
    shared = {"weights", "mask", "extract", "volume", "nan_as_background", "threads", "precision"}
    assert all(shared <= own for own in words.values())
    for name, own in words.items():
        known = set(inspect.signature(getattr(patchseg, name)).parameters)
        other = {"scale": "scales", "mask": "masks"} if name == "adapt" else {"scale": "scales"}
        missing = {other.get(word, word) for word in own} - known
        assert missing <= COMMAND_ONLY[name], name


def test_tab_completion_finds_the_functions_and_nothing_else():
    code = "import patchseg; print(dir(patchseg)); from patchseg import *; print(segment, suggest)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.startswith(
        "['__version__', 'adapt', 'extract', 'segment', 'segment_file', 'suggest']"
    )
