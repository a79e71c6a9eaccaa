"""Names of weights: what they may be, and which files they mean."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchseg import checkpoint
from patchseg.core.errors import InputError
from patchseg.inference import library, networks
from patchseg.inference.request import request

TRICKS = ("..", ".", "", "-x", "a/b", "../a", "/etc/passwd", "a\0", "a\n", "é", "a.b", "A" * 65)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The folder of the user's weights, not there yet."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "mine"))
    return tmp_path / "mine"


def put(folder, name, dimensions=2, **known):
    """Write what is no network and its card: enough for all that only reads cards."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.weights.h5"
    path.write_bytes(name.encode())
    checkpoint.write_card(path, {"dimensions": dimensions}, **known)
    return path


@given(st.one_of(st.text(), st.sampled_from(TRICKS), st.from_regex(library.NAME)))
def test_no_name_leads_out_of_the_folder(text):
    try:
        path = library.target(text)
    except InputError:
        assert not library.NAME.fullmatch(text) or text in library.OWN
    else:
        assert path == library.folder() / f"{text}.weights.h5" and path.name.isascii()
    try:
        found = library.find(text)
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert found == library.OWN.get(text, Path(text))


def test_a_name_means_the_files_in_the_folder_and_a_file_itself(mine, tmp_path, monkeypatch):
    path = put(mine, "macaque")
    monkeypatch.chdir(tmp_path)
    assert library.find("macaque") == library.find(Path("macaque"), tmp_path) == path
    assert library.find(None) is None and library.find("patchseg") == checkpoint.SHIPPED
    assert library.find("x.weights.h5", tmp_path) == tmp_path / "x.weights.h5"
    assert library.find("a/macaque") == Path("a/macaque")
    with pytest.raises(InputError, match="mcaque: no weights .* did you mean 'macaque'"):
        library.find("mcaque")
    with pytest.raises(InputError, match="rat: no weights .* patchseg, heads, macaque"):
        library.find("rat")
    with pytest.raises(InputError, match="say macaque, without .weights.h5"):
        library.find("macaque.weights.h5")
    Path("macaque").touch()
    assert library.find("macaque") == Path("macaque")  # a file of this name comes first


def test_a_name_does_in_functions_what_a_file_does(mine, tmp_path):
    path = put(mine, "macaque")
    image = put(tmp_path, "image").rename(tmp_path / "image.nii")
    assert request(image, None, "macaque") == request(image, None, path)
    assert request(image, brain_weights="heads") == request(image)
    for load in (networks.load, networks.load_heads):
        with pytest.raises(InputError, match="none: no weights have this name"):
            load("none")


def test_weights_are_added_once_and_removed_with_their_card(mine, tmp_path):
    file = put(tmp_path, "colleague")
    os.utime(file, (1e9, 1e9))
    path = library.add(file)
    assert path.read_bytes() == file.read_bytes() and library.names()[2:] == ["colleague"]
    assert library.entry("colleague").made == "2001-09-09"
    with pytest.raises(InputError, match="there already"):
        library.add(file)
    with pytest.raises(InputError, match="of the package"):
        library.add(file, "heads")
    library.add(file, "other")
    library.remove("colleague")
    assert sorted(one.name for one in mine.iterdir()) == ["other.json", "other.weights.h5"]
    file.write_bytes(b"damaged")
    with pytest.raises(InputError, match="sha256"):
        library.add(file, "third")


@pytest.mark.parametrize("name", ["patchseg", "heads", "none", "../mine/a"])
def test_only_what_is_in_the_folder_is_removed(mine, name):
    path = put(mine, "a")
    with pytest.raises(InputError, match="stay|no weights have this name"):
        library.remove(name)
    assert path.exists() and checkpoint.SHIPPED.exists()


def test_the_folder_is_one_of_the_users_data(monkeypatch, tmp_path):
    monkeypatch.delenv(library.VARIABLE)
    monkeypatch.setattr("sys.platform", "linux")
    assert library.folder().parts[-2:] == ("patchseg", "weights")
    monkeypatch.setenv(library.VARIABLE, str(tmp_path))
    assert library.folder() == tmp_path


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"adapted_to": [{"image": 5}]}, "adapted_to.0.image"),
        ({"looks": [{"size_mm": -1}]}, "looks.0.size_mm"),
        ({"held_out_after": {"GM": float("nan")}}, "held_out_after.GM"),
    ],
)
def test_an_odd_card_is_told_and_breaks_nothing(mine, known, says):
    put(mine, "odd", **known)
    put(mine, "plain", 3)
    odd, plain = library.entries()[2:]
    assert says in odd.problem and not odd.offered
    assert (plain.problem, plain.kind, plain.offered) == ("", "masks", False)


def test_a_folder_that_cannot_be_read_is_named(mine, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    mine.mkdir()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"mine: cannot be read .*PATCHSEG_WEIGHTS"):
        library.entries()


@pytest.mark.parametrize("known", [
    {"calibrated_mm": [1.0, 1e300]}, {"sizes_mm": [0, 5]}, {"looks": [{"size_mm": 1e200}]},
])  # fmt: skip
def test_a_card_with_absurd_lengths_is_told_and_breaks_nothing(mine, known):
    put(mine, "odd", **known)
    odd = library.entry("odd")
    assert odd.problem and not odd.offered


def test_a_folder_in_the_place_of_weights_and_one_that_cannot_be_written(mine, tmp_path):
    path = put(mine, "odd")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="odd.weights.h5: a folder, no weights"):
        library.remove("odd")
    assert checkpoint.card_path(path).is_file()
    own = put(tmp_path / "own", "ferret")
    checkpoint.card_path(path).unlink()
    path.rmdir()
    mine.rmdir()
    mine.write_text("")
    with pytest.raises(InputError, match="mine: cannot be written to; .*PATCHSEG_WEIGHTS"):
        library.add(own)
