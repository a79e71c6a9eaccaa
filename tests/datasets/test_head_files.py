import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import ball_head, nightly_but

from patchseg.core.errors import InputError
from patchseg.core.files import sha256
from patchseg.datasets import brains, heads

REAL = os.environ.get("PATCHSEG_ZOO")
real = pytest.mark.skipif(not REAL, reason="PATCHSEG_ZOO names no folder with real brains")


@pytest.fixture
def ball(tmp_path, monkeypatch):
    """One head in a folder and in a registry; its mask has a header of its own."""
    image, mask = ball_head((20, 18, 16))
    folder = tmp_path / "me+balls"
    folder.mkdir()
    nib.save(nib.Nifti1Image(image, np.diag([1, 1, 3, 1])), folder / "head.nii.gz")
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), np.eye(4)), folder / "mask.nii.gz")
    files = {
        name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
        for name in ("head.nii.gz", "mask.nii.gz")
    }
    one = {
        "species": "ball",
        "modality": "T1w",
        "licence": "CC0",
        "citation": "Nobody 1999",
        "repository": "https://github.com/me/balls",
        "commit": "0" * 40,
        "image": "head.nii.gz",
        "mask": "mask.nii.gz",
        "by_index": True,
        "files": files,
    }
    monkeypatch.setenv("PATCHSEG_ZOO", str(tmp_path))
    monkeypatch.setattr(heads, "REGISTRY", tmp_path / "heads.json")

    def write(**changes):
        (tmp_path / "heads.json").write_text(json.dumps({"head-ball": one | changes}))

    write()
    return image, mask, write


def test_a_head_is_read_with_its_mask(ball):
    image, mask, _ = ball
    one = heads.load("head-ball")
    assert np.array_equal(one.image, image) and np.array_equal(one.mask, mask)
    assert one.voxel_mm == (1, 1, 3) and not one.known.any() and one.species == "ball"
    assert brains.is_head("head-ball") and brains.load("head-ball").name == "head-ball"
    assert "head-ball" in brains.names(["head-*"], heads=True)
    assert brains.identity.__wrapped__("head-ball")[:3] == ["ball", "mask", True]


def test_a_wrong_header_or_name_is_told(ball):
    *_, write = ball
    write(by_index=False)
    with pytest.raises(InputError, match="affine"):
        heads.load("head-ball")
    with pytest.raises(InputError, match="'head-x' is no head; there are head-ball"):
        heads.load("head-x")
    write(mask="other.nii.gz")
    with pytest.raises(InputError, match=r"heads\.json: head-ball: 'other\.nii\.gz' is not under"):
        heads.entries()


@real
def test_registry_agrees_with_the_folder():
    theirs = json.loads((Path(REAL) / "registry.json").read_text())
    for name, one in heads.entries().items():
        known = theirs[name]
        assert (one.species, one.licence, one.image, one.mask, one.modality) == (
            known["species"], known["licence"], known["image"], known["labels"], known["contrast"]
        )  # fmt: skip
        assert {path: file.model_dump() for path, file in one.files.items()} == known["files"]


@real
@pytest.mark.parametrize("name", nightly_but(["head-macaque-yerkes-t1"], heads.entries()))
def test_every_head_has_more_than_its_brain(name):
    one = heads.load(name)
    assert 0.05 < one.mask.mean() < 0.3
    bright = one.image > 0.2 * np.percentile(one.image, 99)
    assert bright[one.mask].mean() > 0.9 and (bright & ~one.mask).sum() > one.mask.sum()


@real
def test_a_label_map_holds_the_whole_head():
    codes, affine = heads.codes("human-labels-01")
    assert {2, 3, 24, 507, 511, 515} <= set(np.unique(codes)) and affine.shape == (4, 4)
