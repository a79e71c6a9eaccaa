"""Progress where a person looks, and none in logs and executed notebooks.

These must come out the same each time.
"""

import os

from tqdm.auto import tqdm

SWITCH = "PATCHSEG_PROGRESS"
"""Environment variable; 'off' hides the bars. The stage runner sets it."""


def progress(iterable, what, total=None):
    """Wrap `iterable` in a bar (terminal or Jupyter), unless PATCHSEG_PROGRESS is 'off'."""
    return tqdm(
        iterable, desc=what, total=total, leave=False, disable=os.environ.get(SWITCH) == "off"
    )


def progress_bar(what, total):
    """Return a bar for work of more than one loop; `update` moves it and `close` removes it."""
    return tqdm(desc=what, total=total, leave=False, disable=os.environ.get(SWITCH) == "off")


def say(text, file=None):
    """Print a line above the bars."""
    tqdm.write(text, file=file)
