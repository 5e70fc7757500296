"""The first line of a table: names of its columns, or a row like the others."""

from collections import Counter
from collections.abc import Sequence
from operator import eq

from qhyper.data.cells import is_missing, is_number
from qhyper.errors import ConfigurationError

LABELS = (
    "label", "labels", "class", "classes", "target", "targets", "y",
    "species", "diagnosis", "outcome", "survived",
)  # fmt: skip
"""Names by which a header says which column is the label, in any case."""


def header_of(rows: Sequence[Sequence[str]], lines: Sequence[int]) -> tuple[str, ...] | None:
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
