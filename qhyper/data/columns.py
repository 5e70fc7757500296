"""Columns of a table as features and labels: which is which, and their numbers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from qhyper.data.tables import LABELS, Table, is_missing, is_number, number
from qhyper.errors import ConfigurationError, unknown

_ROW_NUMBERS = 10
"""Without a header, a first column that counts so many rows one by one is no feature."""
_ID = re.compile(
    r"(?i:(.*[\W_])?id|index|idx|rowid|row|rownames|row[ _]names|unnamed: 0)|.*[a-z]I[dD]"
)
"""Names of columns that tell rows apart: id, customer_id, PassengerId, ..."""


@dataclass(frozen=True)
class Columns:
    """Features and labels of a table, row by row."""

    x: npt.NDArray[np.float64]
    """[row, feature]"""
    y: list[str]
    """labels, as the file has them"""
    names: tuple[str, ...] | None
    """of the features, None without a header"""
    lines: list[int]
    """in the file, of each row"""
    label: str | int
    """name or number of the column of labels"""


def columns(
    table: Table,
    *,
    label: str | int | None = None,
    drop: Sequence[str | int] = (),
    missing: str | None = None,
) -> Columns:
    """The features and labels of a table.

    `label` is the column of the labels, by its name in the header or its number from 1: the last
    unless told. Those of `drop` are left out. With missing="drop" rows in which a value is missing
    are left out. Raises ConfigurationError for columns that are not there, that nobody can have
    meant as features, and for cells that are no numbers.
    """
    dropped = {_find(table, name, "--drop") for name in drop}
    kept = [i for i in range(table.width) if i not in dropped]
    at = _label_column(table, kept) if label is None else _find(table, label, "--label")
    if at in dropped:
        raise ConfigurationError(
            f"Got {table.name(at)} as the label and among those to leave out; expected one of both."
        )
    features = [i for i in kept if i != at]
    if not features:
        raise ConfigurationError(
            f"Got no column beside the label, {table.name(at)}; expected at least one feature."
        )
    table = _without_missing(table, [*features, at], missing)
    _check_features(table, features)
    x = np.array([[_value(row[i]) for i in features] for row in table.rows])
    names = None if table.header is None else tuple(table.header[i] for i in features)
    name = table.header[at] if table.header else at + 1
    return Columns(x, [row[at] for row in table.rows], names, table.lines, name)


def has_column(table: Table, name: str | int) -> bool:
    """Whether a table has a column of this name in its header, or of this number from 1."""
    named = table.header is not None and name != "" and str(name) in table.header
    return named or (str(name).isdecimal() and 1 <= int(name) <= table.width)


def called(tables: Sequence[Table], name: str | int, option: str) -> str | int:
    """The name of a column that is given by its number, where the first table has one.

    Raises ConfigurationError if no table has the column.
    """
    if not any(has_column(table, name) for table in tables):
        _find(tables[0], name, option)
    first = tables[0]
    if first.header is None or not has_column(first, name):
        return name
    column = _find(first, name, option)
    return first.header[column] or column + 1


def _find(table: Table, name: str | int, option: str) -> int:
    """The column called `name`, or with this number from 1."""
    if table.header is not None and str(name) in table.header and name != "":
        return table.header.index(str(name))
    if str(name).isdecimal() and 1 <= int(name) <= table.width:
        return int(name) - 1
    if table.header is None:
        raise ConfigurationError(
            f"Got {option} {name} for a file without a header; expected the number of a column, "
            f"1 to {table.width}. Give the number, or write a header."
        )
    raise unknown("column", str(name), [name for name in table.header if name])


def _label_column(table: Table, kept: Sequence[int]) -> int:
    """The last column that is kept, unless the header calls another one the label."""
    if not kept:
        raise ConfigurationError("Got every column to leave out; expected features and a label.")
    header, last = table.header, kept[-1]
    if header is None:
        return last
    called = [i for i in kept if header[i].lower() in LABELS]
    if last in called:  # y beside it is a coordinate
        called = [last, *(i for i in called if i != last and header[i].lower() != "y")]
    if called and called != [last]:
        raise ConfigurationError(
            f"Got the column{'s' * (len(called) > 1)} "
            f"{' and '.join(repr(header[i]) for i in called)} in a header that ends with "
            f"'{header[last]}'; expected the label in the last column. Say which column it is: "
            f"--label {header[called[0]]}."
        )
    return last


def _without_missing(table: Table, used: Sequence[int], missing: str | None) -> Table:
    """Without rows in which a value is missing, if that is asked for; else there must be none."""
    if missing not in (None, "drop"):
        raise ConfigurationError(f"Got missing='{missing}'; expected 'drop', or nothing.")
    *features, label = used
    gaps = [
        [i for i in features if is_missing(row[i])] + [label] * _is_no_label(row[label])
        for row in table.rows
    ]
    holes = [row for row, gap in enumerate(gaps) if gap]
    if not holes:
        return table
    if missing is None:
        first = holes[0]
        raise ConfigurationError(
            f"Got {sum(map(len, gaps))} missing value(s) in {len(holes)} of {len(gaps)} rows, "
            f"the first, '{table.rows[first][gaps[first][0]]}', in line {table.lines[first]}, "
            f"column {gaps[first][0] + 1}; expected none. Fill them in, leave the rows out with "
            "--missing drop, or leave the column out with --drop."
        )
    if len(holes) == len(gaps):
        always = next((i for i in used if all(i in gap for gap in gaps)), None)
        which = "" if always is None else f" {table.name(always)} has none: --drop {always + 1}."
        raise ConfigurationError(
            f"Got no row without a missing value; expected some. Fill them in.{which}"
        )
    kept = [row for row, gap in enumerate(gaps) if not gap]
    return Table(table.header, [table.rows[i] for i in kept], [table.lines[i] for i in kept])


def _is_no_label(cell: str) -> bool:
    return is_missing(cell) and cell != "None"  # which may be a class


def _value(cell: str) -> float:
    return float(cell.lower() == "true") if cell.lower() in ("true", "false") else number(cell)


def _check_features(table: Table, features: Sequence[int]) -> None:
    """Refuse features that have no name beside others, are text, or number the rows."""
    for i in features:
        if table.header is not None and not table.header[i]:
            raise ConfigurationError(
                f"Got a header without a name for column {i + 1} ({table.rows[0][i]}, ...), which "
                "may be row numbers, as pandas writes them; expected names. Leave the column out "
                f"with --drop {i + 1}, or give it a name if it is a feature."
            )
        cells = [row[i] for row in table.rows]
        if all(cell.lower() in ("true", "false") for cell in cells):
            continue
        wrong = [row for row, cell in enumerate(cells) if not is_number(cell)]
        if wrong:
            raise _not_a_number(table, i, wrong)
        if _numbers_rows(table, i, cells):
            raise ConfigurationError(
                f"Got {table.name(i)} that numbers the rows ({', '.join(cells[:3])}, ...); "
                f"expected features. Leave it out with --drop {_called(table, i)}."
            )


def _not_a_number(table: Table, column: int, wrong: Sequence[int]) -> ConfigurationError:
    cell, line = table.rows[wrong[0]][column], table.lines[wrong[0]]
    got = f"Got '{_short(cell)}' in line {line}, column {column + 1}"
    expected = f"{got}, expected a finite number, of at most 15 digits or so, with a point"
    if len(wrong) * 2 <= len(table.rows):
        return ConfigurationError(f"{expected}. Correct the cell, or remove the line.")
    name = _called(table, column)
    is_label = f"If it is the label, say so with --label {name}; if not, leave"
    advice = is_label if _looks_like_label(table, column) else "Leave"
    return ConfigurationError(
        f"{got}: {table.name(column)} is text, expected numbers. {advice} it out with --drop "
        f"{name}, or write its values as numbers."
    )


def _looks_like_label(table: Table, column: int) -> bool:
    """Whether every text of a column comes at least twice."""
    return min(Counter(row[column] for row in table.rows).values()) > 1


def _called(table: Table, column: int) -> str:
    """What `--drop` and `--label` call a column."""
    name = table.header[column] if table.header else ""
    return (f'"{name}"' if " " in name else name) or str(column + 1)


def _short(cell: str) -> str:
    return cell if len(cell) <= 40 else f"{cell[:37]}..."


def _numbers_rows(table: Table, column: int, cells: Sequence[str]) -> bool:
    """Whether a column of whole numbers tells rows apart: it is called id, or counts them."""
    values = [number(cell) for cell in cells]
    whole = all(value.is_integer() for value in values)
    if not whole or len(set(values)) < len(values):
        return False
    if table.header is None:
        by_one = all(b - a == 1 for a, b in pairwise(values))
        return column == 0 and len(values) >= _ROW_NUMBERS and by_one
    return _ID.fullmatch(table.header[column]) is not None
