"""What the parts, the tables and the pictures share: names, starts, and how results are read."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

SHOWN = 10_000
"""Evaluations of one gradient in the tables."""

STARTS = {"near-product": ("near-product start", 0), "adam": ("after 20 steps of Adam", 20)}
"""Where the gradient is estimated: in words, and how many steps lead there."""

TRAINED: Mapping[str, dict[str, Any]] = {
    "score-function": {"estimator": "score-function"},
    "score-function-no-baseline": {
        "estimator": "score-function", "estimator_options": {"baseline": "none"},
    },
    "natural-gradient": {
        "estimator": "natural-gradient", "estimator_options": {"damping": 0.01}, "optimizer": "SGD",
    },
    "parameter-shift": {"estimator": "parameter-shift"},
    "stochastic-shift": {
        "estimator": "stochastic-parameter-shift", "estimator_options": {"angles": 8},
    },
    "spsa": {"estimator": "spsa"},
    "spsa-16": {"estimator": "spsa", "estimator_options": {"directions": 16}},
}  # fmt: skip
"""Trainings of the circuit, by name."""
CHUNKED_TRAINED = ("score-function", "local-expectation", "block-expectation", "spsa")
"""Trainings of the chunks, by the estimator's name."""

Results = Mapping[str, Any]


def errors_of(results: Results) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name before all numbers of a part on errors, and what was found there."""
    for start in STARTS:
        yield start, results[f"error-{start}"]
    for start in STARTS:
        yield f"chunked-{start}", results[f"chunked-{start}"]


def shown(found: Mapping[str, Any], name: str) -> Mapping[str, float]:
    """The error of an estimator at the budget of the tables."""
    return next(point for point in found["errors"][name] if point["budget"] == SHOWN)


def regret(found: Mapping[str, Any]) -> float:
    """Median distance of the best loss ever drawn from the certified minimum."""
    return float(np.median(found["best_loss"]) - found["minimum"])
