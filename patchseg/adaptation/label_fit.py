"""How well a labelled slice fits the image, where it lies and where it might lie.

Labels that lie where they belong tell how bright the image is. Their mutual information with its
intensities falls off within a voxel or two, and takes no order of brightness for granted. The
network's guess, which may be poor, is asked only which tissue is which.
"""

from itertools import permutations, product

import numpy as np

from patchseg.core.tissues import TISSUES

LEVELS = 12
"""Of brightness, equally full."""
MOST_VOXELS = 4000  # of a slice that are looked at: more say the same
SIDES = ("left-right", "front-back", "up-down")
FLIPS = list(product((1, -1), repeat=3))[1:]
THROUGH, REACH = 4, 8  # slices and voxels by which labels may be shifted
SAME = (1, 2, 3)
# Fitted on one half of the brains of benchmarks/wrong_labels.py:
LEAST_VOXELS = 30  # of the second tissue: with fewer nothing is said
BETTER, BETTER_BY_ONE = 1.1, 1.05  # so many times better fits what is moved; by a slice
GAIN = 3.5  # of the fit, times the voxels of the second tissue
STRANGE, LEAST_STRANGE = 0.35, 400  # of the fit of the guess; voxels that say so
CLEAR = 1.5  # levels by which GM is brighter or darker than CSF and WM
ORDER, ORDER_CLEAR = 0.15, -0.1  # gain in agreement with the guess; where brightness is clear
AGREE = 0.4  # with the guess, in another order
FULL = 0.95  # a mask fills so much of a slice


def wrong(seen, labels, guess, axis, number):
    """Return what is wrong with a labelled slice.

    Parameters
    ----------
    seen : (x, y, z) ndarray of uint8
        See `levels`.
    labels, guess : (h, w) ndarray of uint8
        Of the slice; 0 where nobody labelled. What the network finds.
    axis, number : int
        Across the slice, and where it lies.

    Returns
    -------
    wrong : dict or None
        The last attributes of a `label_checks.Finding`.
    """
    places, brain = np.argwhere(labels), np.count_nonzero(np.take(seen, number, axis) < LEVELS)
    tissues, guess = labels[labels > 0].astype(int), guess[labels > 0].astype(int)
    if (tissues == 1).all() and len(tissues) > FULL * brain:
        return {"kind": "mask", "fault": "are CSF wherever there is brain"}
    step = -(-len(places) // MOST_VOXELS) or 1
    places = np.insert(places, axis, number, axis=1)[::step]
    tissues, guess = tissues[::step], guess[::step]
    if np.sort(np.bincount(tissues, minlength=4)[1:])[1] < LEAST_VOXELS:
        return None
    order = meant(tissues, guess, seen[tuple(places.T)])
    if order == SAME:
        return _misplaced(seen, places, tissues, guess, axis)
    pairs = zip(SAME, order, strict=True)
    names = ", ".join(f"{TISSUES[a - 1]} is {TISSUES[b - 1]}" for a, b in pairs if a != b)
    return {"kind": "swapped", "fault": f"look swapped: {names}", "order": order}


def meant(tissues, guess, brightness):
    """Return which tissues labels 1, 2 and 3 seem to mean: (1, 2, 3) if nothing speaks against.

    Another order must agree better with the guess. In T1w and T2w images the brightness of GM lies
    between those of CSF and WM: an order that breaks this is not believed, whatever the guess, and
    one that mends it needs less of it.

    Parameters
    ----------
    tissues, guess, brightness : (n,) ndarray of int

    Returns
    -------
    order : tuple of three int
    """
    pairs = np.array([[np.sum((tissues == a) & (guess == b)) for b in SAME] for a in SAME])
    own, found = pairs.sum(axis=1), pairs.sum(axis=0)
    mean = [brightness[tissues == a].mean() if own[a - 1] >= LEAST_VOXELS else np.nan for a in SAME]

    def agreement(order):
        dice = [
            2 * pairs[a, b - 1] / (own[a] + found[b - 1]) for a, b in enumerate(order) if own[a]
        ]
        return np.mean(dice)

    def between(order):
        csf, gm, wm = (mean[order.index(tissue)] for tissue in SAME)
        steps = np.nan_to_num([gm - csf, wm - gm])
        return np.sign(steps.prod()) * np.abs(steps).min()

    others = [order for order in permutations(SAME) if order != SAME and between(order) >= 0]
    best = max(others, key=agreement)
    needed = ORDER_CLEAR if between(SAME) < -CLEAR else ORDER
    gain = agreement(best) - agreement(SAME)
    return best if gain > needed and agreement(best) > AGREE else SAME


def _misplaced(seen, places, tissues, guess, axis):
    """Return what is wrong with where a slice lies; see `wrong`."""
    shifts, flips = _shifts(axis), FLIPS
    if abs(seen.shape[axis] - 1 - 2 * places[0, axis]) <= THROUGH:  # shifts through the plane tell
        flips = [flip for flip in FLIPS if flip[axis] > 0]
    given = fits(seen, places, tissues)[0]
    moved = fits(seen, places, tissues, shifts=shifts)
    mirrored = np.array([fits(seen, places, tissues, flip)[0] for flip in flips])
    second = np.sort(np.bincount(tissues, minlength=4)[1:])[1]
    usual = STRANGE * fits(seen, places, np.maximum(guess, 1))[0]
    least = max(given + GAIN / second, usual)
    by_one = np.abs(shifts).max(axis=1) == 1
    moved = moved * (moved > np.maximum(least, given * np.where(by_one, BETTER_BY_ONE, BETTER)))
    mirrored = mirrored * (mirrored > max(least, given * BETTER))
    if mirrored.max() > moved.max():
        flip = flips[int(mirrored.argmax())]
        sides = " and ".join(name for name, way in zip(SIDES, flip, strict=True) if way < 0)
        return {"kind": "mirrored", "fault": f"look mirrored {sides}", "flip": flip}
    if moved.max() > 0:
        shift = tuple(shifts[int(moved.argmax())].tolist())
        by = ", ".join(f"{d:+d} along {name}" for d, name in zip(shift, "xyz", strict=True) if d)
        return {"kind": "shifted", "fault": f"would fit better moved by {by}", "shift": shift}
    if given < usual and len(places) >= LEAST_STRANGE:
        return {"kind": "another brain", "fault": "hardly follow the image, wherever they are put"}
    return None


def _shifts(axis):
    """Return by what labels may be shifted: through the plane, or by two voxels and more in it."""
    u, v = (np.eye(3, dtype=int)[side] for side in range(3) if side != axis)
    through = [n * np.eye(3, dtype=int)[axis] for n in range(-THROUGH, THROUGH + 1) if n]
    steps = range(-REACH, REACH + 1, 2)
    return np.array(through + [a * u + b * v for a, b in product(steps, steps) if a or b])


def levels(image, mask):
    """Return how bright each voxel is: 0 to `LEVELS` - 1 in the brain, `LEVELS` outside it."""
    edges = np.quantile(image[mask][::7], np.linspace(0, 1, LEVELS + 1)[1:-1])
    found = np.full(image.shape, LEVELS, np.uint8)
    found[mask] = np.searchsorted(edges, image[mask])
    return found


def fits(seen, places, tissues, flip=(1, 1, 1), shifts=((0, 0, 0),)):
    """Return how well labels fit the image where they are put: a value for each shift.

    It is what their places tell of the image (see `explained`), times the share of them that lies
    in the brain.

    Parameters
    ----------
    seen : (x, y, z) ndarray of uint8
        See `levels`.
    places : (n, 3) ndarray of int
        Labelled voxels.
    tissues : (n,) ndarray of int
    flip : tuple of three int
        -1 for the axes along which the labels are mirrored.
    shifts : sequence of three int
    """
    shape, shifts = np.array(seen.shape), np.asarray(shifts)
    at = np.where(np.array(flip) > 0, places, shape - 1 - places) + shifts[:, None]
    inside = ((at >= 0) & (at < shape)).all(axis=-1)
    at = np.clip(at, 0, shape - 1)
    values = np.where(inside, seen[at[..., 0], at[..., 1], at[..., 2]], LEVELS).astype(int)
    values += (LEVELS + 1) * (tissues - 1 + len(TISSUES) * np.arange(len(shifts))[:, None])
    sizes = len(shifts), len(TISSUES), LEVELS + 1
    tables = np.bincount(values.ravel(), minlength=np.prod(sizes)).reshape(sizes)[..., :LEVELS]
    return explained(tables) * tables.sum(axis=(1, 2)) / len(places)


def explained(tables):
    """Return which share of the labels' entropy another variable explains (mutual information).

    Parameters
    ----------
    tables : (..., tissues, values) ndarray of int
        How many voxels have each tissue and each value.

    Examples
    --------
    >>> explained(np.array([[[5, 0], [0, 5]], [[3, 3], [3, 3]]])).round(2).tolist()
    [1.0, 0.0]
    """
    p = tables / np.maximum(1, tables.sum(axis=(-2, -1), keepdims=True))
    tissues, values = (_entropy(p.sum(axis=axis)).sum(axis=-1) for axis in (-1, -2))
    shared = tissues + values - _entropy(p).sum(axis=(-2, -1))
    return shared / np.maximum(tissues, 1e-9)


def _entropy(p):
    return -p * np.log(np.maximum(p, 1e-12))
