"""Columns of a table as features and labels: which is which, and their numbers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qhyper.data.cells import is_missing, is_number, is_truth, numbers
from qhyper.data.ids import has_name_of_ids, may_be_ids, mostly_differ, number_rows
from qhyper.data.label_column import check_not_one_hot, label_column, quoted
from qhyper.data.labels import missing_labels
from qhyper.data.tables import Table
from qhyper.errors import ConfigurationError, unknown

_DATE = re.compile(
    r"([0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4})?[T ]*([0-9]{1,2}(:[0-9]{2}){1,2}([.+:0-9]*)Z?)?"
)
"""A date, a time, or both."""


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
    used: dict[str | int, int]
    """where the columns in use are, by their names, or numbers from 1"""
    notes: tuple[str, ...]
    """what its user should know of how it was read"""


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
    at = label_column(table, kept) if label is None else _find(table, label, "--label")
    if at in dropped:
        raise ConfigurationError(
            f"Got {table.name(at)} as the label and among those to leave out; expected one of both."
        )
    features = [i for i in kept if i != at]
    if not features:
        raise ConfigurationError(
            f"Got no column beside the label, {table.name(at)}; expected at least one feature."
        )
    _check_named(table, features)
    notes = _check_no_ids(table, features)
    whole, table = table, _without_missing(table, [*features, at], missing)
    notes += _of_words_left_out(whole, table, at)
    y = [row[at] for row in table.rows]
    if label is None and has_name_of_ids(_name(table, at)) and mostly_differ(numbers(y)):
        raise ConfigurationError(
            f"Got {table.name(at)} as the last column, which tells rows apart; expected the label. "
            f"Say which column it is with --label, and leave this one out with --drop "
            f"{_called(table, at)}."
        )
    check_not_one_hot(table, kept, at)
    x = np.empty((len(table.rows), len(features)))
    for k, i in enumerate(features):
        x[:, k] = _feature(table, i)
    names = None if table.header is None else tuple(table.header[i] for i in features)
    used = {(table.header[i] if table.header else "") or i + 1: i for i in (*features, at)}
    name = (table.header[at] if table.header else "") or at + 1
    return Columns(x, y, names, table.lines, name, used, notes)


def has_column(table: Table, name: str | int) -> bool:
    """Whether a table has a column of this name in its header, or of this number from 1.

    A number that is no text, as `called` gives it, is that of a column without a name.
    """
    if table.header is not None and name != "" and str(name) in table.header:
        return True
    if not str(name).isdecimal() or not 1 <= int(name) <= table.width:
        return False
    return isinstance(name, str) or not (table.header and table.header[int(name) - 1])


def called(tables: Sequence[Table], name: str | int, option: str) -> str | int:
    """The name of a column that is given by its number, where the first table has one.

    Raises ConfigurationError if no table has the column.
    """
    if not any(has_column(table, name) for table in tables):
        _find(tables[0], name, option)
    first = tables[0]
    if not has_column(first, name):
        return name
    column = _find(first, name, option)
    return (first.header[column] if first.header else "") or column + 1


def _find(table: Table, name: str | int, option: str) -> int:
    """The column called `name`, or with this number from 1."""
    if has_column(table, name):
        named = table.header is not None and str(name) in table.header
        return table.header.index(str(name)) if table.header and named else int(name) - 1
    if table.header is None:
        raise ConfigurationError(
            f"Got {option} {name} for a file without a header; expected the number of a column, "
            f"1 to {table.width}. Give the number, or write a header."
        )
    raise unknown("column", str(name), [name for name in table.header if name])


def _without_missing(table: Table, used: Sequence[int], missing: str | None) -> Table:
    """Without rows in which a value is missing, if that is asked for; else there must be none."""
    if missing not in (None, "drop"):
        raise ConfigurationError(f"Got missing='{missing}'; expected 'drop', or nothing.")
    *features, label = used
    no_label = missing_labels([row[label] for row in table.rows])
    gaps = [
        [i for i in features if is_missing(row[i])] + [label] * none
        for row, none in zip(table.rows, no_label.tolist(), strict=True)
    ]
    holes = [row for row, gap in enumerate(gaps) if gap]
    if not holes:
        return table
    always = next((i for i in used if all(i in gap for gap in gaps)), None)
    if missing is None and always is not None and len(gaps) > 1:
        raise ConfigurationError(
            f"Got no value in {table.name(always)}; expected one in every row. Leave it out with "
            f"--drop {_called(table, always)}, or remove what ends every line if that makes it."
        )
    if missing is None:
        first = holes[0]
        raise ConfigurationError(
            f"Got {sum(map(len, gaps))} missing value(s) in {len(holes)} of {len(gaps)} rows, "
            f"the first, '{table.rows[first][gaps[first][0]]}', in line {table.lines[first]}, "
            f"column {gaps[first][0] + 1}; expected none. Fill them in, leave the rows out with "
            "--missing drop, or leave the column out with --drop; write what is a class otherwise."
            + _of_units(table, holes)
        )
    if len(holes) == len(gaps):
        which = "" if always is None else f" {table.name(always)} has none: --drop {always + 1}."
        raise ConfigurationError(
            f"Got no row without a missing value; expected some. Fill them in.{which}"
        )
    kept = [row for row, gap in enumerate(gaps) if not gap]
    return table.take(kept)


def _of_units(table: Table, holes: Sequence[int]) -> str:
    """Advice where the first row below the header has text over numbers, as of units."""
    if holes != [0] or table.header is None:
        return ""
    texts = [i for i, cell in enumerate(table.rows[0]) if cell and not is_number(cell)]
    if not any(is_number(row[i]) for i in texts for row in table.rows[1:]):
        return ""
    return f" If line {table.lines[0]} has units, remove it."


def _name(table: Table, column: int) -> str:
    return table.header[column] if table.header else ""


def _check_no_ids(table: Table, features: Sequence[int]) -> tuple[str, ...]:
    """Refuse row numbers, by name or as the first of several features; notes of what may be ids."""
    first, *others = features
    values = numbers([row[first] for row in table.rows])
    counts = number_rows(_name(table, first), values)
    if counts and others:
        raise _numbers_the_rows(table, first, "put it behind another column")
    for i in features:
        if has_name_of_ids(_name(table, i)) and mostly_differ(
            values if i == first else numbers([row[i] for row in table.rows])
        ):
            raise _numbers_the_rows(table, i, "give it another name")
    if not counts and not may_be_ids(_name(table, first), values):
        return ()
    return (
        f"The features begin with {table.name(first)}, which has another whole number in every "
        "row, as row numbers and identifiers do. Leave it out with --drop "
        f"{_called(table, first)} if it is no feature.",
    )


def _numbers_the_rows(table: Table, column: int, instead: str) -> ConfigurationError:
    shown = ", ".join(row[column] for row in table.rows[:3])
    decimal = table.header is None and table.separator == ","
    return ConfigurationError(
        f"Got {table.name(column)} that numbers the rows ({shown}, ...); expected features. Leave "
        f"it out with --drop {_called(table, column)}, or {instead} if it is a feature."
        + " If commas are decimal, write points."
        * decimal
    )


def _of_words_left_out(whole: Table, table: Table, label: int) -> tuple[str, ...]:
    """Notes of words such as NA that rows were left out for, and that may be a class."""
    classes = {row[label] for row in table.rows}
    words = Counter(row[label] for row in whole.rows if row[label] not in classes)
    return tuple(
        f"{count} rows with the label '{word}' are left out as missing. If that is a class, write "
        "it in another way."
        for word, count in words.items()
        if is_missing(word) and count > 1 and word.isalpha() and not any(map(is_number, classes))
    )


def _check_named(table: Table, features: Sequence[int]) -> None:
    """Refuse features without a name beside others that have one."""
    for i in features:
        if table.header is not None and not table.header[i]:
            advice = f"Leave the column out with --drop {i + 1}, or give it a name."
            if str(i + 1) in table.header:  # which --drop would leave out
                advice = "Give it a name in the first line, and leave it out with --drop NAME."
            if sum(map(bool, table.header)) == 1:
                advice = "Remove the first line if it is a title."
            raise ConfigurationError(
                f"Got a header without a name for column {i + 1} ({table.rows[0][i]}, ...), which "
                f"may be row numbers, as pandas writes them; expected names. {advice}"
            )


def _feature(table: Table, column: int) -> npt.NDArray[np.float64]:
    """The numbers of a column, True and False being 1 and 0.

    Raises ConfigurationError for text.
    """
    cells = [row[column] for row in table.rows]
    values = numbers(cells)
    if np.isnan(values).all() and all(map(is_truth, cells)):
        return np.array([float(cell.lower() == "true") for cell in cells])
    wrong = np.flatnonzero(np.isnan(values))
    if len(wrong):
        raise _not_a_number(table, column, wrong.tolist())
    return values


def _not_a_number(table: Table, column: int, wrong: Sequence[int]) -> ConfigurationError:
    cell, line = table.rows[wrong[0]][column], table.lines[wrong[0]]
    got = f"Got '{_short(cell)}' in line {line}, column {column + 1}"
    expected = f"{got}, expected a finite number, of at most 15 digits or so, with a point"
    if len(wrong) * 2 <= len(table.rows):
        return ConfigurationError(f"{expected}. Correct the cell, or remove the line.")
    name = _called(table, column)
    if not any(character.isalpha() for character in cell) or _DATE.fullmatch(cell):
        return ConfigurationError(
            f"{expected}, and {_what_it_lacks(cell)}. Write the column so, or leave it out with "
            f"--drop {name}."
        )
    is_label = f"If it is the label, say so with --label {name}; if not, leave"
    advice = is_label if _looks_like_label(table, column) else "Leave"
    return ConfigurationError(
        f"{got}: {table.name(column)} is text, expected numbers. {advice} it out with --drop "
        f"{name}, or write its values as numbers."
    )


def _what_it_lacks(cell: str) -> str:
    """What a cell without letters should be to be a number."""
    if _DATE.fullmatch(cell):
        return "no date or time: a number of days, or of seconds"
    if cell.endswith("%"):
        return "without a percent sign"
    return "without marks of thousands"


def _looks_like_label(table: Table, column: int) -> bool:
    """Whether every text of a column comes at least twice."""
    return min(Counter(row[column] for row in table.rows).values()) > 1


def _called(table: Table, column: int) -> str:
    """What `--drop` and `--label` call a column."""
    name = table.header[column] if table.header else ""
    return quoted(name) or str(column + 1)


def _short(cell: str) -> str:
    return cell if len(cell) <= 40 else f"{cell[:37]}..."
