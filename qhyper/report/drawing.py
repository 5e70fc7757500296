"""What all figures share: axes, labels, legends, and SVG in the page's text colour.

Matplotlib's objects only: no pyplot, no settings changed. It is imported where it is used.
"""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#0a0b0c"
"""Stands for the colour of the page's text: it becomes `currentColor`, so figures follow themes."""

WIDTH = 4.6
"""Inches of a figure: letters of 9 points are some 10 pixels high on a page of 420."""

# Mid-tones: three to one or better against a white page and a dark one.
COLOURS = {
    "quantum": ("#1c7ed6", "#7c5cd6", "#0c9488", "#4263eb"),
    "classical": ("#e8590c", "#d6336c", "#a87900", "#b5533c"),
    "control": ("#7a8490", "#5c8a3a", "#8c7a6b"),
}


def new_figure(*, height: float, rows: Sequence[float] = (1.0,)) -> "tuple[Any, ...]":
    """A figure and its axes, one under another, `rows` their relative heights; x is shared."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="none")
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


def loss_limits(low: float, high: float, *, below: float) -> tuple[bool, tuple[float, float]]:
    """Whether an axis of losses from `low` to `high` is logarithmic, and its two ends.

    `below` is the room before the lowest, as a share of the axis.
    """
    # A log axis over less than a decade would have too few labels.
    if low > 0 and high / low > 10:
        return True, (low / (high / low) ** below, high * (high / low) ** 0.04)
    spread = (high - low) or abs(low) or 1.0
    return False, (low - below * spread, high + 0.04 * spread)


BEFORE_LOWEST = {"x": 0.04, "y": 0.1}
"""Room before the lowest loss: on y, below the reference, there is its label."""


def loss_axis(axis: "Axis", low: float, high: float) -> bool:
    """Make an axis of losses from `low` to `high`: logarithmic where it helps; whether it is."""
    from matplotlib.ticker import LogLocator

    name = "x" if axis is axis.axes.xaxis else "y"
    logarithmic, limits = loss_limits(low, high, below=BEFORE_LOWEST[name])
    if logarithmic:
        axis.axes.set(**{f"{name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_minor_locator(LogLocator(subs=(1.5, 4, 6, 7, 8, 9)))
        axis.set_minor_formatter("")
        axis.set_major_formatter(lambda value, _: f"{value:g}")
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


def ink_on(colour: Sequence[float]) -> str:
    """Black or white, whichever reads better on red, green and blue from 0 to 1.

    By the relative luminance of WCAG 2.2; either has a contrast of 4.5 to 1 or better.
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.179 else "white"


def legend(figure: "Figure", marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Below the figure: for each name keyword arguments of a Matplotlib line."""
    from matplotlib.lines import Line2D

    handles: list[Line2D] = [Line2D([], [], **mark) for mark in marks.values()]
    columns, more = legend_shape(list(marks))
    figure.set_figheight(figure.get_figheight() + more)
    made = figure.legend(
        handles,
        [short(name) for name in marks],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=3,
    )
    for words in made.get_texts():
        words.set_parse_math(False)


def legend_shape(names: Sequence[str]) -> tuple[int, float]:
    """(columns, inches that it makes a figure higher: for each row past the third)."""
    columns = 3 if max(map(len, names)) <= 11 else 2
    return columns, 0.19 * max(0, -(-len(names) // columns) - 3)


def svg(figure: "Figure", name: str, title: str, description: str = "") -> str:
    """The figure as an SVG element: alone in a file, or in a page beside any others.

    `title` and `description` are what a screen reader says. Nothing in it has a style that a page
    could see, or that its content security policy could forbid; ids begin with `name` and a digest
    of what is drawn, so that no two different figures of a page or a notebook share one.
    """
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=nothing)
    drawn = out.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace(INK, "currentColor")
    # Matplotlib's sheet is for every element of the page: as attributes of the root, its two
    # settings are inherited in the figure alone.
    drawn = re.sub(r"\s*<style.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r' style="([^"]*)"', lambda m: _attributes(m[1]), drawn)
    drawn = re.sub(r' d="([^"]+)"', lambda m: f' d="{_shorter(m[1])}"', drawn)
    drawn = re.sub(r"\n\s*", "\n", drawn)
    empty = 1
    while empty:
        drawn, empty = re.subn(r"<(g|defs)(?:/>|>\n</\1>)\n", "", drawn)
    # Matplotlib's ids are random or count from one in every figure. Those that are referred to
    # get the figure's name, a digest and a number; the others go.
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn))
    numbers = {old: str(number) for number, old in enumerate(used)}
    drawn = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{numbers[m[1]]}"' if m[1] in numbers else "", drawn
    )
    drawn = re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + numbers[m[2]], drawn)
    own = f"{name}-{hashlib.sha256(drawn.encode()).hexdigest()[:8]}"
    drawn = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{own}-", drawn)
    words = f'<title id="{own}-title">{escape(title)}</title>'
    if description:
        words += f'\n<desc id="{own}-desc">{escape(description)}</desc>'
    named = f"{own}-title {own}-desc" if description else f"{own}-title"
    root = f'<svg role="img" aria-labelledby="{named}"'
    inherited = 'stroke-linejoin="round" stroke-linecap="butt"'
    return re.sub(r"<svg([^>]*)>", lambda m: f"{root} {inherited}{m[1]}>\n{words}", drawn, count=1)


def _attributes(style: str) -> str:
    """Declarations as attributes of their own; of one that is there twice, the last."""
    pairs = dict(each.split(":", 1) for each in style.split(";") if each.strip())
    return "".join(f' {key.strip()}="{value.strip()}"' for key, value in pairs.items())


def _shorter(path: str) -> str:
    """The path in fewer characters; a hundredth of a point is finer than any screen."""
    path = re.sub(r"(\.\d\d)\d+", r"\1", " ".join(path.split()))
    path = re.sub(r"(\.\d*?)0+(?=\D|$)", lambda m: m[1].rstrip("."), path)
    return re.sub(r" ?([A-Za-z]) ?", r"\1", path)
