"""Nobody imports upward, the floors are as drawn, and stages depend on the code that they run."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from patchseg import params
from patchseg.core import source

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "patchseg"
RUNNER = "patchseg.pipeline"


def room(path):
    """Return the room of a file: the first folder below the package, or the file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floors():
    """Read the picture in CONTRIBUTING.md: a dict from room to floor."""
    text = (ROOT / "CONTRIBUTING.md").read_text().split("```floors\n")[1].split("```")[0]
    lines = [line.split("|")[0].split() for line in text.splitlines()]
    return {name: int(floor) for floor, *names in lines for name in names}


def imported(path):
    """Return the rooms that the file imports from, its own left out.

    The package's own front door imports nothing that it runs.
    """
    found = {room(other) for other in source.imports(path) if other != PACKAGE / "__init__.py"}
    return found - {room(path)}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_room_imports_only_from_below(path):
    known = floors()
    if room(path) not in ("__init__", "__main__"):
        above = {name for name in imported(path) if known[name] >= known[room(path)]}
        assert not above, f"{path.relative_to(ROOT)} imports {above}, which is not below it"


def test_the_picture_shows_every_room_on_the_lowest_floor_it_can_have():
    known = floors()
    rooms = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert set(known) == rooms
    for name in rooms:
        below = set().union(
            *(imported(path) for path in PACKAGE.rglob("*.py") if room(path) == name)
        )
        assert known[name] == 1 + max((known[one] for one in below), default=-1), name


def test_no_modules_import_each_other_in_a_circle():
    """Front doors are left out: they only pass on what lies in their room."""
    modules = set(PACKAGE.rglob("*.py")) - set(PACKAGE.rglob("__init__.py"))
    graph = {path: modules.intersection(source.imports(path)) - {path} for path in modules}
    TopologicalSorter(graph).prepare()  # names the circle, if there is one


def stages(path="dvc.yaml"):
    """Read the stages of a DVC file."""
    return YAML(typ="safe").load(ROOT / path)["stages"]


def declared(stage):
    """Return the code that a stage depends on: rooms of the package, and other files."""
    deps = [Path(dep) for dep in stage["deps"]]
    rooms = {dep.name.removesuffix(".py") for dep in deps if dep.parts[0] == "patchseg"}
    return rooms | {
        str(dep) for dep in deps if dep.parts[0] in ("benchmarks", "tools", "notebooks")
    }


def run(*code):
    """Return what some code runs, in the same way."""
    paths = source.closure(*code)
    rooms = {room(path) for path in paths if PACKAGE in path.parents}
    return rooms | {str(path.relative_to(ROOT)) for path in paths if PACKAGE not in path.parents}


def notebook(name):
    return ROOT / "notebooks" / f"{name}.ipynb"


@pytest.mark.parametrize("number, name", list(enumerate(params.STAGES, 1)))
def test_a_stage_depends_on_all_and_only_the_code_that_it_runs(number, name):
    book = notebook(f"{number}_{name}")  # a stripped copy of it is what the stage depends on
    assert declared(stages()[name]) == run(book, RUNNER) - {str(book.relative_to(ROOT))}


def test_a_removed_dependency_is_noticed():
    stage = stages()["preprocess"]
    stage["deps"].remove("patchseg/patching.py")
    assert run(notebook("1_preprocess"), RUNNER) - declared(stage) >= {"patching"}


EVIDENCE = {
    "scores": ["patchseg.scoring.on_zoo"],
    "head_scores": ["patchseg.scoring.on_heads"],
    "heads": [ROOT / "benchmarks" / "heads.py"],
    "robustness": [ROOT / "benchmarks" / "robustness.py"],
    "fast_labels": [
        ROOT / "benchmarks" / "fast_labels.py",
        *(notebook(name) for name in ("1_preprocess", "2_augment", "3_train")),
    ],
    "ablation": [ROOT / "benchmarks" / "ablation.py"],
    "notebook": [ROOT / "tools" / "evidence.py", notebook("7_evidence")],
}


def test_the_evidence_has_these_stages_and_they_run_this_code():
    found = stages("evidence/dvc.yaml")
    assert found.keys() == EVIDENCE.keys()
    for name, (first, *_) in EVIDENCE.items():
        said = "across evidence" if name.endswith("scores") else f"{first.relative_to(ROOT)}"
        assert said in found[name]["cmd"]


@pytest.mark.parametrize("name", EVIDENCE)
def test_a_stage_of_the_evidence_depends_on_all_and_only_the_code_that_it_runs(name):
    assert declared(stages("evidence/dvc.yaml")[name]) == run(*EVIDENCE[name])


def test_the_evidence_depends_on_weights_settings_and_tables():
    found = stages("evidence/dvc.yaml")
    for name in ("scores", "robustness", "head_scores", "heads"):
        assert "artefacts/across/networks" in found[name]["deps"]
    assert set(found["ablation"]["params"]) == {
        f"across.{one}" for one in ("brain_pixels", "draw", "train")
    }
    recipes = [f"recipes.{name}" for name in ("patchseg", "no-zoom", "original")]
    pipeline = {"preprocess", "augment", "train", "seeds"}
    assert set(found["fast_labels"]["params"]) == {*pipeline, *recipes}
    made = {next(iter(out)) for name in found for out in found[name]["outs"] if name != "notebook"}
    read = {f"artefacts/across/{name}" for name in tables_of(notebook("7_evidence"))}
    assert read <= set(found["notebook"]["deps"]) and read <= made


def tables_of(path):
    """Return the files that the evidence notebook names."""
    return set(re.findall(r"[a-z_]+[.](?:csv|md|png)", source.meaning(path)))
