"""Many images: do what is missing, here or on a cluster, survive a bad one, list what came out."""

from pathlib import Path

from patchseg.core import files
from patchseg.core.errors import InputError
from patchseg.core.progress import say
from patchseg.inference import cohort, mask_files, outputs, report, standing, thumbnail
from patchseg.inference.places import Place
from patchseg.inference.request import request
from patchseg.inference.segmentation import FOUND
from patchseg.inference.work import FAILED, Outcome, each, why

HEAD = "  (a whole head: its brain was found first)"
NO_HEAD = "  (no head: the brain was extracted already)"


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
        In the order of the images. The tables do not list images that are not there.
    """
    files.check_writable(out)
    cohort.check_foreign(out)
    places = [Place(image, out) for image in images]
    given = [(mask, with_report) for mask in masks]
    outcomes = each(one or segment_one, places, given, options, jobs, client)
    if tables:
        names = {place.image: place.name for place in places}
        bad = [one for one in outcomes if one.failed and not one.taken]
        first = cohort.cohort(
            out,
            # a name that was mistyped would stay for good
            {names[one.image]: one.reasons for one in bad if one.image.exists()},
            {names[one.image] for one in outcomes if not one.failed},
        )
        if len(images) > 1 and len(first):
            names = ", ".join(first.image[:3])
            more = f" and {len(first) - 3} more" if len(first) > 3 else ""
            say(f"look first at: {names}{more}")
    return outcomes


def segment_one(image, out, mask, with_report, options, start=None):
    """Segment one image; whatever is wrong with it becomes its outcome and stops no other.

    Parameters
    ----------
    image, out, mask
        See `outputs.segment_file`.
    with_report : bool
    options : dict
        Of `outputs.segment_file`.
    start : callable, optional
        See `outputs.fulfil`.

    Returns
    -------
    outcome : Outcome
    """
    try:
        result, status = outputs.fulfil(image, out, mask, start=start, **options)
        place = Place(image, out)
        chosen, fill = options.get("volume"), options.get("nan_as_background", False)
        thumbnail.write(place, result, chosen, fill)
        if with_report and (status != standing.KEPT or not place.report.is_file()):
            report.write(place, _parameters(image, out, mask, options))
        made = result.provenance
        remark = HEAD if made.get("brain", "") == FOUND else ""
        look = made.get("look")
        return Outcome(image, status, result.verdict, result.reasons, remark, look=look)
    except Exception as error:  # one image must never stop a batch
        return _failed(image, error)


def extract_one(image, out, options, start=None):
    """Find the brain in one image; as `segment_one`, with the options of `mask_files.extract_file`.

    Returns
    -------
    outcome : Outcome
    """
    try:
        said, status = mask_files.extract_file(image, out, start=start, **options)
        remark = "" if said["head"] else NO_HEAD
        return Outcome(image, status, said["verdict"], said["reasons"], remark)
    except Exception as error:
        return _failed(image, error)


def _failed(image, error):
    taken = isinstance(error, standing.TakenError)
    return Outcome(image, FAILED, reasons=why(image, error), taken=taken)


def _parameters(image, out, mask, options):
    """Return the parameters of notebook 5, with full paths: it runs in a folder of its own."""
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if name not in ("overwrite", "weights", "threads")
    }
    paths = {"image": image, "out": out, "mask": mask, "weights": options.get("weights")}
    absolute = {name: str(Path(path).absolute()) if path else None for name, path in paths.items()}
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
        place = Place(image, out)
        try:
            asked = request(image, mask, weights, **settings)
            status = standing.needed(place, mask, asked, overwrite)
        except InputError as error:
            lines.append((image, str(error)))
            continue
        again = f" ({status})" if status.startswith(standing.AGAIN) else ""
        to_do = f"to do: {place.path('dseg.nii.gz')}{again}"
        lines.append((image, "done already" if status == standing.KEPT else to_do))
    return lines
