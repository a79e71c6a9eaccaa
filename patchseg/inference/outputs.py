"""Image files to results on disc: segmented, or read if they are there already."""

import json
import warnings

import nibabel as nib
import numpy as np
import pandas as pd

from patchseg.core.tissues import TISSUES
from patchseg.inference import writing
from patchseg.inference.places import Place
from patchseg.inference.request import request
from patchseg.inference.result import Result
from patchseg.inference.segmentation import segment
from patchseg.inference.standing import AGAIN, KEPT, needed

RUN = ("command", "seconds", "peak_memory_mb", "look")
"""Of the provenance, what belongs to one run, and the numbers that are not for people."""


def segment_file(image, out, mask=None, weights=None, *, overwrite=False, **settings):
    """Segment one image file and write the results, or read them if they are there already.

    Results of the same image that were made with another mask, other weights or other settings are
    made again, and a warning says so.

    Parameters
    ----------
    image : str or Path
    out : str or Path
        Folder of the derivatives; made if needed.
    mask, weights : str or Path, optional
    overwrite : bool
        Make them again in any case, and in the place of what patchseg did not make.
    **settings
        Of `patchseg.segment`.

    Returns
    -------
    result : patchseg.inference.result.Result

    Raises
    ------
    InputError
        See `patchseg.segment`; or if the folder holds files under the same names that patchseg did
        not make, or made from another image.
    """
    result, status = fulfil(image, out, mask, weights, overwrite=overwrite, **settings)
    if status.startswith(AGAIN):
        warnings.warn(f"{image}: {status}", stacklevel=2)
    return result


def fulfil(image, out, mask=None, weights=None, *, overwrite=False, start=None, **settings):
    """Do what `segment_file` does, and say what was done.

    Parameters
    ----------
    image, out, mask, weights, overwrite, **settings
        See `segment_file`.
    start : callable, optional
        Called before something is computed: not for what is there, nor for a file that is not.

    Returns
    -------
    result : patchseg.inference.result.Result
    status : str
        'kept', 'done', or 'done again: other ' and what differs.
    """
    place = Place(image, out)
    status = needed(place, mask, request(image, mask, weights, **settings), overwrite)
    if status != KEPT:
        if start:
            start()
        made = segment(image, mask, weights, **settings)
        writing.write(made, place)
        try:
            return read(place), status
        except FileNotFoundError:  # the same command runs twice, and the other one writes, too
            return made, status
    return read(place), status


def read(place):
    """Read the results of one image back from disc (see `result.Result`)."""
    record = json.loads(place.record.read_text(encoding="utf-8"))
    found = {what: nib.load(path) for what, path in place.images().items()}
    probabilities = np.stack(
        [np.asarray(found[tissue].dataobj, np.float32) for tissue in TISSUES], axis=-1
    )
    return Result(
        dseg=found["dseg"],
        probseg=nib.Nifti1Image(
            probabilities, found["dseg"].affine, found["dseg"].header, dtype=np.float32
        ),
        uncertainty=found["uncertainty"],
        disagreement=found["disagreement"],
        volumes=pd.read_csv(place.path("volumes.tsv"), sep="\t"),
        qc=pd.DataFrame(record["qc"]),
        provenance=record["provenance"],
        request=record["request"],
        image=str(place.image),
    )


def told(result):
    """Return how a result was made, for a page: what differs between two runs is left out.

    Returns
    -------
    made : dict of str to str
    """
    made = {name: value for name, value in result.provenance.items() if name not in RUN}
    libraries = made.pop("libraries", {})
    return {name: str(value) for name, value in (made | libraries).items()}
