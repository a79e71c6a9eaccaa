"""Keys: what changes them, and what does not."""

import json
from functools import cache
from pathlib import Path

import pytest

import patchseg
from patchseg.core import provenance, source, tissues

STEP = 3


def twice(x):
    """Double it."""
    return 2 * x


@cache
def far(x):
    return twice(x) + STEP + len(tissues.TISSUES)


def other(x):
    return far(x)


def through_the_package(image):
    return patchseg.suggest(image, 1)


def key(*code, **given):
    return provenance.fingerprint(code=code, **given)


def test_settings_and_contents_count_and_names_do_not(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "c").write_bytes(b"2")
    one, same, another = (key(files=[tmp_path / name]) for name in "abc")
    assert one == same != another
    assert (
        key(settings={"x": 1, "y": 2}) == key(settings={"y": 2, "x": 1}) != key(settings={"x": 1})
    )


@pytest.mark.parametrize(
    "change, counts",
    [
        (lambda text: text + "\n# a remark\n", False),
        (lambda text: text.replace('"""The tissues', '"""All tissues', 1), False),
        (lambda text: text.replace("= channel + 1", "= channel + 2"), True),
    ],
)
def test_code_counts_and_remarks_do_not(package, change, counts):
    before = key("patchseg.preprocess"), key("patchseg.unet"), key(far)
    path = package / "core" / "tissues.py"
    path.write_text(change(path.read_text()))
    after = key("patchseg.preprocess"), key("patchseg.unet"), key(far)
    assert [a != b for a, b in zip(before, after, strict=True)] == [counts, False, counts]


def test_a_new_version_of_the_same_code_makes_nothing_stale(package):
    before = key("patchseg.preprocess")
    text = (package / "__init__.py").read_text()
    (package / "__init__.py").write_text(text.replace("__version__ = ", "__version__ = 'new' + "))
    assert key("patchseg.preprocess") == before
    (package / "__init__.py").write_text(text.replace('"TF_ENABLE_ONEDNN_OPTS", "1"', '"A", "0"'))
    assert key("patchseg.preprocess") != before


def test_a_function_counts_with_what_it_names_and_nothing_else(monkeypatch):
    parts, modules = source.uses(other)
    assert [part.split("(")[0] for part in parts] == [
        "def other",
        "@cache\ndef far",
        "STEP = 3",
        "def twice",
    ]
    assert modules == ["patchseg.core.tissues"]
    before = key(other)
    monkeypatch.setitem(globals(), "STEP", 4)
    assert key(other) != before


def test_what_the_package_imports_when_it_is_called_for_counts(tmp_path):
    (tmp_path / "bench.py").write_text("import patchseg\n\nprint(patchseg.suggest)\n")
    (tmp_path / "other.py").write_text("from patchseg import suggest\n")
    (tmp_path / "none.py").write_text("import patchseg\n\nprint(patchseg.__version__)\n")
    behind = source.PACKAGE / "adaptation" / "suggestion.py"
    for name in ("bench", "other"):
        assert behind in source.closure(tmp_path / f"{name}.py")
    assert behind not in source.closure(tmp_path / "none.py")
    assert source.uses(through_the_package)[1] == ["patchseg.suggest", "patchseg"]


def test_a_file_counts_with_those_beside_it_that_it_imports(tmp_path):
    (tmp_path / "bench.py").write_text("import os\nimport shared\nfrom patchseg import unet\n")
    (tmp_path / "shared.py").write_text("x = 1\n")
    names = [path.name for path in source.closure(tmp_path / "bench.py")]
    assert sorted(names) == ["__init__.py", "bench.py", "shared.py", "unet.py"]
    before = key(tmp_path / "bench.py")
    (tmp_path / "shared.py").write_text("x = 2\n")
    assert key(tmp_path / "bench.py") != before


def test_code_of_notebooks_is_their_code_cells(tmp_path):
    def write(name, *cells):
        made = [{"cell_type": kind, "source": [text]} for kind, text in cells]
        (tmp_path / name).write_text(json.dumps({"cells": made}))
        return Path(tmp_path / name)

    one = write("a.ipynb", ("code", "x = 1"), ("markdown", "text"))
    same = write("b.ipynb", ("markdown", "other"), ("code", "x = 1  # a remark"))
    another = write("c.ipynb", ("code", "x = 2"))
    assert source.meaning(one) == source.meaning(same) != source.meaning(another)


def test_versions_are_those_installed():
    import numpy as np

    assert provenance.versions("numpy") == {"numpy": np.__version__}


def test_no_such_module():
    with pytest.raises(ValueError, match="patchseg.wombat: no module of patchseg"):
        key("patchseg.wombat")
