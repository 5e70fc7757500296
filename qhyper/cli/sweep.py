"""`qhyper sweep`: a comparison at every point of a space of settings."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.cli.dry_run import DONE, with_time
from qhyper.cli.help import OUTPUT
from qhyper.cli.options import DryRun, Json, Prepare, Processes, Scheduler
from qhyper.cli.terminal import console, print_pairs, progress, warn
from qhyper.cli.values import check_where
from qhyper.errors import ConfigurationError, Interrupted

FIRST = 10
"""Places that are printed; the page has more, and the CSV all."""


def sweep(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="TOML file: a configuration, with a table [sweep.over]."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder of the sweep (runs/NAME-OF-THE-FILE).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    dry_run: DryRun = False,
    prepare: Prepare = False,
    processes: Processes = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Compare at every point of a space of settings.

    The space is any settings over lists or ranges. The same command goes on where it was stopped.
    With more points or seeds in the file, only these are worked out. `qhyper work FOLDER` helps,
    on any machine that sees the folder.
    """
    from qhyper.run.directory import stop_on_signals
    from qhyper.run.sweep import carry_out_sweep
    from qhyper.run.sweep_file import read_sweep
    from qhyper.run.sweep_prepare import make, outlook
    from qhyper.run.trials import Where
    from qhyper.threads import n_threads

    folder = _usual_folder(file) if out is None else out
    asked = read_sweep(file, warn)
    if dry_run:
        if prepare or scheduler or processes:
            raise ConfigurationError(
                "Got --dry-run, which makes nothing, with --prepare, --processes or --scheduler. "
                "Leave it or these out."
            )
        with stop_on_signals() as stop, progress() as show:
            numbers = outlook(
                asked, folder, processes=n_threads(), stop=stop, progress=show, warn=warn
            )
        if as_json:
            print(json.dumps(numbers))
        else:
            print_pairs(f"{folder}: a dry run", with_time(numbers))
            said = f"{DONE.capitalize()}, your own code with it."
            console().print(said, markup=False, highlight=False)
        return
    if prepare and (scheduler or processes or as_json):
        raise ConfigurationError(
            "Got --prepare, which carries nothing out, with --processes, --scheduler or --json. "
            "Give these to what does: qhyper work FOLDER, or the same command without --prepare."
        )
    check_where(processes, scheduler)
    if scheduler is not None:
        from qhyper.run.cluster import check_scheduler

        check_scheduler(scheduler)
    where = Where(n_threads() if processes is None else processes, scheduler)
    print(f"Folder of the sweep: {folder}", file=sys.stderr)
    command = f"qhyper sweep {file} --out {folder}"
    with stop_on_signals() as stop, progress() as show:
        told: dict[str, Any] = {"stop": stop, "progress": show, "warn": warn}
        try:
            if prepare:
                make(asked, folder, **told)
                print(folder)
                print(f"Carry it out with: qhyper work {folder}", file=sys.stderr)
                return
            rows = carry_out_sweep(asked, folder, where, command=command, **told)
        except Interrupted:
            raise Interrupted(
                "Stopped by a signal; what was done is kept. Go on with the same command."
            ) from None
    print_sweep(rows, folder, as_json)


def _usual_folder(file: Path) -> Path:
    """Where a sweep goes unless told: runs/NAME, or where it is."""
    from qhyper.run.sweep_file import is_sweep

    ours = file.name == "sweep.toml" and is_sweep(file.parent) and (file.parent / "points").is_dir()
    return file.parent if ours else Path("runs") / file.stem


def print_sweep(rows: list[dict[str, Any]], folder: Path, as_json: bool) -> None:
    """Tidy rows of a sweep as JSON, or its ranking, and where the page is."""
    from qhyper.report.sweep_summary import summarise_points

    if as_json:
        print(json.dumps(rows))
    else:
        _print_ranking(summarise_points(rows))
    print(f"Report: {folder / 'sweep.html'}, {folder / 'results.csv'}", file=sys.stderr)


def _print_ranking(summaries: Any) -> None:
    """The first places of each problem and budget."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from qhyper.report.sweep_summary import rankings, settings, with_short_names
    from qhyper.report.words import counts, format_loss

    for found in rankings(with_short_names(summaries)):
        keys = settings(found.points)
        spent = counts(found.budget or {}, list(found.budget or {}))
        title = f"{found.problem}, {spent} a seed" if spent else found.problem
        table = Table(title=Text(title), box=box.SIMPLE_HEAD)
        for heading in ("Rank", "Entry", *keys, "Final loss"):
            table.add_column(heading)
        for each in found.points[:FIRST]:
            place = found.place(each) or "–"
            values = ("–" if each.point[key] is None else f"{each.point[key]}" for key in keys)
            cells = (str(place), each.entry, *values, format_loss(each.final_loss.median))
            table.add_row(*map(Text, cells))
        console().print(table)
