"""What a sweep found: every entry at every point, and what of it compares and can be ranked."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from qhyper.report.statistics import Median, median_interval
from qhyper.spending import Spending

BUDGETS = tuple(unit.name for unit in fields(Spending))
"""Settings that limit what a seed may spend."""


@dataclass(frozen=True, kw_only=True)
class PointSummary:
    """One entry at one point, over all seeds."""

    point: Mapping[str, Any]
    """the value of each key that the sweep goes over; None where it is no setting of the entry"""
    path: str
    """folder of the point, in the sweep's"""
    runs: Sequence[str]
    """folders of its runs, in the sweep's: each has other seeds"""
    problem: str
    """data, network and loss: losses of different ones do not compare"""
    entry: str
    kind: str
    losses: Mapping[int, float]
    """final loss of each seed"""
    final_loss: Median
    best_loss: float | None
    """in the median; None where nothing was drawn"""
    hits: int | None
    """seeds that drew the certified minimum; None without a certificate"""
    budget: Mapping[str, int] = field(default_factory=dict)
    """the limits that the sweep goes over, by name; empty where all points have the same"""
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Ranking:
    """Points of one problem, the lowest final loss first; those without all seeds last."""

    problem: str
    budget: Mapping[str, int] | None
    """what each could spend, where the sweep goes over that; None where they differ in it"""
    points: Sequence[PointSummary]

    @property
    def seeds(self) -> int:
        """How many seeds a point has, unless some could not be worked out."""
        return max(len(each.losses) for each in self.points)

    def place(self, each: PointSummary) -> int | None:
        """Its place, from 1 up; None where seeds are missing: it does not compare."""
        if len(each.losses) < self.seeds:
            return None
        return 1 + next(at for at, one in enumerate(self.points) if one is each)

    @property
    def best(self) -> list[PointSummary]:
        """The best point of each entry, the lowest loss first."""
        found: dict[str, PointSummary] = {}
        for each in self.points:
            found.setdefault(each.entry, each)
        return list(found.values())

    @property
    def tried(self) -> Counter[str]:
        """How many points there are of each entry."""
        return Counter(each.entry for each in self.points)


def summarise_points(rows: Sequence[Mapping[str, Any]]) -> list[PointSummary]:
    """One summary a point and entry, the lowest final loss first within each problem.

    `rows` are tidy, one a seed and entry, each with its `point`, `path` and `problem` beside, and
    with the `warnings` of its run, if there are any.
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
    runs = (f"{row['path']}/{Path(row['run']).name}" for row in rows)
    return PointSummary(
        point=first["point"],
        budget={key: limit for key, limit in first["point"].items() if key in BUDGETS},
        path=first["path"],
        runs=list(dict.fromkeys(runs)),
        problem=first["problem"],
        entry=first["entry"],
        kind=first["kind"],
        losses={row["seed"]: row["final_loss"] for row in rows},
        final_loss=median_interval([row["final_loss"] for row in rows]),
        best_loss=None if None in best else float(np.median(best)),
        hits=None if None in hits else sum(hits),
        warnings=list(dict.fromkeys(text for row in rows for text in row.get("warnings", ()))),
    )


def rankings(summaries: Sequence[PointSummary], *, most: int = 6) -> list[Ranking]:
    """A ranking of each problem and budget; one over all budgets where there are more than `most`.

    `summaries` as `summarise_points` has them. Problems as they come up, large budgets first.
    """
    found = []
    for problem in dict.fromkeys(each.problem for each in summaries):
        own = [each for each in summaries if each.problem == problem]
        budgets = distinct([tuple(each.budget.items()) for each in own])[::-1]
        if len(budgets) > most:
            found.append(Ranking(problem, None, _whole_first(own)))
            continue
        for budget in map(dict, budgets):
            found.append(
                Ranking(problem, budget, _whole_first(e for e in own if e.budget == budget))
            )
    return found


def _whole_first(points: Iterable[PointSummary]) -> list[PointSummary]:
    return sorted(points, key=lambda each: -len(each.losses))  # else as they stand


# -- settings and their values ---------------------------------------------------------------------


def with_short_names(summaries: Sequence[PointSummary]) -> list[PointSummary]:
    """The same, their settings by the shortest names that tell them apart.

    The same setting of several entries, as training.learning_rate is, has one name: each entry has
    a value of its own. Where two such settings meet in an entry, they stay apart.
    """
    groups: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for each in summaries for key in each.point):
        groups.setdefault(_of_any_entry(key), []).append(key)
    same = {key: whole for whole, keys in groups.items() for key in keys}
    for keys in groups.values():
        if any(sum(each.point.get(key) is not None for key in keys) > 1 for each in summaries):
            same |= {key: key for key in keys}
    names = short_names(dict.fromkeys(same.values()))
    return [replace(each, point=_renamed(each.point, same, names)) for each in summaries]


def _of_any_entry(key: str) -> str:
    first, _, rest = key.partition(".")
    return f"entries.*.{rest.partition('.')[2]}" if first == "entries" else key


def _renamed(
    point: Mapping[str, Any], same: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in point.items():
        name = names[same[key]]
        found[name] = value if value is not None else found.get(name)
    return found


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Keys as tables and figures have room for: the last part, and as few others as tell it apart.

    Such as learning_rate, or mlp.learning_rate where other entries have one, too.
    """
    shorter = {key: list(_shorter(key)) for key in keys}
    taken = Counter(name for names in shorter.values() for name in dict.fromkeys(names))
    return {
        key: next((name for name in names if taken[name] == 1), key)
        for key, names in shorter.items()
    }


def _shorter(key: str) -> Iterator[str]:
    """A key in fewer parts: the last, any other with the last, and ends of two parts or more."""
    *others, last = key.split(".")
    yield last
    yield from (f"{part}.{last}" for part in others[::-1])
    yield from (".".join([*others[at:], last]) for at in reversed(range(len(others))))


def settings(summaries: Sequence[PointSummary]) -> list[str]:
    """The settings that take two values or more, in the order of the sweep."""
    keys = dict.fromkeys(key for each in summaries for key in each.point)
    return [key for key in keys if len(distinct(values_of(summaries, key))) > 1]


def values_of(summaries: Sequence[PointSummary], key: str) -> list[Any]:
    """The values of a setting at points that have it."""
    found = (each.point.get(key) for each in summaries)
    return [value for value in found if value is not None]


def distinct(values: Iterable[Any]) -> list[Any]:
    """Every value once: numbers in their order, then all others in that of their texts."""
    return sorted({repr(value): value for value in values}.values(), key=_order)


def _order(value: Any) -> tuple[int, Any]:
    if is_number(value):
        return 0, value
    if isinstance(value, tuple):  # of a budget
        return 1, value
    return 2, repr(value)


def is_number(value: Any) -> bool:
    """Whether a value of a setting is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_drawn(values: Sequence[Any]) -> bool:
    """Whether values are those of a range that was drawn from: numbers that hardly ever repeat."""
    return all(map(is_number, values)) and 2 * len(distinct(values)) > len(values)
