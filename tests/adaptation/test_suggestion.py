import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, write_nifti
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import patchseg
from patchseg.adaptation import planes, suggestion
from patchseg.adaptation.choice import Profile, choose, why
from patchseg.cli import main
from patchseg.core.errors import InputError
from patchseg.images import grid, volume
from patchseg.inference import inputs


def slices(unsure, area, n, taken=()):
    """Slices of one brain."""
    return [number for _, number, _ in choose([Profile(unsure, area, list(taken))], n)]


@given(
    st.lists(st.floats(0, 1), min_size=12, max_size=60),
    st.integers(1, 4),
    st.sets(st.integers(0, 11), max_size=3),
)
def test_chosen_slices_are_distinct_hold_brain_and_are_not_labelled_yet(unsure, n, taken):
    area = np.full(len(unsure), 100)
    area[:2] = 1
    chosen = slices(np.array(unsure), area, n, sorted(taken))
    assert len(set(chosen)) == n and not set(chosen) & (taken | {0, 1})


def test_the_unsure_end_of_a_brain_is_chosen_first():
    unsure = np.r_[np.full(50, 0.1), np.full(50, 1.0)]
    assert slices(unsure, np.ones(100), 1)[0] > 55
    assert slices(unsure, np.ones(100), 1, taken=[75])[0] != 75
    with pytest.raises(InputError, match="101 slices: between 1 and 100 of this brain"):
        slices(unsure, np.ones(100), 101)


def test_suggestion_tells_the_voxel_of_the_file_and_proposes_labels_there_only(network):
    image, labels = ball_brain()
    plain = nib.Nifti1Image(image, np.eye(4))
    found = patchseg.suggest(plain, 2)
    proposal = np.asarray(found.proposal().dataobj)
    assert found.plane == "coronal" and found.voxels == [("j", number) for number in found.slices]
    assert found.names() == [f"j = {number}" for number in found.slices]
    assert np.flatnonzero(proposal.any(axis=(0, 2))).tolist() == sorted(found.slices)
    assert np.array_equal(proposal[:, found.slices], labels[:, found.slices])
    turned = plain.as_reoriented(
        np.array([[1, 1], [0, -1], [2, 1]])
    )  # the file's first axis runs from front to back
    again = patchseg.suggest(turned, 2)
    assert again.voxels == [("i", 35 - number) for number in again.slices]
    axis = np.take(np.asarray(again.proposal().dataobj), again.voxels[0][1], 0)
    assert axis.any()


def test_what_is_labelled_is_not_suggested_again(network):
    image, labels = ball_brain()
    plain = nib.Nifti1Image(image, np.eye(4))
    first = patchseg.suggest(plain, 1)
    filled = suggestion.fill_in(first, nib.Nifti1Image(labels, np.eye(4)))
    second = patchseg.suggest(plain, 1, labelled=filled)
    assert abs(second.slices[0] - first.slices[0]) > 2
    both = grid.ras(suggestion.fill_in(second, nib.Nifti1Image(labels, np.eye(4)), filled))[0]
    assert np.flatnonzero(both.any(axis=(0, 2))).tolist() == sorted(first.slices + second.slices)


def test_labels_in_the_place_of_their_coding_are_refused(tmp_path):
    with pytest.raises(InputError, match="a_labels.nii.gz"):
        patchseg.suggest(tmp_path / "a.nii.gz", labels=tmp_path / "a_labels.nii.gz")


def test_the_plane_with_the_finest_pixels_is_painted_in(network):
    image, _ = ball_brain((40, 36, 20))
    assert patchseg.suggest(nib.Nifti1Image(image, np.diag([0.5, 0.5, 1, 1])), 1).plane == "axial"
    with pytest.raises(InputError, match="plane 'oblique' is unknown"):
        patchseg.suggest(nib.Nifti1Image(image, np.eye(4)), 1, plane="oblique")


def test_command_writes_files_to_paint_in_and_leaves_painted_ones_alone(network, tmp_path):
    image, labels = ball_brain()
    path = write_nifti(tmp_path / "ferret.nii.gz", image)
    done = CliRunner().invoke(main.app, ["suggest", str(path), "--slices", "2"])
    assert (
        done.exit_code == 0
        and "coronal slice j = " in done.output
        and "patchseg adapt" in done.output
    )
    empty = tmp_path / "ferret_labels.nii.gz"
    assert not np.asarray(nib.load(empty).dataobj).any() and np.allclose(
        nib.load(empty).affine, np.eye(4)
    )
    assert (
        np.asarray(nib.load(tmp_path / "ferret_proposal.nii.gz").dataobj).any()
        and (tmp_path / "ferret_suggest.png").stat().st_size > 5000
    )
    write_nifti(empty, labels)
    corrected = write_nifti(tmp_path / "ferret_proposal.nii.gz", labels).read_bytes()
    again = CliRunner().invoke(main.app, ["suggest", str(path)])
    assert (
        tmp_path / "ferret_proposal.nii.gz"
    ).read_bytes() == corrected and "ferret_proposal-2.nii.gz" in again.output
    assert inputs.find(sorted(tmp_path.glob("*.nii.gz"))) == inputs.find([tmp_path]) == [path]
    assert np.array_equal(nib.load(empty).dataobj, labels)


def test_a_volume_of_a_series_with_holes_can_be_suggested_from_and_learned(network, tmp_path):
    image, _ = ball_brain()
    holes = image.copy()
    holes[0, 0, 0] = np.nan
    path = write_nifti(tmp_path / "series.nii.gz", np.stack([0 * image, holes], axis=-1))
    refused = CliRunner().invoke(main.app, ["suggest", str(path)])
    assert "choose one with --volume" in str(refused.exception)
    refused = CliRunner().invoke(main.app, ["suggest", str(path), "--volume", "1"])
    assert "--nan-as-background" in str(refused.exception)
    words = ["suggest", str(path), "--volume", "1", "--nan-as-background"]
    done = CliRunner().invoke(main.app, words, catch_exceptions=False)
    assert done.exit_code == 0 and "--volume 1 --nan-as-background --name series\n" in done.output


def test_labels_of_freesurfer_are_known_as_labelled(network):
    image, labels = ball_brain()
    plain = nib.Nifti1Image(image, np.eye(4))
    first = patchseg.suggest(plain, 1)
    aseg = np.zeros(labels.shape, np.int16)
    aseg[:, first.slices] = np.choose(labels[:, first.slices], [0, 4, 3, 2])
    painted = nib.Nifti1Image(aseg, np.eye(4))
    second = patchseg.suggest(plain, 1, labelled=painted, labels="freesurfer")
    assert abs(second.slices[0] - first.slices[0]) > 2
    kept = np.asarray(second.proposal().dataobj)  # what is labelled is not lost
    assert np.array_equal(kept[:, first.slices], labels[:, first.slices])
    assert kept[:, second.slices].any()
    assert np.array_equal(second.labelled().dataobj, np.where(aseg > 0, labels, 0))


def test_the_brain_that_is_known_least_comes_first_and_labels_count_in_their_own_brain_most():
    sure, unsure = np.full(101, 0.1), np.full(101, 0.3)
    area = np.full(101, 10)
    both = [Profile(sure, area), Profile(10 * unsure, 10 * area)]  # a brain of more voxels
    assert [pair[:2] for pair in choose(both, 1)] == [(1, 50)]
    alike = [Profile(unsure, area, [50]), Profile(unsure, area)]
    assert choose(alike, 1)[0][0] == 1  # nothing is labelled there
    gains = [gain for *_, gain in choose(both, 4)]
    assert gains == sorted(gains, reverse=True) and sum(gains) < 1
    with pytest.raises(InputError, match="203 slices: between 1 and 202 of these brains"):
        choose(both, 203)


@pytest.mark.parametrize(("number", "csf", "taken", "begun", "says"), [
    (80, 0.2, [], False, "unsure overall"),
    (80, 0.8, [], False, "unsure of CSF"),
    (20, 0.8, [], False, "unsure around it"),
    (20, 0.8, [], True, "nothing is labelled in this image"),
    (80, 0.2, [75], True, "unsure overall"),
    (80, 0.2, [20], True, "unsure overall, unlike what is labelled"),
])  # fmt: skip
def test_the_reason_follows_from_what_the_network_is_unsure_of(number, csf, taken, begun, says):
    profile = Profile(np.r_[np.full(50, 1.0), np.full(50, 3.0)], np.full(100, 10), taken)
    assert why(profile, csf * profile.unsure, number, begun) == says


def noisy_ball(noise):
    """The ball as a nibabel image whose intensities overlap the more the noisier it is."""
    image, labels = ball_brain()
    rough = np.random.default_rng(1).normal(0, noise, image.shape) * (labels > 0)
    return nib.Nifti1Image(np.maximum(image + rough, labels > 0).astype(np.float32), np.eye(4))


def test_several_images_are_ranked_and_the_best_slices_of_all_are_named(network):
    plain, rough = noisy_ball(0), noisy_ball(9)
    found = patchseg.suggest([plain, rough], 1)
    assert [len(one.slices) for one in found] == [1, 0] and found[0].unsure.max() > 0.3
    assert found[0].mean_uncertainty > found[1].mean_uncertainty and found[0].result is None
    same = patchseg.suggest(rough, 1)
    assert found[0].slices == same.slices and same.result.verdict
    _, labels = ball_brain()
    begun = suggestion.fill_in(same, nib.Nifti1Image(labels, np.eye(4)))
    again = patchseg.suggest([rough, rough], 1, labelled=[begun, None])
    assert {one.labelled_slices: len(one.slices) for one in again} == {1: 0, 0: 1}
    assert again[1].reasons[0].endswith("nothing is labelled in this image")
    with pytest.raises(InputError, match="2 images and 1 label images: give a list with one"):
        patchseg.suggest([plain, rough], labelled=[begun])
    with pytest.raises(InputError, match="no image"):
        patchseg.suggest([])


def test_command_takes_several_images_and_labels_named_after_theirs(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATCHSEG_WEIGHTS", str(tmp_path / "mine"))
    for name, noise in (("a", 0), ("b", 9)):
        nib.save(noisy_ball(noise), tmp_path / f"{name}.nii.gz")
        write_nifti(tmp_path / f"{name}_mask.nii.gz", (ball_brain()[1] > 0).astype(np.uint8))
    fast = np.choose(ball_brain()[1], [0, 1, 2, 3]).astype(np.int16)
    fast[:, :17] = fast[:, 19:] = 0
    write_nifti(tmp_path / "b_labels.nii.gz", fast)
    words = ["suggest", "a.nii.gz", "b.nii.gz", "b_labels.nii.gz"]
    masks = ["--mask", "a_mask.nii.gz", "--mask", "b_mask.nii.gz"]
    done = CliRunner().invoke(main.app, [*words, *masks, "--slices", "2"], catch_exceptions=False)
    said = done.output.splitlines()
    assert [line.split()[-1] for line in said[1:3]] == ["b.nii.gz", "a.nii.gz"]
    assert said[1].split()[1:2] == ["2"] and "no slice was learned yet" in done.output
    assert "patchseg adapt b.nii.gz b_proposal.nii.gz" in said[-1] and said[-1].endswith("--name b")
    order = [word[0] for word in said[-1].split() if "_mask" in word]
    assert order == [word[0] for word in said[-1].split() if "_proposal" in word] != []
    written = {path.name for path in tmp_path.glob("*_suggest.png")}
    chosen = {line.split(":")[0] for line in said if " slice j = " in line}
    assert written == {f"{name[0]}_suggest.png" for name in chosen}
    three = [word for name in "xyz" for word in ("--labelled", f"{name}.nii.gz")]
    refused = CliRunner().invoke(main.app, [*words, *three])
    assert "2 images and 3 label images (--labelled)" in str(refused.exception)


def test_labels_in_another_coding_stay_as_they_are(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATCHSEG_WEIGHTS", str(tmp_path / "mine"))
    nib.save(noisy_ball(0), "a.nii.gz")
    aseg = np.choose(ball_brain()[1], [0, 24, 3, 2]).astype(np.int16)  # FreeSurfer's CSF, GM, WM
    aseg[:, :17] = aseg[:, 19:] = 0
    write_nifti(tmp_path / "a_labels.nii.gz", aseg)
    words = ["suggest", "a.nii.gz", "a_labels.nii.gz", "--labels", "freesurfer"]
    said = CliRunner().invoke(main.app, words, catch_exceptions=False).output
    assert "patchseg adapt a.nii.gz a_proposal.nii.gz" in said
    assert np.array_equal(volume.load_labels("a_labels.nii.gz")[0], aseg)
    kept = np.where(aseg > 0, ball_brain()[1], 0)
    assert np.array_equal(volume.load_labels("a_labels-2.nii.gz")[0], kept)
    offered = volume.load_labels("a_proposal.nii.gz")[0]
    assert np.array_equal(offered[kept > 0], kept[kept > 0]) and offered[kept == 0].any()


def test_a_second_suggestion_of_a_head_takes_the_empty_file_for_nothing(network, tmp_path):
    image = tmp_path / "a.nii.gz"
    nib.save(noisy_ball(0), image)
    first = CliRunner().invoke(main.app, ["suggest", str(image), "--what", "brain"])
    empty = tmp_path / "a_desc-brain_labels.nii.gz"
    assert first.exit_code == 0 and not volume.load_labels(empty)[0].any()
    again = CliRunner().invoke(main.app, ["suggest", str(image), str(empty), "--what", "brain"])
    assert again.exit_code == 0 and "a_desc-brain_proposal-2.nii.gz" in again.output


def test_values_that_are_no_tissue_are_refused(network, tmp_path):
    slices = 9 * ball_brain()[1]
    slices[:, :, 18:] = slices[:, :, :14] = 0
    labels = write_nifti(tmp_path / "odd.nii.gz", slices)
    with pytest.raises(InputError, match=r"odd.nii.gz: value 9, 18, 27 is no tissue"):
        patchseg.suggest(noisy_ball(0), labelled=labels)
    named = patchseg.suggest(
        noisy_ball(0), labelled=labels, labels="csf=9,gm=18,wm=27", plane="axial"
    )
    assert named.begun and not 14 <= named.slices[0] < 18


def test_names_too_long_for_the_files_are_refused_before_anything_is_written(network, tmp_path):
    image = tmp_path / f"{'n' * 240}.nii.gz"
    nib.save(noisy_ball(0), image)
    done = CliRunner().invoke(main.app, ["suggest", str(image)])
    assert "give the image a shorter name" in str(done.exception)
    assert list(tmp_path.iterdir()) == [image]


def test_a_slice_that_was_painted_in_part_is_labelled():
    where = np.zeros((20, 30, 20), bool)
    where[:, 10] = True
    where[2:6, 25, 2:6] = True  # 16 of 400 voxels
    where[3, 2, 3] = True  # a slip of the hand
    assert planes.taken(where, "coronal", np.full(30, 400)) == [10, 25]
    where[4] = True  # a slice of another plane crosses all
    assert planes.taken(where, "coronal", np.full(30, 400)) == [10]
