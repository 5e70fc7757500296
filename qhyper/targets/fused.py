"""Products and sums that are rounded once, in NumPy, as processors do them in one instruction."""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

_SPLIT = 134217729.0
"""2^27 + 1, by which numbers are split into halves whose products are exact (Dekker 1971)."""
MOST = np.finfo(np.float64).max / _SPLIT
"""Factors are below this, or their halves overflow."""


def multiply_and_add(x: npt.NDArray, scale: Float, shift: Float) -> Float:
    """x * scale + shift, rounded once: [..., channel], `scale` and `shift` float64 [channel].

    Torch's kernels do so: two numbers that are equal there would else differ in their last bit. By
    exact products (Dekker 1971), exact sums (Knuth 1969, vol. 2, 4.2.2) and a sum rounded to odd
    (Boldo and Melquiond 2008, figure 3), for factors below `MOST` and products that neither
    overflow nor underflow.
    """
    numbers = x.astype(np.float64)
    product = numbers * scale
    (upper, lower), (high, low) = _halves(numbers), _halves(scale)
    rest = lower * low - (((product - upper * high) - lower * high) - upper * low)
    middle, least = _exact_sum(shift, rest)
    total, more = _exact_sum(product, middle)
    return total + _rounded_to_odd(least, more)


def _halves(a: Float) -> tuple[Float, Float]:
    """Two numbers of half the digits that add up to a."""
    split = a * _SPLIT
    high = split - (split - a)
    return high, a - high


def _exact_sum(a: Float, b: Float) -> tuple[Float, Float]:
    """a + b as it is rounded, and what is lost."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _rounded_to_odd(a: Float, b: Float) -> Float:
    """a + b, and where that is not exact, its neighbour of which the last digit is 1."""
    total, lost = _exact_sum(a, b)
    even = (total.view(np.int64) & 1) == 0
    return np.where((lost != 0) & even, np.nextafter(total, np.copysign(np.inf, lost)), total)
