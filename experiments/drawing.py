"""What the pictures of all studies share: they stand alone, and read on white and on black."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qhyper.report.drawing import INK, bare, svg
from qhyper.storage import write_whole

TEXT = "#7a8490"
"""In the place of the page's text colour: a grey that reads on white and on black."""


def new_panels(size: tuple[float, float], rows: int, columns: int, **shared: Any) -> Any:
    """A figure and its axes [row][column]; `shared` as in Figure.subplots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    panels = figure.subplots(rows, columns, squeeze=False, **shared)
    for axes in panels.flat:
        bare(axes, fontsize=8)
    return figure, panels


_LEGEND = {"frameon": False, "fontsize": 8, "labelcolor": INK, "handlelength": 2.6}


def legend_below(figure: Any, handles: Sequence[Any], columns: int) -> None:
    """A legend of lines under all panels."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **_LEGEND)


def legend_under(axes: Any, handles: Sequence[Any], columns: int) -> None:
    """A legend of lines under one panel, where panels show different things."""
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns, **_LEGEND
    )


def save(figure: Any, path: Path, title: str) -> None:
    """Write the figure as an SVG file."""
    for axes in figure.axes:
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            text.set(color=INK, fontsize=9)
    drawn = svg(figure, path.stem, title).replace("currentColor", TEXT)
    write_whole(path, drawn.encode())
