"""What the labels of several animals say of a network's answers, for animals without labels.

A network that never saw an animal is wrong in much the same way on all of them: where the mask
ends, in thin sulci, where the image is smooth. So the same regression that learns from one animal's
slices (see `calibration`) learns from the brains of the zoo what a network says of brains that it
never saw: what the network that this one started from says of brains that are new to it. It is
gentle (see `params.yaml`), and it stands in the card. Where an animal's own labels are learned,
they start from it.
"""

from pathlib import Path

import numpy as np

from patchseg import checkpoint, params
from patchseg.adaptation import answers
from patchseg.core.errors import InputError
from patchseg.datasets import brains
from patchseg.inference import calibration, networks
from patchseg.training import across


def learn(name, path="params.yaml", folder="work/across"):
    """Learn it for a trained network, and write it into its card.

    Parameters
    ----------
    name : str
        A network of `params.yaml`, section across, that says of which brains.
    path : str or Path
        The `params.yaml`.
    folder : str or Path
        Holds the weights of the network, and of that from which it starts.

    Returns
    -------
    known : dict
        `general`, `general_mm` and `general_brains` of the card; empty if `params.yaml` names no
        brains for this network.

    Raises
    ------
    InputError
        If the network, a brain or weights are missing, a brain is not new to the network that this
        one starts from, it starts from none, or too little is labelled.
    """
    across.settings(path, name)  # whether it is known
    settings = params.load(path)
    weights = Path(folder) / f"{name}{checkpoint.SUFFIX}"
    own = settings.across.networks.get(name)
    if own is None or not own.general:
        _into_card(weights, {})
        return {}
    where = f"{path}: across.networks.{name}.general"
    if own.start is None:
        raise InputError(
            f"{where}: {name} starts from no network whose answers could teach it; name one"
            " (start), or no brains"
        )
    chosen, how = brains.names(own.general), settings.across.general
    start = Path(folder) / f"{own.start}{checkpoint.SUFFIX}"
    seen = set(chosen) & set(checkpoint.read_card(start)["brains"])
    if seen:
        raise InputError(
            f"{where}: {', '.join(sorted(seen))} taught the network {own.start}, from which {name}"
            " starts; name brains that are new to it"
        )
    found = calibration.fit(
        *drawn(chosen, networks.load(start), how.voxels),
        settings.adapt.calibration.model_copy(
            update={"most_voxels": how.voxels * len(chosen), "ridge": how.ridge}
        ),
        whole=True,
    )
    if found is None:
        raise InputError(
            f"{where}: {', '.join(chosen)}: too few voxels, or one tissue only; name other brains,"
            " or draw more voxels (across.general.voxels)"
        )
    known = {"general": found, "general_mm": how.sizes_mm, "general_brains": chosen}
    _into_card(weights, known)
    return known


def _into_card(weights, known):
    """Write it into the card of weights, in the place of what is there."""
    kept = {
        key: value
        for key, value in checkpoint.read_card(weights).items()
        if key not in ("sha256", "general", "general_mm", "general_brains")
    }
    checkpoint.write_card(weights, **kept | known)


def drawn(chosen, network, count):
    """Draw voxels of brains, as many of each.

    Parameters
    ----------
    chosen : list of str
        Names of brains (see `datasets.brains`).
    network : patchseg.inference.networks.Network
        Tells what a network says of them.
    count : int
        Voxels of each brain, at most.

    Returns
    -------
    found, sharp, labels : ndarrays
        As `calibration.fit` takes them.
    """
    rng, parts = np.random.default_rng(0), []
    for name in chosen:
        one = brains.teacher(name)
        whole = answers.evidence(network.model, network, one)
        labels = one.labels[one.known]
        rows = rng.choice(len(labels), min(count, len(labels)), replace=False)
        parts.append((whole.found[rows], whole.sharp[rows], labels[rows]))
    return [np.concatenate(part) for part in zip(*parts, strict=True)]
