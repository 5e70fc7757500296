"""The figures of a comparison as files for a paper, as wide as one column of it or two."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qhyper.report.drawing import INK, WIDTH, legend_shape
from qhyper.report.figures import draw
from qhyper.report.results import Result, Spectrum
from qhyper.report.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {"one-column": 3.35, "two-columns": 6.9}
"""Widths in inches."""
FORMATS = ("svg", "pdf", "png")
DOTS = 600
"""Of a PNG, an inch."""

_POINTS = {"one-column": 7.0, "two-columns": 8.0}
"""Size of the letters of ticks and legend, which a page on a screen has at 9."""
_ON_SCREEN = 9.0
_STACKED = 0.7
"""Of the height that a column of a page on a screen has, for axes one under another."""
_LETTER = 0.55
"""Width of a letter on the average, as a share of its size, with some to spare."""
_HANDLE = 6.5
"""Width of a line in a legend with what surrounds it, as a multiple of the letters' size."""
_LINE = 1.75
"""Height of a row of a legend in the same way."""
_ROWS = 3
"""Of a legend, for which a figure has room."""
_SETTINGS: Any = {"pdf.fonttype": 42, "svg.hashsalt": "qhyper"}
"""Letters in a PDF are TrueType, as publishers ask for; the same figure has the same bytes."""
_METADATA: Mapping[str, Mapping[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


def figure_files(
    summary: Summary, results: Sequence[Result], spectrum: Spectrum | None
) -> dict[str, bytes]:
    """The content of every figure's files by name, such as `learning-one-column.pdf`.

    SVG, PDF and PNG of each figure that has anything to show, for one column (3.35 inches) and two
    (6.9 inches).
    """
    from matplotlib import rc_context

    files = {}
    for columns, width in COLUMNS.items():
        for name, figure in draw(summary, results, spectrum).items():
            _fit(figure, width, _POINTS[columns])
            for form in FORMATS:
                out = io.BytesIO()
                ground = "white" if form == "png" else "none"
                with rc_context(_SETTINGS):
                    figure.savefig(
                        out, format=form, dpi=DOTS, facecolor=ground, metadata=_METADATA[form]
                    )
                files[f"{name}-{columns}.{form}"] = out.getvalue()
    return files


def _fit(figure: "Figure", width: float, points: float) -> None:
    """Make a figure so wide, with letters and lines to match."""
    from matplotlib.text import Text

    scale = points / _ON_SCREEN
    height = figure.get_figheight() - sum(
        legend_shape([text.get_text() for text in made.get_texts()])[1] for made in figure.legends
    )
    height *= scale * (_STACKED if len(figure.axes) > 1 else 1.0)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontsize(float(text.get_fontsize()) * scale)
    for axes in figure.axes:
        axes.tick_params(which="both", labelsize=points)
        for line in axes.lines:
            _scale(line, scale)
        for outline in axes.patches:
            outline.set_linewidth(outline.get_linewidth() * min(1.0, width / WIDTH))
    rows = _legend_anew(figure, width, points, scale) if figure.legends else 0
    height += max(0, rows - _ROWS) * _LINE * points / 72
    figure.set_size_inches(width, height)


def _scale(line: Any, scale: float) -> None:
    line.set(linewidth=line.get_linewidth() * scale, markersize=line.get_markersize() * scale)


def _legend_anew(figure: "Figure", width: float, points: float, scale: float) -> int:
    """The legend with as many columns as the width has room for: how many rows it has."""
    (before,) = figure.legends
    handles = [handle for handle in before.legend_handles if handle is not None]
    words = [text.get_text() for text in before.get_texts()]
    for handle in handles:
        _scale(handle, scale)
    each = (max(map(len, words)) * _LETTER + _HANDLE) * points / 72
    columns = max(1, min(len(words), int(width / each)))
    before.remove()
    made = figure.legend(
        handles, words, loc="outside lower center", ncols=columns, frameon=False, fontsize=points,
        labelcolor=INK, handlelength=3,
    )  # fmt: skip
    for text in made.get_texts():
        text.set_parse_math(False)
    return -(-len(words) // columns)
