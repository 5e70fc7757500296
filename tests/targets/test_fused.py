"""Products and sums that are rounded once."""

from fractions import Fraction

import numpy as np

from qhyper.targets.fused import multiply_and_add


def test_real_products_and_sums_are_rounded_once():
    """Against fractions, which are exact; the last half cancels all but what was rounded."""
    rng = np.random.default_rng(5)
    x, scale, shift = rng.normal(size=(3, 4000))
    shift[1000:] *= 10.0 ** rng.integers(-20, 20, 3000)
    shift[2000:] = -x[2000:] * scale[2000:]
    shift[3000:] *= 1 + rng.integers(-3, 4, 1000) * 2.0**-52
    exact = [
        float(Fraction(a) * Fraction(b) + Fraction(c))
        for a, b, c in zip(x, scale, shift, strict=True)
    ]
    assert np.array_equal(multiply_and_add(x, scale, shift), exact)


def test_what_is_halfway_but_for_its_last_digits_is_rounded_to_its_side():
    """1 + 2^-53 is halfway; a product's last digits say which way it goes."""
    scale = np.array([1 + 2.0**-30, 1 - 2.0**-30])
    x = np.array([2.0**-53, 2.0**-53])
    assert multiply_and_add(x, scale, np.ones(2)).tolist() == [1 + 2.0**-52, 1.0]
