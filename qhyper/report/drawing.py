"""What all figures share: axes, labels, legends, and SVG in the page's text colour.

Matplotlib's objects only: no pyplot, no settings changed. It is imported where it is used.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#0a0b0c"
"""Stands for the colour of the page's text: it becomes `currentColor`, so figures follow themes."""

# Mid-tones: three to one or better against a white page and a dark one.
COLOURS = {
    "quantum": ("#1c7ed6", "#7c5cd6", "#0c9488", "#4263eb"),
    "classical": ("#e8590c", "#d6336c", "#a87900", "#b5533c"),
    "control": ("#7a8490", "#5c8a3a", "#8c7a6b"),
}


def new_figure(*, height: float, rows: Sequence[float] = (1.0,)) -> "tuple[Any, ...]":
    """A figure and its axes, one under another, `rows` their relative heights; x is shared."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, height), layout="constrained", facecolor="none")
    grid = figure.add_gridspec(len(rows), 1, height_ratios=list(rows), hspace=0)
    first: Axes | None = None
    for row in range(len(rows)):
        axes = figure.add_subplot(grid[row], sharex=first)
        first = first or axes
        bare(axes)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(color=INK, fontsize=9.5)
    return figure, *figure.axes


def bare(axes: "Axes", *, fontsize: float = 9) -> None:
    """Axes without a background, thin, in the colour of text; `fontsize` is of the ticks."""
    axes.set_facecolor("none")
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    for spine in ("left", "bottom"):
        axes.spines[spine].set(color=INK, alpha=0.5, linewidth=0.8)
    axes.tick_params(which="both", color=INK, labelcolor=INK, labelsize=fontsize, width=0.6)
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    axes.set_axisbelow(True)


def loss_axis(axis: "Axis", low: float, high: float) -> bool:
    """Make an axis of losses from `low` to `high`: logarithmic where it helps; whether it is."""
    from matplotlib.ticker import LogLocator

    # A log axis over less than a decade would have too few labels.
    logarithmic = low > 0 and high / low > 10
    # On y there is room below the reference for its label.
    name, below = ("x", 0.04) if axis is axis.axes.xaxis else ("y", 0.1)
    if logarithmic:
        axis.axes.set(**{f"{name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_minor_locator(LogLocator(subs=(1.5, 4, 6, 7, 8, 9)))
        axis.set_minor_formatter("")
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        limits = low / (high / low) ** below, high * (high / low) ** 0.04
    else:
        spread = (high - low) or abs(low) or 1.0
        limits = low - below * spread, high + 0.04 * spread
    axis.axes.set(**{f"{name}lim": limits})
    return logarithmic


def text(axes: "Axes", x: float, y: float, words: str, *, side: str, **where: Any) -> None:
    """Words at a place given on one axis (`side`) in data, on the other as a share of the axes."""
    axes.annotate(
        words,
        (x, y),
        xycoords=axes.get_yaxis_transform() if side == "y" else axes.get_xaxis_transform(),
        xytext=(0, -2 if side == "y" else 2),
        textcoords="offset points",
        color=INK,
        fontsize=8.5,
        parse_math=False,
        **where,
    )


def short(name: str) -> str:
    """A name as a legend has room for."""
    return name if len(name) <= 22 else name[:21] + "…"


def legend(figure: "Figure", marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Below the figure: for each name keyword arguments of a Matplotlib line."""
    from matplotlib.lines import Line2D

    handles: list[Line2D] = [Line2D([], [], **mark) for mark in marks.values()]
    made = figure.legend(
        handles,
        [short(name) for name in marks],
        loc="outside lower center",
        ncols=3 if max(map(len, marks)) <= 16 else 2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=3,
    )
    for words in made.get_texts():
        words.set_parse_math(False)


def svg(figure: "Figure", name: str, title: str) -> str:
    """The figure as an SVG element that can share a page with others under its `name`."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=nothing)
    drawn = out.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace(INK, "currentColor")
    drawn = drawn.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    # A hundredth of a point is finer than any screen.
    drawn = re.sub(r' d="[^"]+"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), drawn)
    # Matplotlib's ids are random or count from one in every figure. Those that are referred to
    # get the figure's name and a number; the others go.
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn))
    names = {old: f"{name}-{number}" for number, old in enumerate(used)}
    drawn = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", drawn
    )
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + names[m[2]], drawn)
