"""The full-precision network is torch's own linear layers and sigmoids, one copy a seed."""

import numpy as np
import pytest
import torch

from classical.full_precision import FullPrecisionNetwork
from qhyper.errors import ConfigurationError


def plain(network, replica):
    """One replica as a torch.nn.Sequential with the same weights."""
    modules = []
    for weight in network.weights:
        n_in, n_out = weight.shape[1:]
        linear = torch.nn.Linear(n_in, n_out, bias=False, dtype=weight.dtype)
        linear.weight.data = weight.data[replica].T.clone()
        modules += [linear, torch.nn.Sigmoid()]
    return torch.nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("layers", [(4, 2), (4, 6, 2), (5, 4, 3, 3)])
def test_value_and_gradient_are_those_of_torchs_layers(layers):
    network = FullPrecisionNetwork(layers, seeds=(0, 1, 2), dtype=torch.float64)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(3, 7, layers[0])))
    factors = torch.from_numpy(rng.normal(size=(3, 7, layers[-1])))
    logits = network(x)
    gradients = torch.autograd.grad(logits, list(network.weights), factors)
    for replica in range(3):
        oracle = plain(network, replica)
        expected = oracle(x[replica])
        torch.testing.assert_close(logits[replica], expected)
        theirs = torch.autograd.grad(expected, list(oracle.parameters()), factors[replica])
        for ours, linear in zip(gradients, theirs, strict=True):
            torch.testing.assert_close(ours[replica], linear.T)


def test_rows_without_a_replica_axis_are_shared_by_all():
    network = FullPrecisionNetwork((4, 6, 2), seeds=(0, 1))
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x), network(torch.stack([x, x])))


def test_starts_at_uniform_draws_within_glorots_limit_and_each_seed_has_its_own():
    network = FullPrecisionNetwork((30, 50, 10), seeds=(3, 4), dtype=torch.float64)
    for weight in network.weights:
        limit = np.sqrt(6 / sum(weight.shape[1:]))
        for replica in weight.detach().numpy():
            assert np.abs(replica).max() <= limit
            # Standard error of the mean of n uniform draws: l / √(3n). Seeds 3 and 4, 5 sigma.
            assert abs(replica.mean()) < 5 * limit / np.sqrt(3 * replica.size)
            # The square has mean l²/3 and variance 4 l⁴ / 45.
            error = limit**2 * np.sqrt(4 / 45 / replica.size)
            assert abs((replica**2).mean() - limit**2 / 3) < 5 * error
        assert not torch.equal(weight[0], weight[1])
    alone = FullPrecisionNetwork((30, 50, 10), seeds=(4,), dtype=torch.float64)
    for weight, own in zip(network.weights, alone.weights, strict=True):
        assert torch.equal(weight[1], own[0])


@pytest.mark.parametrize("shape", [(4,), (5, 3), (1, 5, 4), (3, 5, 4), (2, 5, 3), (2, 1, 5, 4)])
def test_refuses_inputs_of_another_shape(shape):
    network = FullPrecisionNetwork((4, 6, 2), seeds=(0, 1))
    with pytest.raises(ConfigurationError, match=r"expected \[row, 4\], or .* = \[2, rows, 4\]"):
        network(torch.zeros(shape))


def test_refuses_inputs_of_another_dtype():
    network = FullPrecisionNetwork((4, 6, 2))
    with pytest.raises(ConfigurationError, match=r"float64.*computes in torch\.float32.*Pass x"):
        network(torch.zeros(5, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": (4,)}, "at least an input and an output layer"),
        ({"layers": (4, 0, 2)}, "each of 1 unit or more"),
        ({"layers": (4, 2), "seeds": ()}, "at least one seed"),
        ({"layers": (4, 2), "dtype": torch.int64}, "expected floating-point numbers"),
    ],
)
def test_refuses_what_is_no_network(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        FullPrecisionNetwork(**arguments)
