"""The first line of a table: names of its columns, or a row like the others."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from operator import eq

from qhyper.data.cells import is_missing, is_number, is_truth, number
from qhyper.errors import ConfigurationError

LABELS = (
    "label", "labels", "class", "classes", "target", "targets", "y",
    "species", "diagnosis", "outcome", "survived",
)  # fmt: skip
"""Names by which a header says which column is the label, in any case."""

_YEARS = (1900, 2100)
"""Whole numbers in between may be years."""


def header_of(rows: Sequence[Sequence[str]], lines: Sequence[int]) -> tuple[str, ...] | None:
    """The names in the first row, None if it is a row like the others."""
    first, below = rows[0], rows[1:]
    numeric = [i for i, cell in enumerate(first) if is_number(cell)]
    if len(numeric) == sum(map(bool, first)):
        _check_no_names(first, numeric, below, lines[0])
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
    named = [i for i, cell in enumerate(first) if _is_name(cell)]
    above = any(_over_number(i, below) for i in named)
    labels = any(first[i].lower() in LABELS for i in named)
    for i, cell in enumerate(first):
        sodium = cell.upper() == "NA" and _over_number(i, below) and (above or labels)
        if is_missing(cell) and cell and not sodium:
            return False  # it is reported as such
    if not named or any(is_truth(cell) and _over_truth(i, below) for i, cell in enumerate(first)):
        return False
    for row, line in zip(below, lines[1:], strict=True):
        if row == first and any(_over_number(i, below) for i, cell in enumerate(first) if cell):
            raise ConfigurationError(
                f"Got the header of line {lines[0]} again in line {line}; expected it once. "
                "Remove it, or the row if it is one."
            )
    return not _recurs(first, below, but=LABELS if above else ())


def _over_truth(column: int, rows: Sequence[Sequence[str]]) -> bool:
    return any(column < len(row) and is_truth(row[column]) for row in rows)


def _over_number(column: int, rows: Sequence[Sequence[str]]) -> bool:
    return any(column < len(row) and is_number(row[column]) for row in rows)


def _recurs(first: Sequence[str], below: Sequence[Sequence[str]], but: Sequence[str] = ()) -> bool:
    """Whether a name in the first row stands in the same column below, as classes do.

    Those in `but` may be names and classes, as `y` is.
    """
    names = [cell if _is_name(cell) and cell.lower() not in but else None for cell in first]
    return any(any(map(eq, row, names)) for row in below)


def _come_again(columns: Sequence[int], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the texts in some column come twice or more in the mean, as classes do."""
    counts = [Counter(row[i] for row in rows if i < len(row)) for i in columns]
    return any(2 * len(count) <= count.total() for count in counts)


def _is_name(cell: str) -> bool:
    no_name = is_missing(cell) or is_truth(cell)
    return any(character.isalpha() for character in cell) and not no_name


def _is_count(cells: Sequence[str]) -> bool:
    """Whether cells are 0, 1, 2, ... or 1, 2, 3, ..., as in a header made of columns' numbers."""
    return any(list(cells) == [str(i + k) for i in range(len(cells))] for k in (0, 1))


def _made_by_pandas(cells: Sequence[str]) -> bool:
    """Whether cells are 0, 0.1, 5, 0.2: what pandas makes of a row 0, 0, 5, 0 as a header."""
    bases = [cell.partition(".")[0] for cell in cells]
    again = [bases[:i].count(base) for i, base in enumerate(bases)]
    known = [
        base.isdecimal() and cell == (f"{base}.{k}" if k else base)
        for cell, base, k in zip(cells, bases, again, strict=True)
    ]
    return all(known) and not all(map(str.isdecimal, cells))


def _rise(cells: Sequence[str]) -> bool:
    """Whether cells are three or more whole numbers that rise."""
    if len(cells) < 3 or not all(map(str.isdecimal, cells)):
        return False
    return all(a < b for a, b in pairwise(map(int, cells)))


def _are_numbered(cells: Sequence[str]) -> bool:
    """Whether cells rise from 0 or 1, or are years."""
    if not _rise(cells):
        return False
    return int(cells[0]) <= 1 or _YEARS[0] <= int(cells[0]) <= int(cells[-1]) <= _YEARS[1]


def _check_no_names(
    first: Sequence[str], numeric: Sequence[int], below: Sequence[Sequence[str]], line: int
) -> None:
    """Refuse a first row of numbers that may be names, as in 0, 1, ..., n - 1, or a row.

    Where the next row looks the same it is a row, unless it counts.
    """
    cells = [first[i] for i in numeric]
    counted = len(cells) > 1 and _is_count(cells) and (cells[0] == "0" or len(cells) > 2)
    following = [below[0][i] for i in numeric if i < len(below[0])] if below else cells
    numbered = _are_numbered(cells) and not _rise(following)
    made = _made_by_pandas(cells) and not _made_by_pandas(following)
    if counted or numbered or made:
        raise ConfigurationError(
            f"Got {', '.join(cells[:3])}{', ...' * (len(cells) > 3)} in line {line}, which may be "
            "a header of numbers, as pandas writes it, or a row. Replace it by names if it is a "
            "header; write a header of names above it if it is a row."
        )


def _out_of_order(first: Sequence[str], numeric: Sequence[int]) -> bool:
    """Whether some numbers have decimals and no order, as those of a row and not of a header."""
    values = [number(first[i]) for i in numeric]
    rising = sorted(set(values))
    ordered = len(values) > 2 and values in (rising, rising[::-1])
    return any(value % 1 for value in values) and not ordered


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
        if len(numeric) > 2:
            _check_no_names(first, numeric, below, line)
        return False
    if all(is_truth(first[i]) for i in texts):
        return False
    labels = [text for i, text in zip(texts, over_text, strict=True) if first[i].lower() in LABELS]
    if labels and not (all(labels) and _out_of_order(first, numeric)):
        return True
    if counted and not any(over_text):
        return True
    if below and all(over_text) and not _come_again(texts, below):
        return False
    wrong = next((i for i, text in zip(texts, over_text, strict=True) if not text), texts[0])
    raise ConfigurationError(
        f"Got '{first[wrong]}' in line {line}, column {wrong + 1}, beside numbers: expected a "
        "header of names alone, or a row of numbers and a label. Correct the cell, or the header; "
        "if it is the only row of its class, put it further down."
    )
