"""One brain in many guises: the same answer, or an error that names what is wrong."""

import nibabel as nib
import numpy as np
import pytest
from conftest import ball_brain

import patchseg
from patchseg.core.errors import InputError

SHAPE = (24, 22, 20)
DATA, LABELS = ball_brain(SHAPE)
INSIDE = LABELS > 0


def image(data, affine=None, dtype=None):
    return nib.Nifti1Image(data, np.eye(4) if affine is None else affine, dtype=dtype)


def typed(dtype):
    return lambda: image(np.rint(DATA).astype(dtype), dtype=dtype)


def outside(value, data=DATA):
    return lambda: image(np.where(INSIDE, data, value).astype(np.float32))


def scaled(factor, offset=0.0):
    return lambda: image((DATA.astype(np.float64) * factor + offset).astype(np.float32))


def swapped():
    return nib.Nifti1Image(DATA, np.eye(4), nib.Nifti1Header(endianness=">"))


def in_micrometres():
    made = image(DATA, np.diag([1000, 1000, 1000, 1.0]))
    made.header.set_xyzt_units("micron")
    return made


SAME = {
    **{f"type {one}": typed(one) for one in ("u1", "i2", "u2", "i4", "u4", "i8", "f8", ">i2")},
    **{f"times {one:g}": scaled(one) for one in (1e-42, 1e-30, 1e-6, 1e6, 1e30, 1e36)},
    **{f"plus {one:g}": scaled(1, one) for one in (-1000, -100, 1000)},
    **{f"{one:g} outside": outside(one) for one in (-1e6, -1000, -50, -1, 31, 60, 80)},
    "swapped bytes": swapped,
    "4D": lambda: image(DATA[..., None]),
    "micrometres": in_micrometres,
    "MGH": lambda: nib.MGHImage(DATA, np.eye(4)),
}
FILLED = {
    "NaN outside": outside(np.nan),
    "infinity outside": outside(np.inf),
    "NaN in the air of a negative background": lambda: image(
        np.where(INSIDE, DATA, np.where(np.arange(20) % 5 == 0, np.nan, -100)).astype(np.float32)
    ),
}
MASKS = {
    "whole numbers": INSIDE.astype(np.uint8),
    "255": INSIDE.astype(np.uint8) * 255,
    "a tiny number": INSIDE * np.float32(1e-30),
    "labels": LABELS,
    "true and false as float": INSIDE.astype(np.float64),
}


@pytest.fixture
def plain(network):
    return np.asarray(patchseg.segment(image(DATA)).dseg.dataobj)


@pytest.mark.parametrize("names", [list(SAME)[:9], list(SAME)[9:18], list(SAME)[18:]])
def test_the_same_brain_gives_the_same_labels(plain, names):
    for name in names:
        found = np.asarray(patchseg.segment(SAME[name]()).dseg.dataobj)
        assert (found != plain).sum() <= (3 if name.startswith("type") else 0), name


def test_voxels_without_a_value_become_background(plain):
    for name, make in FILLED.items():
        with pytest.raises(InputError, match="NaN or infinite"):
            patchseg.segment(make())
        found = patchseg.segment(make(), nan_as_background=True)
        assert np.array_equal(found.dseg.dataobj, plain), name


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_of_any_kind_gives_the_same_labels(plain, name):
    found = patchseg.segment(image(DATA), image(MASKS[name]))
    assert np.array_equal(found.dseg.dataobj, plain) and "mask of shares" not in set(found.qc.check)


def test_a_mask_of_the_other_side_is_put_right(plain):
    """The same world, stored from right to left."""
    affine = np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = SHAPE[0] - 1
    found = patchseg.segment(image(DATA), image(INSIDE[::-1].astype(np.uint8), affine))
    assert np.array_equal(found.dseg.dataobj, plain)


@pytest.mark.parametrize("soft", [0.0001, 0.4])
def test_a_mask_of_shares_is_cut_at_a_half_and_said_so(plain, soft):
    shares = np.where(INSIDE, 0.9, soft).astype(np.float32)
    found = patchseg.segment(image(DATA), image(shares))
    assert np.array_equal(found.dseg.dataobj, plain) and found.verdict != "good"
    assert f"cut at 0.5, {INSIDE.mean():.0%} of what is above 0 is brain" in found.reasons


ONE = np.zeros(SHAPE, np.uint8)
ONE[12, 11, 10] = 1
WRONG_MASKS = {
    "-1 outside": (np.where(INSIDE, 1, -1).astype(np.int16), "mask.nii: the mask holds -1"),
    "one voxel": (ONE, "mask.nii: the mask has 1 of 10560 voxels"),
    "inverted": ((~INSIDE).astype(np.uint8), "mask.nii: the mask has .* is 0 in all of them"),
    "percent": (INSIDE * np.float32(99.5) + 0.2, "neither whole numbers nor shares"),
    "no brain": (INSIDE * np.float32(0.3) + 0.1, "mask.nii: the mask reaches 0.5 nowhere"),
}


@pytest.mark.parametrize("name", WRONG_MASKS)
def test_a_wrong_mask_is_named(network, tmp_path, name):
    mask, message = WRONG_MASKS[name]
    nib.save(image(mask), tmp_path / "mask.nii")
    with pytest.raises(InputError, match=message):
        patchseg.segment(image(DATA), tmp_path / "mask.nii")


@pytest.mark.parametrize("make", [scaled(-1), outside(200), scaled(0)])
def test_what_has_nothing_brighter_than_its_background_is_refused(network, make):
    with pytest.raises(InputError, match="brighter than the background|no brain|every voxel"):
        patchseg.segment(make())
