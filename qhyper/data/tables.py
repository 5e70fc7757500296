"""A table in a text file: its lines as cells.

Read strictly: what could be meant in two ways is refused, in words and with the line.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from qhyper.data.cells import with_point
from qhyper.data.headers import header_of
from qhyper.errors import ConfigurationError, StorageError

SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Table:
    """Cells of a text file, with white space around them left out."""

    header: tuple[str, ...] | None
    rows: list[list[str]]
    """all of the same width"""
    lines: list[int]
    """the line in the file where each row begins, from 1"""
    written: list[list[str]]
    """the cells as the file has them, with decimal commas"""
    separator: str
    """of columns"""

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0])

    def take(self, rows: Sequence[int] | None = None, columns: int | None = None) -> "Table":
        """Only these rows, and the first `columns` columns."""
        which = range(len(self.rows)) if rows is None else rows
        return replace(
            self,
            header=self.header and self.header[:columns],
            rows=[self.rows[i][:columns] for i in which],
            written=[self.written[i][:columns] for i in which],
            lines=[self.lines[i] for i in which],
        )

    def name(self, column: int) -> str:
        """A column in words: by its name, or by its number from 1."""
        named = self.header and self.header[column]
        return f"column '{named}'" if named else f"column {column + 1}"


def read_table(path: Path) -> Table:
    """The table in a text file in UTF-8: commas, semicolons or tabs between the columns.

    A comma inside numbers is a decimal one where semicolons or tabs separate columns. The first
    line is a header if it holds names. Raises ConfigurationError for whatever is no such table, or
    could be meant in two ways; StorageError if the file cannot be read.
    """
    try:
        content = path.read_bytes()
        _check_is_text(path, content)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error}.") from error
    except UnicodeDecodeError as error:
        raise StorageError(
            f"Cannot read {path} as CSV in UTF-8: {error}. Save it as UTF-8."
        ) from error
    separator, skipped = _separator(text)
    numbered = list(islice(_lines(text, separator), skipped, None))
    if not numbered:
        raise ConfigurationError("Got no rows, expected features and a label in each line.")
    rows, lines = [cells for cells, _ in numbered], [line for _, line in numbered]
    written = rows
    if separator != ",":
        rows = [[with_point(cell) for cell in cells] for cells in rows]
    header = header_of(rows, lines)
    if header is not None:
        header = tuple(written[0])
        rows, written, lines = rows[1:], written[1:], lines[1:]
    if not rows:
        raise ConfigurationError("Got no rows below the header, expected features and a label.")
    table = _without_empty_end(Table(header, rows, lines, written, separator))
    _check_widths(table)
    return table


def _check_is_text(path: Path, content: bytes) -> None:
    """Raise StorageError for what is compressed, and for encodings of two bytes a letter."""
    if content[:2] in (b"\x1f\x8b", b"PK"):
        raise StorageError(f"Cannot read {path} as CSV in UTF-8: it is compressed. Unpack it.")
    begins = content[:100].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begins.startswith((b"[{", b'{"', b"<!doctype", b"<html")):
        kind = "JSON" if begins[:1] in b"[{" else "a web page"
        raise StorageError(f"Cannot read {path} as CSV in UTF-8: it is {kind}. Save it as CSV.")
    if b"\0" in content:
        raise StorageError(
            f"Cannot read {path} as CSV in UTF-8: it has bytes of value 0, as UTF-16 has. Save it "
            "as UTF-8."
        )


# -- lines and separators --------------------------------------------------------------------------


def _separator(text: str) -> tuple[str, int]:
    """What stands between columns, and how many lines only say so (`sep=;`, as Excel has it).

    The first line decides, outside quotes: a semicolon before a tab, and a tab before a comma, for
    commas are also in numbers.
    """
    first = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")
    said = re.fullmatch(r"(?i)\"?sep=(.)\"?", first.rstrip("\r\n"))
    if said:
        return said[1], 1
    return next((mark for mark in ";\t" if mark in _bare(first)), ","), 0


def _bare(line: str) -> str:
    """A line without what is in quotes."""
    return re.sub(r'"[^"]*"', "", line)


def _lines(text: str, separator: str) -> Iterator[tuple[list[str], int]]:
    """Cells of every line that is not empty, and the number of the line."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    begun = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                if reader.line_num > begun:
                    raise csv.Error("a cell goes on in the next line")
                yield stripped, begun
            begun = reader.line_num + 1
    except csv.Error as error:
        if begun == 1 and separator not in _bare(text.partition("\n")[0]):
            raise ConfigurationError(
                "Got no comma, semicolon or tab in line 1; expected one of them between columns. "
                "If there are spaces, write the file again with commas (sep=',')."
            ) from error
        raise ConfigurationError(
            f"Got a line {begun} that is no CSV: {error}. Is a quotation mark missing or one too "
            "many there? A quoted cell begins and ends with one, in the same line."
        ) from error


def _without_empty_end(table: Table) -> Table:
    """Without last columns that have neither a name nor a value, as Excel writes them."""
    header = table.header or ()
    named = max((i + 1 for i, name in enumerate(header) if name), default=0)
    if named < 2 or any(any(row[named:]) for row in table.rows):
        return table
    return table.take(columns=named)


def _check_widths(table: Table) -> None:
    """Refuse lines of different widths, and a single column."""
    widths = [len(row) for row in table.rows]
    usual = Counter(widths).most_common(1)[0][0]
    if table.header is not None and len(table.header) != usual:
        names, advice = len(table.header), "Give every column a name, and no more."
        if names == 1:
            advice = "Remove the first line if it is a title or a comment."
        elif names == usual - 1:
            advice = (
                "Is the first column row numbers (R's row names)? Give it a name too, and leave "
                "it out with --drop NAME. Or is there a decimal comma?"
            )
        raise ConfigurationError(
            f"Got a header of {names} names over rows of {usual} cells (line {table.lines[0]}); "
            f"expected as many. {advice}"
        )
    for width, line in zip(widths, table.lines, strict=True):
        if width != usual or width < 2:
            raise ConfigurationError(
                f"Got {width} column(s) in line {line}, expected {max(usual, 2)}: features and a "
                "label, with commas, semicolons or tabs between them."
            )
