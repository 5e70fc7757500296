"""Whole numbers as people write them: 300000, 300_000, 300,000, 300k, 2M, 1e5."""

import re
from decimal import Decimal

import typer

EXPECTED = "expected a whole number, such as 5000, 10k, 2M, 1e5 or 300_000"

_THOUSANDS = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}
_WHOLE = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)"
_FRACTION = rf"{_WHOLE}(?:\.\d+)?"
_NUMBER = re.compile(rf"({_WHOLE}|{_FRACTION}[eE]\+?\d{{1,2}})|({_FRACTION})([kKM])", re.ASCII)
_POINT = re.compile(rf"{_WHOLE}(?:\.\d+)+", re.ASCII)
_LARGEST = 10**18
"""What a counter of 64 bits holds, about."""


def whole_number(text: str) -> int:
    """The whole number that `text` is; ValueError, with what was expected, for anything else.

    A point has a meaning before an exponent, k or M alone: 300.000 is 300 to some, and 300,000 to
    others.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is not None:
        digits = (match[1] or match[2]).replace(",", "").replace("_", "")
        value = Decimal(digits) * _THOUSANDS[match[3] or ""]
        if value == value.to_integral_value() and abs(value) <= _LARGEST:
            return int(value)
    if _POINT.fullmatch(text.strip()):
        raise ValueError(
            f"{EXPECTED}. Leave the point out: some read it as thousands, others as a fraction"
        )
    raise ValueError(EXPECTED)


def count(text: str) -> int:
    """The value of an option that is a whole number."""
    try:
        return whole_number(str(text))
    except ValueError as error:
        raise typer.BadParameter(f"got {text!r}; {error}.") from None
