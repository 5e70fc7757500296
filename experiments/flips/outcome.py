"""What of the parts tables and pictures show: replicas by rate and seed, rates chosen apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.report.statistics import PairedTest, paired_tests

DATA = {"toy": "toy", "mnist": "MNIST 0/1 at 2×2"}
RATES = {"adam": (0.0006, 0.0025, 0.01, 0.04, 0.16), "sgd": (0.0015, 0.006, 0.025, 0.1, 0.4)}
"""Of Adam the second, and of SGD the fourth, are those of Fontana (2022), section 5.3."""
PRINTED = {"adam": 1, "sgd": 3}
OPTIMISERS = {"adam": "Adam", "sgd": "SGD with momentum"}
LIMITS = {"clip": "clip at ±1", "recu": "ReCU", "quantiles": "own quantiles"}
SCHEDULES = {"constant": "constant", "cosine": "cosine"}
METHODS = [f"{o}-{limit}-{s}" for o in OPTIMISERS for limit in LIMITS for s in SCHEDULES]
FIRST_TUNING_SEED = 1000

Results = Mapping[str, Any]
Numbers = npt.NDArray[np.float64]


class Part:
    """One method on one data set: everything as [rate, seed], of the seeds that are reported."""

    def __init__(self, found: Mapping[str, Any], name: str, minimum: float) -> None:
        self.optimiser, self.limit, self.schedule = name.split("-")
        self.rates = RATES[self.optimiser]
        self.minimum, self.steps = minimum, found["steps"]
        self._found, self._seeds = found, np.array(found["seeds"])
        self._tuning = self._seeds >= FIRST_TUNING_SEED
        end = self._all("end")[:, self._tuning].mean(axis=1)
        self.chosen = int(end.argmin())
        """number of the rate with the lowest mean loss at the end on the tuning seeds"""

    def __getitem__(self, key: str) -> Numbers:
        """Any count [rate, seed, ...]."""
        return self._all(key)[:, ~self._tuning]

    def of(self, key: str, rate: int | None = None) -> Numbers:
        """Of one rate, the chosen one unless told: [seed, ...]."""
        return self[key][self.chosen if rate is None else rate]

    def regret(self, which: str, rate: int | None = None) -> Numbers:
        """The loss above the certified minimum in units of it, `best` or `end`, [seed]."""
        return self.of(which, rate) / self.minimum - 1

    def per_step(self, rate: int | None = None) -> Numbers:
        """Flips a step in every phase, in the mean over the seeds, [phase]."""
        flips = self.of("flips", rate).mean(axis=0)
        return flips / (self.steps / flips.shape[-1])

    def _all(self, key: str) -> Numbers:
        values = np.asarray(self._found[key], np.float64)
        return values.reshape(len(self.rates), len(self._seeds), *values.shape[1:])


def part(results: Results, data: str, method: str) -> Part:
    """A part by its data set and method."""
    return Part(results[f"{data}-{method}"], method, results[f"{data}-certificate"])


def hits(one: Part, rate: int | None = None) -> int:
    """Seeds that met a network with the certified minimum."""
    return int((one.of("best", rate) <= one.minimum + 1e-9).sum())


def ratio(one: Part, above: str, below: str, rate: int | None = None) -> float:
    """A sum over the seeds in units of another; NaN of nothing."""
    total = one.of(below, rate).sum()
    return float(one.of(above, rate).sum() / total) if total else float("nan")


CLAIMS = [("adam", "sgd"), ("recu", "clip"), ("quantiles", "clip"), ("cosine", "constant")]
"""What is held against what, the other choices averaged over."""


def claims(results: Results, data: str, which: str) -> list[PairedTest]:
    """Paired tests over the seeds of every claim: `best` or `end` loss, at the chosen rates."""
    losses = {
        level: np.mean(
            [part(results, data, m).of(which) for m in METHODS if level in m.split("-")], axis=0
        )
        for pair in CLAIMS
        for level in pair
    }
    return paired_tests(losses, CLAIMS)


def measured(results: Results) -> dict[str, float]:
    """Numbers by name, for `verify`."""
    found = {}
    for data in DATA:
        parts = {method: part(results, data, method) for method in METHODS}
        found[f"{data}-minimum"] = parts[METHODS[0]].minimum
        for method, one in parts.items():
            found[f"{data}-{method}-flips"] = float(one.per_step().mean())
            found[f"{data}-{method}-lower"] = ratio(one, "lower", "asked")
            found[f"{data}-{method}-end-regret"] = float(np.median(one.regret("end")))
            found[f"{data}-{method}-best-regret"] = float(np.median(one.regret("best")))
    return found
