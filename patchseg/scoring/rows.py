"""Rows of a table, keyed by what made them: what is missing or stale is done, the rest is kept."""

from functools import partial
from pathlib import Path

import pandas as pd

from patchseg.core import files, runtime
from patchseg.core.progress import progress

EARLIER = "earlier"
"""Key of rows that were measured before rows had keys; stands before the key of a stale row."""
LENGTH = 8
"""Hexadecimal digits of a key in a table."""
_OWN = ["key", "machine"]


def complete(
    path,
    jobs,
    key,
    measure,
    *,
    run=map,
    wanted=lambda job: True,
    what="rows",
    stays=lambda row: False,
):
    """Do the jobs whose rows are missing or were made by other code, settings or data.

    The table is written after each job. Until its job is done again a stale row stays, and its key
    says that it is one. Rows of no job are dropped.

    Parameters
    ----------
    path : str or Path
        The table, a .csv: the columns that name the job, those of `measure`, ``key`` and
        ``machine`` (see `machine`).
    jobs : list of dict
        The columns that name each job, the same in all.
    key : callable
        Takes a job's values by name and gives the fingerprint of its rows.
    measure : callable
        Takes a job's values by name and gives its rows, a list of dict.
    run : callable
        As `map`; may do jobs in other processes, in any order.
    wanted : callable
        Whether a job is to be done now if it is missing or stale.
    what : str
        What the bar counts.
    stays : callable
        Whether a row of a job that is not asked for now stays as it is.

    Returns
    -------
    table : pandas.DataFrame
        In the order of `jobs`, then what stays.
    """
    today = {_name(job, job): key(**job)[:LENGTH] for job in jobs}
    known = {name: [] for name in today}
    for row in read(path) if jobs else []:
        if (name := _name(row, jobs[0])) in today:
            known[name].append(_marked(row, today[name]))
        elif stays(row):
            known.setdefault(name, []).append(row)
    todo = [job for job in jobs if wanted(job) and not _is_current(known[_name(job, job)])]
    for job, found in progress(run(partial(_done, measure), todo), what, len(todo)):
        name = _name(job, job)
        known[name] = [job | row | {"key": today[name], "machine": machine()} for row in found]
        files.write_table(_table(known), path)
    table = _table(known)
    if len(table):
        files.write_table(table, path)
    return table


def read(path):
    """Return the rows of a table, a list of dict; none if there is no table.

    Rows without a key get that of `EARLIER`.
    """
    if not Path(path).exists():
        return []
    text = {"key": str, "machine": str, "sha256": str}
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    measured = [column for column in table if column not in _OWN]
    table = table.reindex(columns=[*measured, *_OWN])
    own = table[_OWN].astype(object).fillna({"key": EARLIER, "machine": ""})
    return table.assign(**own).to_dict("records")


def machine():
    """Say in a line what this process computes with."""
    found = runtime.computing()
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    where = f"{found['threads']} threads of {found['processor']}"
    return f"{where}, auto is {found['precision']}; {libraries}"


def keys(table):
    """Return the different keys of a table's rows as text, for a cell."""
    return ", ".join(dict.fromkeys(table.key))


def note(table):
    """Say in Markdown what the rows were measured with, and how many are of earlier code.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `complete`, or read from its file.
    """
    stale = table.key.str.startswith(EARLIER).sum()
    made_on = table.machine.astype(object).fillna("")
    counts = made_on.replace("", "computer and versions not recorded").value_counts(sort=False)
    lines = [f"{count} rows: {name}" for name, count in counts.items()]
    lines.append(
        f"{stale} of {len(table)} rows are of earlier code, settings or data (their key says"
        f" '{EARLIER}')"
    )
    return "".join(f"- {line}\n" for line in lines)


def _done(measure, job):
    return job, measure(**job)


def _name(row, job):
    """Return the values of the columns that name a job."""
    return tuple("" if pd.isna(row[column]) else row[column] for column in job)


def _is_current(rows):
    return bool(rows) and not any(row["key"].startswith(EARLIER) for row in rows)


def _marked(row, today):
    """Return a row whose key says whether it is of earlier code."""
    own = row["key"].removeprefix(EARLIER).strip()
    return row | {"key": own if own == today else f"{EARLIER} {own}".strip()}


def _table(known):
    table = pd.DataFrame([row for rows in known.values() for row in rows])
    if not len(table):
        return table
    return table[[*(column for column in table if column not in _OWN), *_OWN]]
