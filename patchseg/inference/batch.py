"""Many images: find them, segment what is missing, survive a bad one, list what came out."""

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

SUFFIXES = ("T1w", "T2w")
"""Of a BIDS dataset, what is segmented; T2w only where a session has no T1w."""
FAILED = "failed"
KILLED = (
    "its process was killed, probably because memory ran out; use fewer --jobs, then run the same"
    " command again"
)


@dataclass(frozen=True)
class Outcome:
    """What became of one image: its status ('failed', or that of `outputs.fulfil`) and verdict."""

    image: Path
    status: str
    verdict: str = ""
    reasons: str = ""

    @property
    def failed(self):
        """Whether there is no result."""
        return self.status == FAILED


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
    """Return folder and stem of the image that labels or a proposal of `suggest` belong to.

    None if the file is neither.
    """
    base = re.sub(r"_(labels|proposal(-\d+)?)$", "", outputs.stem(path))
    return (path.parent, base) if base != outputs.stem(path) else None


def _is_result(path):
    """Whether an image was written by patchseg, into the folder of its input."""
    base = re.sub(r"_(dseg|label-[A-Z]+_probseg|desc-[a-z]+_map)$", "", outputs.stem(path))
    return base != outputs.stem(path) and path.with_name(f"{base}_dseg.json").is_file()


def _in_folder(folder):
    """List the images of a folder, or of the BIDS dataset that it is."""
    anat = [
        path
        for pattern in ("sub-*/anat", "sub-*/ses-*/anat")
        for path in sorted(folder.glob(pattern))
        if path.is_dir()
    ]
    if anat:
        found = [image for path in anat for image in _in_session(path)]
        wanted = " or ".join(f"*_{suffix}" for suffix in SUFFIXES)
        none = f"{folder}: a BIDS dataset without any {wanted} image; name the files themselves"
    else:
        found = [path for path in _images(folder) if not _is_result(path)]
        none = (
            f"{folder}: no image ({', '.join(volume.EXTENSIONS)}) and no BIDS subject (sub-*/anat)"
            " in it; name another folder"
        )
    if not found:
        raise InputError(none)
    return found


def _in_session(anat):
    """List the images of the first suffix (see `SUFFIXES`) that a session has."""
    for suffix in SUFFIXES:
        found = [path for path in _images(anat) if outputs.stem(path).endswith(f"_{suffix}")]
        if found:
            return found
    return []


def _images(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(volume.EXTENSIONS) and not path.name.startswith(".")
    )


def masks(images, pattern):
    """Return the mask of each image.

    Parameters
    ----------
    images : list of Path
    pattern : str or None
        A path, relative to the current folder as all paths are, in which is filled in for each
        image: ``{folder}``, its folder; ``{stem}``, its name without extension; ``{name}``, its
        BIDS name without suffix (sub-01 of sub-01_T1w.nii.gz).

    Returns
    -------
    masks : list of Path or None

    Raises
    ------
    InputError
        If one mask is given for several images, another word is in braces, or a mask lies beside
        its image and not where the pattern says.
    """
    if pattern is None:
        return [None] * len(images)
    if "{" not in pattern and len(images) > 1:
        raise InputError(
            f"mask {pattern}: one mask for {len(images)} images; write a pattern such as"
            " '{folder}/{stem}_mask.nii.gz'"
        )
    filled = [_filled(pattern, image) for image in images]
    for mask, image in zip(filled, images, strict=True):
        if not mask.exists() and (image.parent / mask).is_file():
            raise InputError(
                f"mask {mask}: no such file in the current folder, but it lies beside {image};"
                f" write '{{folder}}/{pattern}'"
            )
    return [None if mask == image else mask for mask, image in zip(filled, images, strict=True)]


def _filled(pattern, image):
    place = outputs.Place(image, ".")
    known = {"folder": str(image.parent), "stem": place.stem, "name": place.name}
    parts = re.split(r"\{(\w*)\}", pattern)
    if set("{}") & set("".join(parts[::2])) or not set(parts[1::2]) <= set(known):
        raise InputError(
            f"mask {pattern}: only {{folder}}, {{stem}} and {{name}} can be filled in; check the"
            " braces"
        )
    parts[1::2] = [known[word] for word in parts[1::2]]
    return Path("".join(parts))


def without_masks(images, masks):
    """Return images and masks without the images that are masks of others.

    A glob such as ``*.nii.gz`` takes them along.
    """
    taken = {mask.resolve() for mask in masks if mask}
    kept = [pair for pair in zip(images, masks, strict=True) if pair[0].resolve() not in taken]
    return tuple(map(list, zip(*kept, strict=True))) if kept else (images, masks)


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


def run(images, out, masks, jobs=1, with_report=True, one=None, **options):
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
    **options
        Of `outputs.segment_file`.

    Returns
    -------
    outcomes : list of Outcome
        In the order of the images.
    """
    _check_writable(out)
    processes = min(jobs, len(images))
    if processes > 1 and options.get("threads") is None:
        options["threads"] = max(1, joblib.cpu_count() // processes)
    tasks = [
        joblib.delayed(one or segment_one)(image, out, mask, with_report, options)
        for image, mask in zip(images, masks, strict=True)
    ]
    workers = joblib.Parallel(n_jobs=processes, return_as="generator")
    outcomes = _outcomes(images, workers(tasks))
    names = {outcome.image: outputs.Place(outcome.image, out).name for outcome in outcomes}
    report.cohort(
        out,
        {names[outcome.image]: outcome.reasons for outcome in outcomes if outcome.failed},
        {names[outcome.image] for outcome in outcomes if not outcome.failed},
    )
    return outcomes


def _outcomes(images, done):
    """Say what becomes of each image as soon as it is known, and list it."""
    outcomes = []
    try:
        for outcome in progress(done, "images", len(images)) if len(images) > 1 else done:
            say(_line(outcome), sys.stderr if outcome.failed else sys.stdout)
            outcomes.append(outcome)
    except TerminatedWorkerError:
        for image in images[len(outcomes) :]:
            outcomes.append(Outcome(image, FAILED, reasons=f"{image}: {KILLED}"))
            say(_line(outcomes[-1]), sys.stderr)
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
    if outcome.failed:
        return f"failed  {outcome.reasons}"
    return (
        f"{outcome.status}  {outcome.image}  {outcome.verdict}"
        f"{': ' if outcome.reasons else ''}{outcome.reasons}"
    )


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
        if with_report and (status != outputs.KEPT or not place.report.is_file()):
            report.write(place, _parameters(image, out, mask, options))
        return Outcome(image, status, result.verdict, result.reasons)
    except InputError as error:
        why = str(error)
    except MemoryError:
        why = (
            f"{image}: not enough memory; close other programs, use fewer --jobs or a --tile of 256"
        )
    except Exception as error:  # one image must never stop a batch; the type says where to look
        why = f"{image}: {type(error).__name__}: {error}; please report this with the file"
    return Outcome(image, FAILED, reasons=why)


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
