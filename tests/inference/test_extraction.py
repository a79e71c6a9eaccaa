import json
import os
import re
import shutil
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from conftest import Shells, ball_brain, ball_head, nightly_but, write_nifti
from typer.testing import CliRunner

import patchseg
from patchseg import checkpoint, figures
from patchseg.adaptation import reading
from patchseg.cli.main import app
from patchseg.core.errors import InputError
from patchseg.datasets import brains, heads
from patchseg.images import head
from patchseg.inference import extraction, inputs, mask_files, networks
from patchseg.inference import mask as masks


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_brain_of_a_head_is_found_to_a_part_of_a_voxel():
    image, brain = ball_head()
    found = extraction.find(Shells(), image, (1, 1, 1))
    assert dice(found.mask, brain) > 0.97 and found.pieces == 1
    # the shell's share of the volume: 1 - (0.5 / 0.75)^3
    assert found.other == pytest.approx(0.704, abs=0.15)  # edges of the shell look like brain
    assert found.agreement > 0.95 and found.sharpness > 0.9


def test_all_48_orders_and_directions_of_the_axes_give_one_answer():
    image, brain = ball_head(at=(0.1, -0.15, 0.2), shape=(40, 44, 36))
    image[25:, 25:] = 0  # nothing symmetrical
    first = extraction.find(Shells(), image, (1, 1.5, 2)).mask
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        turned = image.transpose(order)[tuple(slice(None, None, one) for one in flips)]
        voxel_mm = np.array((1, 1.5, 2))[list(order)]
        found = extraction.find(Shells(), turned, voxel_mm).mask
        back = found[tuple(slice(None, None, one) for one in flips)].transpose(np.argsort(order))
        assert dice(back, first) > 0.96


def test_thick_slices_keep_their_grid():
    image, brain = ball_head((64, 60, 12))
    found = extraction.find(Shells(0.5, 0.8), image, (1, 1, 5))
    assert found.mask.shape == image.shape and dice(found.mask, brain) > 0.9


def test_an_extracted_brain_is_no_head_and_is_left_alone(heads_network):
    image, labels = ball_brain()
    inside, found = masks.inside(image, (1, 1, 1))
    assert found is None and np.array_equal(inside, labels > 0)
    image, brain = ball_head()
    inside, found = masks.inside(image, (1, 1, 1))
    assert found.other > masks.HEAD and dice(inside, brain) > 0.97
    inside, found = masks.inside(image, (1, 1, 1), extract="never")
    assert found is None and np.array_equal(inside, image > 0)


def test_two_brains_are_told():
    one, brain = ball_head((40, 40, 40))
    four = np.concatenate([np.concatenate([one, one]), np.concatenate([one, one])], axis=1)
    found = extraction.find(Shells(0.55, 0.65), four, (1, 1, 1))
    assert found.pieces == 4
    checks = masks.table(found, 20).set_index("check")
    assert checks.verdict["brains"] == "look" and "4 brains" in checks.reason["brains"]
    for number, (x, y) in enumerate(product((0, 40), (0, 40)), start=1):  # left to right first
        found = extraction.find(Shells(0.55, 0.65), four, (1, 1, 1), number)
        wanted = np.zeros_like(four, bool)
        wanted[x : x + 40, y : y + 40] = brain
        assert dice(found.mask, wanted) > 0.9 and found.pieces == 1
    with pytest.raises(InputError, match="brain 5 was asked for, there seem to be 4"):
        extraction.find(Shells(0.55, 0.65), four, (1, 1, 1), 5)


def test_a_brain_that_the_first_look_does_not_find_is_looked_for_closer():
    class Dim(Shells):
        looks = 0

        def predict_on_batch(self, x):
            self.looks += 1
            seen = super().predict_on_batch(x)
            if self.looks <= 2 * len(extraction.FLIPS):  # the gate and the first look
                seen[..., 1] += seen[..., 2]
                seen[..., 2] = 0
            return seen

    image, brain = ball_head()
    network = Dim()
    found = extraction.find(network, image, (1, 1, 1))
    assert dice(found.mask, brain) > 0.97 and found.pieces == 1
    assert network.looks >= 4 * len(extraction.FLIPS)  # the second, and one from near


@pytest.mark.parametrize(("size_mm", "verdict", "says"), [
    (7.7, "good", ""),
    (460, "look", "voxels 0.1 times as long .* like a macaque's"),
    (0.0077, "look", "voxels 1000 times as long .* like a mouse's"),
    (1000, "look", "voxels 0.1 times as long .* like a human's"),
    (1e6, "look", "check the voxel size and the mask$"),
])  # fmt: skip
def test_a_brain_of_no_animals_size_is_told_with_the_factor(size_mm, verdict, says):
    one, _ = ball_head((40, 40, 40))
    found = extraction.find(Shells(0.55, 0.65), one, (1, 1, 1))
    row = masks.table(found, size_mm).set_index("check").loc["brain size (mm)"]
    assert row.verdict == verdict and re.search(says, row.reason)


@pytest.mark.parametrize(("image", "says"), [
    (np.zeros((20, 20, 20)), "every voxel is 0"),
    (np.full((20, 20, 20), 7.0), "every voxel is 7"),
    (np.pad(np.ones((4, 4, 4)), 8), "no brain is found .*--extract never"),
], ids=["empty", "even", "phantom"])  # fmt: skip
def test_an_image_without_a_brain_is_refused(image, says, heads_network):
    with pytest.raises(InputError, match=rf"x\.nii: {says}"):
        masks.find(image.astype(np.float32), (1, 1, 1), "x.nii")


def test_an_even_phantom_that_looks_like_an_extracted_brain_is_told(monkeypatch):
    monkeypatch.setattr(networks, "load_heads", lambda path, precision: Shells(0.05, 2.0))
    image, labels = ball_brain()
    even = np.where(labels > 0, 100, 0).astype(np.float32)
    checks = patchseg.extract(nib.Nifti1Image(even, np.eye(4))).qc.set_index("check")
    assert checks.verdict["contrast inside"] == "look"
    assert "is it a phantom?" in checks.reason["contrast inside"]
    checks = patchseg.extract(nib.Nifti1Image(image, np.eye(4))).qc.set_index("check")
    assert checks.verdict["contrast inside"] == "good"


def test_brightness_does_not_depend_on_the_scale_or_the_offset():
    image, _ = ball_head()
    noisy = image + np.random.default_rng(0).normal(0, 1, image.shape)
    first = head.scaled(noisy)
    assert np.allclose(head.scaled(noisy * 1000 - 50), first, atol=1e-4)
    assert first.min() == 0 and np.percentile(first[image == 100], 50) == pytest.approx(1, abs=0.05)


def test_pieces_are_in_the_order_of_their_size():
    probability = np.zeros((9, 3, 3))
    probability[0], probability[3:6], probability[8, :2] = 0.9, 0.8, 1
    labels, sizes = head.pieces(probability)
    assert labels[:, 0, 0].tolist() == [2, 0, 0, 1, 1, 1, 0, 0, 3]
    assert sizes == pytest.approx([21.6, 8.1, 6])


def test_extract_gives_the_brain_on_the_grid_of_the_image(heads_network):
    image, brain = ball_head()
    affine = np.array([[0, 0, 2, 5], [-1, 0, 0, 7], [0, 1.5, 0, 9], [0, 0, 0, 1.0]])
    found = patchseg.extract(nib.Nifti1Image(image, affine))
    mask = np.asarray(found.mask.dataobj) > 0
    assert np.allclose(found.mask.affine, affine) and dice(mask, brain) > 0.95
    kept = np.asarray(found.brain.dataobj)
    assert np.array_equal(kept, np.where(mask, image, 0)) and found.head
    unsure = np.asarray(found.uncertainty.dataobj)
    assert unsure[mask].max() <= 1 and unsure[30, 27, 25] < 0.01
    assert found.verdict in repr(found)


def test_segment_finds_the_brain_of_a_head_and_says_so(network):
    image, brain = ball_head()
    result = patchseg.segment(nib.Nifti1Image(image, np.eye(4)))
    found = np.asarray(result.dseg.dataobj) > 0
    assert dice(found, brain) > 0.97 and "found by patchseg" in result.provenance["brain"]
    assert "two looks agree" in list(result.qc.check)
    assert list(result.qc.check).count("clipped") == 1
    given = patchseg.segment(nib.Nifti1Image(image, np.eye(4)), extract="never")
    assert (np.asarray(given.dseg.dataobj) > 0).sum() == (image > 0).sum()
    assert "not background" in given.provenance["brain"]
    with pytest.raises(InputError, match="extract 'perhaps' is unknown; use auto, always, never"):
        patchseg.segment(nib.Nifti1Image(image, np.eye(4)), extract="perhaps")


def test_the_command_says_that_it_found_the_brain(network, tmp_path):
    image, _ = ball_head()
    ball, _ = ball_brain()
    for name, data in (("head", image), ("ball", ball)):
        write_nifti(tmp_path / f"{name}.nii.gz", data)
        path, out = str(tmp_path / f"{name}.nii.gz"), str(tmp_path / "out")
        said = CliRunner().invoke(app, ["segment", path, "--out", out, "--no-report"]).output
        assert ("a whole head" in said) == (name == "head"), said


def test_a_named_brain_gets_files_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "load_heads", lambda *_: Shells(0.55, 0.65))
    one, brain = ball_head((40, 40, 40))
    path, out = tmp_path / "two.nii.gz", tmp_path / "out"
    nib.save(nib.Nifti1Image(np.concatenate([one, one]), np.eye(4)), path)
    said = CliRunner().invoke(app, ["extract", str(path), "--out", str(out), "--brain", "2"])
    assert said.exit_code == 0, said.output
    found = np.asarray(nib.load(out / "two_desc-brain2_mask.nii.gz").dataobj) > 0
    assert dice(found[40:], brain) > 0.9 and not found[:36].any()
    said = CliRunner().invoke(app, ["extract", str(path), "--out", str(out), "--brain", "3"])
    assert said.exit_code == 1 and "brain 3 was asked for, there seem to be 2" in said.output


def test_segment_looks_for_the_brain_with_weights_of_ones_own(network, tmp_path, monkeypatch):
    image, brain = ball_head()
    path = write_nifti(tmp_path / "head.nii.gz", image)
    own = tmp_path / "own.weights.h5"
    for end in (".weights.h5", ".json"):
        source = checkpoint.HEADS.with_name(f"heads{end}")
        shutil.copy(source, tmp_path / f"own{end}")
    asked = []
    monkeypatch.setattr(
        networks, "load_heads", lambda path=None, precision="auto": asked.append(path) or Shells()
    )
    words = ["segment", str(path), "--out", str(tmp_path / "out"), "--no-report"]
    done = CliRunner().invoke(app, [*words, "--brain-weights", str(own)], catch_exceptions=False)
    assert done.exit_code == 0 and set(asked) == {str(own)}
    refused = CliRunner().invoke(app, [*words, "--brain-weights", str(checkpoint.SHIPPED)])
    assert "not weights that find the brain in a head" in str(refused.exception)


def test_files_are_written_once_and_nothing_foreign_is_replaced(heads_network, tmp_path):
    image, _ = ball_head()
    path, out = write_nifti(tmp_path / "sub-1_T1w.nii.gz", image), tmp_path / "out"
    said, status = mask_files.extract_file(path, out)
    place = mask_files.BrainPlace(path, out)
    there = place.images()
    assert status == "done" and said["head"]
    assert [there[name].name for name in ("mask", "brain")] == [
        "sub-1_desc-brain_mask.nii.gz", "sub-1_desc-brain_T1w.nii.gz"
    ]  # fmt: skip
    assert json.loads(place.record.read_text())["Sources"] == ["sub-1_T1w.nii.gz"]
    page = place.report.read_text()
    assert "a whole head" in page and "data:image/jpeg" in page and "http" not in page
    assert mask_files.extract_file(path, out)[1] == "kept"
    corrected = nib.load(there["mask"])
    corrected = nib.Nifti1Image(1 - np.asarray(corrected.dataobj), None, corrected.header)
    nib.save(corrected, there["mask"])
    before = there["mask"].read_bytes()
    assert mask_files.extract_file(path, out)[1] == "kept" and there["mask"].read_bytes() == before
    assert mask_files.extract_file(path, out, overwrite=True)[1] == "done"
    assert there["mask"].read_bytes() != before


def test_the_command_tells_each_image_and_goes_on_after_a_bad_one(heads_network, tmp_path):
    image, _ = ball_head()
    brain, _ = ball_brain()
    for name, data in {"head": image, "brain": brain, "empty": np.zeros((9, 9, 9))}.items():
        write_nifti(tmp_path / f"{name}.nii.gz", data)
    done = CliRunner().invoke(app, ["extract", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "brain was extracted already" in done.output and "done" in done.output
    assert (tmp_path / "out" / "head_desc-brain.nii.gz").is_file()
    assert not (tmp_path / "out" / "empty_desc-brain.nii.gz").exists()


def test_an_extracted_brain_comes_back_as_it_is(heads_network):
    image, labels = ball_brain()
    found = patchseg.extract(nib.Nifti1Image(image, np.eye(4)))
    assert not found.head and np.array_equal(np.asarray(found.brain.dataobj), image)
    assert np.array_equal(np.asarray(found.mask.dataobj) > 0, labels > 0)
    assert found.verdict == "good" and not np.asarray(found.uncertainty.dataobj).any()


def test_the_page_shows_the_volume_that_was_asked_for(heads_network, tmp_path):
    image, _ = ball_head((40, 36, 30))
    both = np.stack([np.zeros_like(image), image], axis=-1)
    both[0, 0, 0, 1] = np.nan
    path = write_nifti(tmp_path / "four.nii.gz", both)
    out = tmp_path / "out"
    said, _ = mask_files.extract_file(path, out, volume=1, nan_as_background=True)
    place = mask_files.BrainPlace(path, out)
    assert said["head"] and place.report.is_file() and place.record.is_file()
    assert (tmp_path / "out" / "dataset_description.json").is_file()


def test_weights_of_another_kind_are_refused_before_the_work(tmp_path):
    image, _ = ball_head((40, 36, 30))
    path = write_nifti(tmp_path / "head.nii.gz", image)
    weights = ["--weights", str(checkpoint.SHIPPED), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["extract", str(path), *weights])
    assert "not weights that find the brain" in str(done.exception)


def test_another_image_of_the_same_name_or_a_foreign_record_is_left_alone(heads_network, tmp_path):
    image, _ = ball_head()
    first = write_nifti(tmp_path / "a" / "ferret.nii.gz", image)
    other = write_nifti(tmp_path / "b" / "ferret.nii.gz", image[::-1].copy() * 2)
    mask_files.extract_file(first, tmp_path / "out")
    with pytest.raises(InputError, match="made from another image of the same name"):
        mask_files.extract_file(other, tmp_path / "out")
    record = tmp_path / "own" / "ferret_desc-brain_mask.json"
    record.parent.mkdir()
    record.write_text('{"mine": 1}')
    with pytest.raises(InputError, match="was not made by patchseg"):
        mask_files.extract_file(first, record.parent)
    assert record.read_text() == '{"mine": 1}'


def test_a_killed_run_goes_on(heads_network, tmp_path):
    image, _ = ball_head()
    path = write_nifti(tmp_path / "ferret.nii.gz", image)
    mask_files.extract_file(path, tmp_path / "out")
    place = mask_files.BrainPlace(path, tmp_path / "out")
    place.record.unlink()
    place.images()["probability"].unlink()
    assert mask_files.extract_file(path, tmp_path / "out")[1] == "done"
    assert all(file.is_file() for file in place.files())


def test_a_thin_stack_is_taken_for_extracted_and_its_report_is_drawn(heads_network, tmp_path):
    image, labels = ball_brain((40, 36, 32))
    thin = image[:, :, 15:17]
    mask, found = masks.inside(thin, (1, 1, 1))
    assert found is None and np.array_equal(mask, labels[:, :, 15:17] > 0)
    with pytest.raises(InputError, match=r"x\.nii: too few slices .*by hand"):
        masks.inside(thin, (1, 1, 1), "x.nii", extract="always")
    with pytest.raises(InputError, match="100% of the voxels are not background"):
        masks.inside(np.random.default_rng(0).random((20, 20, 2)) + 1, (1, 1, 1))
    one = figures.outlines(image[:, :, 15:16] / 100, {"brain": labels[:, :, 15:16] > 0}, (1, 1, 1))
    assert [text.get_text() for text in one.texts].count("z = 0") == 1  # the only slice, once


def test_a_z_scored_brain_is_as_bright_as_before():
    image, labels = ball_brain()
    inside = labels > 0
    scored = np.where(inside, (image - image[inside].mean()) / image[inside].std(), 0)
    seen = head.scaled(scored.astype(np.float32))
    assert (seen[~inside] == 0).all() and (seen[inside] > 0.08).all()


def test_adapting_sees_the_brain_that_segment_sees(heads_network):
    image, brain = ball_head()
    labels = np.where(brain, 2, 0).astype(np.uint8)
    labels[:, :27] = 0
    given = [nib.Nifti1Image(part, np.eye(4)) for part in (image, labels)]
    one = reading.read(*given)
    assert dice(one.mask, brain) > 0.97
    assert np.array_equal(reading.read(*given, extract="never").mask, image > 0)
    with pytest.raises(InputError, match="extract 'perhaps' is unknown"):
        reading.read(*given, extract="perhaps")


REAL = os.environ.get("PATCHSEG_ZOO")


@pytest.mark.skipif(not REAL, reason="PATCHSEG_ZOO names no folder with real brains")
@pytest.mark.parametrize(
    "name",
    nightly_but(
        ["mouse-fvb-2", "head-mouse-2", "head-macaque-yerkes-t2"],
        ["mni", "chimp", "macaque-4mo", "mouse-fvb-2", *heads.entries()],
    ),
)
def test_the_gate_of_the_package_tells_brains_from_heads(name):
    one = brains.load(name)
    is_head = name.startswith("head-")
    images = {"plain": one.image}
    if not is_head:
        inside = one.mask
        scored = (one.image - one.image[inside].mean()) / one.image[inside].std()
        images["z-scored"] = np.where(inside, scored, 0).astype(np.float32)
    for kind, image in images.items():
        other = masks.share_of_other(image, one.voxel_mm)
        assert (other > masks.HEAD) == is_head, (kind, other)
    if is_head:
        assert dice(masks.find(one.image, one.voxel_mm).mask, one.mask) > 0.8
    else:
        slice_ = one.image[:, :, one.image.shape[2] // 2][..., None]
        assert masks.inside(slice_, one.voxel_mm)[1] is None


def test_what_extract_writes_beside_an_image_is_no_image(heads_network, tmp_path):
    image, _ = ball_head()
    path = write_nifti(tmp_path / "ferret.nii.gz", image)
    mask_files.extract_file(path, tmp_path)
    assert inputs.find([tmp_path]) == [path]
    scan = write_nifti(tmp_path / "ds" / "sub-01" / "anat" / "sub-01_T1w.nii.gz", image)
    mask_files.extract_file(scan, tmp_path / "ds")
    assert inputs.find([tmp_path / "ds"]) == [scan]
