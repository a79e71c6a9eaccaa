import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, write_nifti
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import patchseg
from patchseg.adaptation import suggestion
from patchseg.cli import main
from patchseg.core.errors import InputError
from patchseg.images import grid
from patchseg.inference import inputs


@given(
    st.lists(st.floats(0, 1), min_size=12, max_size=60),
    st.integers(1, 4),
    st.sets(st.integers(0, 11), max_size=3),
)
def test_chosen_slices_are_distinct_hold_brain_and_are_not_labelled_yet(unsure, n, taken):
    area = np.full(len(unsure), 100)
    area[:2] = 1
    chosen = suggestion.choose(np.array(unsure), area, n, sorted(taken))
    assert len(set(chosen)) == n and not set(chosen) & (taken | {0, 1})


def test_the_unsure_end_of_a_brain_is_chosen_first():
    unsure = np.r_[np.full(50, 0.1), np.full(50, 1.0)]
    assert suggestion.choose(unsure, np.ones(100), 1)[0] > 55
    assert suggestion.choose(unsure, np.ones(100), 1, taken=[75])[0] != 75
    with pytest.raises(InputError, match="101 slices: between 1 and 100"):
        suggestion.choose(unsure, np.ones(100), 101)


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
    assert done.exit_code == 0 and "--volume 1 --nan-as-background --out" in done.output


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
