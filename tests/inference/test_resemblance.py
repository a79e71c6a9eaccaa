"""Which weights an image is told of: those taught on one alike in size, voxels and contrast."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import labelled_ball

from patchseg.adaptation import record
from patchseg.inference import library, resemblance
from patchseg.inference.resemblance import Look

T1W = [0.2, 0.4, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8]


def look(size_mm=50.0, voxel_mm=0.5, bright=0.5, profile=T1W):
    return {
        "size_mm": size_mm,
        "voxel_mm": voxel_mm,
        "quantiles": [bright] * len(resemblance.SHARES),
        "profile": profile,
    }


def entry(name="macaque", kind="tissues", own=False, **told):
    return library.Entry(name, Path(name), own, kind, told=library.Told(**told))


def offers(seen, *entries):
    return resemblance.offers([("a.nii.gz", seen)], list(entries))


def test_the_distance_is_a_mean_difference_of_brightness():
    def far(**changes):
        return resemblance.distance(Look(**look()), Look(**look(**changes)))

    assert far() == 0 and far(bright=0.6) == pytest.approx(0.1)
    assert far(profile=[0.4, *T1W[1:]]) == pytest.approx(0.2 / 8)
    assert far(profile=None, size_mm=90) == 0


def test_an_offer_says_what_made_it_alike():
    said = offers(look(51), entry(looks=[look()]))
    assert said == [
        "weights 'macaque' were taught on an image like this one (brain of 133 cm³ against 125,"
        " voxels of 0.5 mm against 0.5, contrast like it); try --weights macaque"
    ]


def test_of_two_rounds_the_later_one_is_offered():
    first, second = entry("a", looks=[look()]), entry("b", looks=[look()])
    rounds = replace(first, written=1.0), replace(second, written=2.0)
    assert all("'b'" in offers(look(), *order)[0] for order in (rounds, rounds[::-1]))


@pytest.mark.parametrize(
    "seen",
    [look(61), look(41), look(voxel_mm=1.1), look(bright=0.6), look(profile=T1W[::-1]), {}, None],
)
def test_what_differs_in_one_of_them_is_not_offered(seen):
    assert offers(seen, entry(looks=[look()])) == []


def test_an_old_card_is_offered_by_size_alone_and_says_so():
    (said,) = offers(look(bright=0.9), entry(calibrated_mm=(40, 60)))
    assert "brain of 125 cm³, taught for 64 to 216; size only" in said
    assert offers(look(61), entry(calibrated_mm=(40, 60))) == []
    assert offers(look(), entry()) == []  # a card that tells nothing


def test_only_the_users_weights_of_tissues_and_the_most_alike_are_offered():
    told = {"looks": [look()]}
    assert offers(look(), entry(own=True, **told), entry(kind="masks", **told)) == []
    (said,) = offers(
        look(),
        entry("old", calibrated_mm=(40, 60)),
        entry("near", looks=[look(bright=0.9), look(bright=0.51)]),
        entry("far", looks=[look(bright=0.54)]),
    )
    assert "'near'" in said


def test_many_images_get_one_line_for_each_weights():
    seen = [(f"{n}.nii.gz", look(50 + n % 2 * 50)) for n in range(9)]
    (said,) = resemblance.offers(seen, [entry(looks=[look()])])
    assert "like 5 of these 9: 0.nii.gz, 2.nii.gz, 4.nii.gz and 2 more (the first: brain" in said


def test_the_rim_tells_the_contrast():
    assert Look(**look()).contrast() == "like T1w"
    assert Look(**look(profile=T1W[::-1])).contrast() == "like T2w"
    assert Look(**look(profile=None)).contrast() == Look(**look(profile=[0.5] * 8)).contrast() == ""


def test_a_look_does_not_depend_on_the_scanners_units():
    one = labelled_ball()
    plain, brighter = record.looks([one, replace(one, image=7 * one.image)], 99)
    assert plain == brighter and plain["voxel_mm"] == 1
    assert plain["size_mm"] == pytest.approx((one.labels > 0).sum() ** (1 / 3), abs=0.01)
    assert np.all(np.diff(plain["quantiles"]) >= 0) and len(plain["profile"]) == 8


@pytest.mark.skipif("PATCHSEG_ZOO" not in os.environ, reason="needs the brains of the zoo")
def test_macaques_of_one_scanner_are_alike_and_a_mouse_is_not():
    from patchseg.datasets import brains

    taught, other, mouse = (
        record.looks([brains.load(name)], 99)[0]
        for name in ("macaque-21mo", "macaque-4mo", "mouse-fvb-2")
    )
    known = entry(looks=[taught])
    assert "contrast like it" in offers(other, known)[0] and offers(mouse, known) == []
