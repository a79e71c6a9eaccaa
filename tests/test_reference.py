"""The notebook regression tests must be able to fail."""

import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
NBVAL = ("-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider")


def test_one_changed_digit_fails():
    """A line of a reference, printed as it stands there and with another digit."""
    path = ROOT / "tests" / "reference" / "1_preprocess.ipynb"
    line = nbformat.read(path, as_version=4).cells[-1].outputs[0].text
    digit = line.index(" patches in 3 shards") - 1
    changed = line[:digit] + str((int(line[digit]) + 1) % 10) + line[digit + 1 :]
    cells = [
        nbformat.v4.new_code_cell(
            f"print({line.strip()!r})",
            execution_count=number,
            outputs=[nbformat.v4.new_output("stream", text=expected)],
        )
        for number, expected in enumerate((line, changed), start=1)
    ]
    copy = ROOT / "build" / "changed_digit.ipynb"
    copy.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), copy)
    done = subprocess.run([sys.executable, *NBVAL, copy], capture_output=True, text=True, cwd=ROOT)
    copy.unlink()
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout
    assert "mismatch" in done.stdout
