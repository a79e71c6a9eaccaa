import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import ball_brain, write_nifti
from in_worker import kill_some

import patchseg
from patchseg.cli import main
from patchseg.cli import options as cli_options
from patchseg.core import runtime
from patchseg.core.errors import InputError
from patchseg.images import volume
from patchseg.inference import batch, cohort, inputs, outputs, places, report, unfinished


@pytest.fixture
def folder(tmp_path):
    """Two good images, one that is cut off."""
    image, _ = ball_brain()
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", image)
    (tmp_path / "in" / "broken.nii.gz").write_bytes(
        (tmp_path / "in" / "a.nii.gz").read_bytes()[:5000]
    )
    return tmp_path / "in"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["patchseg", "segment", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main.main()
    return done.value.code or 0


def contents(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".html", ".js")
    }


@pytest.mark.parametrize(("name", "expected"), [
    ("sub-01_T1w.nii.gz", "sub-01/anat/sub-01_dseg.nii.gz"),
    ("sub-01_ses-2_acq-mp2rage_T1w.nii", "sub-01/ses-2/anat/sub-01_ses-2_acq-mp2rage_dseg.nii.gz"),
    ("ferret.brain.mgz", "ferret.brain_dseg.nii.gz"),
    ("sub-01.nii.gz", "sub-01_dseg.nii.gz"),
])  # fmt: skip
def test_names(name, expected, tmp_path):
    assert places.Place(name, tmp_path).path("dseg.nii.gz") == tmp_path / expected


def test_one_bad_file_does_not_stop_the_others(network, folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(monkeypatch, folder, "--out", out, "--no-report") == 1
    said = capsys.readouterr()
    assert (
        "broken.nii.gz" in said.err
        and "truncated" in said.err
        and "2 of 3 images segmented" in said.out
        and "look first at: broken" in said.out
    )
    table = pd.read_csv(out / "qc.tsv", sep="\t").set_index("image")
    assert (
        table.status.to_dict() == {"a": "done", "b": "done", "broken": "failed"}
        and "truncated" in table.reasons.broken
    )
    assert len(pd.read_csv(out / "volumes.tsv", sep="\t")) == 8
    assert not list(out.rglob(".partial*"))
    for name in (
        "dseg.nii.gz",
        "label-GM_probseg.nii.gz",
        "desc-uncertainty_map.nii.gz",
        "volumes.tsv",
        "dseg.json",
    ):
        assert (out / f"a_{name}").is_file()
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert pd.read_csv(out / "dseg.tsv", sep="\t").abbreviation.tolist() == [
        "BG",
        "CSF",
        "GM",
        "WM",
    ]


def test_a_second_run_does_only_what_is_missing(network, folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = (folder / "a.nii.gz", folder / "b.nii.gz", "--out", out, "--no-report")
    assert run(monkeypatch, *arguments) == 0
    before = contents(out)
    (out / "b_label-GM_probseg.nii.gz").unlink()
    assert run(monkeypatch, *arguments, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "a.nii.gz  done already" in said and "b.nii.gz  to do" in said
    assert run(monkeypatch, *arguments) == 0
    after = contents(out)
    assert {path.name for path in before if before[path] != after[path]} >= {
        "b_dseg.nii.gz",
        "b_label-GM_probseg.nii.gz",
    }
    assert all(before[path] == after[path] for path in before if path.name.startswith("a_"))
    assert run(monkeypatch, *arguments, "--overwrite") == 0
    assert contents(out)[out / "a_dseg.nii.gz"] != before[out / "a_dseg.nii.gz"]


@pytest.mark.parametrize("option", [["--nan-as-background"], ["--volume", "0"], ["--threads", "1"]])
def test_a_setting_that_changes_no_voxel_keeps_the_result(
    network, folder, tmp_path, monkeypatch, capsys, option
):
    arguments = (folder / "a.nii.gz", "--out", tmp_path / "out", "--no-report")
    assert run(monkeypatch, *arguments) == 0
    before = contents(tmp_path / "out")
    threads = runtime.threads()  # TensorFlow keeps its number for good
    monkeypatch.setattr(runtime, "set_threads", lambda count: None)
    monkeypatch.setattr(runtime, "at_most", lambda count: nullcontext())
    assert run(monkeypatch, *arguments, *option) == 0
    assert "kept" in capsys.readouterr().out and runtime.threads() == threads
    kept = contents(tmp_path / "out")
    assert all(kept[path] == before[path] for path in before if path.suffix != ".tsv")


@pytest.mark.parametrize(
    ("option", "differs"),
    [
        (["--scale", "1.5"], "scales"),
        (["--no-sharpen"], "sharpen"),
        (["--tile", "64"], "tile"),
        (["--precision", "float32"], "precision"),
        (["--mask", "mask.nii.gz"], "mask"),
    ],
)
def test_another_request_is_done_again_and_says_so(
    network, folder, tmp_path, monkeypatch, capsys, option, differs
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "precision", lambda wanted: wanted.replace("auto", "bfloat16"))
    write_nifti(tmp_path / "mask.nii.gz", (ball_brain()[1] > 1).astype(np.uint8))
    out = tmp_path / "out"
    arguments = [folder / "a.nii.gz", "--out", out, "--no-report"]
    assert run(monkeypatch, *arguments) == 0
    arguments += option
    before = contents(out)
    assert run(monkeypatch, *arguments, "--dry-run") == 0
    assert f"a_dseg.nii.gz (done again: other {differs})" in capsys.readouterr().out
    assert run(monkeypatch, *arguments) == 0
    assert f"done again: other {differs}  " in capsys.readouterr().out
    assert contents(out)[out / "a_dseg.nii.gz"] != before[out / "a_dseg.nii.gz"]
    assert run(monkeypatch, *arguments) == 0
    assert "kept" in capsys.readouterr().out


def test_the_function_warns_when_it_does_something_again(network, folder, tmp_path):
    outputs.segment_file(folder / "a.nii.gz", tmp_path)
    with pytest.warns(UserWarning, match="a.nii.gz: done again: other scales, sharpen"):
        outputs.segment_file(folder / "a.nii.gz", tmp_path, scales=(2.0,), sharpen=False)


def test_results_of_another_image_of_the_same_name_stay(
    network, folder, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    write_nifti(tmp_path / "other" / "a.nii.gz", ball_brain()[0] + np.float32(1))
    assert run(monkeypatch, folder / "a.nii.gz", "--out", out, "--no-report") == 0
    before = contents(out)
    assert run(monkeypatch, tmp_path / "other" / "a.nii.gz", "--out", out, "--no-report") == 1
    assert "made from another image of the same name" in capsys.readouterr().err
    assert contents(out)[out / "a_dseg.nii.gz"] == before[out / "a_dseg.nii.gz"]
    table = pd.read_csv(out / "qc.tsv", sep="\t")  # and are listed still
    assert table.image.tolist() == ["a"] and table.status.tolist() == ["done"]
    assert not list((out / "log").glob("*_unfinished.json"))


def test_a_result_in_memory_is_saved_as_the_command_writes_it(
    network, folder, tmp_path, monkeypatch, capsys
):
    """The command then finds its own work done."""
    image = folder / "a.nii.gz"
    saved = patchseg.segment(image).save(tmp_path / "saved")
    assert saved == tmp_path / "saved" / "a_dseg.nii.gz"
    assert run(monkeypatch, image, "--out", tmp_path / "command", "--no-report") == 0
    for path in (tmp_path / "command").glob("a_*"):
        if path.name not in ("a_dseg.json", "a_thumbnail.webp"):
            assert (tmp_path / "saved" / path.name).read_bytes() == path.read_bytes()
    records = [
        json.loads((tmp_path / name / "a_dseg.json").read_text()) for name in ("saved", "command")
    ]
    assert records[0]["request"] == records[1]["request"] and set(records[0]) == set(records[1])
    assert run(monkeypatch, image, "--out", tmp_path / "saved", "--no-report") == 0
    assert "kept" in capsys.readouterr().out


def test_a_result_without_a_file_needs_a_name_to_be_saved(network, folder, tmp_path):
    result = patchseg.segment(nib.Nifti1Image(ball_brain()[0], np.eye(4)))
    with pytest.raises(InputError, match="has no name; give one"):
        result.save(tmp_path)
    saved = result.save(tmp_path, "sub-01_T1w")
    assert saved == tmp_path / "sub-01" / "anat" / "sub-01_dseg.nii.gz" and saved.is_file()
    result.save(tmp_path, "sub-01_T1w")
    other = patchseg.segment(nib.Nifti1Image(ball_brain()[0] * 2, np.eye(4)))
    with pytest.raises(InputError, match="made from another image of the same name"):
        other.save(tmp_path, "sub-01_T1w")
    other.save(tmp_path, "sub-01_T1w", overwrite=True)
    mine = write_nifti(tmp_path / "mine_dseg.nii.gz", ball_brain()[1])
    with pytest.raises(InputError, match="was not made by patchseg"):
        result.save(tmp_path, "mine")
    assert np.array_equal(nib.load(mine).get_fdata(), ball_brain()[1])


def test_a_failure_is_listed_until_the_image_succeeds(
    network, folder, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"

    def statuses(name, code):
        assert run(monkeypatch, folder / name, "--out", out, "--no-report") == code
        return pd.read_csv(out / "qc.tsv", sep="\t").set_index("image").status.to_dict()

    assert statuses("broken.nii.gz", 1) == {"broken": "failed"}
    assert statuses("a.nii.gz", 0) == {"a": "done", "broken": "failed"}
    assert "truncated" in (out / "qc.tsv").read_text() and "3" not in statuses("a.nii.gz", 0)
    shutil.copy(folder / "a.nii.gz", folder / "broken.nii.gz")
    assert statuses("broken.nii.gz", 0) == {"a": "done", "broken": "done"}
    assert statuses("mistyped.nii.gz", 1) == {"a": "done", "broken": "done"}
    (folder / "a.nii.gz").write_bytes(b"")
    assert statuses("a.nii.gz", 1) == {"a": "failed", "broken": "done"}
    assert statuses("b.nii.gz", 0) == {"a": "failed", "b": "done", "broken": "done"}


def test_what_is_read_back_is_what_was_found(network, folder, tmp_path):
    from patchseg.inference.segmentation import segment

    direct = segment(folder / "a.nii.gz")
    stored = outputs.segment_file(folder / "a.nii.gz", tmp_path / "out")
    assert np.array_equal(direct.dseg.dataobj, stored.dseg.dataobj)
    assert np.abs(direct.probseg.get_fdata() - stored.probseg.get_fdata()).max() <= 1 / 510 + 1e-6
    assert (
        np.abs(direct.uncertainty.get_fdata() - stored.uncertainty.get_fdata()).max()
        <= 1 / 510 + 1e-6
    )
    assert (
        direct.volumes.tissue.tolist() == stored.volumes.tissue.tolist()
        and direct.verdict == stored.verdict
    )


def test_a_kill_while_writing_leaves_no_record_and_no_partial_file_under_a_final_name(
    network, folder, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    save, written = nib.save, []

    def stop_at_third(image, path):
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt
        save(image, path)

    monkeypatch.setattr(nib, "save", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        outputs.segment_file(folder / "a.nii.gz", out)
    monkeypatch.setattr(nib, "save", save)
    assert not (out / "a_dseg.json").exists() and not list(out.rglob(".partial*"))
    for path in out.glob("*.nii.gz"):
        volume.read(path)
    outputs.segment_file(folder / "a.nii.gz", out)
    assert (out / "a_dseg.json").exists()


def test_a_full_disc_is_said(network, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        nib, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(
        InputError, match=r"cannot be written \(No space left on device\); free space"
    ):
        outputs.segment_file(folder / "a.nii.gz", tmp_path / "out")


def test_masks_are_found_by_pattern_and_left_out_of_the_images(
    network, folder, tmp_path, monkeypatch
):
    image, labels = ball_brain()
    for name in "ab":
        write_nifti(folder / f"{name}_mask.nii.gz", (labels > 1).astype(np.uint8))
    (folder / "broken.nii.gz").unlink()
    out, images = tmp_path / "out", sorted(folder.glob("*.nii.gz"))
    mask = ["--mask", "{folder}/{stem}_mask.nii.gz"]
    assert run(monkeypatch, *images, "--out", out, *mask, "--no-report") == 0
    assert {path.name for path in out.glob("*_dseg.nii.gz")} == {"a_dseg.nii.gz", "b_dseg.nii.gz"}
    assert np.array_equal(nib.load(out / "a_dseg.nii.gz").get_fdata() > 0, labels > 1)


def test_a_mask_is_relative_to_the_current_folder_with_and_without_braces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [Path("in/sub-01_T1w.nii.gz"), Path("in/b.nii")]
    for path in (*images, Path("in/b_mask.nii"), Path("masks/b.nii"), Path("masks/sub-01.nii")):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert inputs.masks(images, "masks/{name}.nii") == [
        Path("masks/sub-01.nii"),
        Path("masks/b.nii"),
    ]
    assert inputs.masks(images[1:], "{folder}/{stem}_mask.nii") == [Path("in/b_mask.nii")]
    assert inputs.masks(images[1:], "masks/b.nii") == [Path("masks/b.nii")]
    assert inputs.masks([Path("b.nii")], "{folder}/{stem}_mask.nii") == [Path("b_mask.nii")]
    assert inputs.masks(images, None) == [None, None]
    for pattern in ("{stem}_mask.nii", "b_mask.nii"):
        with pytest.raises(InputError, match=r"lies beside in/b.nii; write '{folder}/.*_mask.nii'"):
            inputs.masks(images[1:], pattern)
    with pytest.raises(InputError, match="one mask for 2 images; write a pattern"):
        inputs.masks(images, "mask.nii.gz")
    for odd in ("{subject}.nii.gz", "{stem", "a}{stem}"):
        with pytest.raises(InputError, match="only {folder}, {stem} and {name}"):
            inputs.masks(images, odd)


def test_bids_datasets_folders_and_files_are_found(dataset, tmp_path):
    assert [path.name for path in inputs.find([dataset])] == [
        "sub-a_T1w.nii.gz",
        "sub-b_T1w.nii.gz",
        "sub-c_T1w.nii.gz",
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image .* and no BIDS subject"):
        inputs.find([tmp_path / "empty"])


def test_a_name_without_room_for_those_of_the_results_is_refused(tmp_path):
    image = write_nifti(tmp_path / f"{'x' * 230}.nii.gz", ball_brain()[0])
    with pytest.raises(InputError, match="longer than 255 bytes; give the image a shorter name"):
        outputs.segment_file(image, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_images_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="would overwrite the results of"):
        inputs.check_names([tmp_path / "x" / "a.nii", tmp_path / "y" / "a.nii.gz"], tmp_path)


def test_an_image_without_a_brain_is_refused_by_name(network, tmp_path, monkeypatch, capsys):
    nothing = np.full((20, 20, 20), 90, np.float32)
    nothing[0] = 1  # all but this is too bright for a brain
    write_nifti(tmp_path / "full.nii.gz", nothing)
    assert run(monkeypatch, tmp_path / "full.nii.gz", "--out", tmp_path / "out") == 1
    assert "--mask" in capsys.readouterr().err
    assert run(monkeypatch, tmp_path / "missing.nii.gz", "--out", tmp_path / "out") == 1
    assert (
        run(
            monkeypatch,
            tmp_path / "nowhere" / "*.nii.gz",
            "--out",
            tmp_path / "out",
            "--weights",
            tmp_path / "no.weights.h5",
        )
        == 2
    )


def test_nothing_of_the_users_is_overwritten(network, folder, tmp_path, monkeypatch, capsys):
    image, labels = ball_brain()
    mine = write_nifti(folder / "a_dseg.nii.gz", labels)
    before = mine.read_bytes()
    for options in ([], ["--mask", str(mine)], ["--mask", str(mine), "--overwrite"]):
        assert (
            run(monkeypatch, folder / "a.nii.gz", "--out", folder, "--no-report", *options) == 1
            and mine.read_bytes() == before
        )
    assert "was not made by patchseg" in capsys.readouterr().err
    assert (
        run(monkeypatch, folder / "a.nii.gz", "--out", folder, "--no-report", "--overwrite") == 0
        and mine.read_bytes() != before
    )


def test_results_beside_their_image_are_not_segmented_in_turn(
    network, tmp_path, monkeypatch, capsys
):
    write_nifti(tmp_path / "in" / "a.nii.gz", ball_brain()[0])
    for _ in range(2):
        assert run(monkeypatch, tmp_path / "in", "--out", tmp_path / "in", "--no-report") == 0
    assert [path.name for path in inputs.find([tmp_path / "in"])] == ["a.nii.gz"]


def test_a_folder_that_cannot_be_written_to_is_named_before_the_work(
    network, folder, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("")
    assert run(monkeypatch, folder, "--out", tmp_path / "file" / "out") == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_odd_records_in_the_folder_are_left_alone(network, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    for number, text in enumerate(
        [
            "[]",
            "null",
            "3",
            '{"verdict": "odd", "qc": [], "provenance": {}}',
            '{"request": []}',
            "[" * 100000,
        ]
    ):
        (out / f"odd{number}_dseg.json").write_text(text)
    assert run(monkeypatch, folder / "a.nii.gz", "--out", out, "--no-report") == 0
    assert pd.read_csv(out / "qc.tsv", sep="\t").image.tolist() == ["a"]


@pytest.mark.parametrize("name", ["a_dseg.json", "a_volumes.tsv", "a_dseg.nii.gz", *cohort.OWN])
def test_files_of_others_stay(network, folder, tmp_path, monkeypatch, capsys, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"mine": 1}')
    assert run(monkeypatch, folder / "a.nii.gz", "--out", out, "--no-report") in (1, 2)
    assert (out / name).read_text() == '{"mine": 1}' and name in capsys.readouterr().err


def test_a_corrected_result_stays_and_a_damaged_one_is_made_again(
    network, folder, tmp_path, monkeypatch, capsys
):
    out, words = tmp_path / "out", (folder / "a.nii.gz", "--out", tmp_path / "out", "--no-report")
    assert run(monkeypatch, *words) == 0
    dseg, whole = out / "a_dseg.nii.gz", (out / "a_dseg.nii.gz").read_bytes()
    dseg.write_bytes(whole[:-20])
    assert run(monkeypatch, *words) == 0 and dseg.read_bytes() == whole
    image = nib.load(dseg)
    corrected = np.asarray(image.dataobj).copy()
    corrected[20, 18, 16] = 1
    nib.save(nib.Nifti1Image(corrected, image.affine, image.header), dseg)
    mine = dseg.read_bytes()
    assert run(monkeypatch, *words) == 0 and dseg.read_bytes() == mine
    assert run(monkeypatch, *words, "--scale", "1.25") == 1 and dseg.read_bytes() == mine
    assert "was changed after patchseg had made it" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--scale", "1.25", "--overwrite") == 0
    assert dseg.read_bytes() != mine


def test_a_result_is_not_saved_over_its_image(network, folder):
    from patchseg.inference.segmentation import segment

    image = folder / "a_dseg.nii.gz"
    (folder / "a.nii.gz").rename(image)
    before, result = image.read_bytes(), segment(image)
    with pytest.raises(InputError, match="would take the place of the image"):
        result.save(folder, "a", overwrite=True)
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "name"),
    [("segment", "a_report.html"), ("extract", "a_desc-brain_report.html")],
)
def test_a_page_of_somebody_else_stays(
    command, name, network, folder, tmp_path, monkeypatch, capsys
):
    page = tmp_path / "out" / name
    page.parent.mkdir()
    page.write_text("<html>what another program says of a</html>")
    words = [command, str(folder / "a.nii.gz"), "--out", str(page.parent)]

    def code(*more):
        monkeypatch.setattr(sys, "argv", ["patchseg", *words, *more])
        with pytest.raises(SystemExit) as done:
            main.main()
        return done.value.code or 0

    assert code() == 1 and "another program" in page.read_text()
    assert f"{name}: is there already and was not made by patchseg" in capsys.readouterr().err
    assert code("--overwrite") == 0 and "another program" not in page.read_text()
    assert code("--overwrite") == 0 and b"patchseg" in page.read_bytes()
    page.with_name(page.name.replace("report.html", "dseg.json")).unlink(missing_ok=True)
    assert code() == 0


@pytest.mark.parametrize("command", ["segment", "extract"])
def test_nothing_computes_for_a_missing_file_or_what_is_there(
    command, network, folder, tmp_path, monkeypatch, capsys
):
    started = []
    monkeypatch.setattr(cli_options, "compute_with", started.append)
    words = [command, "--out", str(tmp_path / "out"), *["--no-report"] * (command == "segment")]

    def run(name):
        monkeypatch.setattr(sys, "argv", ["patchseg", *words, str(folder / name)])
        with pytest.raises(SystemExit) as done:
            main.main()
        return done.value.code or 0, len(started)

    assert run("nothere.nii.gz") == (1, 0)
    assert "nothere.nii.gz: no such file" in capsys.readouterr().err
    assert run("a.nii.gz") == (0, 1) and run("a.nii.gz") == (0, 1)


def test_the_report_of_a_link_to_an_image_is_that_of_its_own_name(tmp_path, monkeypatch):
    """Datasets that git-annex or DataLad keep are links to files with names of their own."""
    monkeypatch.chdir(tmp_path)
    Path("a_T1w.nii.gz").symlink_to("annex-key.nii.gz")
    given = batch._parameters(Path("a_T1w.nii.gz"), Path("out"), None, {})
    assert given["image"] == str(tmp_path / "a_T1w.nii.gz")


def test_an_image_that_kills_its_process_fails_alone(tmp_path, capsys):
    names = ["greedy", "a", "b", "c", "d"]
    images = [tmp_path / "in" / f"{name}.nii" for name in names]
    images[0].parent.mkdir()
    for image in images:
        image.touch()
    outcomes = batch.run(images, tmp_path, [None] * 5, 2, one=kill_some)
    assert [outcome.failed for outcome in outcomes] == [True, False, False, False, False]
    assert "greedy.nii: its process was killed, also when it ran by itself" in outcomes[0].reasons
    assert unfinished.find(tmp_path) == {"greedy": outcomes[0].reasons}
    begun = (tmp_path / "begun.txt").read_text().split()
    assert begun.count("greedy.nii") == 2 and set(begun) == {image.name for image in images}
    listed = (tmp_path / "qc.tsv").read_text()
    assert "greedy" in listed and "its process was killed" in listed


def test_results_by_function_and_by_command_are_the_same_request(
    network, folder, tmp_path, monkeypatch, capsys
):
    outputs.segment_file(folder / "a.nii.gz", tmp_path / "out")
    assert run(monkeypatch, folder / "a.nii.gz", "--out", tmp_path / "out", "--no-report") == 0
    assert "kept" in capsys.readouterr().out


def test_relative_paths_of_the_notebook(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert places.base_folder() == tmp_path / "notebooks"
    (tmp_path / "dvc.yaml").write_text("")
    assert places.base_folder() == tmp_path


def test_an_unexpected_error_becomes_a_row(network, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(outputs, "segment", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    assert run(monkeypatch, folder / "a.nii.gz", "--out", tmp_path / "out") == 1
    assert "not enough memory" in capsys.readouterr().err
    monkeypatch.setattr(
        outputs, "segment", lambda *_, **__: (_ for _ in ()).throw(ZeroDivisionError("odd"))
    )
    assert run(monkeypatch, folder / "a.nii.gz", "--out", tmp_path / "out") == 1
    assert "ZeroDivisionError: odd; please report" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_by_itself_writes_reports_that_a_browser_shows(folder, tmp_path):
    """With the real network, two processes and no viewer; the pages are opened in Chromium."""
    out, without = tmp_path / "out", tmp_path / "without"
    without.mkdir()
    (without / "ipyniivue.py").write_text("raise ModuleNotFoundError('not installed')")
    command = [
        sys.executable,
        "-m",
        "patchseg",
        "segment",
        str(folder),
        "--out",
        str(out),
        "--jobs",
        "2",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PATCHSEG_PROGRESS": "off", "PYTHONPATH": str(without)},
    )
    assert (
        done.returncode == 1
        and "2 of 3 images segmented" in done.stdout
        and "Traceback" not in done.stderr
        and "TensorFlow" not in done.stderr
        and "0000 00:00" not in done.stderr
    )
    record = json.loads((out / "a_dseg.json").read_text())
    assert record["request"]["weights_sha256"] == record["provenance"]["weights_sha256"]
    assert not [path for path in out.rglob(".*") if path.name != ".bidsignore"]
    _open_in_browser(out)


def _open_in_browser(out):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine: the pages were written, not looked at")
    from playwright.sync_api import sync_playwright

    errors = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        page = chromium.new_page()
        page.on(
            "console",
            lambda message: errors.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(("file:", "data:")) else errors.append(request.url)
            ),
        )
        page.goto((out / "a_report.html").as_uri())
        drawn = page.evaluate(
            "[...document.images].map(image => image.complete && image.naturalWidth > 100)"
        )
        assert len(drawn) == 7 and all(drawn)
        assert "Traceback" not in page.inner_text("body") and "segment_file" not in page.inner_text(
            "body"
        )
        _use(page, out)
        page.goto((out / "index.html").as_uri())

        def names():
            cells = page.locator("tbody tr:not([hidden]) td.image")
            return [cell.text_content() for cell in cells.all()]

        assert names()[0] == "broken" and page.locator("td img").count() == 2
        page.click("th:nth-child(3) button")
        assert names() == ["a", "b", "broken"]
        page.click("th:nth-child(3) button")
        assert names() == ["broken", "b", "a"]
        assert page.get_attribute("th:nth-child(3)", "aria-sort") == "descending"
        assert page.locator("figure circle").count() == 2 * page.locator("figure").count() > 20
        page.uncheck("input[value=failed]")
        page.fill("input[type=search]", "A")
        assert "a" in names() and "broken" not in names()
        page.fill("input[type=search]", "")
        page.click("tbody tr:last-child a")
        page.wait_for_url("**/a_report.html")
        chromium.close()
    assert not errors


def _use(page, out):
    """Move the slider of a report, hide its lines and follow its links."""
    slice_, lines = page.locator(".slice"), page.locator(".lines")
    before, first = slice_.screenshot(), int(page.locator("output").text_content())
    slice_.click()
    page.keyboard.press("ArrowRight")
    page.locator(f"output:text-is('{first + 1}')").wait_for()
    assert slice_.screenshot() != before
    page.uncheck("input[type=checkbox]")
    assert lines.is_hidden()
    assert [link.is_visible() for link in page.locator("nav a").all()] == [True, False, True]
    page.click("nav [rel=next]")
    page.wait_for_url("**/b_report.html")
    page.click("nav [rel=prev]")
    page.wait_for_url("**/a_report.html")
    page.click("nav a:first-of-type")
    page.wait_for_url("**/index.html")


def test_a_report_is_one_small_page_that_lists_no_code(network, folder, tmp_path, monkeypatch):
    (folder / "a.nii.gz").rename(folder / "sub-1_ses-2_T1w.nii.gz")
    images, out = (folder / "sub-1_ses-2_T1w.nii.gz", folder / "b.nii.gz"), tmp_path / "out"
    assert run(monkeypatch, *images, "--out", out) == 0
    deep = "sub-1/ses-2/anat/sub-1_ses-2_report.html"
    page, beside = (out / deep).read_text(), (out / "b_report.html").read_text()
    assert len(page) < 2.5e6 and "http://" not in page.replace("http://www.w3.org", "")
    assert "segment_file" not in page and "Traceback" not in page and "patchseg-slices" in page
    assert 'src="../../../reports.js"' in page and 'href="../../../index.html"' in page
    assert 'src="reports.js"' in beside and 'data-name="b"' in beside
    listed = (out / "reports.js").read_text()
    assert listed.startswith("const patchsegReports = ") and listed.endswith(";\n")
    assert json.loads(listed[24:-2]) == [["b", "b_report.html"], ["sub-1_ses-2", deep]]
    assert (out / "log" / "b.txt").read_text() == ""


def test_a_report_that_fails_is_a_failed_image_whose_log_says_why(
    network, folder, tmp_path, monkeypatch, capsys
):
    from patchseg import figures

    monkeypatch.setattr(figures, "slider", lambda *_: 1 / 0)
    assert run(monkeypatch, folder / "a.nii.gz", "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "report: ZeroDivisionError: division by zero (cell cell-06; other messages:" in said
    assert "ZeroDivisionError" in (tmp_path / "out" / "log" / "a.txt").read_text()
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.name != ".bidsignore"]


def test_the_report_needs_its_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "__file__", str(tmp_path / "patchseg" / "inference" / "report.py"))
    with pytest.raises(InputError, match="the notebook of the report is missing"):
        report.notebook()
