"""The notebook regression tests must be able to fail."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_one_changed_digit_fails():
    text = (ROOT / "tests" / "reference" / "1_preprocess.ipynb").read_text()
    line = next(
        line for line in text.split("\n") if "patches in 3 shards" in line and "print" not in line
    )
    digit = line.index("patches") - 2
    changed = line[:digit] + str((int(line[digit]) + 1) % 10) + line[digit + 1 :]
    copy = ROOT / "build" / "changed_digit.ipynb"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(text.replace(line, changed))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            "--nbval-current-env",
            "-p",
            "no:cacheprovider",
            str(copy),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    copy.unlink()
    assert done.returncode == 1 and "1 failed" in done.stdout and "mismatch" in done.stdout
