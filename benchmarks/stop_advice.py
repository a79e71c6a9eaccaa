"""Whether the advice to stop labelling holds, and whether a second image is worth more.

    python benchmarks/stop_advice.py            # hours on two busy cores; what is there stays
    python benchmarks/stop_advice.py --borders --rounds 8   # as with adapt --steps 0: minutes
    python benchmarks/stop_advice.py --pairs    # two images with a slice each, or one with two
    python benchmarks/stop_advice.py --report   # the tables only

Round after round the slice that `patchseg suggest` names is labelled, and all labels are learned
from the network of the last round, without the guard. The first network never saw the species
(artefacts/across/networks). Slices are coronal. Dice is the mean of GM and WM on the slices that no
round labelled, the same in all rounds of a brain. Needs PATCHSEG_ZOO. Writes
artefacts/adaptation/stop_advice.csv, stop_advice_pairs.csv and stop_advice.md.
"""

import time
from functools import cache

import common
import numpy as np
import pandas as pd
from adaptation import without
from adaptation_tables import OUT
from common import ROOT, SETTINGS, STRANGERS, dice, load, weights_of

from patchseg import checkpoint, params
from patchseg.adaptation.answers import calibrated, learned_borders
from patchseg.adaptation.choice import Profile, choose
from patchseg.adaptation.learning import train
from patchseg.adaptation.record import next_gain
from patchseg.core import files
from patchseg.core.provenance import fingerprint
from patchseg.core.tissues import most_probable
from patchseg.images.brain import bounding_box
from patchseg.inference.calibration import apply, features, with_image
from patchseg.inference.networks import load as load_network
from patchseg.inference.refine import refine
from patchseg.inference.views import fuse
from patchseg.scoring.rows import keys, note

KEPT = ROOT / "build" / "stop_advice"
"""The networks of finished rounds: what was stopped goes on from there."""
ROUNDS = 5
WORTH = 0.005
"""Dice that makes another slice worth the painting."""
BRAINS = ("macaque-21mo", "mouse-fvb-2", "chimp", "macaque-4mo", "mouse-fvb-3", "chimp-t2")
SETTLE = BRAINS[:3]
"""The half of the brains on which a threshold is settled; it is judged on the others."""
PAIRS = {
    "macaques": ("macaque-21mo", "macaque-4mo"),
    "mice": ("mouse-fvb-2", "mouse-fvb-3", "mouse-fvb-4"),
}
"""Two brains to label, and a third one, if there is one, only to score."""
ARMS = {
    "none": (0, 0),
    "as suggested": None,
    "one slice each": (1, 1),
    "two of the first": (2, 0),
    "two of the second": (0, 2),
}
"""How many slices of the first and of the second are learned, each the best of its own brain; None:
those that are suggested if both are given."""


def seen(network, one):
    """Return the labels that a network finds in a brain, and its `Profile` across the planes."""
    box = bounding_box(one.mask)
    ready, mask = one.normalised(network.top)[box], one.mask[box]
    pixel_mm = one.size_mm / network.brain_pixels
    fused = fuse(network.model, ready, mask, one.voxel_mm, pixel_mm)
    labels, unsure = np.zeros(one.mask.shape, np.uint8), np.zeros(one.mask.shape)
    sharp = with_image(network, ready, fused.probabilities, mask, one.voxel_mm)
    labels[box], unsure[box] = most_probable(sharp) * mask, fused.uncertainty
    return labels, Profile(unsure.sum(axis=(0, 2)), one.mask.sum(axis=(0, 2)))


def named(profile, n, taken=()):
    """Return the next slices of a brain as `patchseg suggest` names them."""
    profile = Profile(profile.unsure, profile.area, list(taken))
    return [number for _, number, _ in choose([profile], n)]


def labelled(one, slices):
    """Return a brain with labels on these coronal slices only."""
    return without(one, [n for n in range(one.labels.shape[1]) if n not in set(slices)])


def taught(given, parent):
    """Return the network that learned labels, as `patchseg.adapt` without guard does it."""
    recipe = params.load(SETTINGS).adapt
    return calibrated(train(given, parent, recipe).model, parent, given, recipe)


def moved(first, last):
    """Return the share of GM and WM that is another tissue than before, as the card has it."""
    both = [2 * np.sum((first == n) & (last == n)) for n in (2, 3)]
    total = [max(1, np.sum(first == n) + np.sum(last == n)) for n in (2, 3)]
    return 1 - np.mean(np.divide(both, total))


def learn(one, network, slices, place):
    """Return the network that learned slices of a brain and what it finds; read if it is there."""
    weights, answers = place.with_suffix(checkpoint.SUFFIX), place.with_suffix(".npz")
    if not answers.exists():
        new = taught([labelled(one, slices)], network)
        own = {name: network.card[name] for name in ("top", "brain_pixels", "contrasts")}
        own |= {"calibration": new.calibration, "calibrated_mm": new.calibrated_mm}
        weights.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(new.model, network.card["architecture"], weights, **own)
        found, profile = seen(new, one)
        with files.replacing(answers) as temporary:
            np.savez_compressed(temporary, found=found, unsure=profile.unsure, area=profile.area)
    kept = np.load(answers)
    return load_network(weights), (kept["found"], Profile(kept["unsure"], kept["area"]))


def by_training(brain):
    """Return what teaches a network slices, in rounds; see `measure`."""
    one, networks = load(brain), [load_network(weights_of(STRANGERS[brain]))]

    def teach(slices):
        if not slices:
            return seen(networks[-1], one)
        place = KEPT / key_of_step(brain)[:8] / f"{brain}-{len(slices)}"
        network, found = learn(one, networks[-1], slices, place)
        networks.append(network)
        return found

    return teach


@cache
def evidence_of(brain, network):
    """Return what a network finds in each voxel of a brain, as `with_image` and `evidence` do it.

    Returns
    -------
    profile : Profile
    found : (n, 14) ndarray of float32
    sharp : (n, 3) ndarray of float32
        `features` and refined probabilities of the voxels of the brain.
    """
    one, parent = load(brain), load_network(weights_of(network))
    box = bounding_box(one.mask)
    ready, mask = one.normalised(parent.top)[box], one.mask[box]
    pixel_mm = one.size_mm / parent.brain_pixels
    fused = fuse(parent.model, ready, mask, one.voxel_mm, pixel_mm)
    sharp = refine(ready, fused.probabilities, mask, one.voxel_mm)
    found = features(ready, fused.probabilities, sharp, mask, one.voxel_mm, pixel_mm)
    unsure = np.zeros(one.mask.shape)
    unsure[box] = fused.uncertainty
    profile = Profile(unsure.sum(axis=(0, 2)), one.mask.sum(axis=(0, 2)))
    return profile, found, sharp[mask]


def borders_of(slices, network):
    """Return what slices of brains teach of their borders, None for no slices.

    `slices` is a dict of list of int by the name of the brain.
    """
    given, parts = [], []
    for brain, numbers in slices.items():
        if numbers:
            given.append(labelled(load(brain), numbers))
            at = given[-1].known[load(brain).mask]
            parts.append([part[at] for part in evidence_of(brain, network)[1:]])
    recipe = params.load(SETTINGS).adapt
    return learned_borders(parts, given, recipe, 0, guarded=False) if given else None


def with_borders(brain, network, borders):
    """Return the labels that a network finds in a brain with these borders."""
    _, found, sharp = evidence_of(brain, network)
    labels = np.zeros(load(brain).mask.shape, np.uint8)
    probable = apply(borders, found, sharp) if borders else sharp
    labels[load(brain).mask] = most_probable(probable)
    return labels


def by_borders(brain):
    """Return what teaches slices as `patchseg adapt --steps 0` does: the network stays as it is."""
    network = STRANGERS[brain]

    def teach(slices):
        borders = borders_of({brain: slices}, network)
        return with_borders(brain, network, borders), evidence_of(brain, network)[0]

    return teach


def measure(brain, rounds, learned):
    """Label and learn one slice after the other: a row a round, 0 before any.

    `learned` is 'all', or 'borders' as with ``--steps 0``.
    """
    one, slices, rows = load(brain), [], [{"round": 0}]
    teach = by_borders(brain) if learned == "borders" else by_training(brain)
    found = [teach(slices)]
    for number in range(1, rounds + 1):
        slices += named(found[-1][1], 1, slices)
        found.append(teach(slices))
        row = {"round": number, "slice": slices[-1]}
        row["moved"] = round(float(moved(found[-2][0], found[-1][0])), 4)
        new = dice(labelled(one, slices[-1:]), found[-2][0])
        row["new_slice"] = round(float(np.mean(new)), 4)
        rows.append(row)
        print(time.strftime("%H:%M"), brain, row, flush=True)
    scored = without(one, slices)
    for row, (labels, _) in zip(rows, found, strict=True):
        row["gm"], row["wm"] = (round(float(score), 4) for score in dice(scored, labels))
    return rows


def compare(pair, learned):
    """Learn the slices of each arm and score all brains where nobody labels: a row a brain."""
    network = STRANGERS[PAIRS[pair][0]]
    profiles = {name: evidence_of(name, network)[0] for name in PAIRS[pair][:2]}
    both = {name: named(profile, 2) for name, profile in profiles.items()}
    chosen = {name: [] for name in both}
    for number, at, _ in choose(list(profiles.values()), 2):
        chosen[PAIRS[pair][number]].append(at)
    left_out = {name: {*both[name], *chosen[name]} for name in both}
    parent, rows = load_network(weights_of(network)), []
    for arm, counts in ARMS.items():
        counts = counts or (0, 0)
        slices = {name: both[name][:count] for name, count in zip(both, counts, strict=True)}
        slices = chosen if arm == "as suggested" else slices
        if learned == "borders":
            borders = borders_of(slices, network)
            found = {name: with_borders(name, network, borders) for name in PAIRS[pair]}
        else:
            given = [labelled(load(name), own) for name, own in slices.items() if own]
            student = taught(given, parent) if given else parent
            found = {name: seen(student, load(name))[0] for name in PAIRS[pair]}
        for name, labels in found.items():
            gm, wm = dice(without(load(name), left_out.get(name, [])), labels)
            row = {"arm": arm, "brain": name, "gm": round(float(gm), 4), "wm": round(float(wm), 4)}
            told = "; ".join(f"{one} {' '.join(map(str, at))}" for one, at in slices.items() if at)
            rows.append(row | {"slices": told})
    return rows


def key_of_step(brain):
    """Return the fingerprint of what a round of a brain leaves."""
    settings = params.load(SETTINGS).adapt.model_dump()
    names, networks = [brain, "mni"], [STRANGERS[brain]]
    return common.key(learn, named, settings=settings, brain_names=names, networks=networks)


def key(brain, rounds, learned):
    """Return the fingerprint of the rows of a brain."""
    return fingerprint(code=[measure], settings=[key_of_step(brain), rounds, learned])


def key_of_pair(pair, learned):
    """Return the fingerprint of the rows of a pair."""
    settings = [params.load(SETTINGS).adapt.model_dump(), ARMS, learned]
    brains, network = [*PAIRS[pair], "mni"], STRANGERS[PAIRS[pair][0]]
    return common.key(compare, settings=settings, brain_names=brains, networks=[network])


def judged(table):
    """Return what was said after each round, and what the next slice brought.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `measure`; of a brain those of the longest run count.

    Returns
    -------
    said : pandas.DataFrame
        A row for each round after which another was made: `learned`, `brain`, `round`, `moved`,
        `stop`, `high` (the estimate), `before` and `brought` (by this round's slice and by the
        next), `key`.
    """
    enough, said = params.load(SETTINGS).adapt.enough, []
    for (learned, brain), own in table.groupby(["learned", "brain"], sort=False):
        own = own[own.rounds == own.rounds.max()].sort_values("round")
        dice = own[["gm", "wm"]].mean(axis=1).tolist()
        for number, row in enumerate(own.to_dict("records")):
            if 0 < number < len(own) - 1:
                known = {name: row[name] for name in ("round", "moved", "key")}
                known |= {"stop": row["moved"] <= enough}
                known["high"] = next_gain({"changed": row["moved"]})[1]
                gained = dice[number + 1] - dice[number], dice[number] - dice[number - 1]
                known |= dict(zip(("brought", "before"), gained, strict=True))
                said.append({"learned": learned, "brain": brain} | known)
    return pd.DataFrame(said)


def record_of(said):
    """Return lines that say how often the advice and the estimate held."""
    stop, more, below = said.stop, said.brought > WORTH, said.brought <= said.high
    lines = [
        f"- *stop* was said after {stop.sum()} of {len(said)} rounds; another slice still brought"
        f" more than {WORTH} after {(stop & more).sum()} of these",
        f"- *go on* was said after {(~stop).sum()} rounds; another slice brought {WORTH} or less"
        f" after {(~stop & ~more).sum()} of these",
    ]
    mine = said.brain.isin(SETTLE)
    for title, own in (("the", mine), ("the other", ~mine)):
        names = ", ".join(dict.fromkeys(said.brain[own]))
        if names:
            lines.append(
                f"- on {title} brains {names} the next slice brought no more than was estimated"
                f" after {below[own].sum()} of {own.sum()} rounds"
            )
    return lines


def settled(said):
    """Say what share moved tells best on half of the brains, and how well it does on the others."""
    more, mine = said.brought > WORTH, said.brain.isin(SETTLE)
    if mine.all() or not mine.any():
        return []
    right = {share: (said.moved > share) == more for share in np.arange(0.005, 0.105, 0.005)}
    best = max(right, key=lambda share: (right[share][mine].sum(), -share))
    return [
        f"- settled on {', '.join(SETTLE)}: stop at {best:.3f} is right after"
        f" {right[best][mine].sum()} of {mine.sum()} rounds, and on the other brains after"
        f" {right[best][~mine].sum()} of {(~mine).sum()}; always saying *stop* would be there after"
        f" {(~more)[~mine].sum()}"
    ]


def report(table, pairs):
    """Write the tables, and how often the advice held."""
    parts = []
    if len(table):
        said = judged(table)
        lines = [
            [
                row.learned,
                row.brain,
                str(row.round),
                f"{row.before:+.3f}",
                f"{row.moved:.3f}",
                "stop" if row.stop else "go on",
                f"up to {row.high:.3f}",
                f"{row.brought:+.3f}",
                row.key,
            ]
            for row in said.itertuples()
        ]
        head = [
            "learned",
            "brain",
            "labelled slices",
            "the last one brought",
            "share it moved",
            "advice",
        ]
        head += ["estimate of the next", "the next one brought", "key"]
        parts += [note(table), common.markdown(head, lines)]
        for learned, own in said.groupby("learned", sort=False):
            held = [*record_of(own), *settled(own)]
            parts.append("\n".join([f"Learned {learned}:\n", *held]) + "\n")
    if len(pairs):
        pairs = pairs.assign(dice=pairs[["gm", "wm"]].mean(axis=1))
        head, lines = ["learned", "pair", "scored on", *ARMS, "key"], []
        for place, own in pairs.groupby(["learned", "pair", "brain"], sort=False):
            scores = own.set_index("arm").dice
            lines.append([*place, *[common.number(scores.get(arm)) for arm in ARMS], keys(own)])
        parts += [note(pairs), common.markdown(head, lines)]
    if parts:
        files.write_text(OUT / "stop_advice.md", "\n".join(parts))


def main():
    """Do what is missing or stale, one after the other, then write the tables."""
    parser = common.parser(__doc__)
    parser.add_argument("--pairs", action="store_true", help="two images against one")
    parser.add_argument("--brains", nargs="+", choices=BRAINS, default=list(BRAINS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="slices of each brain")
    parser.add_argument("--borders", action="store_true", help="only --steps 0")
    given = parser.parse_args()
    learned = "borders" if given.borders else "all"
    table = common.complete(
        OUT / "stop_advice.csv",
        [{"brain": name, "rounds": given.rounds, "learned": learned} for name in given.brains],
        key,
        measure,
        given.report or given.pairs,
        stays=lambda row: True,
    )
    pairs = common.complete(
        OUT / "stop_advice_pairs.csv",
        [{"pair": pair, "learned": learned} for pair in PAIRS],
        key_of_pair,
        compare,
        given.report or not given.pairs,
        stays=lambda row: True,
    )
    report(table, pairs)


if __name__ == "__main__":
    main()
