"""Which generator finds the best 4-6-2 binary network? Forty seeds of all that `compare` has.

Each entry as it stands, with its built-in recipe, and with the settings that it finds by a search
of its own, on other seeds and within the same budget.

python -m experiments run main-comparison
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.main_comparison import pictures
from experiments.main_comparison import tables as written
from experiments.main_comparison.outcome import (
    DATA,
    MEASURES,
    NETWORK,
    TUNED,
    Results,
    hits,
    tuned_part,
    within,
)
from qhyper import load
from qhyper.run.comparison import compare
from qhyper.run.config import COMPARED
from qhyper.training.space import Tuning

TITLE = "Which generator finds the best 4-6-2 binary network, at the same budget?"


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    seeds: int
    evaluations: int
    """of each seed"""
    tuning_seeds: int
    """from `FIRST_TUNING_SEED`, which no comparison has"""
    settings: int
    """that an entry tries, its own recipe first, each on all tuning seeds at that budget"""


FULL = Size(seeds=40, evaluations=300_000, tuning_seeds=10, settings=20)
QUICK = Size(seeds=3, evaluations=4_000, tuning_seeds=2, settings=2)
FIRST_TUNING_SEED = 1000


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every generator and control on every data set, as it stands and tuned; the longest first."""
    size = QUICK if quick else FULL
    tuned = {
        tuned_part(name, data, measure): partial(search, name, data, size, measure)
        for name in TUNED
        for data in DATA
        for measure in MEASURES
    }
    return tuned | {
        f"{name}-{data}": partial(search, name, data, size) for name in COMPARED for data in DATA
    }


def search(name: str, data: str, size: Size, measure: str | None = None) -> dict[str, Any]:
    """One entry over all seeds, with its recipe or tuned, and the certificate of its problem."""
    dataset = load(data)
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + size.tuning_seeds)
    tune = measure and Tuning(
        seeds=list(seeds), evaluations=size.settings * len(seeds) * size.evaluations,
        measure=MEASURES[measure],
    )  # fmt: skip
    outcome = compare(
        NETWORK.objective(dataset.train), [name], seeds=range(size.seeds),
        evaluations=size.evaluations, test=dataset.test, name=data, tune=tune or None,
    )  # fmt: skip
    found = outcome.summary.tuning
    return {
        "certificate": outcome.summary.certificate,
        "result": outcome.results[0].to_json(),
        "search": None if found is None else asdict(found.of(name)),
    }


def tables(results: Results) -> str:
    """All tables."""
    return written.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write the pictures."""
    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found: dict[str, Any] = {}
    for data in DATA:
        minimum = results[f"{COMPARED[0]}-{data}"]["certificate"]["minimum_loss"]
        found[f"{data}-minimum-loss"] = minimum
        for name in COMPARED:
            found[f"{data}-{name}-within-5-percent"] = within(results, f"{name}-{data}").value
            found[f"{data}-{name}-hit"] = hits(results, f"{name}-{data}").value
        for name in TUNED:
            for measure in MEASURES:
                part = tuned_part(name, data, measure)
                found[f"{part}-within-5-percent"] = within(results, part).value
                found[f"{part}-hit"] = hits(results, part).value
    return found
