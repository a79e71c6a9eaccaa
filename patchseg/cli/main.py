"""The command `patchseg`: everyday commands first, those of developers under `patchseg dev`."""

import sys

import typer

from patchseg.cli import adapt, dev, segment
from patchseg.cli.zoo import app as zoo_app
from patchseg.core.errors import InputError

STOPPED = 130
"""Exit code after Ctrl-C; typer sets it."""
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Tissue segmentation (CSF, GM, WM) of brain MRI of any species.\n\n`patchseg segment IMAGE"
        " --out FOLDER` is what most people need; `sample`, `check`, `strip` and `stage` belong to"
        " the training pipeline, which `dvc repro` runs."
    ),
)
app.command()(segment.segment)
app.command()(adapt.suggest)
app.command()(adapt.adapt)
app.add_typer(zoo_app, name="zoo")
app.add_typer(dev.across, name="across")
for command in (dev.sample, dev.check, dev.strip, dev.stage):
    app.command()(command)


def main():
    """Run the command; errors of the input are one line and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"patchseg: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == STOPPED:
            print(
                "patchseg: stopped; the same command goes on with what is missing", file=sys.stderr
            )
        raise
