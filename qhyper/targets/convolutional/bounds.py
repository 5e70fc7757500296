"""How large the values of a network become: numbers, none of which overflows, and arrays."""

from collections.abc import Iterator, Sequence

import numpy as np

from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    Residual,
    Scale,
    Step,
    Threshold,
    Values,
)
from qhyper.targets.fused import MOST

_SLACK = 1 + 2**-20
"""Rounding takes no number further than this."""


def largest_number(steps: Sequence[Step], largest: float, where: str = "") -> float:
    """What no number behind the steps is above in size, if none before them is above `largest`.

    Raises ConfigurationError, which begins with `where` and the step, for one that may overflow.
    """
    for number, step in enumerate(steps):
        try:
            largest = largest_after(step, largest)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}step {number}, {step!r}: {error}") from None
    return largest


def largest_after(step: Step, largest: float) -> float:
    """The same of one step.

    Raises ConfigurationError for numbers or factors above `MOST`, past which a product and a sum
    that are rounded once do not work.
    """
    with np.errstate(over="ignore"):
        found = _bound(step, largest)
        factor = np.abs(step.scale).max() if isinstance(step, Affine) else 0.0
    if not max(found, factor) <= MOST:
        raise ConfigurationError(
            f"its outputs may not fit float64, or what it multiplies with does not: expected up to "
            f"{MOST:.2g} in size. Make its numbers smaller."
        )
    return found


def _bound(step: Step, largest: float) -> float:
    match step:
        case BinaryConvolution():
            return float(step.bits[0].size)
        case Threshold():
            return 1.0
        case Convolution():
            found = np.abs(step.weight).sum(axis=(1, 2, 3)) * largest
            found = found if step.bias is None else found + np.abs(step.bias)
            return float(found.max()) * _SLACK
        case Affine():
            return float((np.abs(step.scale) * largest + np.abs(step.shift)).max()) * _SLACK
        case Scale():
            return float(np.abs(step.factor).max() * largest) * _SLACK
        case AvgPool():
            return largest * _SLACK
        case Clamp():
            return float(np.abs(np.clip([-largest, largest], step.low, step.high)).max())
        case Residual():
            body = largest_number(step.body, largest, "in its body, ")
            return (body + largest_number(step.shortcut, largest, "in its shortcut, ")) * _SLACK
        case _:  # a maximum
            return largest


def all_values(steps: Sequence[Step], values: Values) -> Iterator[Values]:
    """The values before the first step and after each, those in residuals too."""
    yield values
    for step in steps:
        if isinstance(step, Residual):
            yield from all_values(step.body, values)
            yield from all_values(step.shortcut, values)
        values = step.after(values)
        yield values
