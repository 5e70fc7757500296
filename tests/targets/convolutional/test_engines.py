"""Both engines against torch in float64, and against each other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.targets.convolutional import numba_engine, numpy_engine
from qhyper.targets.convolutional.steps import (
    BinaryConvolution,
    MaxPool,
    Threshold,
    Values,
)

F = torch.nn.functional
ENGINES = {"numpy": numpy_engine, "numba": numba_engine}
few = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def signs(bits):
    return torch.tensor(2.0 * bits - 1, dtype=torch.float64)


def convolved(step, x):
    """The sums of a binary convolution of bits [image, channel, row, column], by torch."""
    rows, columns = step.padding
    outside = 0.0 if step.pad == "zero" else -1.0
    padded = F.pad(signs(x), (columns, columns, rows, rows), value=outside)
    return F.conv2d(padded, signs(step.bits), stride=step.stride).numpy()


@st.composite
def convolutions(draw):
    """A binary convolution, and bits for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    channels = draw(st.sampled_from((1, 3, 16, 24, 63, 64, 65, 130)))
    out = draw(st.sampled_from((1, 2, 5, 64, 67)))
    size = [draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True)]
    bits = rng.integers(0, 2, (out, channels, *kernel), dtype=np.uint8)
    x = rng.integers(0, 2, (draw(st.sampled_from((1, 5, 8, 19))), channels, *size), dtype=np.uint8)
    pad = draw(st.sampled_from(("zero", "minus-one")))
    return BinaryConvolution(bits, stride=stride, padding=padding, pad=pad), x, rng


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@few
@given(convolutions())
def test_sums_of_a_binary_convolution_are_torchs(engine, drawn):
    step, x, _ = drawn
    found = engine.Prepared((step,), Values("bits", x.shape[1:]))(x)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, convolved(step, x))


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@few
@given(convolutions(), st.booleans())
def test_thresholds_of_sums_go_both_ways_and_take_ties(engine, drawn, pools):
    step, x, rng = drawn
    sums = convolved(step, x)
    pools = pools and min(sums.shape[2:]) > 1
    steps = (step, MaxPool(2, 1, (1, 0))) if pools else (step,)
    if pools:
        sums = F.max_pool2d(torch.tensor(sums), 2, 1, (1, 0)).numpy()
    limit = rng.choice(sums.ravel(), sums.shape[1])  # a sum that there is: a tie
    limit += rng.choice((0, 0, 0.5, -0.5, np.inf, -np.inf), len(limit))
    above = rng.integers(0, 2, len(limit)).astype(bool)
    of_channel = limit[:, None, None]
    expected = np.where(above[:, None, None], sums >= of_channel, sums <= of_channel)
    found = engine.Prepared((*steps, Threshold(limit, above)), Values("bits", x.shape[1:]))(x)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
