"""How far from the best 36 weights do searches without gradients end that were meant for them?

python -m experiments run schemes
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.schemes import pictures
from experiments.schemes import tables as written
from experiments.schemes.outcome import CONTROLS, GENERATORS, PROBLEMS, entries, hits
from experiments.schemes.signed import LAYERS, SignedObjective, signs
from qhyper import BinaryNetwork, certify, load
from qhyper.run.comparison import compare
from qhyper.targets.target import SAME_LOSS, Objective
from qhyper.training.space import Range, Space, Tuning

TITLE = "Three searches by flips against annealing: how far from the best 36 weights do they end?"

NETWORK = BinaryNetwork(LAYERS)


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    seeds: int
    evaluations: int
    """of each seed"""
    tuning_seeds: int
    """from `FIRST_TUNING_SEED`, which no comparison has"""
    settings: int
    """that a control tries, its recipe first, each on all tuning seeds at that budget"""


FULL = Size(seeds=20, evaluations=300_000, tuning_seeds=4, settings=6)
QUICK = Size(seeds=3, evaluations=1_000, tuning_seeds=2, settings=2)
FIRST_TUNING_SEED = 1000
COUNTING = Space(
    options={
        "p": Range(low=0.001, high=0.5, log=True),
        "p_all": Range(low=0.001, high=0.5, log=True),
        "children": Range(low=2, high=32, log=True),
    }
)
"""What is searched for counting errors; the class has a range of p alone."""

Results = Mapping[str, Any]


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every entry on every problem."""
    size = QUICK if quick else FULL
    return {
        f"{entry}-{problem}": partial(search, entry, problem, size)
        for problem in PROBLEMS
        for entry in entries(problem)
    }


def search(entry: str, problem: str, size: Size) -> dict[str, Any]:
    """What every seed of an entry found, with its tuned settings if it is a control with any."""
    objective, minimum = _problem(entry, problem)
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + size.tuning_seeds)
    tune = Tuning(
        seeds=list(seeds), evaluations=size.settings * len(seeds) * size.evaluations,
        measure="best_loss", space={entry: COUNTING} if entry == "counting-errors" else {},
    )  # fmt: skip
    outcome = compare(
        objective, [entry], seeds=range(size.seeds), evaluations=size.evaluations,
        tune=None if entry in (*GENERATORS, "random") else tune, name=problem,
        progress=False, warn=lambda words: None,
    )  # fmt: skip
    (result,), found = outcome.results, outcome.summary.tuning
    if minimum is None:
        certificate = outcome.summary.certificate
        assert certificate is not None
        minimum = certificate["minimum_loss"]
    return {
        "minimum": minimum,
        "best": list(result.best_loss),
        "final": list(result.final_loss),
        "evaluations": result.evaluations,
        "hit_at": [_hit_at(steps, minimum) for steps in result.improvements],
        "settings": None if found is None else found.of(entry).found,
    }


def _problem(entry: str, problem: str) -> tuple[Objective, float | None]:
    """The objective, and its certified minimum where it has no certificate of its own."""
    data, _, seen = problem.partition("-")
    rows = load(data).train
    if not seen:
        return NETWORK.objective(rows), None
    if entry != "counting-errors":
        return NETWORK.objective(signs(rows)), None
    return SignedObjective(signs(rows)), certify(NETWORK, signs(rows)).minimum_loss


def _hit_at(steps: Any, minimum: float) -> int | None:
    return next((int(spent) for spent, loss in steps if loss <= minimum + SAME_LOSS), None)


def tables(results: Results) -> str:
    """All tables."""
    return written.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write regret.svg."""
    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found = {}
    for problem in PROBLEMS:
        found[f"{problem}-minimum"] = results[f"{CONTROLS[0]}-{problem}"]["minimum"]
        for entry in entries(problem):
            found[f"{entry}-{problem}-hits"] = float(hits(results[f"{entry}-{problem}"]))
    return found
