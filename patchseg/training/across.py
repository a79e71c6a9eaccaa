"""Networks for brains and heads of any species, trained on those of the zoo."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from patchseg import checkpoint, params, unet
from patchseg.core import files, provenance, runtime
from patchseg.core.errors import InputError
from patchseg.datasets import brains as named
from patchseg.images import brain
from patchseg.training import drawn


@dataclass(frozen=True)
class Recipe:
    """What `params.yaml` says of a network.

    Attributes
    ----------
    section : {'across', 'deep', 'heads'}
    draw : patchseg.params.Draw, patchseg.params.DeepDraw or patchseg.params.HeadDraw
    train : patchseg.params.Training, or one of its kinds for the other sections
    brains : list of str
        To train on, those of the network that it starts from not included.
    start : str or None
        The network whose weights it starts from.
    kept : float
        Share of what it learned after the start that is kept.
    """

    section: str
    draw: params.Draw | params.HeadDraw
    train: params.Training
    brains: list
    start: str | None
    kept: float


def settings(path, name):
    """Return what `params.yaml` says of a network.

    Returns
    -------
    recipe : Recipe

    Raises
    ------
    InputError
        If the network, a setting or a brain is unknown.
    """
    known = params.load(path)
    sections = {"across": known.across, "deep": known.deep, "heads": known.heads}
    names = [one for section in sections.values() for one in section.networks]
    if name not in names:
        raise InputError(f"{path}: network '{name}' is unknown; there are {', '.join(names)}")
    title = next(title for title, section in sections.items() if name in section.networks)
    networks = sections[title].networks
    own = networks[name]
    drawing, training = (
        params.check(
            path,
            type(usual),
            usual.model_dump() | differing,
            f"{title}.networks.{name}.{part}: ",
        )
        for part, usual, differing in (
            ("draw", sections[title].draw, own.draw),
            ("train", sections[title].train, own.train),
        )
    )
    if own.start is not None and (
        own.start == name or own.start not in networks or networks[own.start].start
    ):
        raise InputError(
            f"{path}: network '{name}' starts from '{own.start}'; name a network of this section"
            " that starts from none"
        )
    return Recipe(
        title,
        drawing,
        training,
        named.names(own.brains, heads=title == "heads"),
        own.start,
        own.kept,
    )


def train(name, path="params.yaml", out="work/across", jobs=2):
    """Draw a training set and train a network on it, or go on where a killed run was.

    Weights whose card has today's `key` are kept, also those that it starts from.

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
    from patchseg.training import loop, settling

    out = Path(out)
    weights, today = out / f"{name}{checkpoint.SUFFIX}", key(path, name)
    if _key_of(weights) == today:
        print(f"{weights}: trained already, by this code on these data and settings", flush=True)
        return weights
    own, folder = settings(path, name), out / name
    first = train(own.start, path, out, jobs) if own.start else None
    training, validation, sizes = drawn.draw_sets(folder, own.brains, own.draw, jobs)
    learned = folder / f"learned{checkpoint.SUFFIX}"
    state = folder / "state.npz"
    network, history = loop.fit(training, validation, own.train, learned, state, first)
    files.write_table(history, out / f"{name}_history.csv")
    known = _described(path, name, sizes, first)
    if first and own.kept < 1:
        with runtime.deterministic(own.train.seed):
            unet.go_back(network, checkpoint.load(first), own.kept)
            settling.settle(network, training, own.train)
    dice = loop.validation_dice(network, *validation, own.train.classes)
    known |= {
        "epochs": len(history),
        "validation_dice": {
            one: round(float(value), 4) for one, value in zip(own.train.classes, dice, strict=True)
        },
        "key": today,
    }
    checkpoint.save(network, checkpoint.read_card(learned)["architecture"], weights, **known)
    state.unlink(missing_ok=True)
    return weights


def key(path, name):
    """Return the fingerprint of a network of `params.yaml`.

    Of code, settings, brains, what it starts from, precision and libraries.
    """
    from patchseg.training import loop

    own = settings(path, name)
    return provenance.fingerprint(
        code=["patchseg.training.across"],
        settings=[
            drawn.key(own.brains, own.draw),
            own.train.model_dump(),
            loop.made_in(own.train),
            key(path, own.start) if own.start else None,
            own.kept,
            *_brain_pixels(path, own.section),
        ],
    )


def _brain_pixels(path, section):
    """Return at how many pixels brains are looked at, for sections that say so: a list."""
    known = params.load(path)
    sizes = {"across": known.across.brain_pixels, "deep": known.deep.brain_pixels}
    return [sizes[section]] if section in sizes else []


def _key_of(weights):
    """Return the key in the card of weights, or None if there are no whole ones."""
    try:
        return checkpoint.read_card(weights).get("key")
    except InputError:
        return None


def _described(path, name, sizes, first):
    """Return what the card of a network says of its data and settings, and of the computer."""
    own = settings(path, name)
    chosen = own.brains
    if first:
        before = checkpoint.read_card(first)
        chosen = [*before["brains"], *[one for one in chosen if one not in before["brains"]]]
        sizes = [min(sizes[0], before["sizes_mm"][0]), max(sizes[1], before["sizes_mm"][1])]
    in_zoo = [named.source(one) for one in chosen if one != named.TEMPLATE]
    human = ["human"] if named.TEMPLATE in chosen else []
    use = [{"top": brain.TOP, "brain_pixels": one} for one in _brain_pixels(path, own.section)]
    return {
        "name": name,
        **(use[0] if use else {}),
        **({"deep": True} if own.section == "across" else {}),
        **({"classes": own.train.classes} if own.section == "deep" else {}),
        "sizes_mm": sizes,
        "contrasts": ["T1w", "T2w"],
        "start": own.start,
        "kept": own.kept,
        "brains": chosen,
        "species": sorted({*human, *(one.species for one in in_zoo)}),
        "licences": sorted({one.licence for one in in_zoo}),
        "draw": own.draw.model_dump(mode="json"),
        "train": own.train.model_dump(mode="json"),
        "computing": runtime.computing(own.train.precision),
        "commit": _commit(),
        "command": f"patchseg dev across train {name}",
    }


def _commit():
    """Return the commit that the code was at, or None outside of a repository."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip() or None
