"""One packed network: what comes out, and what does not fit."""

import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.targets.fused import multiply_and_add
from qhyper.targets.packed.inputs import pack_bits, pack_pixels
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.population import sums
from qhyper.targets.packed.shape import PackedShape


def test_a_units_own_limit():
    """A unit is +1 where at most `limit` inputs differ: -1 is never, n is always."""
    shape = PackedShape((3, 3, 1))
    words = shape.pack([np.ones((3, 3), np.uint8), np.array([[1, 1, 1]], np.uint8)])
    rows = pack_bits([[1, 1, 1], [1, 1, 0], [0, 0, 0]])
    network = PackedNetwork(shape, words, np.array([-1, 1, 3]))
    assert network.outputs(rows)[:, 0].tolist() == [1, 1, -1]


def test_limits_beyond_all_inputs_are_as_all_of_them(tmp_path):
    """So they fit the file, and the network is read as it was."""
    shape = PackedShape((3, 2, 1))
    words = shape.pack([np.ones((2, 3), np.uint8), np.ones((1, 2), np.uint8)])
    network = PackedNetwork(shape, words, np.array([2**32 - 5, -(2**40)]))
    assert network.limits.tolist() == [3, -1]
    network.save(tmp_path / "net.npz")
    x = np.zeros((1, 3), np.uint8)
    assert PackedNetwork.load(tmp_path / "net.npz").outputs(x) == network.outputs(x)
    found = sums(shape, words[None], pack_bits(x), np.array([2**63, 0], np.uint64))
    assert found.tolist() == [[[0]]]


@pytest.mark.parametrize(("planes", "most"), [(1, 5), (2, 15), (8, 1275)])
def test_limits_go_from_never_to_always_by_layer(planes, most):
    """Planes weigh the inputs of the first layer, and of no other."""
    shape = PackedShape((5, 1, 1, 2))
    network = PackedNetwork(shape, shape.ones, np.array([2**40, 2**40]), planes=planes)
    assert network.limits.tolist() == [most, 1]
    network = PackedNetwork(shape, shape.ones, np.array([most, 1]), planes=planes)
    assert network.limits.tolist() == [most, 1]
    network = PackedNetwork(shape, shape.ones, np.array([-(2**40), -1]), planes=planes)
    assert network.limits.tolist() == [-1, -1]


def test_one_layer_of_pixels_sums_up_the_pixels():
    rng = np.random.default_rng(9)
    shape = PackedShape((70, 5))
    weights = rng.integers(0, 2, (5, 70), dtype=np.uint8)
    x = rng.integers(0, 256, (50, 70))
    network = PackedNetwork(shape, shape.pack([weights]), shape.limits(planes=8), planes=8)
    assert np.array_equal(network.outputs(x), x @ (2 * weights.astype(int) - 1).T)
    assert network.outputs(x).dtype == np.int32


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(("planes", "n_inputs"), [(16, 32_768), (16, 16_385), (15, 65_538)])
def test_the_largest_sums_of_one_layer(planes, n_inputs, engine, monkeypatch):
    """Up to the last that fits 32 bits, where twice the sum does not."""
    if engine == "numpy":
        monkeypatch.setitem(sys.modules, "qhyper.targets.packed.numba_engine", None)
    shape, high = PackedShape((n_inputs, 2)), (1 << planes) - 1
    weights = np.stack([np.ones(n_inputs), np.arange(n_inputs) % 4 == 0]).astype(np.uint8)
    limits = shape.limits(planes=planes)
    network = PackedNetwork(shape, shape.pack([weights]), limits, planes=planes)
    rows = np.array([np.full(n_inputs, high), np.where(weights[1], high, 0)])
    expected = rows @ (2 * weights.astype(np.int64) - 1).T
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="numba cannot be imported")
        assert np.array_equal(network.outputs(rows), expected)
    assert expected.max() > 2**30


def test_sums_that_do_not_fit_are_refused_when_the_network_is_made():
    shape = PackedShape((32_769, 2))
    with pytest.raises(ConfigurationError, match="Sums of 32769 inputs of 16 bits do not fit 32"):
        PackedNetwork(shape, shape.ones, shape.limits(planes=16), planes=16)


@pytest.mark.parametrize(("scale", "shift"), [(1e300, 0.0), (1.0, 1e304), (-1e306, 1e306)])
def test_scaled_sums_that_do_not_fit_float64_are_refused(scale, shift):
    shape = PackedShape((5, 2))
    numbers = {"scale": np.full(2, scale), "shift": np.full(2, shift)}
    with pytest.raises(ConfigurationError, match="outputs do not fit float64 on the way"):
        PackedNetwork(shape, shape.ones, shape.limits(), **numbers)
    fits = {name: value * 1e-30 for name, value in numbers.items()}
    found = PackedNetwork(shape, shape.ones, shape.limits(), **fits).outputs([[1, 1, 1, 1, 1]])
    np.testing.assert_allclose(found, [5 * fits["scale"] + fits["shift"]], rtol=1e-15)


@pytest.mark.parametrize("most", [2**20, 2**31 - 1])
def test_scaled_outputs_are_rounded_once(most):
    """Against fractions, which are exact: near ties that two roundings would break."""
    rng = np.random.default_rng(4)
    whole = rng.integers(-most, most, 500)
    scale = rng.normal(size=500)
    shift = -scale * (whole + rng.integers(-1, 2, 500))  # what cancels shows what was rounded
    shift[250:] *= rng.uniform(-2, 2, 250)  # and what does not, what the sum itself loses
    exact = [
        float(Fraction(int(s)) * Fraction(a) + Fraction(b))
        for s, a, b in zip(whole, scale, shift, strict=True)
    ]
    assert np.array_equal(multiply_and_add(whole, scale, shift), exact)


def random_words(rng, layers):
    """A shape, and the words of one network of it with random weights."""
    shape = PackedShape(layers)
    matrices = [rng.integers(0, 2, m, dtype=np.uint8) for m in shape.matrices]
    return shape, shape.pack(matrices)


def some_network(**parts):
    rng = np.random.default_rng(1)
    shape, words = random_words(rng, (70, 9, 4))
    return PackedNetwork(shape, words, rng.integers(20, 50, 9), **parts)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pack_bits([[0, 2]]), r"takes bits, 0 for -1 and 1 for \+1; got 2\. Compare with"),
        (lambda: pack_bits([[-1.0, 1.0]]), "takes bits.*got -1"),
        (lambda: pack_bits([[0.5]]), "takes bits.*got 0.5"),
        (
            lambda: pack_bits(np.array([[3]], np.uint8)),
            "takes bits.*got 3. Compare with",
        ),
        (lambda: pack_bits([[1], [0, 1]]), "rows of different lengths"),
        (lambda: pack_bits([[1j]]), "inputs of complex128 and shape"),
        (lambda: pack_bits([0, 1]), r"shape \(2,\); expected numbers \[row, input\]"),
        (lambda: pack_bits(np.zeros((0, 3))), "at least one of each"),
        (lambda: pack_pixels([[3, 4]], planes=2), "Got the input 4; expected .* from 0 to 3"),
        (lambda: pack_pixels([[256]]), "Got the input 256; expected whole numbers from 0 to 255"),
        (lambda: pack_pixels([[-1]]), "expected whole numbers from 0 to 255"),
        (lambda: pack_pixels([[0.5]]), "expected whole numbers"),
        (lambda: pack_pixels([[np.nan]]), "expected whole numbers"),
        (lambda: pack_pixels([["a"]]), "inputs of <U1 and shape"),
        (lambda: pack_pixels([[1]], planes=17), "planes=17; expected 1 to 16"),
        (lambda: pack_pixels([[1]], planes=True), "planes=True; expected 1 to 16"),
        (lambda: PackedShape((3,)), r"layers \(3,\); expected two sizes or more"),
        (lambda: PackedShape((3, 0)), "of 1 or more each"),
        (lambda: PackedShape(5), "layers 5; expected two sizes"),
        (lambda: PackedShape((3, 2.0)), "expected two sizes or more"),
        (lambda: PackedShape((3, 2)).pack([[[0, 1, 1]]]), r"shape \(1, 3\), expected .* 2, 3\]"),
        (lambda: PackedShape((3, 2)).pack([]), "0 matrices of weights, expected 1"),
        (lambda: PackedShape((3, 2)).from_bits([0] * 5), "bitstrings of 5 bits, expected 6"),
        (lambda: PackedShape((3, 2)).unpack(np.zeros(3, np.uint64)), "with 2 words"),
        (lambda: PackedShape((3, 2)).unpack(np.zeros(2, np.int64)), "words of int64"),
        (lambda: some_network().predict(np.zeros((2, 71), np.uint8)), "71 inputs a row, but .* 70"),
        (lambda: some_network().predict(np.full((2, 70), 2)), "takes bits.*got 2"),
        (
            lambda: some_network().predict(pack_pixels(np.zeros((2, 70)))),
            "inputs of 8 bits a number, but the network takes 1",
        ),
        (lambda: some_network(label_bits=3), "4 units, which are no whole number of groups of 3"),
        (lambda: some_network(label_bits=2), r"shape \(9,\); expected whole numbers, one .* 13"),
        (lambda: some_network(planes=0), "planes=0; expected 1 to 16"),
        (lambda: some_network(scale=["a"] * 4, shift=np.ones(4)), "scale of <U1"),
        (lambda: some_network(scale=np.ones(4)), "scale and shift go together"),
        (
            lambda: some_network(scale=np.ones(3), shift=np.ones(4)),
            "scale of .* expected 4",
        ),
        (
            lambda: some_network(scale=np.ones(4), shift=np.full(4, np.inf)),
            "shift of float64 and shape .* expected 4 finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_bits_given_to_a_network_of_pixels_are_warned_of():
    shape = PackedShape((3, 2))
    network = PackedNetwork(shape, shape.ones, shape.limits(), planes=8)
    with pytest.warns(UserWarning, match="All inputs are 0 or 1, and the network takes .* to 255"):
        network.predict([[0, 1, 1]])
    network.predict([[0, 0, 0]])
    network.predict([[0, 2, 1]])


def test_many_draws_are_no_network():
    with pytest.raises(ConfigurationError, match=r"shape \(5, 36\); expected one draw .n_bits."):
        PackedNetwork.from_bits((4, 6, 2), np.zeros((5, 36), np.uint8))


def test_what_is_printed_is_short():
    assert repr(some_network()).startswith("PackedNetwork(70-9-4, from ")
    assert repr(pack_bits([[0, 1]])) == "PackedInputs(1 rows of 2, 1 bits each)"
