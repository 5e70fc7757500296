"""Analysis of variance of a two-way table with one value in each cell, effects random.

y[i, j] = μ + a_i + b_j + e_ij with independent normal a, b and e. The remainder e is what rows
and columns do to each other and everything else: without repetition these are one. Sums of squares,
their expectations and the estimators of the components by moments are textbook (Searle, Casella and
McCulloch 1992, "Variance Components").
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from qhyper.errors import ConfigurationError

CONFIDENCE = 0.95
DRAWS = 100_000
"""Of the generalised pivotal quantities."""
PERMUTATIONS = 9_999


@dataclass(frozen=True)
class Component:
    """A source of variance."""

    variance: float
    """its estimate, 0 where that of the moments is negative"""
    share: float
    """of the sum of all estimates"""
    low: float
    high: float
    """95 % interval of the share (Weerahandi 1993)"""


@dataclass(frozen=True)
class Effect(Component):
    """Rows or columns, which can be tested against the remainder."""

    f: float
    """mean square over that of the remainder"""
    p: float
    """of F's distribution, which is exact for normal effects"""
    p_permutation: float
    """the same without it: values change places within each level of the other"""
    against_low: float
    against_high: float
    """95 % interval of variance / (variance + the remainder's), exact for normal effects"""


@dataclass(frozen=True)
class TwoWay:
    """Components of a table, and their sum: the variance of one value of a new row and column."""

    rows: Effect
    columns: Effect
    remainder: Component

    @property
    def total(self) -> float:
        """The sum of the components."""
        return self.rows.variance + self.columns.variance + self.remainder.variance


def sums_of_squares(table: npt.NDArray[np.float64]) -> dict[str, float]:
    """Of rows, columns and remainder of a table [..., row, column]; float64 [...]."""
    rows, columns = table.shape[-2:]
    centred = table - table.mean((-2, -1), keepdims=True)
    of_rows = columns * (centred.mean(-1) ** 2).sum(-1)
    of_columns = rows * (centred.mean(-2) ** 2).sum(-1)
    rest = centred - centred.mean(-1, keepdims=True) - centred.mean(-2, keepdims=True)
    return {"rows": of_rows, "columns": of_columns, "remainder": (rest**2).sum((-2, -1))}


def two_way(table: npt.ArrayLike, *, seed: int = 0) -> TwoWay:
    """The analysis of variance of `table` [row, column].

    Intervals of shares are generalised confidence intervals (Weerahandi 1993, J. Am. Stat. Assoc.
    88, 899): a sum of squares over its expectation is a χ², so with a drawn χ² in its place the
    expectation is what the sum over the χ² is; components follow, no less than 0, and quantiles of
    their shares over the draws, from `seed`, are the bounds. For a component over itself and the
    remainder the interval is exact for normal effects, from the distribution of F (Searle et al.
    1992).

    Raises ConfigurationError unless there are two rows and two columns of finite values at least,
    which differ.
    """
    y = _checked(table)
    squares, means = sums_of_squares(y), _mean_squares(y)
    variances = _components(means, y.shape)
    shares = _shares(variances)
    bounds = _share_bounds(squares, y.shape, np.random.default_rng(seed))
    parts = {
        name: {"variance": float(variances[name]), "share": float(shares[name]),
               "low": float(bounds[name][0]), "high": float(bounds[name][1])}
        for name in squares
    }  # fmt: skip
    return TwoWay(
        rows=Effect(**parts["rows"], **_tested("rows", y, means, seed)),
        columns=Effect(**parts["columns"], **_tested("columns", y, means, seed)),
        remainder=Component(**parts["remainder"]),
    )


def without_one_row(table: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The share of rows, each of them left out in turn: float64 [row].

    Takes no distribution for granted, and shows what hangs on a single row. Raises
    ConfigurationError as `two_way` does, and unless there are three rows.
    """
    y = _checked(table)
    fewer = [_checked(np.delete(y, row, axis=0)) for row in range(len(y))]
    shares = [_shares(_components(_mean_squares(one), one.shape))["rows"] for one in fewer]
    return np.array(shares)


def _checked(table: npt.ArrayLike) -> npt.NDArray[np.float64]:
    y = np.asarray(table, dtype=np.float64)
    if y.ndim != 2 or min(y.shape) < 2 or not np.isfinite(y).all():
        raise ConfigurationError(
            f"Got a table of shape {y.shape}; expected finite values [row, column], two or more of "
            "each."
        )
    if np.ptp(y) == 0:
        raise ConfigurationError(
            f"All values of the table are {y[0, 0]:g}: no variance to analyse. Leave it out."
        )
    return y


def _mean_squares(y: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    squares, freedom = sums_of_squares(y), _freedom(y.shape)
    return {name: squares[name] / freedom[name] for name in squares}


def _freedom(shape: tuple[int, ...]) -> dict[str, int]:
    rows, columns = shape
    return {"rows": rows - 1, "columns": columns - 1, "remainder": (rows - 1) * (columns - 1)}


def _components(
    means: Mapping[str, npt.ArrayLike], shape: tuple[int, ...]
) -> dict[str, npt.NDArray[np.float64]]:
    """Components from (estimates of) the expected mean squares, negative ones as 0.

    These are σe² + columns·σa² for rows, σe² + rows·σb² for columns, and σe².
    """
    rows, columns = shape
    rest = np.asarray(means["remainder"])
    return {
        "rows": np.maximum(0, (means["rows"] - rest) / columns),
        "columns": np.maximum(0, (means["columns"] - rest) / rows),
        "remainder": rest,
    }


def _shares(variances: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray[np.float64]]:
    total = sum(variances.values())
    return {name: variance / total for name, variance in variances.items()}


def _share_bounds(
    squares: Mapping[str, float], shape: tuple[int, ...], rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float64]]:
    drawn = {
        name: squares[name] / rng.chisquare(freedom, DRAWS)
        for name, freedom in _freedom(shape).items()
    }
    tail = (1 - CONFIDENCE) / 2
    shares = _shares(_components(drawn, shape))
    return {name: np.quantile(share, [tail, 1 - tail]) for name, share in shares.items()}


def _tested(
    name: str, table: npt.NDArray[np.float64], means: Mapping[str, float], seed: int
) -> dict[str, float]:
    """What an Effect has beside its component."""
    axis = 0 if name == "rows" else 1
    each = table.shape[1 - axis]
    freedom = _freedom(table.shape)
    against = freedom[name], freedom["remainder"]
    rest = means["remainder"]
    f = means[name] / rest if rest else np.inf
    tail = (1 - CONFIDENCE) / 2
    ratios = [max(0.0, (f / stats.f.ppf(level, *against) - 1) / each) for level in (1 - tail, tail)]
    low, high = (ratio / (1 + ratio) if np.isfinite(ratio) else 1.0 for ratio in ratios)
    return {
        "f": float(f),
        "p": float(stats.f.sf(f, *against)),
        "p_permutation": _permuted(name, axis, table, np.random.default_rng(seed)),
        "against_low": float(low),
        "against_high": float(high),
    }


def _permuted(
    name: str, axis: int, table: npt.NDArray[np.float64], rng: np.random.Generator
) -> float:
    """How often the effect is as large when values change places along its axis."""
    drawn = rng.permuted(np.broadcast_to(table, (PERMUTATIONS, *table.shape)), axis=axis + 1)
    found, chance = sums_of_squares(table)[name], sums_of_squares(drawn)[name]
    return float((1 + (chance >= found * (1 - 1e-9)).sum()) / (1 + PERMUTATIONS))
