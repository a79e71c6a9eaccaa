"""From a raw head of a species never seen to its tissues, with one corrected slice: minutes, Dice.

    python benchmarks/from_head.py           # ten minutes on two cores
    python benchmarks/from_head.py --avx2    # as an older processor, as far as libraries allow
    python benchmarks/from_head.py --report  # the table only

The commands of the documentation, each in a process of its own, start included: `suggest` on the
head, strokes on the proposal (see hand.py), `adapt` and `segment` with its report. The networks
never saw the species (artefacts/across/networks). Heads of the chimpanzee are scored with the
tissues of chimp, on all slices but the one that was corrected. The clock tells only on a machine
that does nothing else; seconds of the processor are of all threads. Needs PATCHSEG_ZOO. Writes
artefacts/adaptation/from_head.csv and from_head.md.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import common
import nibabel as nib
import numpy as np
from adaptation import without
from adaptation_tables import OUT
from commands import OLDER, command
from common import SETTINGS, as_given, dice, load, number, weights_of
from hand import stroked
from nibabel.processing import resample_from_to

from patchseg import params
from patchseg.core.tissues import UNLABELLED
from patchseg.images.grid import ras
from patchseg.scoring.rows import keys

HEADS = ("head-chimp-yerkes-t1", "head-chimp-yerkes-t2")
TISSUES, BRAIN = "no-chimp", "heads-no-chimp"
STROKES = 30


def with_tissues(name):
    """Return a head of the chimpanzee with the tissues of chimp, and what is no tissue unknown."""
    one, labelled = load(name), load("chimp")
    labels = nib.Nifti1Image(labelled.labels, labelled.affine)
    onto = nib.Nifti1Image(one.image, one.affine)
    truth = np.asarray(resample_from_to(labels, onto, order=0).dataobj).astype(np.uint8)
    return replace(one, labels=np.where((truth > 0) & one.mask, truth, UNLABELLED))


def corrected(proposal, one):
    """Return a proposal (nibabel image) after strokes on its one slice, and where it lies."""
    guess, affine = ras(proposal, None)[0].astype(np.uint8), proposal.affine
    (place,) = np.flatnonzero(guess.any(axis=(0, 2)))
    guess[:, place], _ = stroked(guess[:, place], one.labels[:, place], STROKES)
    return nib.Nifti1Image(guess, affine), int(place)


def measure(head, older):
    """Go the whole way with a head: a row a command, and what the tissues score after it."""
    one, rows = with_tissues(head), []
    use = ["--weights", weights_of(TISSUES), "--brain-weights", weights_of(BRAIN)]
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        image, new = folder / f"{head}.nii.gz", folder / "new.weights.h5"
        nib.save(as_given(one)[0], image)
        found = {}

        def step(title, *words):
            clock, used, _ = command(*words, older=older)
            rows.append({"step": title, "seconds": round(clock, 1), "processor": round(used, 1)})

        step("segment, before", "segment", image, "--out", folder / "before", *use)
        step("suggest", "suggest", image, "--plane", "coronal", *use)
        proposal = folder / f"{head}_proposal.nii.gz"
        labels, place = corrected(nib.load(proposal), one)
        nib.save(labels, proposal)
        step("adapt", "adapt", image, proposal, "--out", new, *use)
        use[1] = new
        step("segment, after", "segment", image, "--out", folder / "after", *use)
        for when in ("before", "after"):
            found[when] = ras(nib.load(folder / when / f"{head}_dseg.nii.gz"), None)[0]
    for row in rows:
        row["slice"] = place
        _, _, when = row["step"].partition(", ")
        if when:
            scores = dice(without(one, [place]), found[when])
            row |= {"gm": round(float(scores[0]), 4), "wm": round(float(scores[1]), 4)}
    return rows


def key(head, older):
    """Return the fingerprint of the rows of a head."""
    return common.key(
        measure,
        *("patchseg.inference.batch", "patchseg.adaptation.fine_tuning"),
        "patchseg.adaptation.suggestion",
        settings=[params.load(SETTINGS).adapt.model_dump(), OLDER if older else None],
        brain_names=[head, "chimp", "mni"],
        networks=[TISSUES, BRAIN],
    )


def report(table):
    """Write the table: a line a head."""
    lines = []
    for (head, older), own in table.groupby(["head", "older"], sort=False):
        by = own.set_index("step")
        way = by.drop("segment, before")
        scores = by[["gm", "wm"]].mean(axis=1)
        lines.append(
            [
                head,
                "AVX2" if older else "as it is",
                *[f"{by.seconds[step]:.0f} ({by.processor[step]:.0f})" for step in way.index],
                f"{way.seconds.sum():.0f} ({way.processor.sum():.0f})",
                number(scores["segment, before"]),
                number(scores["segment, after"]),
                keys(own),
            ]
        )
    head = [
        "head",
        "processor",
        "suggest",
        "adapt",
        "segment",
        "all",
        "Dice before",
        "after",
        "key",
    ]
    common.write_markdown(OUT / "from_head.md", head, lines, table)


def main():
    """Do what is missing or stale, then write the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--avx2", action="store_true", help="as on a processor without AVX-512")
    given = parser.parse_args()
    ways = (False, True) if given.report else (given.avx2,)
    jobs = [{"head": name, "older": older} for older in ways for name in HEADS]
    common.publish(OUT / "from_head.csv", jobs, key, measure, report, given.report)


if __name__ == "__main__":
    main()
