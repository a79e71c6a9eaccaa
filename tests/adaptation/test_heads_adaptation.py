"""One slice of a mask teaches a small network where the brain of a head is."""

import warnings
from dataclasses import replace

import keras
import nibabel as nib
import numpy as np
import pytest
from conftest import Shells, ball_head, write_nifti
from typer.testing import CliRunner

from patchseg import checkpoint, unet
from patchseg.adaptation import (
    brain_labels,
    earlier,
    head_learning,
    heads,
    learning,
    looks,
    record,
    suggestion,
)
from patchseg.cli.main import app
from patchseg.core.errors import InputError
from patchseg.datasets.labelled import Labelled
from patchseg.images import grid
from patchseg.inference import border, extraction, inputs, networks
from patchseg.inference import mask as masks
from patchseg.metrics import dice

SMALL = {
    "levels": 2,
    "features": 4,
    "blocks": 1,
    "out_channels": 2,
    "activation": "softmax",
    "dimensions": 3,
}
STEPS = 80


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """Weights that know nothing, small cubes and coarse looks."""
    path = tmp_path / "parent.weights.h5"
    keras.utils.set_random_seed(0)
    checkpoint.save(unet.build(**SMALL), SMALL, path, species=["ball"], sizes_mm=[20.0, 30.0])
    for name, value in {
        "GATE": 16,
        "FIRST": (24,),
        "BRAIN": 12,
        "LEVEL": 0.5,
        "FLIPS": ((), (0,)),
    }.items():
        monkeypatch.setattr(extraction, name, value)
    monkeypatch.setattr(
        networks, "load_heads", lambda path=None, precision="auto": checkpoint.load(path)
    )
    for name, value in {"EDGE": 16, "VIEWS": 4}.items():
        monkeypatch.setattr(looks, name, value)
    monkeypatch.setattr(head_learning, "LEARNING_RATE", 0.03)
    return path


def small_head():
    """A brain that is bright in a dark scalp, so that little is to be learned."""
    image, brain = ball_head((32, 28, 24), scalp=0.8)
    return nib.Nifti1Image(np.where(brain, 100, image / 3), np.eye(4)), brain


def one_slice(brain, number=14):
    """A mask of 0 and 1, drawn on one coronal slice."""
    drawn = np.zeros(brain.shape, np.uint8)
    drawn[:, number] = brain[:, number]
    return nib.Nifti1Image(drawn, np.eye(4))


def ball(shape, radius):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return np.sqrt(sum(axis**2 for axis in axes)) < radius


class Bright:
    """A network that finds what is brighter than a third, not quite for sure."""

    def predict_on_batch(self, x):
        brain = np.clip(3 * x - 0.7, 0.02, 0.96)
        return np.concatenate([(1 - brain) / 2, (1 - brain) / 2, brain], axis=-1).astype(np.float32)


def labelled(brain, image=None, number=14):
    labels, _ = brain_labels.meaning(np.asarray(one_slice(brain, number).dataobj))
    return Labelled("ball", image, labels, np.eye(4))


def test_one_slice_teaches_where_the_brain_is(parent, tmp_path):
    image, brain = small_head()
    head = write_nifti(tmp_path / "head.nii.gz", np.asarray(image.dataobj))
    drawn = write_nifti(tmp_path / "drawn.nii.gz", np.asarray(one_slice(brain).dataobj))
    rounds, out = [], tmp_path / "new.weights.h5"
    with pytest.warns(UserWarning, match=r"not brain on 1 coronal slice\(s\) that hold brain"):
        heads.adapt(head, drawn, parent, out, steps=STEPS, on_round=rounds.append)
    before = extraction.find(checkpoint.load(parent), np.asarray(image.dataobj), (1, 1, 1)).mask
    found = masks.find(np.asarray(image.dataobj), (1, 1, 1), weights=out).mask
    assert dice(brain, found) > 0.85 > 0.6 > dice(brain, before)
    card = checkpoint.read_card(out)
    assert card["helped"] and not card["stopped"] and card["adapted_to"][0]["slices"] == [14]
    assert len(rounds) * head_learning.ROUND == card["steps"] and card["species"] == ["ball"]
    assert card["held_out_after"]["brain"] > card["held_out_before"]["brain"]
    assert [one["slices"] for one in card["learned"]] == [[14]]
    assert "of the brain; label another slice" in record.still_pays(out)[1]
    # the command does the same, and the same seed gives the same weights
    again = tmp_path / "again.weights.h5"
    words = ["adapt", str(head), str(drawn), "--what", "brain", "--steps", str(STEPS)]
    words += ["--weights", str(parent), "--out", str(again)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0 and "half of the labels, held out, before: brain" in done.output
    assert f"\nlook at it: patchseg extract {head} --weights {again} --out head-res" in done.output
    assert done.output.rstrip().endswith(f"--labelled {drawn} --what brain")
    assert checkpoint.read_card(again)["sha256"] == card["sha256"]
    assert checkpoint.read_card(again)["borders"] == card["borders"]


def core_of_a_ball():
    """A head, the brighter core of its brain, labels that call only the core brain."""
    image, brain = ball_head()
    core = ball(brain.shape, 0.42)
    image = np.where(brain, 100, image / 3) + 50 * core
    return image, core, labelled(core, image, 27)


def teach(one, parent, steps, monkeypatch=None):
    own = networks.Network(Bright(), parent, checkpoint.read_card(parent))
    raw = head_learning._found(own.model, [one])
    return own, raw, head_learning.teach([one], own, raw, raw, 0, steps, None)


def test_a_border_that_lies_elsewhere_is_moved_and_the_network_stays(parent, monkeypatch):
    """Somebody calls only the brighter core of what the network finds brain."""
    image, core, one = core_of_a_ball()
    monkeypatch.setattr(learning, "rounds", lambda *_: pytest.fail("it is not to learn"))
    own, raw, taught = teach(one, parent, 80)
    assert not taught.why and taught.share == 0 and taught.model is own.model
    assert dice(core, taught.after[0].mask) > 0.95 > dice(core, raw[0].mask) + 0.1
    again = border.moved(raw[0], border.around(image, raw[0], (1, 1, 1)), taught.borders)
    assert np.array_equal(again.mask, taught.after[0].mask)


def test_strokes_of_which_a_half_teaches_nothing_move_no_border(parent):
    _, _, one = core_of_a_ball()
    far = np.ones(one.labels.shape, bool)
    far[:, 27, 21:30] = False  # a stroke through the brain
    few = replace(one, labels=np.where(far, 0, one.labels).astype(np.uint8))
    raw = teach(few, parent, 0)[1]
    near = border.around(one.image, raw[0], (1, 1, 1)).near & few.known
    assert 100 <= near.sum() < 200
    assert teach(few, parent, 0)[2].why == "few"


def test_what_would_change_the_rest_much_more_is_not_kept(parent, monkeypatch):
    _, _, one = core_of_a_ball()
    monkeypatch.setattr(head_learning, "FARTHER", (0.5, 0))
    _, raw, taught = teach(one, parent, 0)
    assert taught.why == "elsewhere" and taught.borders == [] and taught.after == raw


def test_a_second_round_keeps_the_borders_of_other_heads(parent, monkeypatch):
    image, core, one = core_of_a_ball()
    _, _, first = teach(one, parent, 0)
    dark = Labelled("dark", np.where(image > 0, 200 - image, 0), one.labels, np.eye(4))
    raw = head_learning._found(Bright(), [one])
    monkeypatch.setattr(head_learning.border, "of_card", lambda path: first.borders)
    own = networks.Network(Bright(), parent, checkpoint.read_card(parent))
    second = head_learning.teach([dark], own, raw, raw, 0, 0, None)
    assert not second.why and second.borders[1:] == first.borders


def test_a_network_that_learns_nothing_stays_as_it_was(parent, monkeypatch):
    image, brain = small_head()
    nothing = replace(extraction.whole(brain, 0.9), mask=np.zeros(brain.shape, bool))
    monkeypatch.setattr(
        head_learning,
        "_with_border",
        lambda labelled, *_: head_learning._Bordered([], [nothing for _ in labelled], "few"),
    )
    sure = Labelled("x", np.asarray(image.dataobj), labelled(brain).labels, np.eye(4))
    before = [extraction.whole(brain, 0.9)]
    own = heads._parent(parent, "float32")
    stays = head_learning.teach([sure], own, before, before, 0, 4, None)
    assert stays.why == "halves" and stays.half_before == 1 and stays.learned.steps == 2
    assert stays.model is own.model


def slices(brain, *numbers, image=None):
    """Labels on coronal slices."""
    one, labels = labelled(brain, brain * 1.0 if image is None else image), np.zeros(brain.shape)
    for number in numbers:
        labels[:, number] = labelled(brain, number=number).labels[:, number]
    return replace(one, labels=labels.astype(np.uint8))


def after(parent, *taught):
    """The network with a card that tells what it was taught."""
    own = networks.Network(None, parent, {})
    return replace(own, card={"learned": earlier.after(own, taught)})


def test_what_a_round_before_learned_is_taught_again_and_not_held_out(parent):
    brain = ball((32, 28, 24), 0.6)
    one, new = slices(brain, 10, 18), slices(brain, 10, 18, image=brain * 2.0)
    for taught, held_out in ((), [10, 18]), ((slices(brain, 10),), [18]):
        (kept,), (held,) = head_learning._halves([one], after(parent, *taught))
        assert held.slices() == ("coronal", held_out) and kept.slices() == ("coronal", [10, 18])
        assert not (held.known & kept.known).any()
        assert np.array_equal(held.known | kept.known, one.known)
    # of two images the one that is new is held out, and of none that is new, half of all
    kept, held = head_learning._halves([one, new], after(parent, one))
    assert [part.known.any() for part in (*kept, *held)] == [True, True, False, True]
    assert head_learning._halves([one], after(parent, one))[1][0].slices()[1] == [10, 18]


def test_new_labels_without_brain_are_learned_too(parent):
    """A part was painted out that the network had taken for brain."""
    brain = ball((32, 28, 24), 0.6)
    one = slices(brain, 10)
    one.labels[:, 25] = brain_labels.OTHER
    (kept,), (held,) = head_learning._halves([one], after(parent, slices(brain, 10)))
    assert all((part.labels == brain_labels.BRAIN).any() for part in (kept, held))
    assert np.array_equal(held.known | kept.known, one.known)


def test_ctrl_c_keeps_the_best_so_far(parent, tmp_path):
    image, brain = small_head()

    def stop(losses):
        if len(losses) == 1:
            raise KeyboardInterrupt

    with warnings.catch_warnings(action="ignore"):
        out = heads.adapt(
            image, one_slice(brain), parent, tmp_path / "x.weights.h5", steps=40, on_round=stop
        )
    assert checkpoint.read_card(out)["stopped"] and checkpoint.read_card(out)["steps"] == 10


def test_a_plain_mask_means_not_brain_on_its_own_slices_only():
    drawn = np.zeros((6, 5, 4), int)
    drawn[2:4, 1, 1:3] = 1
    labels, remarks = brain_labels.meaning(drawn)
    assert (labels[:, 1] == np.where(drawn[:, 1], 1, 2)).all() and len(remarks) == 1
    assert not labels[:, [0, 2, 3, 4]].any()
    own = np.where(drawn, 1, 0)
    own[0, 0, 0] = 2  # somebody who says what is not brain is taken at his word
    labels, remarks = brain_labels.meaning(np.where(drawn + own, own, 255))
    assert np.array_equal(labels, own) and not remarks


@pytest.mark.parametrize(("values", "says"), [
    ([0, 3], r"x\.nii: value 3 is neither brain nor not brain"),
    ([0, 2], r"x\.nii: no voxel is 1, .*suggest --what brain"),
    ([1, 1], r"x\.nii: all labelled voxels are brain"),
], ids=["another value", "no brain", "no border"])  # fmt: skip
def test_labels_that_teach_nothing_are_refused(values, says):
    with pytest.raises(InputError, match=says):
        brain_labels.meaning(np.broadcast_to(np.array(values), (4, 4, 2)), "x.nii")


def test_a_look_has_the_labels_of_the_slice_in_one_layer_of_voxels():
    image, brain = ball_head()
    one = labelled(brain, image, 27)
    rng = np.random.default_rng(0)
    for look in looks.looks(rng, one, brain):
        known = np.flatnonzero((look.labels > 0).any(axis=(0, 2)))
        assert 1 <= len(known) <= 2 and np.ptp(known) == len(known) - 1
        assert (look.labels[:, known] > 0).all()
        share = (look.labels[:, known[0]] == 1).mean()
        assert 0.1 < share < 0.45  # the disc and what is around it
    assert looks._size_of_slice(one) == pytest.approx(brain.sum() ** (1 / 3), rel=0.15)


def test_image_and_labels_of_a_cube_belong_together(monkeypatch):
    for name in ("BIAS", "GAIN", "GAMMA", "NOISE"):
        monkeypatch.setattr(looks, name, 0)
    image = np.random.default_rng(0).random((20, 60, 50)).astype(np.float32) * 0.5
    labels = np.where(image > 0.25, 1, 2).astype(np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(20):
        seen, known = looks.cube(rng, looks.Look(image, labels))
        assert seen.shape == known.shape == (looks.EDGE,) * 3
        assert np.array_equal(known, np.where(seen == 0, 0, np.where(seen > 0.25, 1, 2)))
        assert (known > 0).sum() == 20 * looks.EDGE**2  # all that there is, along the short axis


def test_air_and_other_tissue_are_one_thing_to_the_loss():
    truth = np.zeros((1, 2, 2, 2, 2), np.float32)
    truth[0, 0, ..., 1] = truth[0, 1, ..., 0] = 1
    sure = np.zeros((1, 2, 2, 2, 3), np.float32)
    sure[0, 0, ..., 2] = 1
    sure[0, 1, 0, :, 0] = sure[0, 1, 1, :, 1] = 1
    right, wrong = (float(looks.loss(truth, one)) for one in (sure, sure[:, ::-1]))
    assert right == pytest.approx(0, abs=1e-5) and wrong > 1
    unknown = truth.copy()
    unknown[0, 1] = 0  # not labelled
    guess = sure.copy()
    guess[0, 1] = [0, 0, 1]
    assert float(looks.loss(unknown, guess)) == pytest.approx(0, abs=1e-5)


def test_the_command_writes_a_guess_to_correct(tmp_path, monkeypatch):
    image, brain = small_head()
    path = write_nifti(tmp_path / "rhesus.nii.gz", np.asarray(image.dataobj))
    bright = Shells(0.5, 2.0)
    monkeypatch.setattr(networks, "load_heads", lambda path=None, precision="auto": bright)
    done = CliRunner().invoke(
        app, ["suggest", str(path), "--what", "brain"], catch_exceptions=False
    )
    assert done.exit_code == 0 and "coronal slice j = " in done.output
    assert "--what brain --name rhesus_heads\n" in done.output
    guess = np.asarray(nib.load(tmp_path / "rhesus_desc-brain_proposal.nii.gz").dataobj)
    at = np.flatnonzero(guess.any(axis=(0, 2)))
    assert len(at) == 1 and set(np.unique(guess[:, at])) == {1, 2}
    assert dice(brain[:, at], guess[:, at] == 1) > 0.9
    assert not np.asarray(nib.load(tmp_path / "rhesus_desc-brain_labels.nii.gz").dataobj).any()
    assert (tmp_path / "rhesus_desc-brain_suggest.png").stat().st_size > 5000
    assert inputs.find([tmp_path]) == [path]


@pytest.mark.parametrize(
    "words", [["--mask", "m.nii"], ["--extract", "never"], ["--labels", "fast"]]
)
def test_options_of_tissues_are_refused(words, tmp_path):
    image, _ = small_head()
    path = write_nifti(tmp_path / "rhesus.nii.gz", np.asarray(image.dataobj))
    done = CliRunner().invoke(app, ["suggest", str(path), "--what", "brain", *words])
    assert f"--what brain looks for the brain itself, so {words[0]}" in str(done.exception)


def test_what_is_corrected_is_kept_and_not_suggested_again(monkeypatch):
    image, brain = small_head()
    bright = Shells(0.5, 2.0)
    monkeypatch.setattr(networks, "load_heads", lambda path=None, precision="auto": bright)
    first = suggestion.suggest_brain(image, 1)
    finished = nib.Nifti1Image(np.where(brain, 1, 2).astype(np.uint8), np.eye(4))
    filled = suggestion.fill_in(first, finished)
    second = suggestion.suggest_brain(image, 1, labelled=filled)
    assert abs(second.slices[0] - first.slices[0]) > 2
    proposal = grid.ras(second.proposal(), None)[0]
    assert np.array_equal(proposal[:, first.slices], np.asarray(finished.dataobj)[:, first.slices])
    assert (proposal[:, second.slices] > 0).all() and first.whole_head


def test_thin_stacks_and_odd_lists_are_refused(parent, tmp_path):
    image, brain = small_head()
    out = tmp_path / "x.weights.h5"
    with pytest.raises(InputError, match="2 images and 1 label images"):
        heads.adapt([image, image], one_slice(brain), parent, out)
    thin = nib.Nifti1Image(np.asarray(image.dataobj)[:, 13:16], np.eye(4))
    with pytest.raises(InputError, match="too few slices"):
        heads.adapt(thin, one_slice(brain[:, 13:16], 1), parent, out)
    with pytest.raises(InputError, match="these are the weights to start from"):
        heads.adapt(image, one_slice(brain), parent, checkpoint.HEADS)
