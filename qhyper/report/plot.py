"""A finished figure: its drawing, the data that it shows, and both in words."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

TABLE = 60
"""Rows of data that a page shows as a table; more are in its CSV alone."""


@dataclass(frozen=True, repr=False)
class Plot:
    """One figure of an outcome; a notebook draws it in the colour of the text around it.

    `Path("learning.svg").write_text(plot.svg)` makes a file of it, and `plot.csv()` has its data.
    """

    name: str
    """such as learning"""
    title: str
    caption: str
    """how it is to be read"""
    description: str
    """what is seen, for who does not see it"""
    svg: str
    """one SVG element that stands alone as well; `currentColor` is its ink"""
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """the data, under `columns`"""

    def csv(self) -> str:
        """The data as CSV with a header: floats in six digits, nothing in a cell for None."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.cells())
        return out.getvalue()

    def cells(self) -> list[list[str]]:
        """The data as text."""
        return [[_text(value) for value in row] for row in self.rows]

    @property
    def has_table(self) -> bool:
        """Whether a page has room for the data as a table."""
        return 0 < len(self.rows) <= TABLE

    @property
    def numbers(self) -> list[int]:
        """Places of the columns that hold numbers."""
        return [
            place
            for place, column in enumerate(zip(*self.rows, strict=True))
            if all(value is None or isinstance(value, int | float) for value in column)
        ]

    def links(self) -> list[tuple[str, str, str]]:
        """(words, name of the file, data URI) of what a page offers to keep."""
        return [
            ("SVG", f"{self.name}.svg", _address("image/svg+xml", self.svg)),
            ("data as CSV", f"{self.name}.csv", _address("text/csv", self.csv())),
        ]

    def __repr__(self) -> str:
        return f"Plot '{self.name}': {self.title}; {len(self.rows):,} rows of data"

    def _repr_html_(self) -> str:
        """The figure with its caption, whose styles stay inside it."""
        from qhyper.report.templates import rendered

        return rendered("report/plot.html.j2", plot=self)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _address(kind: str, content: str) -> str:
    """Content as an address of its own, with as little escaped as browsers need."""
    content = content.replace('"', "'") if kind == "image/svg+xml" else content
    return f"data:{kind};charset=utf-8,{quote(content, safe=_SAFE)}"


_SAFE = " !$'()*+,-./:;=?@[]_|~"
