import functools
import gzip
import hashlib
import http.server
import json
import os
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain, nightly_but, write_nifti
from typer.testing import CliRunner

from patchseg.cli import zoo as zoo_cli
from patchseg.core.errors import InputError
from patchseg.datasets import bids, zoo, zoo_bids

REAL = os.environ.get(zoo.VARIABLE)
real = pytest.mark.skipif(
    not REAL, reason=f"needs the zoo's files: set {zoo.VARIABLE} to a folder that holds them"
)
ONE_OF_EACH_CODING = (
    "human-eve",
    "human-nii2mesh",
    "macaque-4mo",
    "human-labels-01",
    "mouse-fvb-2",
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TABLE = {
    "species": "ball",
    "modality": "T1w",
    "split": "train",
    "licence": "CC0",
    "citation": "Nobody 1999",
    "repository": "https://github.com/me/balls",
    "commit": COMMIT,
}


def add(folder, registry, name, image, labels, **fields):
    """Write a brain as the repository me/balls would hold it, and its entry."""
    entry = {**TABLE, "coding": "FAST", **fields}
    arrays = {
        f"{name}/t1.nii.gz": image,
        **({f"{name}/{key}.nii.gz": data for key, data in labels.items()}),
    }
    arrays = {path: data for path, data in arrays.items() if data is not None}
    entry["image"] = f"{name}/t1.nii.gz" if image is not None else None
    entry["labels"] = (
        {key: f"{name}/{key}.nii.gz" for key in labels}
        if len(labels) > 1
        else f"{name}/{next(iter(labels))}.nii.gz"
    )
    entry["files"] = {}
    for path, data in arrays.items():
        written = write_nifti(
            folder / "me+balls" / path, data, np.diag([-1.0, 1, 1, 1])
        ).read_bytes()  # stored as LAS
        entry["files"][path] = {
            "sha256": hashlib.sha256(written).hexdigest(),
            "bytes": len(written),
        }
    if entry["modality"] != "T1w":
        entry.pop("split")
    registry[name] = entry


@pytest.fixture
def balls(tmp_path, monkeypatch):
    """A zoo of balls: three in T1w, a T2w of c, and labels alone.

    The labels of b are probabilities, those of c FreeSurfer codes.
    """
    folder, registry = tmp_path / "files", {}
    image, labels = ball_brain((20, 18, 16))
    image[0, 0, 0], labels[0, 0, 0] = 50, 2  # a stray voxel
    image[-1, 0, 0] = -0.01
    add(folder, registry, "a-1", image, {"seg": labels})
    add(
        folder,
        registry,
        "b",
        image,
        {"GM": (labels == 2).astype(np.float32), "WM": (labels == 3).astype(np.float32)},
        coding="probabilities",
        split="val",
    )
    codes = np.choose(labels, [0, 0, 1035, 41]).astype(np.float32)  # no sulcal CSF
    add(folder, registry, "c", image, {"aseg": codes}, coding="FreeSurfer", split="test")
    add(
        folder,
        registry,
        "c-t2",
        100 - image,
        {"aseg": codes},
        coding="FreeSurfer",
        modality="T2w",
        same_brain_as="c",
    )
    add(folder, registry, "d", None, {"aseg": codes}, coding="FreeSurfer", modality=None)
    monkeypatch.setenv(zoo.VARIABLE, str(folder))
    return use(registry, tmp_path, monkeypatch)


def use(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "REGISTRY", tmp_path / "zoo.json")
    zoo.REGISTRY.write_text(json.dumps(registry))
    return registry


def test_load_is_ras_clean_and_recoded(balls):
    expected = ball_brain((20, 18, 16))[1][::-1]
    for name in ("a-1", "b"):
        one = zoo.load(name)
        assert nib.aff2axcodes(one.affine) == ("R", "A", "S") and one.species == "ball"
        assert (one.image.dtype, one.labels.dtype) == (np.float32, np.uint8)
        assert np.array_equal(one.labels, expected)
        assert np.array_equal(one.image > 0, expected > 0) and one.image.min() == 0
    assert np.array_equal(zoo.load("c").labels, np.where(expected == 1, 255, expected))
    alone = zoo.load("d")
    assert alone.image is None and alone.labels.max() == 3


def test_files_of_the_folder_are_checked(balls, tmp_path, monkeypatch):
    path = tmp_path / "files" / "me+balls" / "a-1" / "seg.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(
        InputError,
        match=(
            f"seg.nii.gz: {len(whole) - 1} bytes, the registry says {len(whole)}; copy it again"
            " from https://raw"
        ),
    ):
        zoo.fetch("a-1")
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match=r"seg.nii.gz: sha256 [0-9a-f]{64}, the registry says"):
        zoo.fetch("a-1")
    path.unlink()
    with pytest.raises(
        InputError,
        match=(
            "seg.nii.gz: no such file, although PATCHSEG_ZOO names"
            f" .*/me/balls/{COMMIT}/a-1/seg.nii.gz"
        ),
    ):
        zoo.fetch("a-1")
    with pytest.raises(InputError, match="'a1' is not in the zoo; did you mean 'a-1'"):
        zoo.fetch("a1")


@pytest.fixture
def server(balls, tmp_path, monkeypatch):
    """The files of `balls` on a local server that notes what is `asked`; no folder, no cache."""
    root, asked = tmp_path / "www", []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    (root / "me" / "balls").mkdir(parents=True)
    (tmp_path / "files" / "me+balls").rename(root / "me" / "balls" / COMMIT)
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=root)
    ) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        monkeypatch.setattr(zoo, "RAW", f"http://127.0.0.1:{listening.server_address[1]}")
        monkeypatch.setattr(zoo, "RETRIES", 1)
        monkeypatch.delenv(zoo.VARIABLE)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in (
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ):
            monkeypatch.delenv(name, raising=False)
        yield root / "me" / "balls" / COMMIT, asked
        listening.shutdown()


def test_download_once_into_a_cache_that_serves_as_folder(server, tmp_path, monkeypatch):
    _, asked = server
    paths = zoo.fetch("a-1")
    assert all(path.is_file() for path in paths.values()) and len(asked) == 2
    assert zoo.fetch("a-1") == paths and len(asked) == 2
    cache = paths["a-1/seg.nii.gz"].parents[2]
    assert (
        paths["a-1/seg.nii.gz"] == cache / "me+balls" / "a-1" / "seg.nii.gz"
        and tmp_path in cache.parents
    )
    monkeypatch.setenv(zoo.VARIABLE, str(cache))
    assert zoo.fetch("a-1") == paths


def test_damaged_cache_is_downloaded_again(server):
    path = zoo.fetch("a-1")["a-1/seg.nii.gz"]
    whole = path.read_bytes()
    path.write_bytes(b"damaged")
    assert zoo.fetch("a-1")["a-1/seg.nii.gz"].read_bytes() == whole


def test_failed_download_names_address_and_mend(server, monkeypatch):
    remote, asked = server
    message = (
        f"/me/balls/{COMMIT}/a-1/seg.nii.gz: cannot be downloaded .*; go online and try again, or"
        " set PATCHSEG_ZOO to a folder that holds me\\+balls/a-1/seg.nii.gz"
    )
    (remote / "a-1" / "seg.nii.gz").write_bytes(gzip.compress(b"other bytes"))
    with pytest.raises(InputError, match=message):
        zoo.fetch("a-1")
    assert sum("seg" in path for path in asked) == 2  # once, and once more
    monkeypatch.setattr(zoo, "RAW", "http://127.0.0.1:9")
    monkeypatch.setattr(zoo, "RETRIES", 0)
    with pytest.raises(InputError, match=message) as error:
        zoo.fetch("a-1")
    assert "\n" not in str(error.value)


def test_bids_round_trip(balls, tmp_path):
    written, skipped = zoo_bids.write(tmp_path / "bids", list(balls))
    assert written == ["a-1", "b", "c", "c-t2"] and skipped == {"d": "labels without an image"}
    subjects = bids.subjects(tmp_path / "bids")
    assert [(one.name, one.species, one.split) for one in subjects] == [
        ("sub-a1", "ball", "train"),
        ("sub-b", "ball", "val"),
        ("sub-c", "ball", "test"),
    ]
    for one, name in zip(subjects, written, strict=False):
        read, clean = one.load(), zoo.load(name)
        assert np.array_equal(read.labels, clean.labels)
        assert np.array_equal(read.affine, clean.affine) and np.allclose(read.image, clean.image)
    assert sorted(path.name for path in (tmp_path / "bids" / "sub-c" / "anat").iterdir()) == [
        "sub-c_T1w.nii.gz",
        "sub-c_T2w.nii.gz",
    ]
    assert (
        "a-1 to c-t2 (4): licence CC0. Please cite Nobody 1999."
        in (tmp_path / "bids" / "README").read_text()
    )
    with pytest.raises(InputError, match="bids: holds a dataset already"):
        zoo_bids.write(tmp_path / "bids")


def test_bids_of_some_brains_and_other_splits(balls, tmp_path):
    with pytest.raises(
        InputError, match=r"no brain has split 'val' \(brains with a T1w: a-1=train, c=test\)"
    ):
        zoo_bids.write(tmp_path / "bids", ["a-1", "c"])
    with pytest.raises(InputError, match="split 'val' is given to 'd', which is not among"):
        zoo_bids.write(tmp_path / "bids", splits={"d": "val"})
    with pytest.raises(InputError, match="split 'valid' of b is unknown"):
        zoo_bids.write(tmp_path / "bids", splits={"b": "valid"})
    assert not (tmp_path / "bids").exists()
    zoo_bids.write(tmp_path / "bids", splits={"a-1": "val", "b": "train"})
    assert [one.split for one in bids.subjects(tmp_path / "bids")] == ["val", "train", "test"]


def test_labels_may_have_codes_of_their_own(balls, tmp_path, monkeypatch):
    """Those of the mice have: what no tissue names is unlabelled."""
    own = {"coding": "codes", "codes": {"CSF": [3], "GM": [2], "WM": []}}
    use({**balls, "a-1": {**balls["a-1"], **own}}, tmp_path, monkeypatch)
    expected = ball_brain((20, 18, 16))[1][::-1]
    found = zoo.load("a-1").labels
    assert (found[expected == 3] == 1).all() and (found[expected == 2] == 2).all()
    assert (found[expected == 1] == 255).all()


def test_bids_skips_a_t2w_without_a_t1w_of_that_brain(balls, tmp_path, monkeypatch):
    alone = {**balls["a-1"], "modality": "T2w", "split": None}
    use({**balls, "m": alone}, tmp_path, monkeypatch)
    _, skipped = zoo_bids.write(tmp_path / "bids")
    assert skipped["m"] == "a T2w without a T1w, which the pipeline trains on"


def test_bids_skips_a_t2w_without_its_t1w(balls, tmp_path, monkeypatch):
    use({**balls, "e": {**balls["a-1"], "split": "test"}}, tmp_path, monkeypatch)
    assert zoo_bids.write(tmp_path / "bids", ["a-1", "b", "e", "c-t2"]) == (
        ["a-1", "b", "e"],
        {"c-t2": "a T2w without its T1w, c"},
    )


WRONG = {
    "a typo": ({"specie": "ball"}, "a-1.specie = 'ball': Extra inputs"),
    "a short sha": (
        {"files": {"a-1/t1.nii.gz": {"sha256": "12", "bytes": 1}}},
        "a-1.files.a-1/t1.nii.gz.sha256 = '12'",
    ),
    "a path out of the folder": (
        {"files": {"../t1.nii.gz": {"sha256": "0" * 64, "bytes": 1}}},
        r"a-1.files.\.\./t1.nii.gz",
    ),
    "a file without sha": ({"image": "t9.nii.gz"}, "'t9.nii.gz' is not under files; add it"),
    "a branch for a commit": ({"commit": "main"}, "a-1.commit = 'main'"),
    "no modality": ({"modality": None}, "give both image and modality"),
    "no split": ({"split": None}, "a T1w wants a split"),
    "a T2w of no T1w": (
        {"modality": "T2w", "split": None, "same_brain_as": "d"},
        "a-1.same_brain_as = 'd': no entry of that name has a T1w",
    ),
    "codes without the coding": ({"codes": {"CSF": [1]}}, "coding 'codes' wants the codes"),
    "codes of two tissues": (
        {"coding": "codes", "codes": {"CSF": [1], "GM": [2]}},
        "codes wants CSF, GM and WM",
    ),
    "a code twice": (
        {"coding": "codes", "codes": {"CSF": [1], "GM": [2], "WM": [2]}},
        "each code once",
    ),
    "a T2w with a split": ({"modality": "T2w"}, "a T2w may have same_brain_as"),
    "one map": ({"coding": "probabilities"}, "wants a file for each tissue"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_entries_are_named(balls, tmp_path, monkeypatch, kind):
    fields, message = WRONG[kind]
    use({**balls, "a-1": {**balls["a-1"], **fields}}, tmp_path, monkeypatch)
    with pytest.raises(InputError, match=message) as error:
        zoo.entries()
    assert str(error.value).startswith(str(zoo.REGISTRY))


def test_commands(balls, tmp_path):
    def call(*words):
        done = CliRunner().invoke(zoo_cli.app, list(map(str, words)))
        return done.exception if isinstance(done.exception, InputError) else done.output

    listed = [line.split()[:2] for line in call("list").splitlines()]
    assert listed[: len(balls)] == [[name, "ball"] for name in balls]
    assert ["head-mouse-2", "mouse"] in listed
    said = call("fetch", "a-1", "d")
    assert (
        str(tmp_path / "files" / "me+balls" / "d" / "aseg.nii.gz") in said
        and "a-1, d: licence CC0. Please cite Nobody 1999. Source: https://github.com/me/balls/tree/"
        in said
    )
    assert "--split 'chimp' is not NAME=SPLIT" in str(
        call("bids", tmp_path / "bids", "--split", "chimp")
    )
    said = call(
        "bids", tmp_path / "bids", "a-1", "b", "c", "d", "--split", "c=train", "--split", "a-1=test"
    )
    assert "d: skipped, labels without an image" in said and "Please cite" in said
    assert [one.split for one in bids.subjects(tmp_path / "bids")] == ["test", "val", "train"]


def test_registry_lists_the_zoo():
    known = zoo.entries()
    assert len(known) == 29 and {one.species for one in known.values()} == {
        "human",
        "chimpanzee",
        "macaque",
        "mouse",
    }
    assert {one.split for one in known.values() if one.modality == "T1w"} == set(bids.SPLITS)
    names = [zoo_bids.subject(name) for name, one in known.items() if one.modality == "T1w"]
    assert (
        names
        == ["sub-humaneve", "sub-humannii2mesh", "sub-chimp", "sub-macaque21mo", "sub-macaque4mo"]
        and zoo_bids.subject("chimp-t2") == "sub-chimp"
    )
    assert all(
        one.licence in " ".join(zoo.notices([name]))
        and one.citation in " ".join(zoo.notices([name]))
        for name, one in known.items()
    )


@real
def test_registry_agrees_with_the_folder():
    theirs = json.loads((Path(REAL) / "registry.json").read_text())
    ours = zoo.entries()
    assert set(ours) <= set(theirs)  # the folder may hold brains that the package does not name
    for name, one in ((name, theirs[name]) for name in ours):
        assert {
            path: {"sha256": file.sha256, "bytes": file.bytes}
            for path, file in ours[name].files.items()
        } == one["files"]
        assert all(
            ours[name].url(path) == one["url"].replace("<path>", path) for path in one["files"]
        )
        assert (ours[name].species, ours[name].licence, ours[name].image) == (
            one["species"],
            one["licence"],
            one["image"],
        )
        assert [*ours[name].label_files.values()] == [
            path for path in np.atleast_1d(one["labels"]) if path
        ]


@real
@pytest.mark.parametrize("name", nightly_but(ONE_OF_EACH_CODING, zoo.entries()))
def test_every_brain_has_its_tissues_where_it_is_bright(name):
    one = zoo.load(name)
    assert nib.aff2axcodes(one.affine) == ("R", "A", "S")
    assert {0, 1, 2, 3} <= set(np.unique(one.labels)) <= {0, 1, 2, 3, 255}
    if one.image is None:
        return
    assert one.image.min() == 0 and not one.image[one.labels == 0].any()
    csf, gm, wm = (np.median(one.image[one.labels == tissue]) for tissue in (1, 2, 3))
    assert csf < gm < wm if zoo.entry(name).modality == "T1w" else csf > gm > wm


@real
def test_artificial_spheres_are_gone():
    one = zoo.load("human-nii2mesh")
    for x, y, z in ((13, 47, 122), (14, 124, 122)):
        ball = np.s_[x - 3 : x + 3, y - 3 : y + 3, z - 3 : z + 3]
        assert not one.image[ball].any() and not one.labels[ball].any()


@real
@pytest.mark.nightly
def test_dataset_of_the_zoo_loads(tmp_path):
    written, skipped = zoo_bids.write(
        tmp_path, ["human-nii2mesh", "chimp", "chimp-t2", "macaque-4mo", "human-labels-01"]
    )
    assert len(written) == 4 and list(skipped) == ["human-labels-01"]
    for one in bids.subjects(tmp_path):
        read = one.load()
        assert read.normalised(99).max() == 1 and not read.image[read.labels == 0].any()
        assert {0, 1, 2, 3} <= set(np.unique(read.labels)) <= {0, 1, 2, 3, 255}
