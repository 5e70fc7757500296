from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.bits import all_bitstrings
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import ACTIVATIONS, WeightSpace


def test_logits_are_the_formula_of_the_thesis():
    rng = np.random.default_rng(0)
    x = rng.integers(-127, 128, (50, 4)) / 128
    bits = rng.integers(0, 2, 36, dtype=np.uint8)
    w = 2.0 * bits - 1
    hidden = np.where(x @ w[:24].reshape(4, 6) >= 0, 1, -1)
    expected = hidden @ w[24:].reshape(6, 2)
    np.testing.assert_array_equal(BinaryNetwork((4, 6, 2)).logits(bits, x), expected)


@pytest.mark.parametrize(("sign_of_zero", "expected"), [(1, 1.0), (0, 0.0)])
def test_sign_of_zero(sign_of_zero, expected):
    network = BinaryNetwork((2, 1, 1), sign_of_zero=sign_of_zero)
    bits = np.array([1, 0, 1])  # hidden = sign(x0 - x1)
    x = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 2.0]])
    assert network.logits(bits, x).ravel().tolist() == [expected, 1.0, -1.0]
    assert "sign_of_zero=0" in repr(network) or sign_of_zero == 1


def test_sums_run_from_left_to_right():
    x = np.array([[1e16, 1.0, -1e16]])  # 1e16 + 1 rounds to 1e16
    assert BinaryNetwork((3, 1)).logits(np.ones(3, dtype=np.uint8), x).item() == 0


@pytest.mark.parametrize("layers", [(3, 2, 2), (3, 1), (3, 4, 2, 3)])
def test_shapes_and_broadcasting(layers):
    rng = np.random.default_rng(1)
    network = BinaryNetwork(layers)
    data = Samples(rng.normal(size=(20, 3)), rng.integers(0, network.n_classes, 20))
    bits = rng.integers(0, 2, (2, 5, network.n_bits), dtype=np.uint8)
    assert network.logits(bits, data.x).shape == (2, 5, 20, layers[-1])
    losses = network.losses(bits, data)
    assert losses.shape == network.accuracy(bits, data).shape == (2, 5)
    np.testing.assert_allclose(network.losses(bits[1, 3], data), losses[1, 3], rtol=1e-14)
    np.testing.assert_allclose(
        network.losses(bits, data, "accuracy"), 1 - network.accuracy(bits, data)
    )


def test_refusals():
    x = np.zeros((3, 4))
    with pytest.raises(ConfigurationError, match=r"4 features.*3 inputs.*begin with 4"):
        BinaryNetwork((3, 2)).check(Samples(x, np.array([0, 1, 1])))
    with pytest.raises(ConfigurationError, match=r"label 2.*tells 2 classes.*0 to 1"):
        BinaryNetwork((4, 1)).check(Samples(x, np.array([0, 1, 2])))
    with pytest.raises(ConfigurationError, match=r"sign_of_zero is .1 or 0; got -1"):
        BinaryNetwork((4, 2), sign_of_zero=-1)
    with pytest.raises(ConfigurationError, match="Unknown loss 'hinge'"):
        BinaryNetwork((4, 2)).losses(np.zeros(8), Samples(x, np.array([0, 1, 1])), "hinge")


# -- spaces with choices ---------------------------------------------------------------------------

FOUR_PAIRS = ((0, 1), (-1, 1), (-2, 1), (-3, 1))
ACTIVATE = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}


def built(
    layers, string, x, *, biases=False, values=((-1, 1),), activation=("sign",), optional=(), zero=1
):
    """Logits of the network that one bitstring describes: what is left out is never built."""
    bits = iter(string.tolist())
    shapes = list(pairwise(layers))
    weights = [[[next(bits) for _ in range(outs)] for _ in range(ins)] for ins, outs in shapes]
    offsets = [[next(bits) for _ in range(outs)] if biases else [] for _, outs in shapes]

    def chosen(alternatives):
        while len(alternatives) > 1:  # halve them, the most significant bit first
            half = len(alternatives) // 2
            alternatives = alternatives[half:] if next(bits) else alternatives[:half]
        return alternatives[0]

    name, (low, high) = chosen(activation), chosen(values)
    biased = biases and ("biases" not in optional or next(bits) == 1)
    units = [
        [j for j in range(outs) if "units" not in optional or next(bits)] for _, outs in shapes[:-1]
    ]
    there = [
        "layers" not in optional or ins != outs or next(bits) == 1 for ins, outs in shapes[:-1]
    ]
    assert next(bits, None) is None

    hidden, kept = torch.tensor(x, dtype=torch.float64), list(range(layers[0]))
    for layer, (weight, offset) in enumerate(zip(weights, offsets, strict=True)):
        last = layer == len(weights) - 1
        if not last and not there[layer]:
            continue
        new = list(range(layers[-1])) if last else units[layer]
        matrix = torch.tensor([[high if weight[i][j] else low for i in kept] for j in new])
        matrix = matrix.reshape(len(new), len(kept)).double()
        shift = [(high if offset[j] else low) if biased else 0 for j in new]
        hidden = torch.nn.functional.linear(hidden, matrix, torch.tensor(shift).double())
        if not last and name == "sign":
            hidden = torch.where(hidden == 0, float(zero), torch.sign(hidden))
        elif not last:
            hidden = ACTIVATE[name](hidden)
        kept = new
    return hidden.numpy()


CASES = {
    "18 bits": ((2, 4, 1), {"biases": True, "activation": ("relu", "sigmoid")}),
    "19 bits": ((16, 1), {"biases": True, "values": FOUR_PAIRS}),
    "all optional": ((3, 3, 3, 2), {"biases": True, "optional": ("biases", "units", "layers")}),
}


@pytest.mark.parametrize("kind", ["normal", "integers"])
@pytest.mark.parametrize("zero", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_the_forward_pass_is_that_of_the_network_that_is_built(case, zero, kind):
    layers, choices = CASES[case]
    network = BinaryNetwork(WeightSpace(layers, **choices), sign_of_zero=zero)
    rng = np.random.default_rng(2)
    shape = (20, layers[0])
    x = rng.normal(size=shape) if kind == "normal" else rng.integers(-1, 2, shape).astype(float)
    bits = rng.integers(0, 2, (60, network.n_bits), dtype=np.uint8)
    expected = np.stack([built(layers, string, x, zero=zero, **choices) for string in bits])
    np.testing.assert_allclose(network.logits(bits, x), expected, rtol=1e-13, atol=1e-13)


def test_every_way_to_leave_parts_out():
    choices = {"biases": True, "optional": ("biases", "units", "layers"), "activation": ("tanh",)}
    space = WeightSpace((2, 2, 1), **choices)
    x = np.random.default_rng(3).normal(size=(4, 2))
    bits = all_bitstrings(space.n_bits)
    assert len(bits) == 2**13
    bits = bits[:: 2**9 - 1]  # all choices come up, with ever new weights
    assert len(np.unique(bits[:, -4:], axis=0)) == 16
    expected = np.stack([built(space.layers, string, x, **choices) for string in bits])
    np.testing.assert_allclose(BinaryNetwork(space).logits(bits, x), expected, rtol=1e-13)


@st.composite
def spaces(draw):
    """Layers and valid choices; all values are dyadic, so that any order of summing has one sum."""
    sizes = st.integers(1, 3)
    layers = (draw(sizes), *draw(st.lists(sizes, max_size=3)), draw(sizes))
    biases, hidden = draw(st.booleans()), len(layers) > 2
    equal = any(ins == outs for ins, outs in pairwise(layers[:-1]))
    possible = {"biases": biases, "units": hidden, "layers": equal}
    parts = [part for part, can in possible.items() if can and draw(st.booleans())]
    some = st.sampled_from([ACTIVATIONS[:1], ("relu", "tanh"), ("sigmoid",), ACTIVATIONS])
    values = st.sampled_from([((-1, 1),), ((-0.5, 0.75),), ((0, 1), (-1, 0.25)), FOUR_PAIRS])
    return layers, {
        "biases": biases,
        "values": draw(values),
        "activation": draw(some) if hidden else ("sign",),
        "optional": tuple(parts),
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(space=spaces(), zero=st.sampled_from((0, 1)), seed=st.integers(0, 2**32 - 1))
def test_any_space_is_that_of_the_network_that_is_built(space, zero, seed):
    layers, choices = space
    network = BinaryNetwork(WeightSpace(layers, **choices), sign_of_zero=zero)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, layers[0]))
    bits = rng.integers(0, 2, (8, network.n_bits), dtype=np.uint8)
    expected = np.stack([built(layers, string, x, zero=zero, **choices) for string in bits])
    found = network.logits(bits, x)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(network.logits(bits[3], x), found[3])


def test_networks_say_what_their_bits_are():
    assert repr(BinaryNetwork((4, 6, 2))) == "BinaryNetwork((4, 6, 2))"
    space = WeightSpace((2, 4, 1), biases=True, activation="relu")
    network = BinaryNetwork(space, sign_of_zero=0)
    assert repr(network) == (
        "BinaryNetwork(WeightSpace((2, 4, 1), biases=True, activation=('relu',)), sign_of_zero=0)"
    )
    assert network.space is space
    assert (network.layers, network.n_bits, network.n_classes) == ((2, 4, 1), 17, 2)
