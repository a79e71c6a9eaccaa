import sys
from base64 import b64decode

import nbformat
import pytest

from patchseg.core.errors import InputError
from patchseg.inference import cells, report


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook of some code cells, the first of which holds the parameters."""

    def write(*sources, tags=()):
        made = [nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]})]
        made += [
            nbformat.v4.new_code_cell(source, id=f"cell-{number}", metadata={"tags": list(tags)})
            for number, source in enumerate(sources)
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=made), tmp_path / "a.ipynb")
        return tmp_path / "a.ipynb"

    return write


def run(path, values=None, **options):
    return cells.run(path, values or {}, "report", path.parent / "log" / "a.txt", **options)


def test_cells_share_names_print_and_show_their_last_value(notebook):
    path = notebook("b = a + [None]\nprint('seen', b)", "for one in b:\n    pass", "b", "None")
    before = path.read_bytes()
    executed = run(path, {"a": ["x", 2.5, True]})
    outputs = [cell.outputs for cell in executed.cells[1:]]
    assert outputs[0] == [
        {"output_type": "stream", "name": "stdout", "text": "seen ['x', 2.5, True, None]\n"}
    ]
    assert outputs[1] == outputs[3] == []
    assert outputs[2][0].data == {"text/plain": "['x', 2.5, True, None]"}
    nbformat.validate(executed)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="NameError: name 'b' is not defined"):
        run(notebook("b"))  # what one notebook named, the next does not see


def test_pictures_and_tables_are_kept_in_every_form(notebook):
    path = notebook(
        "class Both:\n    _repr_png_ = lambda self: b'png'\n    _repr_html_ = lambda self: '<b>'\n"
        "Both()"
    )
    data = run(path).cells[-1].outputs[0].data
    assert b64decode(data["image/png"]) == b"png" and data["text/html"] == "<b>"


def test_a_cell_that_fails_is_named_and_its_traceback_is_in_the_log(notebook, tmp_path, capsys):
    before = sys.stdout, sys.stderr, dict(sys.modules)["__main__"]
    path = notebook("import sys\nprint('odd', file=sys.stderr)", "print('x')\n1 / 0")
    with pytest.raises(InputError) as failed:
        run(path)
    assert str(failed.value) == (
        "report: ZeroDivisionError: division by zero (cell cell-1; other messages:"
        f" {tmp_path / 'log' / 'a.txt'})"
    )
    said = (tmp_path / "log" / "a.txt").read_text()
    assert "odd" in said and "ZeroDivisionError" in said and "cell-1" in said
    assert capsys.readouterr() == ("", "")
    assert before == (sys.stdout, sys.stderr, sys.modules["__main__"])


def test_ctrl_c_is_not_held_back(notebook):
    with pytest.raises(KeyboardInterrupt):
        run(notebook("raise KeyboardInterrupt"))
    assert sys.stdout is not None and not hasattr(sys.stdout, "getvalue")


def test_cells_with_a_tag_are_left_out(notebook):
    assert len(run(notebook("1 / 0", tags=["viewer"]), without=["viewer"]).cells) == 1


def test_a_title_is_no_markup_in_the_page(notebook):
    executed = run(notebook("b = 1"))
    page = report.to_html(executed, "<img src=x onerror=alert(1)> *a*")
    assert "<h1>&lt;img src=x onerror=alert(1)&gt; *a*</h1>" in page
    assert "<img" not in page
