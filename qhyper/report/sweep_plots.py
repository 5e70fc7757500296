"""The figures of a sweep, each with its caption, its data, and what is seen in words."""

from collections.abc import Callable, Sequence
from typing import Any

from qhyper.report.plot import Plot
from qhyper.report.sweep_effects import Effect
from qhyper.report.sweep_figures import by_entry, curves, heat_maps, importance
from qhyper.report.sweep_summary import PointSummary
from qhyper.report.words import format_loss

NAMED = 12
"""Entries that a description names; the rankings have all."""


def importance_plot(found: Sequence[Effect], caption: str, *, name: str) -> Plot:
    """How much of the spread each setting explains."""
    most: dict[str, Effect] = {}
    for effect in found:
        if effect.entry not in most or effect.share > most[effect.entry].share:
            most[effect.entry] = effect
    words = [f"“{e.entry}” {e.key} with {100 * e.share:.0f} %" for e in most.values()]
    seen = f"Bars, a panel an entry. The setting that explains most: {_first(words)}."
    return Plot(
        name, "Which settings matter", caption, seen, importance(found, name=name, seen=seen),
        ("entry", "setting", "share"), [(e.entry, e.key, e.share) for e in found],
    )  # fmt: skip


def along_plot(own: Sequence[PointSummary], key: str, caption: str, *, name: str) -> Plot:
    """Final losses along one setting."""
    own = [each for each in own if each.point[key] is not None]
    seen = "Dots, a panel an entry. Lowest: " + _lowest(own, lambda e: f"{key} {_text(e, key)}")
    return Plot(
        name, f"Final loss along {key}", caption, seen, curves(own, key, name=name, seen=seen),
        ("entry", key, *_LOSS), [(e.entry, e.point[key], *_loss(e)) for e in own],
    )  # fmt: skip


def map_plot(
    own: Sequence[PointSummary], across: str, down: str, caption: str, *, name: str
) -> Plot:
    """Final losses over two settings."""
    own = [e for e in own if None not in (e.point[across], e.point[down])]
    seen = "A map, a panel an entry. Lowest: " + _lowest(
        own, lambda e: f"{across} {_text(e, across)} and {down} {_text(e, down)}"
    )
    return Plot(
        name, f"Final loss over {across} and {down}", caption, seen,
        heat_maps(own, across, down, name=name, seen=seen), ("entry", across, down, *_LOSS),
        [(e.entry, e.point[across], e.point[down], *_loss(e)) for e in own],
    )  # fmt: skip


_LOSS = ("median_final_loss", "low", "high")


def _loss(each: PointSummary) -> tuple[float, float | None, float | None]:
    found = each.final_loss
    return found.median, found.low, found.high


def _lowest(own: Sequence[PointSummary], where: Callable[[PointSummary], str]) -> str:
    best = [min(of, key=lambda e: e.final_loss.median) for of in by_entry(own).values()]
    words = [f"“{e.entry}” {format_loss(e.final_loss.median)} at {where(e)}" for e in best]
    return f"{_first(words)}."


def _first(words: Sequence[str]) -> str:
    more = [f"and {len(words) - NAMED} more entries"] if len(words) > NAMED else []
    return "; ".join([*words[:NAMED], *more])


def _text(each: PointSummary, key: str) -> Any:
    value = each.point[key]
    return f"{value:.4g}" if isinstance(value, float) else value
