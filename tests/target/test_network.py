import numpy as np
import pytest

from qhyper.data import Samples
from qhyper.errors import ConfigurationError
from qhyper.target.network import BinaryNetwork


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
