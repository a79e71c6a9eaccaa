"""Adaptation from start to end.

A small network of the sample's posterior block learns its anterior block, turned dark to bright.
"""

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, write_nifti
from typer.testing import CliRunner

import patchseg
from patchseg import checkpoint, unet
from patchseg.adaptation import fine_tuning, labelled
from patchseg.cli import adapt, main
from patchseg.core.errors import InputError
from patchseg.datasets import bids
from patchseg.inference import networks

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def few_patches(monkeypatch):
    for name, count in (("NEW", 256), ("OLD", 128)):
        monkeypatch.setattr(
            fine_tuning, name, getattr(fine_tuning, name).model_copy(update={"patches": count})
        )


def block(name, inverted=False):
    """A block of the sample as nibabel images: T1w, or its negative, and labels."""
    subject = next(one for one in bids.subjects(ROOT / "data") if one.name == f"sub-{name}")
    image, labels, affine = subject.load()
    if inverted:
        image = np.where(image > 0, 1.05 - image, 0)
    return nib.Nifti1Image((100 * image).astype(np.float32), affine), nib.Nifti1Image(
        labels, affine
    )


def one_slice(labels, *numbers):
    kept = np.zeros(labels.shape, np.uint8)
    kept[:, list(numbers)] = np.asarray(labels.dataobj)[:, list(numbers)]
    return nib.Nifti1Image(kept, labels.affine)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Weights that have seen the posterior block only."""
    path = tmp_path_factory.mktemp("parent") / "parent.weights.h5"
    architecture = {"levels": 3, "features": 12, "blocks": 1, "activation": "softmax"}
    known = {"top": 99.0, "brain_pixels": 64, "sizes_mm": [90, 110], "scores": {"a brain": 0.9}}
    import keras

    keras.utils.set_random_seed(0)
    checkpoint.save(unet.build(**architecture), architecture, path, **known)
    image, labels = block("posterior")
    given = labelled.read(image, one_slice(labels, 20, 35, 50, 65))
    network, *_ = fine_tuning.train(
        [given], networks.load(path), steps=120, replay=0, fixed=(), learning_rate=0.01, kept=1.0
    )
    checkpoint.save(network, architecture, path, **known)
    return path


def dice(weights_path, image, labels, without=()):
    found = np.asarray(patchseg.segment(image, weights=weights_path, head_check=False).dseg.dataobj)
    truth = np.asarray(labels.dataobj).copy()
    truth[:, list(without)] = 0
    given = labelled.Labelled("x", found, found > 0, truth, (1, 1, 1))
    return fine_tuning._dice([given], [found])


def test_one_slice_teaches_a_contrast_that_the_network_has_never_seen(parent, tmp_path):
    image, labels = block("anterior", inverted=True)
    before = dice(parent, image, labels, [25])
    rounds = []
    out = patchseg.adapt(
        image,
        one_slice(labels, 25),
        parent,
        tmp_path / "new.weights.h5",
        steps=80,
        on_round=lambda history: rounds.append(len(history)),
    )
    after = dice(out, image, labels, [25])
    print(before, after)
    assert np.mean(list(after.values())) > np.mean(list(before.values())) + 0.2
    assert rounds == [1, 2, 3, 4]
    known = checkpoint.read_card(out)
    assert (
        known["parent"] == checkpoint.read_card(parent)["sha256"]
        and known["steps"] == 80
        and not known["stopped"]
        and known["seed"] == 0
    )
    assert (
        known["brain_pixels"] == 64 and "scores" not in known
    )  # the parent's scores are not its own
    told = known["adapted_to"][0]
    assert (told["plane"], told["slices"], told["held_out"]) == ("coronal", [25], []) and len(
        told["image_sha256"]
    ) == len(told["labels_sha256"]) == 64
    assert known["dice_after"]["WM"] > known["dice_before"]["WM"] and fine_tuning.still_pays(out)[0]


def test_same_input_and_seed_give_the_same_bytes_and_another_seed_does_not(parent, tmp_path):
    image, labels = block("anterior")
    paths = [
        patchseg.adapt(
            image,
            one_slice(labels, 20, 30),
            parent,
            tmp_path / f"{number}.weights.h5",
            steps=20,
            seed=seed,
            hold_out=1,
        )
        for number, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other
    told = checkpoint.read_card(paths[0])
    assert (
        told["adapted_to"][0]["slices"] == [20]
        and told["adapted_to"][0]["held_out"] == [30]
        and set(told["held_out_after"]) == {"CSF", "GM", "WM"}
    )


def test_ctrl_c_keeps_the_best_round_and_says_so(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")
    paths = (
        write_nifti(tmp_path / "a.nii.gz", np.asarray(image.dataobj), image.affine),
        tmp_path / "l.nii.gz",
    )
    nib.save(one_slice(labels, 25), paths[1])
    real, built = fine_tuning.train, []
    build = unet.build
    monkeypatch.setattr(
        unet, "build", lambda **architecture: built.append(build(**architecture)) or built[-1]
    )

    def interrupted(given, parent, seed=0, steps=None, on_round=None):
        def stop(history):
            if len(history) == 2:
                built[-1].set_weights(
                    [np.zeros_like(one) for one in built[-1].get_weights()]
                )  # what came after the best round
                raise KeyboardInterrupt

        return real(given, parent, seed, 200, stop)

    monkeypatch.setattr(fine_tuning, "train", interrupted)
    out = tmp_path / "stopped.weights.h5"
    done = CliRunner().invoke(
        main.app, ["adapt", *map(str, paths), "--weights", str(parent), "--out", str(out)]
    )
    assert done.exit_code == 130 and "holds the best of the 40 batches" in done.output
    assert checkpoint.read_card(out)["stopped"] and checkpoint.read_card(out)["steps"] == 40
    first, last = (networks.load(one).model.get_weights()[0] for one in (parent, out))
    assert not np.allclose(last, first / 2) and not np.allclose(last, first)


def test_ctrl_c_after_the_training_keeps_it(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tuning, "calibrated", stop)
    out = patchseg.adapt(
        image, one_slice(labels, 25), parent, tmp_path / "new.weights.h5", steps=20
    )
    assert (
        checkpoint.read_card(out)["stopped"]
        and "dice_after" not in checkpoint.read_card(out)
        and fine_tuning.still_pays(out)[0]
    )
    with pytest.raises(KeyboardInterrupt):
        patchseg.adapt(image, one_slice(labels, 25), parent, tmp_path / "none.weights.h5", steps=0)
    assert not (tmp_path / "none.weights.h5").exists()


def test_command_adapts_pairs_and_says_what_it_learned(parent, tmp_path):
    image, labels = block("anterior")
    codes = np.choose(np.asarray(one_slice(labels, 20, 30).dataobj), [0, 4, 9, 12]).astype(np.int16)
    pair = [
        str(write_nifti(tmp_path / "a.nii.gz", np.asarray(image.dataobj), image.affine)),
        str(write_nifti(tmp_path / "l.nii.gz", codes, image.affine)),
    ]
    out = tmp_path / "new.weights.h5"
    options = [
        "--weights",
        str(parent),
        "--out",
        str(out),
        "--labels",
        "csf=4,gm=9,wm=12",
        "--hold-out",
        "1",
        "--steps",
        "20",
    ]
    done = CliRunner().invoke(main.app, ["adapt", *pair, *pair, *options])
    assert done.exit_code == 0, done.output
    assert (
        "slices held out, now: CSF 0." in done.output
        and "another slice" in done.output
        and len(checkpoint.read_card(out)["adapted_to"]) == 2
    )


@pytest.mark.parametrize("text", ["csf=4,gm=9", "csf=a,gm=9,wm=12", "4,9,12", "csf=1,gm=2,bone=3"])
def test_unreadable_values_of_tissues_are_refused(text):
    with pytest.raises(
        InputError, match="write the value of each tissue, for example --labels csf=4,gm=9,wm=12"
    ):
        adapt.tissue_values(text)


def test_what_cannot_be_learned_is_refused_with_the_mend(parent, tmp_path):
    image, labels = block("anterior")
    painted = one_slice(labels, 25)
    with pytest.raises(InputError, match=r"new.h5: not a name of weights; end it in .weights.h5"):
        patchseg.adapt(image, painted, parent, tmp_path / "new.h5")
    with pytest.raises(InputError, match="these are the weights to start from; give another name"):
        patchseg.adapt(image, painted, parent, parent)
    sidecar = tmp_path / "sub-01_T1w.json"
    sidecar.write_text("{}")
    with pytest.raises(
        InputError,
        match=(
            r"sub-01_T1w.json: this file is there already and is no card of sub-01_T1w.weights.h5;"
            r" give another name"
        ),
    ):
        patchseg.adapt(image, painted, parent, tmp_path / "sub-01_T1w.weights.h5")
    with pytest.raises(
        InputError, match=r"new.weights.h5: cannot be written \(.*\); give another name"
    ):
        patchseg.adapt(image, painted, parent, sidecar / "new.weights.h5")
    few = np.zeros(labels.shape, np.uint8)
    few[tuple(np.argwhere(np.asarray(painted.dataobj) == 2)[0])] = 2
    with pytest.raises(
        InputError,
        match="too little is labelled for --steps 0: 100 voxels of two tissues are needed",
    ):
        patchseg.adapt(
            image, nib.Nifti1Image(few, labels.affine), parent, tmp_path / "new.weights.h5", steps=0
        )
    with pytest.raises(InputError, match="2 images, 1 label images and 2 masks"):
        patchseg.adapt([image, image], [painted], parent, tmp_path / "new.weights.h5")
    with pytest.raises(InputError, match="1 slices to hold out of 1 labelled"):
        patchseg.adapt(image, painted, parent, tmp_path / "new.weights.h5", hold_out=1)
    with pytest.raises(InputError, match="3 files: give an image and its labels"):
        CliRunner().invoke(main.app, ["adapt", "a", "b", "c"], catch_exceptions=False)
    with pytest.raises(InputError, match="were not adapted"):
        fine_tuning.still_pays(parent)


def test_a_missing_tissue_is_a_warning(parent, tmp_path):
    image, labels = block("anterior")
    painted = np.asarray(one_slice(labels, 25).dataobj)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        patchseg.adapt(
            image,
            nib.Nifti1Image(np.where(painted == 1, 0, painted), labels.affine),
            parent,
            tmp_path / "new.weights.h5",
            steps=20,
        )
    assert any("no voxel is labelled CSF" in str(one.message) for one in told)


def test_labels_that_hardly_agree_with_the_image_are_a_warning(parent, tmp_path):
    image, labels = block("anterior")
    painted = np.asarray(one_slice(labels, 25).dataobj)
    with pytest.warns(
        UserWarning, match=r"the labels hardly agree with what the network finds \(Dice CSF 0"
    ):
        patchseg.adapt(
            image,
            nib.Nifti1Image(np.choose(painted, [0, 3, 1, 2]).astype(np.uint8), labels.affine),
            parent,
            tmp_path / "new.weights.h5",
            steps=20,
        )


def test_most_patches_lie_in_the_painted_plane():
    _, labels = ball_brain()
    painted = np.zeros_like(labels)
    painted[:, :, 15] = labels[:, :, 15]
    one = labelled.Labelled("ball", painted, labels > 0, painted, (1, 1, 1))
    assert np.allclose(fine_tuning._planes(one, 0.6), (0.2, 0.2, 0.6))
    cube = labelled.Labelled("cube", painted, labels > 0, np.ones((8, 8, 8), np.uint8), (1, 1, 1))
    assert np.allclose(fine_tuning._planes(cube, 0.6), 1 / 3)


def test_sigmoid_network_of_the_pipeline_can_be_adapted(tmp_path):
    architecture = {"levels": 2, "features": 4, "blocks": 1, "activation": "sigmoid"}
    path = tmp_path / "sigmoid.weights.h5"
    checkpoint.save(unet.build(**architecture), architecture, path, brain_pixels=48)
    image, labels = block("anterior")
    network, history, _ = fine_tuning.train(
        [labelled.read(image, one_slice(labels, 25))],
        networks.load(path),
        steps=60,
        learning_rate=0.01,
        replay=0.25,
        fixed=(),
    )
    assert history[-1] < history[0] and network.output_shape[-1] == 3


def test_without_batches_the_network_stays_and_only_the_borders_move(parent, tmp_path):
    image, labels = block("anterior", inverted=True)
    out = patchseg.adapt(image, one_slice(labels, 25), parent, tmp_path / "new.weights.h5", steps=0)
    network, before = networks.load(out), networks.load(parent)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(network.model.get_weights(), before.model.get_weights(), strict=True)
    )
    assert checkpoint.read_card(out)["steps"] == 0 and checkpoint.read_card(out)["calibration"][
        "tissues"
    ] == ["CSF", "GM", "WM"]
    assert (
        np.mean(list(dice(out, image, labels, [25]).values()))
        > np.mean(list(dice(parent, image, labels, [25]).values())) + 0.2
    )


def test_the_weights_lie_half_way_from_the_parent(parent):
    image, labels = block("anterior")
    given, before = [labelled.read(image, one_slice(labels, 25))], networks.load(parent)
    half, whole = (
        fine_tuning.train(given, before, steps=20, kept=kept)[0].get_weights()
        for kept in (0.5, 1.0)
    )
    for old, middle, new in zip(before.model.get_weights(), half, whole, strict=True):
        assert np.allclose(middle, (old + new) / 2, atol=1e-6)


def test_what_labels_said_is_not_taken_from_memory_when_only_the_card_is_new(parent, tmp_path):
    image, labels = block("anterior", inverted=True)
    out = tmp_path / "new.weights.h5"
    told = [
        networks.load(
            patchseg.adapt(image, one_slice(labels, number), parent, out, steps=0)
        ).calibration
        for number in (20, 30)
    ]
    assert told[0] != told[1]


def test_brains_of_another_size_are_not_calibrated():
    network = networks.Network(None, Path("x"), {}, calibration={}, calibrated_mm=(20, 30))
    assert (
        network.calibrates(25)
        and not network.calibrates(31)
        and not networks.Network(None, Path("x"), {}).calibrates(25)
    )
