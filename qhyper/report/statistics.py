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

CONFIDENCE = 0.95
RESAMPLES = 10_000
MIN_VALUES = 6
"""Values that an interval of a median needs: all of n values lie on one side of the median with
probability 2^(1 - n), so that from five no interval covers it with 95 %."""
ROUNDING = 1e-11
"""Differences of two losses are equal within this share of the largest loss. Means of some thousand
losses are exact to 1e-13 of it."""


@dataclass(frozen=True)
class Share:
    """A share of the seeds with its interval, each in 0 to 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Median:
    """A median over the seeds with its interval: None, both ends, for fewer than six seeds."""

    median: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CensoredMedian:
    """A median over the seeds with its interval, each None where it lies past the budget.

    Both ends are None for fewer than six seeds, too.
    """

    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PairedTest:
    """Two entries by name, and what Wilcoxon's test says of them."""

    one: str
    other: str
    median_difference: float
    """the first minus the second"""
    rank_correlation: float
    """of signed ranks (Kerby, 2014): from -1, the first lower on every seed, to +1"""
    effect: str
    """how large that is, in words: `effect_size`"""
    p: float
    p_holm: float
    """after Holm's correction over all pairs"""
    quantum: str | None = None
    """which of the two is quantum, where one is and the other is classical; so is the next"""
    classical: str | None = None


EFFECTS = ((0.5, "large"), (0.3, "medium"), (0.1, "small"))
"""From which size on a correlation is called so (Cohen, 1988)."""


def effect_size(correlation: float) -> str:
    """A correlation of signed ranks, -1 to 1, in words: large, medium, small or negligible."""
    return next((word for least, word in EFFECTS if abs(correlation) >= least), "negligible")


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> Share:
    """The share `hits` / `n` with Wilson's score interval (1927).

    It covers the true share with about `confidence`, as a mean over shares: more for some, less for
    others, the least for few values and shares near 0 and 1 (Brown, Cai and DasGupta, 2001).

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
    """The median of values [n] with a 95 % bootstrap interval, from six values on.

    BCa (Efron 1987) with 10,000 resamples drawn from `seed`; the plain percentile bootstrap where
    BCa is not defined (too many equal values). It is approximate: of few values it covers the true
    median with 94 to 95 %, of seven, the worst case, with 87. The interval is the value itself
    where all values agree. Raises ConfigurationError if there are no values or one is not finite.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all():
        raise ConfigurationError(f"A median needs one or more finite values [n]; got {values}.")
    median = float(np.median(sample))
    if sample.size < MIN_VALUES:
        return Median(median, None, None)
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
    bootstrap by rank, because censored values have an order and no size. There are no bounds for
    fewer than six values. Raises ConfigurationError if there are no values or one is NaN.
    """
    sample = np.array([np.inf if v is None or v > budget else v for v in values], dtype=np.float64)
    if not sample.size or np.isnan(sample).any():
        raise ConfigurationError(f"A median needs one or more values or None; got {values}.")
    if np.isfinite(sample).all():
        return CensoredMedian(**vars(median_interval(sample, seed=seed)))
    median = np.median(sample)
    if sample.size < MIN_VALUES:
        return CensoredMedian(float(median) if np.isfinite(median) else None, None, None)
    resamples = np.random.default_rng(seed).choice(sample, size=(RESAMPLES, sample.size))
    medians = np.sort(np.median(resamples, axis=1))
    # Order statistics as they are: interpolating between two infinite ones would give NaN.
    tail = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    interval = median, medians[tail], medians[-1 - tail]
    return CensoredMedian(*(float(value) if np.isfinite(value) else None for value in interval))


def paired_tests(
    losses: Mapping[str, npt.ArrayLike], pairs: Sequence[tuple[str, str]]
) -> list[PairedTest]:
    """Wilcoxon's signed-rank test (two-sided) of every pair of names.

    `losses` holds values [seeds], the same seeds for every name. Differences that are equal but for
    rounding are ties, those that are rounding alone are none (`signed_levels`), and p is 1 where
    all are none; Holm's correction (1979) is over all the pairs. Empty for fewer than two seeds.
    Raises ConfigurationError if the numbers of seeds differ, or a loss is not finite.
    """
    named = dict.fromkeys(name for pair in pairs for name in pair)
    values = {name: np.asarray(losses[name], dtype=np.float64) for name in named}
    if len({len(v) for v in values.values()}) > 1:
        seeds = {name: len(v) for name, v in values.items()}
        raise ConfigurationError(f"Paired tests need the same seeds for all; got {seeds}.")
    for name, of_seeds in values.items():
        if not np.isfinite(of_seeds).all():
            raise ConfigurationError(
                f"Paired tests need finite losses; got {of_seeds.tolist()} for {name}."
            )
    if any(len(v) < 2 for v in values.values()):
        return []
    compared = [_compared(values[one], values[other]) for one, other in pairs]
    corrected = holm([p for *_, p in compared])
    return [
        PairedTest(*pair, median, correlation, effect_size(correlation), p, p_holm)
        for pair, (median, correlation, p), p_holm in zip(pairs, compared, corrected, strict=True)
    ]


def _compared(one: npt.NDArray, other: npt.NDArray) -> tuple[float, float, float]:
    """The median of the differences, the correlation of their signed ranks, and Wilcoxon's p."""
    from scipy.stats import rankdata, wilcoxon

    levels = signed_levels(one, other)
    median = float(np.median(np.where(levels == 0, 0.0, one - other)))
    found = levels[levels != 0]
    if not found.size:
        return median, 0.0, 1.0
    ranks = rankdata(np.abs(found))
    correlation = float((np.sign(found) * ranks).sum() / ranks.sum())
    result: Any = wilcoxon(levels)
    return median, correlation, float(result.pvalue)


def signed_levels(one: npt.NDArray, other: npt.NDArray) -> npt.NDArray[np.int64]:
    """The differences one - other [n] as whole numbers of the same signs and order, int64 [n].

    Sizes that follow one another within 1e-11 of the largest loss are one level; the one of 0 is
    0. So it makes no difference in which unit losses are, or which constant is added to all.
    """
    differences = one - other
    sizes = np.abs(differences)
    order = np.argsort(sizes, kind="stable")
    tolerance = ROUNDING * max(np.abs(one).max(), np.abs(other).max())
    levels = np.empty(len(sizes), dtype=np.int64)
    levels[order] = np.cumsum(np.diff(sizes[order], prepend=0.0) > tolerance)
    return levels * np.sign(differences).astype(np.int64)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down: the k-th smallest of m times m - k + 1, never falling, at most 1."""
    adjusted = [0.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted
