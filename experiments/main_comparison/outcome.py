"""What the parts of the main comparison are, and what of them each table and picture shows."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from qhyper import BinaryNetwork
from qhyper.report.results import Result
from qhyper.report.statistics import Share, wilson
from qhyper.report.summary import Summary, summarise
from qhyper.run.config import COMPARED
from qhyper.targets.target import SAME_LOSS

DATA = {"toy": "toy", "mnist": "MNIST 0/1 at 2×2"}
NETWORK = BinaryNetwork((4, 6, 2))

Results = Mapping[str, Any]

MEASURES: dict[str, Literal["final_loss", "best_loss"]] = {
    "mean": "final_loss",  # what it draws in the end, in the mean
    "best": "best_loss",  # the best that it has drawn
}
"""What a search of settings is to make low."""
TUNED = [name for name in COMPARED if name != "random"]
"""Uniform draws have no settings."""


def tuned_part(name: str, data: str, measure: str) -> str:
    """What the part is called in which an entry is tuned."""
    return f"{name}-{data}-tuned-{measure}"


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


def result(results: Results, part: str) -> Result:
    """What the trial of one part measured."""
    return Result.from_json(results[part]["result"])
