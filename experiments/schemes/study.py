"""Three searches by flips against annealing: how far from the best 36 weights do they end?

python -m experiments run schemes
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from experiments.schemes import outcome, pictures
from experiments.schemes import tables as written
from experiments.schemes.outcome import GRIDS, HALVES, PROBLEMS, Settings, entries
from experiments.schemes.signed import LAYERS, SignedObjective, signs
from qhyper import BinaryNetwork, certify, load
from qhyper.report.results import Result
from qhyper.run.comparison import compare
from qhyper.run.config import Entry
from qhyper.targets.target import SAME_LOSS, Objective

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
    tuning_evaluations: int
    """of each setting on each of these"""


FULL = Size(seeds=20, evaluations=300_000, tuning_seeds=10, tuning_evaluations=30_000)
QUICK = Size(seeds=3, evaluations=1_000, tuning_seeds=2, tuning_evaluations=300)
FIRST_TUNING_SEED = 1000


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """All searches on one problem each; the longest first."""
    size = QUICK if quick else FULL
    return {problem: partial(search, problem, size) for problem in reversed(PROBLEMS)}


def search(problem: str, size: Size) -> dict[str, Any]:
    """The certified minimum, and what every seed of every search found."""
    data, _, signed = problem.partition("-")
    rows = signs(load(data).train) if signed else load(data).train
    minimum = certify(NETWORK, rows).minimum_loss
    objective = SignedObjective(rows) if signed else NETWORK.objective(rows)
    chosen = _chosen(objective, entries(problem), size)
    results = _compared(objective, chosen, range(size.seeds), size.evaluations)
    found = {
        result.name: {
            "best": list(result.best_loss),
            "final": list(result.final_loss),
            "hit_at": [_hit_at(steps, minimum) for steps in result.improvements],
            "evaluations": result.evaluations,
            "options": dict(entry.options),
        }
        for entry, result in zip(chosen, results, strict=True)
    }
    return {"minimum": minimum, "entries": found}


def _chosen(objective: Objective, names: Sequence[str], size: Size) -> list[Entry]:
    """The named searches, with the best of their settings on the tuning seeds."""
    tried = [(name, settings) for name in names for settings in GRIDS.get(name, ())]
    entries = [
        Entry(name=name, label=f"{name} {k}", options=dict(settings))
        for k, (name, settings) in enumerate(tried)
    ]
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + size.tuning_seeds)
    results = _compared(objective, entries, seeds, size.tuning_evaluations)
    losses = [float(np.mean(np.asarray(result.best_loss, np.float64))) for result in results]
    best: dict[str, Settings] = {}
    for k in reversed(np.argsort(losses, kind="stable")):  # the lowest, and of equal ones the first
        name, settings = tried[k]
        best[name] = settings
    whole = {name: "counting-errors" if name in HALVES else name for name in names}
    return [
        Entry(name=whole[name], label=name,
              options={**best.get(whole[name], {}), **HALVES.get(name, {})})
        for name in names
    ]  # fmt: skip


def _compared(
    objective: Objective, tried: list[Entry], seeds: Sequence[int], evaluations: int
) -> list[Result]:
    return compare(
        objective, tried, seeds=seeds, evaluations=evaluations, progress=False,
        warn=lambda words: None,
    ).results  # fmt: skip


def _hit_at(steps: Any, minimum: float) -> int | None:
    return next((int(spent) for spent, loss in steps if loss <= minimum + SAME_LOSS), None)


tables = written.tables
draw = pictures.draw
measured = outcome.measured
