"""Many images.

Find them, segment what is missing, go on after a bad one, and list what came out.
"""

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from patchseg.core.errors import InputError
from patchseg.core.progress import progress, say
from patchseg.images import volume
from patchseg.inference import outputs, report

SUFFIXES = (
    "T1w",
    "T2w",
)  # of a BIDS dataset, what is segmented; T2w only where a session has no T1w
KILLED = (
    "its process was killed, probably because memory ran out; use fewer --jobs, then run the same"
    " command again"
)


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    'done', 'kept' (it was there already) or 'failed', the verdict, and the reasons.
    """

    image: Path
    status: str
    verdict: str = ""
    reasons: str = ""


def find(sources):
    """List the images that the user's files and folders mean.

    Parameters
    ----------
    sources : list of str or Path
        Files; folders of images; BIDS datasets, whose T1w images are taken.

    Returns
    -------
    images : list of Path, not empty
        Without what `patchseg suggest` wrote beside them.

    Raises
    ------
    InputError
        If a folder holds no image.
    """
    images = []
    for source in map(Path, sources):
        try:
            images += _in_folder(source) if source.is_dir() else [source]
        except OSError as error:
            raise InputError(
                f"{source}: cannot be opened ({error.strerror}); check the name and its permissions"
            ) from error
    for image in images:
        if not str(image).isprintable():
            raise InputError(
                f"{str(image)!r}: a name with letters that cannot be printed; rename the file"
            )
    names = {(image.parent, outputs.stem(image)) for image in images}
    return [image for image in dict.fromkeys(images) if _painted(image) not in names]


def _painted(path):
    """Return folder and name of the image for which `patchseg suggest` wrote this file of labels or
    this proposal; None if it is neither."""
    base = re.sub(r"_(labels|proposal(-\d+)?)$", "", outputs.stem(path))
    return (path.parent, base) if base != outputs.stem(path) else None


def _is_result(path):
    """Whether an image was written by patchseg, into the folder of its input."""
    base = re.sub(r"_(dseg|label-[A-Z]+_probseg|desc-[a-z]+_map)$", "", outputs.stem(path))
    return base != outputs.stem(path) and path.with_name(f"{base}_dseg.json").is_file()


def _in_folder(folder):
    bids = [
        path
        for pattern in ("sub-*/anat", "sub-*/ses-*/anat")
        for path in sorted(folder.glob(pattern))
        if path.is_dir()
    ]
    if not bids:
        found = sorted(
            path
            for path in folder.iterdir()
            if path.name.lower().endswith(volume.EXTENSIONS) and not path.name.startswith(".")
        )
        found = [path for path in found if not _is_result(path)]
        if not found:
            raise InputError(
                f"{folder}: no image ({', '.join(volume.EXTENSIONS)}) and no BIDS subject"
                " (sub-*/anat) in it; name another folder"
            )
        return found
    found = []
    for anat in bids:
        by_suffix = {
            suffix: sorted(
                path for path in anat.iterdir() if outputs.stem(path).endswith(f"_{suffix}")
            )
            for suffix in SUFFIXES
        }
        by_suffix = {
            suffix: [path for path in paths if path.name.lower().endswith(volume.EXTENSIONS)]
            for suffix, paths in by_suffix.items()
        }
        found += by_suffix["T1w"] or by_suffix["T2w"]
    if not found:
        raise InputError(
            f"{folder}: a BIDS dataset without any"
            f" {' or '.join(f'*_{suffix}' for suffix in SUFFIXES)} image; name the files themselves"
        )
    return found


def masks(images, pattern):
    """Return the mask of each image.

    Parameters
    ----------
    images : list of Path
    pattern : str or None
        A path in which ``{stem}`` stands for the image's name without extension and ``{name}`` for
        its BIDS name without suffix (sub-01 of sub-01_T1w.nii.gz); relative to the image's folder.

    Returns
    -------
    masks : list of Path or None
    """
    if pattern is None:
        return [None] * len(images)
    if "{" not in pattern:
        if len(images) > 1:
            raise InputError(
                f"mask {pattern}: one mask for {len(images)} images; write a pattern such as"
                " '{stem}_mask.nii.gz'"
            )
        return [Path(pattern)]
    if set("{}") & set(pattern.replace("{stem}", "").replace("{name}", "")):
        raise InputError(
            f"mask {pattern}: only {{stem}} and {{name}} can be filled in; check the braces"
        )
    places = [outputs.Place(image, ".") for image in images]
    found = [
        image.parent / pattern.replace("{stem}", place.stem).replace("{name}", place.name)
        for image, place in zip(images, places, strict=True)
    ]
    return [None if mask == image else mask for mask, image in zip(found, images, strict=True)]


def check_names(images, out):
    """Raise InputError if two images would write the same results."""
    taken = {}
    for image in images:
        record = outputs.Place(image, out).record
        if record in taken:
            raise InputError(
                f"{image}: would overwrite the results of {taken[record]} ({record.name}); run them"
                " with different --out folders"
            )
        taken[record] = image


def run(images, out, masks, jobs=1, with_report=True, **options):
    """Segment images, one after the other or several at a time, and write tables and an index.

    Parameters
    ----------
    images, masks : list of Path, list of Path or None
    out : Path
    jobs : int
        Processes; each takes about 1.5 GB.
    with_report : bool
        Write an HTML report of each.
    **options
        Of `outputs.segment_file`.

    Returns
    -------
    outcomes : list of Outcome
        In the order of the images.
    """
    _check_writable(out)
    tasks = [
        joblib.delayed(_one)(image, out, mask, with_report, jobs, options)
        for image, mask in zip(images, masks, strict=True)
    ]
    workers = joblib.Parallel(n_jobs=min(jobs, len(tasks)), return_as="generator")
    outcomes, done = [], workers(tasks)
    try:
        for outcome in progress(done, "images", len(tasks)) if len(tasks) > 1 else done:
            say(_line(outcome), sys.stderr if outcome.status == "failed" else sys.stdout)
            outcomes.append(outcome)
    except TerminatedWorkerError:
        lost = [
            Outcome(image, "failed", reasons=f"{image}: {KILLED}")
            for image in images[len(outcomes) :]
        ]
        for outcome in lost:
            say(_line(outcome), sys.stderr)
        outcomes += lost
    report.cohort(
        out,
        [
            (outputs.Place(one.image, out).name, one.reasons)
            for one in outcomes
            if one.status == "failed"
        ],
    )
    return outcomes


def _check_writable(out):
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written to ({error.strerror}); choose another folder (--out)"
        ) from error


def _line(outcome):
    if outcome.status == "failed":
        return f"failed  {outcome.reasons}"
    return (
        f"{outcome.status}  {outcome.image} "
        f" {outcome.verdict}{': ' if outcome.reasons else ''}{outcome.reasons}"
    )


def _one(image, out, mask, with_report, jobs, options):
    """Segment one image.

    Whatever is wrong with it becomes its outcome and does not stop the others.
    """
    if jobs > 1:  # read by TensorFlow when it starts: the processes share the cores
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, joblib.cpu_count() // jobs)))
    place = outputs.Place(image, out)
    try:
        before = place.record.stat().st_mtime_ns if place.record.exists() else None
        result = outputs.segment_file(image, out, mask, **options)
        status = "kept" if before == place.record.stat().st_mtime_ns else "done"
        if with_report and (status == "done" or not place.report.is_file()):
            report.write(place, _parameters(image, out, mask, options))
        return Outcome(image, status, result.verdict, result.reasons)
    except InputError as error:
        return Outcome(image, "failed", reasons=str(error))
    except MemoryError:
        return Outcome(
            image,
            "failed",
            reasons=(
                f"{image}: not enough memory; close other programs, use fewer --jobs or a --tile"
                " of 256"
            ),
        )
    except Exception as error:  # one image must never stop a batch; the type says where to look
        return Outcome(
            image,
            "failed",
            reasons=f"{image}: {type(error).__name__}: {error}; please report this with the file",
        )


def _parameters(image, out, mask, options):
    """Return the parameters of notebook 5.

    Paths are absolute, because a notebook runs in a folder of its own.
    """
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if name not in ("overwrite", "weights")
    }
    weights = options.get("weights")
    absolute = {
        name: str(Path(path).resolve()) if path else None
        for name, path in (("image", image), ("out", out), ("mask", mask), ("weights", weights))
    }
    return absolute | {"settings": settings}


def plan(images, out, masks, options):
    """Say what a run would do.

    A list of (image, 'to do', 'done already' or the reason against it).
    """
    lines = []
    for image, mask in zip(images, masks, strict=True):
        place = outputs.Place(image, out)
        settings = {
            name: value for name, value in options.items() if name not in ("overwrite", "weights")
        }
        try:
            outputs.check_targets(place, mask, options.get("overwrite"))
            asked = outputs.request(image, mask, options.get("weights"), settings)
            there = not options.get("overwrite") and outputs.done(place, asked)
            lines.append(
                (image, "done already" if there else f"to do: {place.path('dseg.nii.gz')}")
            )
        except InputError as error:
            lines.append((image, str(error)))
    return lines
