"""How long the page of a large cohort takes to write and to open in Chromium, and its size.

    python benchmarks/cohort_page.py [--images 1000] [--out DIR]

The results are made up: people, macaques and mice with normal volumes and checks, a few of them far
away, and thumbnails of the MNI template with noise. With --out they stay there, to look at the
page.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from patchseg.core.files import write_table
from patchseg.core.tissues import TISSUES
from patchseg.datasets import brains
from patchseg.inference import cohort, qc, thumbnail
from patchseg.scoring import rows

SPECIES = {"human": (1250.0, 0.6), "macaque": (95.0, 0.3), "mouse": (0.45, 0.1)}
"""Volume of the brain in cm³, and share of the images."""
DRAWN = 10
"""Thumbnails that differ."""


def checks(rng, size_mm, shares):
    """Return a table of checks of a made-up result."""
    limits = (5, 150, 0, np.inf)
    parts = [
        (f"{tissue} share", share, qc.SHARES[tissue], f"{tissue} is {share:.1%} of the brain")
        for tissue, share in zip(TISSUES, shares, strict=True)
    ] + [
        ("uncertainty", rng.normal(0.42, 0.03), qc.UNCERTAINTY, "the network is unsure"),
        ("disagreement", rng.gamma(20, 0.005), qc.DISAGREEMENT, "the views contradict each other"),
        ("not brain", rng.gamma(2, 0.01), qc.OUTSIDE, "much of the brain looks like none"),
        ("clipped", max(0.0, rng.normal(-0.02, 0.015)), qc.CLIPPED, "the brain touches a face"),
        ("brain size (mm)", size_mm, limits, "the brain's volume is unlike those of the training"),
        ("rim to depth", rng.normal(0.85, 0.05), qc.RIM, "the surface is brighter than the depth"),
    ]
    return pd.DataFrame([qc.row(*one) for one in parts], columns=qc.COLUMNS)


def make_up(out, name, species, drawn, rng):
    """Write what the page reads of one result."""
    shares = rng.normal([0.15, 0.5, 0.35], 0.015)
    if rng.random() < 0.02:
        shares[1] += 0.12
    shares /= shares.sum()
    total = SPECIES[species][0] * 1000 * rng.normal(1, 0.07)
    table = checks(rng, total ** (1 / 3), shares)
    folder = out / name / "anat"
    folder.mkdir(parents=True)
    sizes = np.append(shares, 1.0) * total
    write_table(
        pd.DataFrame({"tissue": [*TISSUES, "brain"], "volume_mm3": sizes}),
        folder / f"{name}_volumes.tsv",
    )
    record = {
        "verdict": qc.worst(table),
        "reasons": qc.reasons(table),
        "qc": table.to_dict("records"),
        "provenance": {"seconds": round(rng.normal(40, 4), 1)},
    }
    (folder / f"{name}_dseg.json").write_text(json.dumps(record))
    (folder / f"{name}_report.html").write_text(f"<!DOCTYPE html><title>{name}</title>{name}")
    (folder / f"{name}_{thumbnail.ENDING}").write_bytes(drawn)


def thumbnails(rng):
    """Draw the template with noise: the bytes of each, and seconds of the processor for each."""
    one, drawn, seconds = brains.load(brains.TEMPLATE), [], 0.0
    for _ in range(DRAWN):
        noisy = one.image * rng.normal(1, 0.05, one.image.shape).astype(np.float32)
        before = time.process_time()
        drawn.append(thumbnail.encoded(thumbnail.picture(noisy, one.labels, one.voxel_mm)))
        seconds += time.process_time() - before
    return drawn, seconds / DRAWN


def opened(page):
    """Return the version of Chromium, and the seconds until a page is loaded and drawn in it.

    First by the clock, then those of the processor that its main thread took: on a busy computer
    these are fewer.
    """
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page(viewport={"width": 1400, "height": 1000})
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = time.perf_counter()
        tab.goto(page.resolve().as_uri(), wait_until="load")
        tab.evaluate("() => new Promise(go => requestAnimationFrame(() => setTimeout(go)))")
        seconds = time.perf_counter() - before
        metrics = session.send("Performance.getMetrics")["metrics"]
        busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
        version = chromium.version
        chromium.close()
    return version, seconds, busy


def main():
    """Make up a cohort, write its page, open it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="keep the made-up results here")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    drawn, each = thumbnails(rng)
    out = Path(tempfile.mkdtemp() if given.out is None else given.out)
    shares = [share for _, share in SPECIES.values()]
    species = rng.choice(list(SPECIES), given.images, p=shares)
    names = [f"sub-{number:04d}" for number in range(1, given.images + 1)]
    for number, (name, kind) in enumerate(zip(names, species, strict=True)):
        make_up(out, name, kind, drawn[number % DRAWN], rng)
    people = pd.DataFrame({"species": species, "age": rng.integers(1, 80, len(names))}, names)
    failed = {"sub-broken": "sub-broken_T1w.nii.gz: the file is truncated; copy it again"}
    before, worked = time.perf_counter(), time.process_time()
    cohort.cohort(out, failed, participants=people)
    wrote, worked = time.perf_counter() - before, time.process_time() - worked
    page = out / "index.html"
    size, (version, seconds, busy) = page.stat().st_size / 1e6, opened(page)
    print(f"{rows.machine()}; Chromium {version}")
    kilobytes = np.mean([len(one) for one in drawn]) / 1000
    print(
        "seconds by the clock (of the processor)\n"
        f"a thumbnail: ({each:.2f}), {kilobytes:.1f} kB\n"
        f"the page of {given.images} images: {size:.1f} MB\n"
        f"written in {wrote:.1f} ({worked:.1f})\n"
        f"opened in {seconds:.1f} ({busy:.1f})"
    )
    if given.out is None:
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
