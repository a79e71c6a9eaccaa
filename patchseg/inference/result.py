"""What is found out about one image."""

from dataclasses import dataclass

import nibabel as nib
import pandas as pd

from patchseg.core.errors import InputError
from patchseg.inference import qc, standing, writing
from patchseg.inference.places import Place


@dataclass(frozen=True, repr=False)
class Result:
    """What `segment` finds out about one image.

    Attributes
    ----------
    dseg : nibabel image, uint8
        0 background, 1 CSF, 2 GM, 3 WM.
    probseg : nibabel image, (x, y, z, 3) float32
        Probability of CSF, GM, WM; they sum to 1 inside the brain.
    uncertainty, disagreement : nibabel image, float32
        In [0, 1], see `views.Fused`.
    volumes : pandas.DataFrame
        A row for each tissue and for the brain: `volume_mm3` from labels, `probability_mm3` from
        probabilities, `low_mm3` and `high_mm3` the least and the most that a view alone, or all
        together, say, `share` of the brain.
    qc : pandas.DataFrame
        A row for each check: `check`, `value`, `good` (what is expected), `verdict` (good, look or
        bad), `reason`.
    provenance : dict
        What computed it (see `runtime.computing`), weights and their sha256, sizes, command,
        seconds, peak memory, and how the image looks (see `resemblance`).
    request : dict
        What it was made from (see `request.request`).
    image : str or None
        The path of the image; None if it came from memory without one.
    """

    dseg: nib.spatialimages.SpatialImage
    probseg: nib.spatialimages.SpatialImage
    uncertainty: nib.spatialimages.SpatialImage
    disagreement: nib.spatialimages.SpatialImage
    volumes: pd.DataFrame
    qc: pd.DataFrame
    provenance: dict
    request: dict
    image: str | None = None

    def __repr__(self):
        """Name the image, its verdict and the volumes."""
        sizes = self.volumes.set_index("tissue").volume_mm3
        shown = ", ".join(f"{tissue} {size:.4g} mm³" for tissue, size in sizes.items())
        return f"<Result of {self.image or 'an image'}: {self.verdict}; {shown}>"

    @property
    def verdict(self):
        """The worst verdict of all checks: good, look or bad."""
        return qc.worst(self.qc)

    @property
    def reasons(self):
        """Why it is not good, in one string; empty if it is."""
        return qc.reasons(self.qc)

    def save(self, folder, name=None, *, overwrite=False):
        """Write the files that `patchseg segment` writes, under the same BIDS-derivatives names.

        Parameters
        ----------
        folder : str or Path
            Of the derivatives; made if needed.
        name : str, optional
            Of the image, for example ``sub-01_T1w``; that of its file unless given.
        overwrite : bool
            Also replace files that patchseg did not make, or made from another image.

        Returns
        -------
        dseg : Path
            The others lie beside it.

        Raises
        ------
        InputError
            If there is no name, the files of somebody else are there, or the folder cannot be
            written to.
        """
        if not (name or self.image):
            raise InputError(
                "the image came from memory and has no name; give one, for example"
                " save(folder, name='sub-01_T1w')"
            )
        place = Place(name or self.image, folder)
        standing.check_targets(place, self.image)
        if not overwrite:
            standing.differing(place, self.request)
            standing.check_foreign(place)
        writing.write(self, place)
        return place.path("dseg.nii.gz")
