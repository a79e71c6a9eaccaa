import numpy as np
import pytest

from patchseg.core.errors import InputError
from patchseg.datasets import labels


def test_freesurfer_by_hand():
    inside = np.array([True])
    csf, gm, wm = (
        [4, 5, 14, 15, 24, 31, 43, 44, 63, 72, 221],
        [3, 8, 10, 13, 17, 18, 26, 28, 42, 47, 49, 54, 58, 60, 1000, 2999],
        [2, 7, 16, 41, 46, 77, 85, 192, 251, 255, 3000, 5002],
    )
    other = [0, -1, 1, 9, 19, 30, 48, 55, 62, 80, 86, 136, 507, 999, 5003, 70000]
    for label, codes in ((255, other), (1, csf), (2, gm), (3, wm)):
        for code in codes:
            values = np.array([code], np.float32)
            found = labels.from_codes(values, inside, labels.CODINGS["freesurfer"])
            assert found.tolist() == [label], code
            assert not labels.from_codes(values, ~inside, labels.CODINGS["freesurfer"]).any()


def test_large_ids_are_told_apart():
    ids = np.array([2**24, 2**24 + 1, 2**32 - 1], np.uint32)
    codes = labels.coding(f"csf={2**24},gm={2**24 + 1},wm=3")
    assert labels.from_codes(ids, np.ones(3, bool), codes).tolist() == [1, 2, 255]
    huge = labels.coding(f"csf={2**40},gm=2,wm=3")  # costs no memory
    assert labels.from_codes(np.array([2**40, 3, 0]), np.ones(3, bool), huge).tolist() == [
        1,
        3,
        255,
    ]


def test_maps_that_are_no_probabilities_are_refused():
    percent = {"GM": np.array([70.0, 20.0]), "WM": np.array([25.0, 75.0])}
    with pytest.raises(InputError, match="sub-a: GM holds 20 to 70, and a probability lies"):
        labels.from_probabilities(percent, np.ones(2, bool), "sub-a")


@pytest.mark.parametrize("name", labels.CODINGS)
def test_codes_belong_to_one_tissue(name):
    codes = [code for known in labels.CODINGS[name].values() for code in known]
    assert len(codes) == len(set(codes)) and labels.coding(name) == labels.CODINGS[name]


@pytest.mark.parametrize(
    "text",
    [
        "csf=4,gm=9",
        "csf=a,gm=9,wm=12",
        "4,9,12",
        "csf=1,gm=2,bone=3",
        "csf=1,gm=1,wm=3",
        "csf=4,csf=5,gm=7,wm=9",
        "csf=0,gm=2,wm=3",
    ],
)
def test_unreadable_codes_are_refused(text):
    with pytest.raises(InputError, match="write the codes of each tissue, .* csf=4,gm=3"):
        labels.coding(text)


def test_labels_that_were_interpolated_are_refused():
    with pytest.raises(InputError, match="seg.nii: label 2.5 is not a whole number"):
        labels.from_codes(np.array([1, 2.5]), np.ones(2, bool), labels.CODINGS["fast"], "seg.nii")
