"""What commands print: progress and warnings to stderr, tables to stdout."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qhyper.run.comparison import Comparison


@contextmanager
def output() -> Iterator[None]:
    """Within, nothing that is printed fails for its letters, and at the end all of it is written.

    What the encoding of a stream has no letter for becomes a question mark. What goes to a stream
    that is closed, or that nobody reads any more (`| head`), is dropped.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:  # else Python would say so at its own end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress() -> Iterator[Any]:
    """A progress bar for each entry on a terminal, one line for each finished entry elsewhere."""
    if not sys.stderr.isatty():
        yield _plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(title: str, spent: int, total: int) -> None:
            if title not in tasks:
                tasks[title] = bars.add_task(title, total=total)
            bars.update(tasks[title], completed=spent)

        yield show


def _plain(title: str, spent: int, total: int) -> None:
    if spent == total:
        print(f"{title}: done", file=sys.stderr)


def warn(message: str) -> None:
    """Say something that a user should know, on stderr."""
    print(f"qhyper: {message}", file=sys.stderr)


def print_comparison(outcome: "Comparison", run: Path, as_json: bool) -> None:
    """Print the outcome of the run in a folder, as tables or as one JSON object."""
    if as_json:
        print(json.dumps(outcome.to_json()))
    else:
        print_outcome(outcome)
    print(f"Report: {run / 'report.html'}", file=sys.stderr)


def print_outcome(outcome: "Comparison") -> None:
    """Print the tables of an outcome, and what is to be said of it."""
    from qhyper.report.table import correlation_table, table, tests_table, tuned_table
    from qhyper.report.words import remarks

    console().print(table(outcome.summary))
    if outcome.summary.tests:
        console().print(tests_table(outcome.summary))
    if (correlations := correlation_table(outcome.summary)) is not None:
        console().print(correlations)
    if (searches := tuned_table(outcome.summary)) is not None:
        console().print(searches)
    for remark in remarks(outcome.summary):
        console().print(remark, markup=False, highlight=False)


def print_pairs(title: str, pairs: dict[str, Any]) -> None:
    """Print a table of two columns."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), show_header=False)
    for key, value in pairs.items():
        table.add_row(key, f"{value:.10g}" if isinstance(value, float) else escape(str(value)))
    console().print(table)


def console() -> Any:
    """Standard output; wide where it is not a terminal, so that nothing is folded in a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)
