"""The house.

Nobody imports upward, the picture of the floors is true, and each stage depends on the code that
its notebook runs.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from patchseg import params
from patchseg.core import provenance

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
    found = {room(other) for other in provenance.imports(path) if other != PACKAGE / "__init__.py"}
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


def declared(stages, name):
    """Return the rooms that a stage of dvc.yaml depends on."""
    deps = stages[name]["deps"]
    return {Path(dep).name.removesuffix(".py") for dep in deps if dep.startswith("patchseg/")}


def missing(stages, name, notebook):
    """Return what a stage's notebook, or the runner, imports and the stage does not declare."""
    paths = provenance.closure(ROOT / "notebooks" / f"{notebook}.ipynb", RUNNER)
    return {room(path) for path in paths if PACKAGE in path.parents} - declared(stages, name)


@pytest.mark.parametrize("number, name", list(enumerate(params.STAGES, 1)))
def test_a_stage_depends_on_all_and_only_the_code_that_it_runs(number, name):
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert not missing(stages, name, f"{number}_{name}")
    paths = provenance.closure(ROOT / "notebooks" / f"{number}_{name}.ipynb", RUNNER)
    assert declared(stages, name) == {room(path) for path in paths if PACKAGE in path.parents}


def test_a_removed_dependency_is_noticed():
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    stages["preprocess"]["deps"].remove("patchseg/patching.py")
    assert missing(stages, "preprocess", "1_preprocess") == {"patching"}
