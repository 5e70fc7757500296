"""What the parts are, and what tables and pictures show of them."""

from collections.abc import Mapping
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
CONTROLS = ("naive-perturbation", "elite-evolution", "annealing")
GENERATORS = ("autoregressive", "quantum-depth2")
COUNTING = "counting-errors"

Result = Mapping[str, Any]


def entries(problem: str) -> list[str]:
    """Who searches on a problem: counting errors on signs, generators on the data as they are."""
    signed = problem.endswith("-signs")
    return [*([COUNTING] if signed else []), *CONTROLS, "random",
            *([] if signed else GENERATORS)]  # fmt: skip


def regret(found: Result, which: str) -> npt.NDArray[np.float64]:
    """The loss above the certified minimum in units of it, float64 [seed]; `best` or `final`."""
    return np.asarray(found[which]) / found["minimum"] - 1


def hits(found: Result) -> int:
    """Seeds that met a network with the certified minimum."""
    return int((np.asarray(found["best"]) <= found["minimum"] + SAME_LOSS).sum())
