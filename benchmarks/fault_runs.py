"""The running command for `faults.py`: killed, stopped, twice at once, without space."""

import gzip
import json
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import psutil
from forked import Command, run

from patchseg.core.files import PARTIAL

RUN = ("command", "seconds", "peak_memory_mb")


def contents(out):
    """Return what a folder of results holds, without what differs from run to run."""
    found = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(path.relative_to(out))
        if path.suffix == ".json":
            record = json.loads(path.read_text(encoding="utf-8"))
            for key in RUN:
                record.get("provenance", {}).pop(key, None)
            found[name] = json.dumps(record, sort_keys=True)
        elif path.name == "qc.tsv":
            table = pd.read_csv(path, sep="\t").drop(columns="seconds", errors="ignore")
            found[name] = table.to_csv()
        elif path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            found[name] = text.rstrip().endswith("</html>")
        elif path.parent.name != "log":
            found[name] = path.read_bytes()
    return {name: found[name] for name in found if not name.startswith("log")}


def half_written(out):
    """Return files under final names that are not whole."""
    wrong = []
    for path in (path for path in out.rglob("*") if path.is_file()):
        try:
            if path.name.startswith("."):
                continue
            if path.suffix == ".gz":
                gzip.decompress(path.read_bytes())
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.parent.name != "log":
                assert path.stat().st_size
        except Exception:
            wrong.append(path.name)
    return wrong


def faults_of(bench, words, out, expected, before=None):
    """Run a command again after a fault; say what is wrong with the results, '' if nothing."""
    torn = half_written(out) if out.is_dir() else []
    if torn:
        return f"half-written {torn}"
    again = run(bench, words, before)
    if again.code != 0:
        return f"exit {again.code} when run again: {again.said()[-300:]}"
    now = contents(out)
    differ = sorted(
        name for name in now.keys() | expected.keys() if now.get(name) != expected.get(name)
    )
    return f"differs in {differ}" if differ else ""


def table(what, faults):
    """Return the row of a part: what was done, how often, what came of it, faults."""
    wrong = [fault for fault in faults if fault]
    said = "as undisturbed" if not wrong else "; ".join(sorted(set(wrong)))[:600]
    return [(what, len(faults), said, len(wrong))]


def kill_command(bench, seed, count, report=False):
    """Kill -9 of the command: at a random time, or when a random number of files has been there.

    With `report` while it writes reports, too.
    """
    draw, out = np.random.default_rng([seed, 1 + 4 * report]), bench.folder / "kill"
    words = bench.words(out, *([] if report else ["--no-report"]))
    seconds, expected, faults = undisturbed(bench, words, out)
    for number in range(count):
        shutil.rmtree(out)
        some, late = int(draw.integers(1, 2 * len(expected))), draw.uniform(0, seconds)
        command, seen = Command(words, bench.folder / "said.txt"), set()
        if number % 2:
            command.wait_s(late)
        else:
            command.wait(lambda seen=seen, some=some: _seen(out, seen) >= some)
        command.kill()
        faults.append(faults_of(bench, words, out, expected))
    shutil.rmtree(out)
    what = "command, reports included" if report else "command"
    return table(f"kill -9 of the {what}, then the same command", faults)


def undisturbed(bench, words, out):
    """Run a command; return how long it took (s), what it made, and an empty list for faults."""
    command = run(bench, words)
    if command.code != 0:
        raise RuntimeError(f"exit {command.code}: {command.said()}")
    return time.monotonic() - command.started, contents(out), []


def _seen(out, seen):
    """Return how many names have been in a folder, temporary ones included."""
    seen.update(entry.name for entry in os.scandir(out)) if out.is_dir() else None
    return len(seen)


def kill_worker(bench, seed, count):
    """Kill -9 of one of two workers at random moments."""
    draw, out = np.random.default_rng([seed, 2]), bench.folder / "worker"
    words = bench.words(out, "--no-report", "--jobs", "2")
    seconds, expected, faults = undisturbed(bench, words, out)
    for _ in range(count):
        shutil.rmtree(out)
        command, said = Command(words, bench.folder / "said.txt"), ""
        command.wait(lambda c=command: c.children("joblib"))
        command.wait_s(time.monotonic() - command.started + draw.uniform(0, seconds / 3))
        for child in command.children("joblib")[:1]:
            child.kill()
        command.wait()
        if command.code not in (0, 1) or "Traceback" in command.said():
            said = f"exit {command.code}: {command.said()[-300:]}"
        faults.append(said or faults_of(bench, words, out, expected))
    shutil.rmtree(out)
    return table("kill -9 of a worker, then the same command", faults)


def stop(bench, seed, count, sent):
    """SIGTERM or SIGINT at random times: exit 130, nothing left, no process left."""
    draw, out = np.random.default_rng([seed, int(sent)]), bench.folder / "stop"
    words = bench.words(out, images=bench.one)
    seconds, expected, faults = undisturbed(bench, words, out)
    for _ in range(count):
        shutil.rmtree(out, ignore_errors=True)
        command, said = Command(words, bench.folder / "said.txt"), ""
        if not command.wait_s(draw.uniform(0.1, 0.9) * seconds):
            below = command.children()
            command.process.send_signal(sent)
            command.wait(limit_s=time.monotonic() - command.started + 30)
            psutil.wait_procs(below, 10)
            left = [path.name for path in out.rglob(f"{PARTIAL}*")]
            if command.code != 130 or "Traceback" in command.said():
                said = f"exit {command.code}: {command.said()[-400:]}"
            elif left or any(one.is_running() for one in below):
                said = f"left: {left}, {sum(one.is_running() for one in below)} processes"
        faults.append(said or faults_of(bench, words, out, expected))
    shutil.rmtree(out, ignore_errors=True)
    return table(f"{sent.name} at a random moment, then the same command", faults)


def twice(bench, seed, count):
    """Two identical commands into one folder at once, the second a little later."""
    draw, out = np.random.default_rng([seed, 3]), bench.folder / "twice"
    words = bench.words(out, "--no-report")
    seconds, expected, faults = undisturbed(bench, words, out)
    for number in range(count):
        shutil.rmtree(out)
        first = Command(words, bench.folder / "first.txt")
        first.wait_s(number and draw.uniform(0, seconds))
        second = Command(words, bench.folder / "second.txt")
        first.wait(), second.wait()
        said = "".join(
            f"exit {one.code}: {one.said()[-300:]}" for one in (first, second) if one.code != 0
        )
        faults.append(said or faults_of(bench, words, out, expected))
    shutil.rmtree(out)
    return table("two identical commands into one folder", faults)


def _backwards():
    real, calls = time.time, iter(range(10**9))
    time.time = lambda: real() - 3600 * next(calls)


def clock(bench, seed, count):
    """The clock goes back an hour whenever it is read, and the files are of tomorrow."""
    out, faults = bench.folder / "clock", []
    words = bench.words(out, "--no-report", images=bench.one)
    run(bench, words)
    expected = contents(out)
    for number in range(count):
        if number % 2 == 0:
            shutil.rmtree(out)
        else:
            for path in out.rglob("*"):
                os.utime(path, (time.time() + 86400 * (1 + seed),) * 2)
        faults.append(faults_of(bench, words, out, expected, _backwards))
    shutil.rmtree(out)
    return table("clock going back, results of tomorrow", faults)


@contextmanager
def small_disc(place):
    """Mount a disc in memory; yield what sets its size (bytes) and whether it is read-only."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=True)

    def remount(options):
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def disc(bench, seed, count):
    """A disc that is full at a random byte, or read-only, then free again."""
    if os.geteuid() != 0:
        return [("full and read-only disc", 0, "left out: needs root", 0)]
    draw, faults = np.random.default_rng([seed, 4]), []
    with small_disc(bench.folder / "disc") as remount:
        out = bench.folder / "disc" / "out"
        words = bench.words(out, images=bench.one)
        run(bench, words)
        expected = contents(out)
        need = 4096 * sum(-(-path.stat().st_size // 4096) for path in out.rglob("*"))
        for number in range(count):
            shutil.rmtree(out)
            read_only = number % 5 == 4
            remount(
                "ro" if read_only else f"size={4096 * (2 + int(draw.integers(0, need // 4096)))}"
            )
            command, said = run(bench, words), ""
            remount("rw,size=64m")
            left = [path.name for path in out.rglob(f"{PARTIAL}*")]
            if command.code not in (1, 2) or "Traceback" in command.said() or left:
                said = f"exit {command.code}, left {left}: {command.said()[-400:]}"
            elif not re.search("No space|Read-only", command.said()):
                said = f"not said: {command.said()[-300:]}"
            faults.append(said or faults_of(bench, words, out, expected))
    return table("full disc (one in five: read-only), then the same command", faults)
