"""The choice of slices to label: where a network is unsure, and not near what is labelled."""

from dataclasses import dataclass, field

import numpy as np

from patchseg.core.errors import InputError

REACH = 0.12
"""A labelled slice teaches another by exp(-d² / 2 REACH²); d is a share of the brain's length."""
ACROSS = 0.5
"""How much of that is left if the other slice is of another brain."""
LEAST_BRAIN = 0.3
"""A slice with less brain than this share of the largest one is not suggested: little to learn."""
MOSTLY = 0.5
"""Share of a slice's uncertainty in voxels that may be CSF above which it is called that of CSF."""
NEAR = 0.5
"""A slice that is less near than this to what is labelled is called unlike it."""


@dataclass(frozen=True)
class Profile:
    """How sure a network is of the slices of a brain, across one plane.

    Attributes
    ----------
    unsure : (slices,) ndarray of float
        Uncertainty, summed over each slice.
    area : (slices,) ndarray of int
        Voxels of brain.
    taken : list of int
        Slices that are labelled already.
    plane : str
    """

    unsure: np.ndarray
    area: np.ndarray
    taken: list = field(default_factory=list)
    plane: str = ""

    @property
    def places(self):
        """Where each slice lies: 0 at the first that holds brain, 1 behind the last."""
        held = np.flatnonzero(self.area)
        return (np.arange(len(self.area)) - held[0]) / (held[-1] - held[0] + 1)

    @property
    def mean(self):
        """The uncertainty of the brain, 0 certain, 1 no idea."""
        return float(self.unsure.sum() / self.area.sum())

    @property
    def open(self):
        """The slices that may be suggested: with enough brain and not labelled, a list of int."""
        full = np.flatnonzero(self.area >= LEAST_BRAIN * self.area.max()).tolist()
        return [number for number in full if number not in set(self.taken)]


def choose(profiles, n):
    """Choose slices of one brain or of several.

    Each brain counts by how unsure the network is of it on average, large or small. A slice of
    another brain is `ACROSS` as near as one at the same place of the same brain, and not at all
    near if it lies in another plane.

    Parameters
    ----------
    profiles : list of Profile
    n : int

    Returns
    -------
    chosen : list of (int, int, float)
        Best first: which profile, which slice, and the share of all uncertainty that it is nearer
        to than those that are labelled or were chosen before.

    Examples
    --------
    >>> one = Profile(np.ones(101), np.ones(101))
    >>> [slice_ for _, slice_, _ in choose([one], 1)]
    [50]
    >>> [slice_ for _, slice_, _ in choose([Profile(one.unsure, one.area, [50])], 2)]
    [16, 83]
    """
    owner = np.concatenate([np.full(len(one.area), i) for i, one in enumerate(profiles)])
    place = np.concatenate([one.places for one in profiles])
    unsure = np.concatenate([one.unsure / one.area.sum() for one in profiles])
    unsure = unsure / max(unsure.sum(), np.finfo(float).tiny)
    same = np.array([[a.plane == b.plane for b in profiles] for a in profiles])
    first = np.flatnonzero(np.diff(owner, prepend=-1))

    def near(i, number):
        fading = np.exp(-0.5 * ((place - place[first[i] + number]) / REACH) ** 2)
        return fading * np.where(owner == i, 1, ACROSS * same[i, owner])

    open_ = [(i, number) for i, one in enumerate(profiles) for number in one.open]
    if not 1 <= n <= len(open_):
        whose = "this brain" if len(profiles) == 1 else "these brains"
        raise InputError(f"{n} slices: between 1 and {len(open_)} of {whose} can be suggested")
    covered = np.zeros(len(place))
    for i, one in enumerate(profiles):
        for number in one.taken:
            covered = np.maximum(covered, near(i, number))
    chosen = []
    for _ in range(n):
        gains = [np.maximum(near(*one) - covered, 0) @ unsure for one in open_]
        best = int(np.argmax(np.round(gains, 9)))
        chosen.append((*open_[best], float(gains[best])))
        covered = np.maximum(covered, near(*open_.pop(best)))
    return chosen


def why(profile, csf, number, begun):
    """Say why a slice is worth labelling.

    Parameters
    ----------
    profile : Profile
    csf : (slices,) ndarray of float, or None
        The part of `profile.unsure` in voxels that may be CSF: it is one of the two likeliest
        tissues. None for a head.
    number : int
    begun : bool
        Whether any image has labels.

    Returns
    -------
    reasons : str
        One or two of: 'unsure of CSF' or 'unsure overall', where the slice is less certain than the
        brain; 'unlike what is labelled', or 'nothing is labelled in this image'; else 'unsure
        around it'.

    Examples
    --------
    >>> one = Profile(np.r_[np.ones(50), np.full(50, 3.0)], np.full(100, 9), taken=[10])
    >>> why(one, np.zeros(100), 15, True), why(one, one.unsure, 80, True)
    ('unsure around it', 'unsure of CSF, unlike what is labelled')
    """
    unsure, found = profile.unsure[number], []
    if unsure >= profile.mean * profile.area[number]:
        of_csf = csf is not None and csf[number] > MOSTLY * unsure
        found.append("unsure of CSF" if of_csf else "unsure overall")
    if begun and not profile.taken:
        found.append("nothing is labelled in this image")
    elif profile.taken:
        away = np.abs(profile.places[number] - profile.places[profile.taken]).min()
        if np.exp(-0.5 * (away / REACH) ** 2) < NEAR:
            found.append("unlike what is labelled")
    return ", ".join(found) or "unsure around it"
