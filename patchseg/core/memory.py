"""How much memory this process may still take, and how much it has taken."""

import os
import sys
from pathlib import Path

import psutil


def free_memory(root="/sys/fs/cgroup", own="/proc/self/cgroup"):
    """Return how many bytes this process can still take.

    In a container or a job with a limit that is what the limit leaves, if the machine has it.

    Parameters
    ----------
    root, own : str or Path
        Where Linux shows control groups (versions 1 and 2), and those of this process.
    """
    left = [limit - used for limit, used in _limits(Path(root), Path(own))]
    return max(0, min([psutil.virtual_memory().available, *left]))


def _limits(root, own):
    """Yield the memory limit of each control group around this process, and what of it is taken.

    Cached files that can be dropped do not count as taken.
    """
    lines = own.read_text().splitlines() if own.is_file() else []
    for _, controllers, inside in (line.split(":", 2) for line in lines):
        if controllers == "memory":
            top, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
            dropped = "total_inactive_file"
        elif not controllers:
            top, names, dropped = root, ("memory.max", "memory.current"), "inactive_file"
        else:
            continue
        place = top / inside.lstrip("/")
        for folder in (place, *place.parents):
            yield from _limit(folder, names, dropped)
            if folder == top:
                break


def _limit(folder, names, dropped):
    try:
        limit, used = ((folder / name).read_text().strip() for name in names)
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # a container may not show the groups that it lies in
        return
    if limit != "max":
        yield int(limit), int(used) - int(stat.get(dropped, 0))


def peak_memory_mb():
    """Return the most memory (MB) that this process has held, None where the system keeps it."""
    if os.name != "posix":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
