"""Limits that stand for the sign of any rising or falling function of numbers of float64."""

import numpy as np
import torch

from qhyper.targets.convolutional.folding import folded
from tests.targets.convolutional.modules import affine, norm, scale


def test_limits_of_real_numbers_are_exact_to_the_last_bit():
    """The sign is asked again at the limit and at its neighbours in float64."""
    rng = np.random.default_rng(0)
    layers = torch.nn.Sequential(norm(rng, 60), scale(rng, 60), affine(rng, 60)).eval()

    @torch.no_grad()
    def plus(x):
        return layers(torch.tensor(x)[None, :, None, None])[0, :, 0, 0].numpy() >= 0

    found = folded(plus, 60, largest=50.0, whole=False)
    varies = np.isfinite(found.limit)
    assert 20 < varies.sum() < 60
    limit = np.where(varies, found.limit, 0.0)
    assert np.array_equal(plus(limit)[varies], np.full(varies.sum(), True))
    before = np.nextafter(limit, np.where(found.above, -np.inf, np.inf))
    assert not plus(before)[varies].any()
    for x in (*rng.uniform(-50, 50, (500, 60)), np.full(60, -50.0), np.full(60, 50.0)):
        by_limit = np.where(found.above, x >= found.limit, x <= found.limit)
        assert np.array_equal(plus(x), by_limit)


def test_limits_may_lie_anywhere_in_float64():
    at = np.array([0.0, 5e-324, -5e-324, 1.5, -1e300, 1e300, 3.0, -3.0])
    above = np.array([True, True, True, False, True, True, False, False])

    def plus(x):
        return np.where(above, x >= at, x <= at)

    found = folded(plus, 8, largest=1e300, whole=False)
    expected = at.copy()
    expected[4] = -np.inf  # always so, within the numbers that there are
    assert np.array_equal(found.limit, expected)
    assert np.array_equal(found.above, above)
    assert not np.signbit(found.limit[0])


def test_limits_of_sums_are_whole():
    at = np.array([0.5, -7.2, 9.0, 3.0, -9.0, 4.0])
    above = np.array([True, True, True, False, True, False])

    def plus(x):
        assert np.array_equal(x, np.round(x))
        return np.where(above, x >= at, x <= at)

    found = folded(plus, 6, largest=9.0, whole=True)
    assert found.limit.tolist() == [1, -7, 9, 3, -np.inf, 4]
    assert folded(lambda x: x > 9, 1, largest=9.0, whole=True).limit.tolist() == [np.inf]
    assert folded(lambda x: x > 0, 1, largest=0.0, whole=True).limit.tolist() == [np.inf]
