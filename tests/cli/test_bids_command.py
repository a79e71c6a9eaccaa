"""A dataset of balls as BIDS Apps take it: participants, then the group."""

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ball_brain, write_nifti

from patchseg.cli import bids, main
from patchseg.core.errors import InputError
from patchseg.inference import bids_app, outputs, unfinished, writing
from patchseg.inference.places import Place

NAMES = ("sub-01_ses-1_T1w", "sub-01_ses-1_T2w", "sub-01_ses-2_T2w", "sub-03_T1w")


def place(name):
    subject, *session, _ = name.split("_")
    return "/".join([subject, *session, "anat", f"{name}.nii.gz"])


@pytest.fixture
def cohort(tmp_path):
    """A subject with two sessions, the second with T2w only, and one whose image is cut off."""
    image = write_nifti(tmp_path / "ball.nii.gz", ball_brain((24, 22, 20))[0])
    for name in NAMES:
        path = tmp_path / "in" / place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, path)
    (tmp_path / "in" / place(NAMES[-1])).write_bytes(image.read_bytes()[:2000])
    (tmp_path / "in" / "sub-04").mkdir()
    rows = "participant_id\tspecies\tage\nsub-01\tball\t3\nsub-03\tcube\tn/a\n"
    (tmp_path / "in" / "participants.tsv").write_text(rows)
    return tmp_path / "in"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["patchseg", "bids", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main.main()
    return done.value.code or 0


def made(out):
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("--participant-label 01 02", "--participant-label=01 --participant-label=02"),
        ("--participant_label=01 02 -w x", "--participant-label=01 --participant-label=02 -w x"),
        ("--session_label 1 --mask a_b_{stem}", "--session-label=1 --mask a_b_{stem}"),
        ("in out participant --skip_bids_validation", "in out participant --skip-bids-validation"),
    ],
)
def test_options_are_written_as_in_other_apps(words, read):
    assert bids.spread(words.split()) == read.split()


@pytest.mark.parametrize("words", ["--participant-label", "--session_label --jobs 2"])
def test_a_label_that_is_missing_does_not_mean_all(words):
    with pytest.raises(InputError, match="-label: no label follows"):
        bids.spread(words.split())


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({}, [NAMES[0], NAMES[2], NAMES[3]]),
        ({"participants": ["03"]}, [NAMES[3]]),
        ({"participants": ["sub-03", "01"]}, [NAMES[0], NAMES[2], NAMES[3]]),
        ({"sessions": ["2"]}, [NAMES[2]]),
        ({"sessions": ["ses-1", "2"], "participants": ["01"]}, [NAMES[0], NAMES[2]]),
        ({"filters": {"t1w": {"session": None}}}, [NAMES[1], NAMES[2], NAMES[3]]),
        ({"filters": {"t1w": {"session": ["1", "2"]}}}, [NAMES[0], NAMES[2]]),
        ({"filters": {"t1w": {"session": "*"}, "t2w": {"session": 1}}}, [NAMES[0]]),
    ],
)
def test_images_by_labels_sessions_and_filters(cohort, choice, found):
    images, without = bids_app.find(cohort, **choice)
    assert [image.relative_to(cohort).as_posix() for image in images] == list(map(place, found))
    assert ("sub-04" in without) == ("participants" not in choice)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"participants": ["1"]}, "no participant sub-1; there are sub-01, sub-03, sub-04"),
        ({"participants": ["xyz"]}, "no participant sub-xyz; there are sub-01, sub-03, sub-04"),
        ({"sessions": ["3"]}, "no session ses-3; there are ses-1, ses-2"),
        ({"participants": ["04"]}, "no T1w or T2w image of sub-04; check"),
        ({"filters": {"t1w": {"run": 1}, "t2w": {"run": 1}}}, "--bids-filter-file leave"),
    ],
)
def test_a_choice_of_nothing_says_what_there_is(cohort, choice, says):
    with pytest.raises(InputError, match=says):
        bids_app.find(cohort, **choice)


def test_a_name_that_cannot_be_printed_is_refused(tmp_path):
    anat = tmp_path / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-01_acq-a\nb_T1w.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="letters that cannot be printed"):
        bids_app.find(tmp_path)


def test_a_folder_that_is_no_dataset_is_named(tmp_path):
    with pytest.raises(InputError, match="no BIDS dataset: there is no folder sub-"):
        bids_app.find(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        bids_app.find(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read as JSON"),
        ('{"bold": {}}', "neither t1w nor t2w"),
        ('{"t1w": []}', "write entities"),
        ('{"t1w": {"colour": "red"}}', "entity 'colour' is unknown; use subject"),
        ('{"t1w": {"run": {}}}', "run is {}; write a text"),
    ],
)
def test_an_odd_filter_file_is_refused(tmp_path, text, says):
    (tmp_path / "filter.json").write_text(text)
    with pytest.raises(InputError, match=says):
        bids_app.read_filters(tmp_path / "filter.json")


def test_a_run_is_a_number_and_a_session_a_text(tmp_path):
    for name in ("sub-1_ses-01_run-02_T1w", "sub-1_ses-1_run-2_T1w", "sub-1_ses-1_run-3_T1w"):
        path = tmp_path / "sub-1" / name.split("_")[1] / "anat" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert len(bids_app.find(tmp_path, filters={"t1w": {"run": 2}})[0]) == 2
    assert len(bids_app.find(tmp_path, filters={"t1w": {"run": "02", "session": "01"}})[0]) == 1


def test_participants_write_only_what_is_theirs_and_the_group_the_rest(
    network, cohort, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    words = (cohort, out, "participant", "--no-report", "--participant-label")
    assert run(monkeypatch, *words, "01") == 0
    shared = {".bidsignore", "dataset_description.json", "dseg.tsv"}
    assert all(name.startswith("sub-01/") for name in made(out) - shared)
    assert run(monkeypatch, *words, "sub-03") == 1
    assert made(out) - shared <= {name for name in made(out) if name.startswith("sub-01/")} | {
        "log/sub-03_unfinished.json"
    }
    capsys.readouterr()
    assert run(monkeypatch, cohort, out, "group") == 1
    said = capsys.readouterr()
    assert "2 of 3 images have a result: 2 look, 1 failed" in said.out
    assert said.out.index("  failed  sub-03") < said.out.index("  look    sub-01_ses-1")
    assert "truncated" in said.out and "without a T1w or T2w image: sub-04" in said.err
    table = pd.read_csv(out / "qc.tsv", sep="\t").set_index("image")
    assert table.status.to_dict()["sub-03"] == "failed" and len(table) == 3
    assert {"volumes.tsv", "index.html"} <= made(out)

    shutil.copy(cohort / place(NAMES[0]), cohort / place(NAMES[3]))
    assert run(monkeypatch, *words, "03") == 0
    assert run(monkeypatch, cohort, out, "group") == 0
    assert "3 of 3 images have a result: 3 look" in capsys.readouterr().out


def test_a_group_knows_what_was_killed_and_what_was_never_begun(
    network, cohort, tmp_path, monkeypatch, capsys
):
    """A process that is killed leaves its note, as a job does that runs into its limit."""
    out = tmp_path / "out"
    assert run(monkeypatch, cohort, out, "group") == 2
    assert "no results in it; run 'patchseg bids" in capsys.readouterr().err
    unfinished.start(Place(cohort / place(NAMES[2]), out))
    assert run(monkeypatch, cohort, out, "group") == 1
    said = capsys.readouterr().out
    assert "sub-01_ses-2  was started and did not end" in said
    assert "not begun yet: sub-01_ses-1_T1w.nii.gz, sub-03_T1w.nii.gz" in said


def test_a_whole_result_outlives_a_later_run_that_was_killed(network, cohort, tmp_path):
    done = Place(cohort / place(NAMES[0]), tmp_path / "out")
    outputs.segment_file(done.image, done.out)
    unfinished.start(done)
    assert unfinished.find(done.out) == {}
    unfinished.fail(done, "odd")
    assert unfinished.find(done.out) == {"sub-01_ses-1": "odd"}
    for odd in ("{", "[]", '{"reasons": 3}', "[" * 100000):
        done.note.write_text(odd)
        assert unfinished.find(done.out) == {}


def test_the_same_command_twice_at_once_leaves_whole_results(
    network, cohort, tmp_path, monkeypatch
):
    """The other one begins to write where this one has just ended."""
    image, out, write = cohort / place(NAMES[0]), tmp_path / "out", writing.write
    monkeypatch.setattr(writing, "write", lambda *made: (write(*made), made[1].record.unlink()))
    result, status = outputs.fulfil(image, out)
    assert status == "done" and result.verdict == "look"
    monkeypatch.setattr(writing, "write", write)
    assert outputs.fulfil(image, out)[1] == "done" and outputs.fulfil(image, out)[1] == "kept"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("name\n1\n", "no column participant_id"),
        ("participant_id\n01\nsub-01\n", "sub-01 is listed twice"),
        ("participant_id\n1\t2\t3\n1\t2\t3\t4\t5\n", "cannot be read as a table"),
    ],
)
def test_odd_participants_are_refused(tmp_path, rows, says):
    (tmp_path / "participants.tsv").write_text(rows)
    with pytest.raises(InputError, match=says):
        bids_app.participants(tmp_path)


def test_participants_with_or_without_prefix(cohort, tmp_path):
    table = bids_app.participants(cohort)
    assert table.loc["sub-01"].to_dict() == {"species": "ball", "age": 3}
    (cohort / "participants.tsv").write_text("participant_id\tage\n01\t3\n")
    assert bids_app.participants(cohort).age["sub-01"] == 3
    (cohort / "participants.tsv").unlink()
    assert bids_app.participants(cohort) is None


def test_results_are_bids_derivatives(network, cohort, tmp_path, monkeypatch):
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("no bids-validator-deno here: whether results are BIDS was not looked at")
    out = cohort / "derivatives" / "patchseg"
    run(monkeypatch, cohort, out, "participant", "--no-report")
    assert run(monkeypatch, cohort, out, "group") == 1
    for name in ("sub-01/ses-1/anat/sub-01_ses-1_report.html", "log/sub-01_ses-1.txt"):
        (out / name).write_text("as if there were a report")
    done = subprocess.run([validator, out, "--format", "json"], capture_output=True, text=True)
    found = json.loads(done.stdout)["issues"]["issues"]
    errors = [one for one in found if one["severity"] == "error"]
    assert errors == [] and done.returncode == 0
    said = json.loads((out / "dataset_description.json").read_text())
    assert said["DatasetLinks"] == {"raw": "../.."} and said["GeneratedBy"][0]["Name"] == "patchseg"
