"""`qhyper work`: help with what another process has begun or prepared."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.cli.options import Json, Processes
from qhyper.cli.sweep import print_sweep
from qhyper.cli.terminal import counted_titles, print_comparison, progress, warn
from qhyper.errors import Interrupted, QhyperError


def work(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Run directory or sweep, on a disk that all can see."),
    ],
    processes: Processes = None,
    as_json: Json = False,
) -> None:
    """Help with a run or a sweep, on any machine that sees its folder.

    Any number of these can help. Each claims trials that no other has, and goes on with those of
    one that was killed. The last one writes the report. The run is made by `qhyper compare ...
    --prepare` or `qhyper sweep FILE --prepare`, or is under way.
    """
    from qhyper.run.comparison import work as help_with
    from qhyper.run.directory import Run, stop_on_signals
    from qhyper.run.listing import GIVEN_UP, listed
    from qhyper.run.lock import at_work
    from qhyper.run.places import SWEEP
    from qhyper.run.sweep import help_with_sweep
    from qhyper.run.sweep_file import is_sweep
    from qhyper.threads import n_threads

    together = n_threads() if processes is None else processes
    opened = None if is_sweep(run) else Run.open(run)
    shown = progress({} if opened is None else counted_titles(opened.config))
    with stop_on_signals() as stop, shown as show:
        told: dict[str, Any] = {"stop": stop, "progress": show, "warn": warn}
        try:
            if opened is None:
                outcome = help_with_sweep(run, together, **told)
            else:
                outcome = help_with(opened, processes=together, **told)
        except Interrupted:
            raise Interrupted(
                f"Stopped by a signal; what was done is kept. Go on with: qhyper work {run}"
            ) from None
    if outcome is None:
        again = f"sweep {run / SWEEP} --out {run}" if is_sweep(run) else f"resume {run}"
        (found,) = listed(run)
        if found.state == GIVEN_UP:
            raise QhyperError(f"Given up: {found.detail}. Try again with: qhyper {again}")
        who = at_work(run)
        ends = f"qhyper {again} ends it" if who is None else f"{who} ends it"
        print(f"Nothing is left to do here: {ends}.", file=sys.stderr)
    elif isinstance(outcome, list):
        print_sweep(outcome, run, as_json)
    else:
        print_comparison(outcome, run, as_json)
