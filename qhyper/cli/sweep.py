"""`qhyper sweep`: a comparison at every point of a space of settings."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from qhyper.cli.options import DryRun, Json, Processes, Scheduler
from qhyper.cli.terminal import progress, warn
from qhyper.errors import Interrupted


def sweep(
    file: Annotated[
        Path, typer.Argument(help="TOML file: a configuration, with a table [sweep.over].")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the sweep (runs/NAME-OF-THE-FILE).")
    ] = None,
    dry_run: DryRun = False,
    processes: Processes = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Carry out a comparison at every point of a space: any settings over lists or ranges.

    The same command goes on where it was stopped. With more points or seeds in the file, only these
    are worked out. `qhyper work FOLDER` helps, on any machine that sees the folder.
    """
    from qhyper.run.directory import stop_on_signals
    from qhyper.run.sweep import carry_out_sweep, places, read_sweep
    from qhyper.run.trials import Where
    from qhyper.threads import n_threads

    folder = Path("runs") / file.stem if out is None else out
    asked = read_sweep(file, warn)
    if dry_run:
        found = places(asked, folder)
        print(f"{len(found):,} points of {len(found[0].config.seeds)} seeds; nothing was run.")
        return
    where = Where(n_threads() if processes is None else processes, scheduler)
    print(f"Folder of the sweep: {folder}", file=sys.stderr)
    with stop_on_signals() as stop, progress() as show:
        try:
            found = carry_out_sweep(asked, folder, where, stop=stop, progress=show, warn=warn)
        except Interrupted:
            raise Interrupted(
                "Stopped by a signal; what was done is kept. Go on with the same command."
            ) from None
    if as_json:
        print(json.dumps([dict(place.point) for place in found]))
