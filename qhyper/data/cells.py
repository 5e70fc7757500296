"""Cells of a table: what one says as a number, and whether it says that a value is missing."""

import math
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MISSING = frozenset(
    (
        "", "NA", "na", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "Nan", "NAN", "NULL", "Null",
        "null", "None", "none", "?", "-", "--", ".", "N.A.", "n.a.", "NaT", "\\N",
    )
)  # fmt: skip
"""Cells that say that a value is missing, written so: `Na` may be sodium."""

_ERROR = re.compile(r"#[A-Z/0]+[!?]")
"""What a spreadsheet writes for a value that it cannot compute, such as #VALUE!"""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NUMBERS = re.compile(rf"({_NUMBER.pattern}\n)*{_NUMBER.pattern}")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
_SURE = 15
"""Digits that float64 has always."""
_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_NOT_ZERO = re.compile(r"[^eE]*[1-9].*")


def number(cell: str) -> float:
    """A cell as a finite number as CSV has them, NaN if it is something else.

    A whole number that float64 would round is something else, too, and one that it takes for 0.
    """
    if not _NUMBER.fullmatch(cell):
        return math.nan
    found = float(cell)
    if math.isinf(found) or (found == 0 and _NOT_ZERO.fullmatch(cell)):
        return math.nan
    whole = _WHOLE.fullmatch(cell) if len(cell) > _SURE else None
    return math.nan if whole and int(found) != int(whole[1]) else found


def numbers(cells: Sequence[str]) -> npt.NDArray[np.float64]:
    """`number` of every cell, float64 [cell]."""
    text = "\n".join(cells)
    if _NUMBERS.fullmatch(text) and max(map(len, cells)) <= _SURE:
        found = np.array(list(map(float, cells)))
        if np.isfinite(found).all() and (found.all() or "e" not in text.lower()):
            return found
    return np.array(list(map(number, cells)))


def is_number(cell: str) -> bool:
    """Whether a cell holds a finite number."""
    return not math.isnan(number(cell))


def is_missing(cell: str) -> bool:
    """Whether a cell says that its value is missing."""
    return cell in MISSING or (cell[:1] == "#" and _ERROR.fullmatch(cell) is not None)


def is_truth(cell: str) -> bool:
    """Whether a cell is True or False, in any case."""
    return cell.lower() in ("true", "false")


def with_point(cell: str) -> str:
    """A number with a decimal comma as one with a point; anything else as it is."""
    return cell.replace(",", ".") if "," in cell and _COMMA.fullmatch(cell) else cell
