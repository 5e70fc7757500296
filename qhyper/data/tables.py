"""A table in a text file: its lines as cells, its header, and what a cell says as a number.

Read strictly: what could be meant in two ways is refused, in words and with the line.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import eq
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError, StorageError

SUFFIXES = (".csv", ".tsv")

LABELS = (
    "label", "labels", "class", "classes", "target", "targets", "y",
    "species", "diagnosis", "outcome", "survived",
)  # fmt: skip
"""Names by which a header says which column is the label, in any case."""

MISSING = frozenset(
    (
        "", "NA", "na", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "Nan", "NAN", "NULL", "Null",
        "null", "None", "none", "?", "-", ".", "#DIV/0!",
    )
)  # fmt: skip
"""Cells that say that a value is missing, written so: `Na` may be sodium."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NUMBERS = re.compile(rf"({_NUMBER.pattern}\n)*{_NUMBER.pattern}")
_SURE = 15
"""Digits that float64 has always."""
_WHOLE = re.compile(r"[+-]?[0-9]+")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


@dataclass(frozen=True)
class Table:
    """Cells of a text file, with white space around them left out."""

    header: tuple[str, ...] | None
    rows: list[list[str]]
    """all of the same width"""
    lines: list[int]
    """the line in the file where each row begins, from 1"""

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0])

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
    if separator != ",":
        _use_decimal_points(rows, lines)
    header = _header(rows, lines)
    if header is not None:
        rows, lines = rows[1:], lines[1:]
    if not rows:
        raise ConfigurationError("Got no rows below the header, expected features and a label.")
    table = _without_empty_end(Table(header, rows, lines))
    _check_widths(table)
    return table


def number(cell: str) -> float:
    """A cell as a finite number as CSV has them, NaN if it is something else.

    A whole number that float64 would round is something else, too.
    """
    if not _NUMBER.fullmatch(cell):
        return math.nan
    found = float(cell)
    rounded = len(cell) > _SURE and _WHOLE.fullmatch(cell) and int(found) != int(cell)
    return math.nan if rounded or math.isinf(found) else found


def numbers(cells: Sequence[str]) -> npt.NDArray[np.float64]:
    """`number` of every cell, float64 [cell]."""
    if _NUMBERS.fullmatch("\n".join(cells)) and max(map(len, cells)) <= _SURE:
        found = np.array(list(map(float, cells)))
        if np.isfinite(found).all():
            return found
    return np.array(list(map(number, cells)))


def is_number(cell: str) -> bool:
    """Whether a cell holds a finite number."""
    return not math.isnan(number(cell))


def is_missing(cell: str) -> bool:
    """Whether a cell says that its value is missing."""
    return cell in MISSING


def _check_is_text(path: Path, content: bytes) -> None:
    """Raise StorageError for what is compressed, and for encodings of two bytes a letter."""
    if content[:2] in (b"\x1f\x8b", b"PK"):
        raise StorageError(f"Cannot read {path} as CSV in UTF-8: it is compressed. Unpack it.")
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
    bare = re.sub(r'"[^"]*"', "", first)
    return next((mark for mark in ";\t" if mark in bare), ","), 0


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
        raise ConfigurationError(
            f"Got a line {begun} that is no CSV: {error}. Is a quotation mark missing or one too "
            "many there? A quoted cell begins and ends with one, in the same line."
        ) from error


def _use_decimal_points(rows: list[list[str]], lines: list[int]) -> None:
    """Replace decimal commas, in place; ConfigurationError where commas could be others.

    Commas are decimal unless all numbers with one look like thousands (1,234).
    """
    cells = [
        (i, j, cell)
        for i, row in enumerate(rows)
        for j, cell in enumerate(row)
        if _COMMA.fullmatch(cell)
    ]
    if not cells:
        return
    with_point = next(
        (
            (cell, line)
            for row, line in zip(rows, lines, strict=True)
            for cell in row
            if "." in cell and is_number(cell)
        ),
        None,
    )
    i, _, first = cells[0]
    if with_point:
        raise ConfigurationError(
            f"Got '{first}' in line {lines[i]} and '{with_point[0]}' in line {with_point[1]}: "
            "expected decimal commas or decimal points, not both. Write all numbers in one way."
        )
    if all(_THOUSANDS.fullmatch(cell) for _, _, cell in cells):
        raise ConfigurationError(
            f"Got '{first}' in line {lines[i]}, which may be a decimal number or thousands. Write "
            "numbers with decimal points, and thousands without a comma."
        )
    for i, j, cell in cells:
        rows[i][j] = cell.replace(",", ".")


def _without_empty_end(table: Table) -> Table:
    """Without a last column that has neither a name nor a value: every line ends with a comma."""
    header, rows = table.header, table.rows
    if header is None or len(header) < 2:
        return table
    named = len(header) if header[-1] else len(header) - 1
    if any(len(row) != named + 1 or row[-1] for row in rows):
        return table
    return Table(header[:named], [row[:-1] for row in rows], table.lines)


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


# -- the header ------------------------------------------------------------------------------------


def _header(rows: Sequence[Sequence[str]], lines: Sequence[int]) -> tuple[str, ...] | None:
    """The names in the first row, None if it is a row like the others."""
    first, below = rows[0], rows[1:]
    numeric = [i for i, cell in enumerate(first) if is_number(cell)]
    if len(numeric) == sum(map(bool, first)):
        _check_not_counted([first[i] for i in numeric], lines[0])
        return None
    if numeric and not _are_names(first, numeric, below, lines[0]):
        return None
    if not numeric and not _are_all_names(first, below, lines):
        return None
    for name, count in Counter(cell for cell in first if cell).items():
        if count > 1:
            raise ConfigurationError(
                f"Got {count} columns called '{name}' in the header (line {lines[0]}), expected "
                "different names. Rename them, or give the file a header if this is a row."
            )
    return tuple(first)


def _are_all_names(
    first: Sequence[str], below: Sequence[Sequence[str]], lines: Sequence[int]
) -> bool:
    """Whether a first row without a number is a header; ConfigurationError if it comes again."""
    for i, cell in enumerate(first):
        sodium = cell.upper() == "NA" and _over_number(i, below)
        if is_missing(cell) and cell and not sodium:
            return False  # it is reported as such
    if not any(map(_is_name, first)):
        return False
    for row, line in zip(below, lines[1:], strict=True):
        if row == first and any(_over_number(i, below) for i, cell in enumerate(first) if cell):
            raise ConfigurationError(
                f"Got the header of line {lines[0]} again in line {line}; expected it once. "
                "Remove it, or the row if it is one."
            )
    return not _recurs(first, below)


def _over_number(column: int, rows: Sequence[Sequence[str]]) -> bool:
    return any(column < len(row) and is_number(row[column]) for row in rows)


def _recurs(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a name in the first row stands in the same column below, as classes do."""
    names = [cell if _is_name(cell) and cell.lower() not in LABELS else None for cell in first]
    return any(any(map(eq, row, names)) for row in below)


def _come_again(columns: Sequence[int], rows: Sequence[Sequence[str]]) -> bool:
    """Whether every text in some column comes at least twice, as classes do."""
    return any(
        min(Counter(row[i] for row in rows if i < len(row)).values(), default=0) > 1
        for i in columns
    )


def _is_name(cell: str) -> bool:
    no_name = is_missing(cell) or cell.lower() in ("true", "false")
    return any(character.isalpha() for character in cell) and not no_name


def _is_count(cells: Sequence[str]) -> bool:
    """Whether cells are 0, 1, 2, ... or 1, 2, 3, ..., as in a header made of columns' numbers."""
    return any(list(cells) == [str(i + k) for i in range(len(cells))] for k in (0, 1))


def _check_not_counted(first: Sequence[str], line: int) -> None:
    """Refuse a first row 0, 1, ..., n - 1: it may be a header, as pandas writes it, or a row."""
    if len(first) > 1 and _is_count(first) and (first[0] == "0" or len(first) > 2):
        raise ConfigurationError(
            f"Got {', '.join(first[:3])}{', ...' * (len(first) > 3)} in line {line}, which may be "
            "a header of numbers, as pandas writes it, or a row. Replace it by names if it is a "
            "header; write a header of names above it if it is a row."
        )


def _are_names(
    first: Sequence[str], numeric: Sequence[int], below: Sequence[Sequence[str]], line: int
) -> bool:
    """Whether a first row of text and numbers is a header; ConfigurationError if nobody can tell.

    It is one if its numbers count columns, or if it calls a column `label` or the like. It is a row
    if its text stands in columns of text.
    """
    texts = [i for i, cell in enumerate(first) if i not in numeric and cell]
    counted = len(numeric) > 1 and _is_count([first[i] for i in numeric])
    over_text = [
        any(i < len(row) and row[i] and not is_number(row[i]) for row in below) for i in texts
    ]
    if all(is_missing(first[i]) for i in texts) or _recurs(first, below):
        return False
    if any(first[i].lower() in LABELS for i in texts) or (counted and not any(over_text)):
        return True
    if below and all(over_text) and not _come_again(texts, below):
        return False
    wrong = next((i for i, text in zip(texts, over_text, strict=True) if not text), texts[0])
    raise ConfigurationError(
        f"Got '{first[wrong]}' in line {line}, column {wrong + 1}, beside numbers: expected a "
        "header of names alone, or a row of numbers and a label. Correct the cell, or the header; "
        "if it is the only row of its class, put it further down."
    )
