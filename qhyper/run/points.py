"""Points of a sweep: any keys of a configuration over lists or ranges, as a grid or drawn."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qhyper.errors import ConfigurationError, unknown
from qhyper.run.config import put

METHODS = ("grid", "random", "sobol")
MOST_POINTS = 100_000
RANGE = {"low", "high", "log", "n"}

Point = Mapping[str, Any]
"""A value for each key."""


@dataclass(frozen=True)
class Axis:
    """What one key of a configuration goes over: a list of values, or the numbers of a range."""

    key: str
    """such as evaluations, or entries.quantum-depth2.training.learning_rate"""
    values: tuple[Any, ...] = ()
    """of a list"""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    """whether a range is one of whole numbers"""
    n: int | None = None
    """points of a range in a grid"""

    @property
    def size(self) -> int:
        """How many values it has in a grid, before any repeats.

        Raises ConfigurationError for a range that does not say so.
        """
        if self.values:
            return len(self.values)
        if self.n is not None:
            return self.n
        if not self.whole:
            raise ConfigurationError(
                f"Got the range {self.low:g} to {self.high:g} for {self.key} in a grid; expected "
                "how many points of it: n = 5, or a list of values."
            )
        return int(self.high) - int(self.low) + 1

    def grid(self) -> list[Any]:
        """Its values in a grid."""
        if self.values:
            return list(self.values)
        if self.n is None:
            return list(range(int(self.low), int(self.low) + self.size))
        return list(dict.fromkeys(self.at(share) for share in np.linspace(0, 1, self.n)))

    def at(self, share: float) -> Any:
        """The value at a share of the whole axis, from 0 to 1."""
        if self.values:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        low, high = self.low, self.high
        if self.whole and not self.log and self.n is None:  # each as often as any other
            return int(low) + min(int(share * (high - low + 1)), int(high - low))
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        return round(value) if self.whole else min(max(float(f"{value:.6g}"), low), high)


@dataclass(frozen=True)
class Points:
    """All axes of a sweep, and how points are taken of them."""

    axes: Sequence[Axis]
    method: str = "grid"
    n: int | None = None
    """points that are drawn"""
    seed: int = 0
    """of the points that are drawn; more of them begin with the same"""

    @property
    def size(self) -> int:
        """How many points there are; of a grid, before any repeats."""
        if self.method != "grid":
            assert self.n is not None
            return self.n
        return math.prod(axis.size for axis in self.axes)

    def __iter__(self) -> Iterator[Point]:
        """Every point."""
        if self.method == "grid":
            for values in itertools.product(*(axis.grid() for axis in self.axes)):
                yield dict(zip((axis.key for axis in self.axes), values, strict=True))
            return
        for shares in self._drawn():
            yield {axis.key: axis.at(x) for axis, x in zip(self.axes, shares, strict=True)}

    def _drawn(self) -> np.ndarray:
        """Places [point, axis] in the unit cube."""
        assert self.n is not None
        if self.method == "random":
            return np.random.default_rng(self.seed).random((self.n, len(self.axes)))
        from scipy.stats.qmc import Sobol

        # a whole power of two, as its balance asks for; the first of them
        exponent = max(self.n - 1, 0).bit_length()
        return Sobol(len(self.axes), rng=self.seed).random_base2(exponent)[: self.n]


def read_points(table: Any) -> Points:
    """The points that the table `sweep` of a configuration file says.

    Raises ConfigurationError for what is none, and for more than 100,000 points.
    """
    if not isinstance(table, Mapping) or not table:
        raise ConfigurationError(
            f"Got sweep = {table!r}; expected a table [sweep.over] with a list or a range for "
            'each key, such as evaluations = [1000, 10000], or "entries.*.training.learning_rate" '
            "= { low = 0.01, high = 0.3, log = true, n = 5 }."
        )
    for key in table:
        if key not in ("method", "points", "seed", "over"):
            raise unknown("key of [sweep]", key, ("method", "points", "seed", "over"))
    over, method = table.get("over"), table.get("method", "grid")
    n, seed = table.get("points"), table.get("seed", 0)
    if method not in METHODS:
        raise unknown("method of a sweep", str(method), METHODS)
    if not isinstance(over, Mapping) or not over:
        raise ConfigurationError(
            f"Got over = {over!r} in [sweep]; expected a table of keys, each with a list or a "
            "range."
        )
    if method == "grid" and n is not None:
        raise ConfigurationError(
            f"Got points = {n!r} in [sweep]; a grid has as many as its axes make. Choose method = "
            '"random" or "sobol", or leave it out.'
        )
    if method != "grid" and not _is_whole(n, 1):
        raise ConfigurationError(
            f"Got points = {n!r} in [sweep]; expected how many points the method {method} draws, 1 "
            "or more."
        )
    if method == "grid" and "seed" in table:
        raise ConfigurationError(
            f"Got seed = {seed!r} in [sweep]; of a grid nothing is drawn. Leave it out."
        )
    if not _is_whole(seed, 0):
        raise ConfigurationError(f"Got seed = {seed!r} in [sweep]; expected a number from 0 up.")
    axes = [_axis(key, value) for key, value in flat(over)]
    for axis in axes:
        if method != "grid" and axis.n is not None:
            raise ConfigurationError(
                f"Got n = {axis.n} for {axis.key} in [sweep.over]; {method} draws points of the "
                "whole range. Leave it out."
            )
    found = Points(axes, method, n, seed)
    if found.size > MOST_POINTS:
        raise ConfigurationError(
            f"The sweep has {found.size:,} points; at most {MOST_POINTS:,} are carried out. Draw "
            'some of them with method = "sobol" and points = 1000, or give shorter lists.'
        )
    return found


def configured(base: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """A copy of a configuration's values with those of a point.

    Raises ConfigurationError for a key that leads nowhere.
    """
    values = _copy(base)
    for key, value in point.items():
        put(values, key, _copy(value))
    return values


def _axis(key: str, given: Any) -> Axis:
    if isinstance(given, list):
        if not given:
            raise ConfigurationError(f"Got an empty list for {key} in [sweep.over].")
        return Axis(key, tuple(given))
    if not isinstance(given, Mapping) or not {"low", "high"} <= set(given) <= RANGE:
        raise ConfigurationError(
            f"Got {key} = {given!r} in [sweep.over]; expected a list, or a range such as "
            "{ low = 0.01, high = 0.3, log = true, n = 5 }."
        )
    low, high, log, n = given["low"], given["high"], given.get("log", False), given.get("n")
    numbers = all(type(x) in (int, float) and math.isfinite(x) for x in (low, high))
    if not numbers or not low < high or (log and low <= 0) or type(log) is not bool:
        raise ConfigurationError(
            f"Got {key} = {given!r} in [sweep.over]; expected finite numbers low < high"
            f"{', above 0 where log = true' * bool(log)}."
        )
    if n is not None and not _is_whole(n, 2):
        raise ConfigurationError(f"Got n = {n!r} for {key} in [sweep.over]; expected 2 or more.")
    whole = type(low) is int and type(high) is int
    return Axis(key, (), float(low), float(high), log, whole, n)


def flat(over: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with their dots, however TOML has nested them."""
    for key, value in over.items():
        if isinstance(value, Mapping) and value and not _is_range(value):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _is_range(table: Mapping[str, Any]) -> bool:
    """Whether it is to be one: an option may be called n, and then has a list or a table."""
    given = [table[name] for name in RANGE & set(table)]
    return bool(given) and not any(isinstance(value, list | Mapping) for value in given)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list | tuple) else value


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least
