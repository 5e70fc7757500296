"""What a sweep found, as one HTML page: rankings, maps of its settings, and which of them matter.

Made for many entries: a panel each and no legend, the best point of each before all others.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from qhyper.report.plot import Plot
from qhyper.report.sweep_effects import MIN_MEMBERS, MIN_POINTS, Effect, effects, mean_shares
from qhyper.report.sweep_plots import along_plot, importance_plot, map_plot
from qhyper.report.sweep_summary import (
    BUDGETS,
    PointSummary,
    Ranking,
    rankings,
    settings,
    with_short_names,
)
from qhyper.report.templates import rendered
from qhyper.report.words import counts, format_loss

PANELS = 24
"""Entries that figures have a panel of; rankings have all."""
SHOWN = 50
"""Points of a ranking after the best ones of the entries; the CSV has all."""
CURVES = 6
"""Settings that losses are drawn along."""
MAPS = 3
"""Pairs of settings that are drawn."""


def sweep_page(
    summaries: Sequence[PointSummary],
    *,
    title: str,
    asked: Mapping[str, Any],
    command: str,
    points: int | None = None,
) -> str:
    """The whole report as one HTML page that loads nothing from elsewhere.

    - summaries: as `summarise_points` has them
    - asked: the sweep's file
    - command: what works it out again, with more points or seeds
    - points: how many were asked for; as many as there are unless told
    """
    summaries = with_short_names(summaries)
    found = rankings(summaries)
    sections = [
        _section(problem, summaries, [each for each in found if each.problem == problem], number)
        for number, problem in enumerate(dict.fromkeys(each.problem for each in found))
    ]
    there = len({each.path for each in summaries})
    return rendered(
        "report/sweep.html.j2", title=title, sections=sections, command=command,
        points=there if points is None else points,
        entries=len({each.entry for each in summaries}),
        warnings=_warnings(summaries, there),
        settings=_flat(asked),
    )  # fmt: skip


def _section(
    problem: str, summaries: Sequence[PointSummary], found: Sequence[Ranking], number: int
) -> dict[str, Any]:
    own = [each for each in summaries if each.problem == problem]
    shares = effects(own)
    entries = list(dict.fromkeys(each.entry for each in own))
    drawn = [each for each in own if each.entry in entries[:PANELS]]
    return {
        "problem": problem,
        "rankings": [_ranking(each) for each in found],
        "without_panel": entries[PANELS:],
        "no_shares": _NO_SHARES if settings(own) and not shares else "",
        "figures": _figures(drawn, shares, f"problem-{number}"),
    }


_NO_SHARES = (
    f"Which settings matter cannot be told: it takes {MIN_POINTS} points of an entry or more, "
    f"{MIN_MEMBERS} of each value, and twice as many points as there are values to compare."
)


# -- rankings --------------------------------------------------------------------------------------


def _ranking(found: Ranking) -> dict[str, Any]:
    keys = _varied(found)
    hits = any(each.hits is not None for each in found.points)
    best = found.best
    others = [each for each in found.points if not any(each is one for one in best)]

    def rows(points: Sequence[PointSummary]) -> list[dict[str, Any]]:
        return [_row(found, each, keys, hits) for each in points]

    spent = counts(found.budget or {}, BUDGETS)
    return {
        "heading": f"Within {spent} a seed" if spent else "",
        "answer": _answer(found, keys),
        "columns": [*keys, "Seeds", "Final loss", "Best loss", *["Seeds that hit"] * hits],
        "best": [(row, found.tried[row["entry"]]) for row in rows(best)],
        "others": rows(others[:SHOWN]),
        "left_out": len(others[SHOWN:]),
        "unequal": found.budget is None,
    }


def _varied(found: Ranking) -> list[str]:
    """The settings that its points differ in; its heading says the others."""
    return settings(found.points)


def _answer(found: Ranking, keys: Sequence[str]) -> str:
    first, *others = found.best

    def words(each: PointSummary) -> str:
        n = found.tried[each.entry]
        of = f", the best of its {n:,} points" if n > 1 else ", its only point"
        own = [f"{key} {_value(each.point[key])}" for key in keys if each.point[key] is not None]
        return f"{_loss(each)}: {each.entry}" + f" at {', '.join(own)}" * bool(own) + of

    said = f"The lowest final loss is {words(first)}"
    if others:
        said += f". The best other entry has {words(others[0])}"
    return said


def _row(found: Ranking, each: PointSummary, keys: Sequence[str], hits: bool) -> dict[str, Any]:
    cells = [_value(each.point[key]) for key in keys]
    n, place = len(each.losses), found.place(each)
    seeds = str(n) if n == found.seeds else f"{n} of {found.seeds}"
    best = "–" if each.best_loss is None else format_loss(each.best_loss)
    hit = "–" if each.hits is None else f"{each.hits} of {n}"
    return {
        "place": "–" if place is None else place, "entry": each.entry, "kind": each.kind,
        "runs": [(run, run.rpartition("/")[2]) for run in each.runs],
        "cells": [*cells, seeds, _loss(each), best, *[hit] * hits],
    }  # fmt: skip


def _loss(each: PointSummary) -> str:
    found = each.final_loss
    if found.low is None or found.high is None:
        return format_loss(found.median)
    return f"{format_loss(found.median)} ({format_loss(found.low)} to {format_loss(found.high)})"


# -- figures ---------------------------------------------------------------------------------------


def _figures(own: Sequence[PointSummary], found: Sequence[Effect], name: str) -> list[Plot]:
    """Every figure that the points allow."""
    shares = mean_shares(found)
    entries = {each.entry for each in own}
    keys = sorted(settings(own), key=lambda key: -shares.get(key, -1.0))
    drawn = []
    if found:
        own_effects = [effect for effect in found if effect.entry in entries]
        drawn.append(importance_plot(own_effects, _IMPORTANCE, name=f"{name}-importance"))
    for number, key in enumerate(keys[:CURVES]):
        caption = _CURVES + _left_out(CURVES, len(keys), "settings", found) if not number else ""
        drawn.append(along_plot(own, key, caption, name=f"{name}-along-{number}"))
    pairs = sorted(
        (pair for pair in combinations(keys, 2) if _meet(own, *pair)),
        key=lambda pair: -sum(shares.get(key, 0.0) for key in pair),
    )
    for number, pair in enumerate(pairs[:MAPS]):
        left_out = _left_out(MAPS, len(pairs), "pairs of settings", found)
        caption = _MAPS + left_out if not number else ""
        drawn.append(map_plot(own, *pair, caption, name=f"{name}-map-{number}"))
    return drawn


_IMPORTANCE = (
    "Share of the spread of an entry’s final losses, over points and seeds, that a setting "
    "explains alone: omega squared, corrected for chance. What is missing to 100 % is of the "
    "seeds, of settings together, and of chance. Values of a drawn range count in groups of "
    "neighbours."
)
_CURVES = (
    "A dot is a point of the sweep, the line at it the interval of the median over the seeds, from "
    "six on. Medians are joined, or marked where values are no numbers; of a drawn range, they are "
    "those of groups of neighbours. Each panel has an axis of its own."
)
_MAPS = (
    "The median over the seeds and all other settings, in the same colours for all: bright is low."
)


def _left_out(shown: int, there: int, what: str, found: Sequence[Effect]) -> str:
    """Which of the settings, or pairs of them, are drawn; empty where all are."""
    if there <= shown:
        return ""
    first = "those with the largest shares" if found else "the first of the file"
    return f" These are {shown} of {there} {what}, {first}."


def _meet(own: Sequence[PointSummary], *keys: str) -> bool:
    """Whether an entry has both settings."""
    return any(all(each.point[key] is not None for key in keys) for each in own)


# -- words -----------------------------------------------------------------------------------------


def _warnings(summaries: Sequence[PointSummary], points: int) -> list[str]:
    """Every warning once, with how many points it is of: those of the most first."""
    paths: dict[str, set[str]] = {}
    for each in summaries:
        for text in each.warnings:
            paths.setdefault(text, set()).add(each.path)
    return [
        f"{text} ({len(of):,} of {points:,} points)" if points > 1 else text
        for text, of in sorted(paths.items(), key=lambda pair: -len(pair[1]))
    ]


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(found: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in found.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{above}{key}.")
        else:
            pairs.append((f"{above}{key}", str(value)))
    return pairs
