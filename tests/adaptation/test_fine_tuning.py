"""Adaptation from start to end: a network of the sample's back learns its inverted front."""

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, labelled_ball, write_nifti
from typer.testing import CliRunner

import patchseg
from patchseg import checkpoint, params, unet
from patchseg.adaptation import fine_tuning, guard, learning, reading, record
from patchseg.cli import main
from patchseg.core.errors import InputError
from patchseg.datasets import bids, sample
from patchseg.datasets.labelled import Labelled
from patchseg.inference import networks, qc

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def few_patches(monkeypatch):
    monkeypatch.setattr(params, "shipped", lambda: everything(adapt=recipe()))
    monkeypatch.setattr(learning.sample, "labelled_template", coarse_template)


@cache
def coarse_template(whole=sample.labelled_template):
    return coarse(whole())


def coarse(one):
    """A brain with every second voxel along each axis: an eighth of the work."""
    half = (slice(None, None, 2),) * 3
    affine = one.affine @ np.diag([2, 2, 2, 1])
    return replace(one, image=one.image[half], labels=one.labels[half], affine=affine)


def everything(**changes):
    return params.load(ROOT / "params.yaml").model_copy(update=changes)


def recipe(**changes):
    """The recipe of params.yaml with few patches."""
    known = everything().adapt
    few = {
        "draw": known.draw.model_copy(update={"patches": 256}),
        "replayed": known.replayed.model_copy(update={"patches": 128}),
    }
    return known.model_copy(update=few | changes)


@cache
def block(name, inverted=False):
    """Every second voxel of a block of the sample: T1w, or its negative, and labels."""
    subject = next(one for one in bids.subjects(ROOT / "data") if one.name == f"sub-{name}")
    one = coarse(subject.load())
    image = one.normalised(100)
    if inverted:
        image = np.where(image > 0, 1.05 - image, 0)
    labels = np.where(one.known, one.labels, 0).astype(np.uint8)
    return (
        nib.Nifti1Image((100 * image).astype(np.float32), one.affine),
        nib.Nifti1Image(labels, one.affine),
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
    given = reading.read(image, one_slice(labels, 10, 17, 25, 32))
    fast = recipe(replay=0, fixed=[], learning_rate=0.01, kept=1.0)
    learned = learning.train([given], networks.load(path), fast, steps=120)
    checkpoint.save(learned.model, architecture, path, **known)
    return path


def dice(weights_path, image, labels, without=()):
    found = np.asarray(patchseg.segment(image, weights=weights_path, extract="never").dseg.dataobj)
    truth = np.where(found > 0, np.asarray(labels.dataobj), 0)
    truth[:, list(without)] = 0
    truth = np.where((found > 0) & (truth == 0), 255, truth).astype(np.uint8)
    given = Labelled("x", found, truth, np.eye(4))
    return record.dice([given], [found])


def test_one_slice_teaches_a_contrast_that_the_network_has_never_seen(parent, tmp_path):
    image, labels = block("anterior", inverted=True)
    before = dice(parent, image, labels, [12])
    rounds = []
    out = patchseg.adapt(
        image,
        one_slice(labels, 12),
        parent,
        tmp_path / "new.weights.h5",
        steps=80,
        guard=False,
        on_round=lambda history: rounds.append(len(history)),
    )
    after = dice(out, image, labels, [12])
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
    assert (told["plane"], told["slices"], told["held_out"]) == ("coronal", [12], []) and len(
        told["image_sha256"]
    ) == len(told["labels_sha256"]) == 64
    assert known["dice_after"]["WM"] > known["dice_before"]["WM"] and record.still_pays(out)[0]


def test_same_input_and_seed_give_the_same_bytes_and_another_seed_does_not(parent, tmp_path):
    image, labels = block("anterior")
    paths = [
        patchseg.adapt(
            image,
            one_slice(labels, 10, 15),
            parent,
            tmp_path / f"{number}.weights.h5",
            steps=4,
            seed=seed,
            hold_out=1,
            guard=False,
        )
        for number, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other
    told = checkpoint.read_card(paths[0])
    assert (
        told["adapted_to"][0]["slices"] == [10]
        and told["adapted_to"][0]["held_out"] == [15]
        and set(told["held_out_after"]) == {"CSF", "GM", "WM"}
    )


def test_a_second_round_holds_out_and_doubts_what_is_new(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")
    how = {"steps": 1, "guard": False, "hold_out": 1}
    one = patchseg.adapt(image, one_slice(labels, 8, 10), parent, tmp_path / "1.weights.h5", **how)
    (before,) = checkpoint.read_card(one)["learned"]
    assert (before["plane"], before["slices"]) == ("coronal", [8])

    def again(*numbers):
        given = image, one_slice(labels, *numbers), one, tmp_path / "2.weights.h5"
        card = checkpoint.read_card(patchseg.adapt(*given, **how))
        assert card["learned"][0] == before
        return card["adapted_to"][0]["held_out"]

    assert again(8, 12, 15) == [15]
    with pytest.warns(UserWarning, match="too few labelled slices are new to hold 1 of them"):
        assert again(8, 15) == [8]
    seen, stays = [], guard.Judged("parent", 2, "slices", {}, {}, 0.8)
    monkeypatch.setattr(fine_tuning.label_checks, "share", lambda new, _: seen.extend(new) or 0.0)
    monkeypatch.setattr(fine_tuning, "judge", lambda *_: stays)
    kept = patchseg.adapt(image, one_slice(labels, 8, 15), one, tmp_path / "3.weights.h5")
    assert seen[0].slices() == ("coronal", [15])
    assert checkpoint.read_card(kept)["learned"] == [before]  # nothing was kept


def test_ctrl_c_keeps_the_best_round_and_says_so(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")
    paths = (
        write_nifti(tmp_path / "a.nii.gz", np.asarray(image.dataobj), image.affine),
        tmp_path / "l.nii.gz",
    )
    nib.save(one_slice(labels, 12), paths[1])
    real, built = learning.train, []
    build = unet.build
    monkeypatch.setattr(
        unet, "build", lambda **architecture: built.append(build(**architecture)) or built[-1]
    )

    def interrupted(given, parent, recipe, seed=0, steps=None, on_round=None):
        def stop(history):
            if len(history) == 2:  # what came after the best round
                built[-1].set_weights([np.zeros_like(one) for one in built[-1].get_weights()])
                raise KeyboardInterrupt

        return real(given, parent, recipe, seed, 200, stop)

    monkeypatch.setattr(learning, "train", interrupted)
    out = tmp_path / "stopped.weights.h5"
    done = CliRunner().invoke(
        main.app,
        ["adapt", *map(str, paths), "--weights", str(parent), "--out", str(out), "--no-guard"],
    )
    assert done.exit_code == 130 and "holds the best of the 40 batches" in done.output
    assert checkpoint.read_card(out)["stopped"] and checkpoint.read_card(out)["steps"] == 40
    first, last = (networks.load(one).model.get_weights()[0] for one in (parent, out))
    assert not np.allclose(last, first / 2) and not np.allclose(last, first)


def test_ctrl_c_after_the_training_keeps_it(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tuning.answers, "calibrated", stop)
    out = patchseg.adapt(
        image, one_slice(labels, 12), parent, tmp_path / "new.weights.h5", steps=20, guard=False
    )
    assert (
        checkpoint.read_card(out)["stopped"]
        and "dice_after" not in checkpoint.read_card(out)
        and record.still_pays(out)[0]
    )
    with pytest.raises(KeyboardInterrupt):
        patchseg.adapt(
            image, one_slice(labels, 12), parent, tmp_path / "none.weights.h5", steps=0, guard=False
        )
    assert not (tmp_path / "none.weights.h5").exists()


def test_command_adapts_pairs_and_says_what_it_learned(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")
    better = guard.Tried({"GM": 0.9, "WM": 0.9}, 0.1, 0.02)
    judged = guard.Judged("adapted", 4, "slices", {"GM": 0.8, "WM": 0.8}, {"adapted": better}, 0.8)
    monkeypatch.setattr(fine_tuning, "judge", lambda *_: judged)
    codes = np.choose(np.asarray(one_slice(labels, 10, 15).dataobj), [0, 4, 9, 12]).astype(np.int16)
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
        and "slices that were left out in turn, what" in done.output
        and f"look at it: patchseg segment {pair[0]} {pair[0]} --weights {out} --out" in done.output
        and len(checkpoint.read_card(out)["adapted_to"]) == 2
    )


def test_the_guard_is_asked_and_may_let_only_the_borders_move(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")
    moved = guard.Tried({"GM": 0.9, "WM": 0.9}, 0.1, 0.02)
    asked = []

    def judge(kept, first, own, recipe, seed, steps, doubted):
        asked.append((len(kept), first[0].shape, own.path, seed, steps, doubted))
        return guard.Judged("borders", 2, "slices", {"GM": 0.8, "WM": 0.8}, {"borders": moved}, 0.8)

    monkeypatch.setattr(fine_tuning, "judge", judge)
    monkeypatch.setattr(fine_tuning.label_checks, "share", lambda *_: 0.25)
    monkeypatch.setattr(learning, "train", lambda *_: pytest.fail("it is not to learn"))
    given = image, one_slice(labels, 10, 15), parent, tmp_path / "new.weights.h5"
    known = checkpoint.read_card(patchseg.adapt(*given, seed=3, steps=20))
    assert asked == [(1, image.shape, parent, 3, 20, 0.25)]
    assert known["kept"] == "borders" and known["steps"] == 0 and known["calibration"]
    assert "only its borders are moved" in known["guard"]["said"] and len(known["looks"]) == 1


def test_a_slice_at_the_end_moves_no_borders_and_the_card_says_so(parent, tmp_path, monkeypatch):
    image, labels = block("anterior")
    monkeypatch.setattr(fine_tuning.answers.calibration, "UNLIKE", -1)  # every slice is unlike
    given = image, one_slice(labels, 12), parent
    learned = patchseg.adapt(*given, tmp_path / "guarded.weights.h5", steps=0)
    known = checkpoint.read_card(learned)
    assert known["kept"] == "parent" and "a slice nearer the middle" in record.said(known)[0]
    learned = patchseg.adapt(*given, tmp_path / "trained.weights.h5", steps=1, guard=False)
    known = checkpoint.read_card(learned)
    assert known["borders_left_out"] == "unlike" and "calibration" not in known
    learned = patchseg.adapt(*given, tmp_path / "free.weights.h5", steps=0, guard=False)
    assert checkpoint.read_card(learned)["calibration"]


def test_what_is_no_better_leaves_the_parent_and_the_next_command_works(
    parent, tmp_path, monkeypatch
):
    image, labels = block("anterior")
    worse = guard.Tried({"GM": 0.7, "WM": 0.8}, -0.05, 0.02)
    judged = guard.Judged("parent", 2, "slices", {"GM": 0.8, "WM": 0.8}, {"adapted": worse}, 0.8)
    monkeypatch.setattr(fine_tuning, "judge", lambda *_: judged)
    monkeypatch.setattr(learning, "train", lambda *_: pytest.fail("it is not to learn"))
    out = patchseg.adapt(image, one_slice(labels, 10, 15), parent, tmp_path / "new.weights.h5")
    before, after = networks.load(parent), networks.load(out)
    for old, new in zip(before.model.get_weights(), after.model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert after.sizes_mm == before.sizes_mm and after.calibration is None
    known = checkpoint.read_card(out)
    assert known["kept"] == "parent" and known["changed"] == 0 and known["steps"] == 0
    assert known["guard"]["parent"]["dice"] == judged.parent and known["looks"] == []
    assert known["guard"]["adapted"] == {"dice": worse.dice, "gain": -0.05, "error": 0.02}
    assert known["guard"]["said"].startswith("the parent is kept: on 2 slices")
    assert record.still_pays(out) == (
        True,
        "nothing was kept; check the labels, or label another slice",
    )


def test_what_cannot_be_learned_is_refused_with_the_mend(parent, tmp_path):
    image, labels = block("anterior")
    painted = one_slice(labels, 12)
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
        record.still_pays(parent)


def test_weights_that_are_there_are_not_replaced_unasked(tmp_path):
    there = tmp_path / "rat.weights.h5"
    there.write_bytes(b"of a rat")
    words = ["adapt", "a.nii", "b.nii", "--out", str(there)]
    with pytest.raises(InputError, match="rat.weights.h5: there already; give another --out"):
        CliRunner().invoke(main.app, words, catch_exceptions=False)
    with pytest.raises(InputError, match="a.nii: no such file"):
        CliRunner().invoke(main.app, [*words, "--overwrite"], catch_exceptions=False)
    with pytest.raises(InputError, match="remove those first"):
        CliRunner().invoke(
            main.app, [*words[:3], "--name", "rat", "--overwrite"], catch_exceptions=False
        )
    assert there.read_bytes() == b"of a rat"
    text = tmp_path / "notes.txt"
    text.write_text("mine")
    image, drawn = block("anterior")[0], tmp_path / "drawn.nii"
    nib.save(image, drawn)
    words = ["adapt", str(drawn), str(drawn), "--out", str(text)]
    with pytest.raises(InputError, match=r"notes.txt: not a name of weights"):
        CliRunner().invoke(main.app, words, catch_exceptions=False)
    assert text.read_text() == "mine"


def test_a_missing_tissue_is_a_warning(parent, tmp_path):
    image, labels = block("anterior")
    painted = np.asarray(one_slice(labels, 12).dataobj)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        patchseg.adapt(
            image,
            nib.Nifti1Image(np.where(painted == 1, 0, painted), labels.affine),
            parent,
            tmp_path / "new.weights.h5",
            steps=2,
            guard=False,
        )
    assert any("no voxel is labelled CSF" in str(one.message) for one in told)


def test_labels_that_hardly_agree_with_the_image_are_a_warning(parent, tmp_path):
    image, labels = block("anterior")
    painted = np.asarray(one_slice(labels, 12).dataobj)
    with pytest.warns(
        UserWarning, match=r"the labels hardly agree with what the network finds \(Dice CSF 0"
    ):
        patchseg.adapt(
            image,
            nib.Nifti1Image(np.choose(painted, [0, 3, 1, 2]).astype(np.uint8), labels.affine),
            parent,
            tmp_path / "new.weights.h5",
            steps=2,
            guard=False,
        )


def test_most_patches_lie_in_the_painted_plane():
    whole = ball_brain()[1]
    painted = np.zeros_like(whole)
    painted[:, :, 15] = whole[:, :, 15]
    one = labelled_ball(labels=painted)
    assert np.allclose(learning._planes(one, 0.6), (0.2, 0.2, 0.6))
    cube = Labelled("cube", None, np.ones((8, 8, 8), np.uint8), np.eye(4))
    assert np.allclose(learning._planes(cube, 0.6), 1 / 3)


@pytest.mark.parametrize(("levels", "activation"), [(2, "sigmoid"), (1, "softmax")])
def test_networks_of_other_kinds_can_be_adapted(tmp_path, levels, activation):
    architecture = {"levels": levels, "features": 4, "blocks": 1, "activation": activation}
    path = tmp_path / "small.weights.h5"
    checkpoint.save(unet.build(**architecture), architecture, path, brain_pixels=48)
    image, labels = block("anterior")
    given = [reading.read(image, one_slice(labels, 12))]
    eager = recipe(learning_rate=0.01, replay=0.25, fixed=["encoder"] if levels == 1 else [])
    learned = learning.train(given, networks.load(path), eager, steps=40)
    assert learned.model.output_shape[-1] == 3 + (activation == "softmax")
    if levels == 1:  # all of it is the way down
        before = networks.load(path).model.get_weights()
        now = learned.model.get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(before, now, strict=True))
    else:
        assert learned.losses[-1] < learned.losses[0]


def test_so_many_batches_as_asked_for(parent):
    image, labels = block("anterior")
    given, before = [reading.read(image, one_slice(labels, 12))], networks.load(parent)
    rounds = []
    learned = learning.train(given, before, recipe(round=3), steps=5, on_round=rounds.append)
    assert learned.steps == 5 and len(learned.losses) == len(rounds) == 2


def test_without_batches_the_network_stays_and_only_the_borders_move(parent, tmp_path):
    image, labels = block("anterior", inverted=True)
    out = tmp_path / "new.weights.h5"
    patchseg.adapt(image, one_slice(labels, 12), parent, out, steps=0, guard=False)
    network, before = networks.load(out), networks.load(parent)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(network.model.get_weights(), before.model.get_weights(), strict=True)
    )
    assert checkpoint.read_card(out)["steps"] == 0 and checkpoint.read_card(out)["calibration"][
        "tissues"
    ] == ["CSF", "GM", "WM"]
    assert (
        np.mean(list(dice(out, image, labels, [12]).values()))
        > np.mean(list(dice(parent, image, labels, [12]).values())) + 0.2
    )


def test_the_weights_lie_half_way_from_the_parent(parent):
    image, labels = block("anterior")
    given, before = [reading.read(image, one_slice(labels, 12))], networks.load(parent)
    half, whole = (
        learning.train(given, before, recipe(kept=kept), steps=10).model.get_weights()
        for kept in (0.5, 1.0)
    )
    for old, middle, new in zip(before.model.get_weights(), half, whole, strict=True):
        assert np.allclose(middle, (old + new) / 2, atol=1e-6)


def test_more_slices_mean_more_batches_and_keep_more_of_what_they_taught():
    whole = ball_brain()[1]
    one, four = (
        [labelled_ball(labels=np.where(np.isin(np.arange(40), rows)[:, None, None], whole, 0))]
        for rows in ([20], [12, 16, 20, 24])
    )
    own = recipe(kept=0.5, steps=10, more_steps=5, most_steps=20)
    assert [learning.kept_for(given, own) for given in (one, four)] == [0.5, 0.875]
    assert [learning.steps_for(given, own) for given in (one, four)] == [10, 20]


def test_what_labels_said_is_not_taken_from_memory_when_only_the_card_is_new(parent, tmp_path):
    image, labels = block("anterior", inverted=True)
    out = tmp_path / "new.weights.h5"
    told = [
        networks.load(
            patchseg.adapt(image, one_slice(labels, number), parent, out, steps=0, guard=False)
        ).calibration
        for number in (10, 15)
    ]
    assert told[0] != told[1]


def test_brains_of_another_size_are_not_calibrated():
    network = networks.Network(None, Path("x"), {}, calibration={}, calibrated_mm=(20, 30))
    assert network.borders(25, 0.3) == ({}, "this animal")
    assert network.borders(31, 0.3) == (None, "")
    assert networks.Network(None, Path("x"), {}).borders(25, 0.3) == (None, "")
    assert qc._taught_size(25, network)[3] == "good"
    assert qc._taught_size(31, network)[3:] == (
        "look",
        "the weights were adapted to brains of 20 to 30 mm, this one has 31; what they learned of"
        " the borders is left out. Use weights of this animal",
    )


def test_a_proposal_that_nobody_corrected_is_told(parent, tmp_path):
    image, _ = block("anterior")
    guess = patchseg.suggest(image, 1, parent, extract="never").proposal()
    with pytest.warns(UserWarning, match="the labels are what the network finds"):
        patchseg.adapt(image, guess, parent, tmp_path / "new.weights.h5", steps=0)
