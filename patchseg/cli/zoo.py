"""The commands `patchseg zoo list`, `fetch` and `bids`."""

from pathlib import Path
from typing import Annotated

import typer

from patchseg.core.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Public brains of several species with tissue labels, by name. They are downloaded into"
        " your cache, or read from the folder that PATCHSEG_ZOO names."
    ),
)
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names, as `patchseg zoo list` shows them.", show_default=False),
]


@app.command("list")
def list_():
    """List the brains and heads: name, species, what there is, size and licence."""
    from patchseg.datasets import heads, zoo

    for name, one in zoo.entries().items():
        size = sum(file.bytes for file in one.files.values()) / 1e6
        what = f"{one.modality} + labels" if one.modality else "labels"
        print(
            f"{name:<16}  {one.species:<10}  {what:<12}  {one.coding:<13}  "
            f"{size:4.1f} MB  {one.licence}"
        )
    for name, one in heads.entries().items():
        size = sum(file.bytes for file in one.files.values()) / 1e6
        print(
            f"{name:<22}  {one.species}  {one.modality} + brain mask  {size:.1f} MB  {one.licence}"
        )


@app.command()
def fetch(names: Names = None):
    """Get brains or heads (default: all brains, 55 MB), check their sha256, and show licences."""
    from patchseg.datasets import heads, zoo

    sources = {
        name: heads.entry(name) if name.startswith("head-") else zoo.entry(name)
        for name in names or zoo.entries()
    }
    for name, one in sources.items():
        paths = zoo.fetch_files(one)
        print(f"{name}: " + ", ".join(map(str, paths.values())))
    print("", *zoo.notices_of(sources), sep="\n")


@app.command()
def bids(
    folder: Annotated[
        Path, typer.Argument(help="A new folder.", metavar="DIR", show_default=False)
    ],
    names: Names = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SPLIT",
            help="Put a brain into train, val or test; repeat it. Default: as in the registry.",
        ),
    ] = None,
):
    """Write brains (default: all with an image) as a BIDS dataset for the pipeline.

    Set `dataset:` in params.yaml to DIR.
    """
    from patchseg.datasets import zoo, zoo_bids

    wrong = [text for text in split or [] if text.count("=") != 1]
    if wrong:
        raise InputError(
            f"--split '{wrong[0]}' is not NAME=SPLIT; write for example --split chimp=val"
        )
    written, skipped = zoo_bids.write(folder, names, dict(text.split("=") for text in split or []))
    for name, reason in skipped.items():
        print(f"{name}: skipped, {reason}")
    print(
        f"{folder}: {', '.join(written)}. To train on it, set `dataset: {folder}` in params.yaml."
        " Every brain has its own licence:"
    )
    print(*zoo.notices(written), sep="\n")
