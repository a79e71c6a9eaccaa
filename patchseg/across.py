"""Networks for brains of any species: trained on brains of the zoo, scored on those that they never saw."""

import json
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from patchseg import TISSUES, augment, brain, card, draw, files, params, volume, zoo
from patchseg.errors import InputError
from patchseg.progress import progress

TEMPLATE = "mni"
"""The template that comes with nilearn, whole (see `sample`); not an entry of the zoo."""


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
        raise InputError(f"{path}: network '{name}' is unknown; there are {', '.join(across.networks)}")
    own = across.networks[name]
    drawing = params.check(path, params.Draw, across.draw.model_dump() | own.draw, f"across.networks.{name}.draw: ")
    training = params.check(path, params.Train, across.train.model_dump() | own.train, f"across.networks.{name}.train: ")
    if own.start is not None and (own.start == name or own.start not in across.networks or across.networks[own.start].start):
        raise InputError(f"{path}: network '{name}' starts from '{own.start}'; name a network of this section that starts from none")
    return drawing, training, names(own.brains), own.start, own.kept


def names(patterns):
    """Return the brains that the patterns name: entries of the zoo and `mni`, ``*`` for any letters."""
    known, found = [TEMPLATE, *zoo.entries()], []
    for pattern in patterns:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            raise InputError(f"brain '{pattern}' is unknown; there are {', '.join(known[:8])} and more (patchseg zoo list)")
        found += [name for name in fitting if name not in found]
    return found


def load(name):
    """Return species, image (or None), labels and affine of a brain of the zoo, or of the template (see `zoo.load`)."""
    if name != TEMPLATE:
        return zoo.entry(name).species, *zoo.load(name)
    from patchseg.sample import labelled_template

    return "human", *labelled_template()


def train(name, path="params.yaml", out="work/across", jobs=2):
    """Draw a training set and train a network on it, or go on where a killed run was.

    Parameters
    ----------
    name : str
        A network of `params.yaml`, section across.
    path : str or Path
        The `params.yaml`.
    out : str or Path
        Gets a folder NAME with the patches and the training's state, and at the end ``NAME.weights.h5``, its card
        ``NAME.json`` and ``NAME_history.csv``.
    jobs : int
        Threads that draw.

    Returns
    -------
    weights : Path
    """
    from patchseg import training, unet

    drawing, fitting, chosen, start, kept = settings(path, name)
    out = Path(out)
    first = None
    if start:
        first = out / f"{start}{card.SUFFIX}"
        if not card.path_of(first).is_file():
            train(start, path, out, jobs)
    folder, weights = out / name, out / f"{name}{card.SUFFIX}"
    key = files.fingerprint([drawing.model_dump(), chosen])
    brains = []
    if not _is_drawn(folder, key):
        for one in chosen:
            species, image, labels, affine = load(one)
            brains.append(draw.brain_of(one, species, image, labels, volume.voxel_size_mm(affine)))
        sizes = [one.size_mm for one in brains]  # a brain that is magnified threefold is seen like one that is three times smaller
        draw.write_set(brains, folder / "train", drawing.patches, drawing, seed=0, jobs=jobs)
        draw.write_set(brains, folder / "val", drawing.validation, drawing, seed=1, jobs=jobs)
        files.write_text(folder / "set.json", json.dumps({"key": key, "sizes_mm": [round(min(sizes) / drawing.scales[1], 1), round(max(sizes) / drawing.scales[0], 1)]}))
    sets = [augment.open_training_set(folder / part) for part in ("train", "val")]
    network, history = training.fit(*sets, fitting, folder / "learned.weights.h5" if first else weights, folder / "state.npz", first)
    sizes = json.loads((folder / "set.json").read_text())["sizes_mm"]
    if first:
        unet.go_back(network, unet.load(first), kept)
        before = card.read(first)
        unet.save(network, before["architecture"], weights)
        chosen = [*before["brains"], *[one for one in chosen if one not in before["brains"]]]
        sizes = [min(sizes[0], before["sizes_mm"][0]), max(sizes[1], before["sizes_mm"][1])]
    files.write_table(history, out / f"{name}_history.csv")
    dice = training.validation_dice(network, *sets[1])
    _describe(weights, name, path, start, kept, chosen, sizes, drawing, fitting, len(history), dice)
    return weights


def _describe(weights, name, path, start, kept, chosen, sizes, drawing, fitting, epochs, dice):
    """Write into the card of trained weights what is to be known of them."""
    found = card.read(weights)
    card.write(
        weights,
        found["architecture"],
        name=name,
        top=99.0,
        brain_pixels=params.load(path).across.brain_pixels,
        sizes_mm=sizes,
        contrasts=["T1w", "T2w"],
        start=start,
        kept=kept,
        brains=chosen,
        species=sorted({"human" if one == TEMPLATE else zoo.entry(one).species for one in chosen}),
        licences=sorted({zoo.entry(one).licence for one in chosen if one != TEMPLATE}),
        draw=drawing.model_dump(mode="json"),
        train=fitting.model_dump(mode="json"),
        epochs=epochs,
        validation_dice={tissue: round(float(value), 4) for tissue, value in zip(TISSUES, dice, strict=True)},
        commit=_commit(),
        command=f"patchseg across train {name}",
    )


def _is_drawn(folder, key):
    return (folder / "set.json").is_file() and json.loads((folder / "set.json").read_text())["key"] == key


def _commit():
    """Return the commit that the code was at, or None outside of a repository."""
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or None


def unseen(weights):
    """Return the brains of the zoo with an image that weights were not trained on, nor on another contrast of the same brain."""
    trained_on = set(card.read(weights).get("brains", []))
    known = zoo.entries()
    same = {name: {name, one.same_brain_as} | {other for other in known if known[other].same_brain_as == name} for name, one in known.items()}
    return [name for name, one in known.items() if one.modality and not same[name] & trained_on]


def score(weights, name, scales=(1.0,), sharpen=True):
    """Segment a brain of the zoo and compare it with its labels, inside the labelled voxels.

    Parameters
    ----------
    weights : str, Path or None
        None takes those of the package.
    name : str
    scales : tuple of float
        Magnifications, averaged.
    sharpen : bool
        See `segmentation.segment`.

    Returns
    -------
    rows : list of dict
        As `metrics.score` gives them, one for each tissue.
    result : patchseg.segmentation.Result
    """
    import nibabel as nib

    from patchseg import segmentation

    _, image, labels, affine = load(name)
    mask = brain.foreground(image, name)
    result = segmentation.segment(nib.Nifti1Image(image, affine), nib.Nifti1Image(mask.astype(np.uint8), affine), weights, scales=scales, sharpen=sharpen)
    return _compared(labels, np.asarray(result.dseg.dataobj), affine), result


def score_classical(method, name):
    """Score DIPY's HMRF ('hmrf') or ANTs' N4 and Atropos ('atropos') on a brain of the zoo, given its mask; rows as of `score`."""
    from patchseg import baseline

    _, image, labels, affine = load(name)
    mask = brain.foreground(image, name)
    classical = {"hmrf": lambda: baseline.hmrf(brain.normalise(image, mask)), "atropos": lambda: baseline.atropos(image, mask, volume.voxel_size_mm(affine))}
    found = classical[method]()
    return _compared(labels, np.zeros_like(labels) if found is None else found, affine)


def _compared(labels, found, affine):
    from patchseg import metrics

    return metrics.score(labels, (found * (labels > 0)).astype(np.uint8), volume.voxel_size_mm(affine))


def evidence(weights, table_path):
    """Score networks on every brain of the zoo that they were not trained on, beside HMRF and Atropos; keep the rows that are there.

    Parameters
    ----------
    weights : list of Path
    table_path : str or Path
        A .csv: network, brain, tissue, and the measures of `metrics.score`. A row stays until the weights change.

    Returns
    -------
    table : pandas.DataFrame
    """
    table_path = Path(table_path)
    rows = pd.read_csv(table_path, dtype={"sha256": str}, keep_default_na=False, na_values=[""]).to_dict("records") if table_path.exists() else []
    jobs = [(path.name.removesuffix(card.SUFFIX), card.read(path)["sha256"][:12], path, name) for path in weights for name in unseen(path)]
    brains = sorted({job[-1] for job in jobs}, key=list(zoo.entries()).index)
    jobs += [(method, "", None, name) for method in ("hmrf", "atropos") for name in brains]
    wanted = {(network, sha256, name) for network, sha256, _, name in jobs}
    rows = [row for row in rows if (row["network"], row["sha256"] if isinstance(row["sha256"], str) else "", row["brain"]) in wanted]
    have = {(row["network"], row["brain"]) for row in rows}
    for network, sha256, path, name in progress(jobs, "brains"):
        if (network, name) in have:
            continue
        found = score(path, name)[0] if path else score_classical(network, name)
        rows += [{"network": network, "sha256": sha256, "brain": name, **row} for row in found]
        files.write_table(pd.DataFrame(rows), table_path)
    return pd.DataFrame(rows)
