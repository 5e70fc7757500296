"""What commands print: progress and warnings to stderr, tables to stdout."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qhyper.run.comparison import Comparison
    from qhyper.run.config import Config


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
def progress(names: Mapping[str, str] | None = None) -> Iterator[Any]:
    """A progress bar for each entry on a terminal, one line for each finished entry elsewhere.

    `names` says what is shown for a title, such as "product (3 of 9)".
    """
    shown = names or {}
    if not sys.stderr.isatty():
        yield _lines(shown)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20),
               MofNCompleteColumn(), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(title: str, spent: int, total: int) -> None:
            if title not in tasks:
                tasks[title] = bars.add_task(shown.get(title, title), total=total)
            bars.update(tasks[title], completed=spent)

        yield show


def _lines(shown: Mapping[str, str]) -> Callable[[str, int, int], None]:
    """Says what is done, and how long it took since it was first heard of."""
    begun: dict[str, float] = {}

    def show(title: str, spent: int, total: int) -> None:
        if spent < total:
            begun.setdefault(title, time.monotonic())
            return
        took = f" in {in_words(time.monotonic() - begun[title])}" if title in begun else ""
        print(f"{shown.get(title, title)}: done{took}", file=sys.stderr)

    return show


def counted_titles(config: "Config") -> dict[str, str]:
    """The titles of several entries, and of their searches of settings, with which one it is."""
    from qhyper.run.settings_search import title_of

    entries = config.entries or []
    if len(entries) < 2:
        return {}
    return {
        title: f"{title} ({number} of {len(entries)})"
        for number, entry in enumerate(entries, 1)
        for title in (entry.title, title_of(entry))
    }


def in_words(seconds: float | None) -> str:
    """A time in one unit, of two digits or so; a dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return "< 1 s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"


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
    from qhyper.report.answer import answer
    from qhyper.report.table import correlation_table, table, tests_table, tuned_table
    from qhyper.report.words import remarks

    console().print(table(outcome.summary))
    console().print(f"\n{answer(outcome.summary)}\n", markup=False, highlight=False)
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
