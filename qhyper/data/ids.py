"""Columns that tell rows apart, and are no features: row numbers and identifiers."""

import re

import numpy as np
import numpy.typing as npt

_NAMED = re.compile(
    r"(?i:(.*[\W_])?id|id[\W_].*|index|idx|row[ _.]?(id|names?|numbers?|no|labels)?|unnamed: .*"
    r"|(s[. ]*)?no\.?|#|\.\.\.[0-9]+)|.*[a-z]I[dD]"
)
"""Names of columns that tell rows apart: id, customer_id, PassengerId, ..."""
_FEW = 5
"""Fewer numbers in order are so by chance."""
_SOME = 10
"""So many different numbers below their number are row numbers in another order."""
_MANY = 20
"""And so many different numbers below twice their number are some of them."""
_LARGE = 1e5
"""Identifiers are mostly larger."""


def has_name_of_ids(name: str) -> bool:
    """Whether a column is called id or the like."""
    return _NAMED.fullmatch(name) is not None


def mostly_differ(values: npt.NDArray[np.float64]) -> bool:
    """Whether more than half of whole numbers differ."""
    found = _whole(values)
    return len(np.unique(found)) > len(found) / 2


def number_rows(name: str, values: npt.NDArray[np.float64]) -> bool:
    """Whether the numbers of a first column are row numbers: all, some, or in another order.

    Without a name, or with the X of R, they may have larger gaps. No row number is missing (NaN).
    """
    found, n = _different(values), len(values)
    if n < _FEW or len(found) < n or found.min() < 0:
        return False
    most, rising = found.max(), bool((np.diff(found) > 0).all())
    if rising and name in ("", "X", "x"):
        return name != "" or bool(most <= 4 * n)
    if most <= n and (rising or n >= _SOME):
        return True
    return bool(most <= 2 * n) and (rising or n >= _MANY)


def may_be_ids(name: str, values: npt.NDArray[np.float64]) -> bool:
    """Whether the numbers of a first column are all different and large, or rise without a name."""
    found = _different(values)
    if len(found) < _SOME:
        return False
    rising = name == "" and bool((np.diff(found) > 0).all())
    return rising or bool(np.median(found) > _LARGE)


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values that are there, none if some are not whole."""
    found = values[np.isfinite(values)]
    return found if (found == np.floor(found)).all() else found[:0]


def _different(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values that are there, none if some are not whole or come twice."""
    found = _whole(values)
    return found if len(np.unique(found)) == len(found) else found[:0]
