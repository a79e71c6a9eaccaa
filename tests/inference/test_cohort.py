"""The page and tables of a cohort, from results that are written by hand."""

import json
import os
from html.parser import HTMLParser

import cv2
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import ball_brain, write_nifti

from patchseg.core.errors import InputError
from patchseg.inference import batch, cohort, outputs, places, thumbnail, triage


def make_up(out, name, gm=500.0, uncertainty=0.4, verdict="good", reasons="", picture=None):
    """Write what the page reads of a result."""
    record = {
        "verdict": verdict,
        "reasons": reasons,
        "qc": [{"check": "uncertainty", "value": uncertainty, "good": "≤ 0.53"}],
        "provenance": {"seconds": 3.0},
    }
    out.mkdir(parents=True, exist_ok=True)
    rows = [("CSF", 100.0), ("GM", gm), ("WM", 400.0), ("brain", gm + 500.0)]
    sizes = pd.DataFrame(rows, columns=["tissue", "volume_mm3"])
    sizes.to_csv(out / f"{name}_volumes.tsv", sep="\t", index=False)
    (out / f"{name}_dseg.json").write_text(json.dumps(record))
    if picture:
        (out / f"{name}_thumbnail.webp").write_bytes(picture)


class Page(HTMLParser):
    """What a browser sees: elements by name, with their attributes, and the JSON of the plots."""

    def __init__(self, out):
        super().__init__()
        self.elements, self.inside, self.json = [], None, ""
        self.text = (out / "index.html").read_text()
        self.feed(self.text)
        self.data = json.loads(self.json)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id") if tag == "script" else None

    def handle_data(self, text):
        if self.inside == "data":
            self.json += text

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


VALUES = [9.0, 9.0, 10.0, 10.0, 10.0, 11.0, 11.0, 20.0]
"""Median 10; absolute deviations 0, 0, 0, 1, 1, 1, 1, 10, so that the MAD is 1."""


def images(values, **columns):
    names = [f"sub-{number}" for number in range(1, len(values) + 1)]
    return pd.DataFrame({"image": names, "GM": values, **columns})


def test_outliers_by_hand():
    odd = triage.outliers(images(VALUES))
    assert odd.iloc[0].tolist()[:6] == ["sub-8", "", "GM", 20.0, 10.0, 8] and len(odd) == 1
    assert odd.z[0] == pytest.approx(10 / 1.4826)
    # 3.5 x 1.4826 is 5.19: 15.1 lies within, 15.3 does not, nor does 4.7
    assert triage.outliers(images([*VALUES[:7], 15.1])).empty
    assert triage.outliers(images([*VALUES[:7], 15.3])).image.tolist() == ["sub-8"]
    assert triage.outliers(images([4.7, 9.0, 10.0, 10.0, 10.0, 11.0, 11.0, 9.0])).z[0] < -3.5


def test_outliers_need_enough_images_and_a_spread():
    assert triage.outliers(images([9.0, 10.0, 10.0, 11.0, 11.0, 9.0, 99.0])).empty  # seven
    assert triage.outliers(images([*VALUES[:6], np.nan, 20.0])).empty  # seven that are numbers
    assert triage.outliers(images([0.0] * 7 + [1.0])).empty  # the MAD is 0


def test_outliers_are_looked_for_within_groups():
    both = images(VALUES + [20.0] * 4 + [21.0] * 4, group=["mouse"] * 8 + ["rat"] * 8)
    odd = triage.outliers(both)
    assert odd[["image", "group"]].values.tolist() == [["sub-8", "mouse"]]


def test_what_to_look_at_first_and_why():
    table = images(VALUES)
    table["verdict"] = ["good", "look", "failed", "good", "bad", "good", "good", "good"]
    table["reasons"] = ["", "unsure", "truncated", "", "no brain", "", "", ""]
    first = triage.look_first(table, triage.outliers(table, ["GM"]))
    assert first.image.tolist() == ["sub-3", "sub-5", "sub-2", "sub-8"]
    assert first.why.tolist()[:3] == ["truncated", "no brain", "unsure"]
    assert first.why[3] == "outlier among 8 images: GM 20, median 10, robust z +6.7"


def test_tables_and_page_of_a_cohort_with_participants(tmp_path):
    for number, value in enumerate(VALUES, start=1):
        make_up(tmp_path / f"sub-{number}" / "anat", f"sub-{number}", gm=value * 50)
    people = pd.DataFrame(
        {"species": ["mouse"] * 8, "group": ["a", "b"] * 4, "verdict": "x", "age": range(8)},
        index=[f"sub-{number}" for number in range(1, 9)],
    )
    first = cohort.cohort(tmp_path, {"sub-9": "truncated"}, participants=people[::-1])
    wide = pd.read_csv(tmp_path / "volumes_wide.tsv", sep="\t").set_index("image")
    sizes = ["CSF_mm3", "GM_mm3", "WM_mm3", "brain_mm3"]
    known = ["species", "group", "participant_verdict", "age"]
    assert wide.columns.tolist() == ["verdict", *sizes, *known] and len(wide) == 9
    assert wide.loc["sub-8"].tolist() == ["good", 100, 1000, 400, 1500, "mouse", "b", "x", 7]
    assert wide.verdict["sub-9"] == "failed" and wide.loc["sub-9", sizes + known].isna().all()
    long = pd.read_csv(tmp_path / "volumes.tsv", sep="\t")
    columns = ["image", "tissue", "volume_mm3", "species", "group", "verdict", "age"]
    assert long.columns.tolist() == columns and len(long) == 32
    assert long[long.image == "sub-3"].age.tolist() == [2] * 4
    # four images of each group (the species tells none apart) are too few for outliers
    assert first.image.tolist() == ["sub-9"]
    data = Page(tmp_path).data
    assert {image["group"] for image in data["images"]} == {"a", "b", "n/a"}
    assert [one["name"] for one in data["measures"]] == [
        *[f"{name} (cm³)" for name in ("CSF", "GM", "WM", "brain")],
        "uncertainty",
    ]
    first = cohort.cohort(tmp_path)
    assert first.image.tolist() == ["sub-9", "sub-8"]
    assert pd.read_csv(tmp_path / "look_first.tsv", sep="\t").equals(first)
    data = Page(tmp_path).data
    assert [one["odd"] for one in data["measures"]] == [[], [[1, 6.74]], [], [[1, 6.74]], []]
    assert data["images"][1]["image"] == "sub-8"
    assert pd.read_csv(tmp_path / "volumes.tsv", sep="\t").columns.tolist() == columns[:3]


HOSTILE = [
    "<script>alert(1)<",
    "\" onmouseover='alert(1)",
    "</script><img src=x onerror=alert(1)>".replace("/", "∕"),
    "line\nbreak\u2028",
    "{{ 7 * 7 }} ${x} `y` \\",
    "javascript:alert(1)",
]


def test_hostile_names_are_harmless(tmp_path):
    for name in HOSTILE:
        make_up(tmp_path, name, reasons="</script><b>", verdict="look")
        (tmp_path / f"{name}_report.html").write_text("")
    people = pd.DataFrame({"species": ["</script><i>"]}, index=["sub-1"])
    make_up(tmp_path, "sub-1")
    cohort.cohort(tmp_path, {"</script><u>": "<u>why"}, participants=people)
    page = Page(tmp_path)
    assert {image["image"] for image in page.data["images"]} == {*HOSTILE, "sub-1", "</script><u>"}
    assert {tag for tag, _ in page.elements} & {"b", "i", "u"} == set()
    assert len(page.all("script")) == 2 and not page.all("img")
    assert not [one for _, one in page.elements if any(name.startswith("on") for name in one)]
    links = {one["href"].partition("#")[0] for one in page.all("a")} - {""}
    assert len(links) == len(HOSTILE) and not any(set(one) & set(":<\"'\n") for one in links)
    assert "49" not in page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    assert len(pd.read_csv(tmp_path / "qc.tsv", sep="\t")) == len(HOSTILE) + 2
    again = cohort.cohort(tmp_path)  # what failed is read from the table, line breaks and all
    assert again.image.tolist()[0] == "</script><u>"


def test_the_page_loads_nothing(tmp_path):
    make_up(tmp_path, "a")
    cohort.cohort(tmp_path)
    page = Page(tmp_path)
    assert not page.all("link")[0]["href"].startswith("http") and "default-src 'none'" in page.text
    assert not [one for one in page.all("script") if "src" in one]


def test_old_results_without_thumbnails(tmp_path):
    make_up(tmp_path, "old", uncertainty=None)
    make_up(tmp_path, "new", uncertainty=None, picture=b"RIFF")
    cohort.cohort(tmp_path)
    page = Page(tmp_path)
    assert [one["src"] for one in page.all("img")] == ["data:image/webp;base64,UklGRg=="]
    assert "uncertainty" not in [one["name"] for one in page.data["measures"]]  # no value at all


@pytest.mark.parametrize(
    "qc", ['[{"check": "x", "value": "much"}]', '[{"check": "x", "value": []}]', "[{}]", "3"]
)
def test_records_with_odd_values_are_left_alone(tmp_path, qc):
    make_up(tmp_path, "a")
    make_up(tmp_path, "b")
    record = json.loads((tmp_path / "b_dseg.json").read_text()) | {"qc": json.loads(qc)}
    (tmp_path / "b_dseg.json").write_text(json.dumps(record))
    cohort.cohort(tmp_path)
    assert pd.read_csv(tmp_path / "qc.tsv", sep="\t").image.tolist() == ["a"]


@pytest.mark.parametrize("name", ["image", "verdict", "group", "seconds", "GM (cm³)", "link"])
def test_a_check_may_have_the_name_of_a_column(tmp_path, name):
    make_up(tmp_path, "a")
    record = json.loads((tmp_path / "a_dseg.json").read_text())
    record["qc"].append({"check": name, "value": 7.0})
    (tmp_path / "a_dseg.json").write_text(json.dumps(record))
    cohort.cohort(tmp_path)
    (image,) = Page(tmp_path).data["images"]
    assert image == {"image": "a", "link": "", "verdict": "good", "group": ""}


def test_a_folder_without_results_stays_empty(tmp_path):
    assert cohort.cohort(tmp_path).empty and not list(tmp_path.iterdir())


def test_tables_of_others_are_refused_and_own_ones_are_not(tmp_path):
    make_up(tmp_path, "a")
    (tmp_path / "a_report.html").write_text("a report")
    cohort.cohort(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= set(cohort.OWN)
    cohort.check_foreign(tmp_path)
    for name in cohort.OWN:
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=f"{name}: was not made by patchseg"):
            cohort.check_foreign(tmp_path)
        (tmp_path / name).write_text(before)


def read(path):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


def test_a_thumbnail_is_small_and_shows_three_slices_with_borders(network, tmp_path):
    image, labels = ball_brain((40, 60, 32))
    path = write_nifti(tmp_path / "a.nii.gz", image[::-1, :, ::-1], np.diag([-1, 1, -1, 1]))
    outcome = batch.segment_one(path, tmp_path / "out", None, False, {})
    assert not outcome.failed
    made = tmp_path / "out" / f"a_{thumbnail.ENDING}"
    assert made.stat().st_size < 20_000
    shown = thumbnail.picture(image, labels, (1.0, 1.0, 1.0))
    # 54 voxels of the ball along y, and 4 % around it on either side, take 144 pixels
    assert shown.shape[:2] == read(made).shape[:2] and 140 <= len(shown) <= 148
    coloured = np.ptp(shown.astype(int), axis=2) > 60
    assert 0.02 < coloured.mean() < 0.3
    assert np.abs(read(made).astype(int) - shown).mean() < 12  # whatever the order of the axes


def test_a_thumbnail_is_drawn_again_only_if_it_is_older_than_its_record(network, tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", ball_brain()[0])
    place = places.Place(path, tmp_path / "out")
    result = outputs.segment_file(path, place.out)
    made = place.path(thumbnail.ENDING)
    thumbnail.write(place, result)
    first = made.read_bytes()
    made.write_bytes(b"newer")
    thumbnail.write(place, result)
    assert made.read_bytes() == b"newer"
    os.utime(made, ns=(0, 0))
    thumbnail.write(place, result)
    assert made.read_bytes() == first


@pytest.mark.parametrize("shape", [(1, 40, 40), (40, 3, 40), (2, 2, 2)])
def test_a_picture_of_few_slices_or_of_no_brain(shape):
    labels = np.zeros(shape, np.uint8)
    assert thumbnail.picture(np.zeros(shape, np.float32), labels, (1, 1, 5)).ndim == 3
    labels[0] = 2
    image = nib.Nifti1Image(np.arange(labels.size, dtype=np.float32).reshape(shape), np.eye(4))
    shown = thumbnail.picture(image.get_fdata(dtype=np.float32), labels, (1, 1, 5))
    assert shown.dtype == np.uint8 and shown.max() > 100


def test_no_volumes_stay_of_a_run_whose_images_all_fail_now(tmp_path):
    make_up(tmp_path, "a")
    cohort.cohort(tmp_path)
    assert len(pd.read_csv(tmp_path / "volumes.tsv", sep="\t")) == 4
    cohort.cohort(tmp_path, {"a": "a.nii.gz: damaged"})
    assert pd.read_csv(tmp_path / "volumes.tsv", sep="\t").empty
