"""`qhyper check`: the contracts tried on one's own code, or on what has a name."""

import json
from functools import partial
from typing import Annotated, Any

import typer

from qhyper.cli.assignments import assign, counts_of
from qhyper.cli.completion import completed
from qhyper.cli.help import WHAT
from qhyper.cli.options import KEY_VALUE, NUMBER, Json
from qhyper.registry import KINDS


def check(
    what: Annotated[
        str,
        typer.Argument(
            help="module:Class of a module in this folder (or on PYTHONPATH), or a registered name."
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="NAME",
            help="What it is to be: generator, control, estimator, risk, ansatz, simulator, "
            "service, target, data-set or loss (found out from what it has; of a function that "
            "makes one, say it).",
            rich_help_panel=WHAT,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            **KEY_VALUE,
            help="An option of it, such as dim=8; repeatable.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits",
            **NUMBER,
            help="How many bits a generator is made for (8).",
            rich_help_panel=WHAT,
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Data that a target is made for (toy).",
            rich_help_panel=WHAT,
            autocompletion=completed("data set"),
        ),
    ] = "toy",
    as_json: Json = False,
) -> None:
    """Try your own code, and say in words what is wrong.

    What is tried is the contract of its kind. mine.py of mine:Generator is looked for in this
    folder. Exit code 2 if something is wrong.
    """
    from qhyper.checks.check import check as checked

    options: dict[str, Any] = {}
    for assignment in option or []:
        assign(options, assignment, counts_of(what, *([kind] if kind in KINDS else KINDS)))
    say = None if as_json else partial(print, flush=True)
    reports = checked(what, kind=kind, options=options, bits=bits, data=data, say=say)
    if as_json:
        found = [report.to_json() for report in reports]
        print(json.dumps(found[0] if len(found) == 1 else found))
    if not all(report.ok for report in reports):
        raise typer.Exit(2)
