"""Marks within numbers: decimal commas, and what may be thousands as well, 1,234 and 1.234."""

import re
from collections.abc import Mapping, Sequence

from qhyper.data.cells import is_number, with_point
from qhyper.data.tables import Table
from qhyper.errors import ConfigurationError

_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_UNMARKED = re.compile(r"[+-]?[0-9]{4,}")
"""Who writes 1234 marks no thousands."""


def check_marks(tables: Sequence[Table], used: Sequence[Mapping[str | int, int]]) -> None:
    """Raise ConfigurationError where marks in the columns in use can be meant in two ways.

    `used` says for each table where its columns are, by what both call them. Where semicolons or
    tabs separate columns, commas are decimal, unless there are points as well or all numbers with
    one look like thousands; points are, unless those with one look like thousands beside whole
    numbers of the same column, in any table, or in all columns of a table with semicolons.
    """
    for table, columns in zip(tables, used, strict=True):
        if table.separator != ",":
            _check_one_mark(table, list(columns.values()))
            for column in columns.values():
                _check_commas(table, column)
    for table, columns in zip(tables, used, strict=True):
        if table.separator != ",":
            _check_points(table, columns, tables, used)


def _first(table: Table, column: int, cell: str) -> str:
    """A cell of a column with the first line where it stands."""
    line = next(line for row, line in zip(table.written, table.lines, strict=True)
                if row[column] == cell)  # fmt: skip
    return f"'{cell}' in line {line}"


def _cells(table: Table, column: int) -> list[str]:
    return [row[column] for row in table.written]


def _with_comma(cells: Sequence[str]) -> list[str]:
    return [cell for cell in cells if with_point(cell) != cell]


def _with_point(cells: Sequence[str]) -> list[str]:
    return [cell for cell in cells if "." in cell and is_number(cell)]


def _check_one_mark(table: Table, columns: Sequence[int]) -> None:
    commas = ((i, cell) for i in columns for cell in _with_comma(_cells(table, i)))
    points = ((i, cell) for i in columns for cell in _with_point(_cells(table, i)))
    comma = next(commas, None)
    point = next(points, None) if comma else None
    if comma and point:
        raise ConfigurationError(
            f"Got {_first(table, *comma)} and {_first(table, *point)}: expected decimal commas or "
            "decimal points, not both. Write all numbers in one way."
        )


def _all_like_thousands(cells: Sequence[str], beside: Sequence[str]) -> bool:
    """Whether numbers with a mark look like thousands, and nothing beside them is unmarked."""
    marked = bool(cells) and all(map(_THOUSANDS.fullmatch, cells))
    return marked and not any(map(_UNMARKED.fullmatch, beside))


def _check_commas(table: Table, column: int) -> None:
    cells = _cells(table, column)
    commas = _with_comma(cells)
    if _all_like_thousands(commas, cells):
        raise ConfigurationError(
            f"Got {_first(table, column, commas[0])}, which may be a decimal number or thousands. "
            "Write numbers with decimal points, and thousands without a comma; or leave the column "
            "out with --drop."
        )


def _check_points(
    table: Table,
    columns: Mapping[str | int, int],
    tables: Sequence[Table],
    used: Sequence[Mapping[str | int, int]],
) -> None:
    points = {name: _with_point(_cells(table, i)) for name, i in columns.items()}
    every = [cell for cells in points.values() for cell in cells]
    unsure = table.separator == ";" and all(map(_THOUSANDS.fullmatch, every))
    for name, column in columns.items():
        if not _all_like_thousands(points[name], _cells(table, column)):
            continue
        others = [_cells(other, at[name])
                  for other, at in zip(tables, used, strict=True) if name in at]  # fmt: skip
        whole = [cell for cells in others for cell in cells if _WHOLE.fullmatch(cell)]
        decimal = any(
            not _THOUSANDS.fullmatch(cell) for cells in others for cell in _with_point(cells)
        )
        if (whole or unsure) and not decimal:
            beside = f" beside whole numbers such as {whole[0]}" if whole else ""
            raise ConfigurationError(
                f"Got {_first(table, column, points[name][0])}{beside}, which may be a decimal "
                "number or thousands. Write thousands without a point (1234), decimal numbers with "
                "another number of decimals (1.2340); or leave the column out with --drop."
            )
