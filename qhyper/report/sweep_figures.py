"""Figures of a sweep, as SVG in the page's text colour: one panel an entry.

Panels stand in for a legend, which nobody can read from some six lines on. Entries come in the
order of their summaries, in every figure.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.report.drawing import COLOURS, INK, bare, ink_on, svg
from qhyper.report.sweep_effects import MIN_MEMBERS, Effect, groups, mean_shares
from qhyper.report.sweep_summary import (
    PointSummary,
    distinct,
    is_drawn,
    is_number,
    settings,
    values_of,
)
from qhyper.report.words import format_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
WIDTH = 11.2
"""Inches of a figure, whatever it has of panels: letters are of one size on a page."""
STEPS = 48
"""Colours of the bar that tells what they mean."""
SEAMLESS: Any = {"edgecolors": "face", "linewidth": 0.4}
"""Of areas side by side: the ground does not shine through between them."""
CELLS = 12
"""Rows of a heat map whose numbers can still be read, and twice the columns."""
MAP = "viridis_r"
"""Colours of losses: even steps, in grey and for the colour-blind as well; low is bright."""


def by_entry(summaries: Sequence[PointSummary]) -> dict[str, list[PointSummary]]:
    """Points of each entry, in the order in which entries come up."""
    found: dict[str, list[PointSummary]] = {}
    for each in summaries:
        found.setdefault(each.entry, []).append(each)
    return found


def curves(summaries: Sequence[PointSummary], key: str, *, name: str, seen: str = "") -> str:
    """Final loss of every entry along one setting: every point, and medians by `middle`."""
    entries = by_entry([each for each in summaries if each.point[key] is not None])
    scale = _Scale(values_of(summaries, key))
    figure, panels = _figure(len(entries), height=1.75 + scale.below)
    for axes, (entry, own) in zip(panels, entries.items(), strict=True):
        colour = COLOURS[own[0].kind][0]
        x = [scale.at(each.point[key]) for each in own]
        losses = [each.final_loss for each in own]
        axes.plot(x, [e.median for e in losses], "o", color=colour, markersize=3.5, alpha=0.6)
        known = [(at, e.low, e.high) for at, e in zip(x, losses, strict=True) if e.low is not None]
        if known:
            at, low, high = zip(*known, strict=True)
            axes.vlines(at, low, high, color=colour, linewidth=1, alpha=0.6)
        along, medians = middle(own, key)
        if scale.numbers:
            axes.plot(along, medians, color=colour, linewidth=1.5)
        else:  # no line: there is nothing between two categories
            axes.plot([scale.at(value) for value in along], medians, "_", color=colour,
                      markersize=16, markeredgewidth=2)  # fmt: skip
        scale.draw(axes, "x")
        _titled(axes, entry, key)
    return svg(figure, name, f"Final loss along {key}", seen)


def middle(own: Sequence[PointSummary], key: str) -> tuple[list[Any], list[float]]:
    """Values of a setting, and the median final loss at each, of one entry's points.

    Of a drawn range, where other settings differ as well, those of groups of neighbours: a line
    through every point would show the others' ups and downs. Empty with too few points for two
    groups.
    """
    values = [each.point[key] for each in own]
    losses = np.array([each.final_loss.median for each in own])
    if is_drawn(values) and len(settings(own)) > 1:
        n = min(5, len(own) // MIN_MEMBERS)
        if n < 2:
            return [], []
        at = groups(values, n)
        numbers = np.array(values, dtype=float)
        along = [float(np.median(numbers[at == group])) for group in range(n)]
    else:
        along = distinct(values)
        at = groups(values, len(along))
    return along, [float(np.median(losses[at == group])) for group in range(len(along))]


def heat_maps(
    summaries: Sequence[PointSummary], across: str, down: str, *, name: str, seen: str = ""
) -> str:
    """Final loss of every entry over two settings; the median over the others.

    Cells where they repeat, dots where points were drawn.
    """
    summaries = [e for e in summaries if None not in (e.point[across], e.point[down])]
    entries = by_entry(summaries)
    losses = [each.final_loss.median for each in summaries]
    low, high = min(losses), max(losses)
    scales = {key: _Scale(values_of(summaries, key)) for key in (across, down)}
    figure, panels = _figure(len(entries), height=2.2 + scales[across].below, bar=0.7)
    for axes, (entry, own) in zip(panels, entries.items(), strict=True):
        columns, rows = (distinct(values_of(own, key)) for key in (across, down))
        if len(columns) * len(rows) <= 2 * len(own):
            _cells(axes, own, (across, columns), (down, rows), low, high)
        else:
            x, y = ([scales[key].at(e.point[key]) for e in own] for key in (across, down))
            axes.scatter(
                x, y, c=[each.final_loss.median for each in own], cmap=MAP, vmin=low, vmax=high,
                s=22,
            )  # fmt: skip
            scales[across].draw(axes, "x")
            scales[down].draw(axes, "y")
        _titled(axes, entry, across)
        axes.set_ylabel(_wrapped(down, 24), color=INK, fontsize=8.5, parse_math=False)
    _bar(figure, low, high)
    return svg(figure, name, f"Final loss over {across} and {down}", seen)


def importance(found: Sequence[Effect], *, name: str, seen: str = "") -> str:
    """How much of the spread of each entry's final loss each setting explains: bars from 0 to 1.

    Settings come in one order, that of their mean shares.
    """
    entries: dict[str, dict[str, float]] = {}
    for effect in found:
        entries.setdefault(effect.entry, {})[effect.key] = effect.share
    kinds = {effect.entry: effect.kind for effect in found}
    order = list(mean_shares(found))[::-1]
    most = max(map(len, entries.values()))
    figure, panels = _figure(len(entries), height=0.7 + 0.22 * most)
    for axes, (entry, shares) in zip(panels, entries.items(), strict=True):
        keys = [key for key in order if key in shares]
        axes.barh(range(len(keys)), [shares[key] for key in keys], color=COLOURS[kinds[entry]][0])
        axes.set_yticks(range(len(keys)), [_wrapped(key, 24) for key in keys], parse_math=False)
        for place, key in enumerate(keys):
            axes.text(
                shares[key] + 0.02, place, f"{100 * shares[key]:.0f} %", color=INK, va="center",
                fontsize=8,
            )  # fmt: skip
        axes.set_xlim(0, 1.25)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        _titled(axes, entry, "")
    return svg(figure, name, "Which settings matter", seen)


class _Scale:
    """Where values of a setting stand on an axis: numbers as such, any others at even steps."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = distinct(values)
        self.numbers = all(map(is_number, values))
        self._places = {repr(value): place for place, value in enumerate(self.values)}
        self._labels = [_wrapped(_text(value), 18) for value in self.values]
        long = max(len(line) for label in self._labels for line in label.split("\n"))
        self._upright = not self.numbers and long * len(self.values) > 32
        self.below = 0.07 * long * self._upright
        """inches that labels need below a panel, beyond one line"""

    def at(self, value: Any) -> float:
        return value if self.numbers else self._places[repr(value)]

    def draw(self, axes: "Axes", axis: str) -> None:
        """Set the ticks of the axis x or y, and whether it is logarithmic."""
        if self.numbers:
            self._number(axes, axis)
            return
        places = range(len(self.values))
        if axis == "x":
            rotation = 90 if self._upright else 0
            axes.set_xticks(places, self._labels, parse_math=False, rotation=rotation)
            axes.set_xlim(-0.5, len(self.values) - 0.5)
        else:
            axes.set_yticks(places, self._labels, parse_math=False)
            axes.set_ylim(-0.5, len(self.values) - 0.5)

    def _number(self, axes: "Axes", axis: str) -> None:
        if self.values[0] > 0 and self.values[-1] / self.values[0] >= 8:
            axes.set(**{f"{axis}scale": "log"})
        of = getattr(axes, f"{axis}axis")
        if len(self.values) <= 5:
            of.set_ticks(self.values, self._labels)
            of.set_ticks([], minor=True)
        elif of.get_scale() == "log":
            of.set_major_formatter(lambda value, _: f"{value:g}")
            of.set_minor_formatter("")


def _cells(
    axes: "Axes",
    own: Sequence[PointSummary],
    across: tuple[str, Sequence[Any]],
    down: tuple[str, Sequence[Any]],
    low: float,
    high: float,
) -> None:
    (x, columns), (y, rows) = across, down
    there: dict[tuple[str, str], list[float]] = {}
    for each in own:
        cell = repr(each.point[y]), repr(each.point[x])
        there.setdefault(cell, []).append(each.final_loss.median)
    grid = np.full((len(rows), len(columns)), np.nan)
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            found = there.get((repr(row), repr(column)))
            grid[r, c] = np.nan if found is None else np.median(found)
    image = axes.pcolormesh(
        np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5,
        np.ma.masked_invalid(grid), cmap=MAP, vmin=low, vmax=high, **SEAMLESS,
    )  # fmt: skip
    axes.grid(False)
    labels = [_wrapped(_text(value), 18) for value in columns]
    upright = sum(max(map(len, label.split("\n"))) for label in labels) > 32
    axes.set_xticks(range(len(columns)), labels, rotation=90 * upright, parse_math=False)
    axes.set_yticks(range(len(rows)), [_wrapped(_text(v), 18) for v in rows], parse_math=False)
    if len(columns) <= CELLS // 2 and len(rows) <= CELLS:
        for (r, c), loss in np.ndenumerate(grid):
            if np.isfinite(loss):
                colour = ink_on(tuple(image.cmap(image.norm(loss))))
                axes.text(
                    c, r, format_loss(loss), ha="center", va="center", fontsize=7, color=colour
                )


def _bar(figure: "Figure", low: float, high: float) -> None:
    """Below all panels, which loss has which colour: in areas, as Matplotlib's own is an image."""
    inch = 1 / figure.get_figheight()
    axes = figure.add_axes((0.04, 0.42 * inch, 0.3, 0.1 * inch))
    edges = np.linspace(low, high if high > low else low + (abs(low) or 1.0), STEPS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    axes.pcolormesh(edges, [0, 1], middles[None], cmap=MAP, vmin=low, vmax=high, **SEAMLESS)
    axes.set_yticks([])
    axes.tick_params(color=INK, labelcolor=INK, labelsize=8)
    axes.set_xlabel("final mean loss", color=INK, fontsize=8.5)
    for spine in axes.spines.values():
        spine.set_color(INK)


def _figure(n: int, *, height: float, bar: float = 0.0) -> "tuple[Figure, list[Axes]]":
    """A figure of n panels in rows of three, each so high in inches; `bar` are kept free below."""
    from matplotlib.figure import Figure

    rows = math.ceil(n / COLUMNS)
    whole = height * rows + 0.3 + bar
    figure = Figure(figsize=(WIDTH, whole), layout="constrained", facecolor="none")
    # between rows, room for the labels of one and the title of the next
    figure.get_layout_engine().set(h_pad=0.08, rect=(0, bar / whole, 1, 1 - bar / whole))  # type: ignore
    grid = figure.add_gridspec(rows, COLUMNS)
    panels = [figure.add_subplot(grid[k // COLUMNS, k % COLUMNS]) for k in range(n)]
    for axes in panels:
        bare(axes, fontsize=8)
    return figure, panels


def _titled(axes: "Axes", entry: str, key: str) -> None:
    axes.set_title(_wrapped(entry, 32), color=INK, fontsize=9.5, parse_math=False)
    axes.set_xlabel(_wrapped(key, 40), color=INK, fontsize=8.5, parse_math=False)


def _wrapped(words: str, width: int) -> str:
    """Words in whole, over several lines where they are long: cut, two could read the same."""
    return textwrap.fill(words, width)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
