"""What a sweep found: every entry at every point, ranked, and how much each setting matters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qhyper.report.statistics import Median, median_interval

BINS = 5
"""Groups that the many values of a drawn range are put into."""


@dataclass(frozen=True, kw_only=True)
class PointSummary:
    """One entry at one point, over all seeds."""

    point: Mapping[str, Any]
    """the value of each key that the sweep goes over; None where it is no setting of the entry"""
    path: str
    """folder of the point, in the sweep's"""
    problem: str
    """data, network and loss: losses of different ones do not compare"""
    entry: str
    kind: str
    seeds: int
    final_loss: Median
    best_loss: Median | None
    """None where nothing was drawn"""
    hits: int | None
    """seeds that drew the certified minimum; None without a certificate"""


@dataclass(frozen=True)
class Effect:
    """How much of the spread of an entry's final loss over the points one setting explains."""

    entry: str
    key: str
    share: float
    """from 0, none, to 1, all"""


def summarise_points(rows: Sequence[Mapping[str, Any]]) -> list[PointSummary]:
    """One summary a point and entry, the lowest final loss first within each problem.

    `rows` are tidy, one a seed and entry, each with its `point`, `path` and `problem` beside.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((repr(row["point"]), row["entry"]), []).append(row)
    found = [_point(group) for group in groups.values()]
    return sorted(found, key=lambda each: (each.problem, each.final_loss.median))


def _point(rows: Sequence[Mapping[str, Any]]) -> PointSummary:
    first = rows[0]
    best = [row["best_loss"] for row in rows]
    hits = [row["hit"] for row in rows]
    return PointSummary(
        point=first["point"],
        path=first["path"],
        problem=first["problem"],
        entry=first["entry"],
        kind=first["kind"],
        seeds=len(rows),
        final_loss=median_interval([row["final_loss"] for row in rows]),
        best_loss=None if None in best else median_interval(best),
        hits=None if None in hits else sum(hits),
    )


def effects(summaries: Sequence[PointSummary]) -> list[Effect]:
    """Every setting that takes two values or more, of every entry, the largest effect first.

    The share is epsilon squared, what a one-way analysis of variance explains beyond what chance
    would (Kelley, 1935, "An unbiased correlation ratio measure"). Numbers of which hardly any two
    are equal, as of a drawn range, are cut into groups of neighbours. There is none without a
    spread, or with no point more than there are groups.
    """
    found = []
    for problem, entry in dict.fromkeys((each.problem, each.entry) for each in summaries):
        own = [each for each in summaries if (each.problem, each.entry) == (problem, entry)]
        losses = np.array([each.final_loss.median for each in own])
        for key in dict.fromkeys(key for each in own for key in each.point):
            values = [each.point[key] for each in own]
            share = None if None in values else _epsilon_squared(losses, _groups(values))
            if share is not None:
                found.append(Effect(entry, key, share))
    return sorted(found, key=lambda effect: -effect.share)


def _groups(values: Sequence[Any]) -> np.ndarray:
    """The group of each value: equal values, or neighbours where hardly any two are equal."""
    distinct = sorted({repr(value): value for value in values}.values(), key=_order)
    places = {repr(value): place for place, value in enumerate(distinct)}
    at = np.array([places[repr(value)] for value in values])
    if 2 * len(distinct) <= len(values) or not all(map(is_number, values)):
        return at
    n = max(2, min(BINS, len(values) // 4))
    return at * n // len(distinct)


def _order(value: Any) -> tuple[int, Any]:
    return (0, value) if is_number(value) else (1, repr(value))


def is_number(value: Any) -> bool:
    """Whether a value of a setting is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Keys as tables and figures have room for: their last part, where no other has the same."""
    keys = list(keys)
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: part if last.count(part) == 1 else key for key, part in zip(keys, last, strict=True)
    }


def _epsilon_squared(losses: np.ndarray, groups: np.ndarray) -> float | None:
    n, k = len(losses), len(np.unique(groups))
    total = ((losses - losses.mean()) ** 2).sum()
    if k < 2 or n <= k or total == 0:
        return None
    within = sum(
        ((part - part.mean()) ** 2).sum() for part in (losses[groups == g] for g in set(groups))
    )
    return max(0.0, float(1 - within / total * (n - 1) / (n - k)))
