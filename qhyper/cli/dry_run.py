"""What `--dry-run` prints: what every entry would take, in one table, and about how long."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qhyper.cli.terminal import console, in_words, print_pairs, warn

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.run.comparison import Plan
    from qhyper.run.trial import Trial

ESTIMATE = "estimated seconds"
"""Key of the JSON."""
DONE = "nothing is stored or sent; a moment of each entry is tried"
UNITS = ("evaluations", "shots", "circuits", "rows")


def print_plan(name: str, made: "Plan", processes: int, as_json: bool) -> None:
    """Print the plan of a comparison or training, with an estimate of its time.

    Nothing is stored, and nothing sent to a quantum computer: its jobs and prices are in full.
    """
    from qhyper.run.directory import stop_on_signals
    from qhyper.run.estimate import seconds_of, together
    from qhyper.run.own_code import code_of

    entries, own = made.outlook(), bool(code_of(made.config))
    with stop_on_signals() as stop:
        measured = seconds_of(made.trials, processes=processes, own=own, stop=stop, warn=warn)
    seconds = [None if each is None else each * made.times for each in measured]
    if as_json:
        print(json.dumps([
            entry | {ESTIMATE: each} for entry, each in zip(entries, seconds, strict=True)
        ]))  # fmt: skip
        return
    known = [each for each in seconds if each is not None]
    in_all = together(known, processes) if known else None
    told = f"{DONE}, your own code with it" if own else DONE
    _print_table(f"{name}: {told}.", made, seconds, in_all)
    if made.config.tune is not None:
        searched = {key: entries[0][key] for key in made.searched}
        _say(". ".join(f"{key.capitalize()}: {value}" for key, value in searched.items()) + ".")
    unknown = [entry["entry"] for entry, each in zip(entries, seconds, strict=True) if each is None]
    if in_all is not None:
        many = f"{processes} processes" if processes > 1 else "1 process"
        without = f", without {', '.join(unknown)}" if unknown else ""
        about = f"about {in_words(in_all)}" if in_all >= 1 else "less than 1 s"
        _say(f"Time: {about} with {many}{without}, by a moment of each entry; final draws, "
             "certificate and page come on top.")  # fmt: skip
    for trial, entry in zip(made.trials, entries, strict=True):
        if trial.paid:
            print_pairs(f"{name} {entry.pop('entry')}: nothing was sent", entry)


def _print_table(
    done: str, made: "Plan", seconds: Sequence[float | None], in_all: float | None
) -> None:
    """Entries as rows, below what was `done`: what a seed of each spends, and all of them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    seeds, spends = len(made.config.seeds), [trial.spends() for trial in made.trials]
    limits = made.config.budget.limits()
    # shots are evaluations for most, and rows matter where they are the budget
    units = [
        unit
        for unit in UNITS
        if unit in limits
        or unit in ("evaluations", "circuits")
        or (unit == "shots" and any(each.shots != each.evaluations for each in spends))
    ]
    about = "About, all seeds" if seeds > 1 else "About"
    title = f"{done} Of each of {seeds} seeds:" if seeds > 1 else f"{done} Of the seed:"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD,
                  padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)  # fmt: skip
    table.add_column("Entry", overflow="fold")
    table.add_column("Kind")
    for heading in ("Parameters", "Steps", *map(str.capitalize, units), about):
        table.add_column(heading, justify="right")
    for trial, spent, each in zip(made.trials, spends, seconds, strict=True):
        numbers = [_number(getattr(spent, unit)) for unit in units]
        cells = (trial.entry.title, trial.kind, *_size(trial), *numbers, in_words(each))
        table.add_row(*map(Text, cells))
    table.add_section()
    total = [_number(seeds * sum(getattr(each, unit) for each in spends)) for unit in units]
    cells = ("all, every seed", "", "", "", *total, in_words(in_all))
    table.add_row(*map(Text, cells))
    console().print(table)


def _say(text: str) -> None:
    console().print(text, markup=False, highlight=False)


def _size(trial: "Trial") -> tuple[str, str]:
    """Parameters and steps of a training; a control has none."""
    if trial.generator is None:
        return "–", "–"
    return _number(trial.generator.n_parameters), _number(trial.trainer.total_steps)


def _number(value: int) -> str:
    return f"{value:,}" if value else "–"


def with_time(numbers: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a sweep's outlook, with its time in words."""
    numbers = dict(numbers)
    numbers["time, about"] = in_words(numbers.pop(ESTIMATE))
    return numbers
