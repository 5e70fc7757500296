"""What stands between a number and its sign, as one limit a channel: exact, ties included.

Batch normalisations, factors, shifts and clamps are rounded, but never fall where they should rise:
rounding keeps the order of numbers. So the sign of what comes out changes once at most, and where
it does is found by bisection, asking for it: over whole numbers for sums, over all numbers that
float64 has for real ones.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qhyper.targets.convolutional.steps import Float, Threshold

Int = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def folded(
    plus: Callable[[Float], Bools], channels: int, *, largest: float, whole: bool
) -> Threshold:
    """The Threshold that gives +1 where `plus` does, for numbers of -largest to largest.

    `plus` takes a number for each channel, [channel], and says of which the sign is +1; that
    changes once at most as a number rises. Numbers are `whole`, or any of float64. Channels of one
    sign alone get an infinite limit.
    """
    number = _whole if whole else _number
    top = int(largest) if whole else int(np.float64(largest).view(np.int64))
    ends = np.full(channels, top)
    at_low, at_high = plus(number(-ends)), plus(number(ends))
    falls = at_low & ~at_high
    first = _first(lambda at: plus(number(np.where(falls, -at, at))), ends)
    limit = number(np.where(falls, -first, first))
    limit = np.where(at_low == at_high, np.where(at_low, -np.inf, np.inf), limit)
    return Threshold(limit, ~falls)


def _first(plus: Callable[[Int], Bools], top: Int) -> Int:
    """The first of -top to top [channel] where `plus` is true: not at -top, and at top."""
    no, yes = -top, top
    while (no < yes - 1).any():
        middle = (no >> 1) + (yes >> 1) + (no & yes & 1)  # their sum may not fit 64 bits
        found = plus(middle)
        no, yes = np.where(found, no, middle), np.where(found, middle, yes)
    return yes


def _whole(at: Int) -> Float:
    return at.astype(np.float64)


def _number(at: Int) -> Float:
    """The numbers of float64 in their order: 0 is 0, 1 the least above it, -1 the one below."""
    return np.copysign(np.abs(at).view(np.float64), at)
