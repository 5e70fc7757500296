"""The convolutional network is torch's own layers with the same weights, one copy a seed."""

import numpy as np
import pytest
import torch

from classical.convolutional import (
    N_WEIGHTS,
    ConvolutionalClassifier,
    ConvolutionalNetwork,
    convolutional_logits,
)
from qhyper.errors import ConfigurationError


def plain():
    """The published network, of torch's layers."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 5),
        torch.nn.MaxPool2d(2, 2),
        torch.nn.Conv2d(8, 12, 5),
        torch.nn.MaxPool2d(2, 2),
        torch.nn.Flatten(),
        torch.nn.Linear(12 * 4 * 4, 20),
        torch.nn.Linear(20, 10),
    ).double()


def test_has_as_many_weights_as_published():
    assert N_WEIGHTS == 6690 == sum(parameter.numel() for parameter in plain().parameters())
    assert ConvolutionalNetwork(seeds=(0, 1)).n_trained == 6690


def test_value_and_gradient_are_those_of_torchs_layers():
    network = ConvolutionalNetwork(seeds=(0, 1), dtype=torch.float64)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2, 3, 784)))
    factors = torch.from_numpy(rng.normal(size=(2, 3, 10)))
    logits = network(x)
    (gradient,) = torch.autograd.grad(logits, [network.own], factors)
    for replica in range(2):
        oracle = plain()
        parameters = list(oracle.parameters())
        torch.nn.utils.vector_to_parameters(network.own[replica].detach(), parameters)
        expected = oracle(x[replica].view(3, 1, 28, 28))
        torch.testing.assert_close(logits[replica], expected)
        theirs = torch.autograd.grad(expected, parameters, factors[replica])
        torch.testing.assert_close(
            gradient[replica], torch.nn.utils.parameters_to_vector(list(theirs))
        )


def test_starts_at_torchs_limits_and_each_seed_has_its_own():
    network = ConvolutionalNetwork(seeds=(3, 4), dtype=torch.float64)
    sizes = [200, 8, 2400, 12, 3840, 20, 200, 10]
    inputs = [25, 25, 200, 200, 192, 192, 20, 20]
    for part, n_in in zip(network.own.detach().split(sizes, dim=1), inputs, strict=True):
        limit = 1 / np.sqrt(n_in)
        assert 0.5 * limit < float(part.abs().max()) <= limit
    assert not torch.equal(*network.own)
    assert torch.equal(network.own[1], ConvolutionalNetwork(seeds=(4,), dtype=torch.float64).own[0])


def test_given_weights_are_copied():
    given = torch.zeros(1, N_WEIGHTS)
    network = ConvolutionalNetwork(weights=given)
    given += 1
    assert not network.weights().any()


def test_rows_without_a_replica_axis_are_shared_by_all():
    network = ConvolutionalNetwork(seeds=(0, 1))
    x = torch.randn(5, 784, generator=torch.Generator().manual_seed(0))
    logits = network(x)
    assert torch.equal(logits, network(torch.stack([x, x])))
    assert torch.equal(logits[1], convolutional_logits(network.own[1], x))


def test_a_subclass_has_to_say_whence_its_weights_come():
    network = ConvolutionalClassifier(seeds=(0,), dtype=torch.float32)
    with pytest.raises(NotImplementedError):
        network.weights()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": ()}, "at least one seed"),
        ({"dtype": torch.float16}, r"Got dtype=torch.float16; expected torch.float32 or"),
        ({"weights": torch.zeros(6690)}, r"shape \(6690,\); expected .* = \[1, 6690\]: one row"),
        ({"weights": torch.zeros(1, 6690), "seeds": (0, 1)}, r"expected .* = \[2, 6690\]"),
    ],
)
def test_refuses_what_is_no_network(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        ConvolutionalNetwork(**arguments)


def test_refuses_images_of_another_size():
    with pytest.raises(ConfigurationError, match=r"shape \(5, 783\); expected \[row, 784\]"):
        ConvolutionalNetwork()(torch.zeros(5, 783))
