"""What a few seeds can tell: intervals for shares and medians, and paired tests.

SciPy's statistics are imported where they are used: they take longer to load than to run.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError
from qhyper.targets.target import SAME_LOSS

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Share:
    """A share of the seeds with its interval, each in 0 to 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Median:
    """A median over the seeds with its interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class CensoredMedian:
    """A median over the seeds with its interval, each None where it lies past the budget."""

    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PairedTest:
    """A quantum and a classical generator by name, and what Wilcoxon's test says of them."""

    quantum: str
    classical: str
    median_difference: float
    """quantum minus classical"""
    p: float
    p_holm: float
    """after Holm's correction over all pairs"""


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> Share:
    """The share `hits` / `n` with Wilson's score interval (1927).

    Raises ConfigurationError unless 0 <= hits <= n, n >= 1 and 0 < confidence < 1.
    """
    from scipy.special import ndtri

    if n < 1 or not 0 <= hits <= n:
        raise ConfigurationError(f"A share needs 0 <= hits <= n and n >= 1; got {hits} of {n}.")
    if not 0 < confidence < 1:
        raise ConfigurationError(f"confidence must lie between 0 and 1; got {confidence}.")
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    share = hits / n
    centre = share + z2 / (2 * n)
    half = (z2 * (share * (1 - share) / n + z2 / (4 * n * n))) ** 0.5
    low = (centre - half) / (1 + z2 / n)
    high = (centre + half) / (1 + z2 / n)
    # At the ends the interval closes exactly; rounding would leave it a hair inside or outside.
    return Share(share, 0.0 if hits == 0 else low, 1.0 if hits == n else high)


def median_interval(values: npt.ArrayLike, *, seed: int = 0) -> Median:
    """The median of values [n] with a 95 % bootstrap interval.

    BCa (Efron 1987) with 10,000 resamples drawn from `seed`; the plain percentile bootstrap where
    BCa is not defined (too many equal values). The interval is the value itself where all values
    agree. Raises ConfigurationError if there are no values or one is not finite.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all():
        raise ConfigurationError(f"A median needs one or more finite values [n]; got {values}.")
    median = float(np.median(sample))
    if (sample == sample[0]).all():
        return Median(median, median, median)
    low, high = _bootstrap(sample, "BCa", seed)
    if np.isnan(low) or np.isnan(high):
        low, high = _bootstrap(sample, "percentile", seed)
    # Interpolated bounds may lie a rounding error past the values that they are made of.
    low, high = max(low, float(sample.min())), min(high, float(sample.max()))
    return Median(median, min(low, median), max(high, median))


def _bootstrap(sample: npt.NDArray[np.float64], method: str, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap

    with warnings.catch_warnings():
        # BCa divides by the spread of the leave-one-out medians, which can be zero; NaN says so.
        warnings.simplefilter("ignore")
        interval = bootstrap(
            (sample,),
            np.median,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(interval.low), float(interval.high)


def censored_median(
    values: Sequence[float | None], budget: float, *, seed: int = 0
) -> CensoredMedian:
    """The median of evaluations to hit [n], where None (or more than `budget`) is "not yet".

    Median and bounds are each None where they lie past the budget; so the median is None where
    half the seeds or more never hit. As `median_interval` where all hit; otherwise a percentile
    bootstrap by rank, because censored values have an order and no size. Raises ConfigurationError
    if there are no values or one is NaN.
    """
    sample = np.array([np.inf if v is None or v > budget else v for v in values], dtype=np.float64)
    if not sample.size or np.isnan(sample).any():
        raise ConfigurationError(f"A median needs one or more values or None; got {values}.")
    if np.isfinite(sample).all():
        return CensoredMedian(**vars(median_interval(sample, seed=seed)))
    resamples = np.random.default_rng(seed).choice(sample, size=(RESAMPLES, sample.size))
    medians = np.sort(np.median(resamples, axis=1))
    # Order statistics as they are: interpolating between two infinite ones would give NaN.
    tail = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    interval = np.median(sample), medians[tail], medians[-1 - tail]
    return CensoredMedian(*(float(value) if np.isfinite(value) else None for value in interval))


def paired_tests(
    losses: Mapping[str, npt.ArrayLike], quantum: Sequence[str], classical: Sequence[str]
) -> list[PairedTest]:
    """Wilcoxon's signed-rank test (two-sided) of every quantum against every classical generator.

    `losses` holds values [seeds], the same seeds for every name. Differences within 1e-9 count as
    none, and p is 1 where all are; Holm's correction (1979) is over all the pairs. Empty for fewer
    than two seeds. Raises ConfigurationError if the numbers of seeds differ.
    """
    from scipy.stats import wilcoxon

    values = {name: np.asarray(losses[name], dtype=np.float64) for name in (*quantum, *classical)}
    if len({len(v) for v in values.values()}) > 1:
        seeds = {name: len(v) for name, v in values.items()}
        raise ConfigurationError(f"Paired tests need the same seeds for all; got {seeds}.")
    if any(len(v) < 2 for v in values.values()):
        return []
    pairs, differences, p = [], [], []
    for name in quantum:
        for other in classical:
            difference = values[name] - values[other]
            difference[np.abs(difference) <= SAME_LOSS] = 0.0
            result: Any = wilcoxon(difference) if difference.any() else None
            pairs.append((name, other))
            differences.append(float(np.median(difference)))
            p.append(1.0 if result is None else float(result.pvalue))
    return [
        PairedTest(*pair, *numbers)
        for pair, *numbers in zip(pairs, differences, p, holm(p), strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down: the k-th smallest of m times m - k + 1, never falling, at most 1."""
    adjusted = [0.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted
