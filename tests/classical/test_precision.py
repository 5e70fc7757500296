"""Cyclic precision: the schedule, and rounding, against formulas written out."""

import math

import numpy as np
import pytest
import torch

from classical.precision import bits_of_step, quantised, round_gradient, rounded_at_random
from classical.straight_through import signs
from qhyper.errors import ConfigurationError


def rng_of(seed):
    return torch.Generator().manual_seed(seed)


def slowly_quantised(numbers, bits):
    low, high = min(numbers), max(numbers)
    step = (high - low) / (2**bits - 1)
    return [low + round((number - low) / step) * step for number in numbers]


def test_bits_rise_from_three_to_eight_in_every_cycle():
    bits = [bits_of_step(step, 400, cycles=4) for step in range(400)]
    cycle = bits[:100]
    assert bits == 4 * cycle
    assert cycle[0] == 3
    assert cycle[-1] == 8
    assert cycle == sorted(cycle)
    assert set(cycle) == {3, 4, 5, 6, 7, 8}
    for t in (0, 13, 50, 86, 99):
        assert cycle[t] == round(3 + 2.5 * (1 + math.cos(math.pi + math.pi * t / 100)))
    assert np.mean(cycle) == pytest.approx(5.5, abs=0.1)


def test_bits_of_fewer_steps_than_cycles_are_of_the_range():
    assert {bits_of_step(step, 5) for step in range(5)} <= set(range(3, 9))


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_quantised_numbers_are_those_of_the_formula(bits):
    x = torch.tensor(np.random.default_rng(bits).normal(size=(2, 3, 4, 5)))
    expected = slowly_quantised(x.flatten().tolist(), bits)
    found = quantised(x, bits)
    assert len(found.unique()) <= 2**bits
    torch.testing.assert_close(found.flatten(), torch.tensor(expected, dtype=torch.float64))


def slowly_symmetric(number, most, bits):
    step = 2 * most / (2**bits - 1)
    levels = [(k + 0.5) * step for k in range(-(2 ** (bits - 1)), 2 ** (bits - 1))]
    return min(levels, key=lambda level: (abs(level - number), -level))


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_symmetric_levels_are_between_plus_and_minus_the_largest_size(bits):
    x = torch.tensor(np.random.default_rng(bits).normal(0.4, 1, size=(2, 3, 4, 5)))
    most = float(x.abs().max())
    expected = [slowly_symmetric(number, most, bits) for number in x.flatten().tolist()]
    found = quantised(x, bits, symmetric=True)
    torch.testing.assert_close(found.flatten(), torch.tensor(expected, dtype=torch.float64))
    assert found.abs().max().item() == pytest.approx(most, rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 0.3, 2.7057, 1e-20])
def test_symmetric_levels_keep_every_sign(size, dtype):
    x = torch.tensor(np.random.default_rng(1).uniform(-0.7, 1, 1000), dtype=dtype)
    x[:5] = torch.tensor([1.0, 0.0, -0.0, 1e-15, -1e-15])
    for bits in range(2, 17):
        assert torch.equal(signs(quantised(size * x, bits, symmetric=True)), signs(size * x))
    for number in (0.0, 0.3, -0.3):
        same = torch.full((3,), number, dtype=dtype)
        torch.testing.assert_close(quantised(same, 3, symmetric=True), same)


def test_the_gradient_goes_straight_through():
    x = torch.randn(5, generator=rng_of(0), requires_grad=True)
    g = torch.arange(5.0)
    for symmetric in (False, True):
        (found,) = torch.autograd.grad(quantised(x, 3, symmetric=symmetric), x, g)
        assert torch.equal(found, g)


@pytest.mark.parametrize("value", [0.0, 0.3, -1e30])
def test_numbers_that_are_all_the_same_stay_so(value):
    x = torch.full((2, 3), value)
    assert torch.equal(quantised(x, 3), x)
    assert torch.equal(rounded_at_random(x, rng_of(0), 8), x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_random_rounding_goes_to_one_of_the_two_nearest_levels_and_is_right_on_average(layout):
    x = torch.tensor(np.random.default_rng(2).normal(size=(2, 3, 4, 5))).to(memory_format=layout)
    step = float(x.max() - x.min()) / 255
    rng = rng_of(3)
    found = torch.stack([rounded_at_random(x, rng, 8) for _ in range(4000)])
    places = (found - x.min()) / step
    torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-6)
    exact = (x - x.min()) / step
    assert (places >= exact.floor() - 1e-6).all()
    assert (places <= exact.ceil() + 1e-6).all()
    # 1/512 of a step, and five standard errors of at most half a step
    assert ((places.mean(0) - exact).abs() < 1 / 512 + 2.5 / math.sqrt(4000)).all()


def test_random_rounding_draws_for_each_number_by_itself():
    x = torch.full((20_001,), 0.5)
    x[0], x[1] = 0.0, 1.0  # 0.5 is half-way between two levels
    found = rounded_at_random(x, rng_of(4), 8)[2:]
    up = (found > 0.5).double()
    assert abs(up.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(up[1:], up[:-1])[0, 1]) < 0.03
    expanded = torch.tensor([0.0, 0.5, 1.0])[:, None].expand(3, 5000)
    assert 0.4 < (rounded_at_random(expanded, rng_of(5), 8)[1] > 0.5).double().mean() < 0.6


def test_the_gradient_of_a_tensor_is_rounded_and_the_tensor_is_not():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    round_gradient(y, rng_of(6), bits=2)
    (found,) = torch.autograd.grad(y, x, torch.tensor([0.0, 0.5, 1.0]))
    assert y.tolist() == [1, 2, 3]
    assert min(abs(found[1] - level) for level in (1 / 3, 2 / 3)) < 1e-6
    round_gradient(torch.ones(3), rng_of(6))  # which has none


def test_nothing_comes_from_the_global_stream():
    before = torch.get_rng_state()
    found = [rounded_at_random(torch.arange(9.0), rng_of(7), 2) for _ in range(2)]
    assert torch.equal(*found)
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_bits_and_steps_are_refused():
    for bits in (0, 1, 17, 2.5):
        with pytest.raises(ConfigurationError, match=rf"bits={bits}; expected 2 to 16"):
            quantised(torch.ones(2), bits)
        with pytest.raises(ConfigurationError, match=rf"bits={bits}; expected 2 to 16"):
            rounded_at_random(torch.ones(2), rng_of(0), bits)
    for step, steps, cycles in ((-1, 2, 1), (2, 2, 1), (0, 2, 0)):
        with pytest.raises(ConfigurationError, match=f"step {step} of {steps} in {cycles} cycles"):
            bits_of_step(step, steps, cycles=cycles)
