"""Both engines against torch in float64, and against each other."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.bits import unpack
from qhyper.targets.convolutional import numba_engine, numpy_engine
from qhyper.targets.convolutional.bounds import largest_number
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    MaxPool,
    Residual,
    Scale,
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


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@few
@given(convolutions(), st.booleans())
def test_real_convolutions_are_torchs(engine, drawn, has_bias):
    """With weights that add up without rounding in any order, on numbers and on bits."""
    step, bits, rng = drawn
    weight = rng.integers(-8, 9, step.bits.shape) / 4
    bias = rng.normal(size=len(weight)) if has_bias else None
    step = Convolution(weight, bias, step.stride, step.padding)
    for kind, x in (("real", rng.integers(-9, 9, bits.shape) / 8), ("bits", bits)):
        numbers = signs(x) if kind == "bits" else torch.tensor(x)
        of_torch = None if bias is None else torch.tensor(bias)
        expected = F.conv2d(
            numbers, torch.tensor(weight), of_torch, stride=step.stride, padding=step.padding
        )
        found = engine.Prepared((step,), Values(kind, x.shape[1:]))(x)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("size", [(1, 3, 7, 5), (9, 65, 4, 4), (17, 2, 9, 10)])
def test_steps_on_real_numbers_are_torchs(engine, size):
    rng = np.random.default_rng(7)
    x, channels = rng.normal(size=size), size[1]
    scale, shift = rng.normal(size=(2, channels))
    limit = x[0, :, 0, 0]  # which is met
    above = rng.integers(0, 2, channels).astype(bool)
    a = torch.tensor(x)
    norm = torch.nn.BatchNorm2d(channels, eps=0, dtype=torch.float64).eval()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(scale))
        norm.bias.copy_(torch.tensor(shift))
        expected = {
            Affine(scale, shift): norm(a),
            Scale(scale): a * torch.tensor(scale)[:, None, None],
            Clamp(-0.5, np.inf): a.clamp(min=-0.5),
            MaxPool((3, 2), (2, 1), (1, 0)): F.max_pool2d(a, (3, 2), (2, 1), (1, 0)),
            AvgPool((2, 3), (1, 2)): F.avg_pool2d(a, (2, 3), (1, 2)),
        }
    for step, of_torch in expected.items():
        found = engine.Prepared((step,), Values("real", size[1:]))(x)
        np.testing.assert_array_equal(found, of_torch.numpy(), err_msg=str(step))
    found = engine.Prepared((Threshold(limit, above),), Values("real", size[1:]))(x)
    at = limit[:, None, None]
    np.testing.assert_array_equal(found, np.where(above[:, None, None], x >= at, x <= at))


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("padding", [0, 1])
def test_the_maximum_of_bits_is_an_or(engine, padding):
    rng = np.random.default_rng(8)
    x = (rng.random((11, 70, 7, 6)) < 0.2).astype(np.uint8)
    expected = F.max_pool2d(signs(x), 3, 2, padding).numpy() > 0
    step = MaxPool(3, 2, padding)
    found = engine.Prepared((step,), Values("bits", x.shape[1:]))(x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_the_mean_of_bits_is_that_of_signs(engine):
    rng = np.random.default_rng(16)
    x = rng.integers(0, 2, (11, 70, 7, 6), dtype=np.uint8)
    found = engine.Prepared((AvgPool((3, 2), (2, 1)),), Values("bits", x.shape[1:]))(x)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, F.avg_pool2d(signs(x), (3, 2), (2, 1)).numpy())


@pytest.mark.parametrize("scale", [6e299, 1e290])
def test_numbers_as_large_as_may_be_are_multiplied_by_both_engines(scale):
    steps, values = (Affine([scale], [-scale]), Scale([1e-290])), Values("real", (1, 1, 1))
    assert largest_number(steps, 1.0) > 0
    x = np.array([0.7, -1, 0.5])[:, None, None, None]
    found, expected = (engine.Prepared(steps, values)(x) for engine in ENGINES.values())
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, expected)


def test_numpy_runs_fewer_images_together_where_a_later_step_is_wide(monkeypatch):
    rng, sizes = np.random.default_rng(17), []
    inner = (Convolution(rng.normal(size=(50, 1, 1, 1))), Convolution(np.ones((1, 50, 1, 1))))
    run = numpy_engine.Prepared((Residual(inner),), Values("real", (1, 4, 4)))
    monkeypatch.setattr(numpy_engine, "_PATCHES", 8 * 9 * 50 * 16 * 3)
    few = numpy_engine.Prepared((Residual(inner),), Values("real", (1, 4, 4)))
    right = numpy_engine._convolution

    def counted(step, x):
        sizes.append(len(x))
        return right(step, x)

    monkeypatch.setattr(numpy_engine, "_convolution", counted)
    x = rng.normal(size=(7, 1, 4, 4))
    found = few(x)
    assert sizes == [3, 3, 3, 3, 1, 1]
    np.testing.assert_allclose(found, run(x), rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("padding", [0, 1])
def test_signs_of_maxima_of_real_numbers_go_both_ways(engine, padding):
    rng = np.random.default_rng(15)
    x = rng.integers(-3, 4, (11, 66, 7, 6)) / 2
    steps = MaxPool(3, 2, padding), MaxPool(2, 1)
    limit, above = rng.integers(-1, 4, 66) / 2, rng.integers(0, 2, 66).astype(bool)
    largest = F.max_pool2d(F.max_pool2d(torch.tensor(x), 3, 2, padding), 2, 1).numpy()
    at = limit[:, None, None]
    expected = np.where(above[:, None, None], largest >= at, largest <= at)
    assert 0.2 < expected.mean() < 0.8
    steps = (*steps, Threshold(limit, above))
    np.testing.assert_array_equal(engine.Prepared(steps, Values("real", (66, 7, 6)))(x), expected)


def block(rng, n_in, n_out, stride, shortcut):
    body = (
        Threshold(rng.normal(size=n_in), rng.integers(0, 2, n_in).astype(bool)),
        BinaryConvolution(rng.integers(0, 2, (n_out, n_in, 3, 3)), stride, 1),
        Scale(rng.normal(size=n_out)),
    )
    return Residual(body, shortcut)


def residual_steps(rng):
    """Residuals of every kind: with and without a shortcut, a last convolution, and in another."""
    kernel = rng.integers(0, 2, (4, 8, 3, 3))
    return (
        Convolution(rng.integers(-3, 4, (8, 2, 3, 3)), padding=1),
        block(rng, 8, 8, 1, ()),
        block(rng, 8, 16, 2, (AvgPool(2, 2), Convolution(rng.integers(-2, 3, (16, 8, 1, 1))))),
        Residual((block(rng, 16, 16, 1, ()), Clamp(-2, 2)), (Affine(*rng.normal(size=(2, 16))),)),
        Residual((), (MaxPool(3, 1, 1),)),
        Threshold(np.zeros(16), np.ones(16, bool)),
        BinaryConvolution(rng.integers(0, 2, (8, 16, 3, 3)), 1, 1, "minus-one"),
        Residual(
            (Threshold(np.zeros(8), rng.integers(0, 2, 8) > 0), BinaryConvolution(
                rng.integers(0, 2, (8, 8, 1, 1)))), (MaxPool(1, 1),)
        ),
        Threshold(np.zeros(8), np.ones(8, bool)),
        BinaryConvolution(kernel, 1, 0),
        MaxPool(2, 2),
    )  # fmt: skip


@pytest.mark.parametrize("n_images", [1, 8, 21])
def test_both_engines_are_equal(n_images):
    """In sums, and in every value on the way to them."""
    rng = np.random.default_rng(9)
    steps = residual_steps(rng)
    values = Values("real", (2, 8, 8))
    x = rng.integers(0, 256, (n_images, 2, 8, 8), dtype=np.uint8)
    for last in range(1, len(steps) + 1):
        found, expected = (
            engine.Prepared(steps[:last], values)(x) for engine in (numba_engine, numpy_engine)
        )
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=f"after {steps[last - 1]}")
    assert found.dtype == np.int64


def test_results_depend_neither_on_threads_nor_on_other_images(monkeypatch):
    rng = np.random.default_rng(10)
    steps = residual_steps(rng)
    run = numba_engine.Prepared(steps, Values("real", (2, 8, 8)))
    x = rng.integers(0, 256, (50, 2, 8, 8), dtype=np.uint8)
    monkeypatch.setattr("qhyper.threads.n_threads", lambda: 2)
    monkeypatch.setattr(numba_engine, "n_threads", lambda: 2)
    found = run(x)
    monkeypatch.setattr("qhyper.threads.n_threads", lambda: 1)
    monkeypatch.setattr(numba_engine, "n_threads", lambda: 1)
    np.testing.assert_array_equal(found, run(x))
    np.testing.assert_array_equal(found[13:16], run(x[13:16]))


def test_bits_left_packed_are_those_that_are_not():
    rng = np.random.default_rng(11)
    steps = (
        BinaryConvolution(rng.integers(0, 2, (70, 3, 3, 3)), 1, 1),
        Threshold(np.zeros(70), np.ones(70, bool)),
    )
    run = numba_engine.Prepared(steps, Values("bits", (3, 5, 4)))
    x = rng.integers(0, 2, (9, 3, 5, 4), dtype=np.uint8)
    words = run.words(x)
    assert words.shape == (2, 5, 4, 2, 8)
    by_image = words.transpose(0, 4, 1, 2, 3).reshape(16, 5, 4, 2)[:9]
    np.testing.assert_array_equal(unpack(by_image, 70).transpose(0, 3, 1, 2), run(x))


def test_a_host_that_does_not_say_what_it_has_has_the_common_code():
    """In a process of its own: what a processor has is asked once."""
    code = (
        "import llvmlite.binding\n"
        "def fails(): raise RuntimeError('failed to query host cpu features.')\n"
        "llvmlite.binding.get_host_cpu_features = fails\n"
        "from qhyper.targets.convolutional import block\n"
        "print(block.PLACES)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
