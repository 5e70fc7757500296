"""Which generator finds the best 4-6-2 binary network? Forty seeds of all that `compare` has.

Each entry as it stands, with its built-in recipe, and with the settings that it finds by a search
of its own, on other seeds and within the same budget.

python -m experiments run main-comparison
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qhyper import BinaryNetwork, load
from qhyper.report.results import Result
from qhyper.report.statistics import Share, wilson
from qhyper.report.summary import EntrySummary, Summary, summarise
from qhyper.run.comparison import compare
from qhyper.run.config import COMPARED
from qhyper.targets.target import SAME_LOSS
from qhyper.training.space import Tuning

TITLE = "Which generator finds the best 4-6-2 binary network, at the same budget?"

DATA = {"toy": "toy", "mnist": "MNIST 0/1 at 2×2"}
NETWORK = BinaryNetwork((4, 6, 2))

Results = Mapping[str, Any]


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

MEASURES: dict[str, Literal["final_loss", "best_loss"]] = {
    "mean": "final_loss",  # what it draws in the end, in the mean
    "best": "best_loss",  # the best that it has drawn
}
"""What a search of settings is to make low."""
TUNED = [name for name in COMPARED if name != "random"]
"""Uniform draws have no settings."""


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


def tuned_part(name: str, data: str, measure: str) -> str:
    """What the part is called in which an entry is tuned."""
    return f"{name}-{data}-tuned-{measure}"


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


# -- what came out ---------------------------------------------------------------------------------


def summary(results: Results, data: str, measure: str | None = None) -> Summary:
    """All entries on one data set, as if they had been compared in one run; with their recipes.

    Or as they were tuned for a measure, where there is anything to tune.
    """
    found = trials(results, data, measure)
    quantum, classical = (
        [each.name for each in found if each.kind == kind] for kind in ("quantum", "classical")
    )
    return summarise(
        found, certificate=results[f"{COMPARED[0]}-{data}"]["certificate"],
        no_certificate=None, data=data, network=str(NETWORK), loss="cross_entropy",
        pairs=[(one, other) for one in quantum for other in classical],
    )  # fmt: skip


def trials(results: Results, data: str, measure: str | None = None) -> list[Result]:
    """What every entry measured on one data set, with its recipe or tuned for a measure."""
    tuned = TUNED if measure else []
    return [
        result(results, tuned_part(name, data, str(measure)) if name in tuned else f"{name}-{data}")
        for name in COMPARED
    ]


def within(results: Results, part: str) -> Share:
    """Share of the seeds whose final mean loss is within 5 % of the certified minimum."""
    minimum = results[part]["certificate"]["minimum_loss"]
    final = np.array(result(results, part).final_loss)
    return wilson(int((final <= 1.05 * minimum).sum()), len(final))


def hits(results: Results, part: str) -> Share:
    """Share of the seeds that drew a network with the certified minimum."""
    minimum = results[part]["certificate"]["minimum_loss"]
    best = np.array(result(results, part).best_loss)
    return wilson(int((best <= minimum + SAME_LOSS).sum()), len(best))


def hit_share(entry: EntrySummary) -> Share:
    """Share of the seeds that drew the minimum, of an entry that drew anything."""
    assert entry.hit_share is not None, f"{entry.name} drew nothing"
    return entry.hit_share


def result(results: Results, part: str) -> Result:
    """What the trial of one part measured."""
    return Result.from_json(results[part]["result"])


def tables(results: Results) -> str:
    """All tables."""
    from experiments.main_comparison import tables as shown

    return shown.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write the pictures."""
    from experiments.main_comparison import pictures

    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found: dict[str, Any] = {}
    for data in DATA:
        one = summary(results, data)
        found[f"{data}-minimum-loss"] = one.reference.loss
        for entry in one.generators:
            name = entry.name
            found[f"{data}-{name}-within-5-percent"] = within(results, f"{name}-{data}").value
            found[f"{data}-{name}-hit"] = hit_share(entry).value
        for name in TUNED:
            for measure in MEASURES:
                part = tuned_part(name, data, measure)
                found[f"{part}-within-5-percent"] = within(results, part).value
                found[f"{part}-hit"] = hits(results, part).value
    return found
