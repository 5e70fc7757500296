"""Runs carried out: begun by a command that asks, or gone on with by `qhyper resume`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qhyper.cli.options import Json, Log, Processes, RunFolder, Scheduler
from qhyper.cli.terminal import counted_titles, print_comparison, progress, warn
from qhyper.cli.values import check_where
from qhyper.errors import ConfigurationError, Interrupted, JobError, PendingError


def resume(
    run: RunFolder,
    processes: Processes = None,
    scheduler: Scheduler = None,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted.

    It ends as if it never had been.
    """
    from qhyper.run.directory import Run

    check_where(processes, scheduler)
    finish(Run.open(run), as_json, processes, scheduler, log=log)


def start(
    name: str,
    values: dict[str, Any],
    out: Path,
    as_json: bool,
    *,
    combined: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    prepare: bool = False,
    processes: int | None = None,
    scheduler: str | None = None,
    log: str | None = None,
) -> None:
    """Plan what the `values` of a configuration ask for, and carry it out or say what it takes."""
    from qhyper.run.config import Config
    from qhyper.run.directory import Run, check_name
    from qhyper.run.named import check_named
    from qhyper.storage import check_folder

    if prepare and (scheduler or log or processes):
        raise ConfigurationError(
            "Got --prepare, which carries nothing out, with --processes, --scheduler or --log. "
            "Give these to what does: qhyper resume RUN, or --processes to qhyper work RUN."
        )
    check_where(processes, scheduler)
    check_name(name)
    config = Config(**values)
    if not combined:  # else what cannot work is left out
        check_named(config.entries or [])
    if not dry_run:
        check_folder(out)
    if scheduler is not None:
        from qhyper.run.cluster import check_scheduler

        check_scheduler(scheduler)
    print("Preparing: data, target and entries are read and checked.", file=sys.stderr)
    from qhyper.run.cautions import before
    from qhyper.run.comparison import plan

    # before a folder is made
    if log is not None:
        from qhyper.run.sinks import find_sink

        find_sink(log)
    made = plan(config, warn, combined=combined, paid=yes or dry_run)
    if made.problem.dataset is not None:
        print(f"Data: {made.problem.dataset}", file=sys.stderr)
    if not dry_run:
        run = Run.create(out, name, made.config)
        if prepare:
            print(run.path)
            print(f"Carry it out with: qhyper work {run.path}", file=sys.stderr)
            return
        finish(run, as_json, processes, scheduler, made, log)
        return
    for caution in before(made.problem):
        warn(caution)
    from qhyper.cli.dry_run import print_plan
    from qhyper.threads import n_threads

    print_plan(name, made, n_threads() if processes is None else processes, as_json)


def finish(
    run: Any,
    as_json: bool,
    processes: int | None,
    scheduler: str | None = None,
    made: Any = None,
    log: str | None = None,
) -> None:
    """Carry out what is not finished yet, and print the outcome."""
    from qhyper.machine import ignored_threads
    from qhyper.run.comparison import execute
    from qhyper.run.directory import stop_on_signals
    from qhyper.threads import n_threads

    for name, text in ignored_threads().items():
        warn(f"{name}={text} is no number of threads from 1 up, and is ignored.")
    together = n_threads() if processes is None else processes
    print(f"Run directory: {run.path}", file=sys.stderr)
    shown = progress(counted_titles(run.config))
    with stop_on_signals() as stop, shown as show, _logged(run, log, show) as (show, end):
        try:
            outcome = execute(
                run, made, processes=together, scheduler=scheduler, stop=stop, progress=show,
                warn=warn,
            )  # fmt: skip
            end(outcome)
        except Interrupted:
            raise Interrupted(
                f"Stopped by a signal; what was done is kept. Go on with: qhyper resume {run.path}"
            ) from None
        except (JobError, PendingError) as error:
            raise type(error)(f"{error} Go on with: qhyper resume {run.path}") from None
    print_comparison(outcome, run.path, as_json)


@contextmanager
def _logged(run: Any, log: str | None, show: Any) -> Iterator[tuple[Any, Any]]:
    """Within, progress that is logged too, and what logs the outcome."""
    if log is None:
        yield show, lambda outcome: None
        return
    from qhyper.run.sinks import Followed, build_sink

    with Followed(run, build_sink(log, run), show, warn) as followed:
        yield followed, followed.end
