"""The command `patchseg`: everyday commands first, those of developers under `patchseg dev`."""

import signal
import sys
from typing import Annotated

import typer

from patchseg import __version__
from patchseg.cli import adapt, bids, dev, extract, options, segment, suggest, weights, zoo
from patchseg.core.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Tissue segmentation (CSF, GM, WM) of brain MRI of any species.\n\n"
        "`patchseg segment IMAGE --out FOLDER` is what most people need. `extract` finds the brain"
        " in a whole head, `bids` does a cohort; `suggest` and `adapt` teach it a new animal,"
        " `weights` keeps what was taught, `zoo` fetches brains."
        " `patchseg COMMAND --help` says more."
    ),
)
app.command()(segment.segment)
app.command(cls=bids.Command)(bids.bids)
app.command()(extract.extract)
app.command()(suggest.suggest)
app.command()(adapt.adapt)
app.add_typer(weights.app, name="weights")
app.add_typer(zoo.app, name="zoo")
app.add_typer(dev.app, name="dev")


def _show_version(wanted: bool):
    if wanted:
        print(f"patchseg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
):
    """Options of the command itself; `app` holds its help."""


def main():
    """Run the command; errors of the input are one line and exit code 2.

    SIGTERM, as a scheduler sends it, stops it as Ctrl-C does: no unfinished file stays.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except InputError as error:
        print(f"patchseg: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == options.STOPPED:
            goes_on = sys.argv[1:2] not in (["adapt"], ["suggest"])
            more = "; the same command goes on with what is missing" if goes_on else ""
            print(f"patchseg: stopped{more}", file=sys.stderr)
        raise
