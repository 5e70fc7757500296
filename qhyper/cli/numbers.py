"""Whole numbers as people write them: 300000, 300_000, 300,000, 300k, 2M, 1e5."""

import re
from decimal import Decimal

import typer

EXPECTED = "expected a whole number, such as 5000, 10k, 2M, 1e5 or 300_000"

_THOUSANDS = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}
_NUMBER = re.compile(
    r"([+-]?(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(?:\.\d+)?(?:[eE][+]?\d{1,2})?)([kKM]?)"
)
_LARGEST = 10**18
"""What a counter of 64 bits holds, about."""


def whole(text: str) -> int:
    """The whole number that `text` is; ValueError, with what was expected, for anything else."""
    match = _NUMBER.fullmatch(text.strip())
    if match is not None:
        value = Decimal(match[1].replace(",", "").replace("_", "")) * _THOUSANDS[match[2]]
        if value == value.to_integral_value() and abs(value) <= _LARGEST:
            return int(value)
    raise ValueError(EXPECTED)


def count(text: str) -> int:
    """The value of an option that is a whole number."""
    try:
        return whole(str(text))
    except ValueError as error:
        raise typer.BadParameter(f"got {text!r}; {error}.") from None
