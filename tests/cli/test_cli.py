import subprocess
import sys

import pytest

from patchseg.cli import main


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


def test_help_names_every_command():
    said = subprocess.run(
        [sys.executable, "-m", "patchseg", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(word in said for word in ("sample", "check", "stage", "strip"))
