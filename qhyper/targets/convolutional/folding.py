"""What stands between a number and its sign, as one limit a channel: exact, ties included.

Batch normalisations, factors, shifts and clamps are rounded, but never fall where they should rise:
rounding keeps the order of numbers. So the sign of what comes out changes once at most, and where
it does is found by bisection, asking the layers themselves: over whole numbers for sums, over all
numbers that float64 has for real ones.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from qhyper.targets.convolutional.steps import Float, Threshold

Int = npt.NDArray[np.int64]


def folded(
    layers: Sequence[torch.nn.Module], channels: int, *, largest: float, whole: bool, flat: bool
) -> Threshold:
    """The Threshold of `layers`, the last of which is a Sign, on numbers of -largest to largest.

    The layers are in float64 and take [image, channel, row, column], or [image, channel] if
    `flat`, and work on every channel alone. Numbers are `whole` or any of float64. Channels of one
    sign alone get an infinite limit.
    """
    number = _whole if whole else _number
    shape = (1, channels) if flat else (1, channels, 1, 1)

    @torch.no_grad()
    def plus(at: Int) -> npt.NDArray[np.bool_]:
        x = torch.from_numpy(number(at)).reshape(shape)
        for layer in layers:
            x = layer(x)
        return (x.flatten() > 0).numpy()

    top = int(largest) if whole else int(np.float64(largest).view(np.int64))
    ends = np.full(channels, top)
    at_low, at_high = plus(-ends), plus(ends)
    falls = at_low & ~at_high
    found = number(_first(lambda at: plus(np.where(falls, -at, at)), top, channels))
    found = np.where(falls, -found, found)
    found = np.where(at_low == at_high, np.where(at_low, -np.inf, np.inf), found)
    return Threshold(found, ~falls)


def _first(plus: Callable[[Int], npt.NDArray[np.bool_]], top: int, channels: int) -> Int:
    """The first of -top to top [channel] where `plus` is true, if it is not at -top and is at top.

    `plus` never changes back.
    """
    no, yes = np.full(channels, -top), np.full(channels, top)
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
