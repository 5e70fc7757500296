"""The command that lists runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from qhyper.cli.options import Json
from qhyper.cli.terminal import console


def runs(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of run directories (runs), or one of them."),
    ] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs and sweeps of a folder, and how far each is."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from qhyper.run.listing import COMPLETE, listed

    found = listed(folder)
    if as_json:
        print(json.dumps([run.to_json() for run in found]))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for title in ("Name", "Begun (UTC)", "Data", "Entries", "Seeds", "State", "Run"):
        table.add_column(title, justify="right" if title in ("Entries", "Seeds") else "left",
                         overflow="fold")  # fmt: skip
    for run in found:
        entries = "–" if run.entries is None else str(run.entries)
        if run.state != COMPLETE and run.entries:
            entries = f"{run.done} of {entries}"
        state = run.state if run.detail is None else f"{run.state}: {run.detail}"
        begun = (run.begun or "–")[:16].replace("T", " ")
        seeds = "–" if run.seeds is None else str(run.seeds)
        data = Path(run.data).name if run.data else "–"
        shown = str(folder) if Path(run.path) == folder.resolve() else Path(run.path).name
        # texts, not strings: a name in brackets is no markup
        table.add_row(*map(Text, (run.name or "–", begun, data, entries, seeds, state, shown)))
    console().print(table)
