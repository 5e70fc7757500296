"""What a sweep found, as one HTML page: a ranking, maps of its settings, and which of them matter.

Made for many entries: a panel each and no legend, a ranking in place of a table of everything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from qhyper.report.page import rendered
from qhyper.report.sweep_figures import curves, heat_maps, importance
from qhyper.report.sweep_summary import PointSummary, effects, is_number, short_names
from qhyper.report.words import format_loss

SHOWN = 50
"""Rows of a ranking; the CSV has all."""
MAPS = 3
"""Pairs of settings that are drawn."""


def sweep_page(
    summaries: Sequence[PointSummary], *, title: str, asked: Mapping[str, Any], command: str
) -> str:
    """The whole report as one HTML page that loads nothing from elsewhere.

    - summaries: as `summarise_points` has them
    - asked: the sweep's file
    - command: what works it out again, with more points or seeds
    """
    from markupsafe import Markup

    sections = []
    for number, problem in enumerate(dict.fromkeys(each.problem for each in summaries)):
        own = [each for each in summaries if each.problem == problem]
        found = effects(own)
        sections.append(
            {
                "problem": problem,
                "answer": _answer(own),
                "headings": _headings(own),
                "rows": [_row(place, each) for place, each in enumerate(own[:SHOWN], 1)],
                "left_out": len(own) - min(len(own), SHOWN),
                "figures": [
                    {"title": name, "caption": caption, "svg": Markup(svg)}
                    for name, caption, svg in _figures(own, found, f"problem-{number}")
                ],
            }
        )
    return rendered(
        "report/sweep.html.j2", title=title, sections=sections, command=command,
        points=len({each.path for each in summaries}),
        entries=len({each.entry for each in summaries}),
        settings=_flat(asked),
    )  # fmt: skip


def _answer(own: Sequence[PointSummary]) -> str:
    best = own[0]
    words = f"The lowest final loss is {_loss(best)}: {best.entry} at {_point(best)}"
    others = [each for each in own if each.entry != best.entry]
    if others:
        words += f"; the best other entry is {others[0].entry} with {_loss(others[0])}"
    return words + (
        ". The first of a ranking was chosen for its luck, too, and looks better than it is: try "
        "it on fresh seeds."
    )


def _headings(own: Sequence[PointSummary]) -> list[str]:
    hits = ["Seeds that hit"] if any(each.hits is not None for each in own) else []
    keys = short_names(own[0].point).values()
    return ["Rank", "Entry", *keys, "Seeds", "Final loss", "Best loss", *hits]


def _row(place: int, each: PointSummary) -> dict[str, Any]:
    cells = ["–" if value is None else _value(value) for value in each.point.values()]
    best = "–" if each.best_loss is None else format_loss(each.best_loss.median)
    hits = [] if each.hits is None else [f"{each.hits} of {each.seeds}"]
    return {
        "place": place, "entry": each.entry, "kind": each.kind, "path": each.path,
        "cells": [*cells, str(each.seeds), _loss(each), best, *hits],
    }  # fmt: skip


def _loss(each: PointSummary) -> str:
    found = each.final_loss
    if found.low is None or found.high is None:
        return format_loss(found.median)
    return f"{format_loss(found.median)} ({format_loss(found.low)} to {format_loss(found.high)})"


def _figures(
    own: Sequence[PointSummary], found: Sequence[Any], name: str
) -> list[tuple[str, str, str]]:
    """(title, caption, SVG) of every figure that the points allow."""
    numeric = [key for key in own[0].point if _is_axis([each.point[key] for each in own])]
    drawn = []
    if found:
        drawn.append((
            "Which settings matter",
            "Share of the spread of an entry's final loss over the points that a setting explains "
            "alone, beyond chance (epsilon squared). What settings do only together is not in it.",
            importance(found, name=f"{name}-importance"),
        ))  # fmt: skip
    for key in numeric[:MAPS]:
        drawn.append((
            f"Along {key}",
            "A dot is a point of the sweep, its line the interval of the median over the seeds, "
            "from six on; the line goes through the medians.",
            curves(own, key, name=f"{name}-along-{numeric.index(key)}"),
        ))  # fmt: skip
    pairs = [
        (a, b)
        for k, a in enumerate(numeric)
        for b in numeric[k + 1 :]
        if any(None not in (each.point[a], each.point[b]) for each in own)
    ]
    for number, (across, down) in enumerate(pairs[:MAPS]):
        drawn.append((
            f"{across} and {down}",
            "Final mean loss, the median over the seeds and all other settings: bright is low.",
            heat_maps(own, across, down, name=f"{name}-map-{number}"),
        ))  # fmt: skip
    return drawn


def _is_axis(values: Sequence[Any]) -> bool:
    """Whether a setting has several values, and all are numbers, where it is one of the entry's."""
    there = [value for value in values if value is not None]
    return all(map(is_number, there)) and len(set(there)) > 1


def _point(each: PointSummary) -> str:
    own = {key: value for key, value in each.point.items() if value is not None}
    names = short_names(each.point)
    return ", ".join(f"{names[key]} {_value(value)}" for key, value in own.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(found: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in found.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{above}{key}.")
        else:
            pairs.append((f"{above}{key}", str(value)))
    return pairs
