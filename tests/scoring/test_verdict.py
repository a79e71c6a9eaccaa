import json
from pathlib import Path

import pandas as pd
import pytest

from patchseg import params
from patchseg.cli import dev
from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.scoring import verdict

ROOT = Path(__file__).parents[2]


def scores(values):
    """Return rows of scores.csv of one recipe's patches; a list of seeds for each tissue."""
    rows = [
        ("patchseg", seed, "patch", tissue, dice, dice, 1.0, 1.0)
        for tissue, seeds in values.items()
        for seed, dice in enumerate(seeds)
    ]
    measures = ["dice", "iou", "hd95_mm", "avd_percent"]
    return pd.DataFrame(rows, columns=["method", "seed", "level", "tissue", *measures])


PUBLISHED = {"WM": [0.96, 0.961, 0.962], "GM": [0.95, 0.951, 0.952], "CSF": [0.8, 0.82, 0.84]}


def test_means_may_be_four_standard_errors_and_the_tolerance_apart():
    """By hand: sd 0.02 of three seeds; the error of two means of three is 0.02 sqrt(2/3)."""
    band = 4 * 0.02 * (2 / 3) ** 0.5 + 0.005
    for shift, said in ((0, True), (band - 1e-6, True), (-band + 1e-6, True), (band + 1e-6, False)):
        moved = [value + shift for value in PUBLISHED["CSF"]]
        table = verdict.compare(scores(PUBLISHED), scores(PUBLISHED | {"CSF": moved}), 0.005)
        table = table.set_index("tissue")
        assert (table.verdict["CSF"] == "reproduced") == said, shift
        assert table.difference["CSF"] == pytest.approx(shift, abs=1e-9)
        assert table.band["CSF"] == pytest.approx(band)
        assert table.verdict["WM"] == table.verdict["GM"] == "reproduced"


def test_a_small_spread_borrows_from_the_other_tissues_and_none_leaves_the_tolerance():
    table = verdict.compare(scores(PUBLISHED), scores(PUBLISHED), 0).set_index("tissue")
    together = ((0.001**2 + 0.001**2 + 0.02**2) / 3) ** 0.5
    assert table.band["WM"] == pytest.approx(4 * together * (2 / 3) ** 0.5)
    one = scores({"WM": [0.9], "GM": [0.9], "CSF": [0.5]}).assign(seed=float("nan"))
    table = verdict.compare(one, one.assign(dice=one.dice + 0.004), 0.005)
    assert table.band.tolist() == [0.005] * 3 and set(table.verdict) == {"reproduced"}


def test_a_tissue_that_nobody_labelled_is_reproduced_and_a_lost_one_is_not():
    known = scores(PUBLISHED)
    known.loc[known.tissue == "CSF", "dice"] = float("nan")
    assert set(verdict.compare(known, known, 0.005).verdict) == {"reproduced"}
    table = verdict.compare(known, known[known.tissue != "CSF"], 0.005).set_index("tissue")
    assert table.verdict["CSF"] == "differs"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose last run is published."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    files.write_table(scores(PUBLISHED), tmp_path / "artefacts" / "scores.csv")
    files.write_text(tmp_path / "artefacts" / "figures" / "a.png", "picture")
    files.write_text(tmp_path / "artefacts" / "zoo" / "b.png", "of no stage")
    monkeypatch.chdir(tmp_path)
    dev.publish()
    return tmp_path


def of_run(project, tolerance=None):
    return verdict.of_run(project, params.load(project / "params.yaml"), tolerance)


def test_one_score_moved_by_hand_differs_and_is_named(project):
    files.write_text(project / "artefacts" / "padded" / "c.png", "of a recipe not compared")
    reproduced, said = of_run(project)
    assert reproduced and "reproduced: all 3 scores" in said and "Nothing was run here" in said
    assert "Same processor and versions, and the bytes of all 2 files are equal." in said
    files.write_table(
        scores(PUBLISHED | {"GM": [0.9, 0.9, 0.9]}), project / "artefacts" / "scores.csv"
    )
    reproduced, said = of_run(project)
    assert not reproduced and "differs: 1 of 3 scores (patchseg patch GM)" in said
    assert "not the bytes of artefacts/scores.csv. 'make restore'" in said
    assert of_run(project, tolerance=0.05)[0]


def test_what_a_run_lacks_differs(project):
    run = scores({"WM": PUBLISHED["WM"], "GM": PUBLISHED["GM"]})
    files.write_table(run, project / "artefacts" / "scores.csv")
    reproduced, said = of_run(project)
    assert not reproduced and "(patchseg patch CSF)" in said


def test_on_another_processor_bytes_are_not_compared(project):
    path = project / "published" / "record.json"
    record = json.loads(path.read_text())
    record["computing"]["processor"] = "an abacus"
    path.write_text(json.dumps(record))
    (project / "artefacts" / "figures" / "a.png").write_text("another picture")
    reproduced, said = of_run(project)
    assert reproduced and "Published: an abacus" in said and "'make restore'" in said


def test_other_settings_are_told(project):
    text = (project / "params.yaml").read_text()
    assert "other settings" not in of_run(project)[1]
    (project / "params.yaml").write_text(text.replace("tolerance: 0", "tolerance: 1", 1))
    assert "other settings" not in of_run(project)[1]
    (project / "params.yaml").write_text(text.replace("epochs: 8", "epochs: 9", 1))
    assert "other settings" in of_run(project)[1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("artefacts/scores.csv", None, "scores.csv: no such file; run 'dvc repro' again"),
        ("artefacts/scores.csv", " ", "scores.csv: not a table .*; run 'dvc repro' again"),
        (
            "artefacts/scores.csv",
            "method,seed,level,tissue,dice,iou,hd95_mm,avd_percent\n",
            "has no rows; run 'dvc repro' again",
        ),
        (
            "artefacts/scores.csv",
            "method,seed,level,tissue,dice,iou,hd95_mm,avd_percent\n"
            "a,0,patch,WM,0.9,1,,1\na,0,patch,GM,x,1,,1\n",
            "column dice holds 'x', no number; run 'dvc repro' again",
        ),
        ("published/scores.csv", None, "scores.csv: no such file; run 'git restore published'"),
        ("published/scores.csv", "a,b\n1,2\n", "has no column"),
        ("published/record.json", "{", "record.json: not a whole record"),
        (
            "published/scores.csv",
            "method,seed,level,tissue,dice,iou,hd95_mm,avd_percent\na,0,patch,WM,1,1,1,1\n",
            "scores.csv: not the scores that record.json is of; run 'git restore published'",
        ),
    ],
)
def test_what_is_missing_or_damaged_is_named(project, name, text, message):
    (project / name).unlink()
    if text:
        (project / name).write_text(text)
    with pytest.raises(InputError, match=message):
        of_run(project)
