"""`qhyper check`: the contracts tried on one's own code, or on what has a name."""

import json
from functools import partial
from typing import Annotated, Any

import typer

from qhyper.cli.options import Json


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
            help="What it is to be: generator, control, estimator, risk, ansatz, simulator, "
            "service, target, data-set or loss (found out from what it has; of a function that "
            "makes one, say it).",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of it, such as dim=8."),
    ] = None,
    bits: Annotated[
        int | None, typer.Option("--bits", help="Bits that a generator is made for (8).")
    ] = None,
    data: Annotated[
        str, typer.Option("--data", help="Data that a target is made for (toy).")
    ] = "toy",
    as_json: Json = False,
) -> None:
    """Try the contract of its kind on code of your own, and say in words what is wrong.

    For instance: qhyper check mymodule:Mine --option dim=8

    mymodule.py is looked for in this folder. Kinds: generator, control, estimator, risk, ansatz,
    simulator, service, target, data set, loss. Exit code 2 if something is wrong.
    """
    from qhyper.checks.check import check as checked
    from qhyper.run.config import assign

    options: dict[str, Any] = {}
    for assignment in option or []:
        assign(options, assignment)
    say = None if as_json else partial(print, flush=True)
    reports = checked(what, kind=kind, options=options, bits=bits, data=data, say=say)
    if as_json:
        found = [report.to_json() for report in reports]
        print(json.dumps(found[0] if len(found) == 1 else found))
    if not all(report.ok for report in reports):
        raise typer.Exit(2)
