"""Figures of a sweep, as SVG in the page's text colour: one panel an entry, however many there are.

Panels stand in for a legend, which nobody can read from some six lines on.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.report.drawing import COLOURS, INK, bare, short, svg
from qhyper.report.sweep_summary import Effect, PointSummary, short_names
from qhyper.report.words import format_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
PANELS = 24
"""Entries that have a panel; the table has all."""
CELLS = 12
"""Columns of a heat map whose numbers can still be read."""
MAP = "viridis_r"
"""Colours of losses: even steps, in grey and for the colour-blind as well; low is bright."""


def by_entry(summaries: Sequence[PointSummary]) -> dict[str, list[PointSummary]]:
    """Points of each entry, in the order in which entries come up."""
    found: dict[str, list[PointSummary]] = {}
    for each in summaries:
        found.setdefault(each.entry, []).append(each)
    return found


def curves(summaries: Sequence[PointSummary], key: str, *, name: str) -> str:
    """Final loss of every entry along one setting: every point, and the median where it repeats."""
    summaries = [each for each in summaries if each.point[key] is not None]
    entries = _panels(summaries)
    figure, panels = _figure(len(entries), height=1.75)
    logarithmic = _spans_decades([each.point[key] for each in summaries])
    for axes, (entry, own) in zip(panels, entries.items(), strict=True):
        colour = COLOURS[own[0].kind][0]
        values = sorted({each.point[key] for each in own})
        medians = [
            np.median([e.final_loss.median for e in own if e.point[key] == value])
            for value in values
        ]
        for each in own:
            x, loss = each.point[key], each.final_loss
            axes.plot([x], [loss.median], "o", color=colour, markersize=3.5, alpha=0.6)
            if loss.low is not None and loss.high is not None:
                axes.plot([x, x], [loss.low, loss.high], color=colour, linewidth=1, alpha=0.6)
        if len(values) < len(own) or len(own) > 1:
            axes.plot(values, medians, color=colour, linewidth=1.5)
        if logarithmic:
            axes.set_xscale("log")
        _titled(axes, entry, key)
    return svg(figure, name, f"Final loss along {key}")


def heat_maps(summaries: Sequence[PointSummary], across: str, down: str, *, name: str) -> str:
    """Final loss of every entry over two settings; the median over the others.

    Cells where they repeat, dots where points were drawn.
    """
    summaries = [e for e in summaries if None not in (e.point[across], e.point[down])]
    entries = _panels(summaries)
    losses = [each.final_loss.median for each in summaries]
    low, high = min(losses), max(losses)
    figure, panels = _figure(len(entries), height=2.2)
    image: Any = None
    for axes, (entry, own) in zip(panels, entries.items(), strict=True):
        columns, rows = (sorted({each.point[key] for each in own}) for key in (across, down))
        if len(columns) * len(rows) <= 2 * len(own):
            image = _cells(axes, own, (across, columns), (down, rows), low, high)
        else:
            x, y = ([each.point[key] for each in own] for key in (across, down))
            image = axes.scatter(
                x, y, c=[each.final_loss.median for each in own], cmap=MAP, vmin=low, vmax=high,
                s=22,
            )  # fmt: skip
            for axis, numbers in (("x", x), ("y", y)):
                if _spans_decades(numbers):
                    axes.set(**{f"{axis}scale": "log"})
        _titled(axes, entry, across)
        axes.set_ylabel(_last(down), color=INK, fontsize=8.5)
    bar = figure.colorbar(image, ax=panels, location="bottom", shrink=0.5, aspect=40)
    bar.ax.tick_params(color=INK, labelcolor=INK, labelsize=8)
    bar.set_label("final mean loss, median over the seeds", color=INK, fontsize=8.5)
    bar.outline.set_edgecolor(INK)  # type: ignore[operator]
    return svg(figure, name, f"Final loss over {across} and {down}")


def importance(found: Sequence[Effect], *, name: str) -> str:
    """How much of the spread of each entry's final loss each setting explains: bars from 0 to 1."""
    by_key: dict[str, list[Effect]] = {}
    for effect in found:
        by_key.setdefault(effect.key, []).append(effect)
    entries = list(dict.fromkeys(effect.entry for effect in found))[:PANELS]
    figure, panels = _figure(len(entries), height=0.7 + 0.22 * len(by_key))
    names = short_names(by_key)
    for axes, entry in zip(panels, entries, strict=True):
        shares = {e.key: e.share for e in found if e.entry == entry}
        keys = sorted(shares, key=lambda key: shares[key])
        labels, widths = [short(names[key]) for key in keys], [shares[key] for key in keys]
        axes.barh(labels, widths, color=COLOURS["quantum"][0])
        for place, key in enumerate(keys):
            axes.text(
                shares[key] + 0.02, place, f"{100 * shares[key]:.0f} %", color=INK, va="center",
                fontsize=8,
            )  # fmt: skip
        axes.set_xlim(0, 1.2)
        axes.set_xticks([0, 0.5, 1])
        axes.set_title(short(entry), color=INK, fontsize=9.5, parse_math=False)
    return svg(figure, name, "How much each setting explains")


def _cells(
    axes: "Axes",
    own: Sequence[PointSummary],
    across: tuple[str, Sequence[Any]],
    down: tuple[str, Sequence[Any]],
    low: float,
    high: float,
) -> Any:
    (x, columns), (y, rows) = across, down
    grid = np.full((len(rows), len(columns)), np.nan)
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            there = [
                each.final_loss.median
                for each in own
                if each.point[x] == column and each.point[y] == row
            ]
            grid[r, c] = np.median(there) if there else np.nan
    image = axes.imshow(grid, cmap=MAP, vmin=low, vmax=high, origin="lower", aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(len(columns)), [_short_number(value) for value in columns])
    axes.set_yticks(range(len(rows)), [_short_number(value) for value in rows])
    if len(columns) <= CELLS // 2 and len(rows) <= CELLS:
        middle = (low + high) / 2
        for (r, c), loss in np.ndenumerate(grid):
            if np.isfinite(loss):
                colour = "white" if loss > middle else "black"
                axes.text(
                    c, r, format_loss(loss), ha="center", va="center", fontsize=7, color=colour
                )
    return image


def _panels(summaries: Sequence[PointSummary]) -> Mapping[str, list[PointSummary]]:
    return dict(list(by_entry(summaries).items())[:PANELS])


def _figure(n: int, *, height: float) -> "tuple[Figure, list[Axes]]":
    """A figure of n panels in rows of three, each so high in inches."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, n)
    rows = math.ceil(n / columns)
    figure = Figure(
        figsize=(3.1 * columns, height * rows + 0.6), layout="constrained", facecolor="none"
    )
    panels = [figure.add_subplot(rows, columns, k + 1) for k in range(n)]
    for axes in panels:
        bare(axes, fontsize=8)
    return figure, panels


def _titled(axes: "Axes", entry: str, key: str) -> None:
    axes.set_title(short(entry), color=INK, fontsize=9.5, parse_math=False)
    axes.set_xlabel(_last(key), color=INK, fontsize=8.5, parse_math=False)


def _last(key: str) -> str:
    """A key as an axis has room for."""
    return short(key.rpartition(".")[2])


def _short_number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _spans_decades(values: Sequence[Any]) -> bool:
    """Whether numbers are better shown on a logarithmic axis."""
    numbers = [value for value in values if isinstance(value, int | float)]
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= 8
