"""Many images: find them, segment what is missing, survive a bad one, list what came out."""

import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.core.progress import progress, say
from patchseg.inference import cluster, cohort, outputs, report, thumbnail, unfinished
from patchseg.inference.segmentation import FOUND

FAILED = "failed"
KILLED = (
    "its process was killed, probably because memory ran out; use fewer --jobs, then run the same"
    " command again"
)
TRIES = 2
"""On a cluster, so often an image may take its worker with it before it is given up."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image: its status ('failed', or that of `outputs.fulfil`) and verdict.

    And where its brain comes from.
    """

    image: Path
    status: str
    verdict: str = ""
    reasons: str = ""
    brain: str = ""
    taken: bool = False  # its name is that of another image's result, which stays and is listed
    look: dict | None = None  # how the image looks (see `resemblance`)

    @property
    def failed(self):
        """Whether there is no result."""
        return self.status == FAILED


def run(
    images, out, masks, jobs=1, with_report=True, one=None, tables=True, client=None, **options
):
    """Segment images, one after the other or several at a time, and write tables and an index.

    Parameters
    ----------
    images, masks : list of Path, list of Path or None
    out : Path
    jobs : int
        Processes; each takes about 1.5 GB. They share the cores unless `threads` is given.
    with_report : bool
        Write an HTML report of each.
    one : callable, optional
        Called in the place of `segment_one`, with its arguments, in each process.
    tables : bool
        Write what tells of all images of the folder; without it nothing is written that belongs to
        another image.
    client : distributed.Client, optional
        Of a cluster (see `cluster.connected`) that does the work in the place of this machine.
    **options
        Of `outputs.segment_file`.

    Returns
    -------
    outcomes : list of Outcome
        In the order of the images.
    """
    files.check_writable(out)
    cohort.check_foreign(out)
    work = (one or segment_one, images, out, masks, with_report)
    done = _here(*work, jobs, options) if client is None else _there(*work, client, options)
    outcomes = _outcomes(images, out, done)
    if tables:
        names = {outcome.image: outputs.Place(outcome.image, out).name for outcome in outcomes}
        first = cohort.cohort(
            out,
            {names[one.image]: one.reasons for one in outcomes if one.failed and not one.taken},
            {names[one.image] for one in outcomes if not one.failed},
        )
        if len(images) > 1 and len(first):
            names = ", ".join(first.image[:3])
            more = f" and {len(first) - 3} more" if len(first) > 3 else ""
            say(f"look first at: {names}{more}")
    return outcomes


def _here(one, images, out, masks, with_report, jobs, options):
    """Yield the number and the outcome of each image, done by processes of this machine."""
    processes = min(jobs, len(images))
    if processes > 1 and options.get("threads") is None:
        options["threads"] = max(1, joblib.cpu_count() // processes)
    tasks = [
        joblib.delayed(attempt)(one, image, out, mask, with_report, options)
        for image, mask in zip(images, masks, strict=True)
    ]
    yield from enumerate(joblib.Parallel(n_jobs=processes, return_as="generator")(tasks))


def _there(one, images, out, masks, with_report, client, options):
    """Yield the number and the outcome of each image, done by a cluster, as they come.

    Its workers have another current folder, so that paths are absolute on the way.
    """
    run_id, options = uuid.uuid4().hex, options | {"weights": _absolute(options.get("weights"))}
    calls = [
        (one, _absolute(image), _absolute(out), _absolute(mask), with_report, options, run_id)
        for image, mask in zip(images, masks, strict=True)
    ]
    for number, done in cluster.results(client, attempt, calls):
        image, sent = images[number], str(_absolute(images[number]))
        if isinstance(done, Exception):
            done = _not_done(image, done)
        yield number, replace(done, image=image, reasons=done.reasons.replace(sent, str(image)))


def _not_done(image, error):
    said = f"{image}: {error}" if isinstance(error, InputError) else why(image, error)
    return Outcome(image, FAILED, reasons=said)


def _absolute(path):
    return None if path is None else Path(path).absolute()


def _outcomes(images, out, done):
    """Say what becomes of each image as soon as it is known, and list it."""
    outcomes, lost = {}, ""
    try:
        for number, outcome in progress(done, "images", len(images)) if len(images) > 1 else done:
            say(_line(outcome), sys.stderr if outcome.failed else sys.stdout)
            outcomes[number] = outcome
    except TerminatedWorkerError:
        lost = KILLED
    except cluster.LostError as error:
        lost = str(error)
    for number, image in enumerate(images):
        if number not in outcomes:
            outcomes[number] = Outcome(image, FAILED, reasons=f"{image}: {lost}")
            say(_line(outcomes[number]), sys.stderr)
        if outcomes[number].failed and not outcomes[number].taken:
            unfinished.fail(outputs.Place(image, out), outcomes[number].reasons)
    return [outcomes[number] for number in range(len(images))]


def _line(outcome):
    if outcome.failed:
        return f"failed  {outcome.reasons}"
    head = "  (a whole head: its brain was found first)" if outcome.brain == FOUND else ""
    return (
        f"{outcome.status}  {outcome.image}  {outcome.verdict}"
        f"{': ' if outcome.reasons else ''}{outcome.reasons}{head}"
    )


def attempt(one, image, out, mask, with_report, options, run_id=None):
    """Call `one` for an image, and keep on disc that it was started, until it has a result.

    Parameters
    ----------
    one : callable
        See `segment_one`, and the other arguments there.
    run_id : str, optional
        Of a command whose workers may be killed: an image that was there `TRIES` times is not begun
        again.

    Returns
    -------
    outcome : Outcome
    """
    place = outputs.Place(image, out)
    if unfinished.start(place, run_id) > TRIES:
        outcome = Outcome(image, FAILED, reasons=f"{image}: {cluster.killed(TRIES)}")
    else:
        outcome = one(image, out, mask, with_report, options)
    if outcome.failed and not outcome.taken:
        unfinished.fail(place, outcome.reasons)
    else:
        unfinished.end(place)
    return outcome


def segment_one(image, out, mask, with_report, options):
    """Segment one image; whatever is wrong with it becomes its outcome and stops no other.

    Parameters
    ----------
    image, out, mask
        See `outputs.segment_file`.
    with_report : bool
    options : dict
        Of `outputs.segment_file`.

    Returns
    -------
    outcome : Outcome
    """
    try:
        result, status = outputs.fulfil(image, out, mask, **options)
        place = outputs.Place(image, out)
        chosen, fill = options.get("volume"), options.get("nan_as_background", False)
        thumbnail.write(place, result, chosen, fill)
        if with_report and (status != outputs.KEPT or not place.report.is_file()):
            report.write(place, _parameters(image, out, mask, options))
        made = result.provenance
        found = {"brain": made.get("brain", ""), "look": made.get("look")}
        return Outcome(image, status, result.verdict, result.reasons, **found)
    except Exception as error:  # one image must never stop a batch
        taken = isinstance(error, outputs.TakenError)
        return Outcome(image, FAILED, reasons=why(image, error), taken=taken)


def why(image, error):
    """Say why an image failed: what the error says; of one that nobody foresaw, its type, too."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return (
            f"{image}: not enough memory; close other programs, use fewer --jobs or a --tile of 256"
        )
    return f"{image}: {type(error).__name__}: {error}; please report this with the file"


def _parameters(image, out, mask, options):
    """Return the parameters of notebook 5, with full paths: it runs in a folder of its own."""
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if name not in ("overwrite", "weights", "threads")
    }
    paths = {"image": image, "out": out, "mask": mask, "weights": options.get("weights")}
    absolute = {name: str(Path(path).resolve()) if path else None for name, path in paths.items()}
    return absolute | {"settings": settings}


def plan(images, out, masks, options):
    """Say what a run would do.

    Returns
    -------
    lines : list of (Path, str)
        Each image, and 'to do: ' with its result, 'done already', or why it cannot be done.
    """
    settings = dict(options)
    weights, overwrite = settings.pop("weights", None), settings.pop("overwrite", False)
    lines = []
    for image, mask in zip(images, masks, strict=True):
        place = outputs.Place(image, out)
        try:
            asked = outputs.request(image, mask, weights, **settings)
            status = outputs.needed(place, mask, asked, overwrite)
        except InputError as error:
            lines.append((image, str(error)))
            continue
        again = f" ({status})" if status.startswith(outputs.AGAIN) else ""
        to_do = f"to do: {place.path('dseg.nii.gz')}{again}"
        lines.append((image, "done already" if status == outputs.KEPT else to_do))
    return lines
