"""The command `patchseg bids`: a cohort, in the way of BIDS Apps."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperCommand

from patchseg.cli import options
from patchseg.cli.segment import check, finish, run, show_plan, with_masks
from patchseg.core.errors import InputError
from patchseg.core.files import check_writable

SEVERAL = ("--participant-label", "--session-label")
"""Options that take one value or several."""
SHOWN = 10
"""Images that `group` names."""


class Command(TyperCommand):
    """A command that is written as those of other BIDS Apps are."""

    def parse_args(self, ctx, args):
        """Read ``--participant_label 01 02`` as an option that is given twice (see `spread`)."""
        return super().parse_args(ctx, spread(args))


def spread(args):
    """Write underscores in names of options as dashes, and each of several values with its option.

    Parameters
    ----------
    args : list of str

    Returns
    -------
    args : list of str

    Examples
    --------
    >>> spread(["in", "out", "participant", "--participant_label", "01", "02", "--jobs", "2"])
    ['in', 'out', 'participant', '--participant-label=01', '--participant-label=02', '--jobs', '2']
    """
    done, several, empty = [], None, False
    for word in [*args, "--"]:
        if word.startswith("-"):
            if empty:
                raise InputError(f"{several}: no label follows; write one or several")
            name, equals, value = word.partition("=")
            name = name.replace("_", "-") if name.startswith("--") else name
            several = name if name in SEVERAL else None
            empty = bool(several) and not equals
            done += [] if empty else [name + equals + value]
        else:
            done.append(f"{several}={word}" if several else word)
            empty = False
    return done[:-1]


def bids(
    dataset: Annotated[Path, typer.Argument(help="A BIDS dataset.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(help="Folder for the results; made if needed.", show_default=False)
    ],
    level: Annotated[
        Literal["participant", "group"],
        typer.Argument(
            help="participant segments; group, once all are done, writes tables and the page.",
            show_default=False,
        ),
    ],
    participant_label: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these, with or without sub-; several after one another. Default: all.",
            show_default=False,
        ),
    ] = None,
    session_label: Annotated[
        list[str] | None,
        typer.Option(help="Only these sessions, likewise.", show_default=False),
    ] = None,
    bids_filter_file: Annotated[
        Path | None,
        typer.Option(
            help='Which images, as JSON: {"t1w": {"acquisition": "mprage"}}.', show_default=False
        ),
    ] = None,
    mask: options.MaskPattern = None,
    weights: options.Weights = None,
    scale: options.Scale = None,
    volume: options.Volume = None,
    nan_as_background: options.NanAsBackground = False,
    extract: options.Extract = "auto",
    brain_weights: options.BrainWeights = None,
    n4: options.N4 = False,
    tile: options.Tile = None,
    sharpen: options.Sharpen = True,
    threads: options.Threads = None,
    precision: options.Precision = "auto",
    jobs: options.Jobs = 1,
    cluster: options.Cluster = None,
    cluster_settings: options.ClusterSettings = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    report: options.Report = True,
    skip_bids_validation: Annotated[
        bool,
        typer.Option(
            "--skip-bids-validation", help="Accepted, as in other apps; nothing is validated."
        ),
    ] = False,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            "--work-dir", "-w", help="Accepted, as in other apps, and not used.", show_default=False
        ),
    ] = None,
):
    """Segment a BIDS dataset as a BIDS App: participants one by one or all, then the group.

    Examples:

        patchseg bids my_dataset derivatives/patchseg participant --participant-label 01 02

        patchseg bids my_dataset derivatives/patchseg group

    participant writes only what belongs to its images, so that many may run at once. group reads
    what they wrote and makes volumes.tsv, qc.tsv and index.html, with the columns of
    participants.tsv; it says what to look at first. T1w images are taken, T2w where a session has
    no T1w.

    Exit code: 0 all images have a result, 1 some failed, 2 the command could not start.
    """
    from patchseg.inference import bids_app

    filters = bids_app.read_filters(bids_filter_file) if bids_filter_file else None
    found, without = bids_app.find(dataset, participant_label or (), session_label or (), filters)
    if without:
        typer.echo(f"without a T1w or T2w image: {', '.join(without)}", err=True)
    if level == "group":
        _group(dataset, out, found)
        return
    settings = options.settings(locals())
    check(settings)
    found, brains = with_masks(found, out, mask)
    if dry_run:
        show_plan(found, out, brains, settings)
        return
    check_writable(out)
    bids_app.describe(dataset, out)
    work = {"jobs": jobs, "cluster": cluster, "cluster_settings": cluster_settings}
    outcomes = run(found, out, brains, settings, report, tables=False, **work)
    finish(outcomes, f"then: patchseg bids {dataset} {out} group")


def _group(dataset, out, found):
    """Write the tables, and print what to look at first, and why."""
    from patchseg.inference import bids_app
    from patchseg.inference.places import Place

    table, first = bids_app.group(dataset, out)
    counts = ", ".join(f"{number} {name}" for name, number in table.verdict.value_counts().items())
    failed = int((table.status == "failed").sum())
    print(f"{len(table) - failed} of {len(table)} images have a result: {counts}")
    if len(first):
        print("look first at:")
    for row in first.head(SHOWN).itertuples():
        print(f"  {row.verdict:6}  {row.image}  {row.why}")
    if len(first) > SHOWN:
        print(f"  and {len(first) - SHOWN} more in {out / 'look_first.tsv'}")
    begun = set(table.image)
    never = [one.name for one in found if Place(one, out).name not in begun]
    if never:
        more = f" and {len(never) - SHOWN} more" if len(never) > SHOWN else ""
        print(f"not begun yet: {', '.join(never[:SHOWN])}{more}")
    print(out / "index.html")
    if failed:
        raise typer.Exit(1)
