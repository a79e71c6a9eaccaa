"""`patchseg weights`, and `--weights NAME` in the other commands."""

import numpy as np
import pytest
from conftest import ball_brain, ball_head, labelled_ball, write_nifti
from typer.testing import CliRunner

from patchseg import checkpoint
from patchseg.adaptation import fine_tuning, record, suggestion
from patchseg.cli import options
from patchseg.cli.main import app
from patchseg.core.errors import InputError
from patchseg.inference import library, networks

ODD = "\x1b[2Jferret\n\u202e[red]"
CARD = {
    "adapted_to": [
        {"image": ODD, "plane": "coronal", "slices": [7, 9], "held_out": [12]},
        {"image": "b.nii.gz", "plane": "coronal", "slices": [3]},
    ],
    "parent": "0" * 64,
    "dice_after": {"GM": 0.95},
    "held_out_before": {"GM": 0.5},
    "held_out_after": {"GM": 0.8, "WM": 0.9},
    "calibrated_mm": [40, 60],
}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def put(folder, name, **known):
    path = folder / f"{name}.weights.h5"
    path.write_bytes(name.encode())
    checkpoint.write_card(path, {}, **known)
    return path


def run(*words, **how):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, **how)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words):
    return str(CliRunner().invoke(app, [str(word) for word in words]).exception)


def test_the_table_shows_what_cards_tell_and_no_letter_that_moves_the_cursor(mine):
    put(mine, "ferret", **CARD)
    put(mine, "odd", adapted_to=ODD)
    said = run("weights", "list")
    lines = said.splitlines()
    assert all(line.isprintable() for line in lines) and len(lines) == 7
    assert [line.split()[0] for line in lines[:5]] == ["name", "patchseg", "heads", "ferret", "odd"]
    row = lines[3]
    assert r"\x1b[2Jferret\n\u202e[red] + 1" in row and row.endswith(
        "  3       0.850          40 to 60"
    )
    assert "odd  cannot be used" in said and str(mine) in lines[-1]


def test_a_card_is_shown_in_words(mine):
    path = put(mine, "ferret", **CARD, looks=record.looks([labelled_ball()], 99))
    said = run("weights", "show", "ferret")
    for words in (
        "ferret: weights that tell the tissues (CSF, GM, WM), of yours",
        r"taught by \x1b[2Jferret\n\u202e[red]: coronal slices 7, 9; a brain of 16.2 cm³",
        "Dice on labels held out: GM 0.500 before, 0.800 now; WM 0.900 now",
        "calibrated for brains of 40 to 60 mm (64 to 216 cm³)",
        f"file: {path}",
    ):
        assert words in said
    assert "find the brain in a head, of the package" in run("weights", "show", "heads")
    said = run("weights", "show", "patchseg")
    assert "brains of 25 to 95 mm (15.6 to 857 cm³)" in said and "macaque-21mo" in said


@pytest.mark.parametrize(("kept", "says"), [
    ("parent", "nothing kept of"),
    ("borders", "only the borders of the tissues were moved"),
])  # fmt: skip
def test_what_the_guard_left_is_said(mine, kept, says):
    put(mine, "ferret", **CARD, kept=kept, guard={"said": "on 2 slices \x1b[2J"})
    said = run("weights", "show", "ferret")
    assert says in said and "when it was taught: on 2 slices \\x1b[2J" in said


def test_what_cannot_be_used_is_not_added(mine, tmp_path):
    for file, says in (
        (put(tmp_path, "ferret"), "holds 6 bytes"),
        (put(tmp_path, "masks", dimensions=3), "holds 5 bytes"),
        (tmp_path / "none.weights.h5", "no such file"),
    ):
        assert says in refused("weights", "add", file)
    assert library.names()[2:] == []


def test_weights_are_added_and_removed_only_when_the_user_says_so(network, mine, tmp_path):
    file = put(tmp_path, "ferret")
    assert run("weights", "add", file, "--name", "old_ferret").strip().startswith(str(mine))
    no = CliRunner().invoke(app, ["weights", "remove", "old_ferret"], input="n\n")
    assert no.exit_code == 1 and library.names()[2:] == ["old_ferret"]
    assert "removed old_ferret" in run("weights", "remove", "old_ferret", input="y\n")
    run("weights", "add", file)
    run("weights", "remove", "ferret", "--yes")
    assert not any(mine.iterdir())
    assert "come with the package" in refused("weights", "remove", "heads", "--yes")


def test_names_complete_in_the_shell(mine):
    put(mine, "ferret")
    assert options.names_of_weights("") == ["patchseg", "heads", "ferret"]
    assert options.names_of_weights("f") == ["ferret"]


def test_segment_offers_weights_of_a_like_image_and_takes_none(network, mine, tmp_path):
    image, _ = ball_brain()
    path = write_nifti(tmp_path / "ball.nii.gz", image)
    put(mine, "ball", looks=record.looks([labelled_ball()], 99))
    put(mine, "other", looks=record.looks([labelled_ball(affine=np.diag([3, 3, 3, 1]))], 99))
    words = ("segment", path, "--no-report", "--out", tmp_path / "out")
    offered = "weights 'ball' were taught on an image like this one (brain of 16.2 cm³ against 16.2"
    said = run(*words)
    assert offered in said and "'other'" not in said
    assert offered in run(*words)  # also where the result is there already
    assert "taught" not in run(*words, "--weights", "patchseg")


def test_an_unknown_name_is_refused_before_the_work(mine):
    put(mine, "ferret")
    for words in (("segment", "x.nii"), ("bids", "in", "out", "group"), ("suggest", "x.nii")):
        said = refused(*words, "--weights", "feret")
        assert "feret: no weights have this name" in said and "did you mean 'ferret'?" in said
    assert "no weights have this name" in refused("segment", "x.nii", "--brain-weights", "x")


def test_adapt_writes_under_a_name(mine, monkeypatch):
    given = {}

    def learn(images, labelled, weights, out, **more):
        given.update(weights=weights, out=out, brain=more["brain_weights"])
        put(mine, "new", steps=1, seconds=1, stopped=False, changed=0, adapted_to=[])

    monkeypatch.setattr(fine_tuning, "adapt", learn)
    monkeypatch.setattr(options, "compute_with", lambda threads: None)
    old = put(mine, "old")
    words = ("adapt", "a.nii", "b.nii", "--weights", "old", "--brain-weights", "heads")
    run(*words, "--name", "new")
    assert given == {"weights": old, "out": mine / "new.weights.h5", "brain": checkpoint.HEADS}
    assert "give one of them" in refused(*words, "--name", "new", "--out", "x.weights.h5")
    assert "there already" in refused(*words, "--name", "old")
    assert "not a name" in refused(*words, "--name", "../old")


def test_suggest_looks_for_the_brain_with_weights_of_ones_own(network, mine, tmp_path, monkeypatch):
    image, _ = ball_head()
    path, asked = write_nifti(tmp_path / "head.nii.gz", image), []
    real = networks.load_heads
    monkeypatch.setattr(
        networks, "load_heads", lambda path=None, precision="auto": asked.append(path) or real()
    )
    suggestion.suggest(path, brain_weights="heads")
    assert set(asked) == {"heads"}
    with pytest.raises(InputError, match="none: no weights have this name"):
        suggestion.suggest(path, brain_weights="none")
    assert "--brain-weights is of no use" in refused(
        "suggest", path, "--what", "brain", "--brain-weights", "heads"
    )


def test_suggest_goes_on_with_named_weights_and_says_what_a_slice_may_bring(
    network, mine, tmp_path
):
    path = write_nifti(tmp_path / "ball.nii.gz", ball_brain()[0])
    put(mine, "ball", adapted_to=[], changed=0.032)
    said = run("suggest", path, "--weights", "ball")
    assert "another slice will probably bring up to 0.013 of Dice" in said
    assert said.endswith(" --weights ball --name ball-2\n")
