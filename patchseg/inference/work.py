"""One thing done with each of many images, here or on a cluster: what becomes of each is told."""

import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from patchseg.core.errors import InputError
from patchseg.core.progress import progress, say
from patchseg.inference import cluster, unfinished

FAILED = "failed"
KILLED = (
    "its process was killed, also when it ran by itself, probably because memory ran out; close"
    " other programs or use a --tile of 256, then run the same command again"
)
TRIES = 2
"""So often an image may take its worker with it before it is given up."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image: its status ('failed', or that of `outputs.fulfil`) and verdict."""

    image: Path
    status: str
    verdict: str = ""
    reasons: str = ""
    remark: str = ""  # on its brain
    taken: bool = False  # its name is that of another image's result, which stays and is listed
    look: dict | None = None  # how the image looks (see `resemblance`)

    @property
    def failed(self):
        """Whether there is no result."""
        return self.status == FAILED


def each(one, places, given, options, jobs=1, client=None, shown=None):
    """Do one thing with each image, here or on a cluster, and say what becomes of it.

    Parameters
    ----------
    one : callable
        Called with an image, the folder of the results, what is given for the image, and the
        options; returns an `Outcome`. Known to other processes by its name.
    places : list of Place
    given : list of tuple
        For each image.
    options : dict
        For all; `threads` are shared out among processes unless it is given.
    jobs, client
        See `batch.run`.
    shown : callable, optional
        Returns what is printed of an `Outcome`; `line` unless given.

    Returns
    -------
    outcomes : list of Outcome
        In the order of the places.
    """
    work = (one, places, given, options)
    done = _here(*work, jobs) if client is None else _there(*work, client)
    return _outcomes(places, done, shown or line)


def _here(one, places, given, options, jobs):
    """Yield the number and the outcome of each image, done by processes of this machine.

    Where a process is killed, images that were begun and have no outcome are done again, each by
    itself, so that one that kills its process is given up alone.
    """
    processes = min(jobs, len(places))
    if processes > 1 and options.get("threads") is None:
        options = options | {"threads": max(1, joblib.cpu_count() // processes)}
    run_id = uuid.uuid4().hex
    left = {
        number: joblib.delayed(_numbered)(number, run_id, one, place, *more, options)
        for number, (place, more) in enumerate(zip(places, given, strict=True))
    }
    while left:
        work = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")
        try:
            for number, outcome in work(list(left.values())):
                del left[number]
                yield number, outcome
        except TerminatedWorkerError:
            begun = [number for number in left if unfinished.begun(places[number], run_id)]
            for number in begun or list(left):  # none: processes are killed as they start
                yield number, _alone(left.pop(number), places[number])


def _numbered(number, *call):
    return number, attempt(*call)


def _alone(task, place):
    """Return the outcome of an image that a process does which does nothing else."""
    try:
        [(_, outcome)] = joblib.Parallel(n_jobs=2)([task])  # with 1 it would be this process
        return outcome
    except TerminatedWorkerError:
        reasons = f"{place.image}: {KILLED}"
        unfinished.fail(place, reasons)
        return Outcome(place.image, FAILED, reasons=reasons)


def _there(one, places, given, options, client):
    """Yield the number and the outcome of each image, done by a cluster, as they come.

    Its workers have another current folder, so that paths are absolute on the way.
    """
    run_id, sent = uuid.uuid4().hex, [place.absolute() for place in places]
    options = {name: _absolute(value) for name, value in options.items()}
    calls = [
        (run_id, one, place, *map(_absolute, more), options)
        for place, more in zip(sent, given, strict=True)
    ]
    for number, done in cluster.results(client, attempt, calls):
        own, there = places[number], sent[number]
        if isinstance(done, Exception):
            done = _not_done(own.image, done)
        reasons = done.reasons.replace(str(there.image), str(own.image))
        reasons = reasons.replace(str(there.folder), str(own.folder))
        yield number, replace(done, image=own.image, reasons=reasons)


def _not_done(image, error):
    said = f"{image}: {error}" if isinstance(error, InputError) else why(image, error)
    return Outcome(image, FAILED, reasons=said)


def _absolute(value):
    return value.absolute() if isinstance(value, Path) else value


def _outcomes(places, done, shown):
    """Say what becomes of each image as soon as it is known, and list it."""
    outcomes, lost = {}, ""
    try:
        for number, outcome in progress(done, "images", len(places)) if len(places) > 1 else done:
            say(shown(outcome), sys.stderr if outcome.failed else sys.stdout)
            outcomes[number] = outcome
            if outcome.failed and not outcome.taken:
                unfinished.fail(places[number], outcome.reasons)
    except cluster.LostError as error:
        lost = str(error)
    for number, place in enumerate(places):
        if number not in outcomes:
            outcomes[number] = Outcome(place.image, FAILED, reasons=f"{place.image}: {lost}")
            say(shown(outcomes[number]), sys.stderr)
            if not place.record.is_file():
                unfinished.fail(place, outcomes[number].reasons)
    return [outcomes[number] for number in range(len(places))]


def line(outcome):
    """Return what is printed of an image."""
    if outcome.failed:
        return f"failed  {outcome.reasons}"
    return (
        f"{outcome.status}  {outcome.image}  {outcome.verdict}"
        f"{': ' if outcome.reasons else ''}{outcome.reasons}{outcome.remark}"
    )


def attempt(run_id, one, place, *given):
    """Call `one` for an image, and keep on disc that it was started, until it has a result.

    Parameters
    ----------
    run_id : str
        Of the command, whose workers may be killed: an image that was begun by it `TRIES` times is
        not begun again.
    one : callable
        See `each`.
    place : Place
    *given
        What `one` is called with after image and folder.

    Returns
    -------
    outcome : Outcome
    """
    if unfinished.start(place, run_id) > TRIES:
        reasons = f"{place.image}: {cluster.killed(TRIES)}"
        outcome = Outcome(place.image, FAILED, reasons=reasons)
    else:
        outcome = one(place.image, place.out, *given)
    if outcome.failed and not outcome.taken:
        unfinished.fail(place, outcome.reasons)
    else:
        unfinished.end(place)
    return outcome


def why(image, error):
    """Say why an image failed: what the error says; of one that nobody foresaw, its type, too."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return (
            f"{image}: not enough memory; close other programs, use fewer --jobs or a --tile of 256"
        )
    return f"{image}: {type(error).__name__}: {error}; please report this with the file"
