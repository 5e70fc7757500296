"""`qhyper tune`: a comparison before which every entry searches its own settings."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from qhyper.cli.help import SEARCH
from qhyper.cli.options import NUMBER
from qhyper.cli.values import seeds_of

FIRST = 1000
"""The first tuning seed, where only their number is given."""

Seeds = Annotated[
    str | None,
    typer.Option(
        "--tuning-seeds",
        metavar="N|LIST",
        help="How many (3), or which, such as 50,51.\nSettings are tried on them: none of the "
        "comparison's; from 1000 on where only their number is given.",
        rich_help_panel=SEARCH,
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help="Which settings come next: tpe (default) or random.",
        rich_help_panel=SEARCH.rest,
        autocompletion=lambda: ["tpe", "random"],
    ),
]
_LIMIT = "Budget of each entry's search, in {} of all tuning seeds together"
Evaluations = Annotated[
    int | None,
    typer.Option(
        "--tuning-evaluations",
        **NUMBER,
        help="Budget of each search (20 settings).\nIn evaluations of all tuning seeds together.",
        rich_help_panel=SEARCH,
    ),
]
Shots = Annotated[
    int | None,
    typer.Option(
        "--tuning-shots",
        **NUMBER,
        help=f"{_LIMIT.format('shots')}.",
        rich_help_panel=SEARCH.rest,
    ),
]
Circuits = Annotated[
    int | None,
    typer.Option(
        "--tuning-circuits",
        **NUMBER,
        help=f"{_LIMIT.format('circuits')}.",
        rich_help_panel=SEARCH.rest,
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--tuning-rows",
        **NUMBER,
        help=f"{_LIMIT.format('rows')}.",
        rich_help_panel=SEARCH.rest,
    ),
]


def tune_by(compare: Callable[..., None]) -> Callable[..., None]:
    """The command: all options of `compare`, which it calls, and those of the search."""

    def tune(
        tuning_seeds: Seeds = None,
        sampler: Sampler = None,
        tuning_evaluations: Evaluations = None,
        tuning_shots: Shots = None,
        tuning_circuits: Circuits = None,
        tuning_rows: Rows = None,
        **given: Any,
    ) -> None:
        """Let each entry search its settings, then compare on fresh seeds.

        Each search has the same budget, which is reported beside that of the comparison. Every
        setting that is tried may spend what a seed of the comparison may, on every tuning seed.
        Ranges of one's own stand in the table tune.space.NAME.training of a configuration file, as
        learning_rate = {low = 0.01, high = 1.0, log = true}, or as a list of choices.
        """
        from qhyper.run.config import read

        asked = {
            "seeds": seeds_of(tuning_seeds, "--tuning-seeds", first=FIRST), "sampler": sampler,
            "evaluations": tuning_evaluations, "shots": tuning_shots,
            "circuits": tuning_circuits, "rows": tuning_rows,
        }  # fmt: skip
        told = [f"tune.{name}={value}" for name, value in asked.items() if value is not None]
        if given["config"] is None or "tune" not in read(given["config"]):
            told = ["tune={}", *told]
        compare(**given | {"setting": [*told, *(given["setting"] or [])]})

    own = [p for p in inspect.signature(tune).parameters.values() if p.kind is not p.VAR_KEYWORD]
    of_compare = inspect.signature(compare).parameters.values()
    both = [p.replace(kind=p.KEYWORD_ONLY) for p in (*of_compare, *own)]
    tune.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
    tune.__annotations__ = {p.name: p.annotation for p in both}
    return tune
