"""Progress where a person looks; nothing extra in logs and executed notebooks, which must come out the same each time."""

import os
import sys
from contextlib import contextmanager

from tqdm.auto import tqdm

SWITCH = "PATCHSEG_PROGRESS"
"""Environment variable; 'off' hides the bars. The stage runner sets it."""


def progress(iterable, what, total=None):
    """Wrap `iterable` in a bar (terminal or Jupyter), unless PATCHSEG_PROGRESS is 'off'."""
    return tqdm(iterable, desc=what, total=total, leave=False, disable=os.environ.get(SWITCH) == "off")


def progress_bar(what, total):
    """Return a bar for work that does not come from one loop; `update` moves it and `close` removes it."""
    return tqdm(desc=what, total=total, leave=False, disable=os.environ.get(SWITCH) == "off")


def say(text, file=None):
    """Print a line above the bars."""
    tqdm.write(text, file=file)


@contextmanager
def stderr_to(path):
    """Send the standard error of this process, and of those it starts, to a file. Exceptions still come."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(path, "wb") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def quiet():
    """Drop what compiled libraries print on standard error meanwhile: TensorFlow greets when it is loaded."""
    return stderr_to(os.devnull)
