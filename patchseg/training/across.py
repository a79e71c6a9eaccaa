"""Networks for brains of any species, trained on brains of the zoo."""

import json
import subprocess
from pathlib import Path

from patchseg import checkpoint, params
from patchseg.core import files, provenance
from patchseg.core.errors import InputError
from patchseg.core.tissues import TISSUES
from patchseg.datasets import brains as named
from patchseg.datasets import zoo
from patchseg.images import brain
from patchseg.training import batches, draw


def settings(path, name):
    """Return what `params.yaml` says of a network.

    Returns
    -------
    drawing : patchseg.params.Draw
    training : patchseg.params.Train
    brains : list of str
        To train on, those of the network that it starts from not included.
    start : str or None
        The network whose weights it starts from.
    kept : float
        Share of what it learned after the start that is kept.

    Raises
    ------
    InputError
        If the network, a setting or a brain is unknown.
    """
    across = params.load(path).across
    if name not in across.networks:
        raise InputError(
            f"{path}: network '{name}' is unknown; there are {', '.join(across.networks)}"
        )
    own = across.networks[name]
    drawing = params.check(
        path, params.Draw, across.draw.model_dump() | own.draw, f"across.networks.{name}.draw: "
    )
    training = params.check(
        path, params.Train, across.train.model_dump() | own.train, f"across.networks.{name}.train: "
    )
    if own.start is not None and (
        own.start == name or own.start not in across.networks or across.networks[own.start].start
    ):
        raise InputError(
            f"{path}: network '{name}' starts from '{own.start}'; name a network of this section"
            " that starts from none"
        )
    return drawing, training, named.names(own.brains), own.start, own.kept


def train(name, path="params.yaml", out="work/across", jobs=2):
    """Draw a training set and train a network on it, or go on where a killed run was.

    Parameters
    ----------
    name : str
        A network of `params.yaml`, section across.
    path : str or Path
        The `params.yaml`.
    out : str or Path
        Gets a folder NAME with the patches and the training's state, and at the end
        ``NAME.weights.h5``, its card ``NAME.json`` and ``NAME_history.csv``.
    jobs : int
        Threads that draw.

    Returns
    -------
    weights : Path
    """
    from patchseg import checkpoint, unet
    from patchseg.training import loop

    drawing, fitting, chosen, start, kept = settings(path, name)
    out = Path(out)
    first = None
    if start:
        first = out / f"{start}{checkpoint.SUFFIX}"
        if not checkpoint.card_path(first).is_file():
            train(start, path, out, jobs)
    folder, weights = out / name, out / f"{name}{checkpoint.SUFFIX}"
    key = provenance.fingerprint(settings=[drawing.model_dump(), chosen])
    brains = []
    if not _is_drawn(folder, key):
        for one in chosen:
            brains.append(draw.brain_of(named.load(one)))
        sizes = [
            one.size_mm for one in brains
        ]  # a brain that is magnified threefold is seen like one that is three times smaller
        draw.write_set(brains, folder / "train", drawing.patches, drawing, seed=0, jobs=jobs)
        draw.write_set(brains, folder / "val", drawing.validation, drawing, seed=1, jobs=jobs)
        files.write_text(
            folder / "set.json",
            json.dumps(
                {
                    "key": key,
                    "sizes_mm": [
                        round(min(sizes) / drawing.scales[1], 1),
                        round(max(sizes) / drawing.scales[0], 1),
                    ],
                }
            ),
        )
    sets = [batches.open_training_set(folder / part) for part in ("train", "val")]
    network, history = loop.fit(
        *sets,
        fitting,
        folder / "learned.weights.h5" if first else weights,
        folder / "state.npz",
        first,
    )
    sizes = json.loads((folder / "set.json").read_text())["sizes_mm"]
    if first:
        unet.go_back(network, checkpoint.load(first), kept)
        before = checkpoint.read_card(first)
        checkpoint.save(network, before["architecture"], weights)
        chosen = [*before["brains"], *[one for one in chosen if one not in before["brains"]]]
        sizes = [min(sizes[0], before["sizes_mm"][0]), max(sizes[1], before["sizes_mm"][1])]
    files.write_table(history, out / f"{name}_history.csv")
    dice = loop.validation_dice(network, *sets[1])
    _describe(weights, name, path, start, kept, chosen, sizes, drawing, fitting, len(history), dice)
    return weights


def _describe(weights, name, path, start, kept, chosen, sizes, drawing, fitting, epochs, dice):
    """Write into the card of trained weights what is to be known of them."""
    found = checkpoint.read_card(weights)
    checkpoint.write_card(
        weights,
        found["architecture"],
        name=name,
        top=brain.TOP,
        brain_pixels=params.load(path).across.brain_pixels,
        sizes_mm=sizes,
        contrasts=["T1w", "T2w"],
        start=start,
        kept=kept,
        brains=chosen,
        species=sorted(
            {"human" if one == named.TEMPLATE else zoo.entry(one).species for one in chosen}
        ),
        licences=sorted({zoo.entry(one).licence for one in chosen if one != named.TEMPLATE}),
        draw=drawing.model_dump(mode="json"),
        train=fitting.model_dump(mode="json"),
        epochs=epochs,
        validation_dice={
            tissue: round(float(value), 4) for tissue, value in zip(TISSUES, dice, strict=True)
        },
        commit=_commit(),
        command=f"patchseg dev across train {name}",
    )


def _is_drawn(folder, key):
    return (folder / "set.json").is_file() and json.loads((folder / "set.json").read_text())[
        "key"
    ] == key


def _commit():
    """Return the commit that the code was at, or None outside of a repository."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip() or None
