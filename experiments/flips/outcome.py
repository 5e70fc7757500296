"""What of the parts tables and pictures show: replicas by rate and seed, rates chosen apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.report.statistics import PairedTest, paired_tests
from qhyper.targets.target import SAME_LOSS

DATA = {"toy": "toy", "mnist": "MNIST 0/1 at 2×2"}
RATES = {"adam": (0.0006, 0.0025, 0.01, 0.04, 0.16), "sgd": (0.0015, 0.006, 0.025, 0.1, 0.4)}
"""Of Adam the second, and of SGD the fourth, are those of Fontana (2022), section 5.3."""
PRINTED = {"adam": 1, "sgd": 3}
OPTIMISERS = {"adam": "Adam", "sgd": "SGD with momentum"}
LIMITS = {"clip": "clip at ±1", "recu": "ReCU", "quantiles": "own quantiles"}
SCHEDULES = {"constant": "constant", "cosine": "cosine"}
METHODS = [f"{o}-{limit}-{s}" for o in OPTIMISERS for limit in LIMITS for s in SCHEDULES]
FIRST_TUNING_SEED = 1000
LOSSES = ("end", "course", "best")
"""What a training is judged by: the loss at the end, that after its tenths in the mean, which is
the lower the quicker it falls, and that of the best network met."""

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

    def chosen(self, by: str = "end") -> int:
        """Number of the rate with the lowest mean on the tuning seeds of one of `LOSSES`.

        Of the rate that he prints for `printed`.
        """
        if by == "printed":
            return PRINTED[self.optimiser]
        return int(self._losses(by)[:, self._tuning].mean(axis=1).argmin())

    def of(self, key: str, rate: int | None = None) -> Numbers:
        """A count of one rate, that of the lowest end unless told: [seed, ...]."""
        return self._all(key)[self.chosen() if rate is None else rate, ~self._tuning]

    def loss(self, which: str, rate: int | None = None) -> Numbers:
        """One of `LOSSES`, [seed]."""
        return self._losses(which)[self.chosen() if rate is None else rate, ~self._tuning]

    def regret(self, which: str, rate: int | None = None) -> Numbers:
        """Such a loss above the certified minimum in units of it, [seed]."""
        return self.loss(which, rate) / self.minimum - 1

    def per_step(self, rate: int | None = None) -> Numbers:
        """Flips a step in every phase, in the mean over the seeds, [phase]."""
        flips = self.of("flips", rate).mean(axis=0)
        return flips / (self.steps / flips.shape[-1])

    def course(self, rate: int | None = None) -> Numbers:
        """Regret after every phase, in the mean over the seeds, [phase]."""
        return self.of("course", rate).mean(axis=0) / self.minimum - 1

    def _losses(self, which: str) -> Numbers:
        """[rate, seed]"""
        return self._all(which).mean(axis=-1) if which == "course" else self._all(which)

    def _all(self, key: str) -> Numbers:
        """[rate, seed, ...], tuning seeds among them."""
        values = np.asarray(self._found[key], np.float64)
        return values.reshape(len(self.rates), len(self._seeds), *values.shape[1:])


def part(results: Results, data: str, method: str) -> Part:
    """A part by its data set and method."""
    return Part(results[f"{data}-{method}"], method, results[f"{data}-certificate"])


def hits(one: Part, rate: int | None = None) -> int:
    """Seeds that met a network with the certified minimum."""
    return int((one.loss("best", rate) <= one.minimum + SAME_LOSS).sum())


def ratio(one: Part, above: str, below: str, rate: int | None = None) -> float:
    """A sum over the seeds in units of another; NaN of nothing."""
    total = one.of(below, rate).sum()
    return float(one.of(above, rate).sum() / total) if total else float("nan")


CLAIMS = [("adam", "sgd"), ("recu", "clip"), ("quantiles", "clip"), ("cosine", "constant")]
"""What is held against what, the other choices averaged over."""


def claims(results: Results, data: str, which: str, by: str = "end") -> list[PairedTest]:
    """Paired tests over the seeds of every claim by one of `LOSSES`; `by` as in `Part.chosen`."""
    losses = {
        level: np.mean([one.loss(which, one.chosen(by)) for one in having(results, data, level)], 0)
        for pair in CLAIMS
        for level in pair
    }
    return paired_tests(losses, CLAIMS)


def having(results: Results, data: str, level: str) -> list[Part]:
    """The parts of a data set with that optimiser, limit or schedule."""
    return [part(results, data, method) for method in METHODS if level in method.split("-")]


def measured(results: Results) -> dict[str, float]:
    """Numbers by name, for `verify`."""
    found = {}
    for data in DATA:
        parts = {method: part(results, data, method) for method in METHODS}
        found[f"{data}-minimum"] = parts[METHODS[0]].minimum
        for method, one in parts.items():
            found[f"{data}-{method}-flips"] = float(one.per_step().mean())
            found[f"{data}-{method}-way"] = float(one.of("moved").mean())
            found[f"{data}-{method}-lower"] = ratio(one, "lower", "asked")
            found[f"{data}-{method}-chance"] = ratio(one, "chance", "asked")
            found[f"{data}-{method}-end-regret"] = float(np.median(one.regret("end")))
            found[f"{data}-{method}-best-regret"] = float(np.median(one.regret("best")))
        for which in LOSSES:  # medians, each at the rates that are best for it
            for test in claims(results, data, which, which):
                found[f"{data}-{test.one}-{test.other}-{which}"] = test.median_difference
    return found
