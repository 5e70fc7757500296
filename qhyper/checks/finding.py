"""What a check finds: nothing, or what was got, what was expected and what to do."""

import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array
from qhyper.errors import QhyperError

Check = Callable[[Any], None]
"""Tries one thing about a subject; the first line of its docstring says what must hold."""


class Broken(Exception):  # noqa: N818 (an answer, not a fault)
    """What must hold does not: what was got, what was expected, what to do."""


class LeftOut(Exception):  # noqa: N818
    """It cannot be tried here, or does not apply: why."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    """what must hold, in words"""
    problem: str | None = None
    """what is wrong with it"""
    left_out: str | None = None
    """why it was not tried"""

    def __str__(self) -> str:
        if self.problem is not None:
            return f"WRONG     {self.check}: {self.problem}"
        return (
            f"left out  {self.check}: {self.left_out}"
            if self.left_out
            else f"ok        {self.check}"
        )


def title(check: Check) -> str:
    """What must hold, in words: the first line of the check's docstring."""
    return (check.__doc__ or check.__name__).strip().splitlines()[0].rstrip(".")


def examine(checks: Iterable[Check], subject: Any) -> Iterator[Finding]:
    """What each check finds of the subject, one by one; whatever it raises is a finding too.

    What one check found is not said again of the next, where but numbers differ.
    """
    said = set[str]()
    for check in checks:
        finding = _examine(check, subject)
        words = re.sub(r"[\d.]+", "#", finding.problem or "")
        if words in said:
            finding = Finding(finding.check, left_out="it has the same problem as one above")
        if words:
            said.add(words)
        yield finding


def _examine(check: Check, subject: Any) -> Finding:
    try:
        check(subject)
    except LeftOut as reason:
        return Finding(title(check), left_out=str(reason))
    except (Broken, QhyperError) as problem:
        return Finding(title(check), str(problem))
    except Exception as error:  # somebody's own code can fail in any way
        return Finding(title(check), in_words(error))
    return Finding(title(check))


def in_words(error: Exception) -> str:
    """An error with the line where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"it raised {type(error).__name__}: {error} ({last.filename}, line {last.lineno})."


def expect(holds: Any, problem: str) -> None:
    """Raise Broken with these words unless it holds."""
    if not holds:
        raise Broken(problem)


def expect_array(
    what: str, found: Any, shape: tuple[int, ...], axes: str, kinds: str = "f"
) -> npt.NDArray:
    """The array, or Broken unless it has this shape and a dtype of these kinds."""
    array = as_array(found, what, axes)
    expect(
        array.shape == shape and array.dtype.kind in kinds,
        f"{what} is {array.dtype} of shape {list(array.shape)}; expected {axes} = {list(shape)} of "
        f"{'whole numbers' if 'u' in kinds else 'float64'}.",
    )
    return array


def expect_same(what: str, found: Any, expected: Any, do: str, within: float = 0.0) -> None:
    """Raise Broken unless the numbers are the same, or as near as `within`; infinities count."""
    one, other = (as_array(a, what).astype(np.float64) for a in (found, expected))
    expect(one.shape == other.shape, f"{what} has shape {one.shape}, not {other.shape}. {do}")
    with np.errstate(invalid="ignore"):
        off = ~((one == other) | (np.abs(one - other) <= within * (1 + np.abs(other))))
    if off.any():
        first = tuple(np.argwhere(off)[0])
        raise Broken(
            f"{what}: got {one[first]:.10g}, expected {other[first]:.10g} (of {off.sum():,} of "
            f"{off.size:,} numbers). {do}"
        )
