"""Three searches by flips against annealing: how far from the best 36 weights do they end?

python -m experiments run schemes
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.schemes import pictures
from experiments.schemes import tables as written
from experiments.schemes.outcome import ALONE, FIXED, GRIDS, PROBLEMS, entries, hits
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

Results = Mapping[str, Any]


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """All searches on one problem each; the longest first."""
    size = QUICK if quick else FULL
    return {problem: partial(search, problem, size) for problem in reversed(PROBLEMS)}


def search(problem: str, size: Size) -> dict[str, Any]:
    """The certified minimum, and what every seed of every search found."""
    data, _, signed = problem.partition("-")
    rows = signs(load(data).train) if signed else load(data).train
    network, names = NETWORK.objective(rows), entries(problem)
    minimum = certify(NETWORK, rows).minimum_loss
    counting = [name for name in names if name in ("counting-errors", ALONE)]
    others = [name for name in names if name not in counting]
    found = _searched(network, others, size, minimum)
    if counting:
        found |= _searched(SignedObjective(rows), counting, size, minimum)
    return {"minimum": minimum, "entries": {name: found[name] for name in names}}


def _searched(
    objective: Objective, names: Sequence[str], size: Size, minimum: float
) -> dict[str, Any]:
    """What the named searches find, with the best of their settings on the tuning seeds."""
    tried = [
        Entry(name=name, label=f"{name} {k}", options=dict(settings))
        for name in names if name in GRIDS for k, settings in enumerate(GRIDS[name])
    ]  # fmt: skip
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + size.tuning_seeds)
    losses = {
        result.name: float(np.mean(np.asarray(result.best_loss, np.float64)))
        for result in _compared(objective, tried, seeds, size.tuning_evaluations)
    }
    settings = {
        name: min(range(len(GRIDS[name])), key=lambda k, name=name: losses[f"{name} {k}"])
        for name in names if name in GRIDS
    }  # fmt: skip
    chosen = [
        Entry(name=name, options=dict(GRIDS[name][settings[name]])) if name in settings
        else Entry(name=FIXED[name][0], label=name, options=dict(FIXED[name][1]))
        for name in names
    ]  # fmt: skip
    return {
        result.name: {
            "best": list(result.best_loss),
            "final": list(result.final_loss),
            "hit_at": [_hit_at(steps, minimum) for steps in result.improvements],
            "evaluations": result.evaluations,
            "options": dict(entry.options),
        }
        for entry, result in zip(
            chosen, _compared(objective, chosen, range(size.seeds), size.evaluations), strict=True
        )
    }


def _compared(
    objective: Objective, tried: list[Entry], seeds: Sequence[int], evaluations: int
) -> list[Result]:
    return compare(
        objective, tried, seeds=seeds, evaluations=evaluations, progress=False,
        warn=lambda words: None,
    ).results  # fmt: skip


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
        minimum = results[problem]["minimum"]
        found[f"{problem}-minimum"] = minimum
        for name, one in results[problem]["entries"].items():
            short = "counting-alone" if name == ALONE else name
            found[f"{short}-{problem}-hits"] = float(hits(one, minimum))
    return found
