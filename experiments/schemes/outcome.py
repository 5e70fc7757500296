"""Who searches for what, with which settings, and what tables and pictures show of a seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.targets.target import SAME_LOSS

PROBLEMS = {
    "toy": "toy",
    "mnist": "MNIST 0/1 at 2×2",
    "toy-signs": "signs of toy",
    "mnist-signs": "signs of MNIST 0/1 at 2×2",
}

Settings = Mapping[str, Any]
GRIDS: Mapping[str, Sequence[Settings]] = {
    "naive-perturbation": [{}, *({"p": p} for p in (0.02, 0.04, 0.1, 0.15, 0.25))],
    "elite-evolution": [
        {}, {"networks": 1}, {"networks": 4}, {"networks": 1, "children": 16},
        {"networks": 1, "p": 0.04}, {"networks": 1, "p": 0.1},
    ],
    "counting-errors": [
        {"children": 16, "p": p, "p_all": p_all}
        for p in (0.03, 0.1, 0.3) for p_all in (0.03, 0.07)
    ],
    "annealing": [
        {}, *({"t_start": high, "t_end": low} for high, low in
              ((1.43, 0.00196), (0.3, 0.005), (0.3, 0.001), (0.1, 0.002), (0.1, 0.0006))),
    ],
}  # fmt: skip
"""What each search tries, six settings each; {} are its own. Of annealing the second is what
main-comparison found."""
WRONG, ALL = "counting-errors, wrong weights alone", "counting-errors, all weights alone"
HALVES: Mapping[str, Settings] = {WRONG: {"p_all": 0.0}, ALL: {"p": 0.0}}
"""Counting errors with the settings that it found, but for one: without the flips of all weights,
and without the counting."""

Result = Mapping[str, Any]


def entries(problem: str) -> list[str]:
    """Who searches on a problem: counting errors needs networks that see signs."""
    counting = ("counting-errors", WRONG, ALL) if problem.endswith("-signs") else ()
    return ["naive-perturbation", "elite-evolution", *counting, "annealing", "random"]


def regret(found: Result, which: str, minimum: float) -> npt.NDArray[np.float64]:
    """The loss above the certified minimum in units of it, float64 [seed]; `best` or `final`."""
    return np.asarray(found[which]) / minimum - 1


def hits(found: Result, minimum: float) -> int:
    """Seeds that met a network with the certified minimum."""
    return int((np.asarray(found["best"]) <= minimum + SAME_LOSS).sum())


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by name, for `verify`."""
    found = {}
    for problem in PROBLEMS:
        minimum = results[problem]["minimum"]
        found[f"{problem}-minimum"] = minimum
        for name, one in results[problem]["entries"].items():
            short = name.split(", ")[-1].replace(" ", "-")
            found[f"{short}-{problem}-hits"] = float(hits(one, minimum))
    return found
