"""Straight-through networks against BinaryNetwork, and their gradients against formulas."""

import numpy as np
import pytest
import torch

from classical.straight_through import StraightThroughHyperNetwork, StraightThroughNetwork, sign
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.layered.network import BinaryNetwork


def exact_features(shape, seed=0):
    """Multiples of 1/256 in [-1, 1], some of them zero: their sums are exact in any order."""
    return np.random.default_rng(seed).integers(-256, 257, size=shape) / 256


def tied_features(rows, seed=0):
    """Features of -1, 0 and 1, so that many hidden sums are exactly zero."""
    return np.random.default_rng(seed).integers(-1, 2, size=(rows, 4)).astype(np.float64)


def np_sign(x, of_zero):
    return np.where(x > 0, 1.0, np.where(x < 0, -1.0, of_zero))


def spread(parameters, seed=0):
    """Put values in [-2, 2] into parameters in place, so that some lie beyond 1."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.from_numpy(rng.uniform(-2, 2, parameter.shape)))


# -- sign ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("of_zero", [-1, 0, 1])
def test_sign_and_its_straight_through_gradient(of_zero, dtype):
    values = [-2.0, -1.0, -0.5, -0.0, 0.0, 1e-30, 0.5, 1.0, 1.5]
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    s = sign(x, of_zero)
    assert s.dtype == dtype
    assert s.tolist() == [-1, -1, -1, of_zero, of_zero, 1, 1, 1, 1]
    (gradient,) = torch.autograd.grad(s, x, torch.arange(1, 10, dtype=dtype))
    assert gradient.tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 0]


def test_sign_refuses_another_sign_of_zero():
    with pytest.raises(ConfigurationError, match=r"of_zero is -1, 0 or 1.*got 2"):
        sign(torch.zeros(1), 2)


# -- StraightThroughNetwork ------------------------------------------------------------------------


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("layers", [(4, 2), (4, 6, 2), (4, 5, 3, 3)])
def test_is_the_binary_network_of_its_bits(layers, sign_of_zero):
    network = StraightThroughNetwork(layers, seeds=range(4), sign_of_zero=sign_of_zero)
    binary = BinaryNetwork(layers, sign_of_zero=sign_of_zero)
    bits = network.bits()
    assert bits.dtype == np.uint8
    for x in (exact_features((50, 4)), tied_features(50)):
        logits = network(torch.tensor(x, dtype=torch.float32)).detach().numpy()
        np.testing.assert_array_equal(logits, binary.logits(bits, x))
    if len(layers) > 2:  # there were ties to decide
        first = binary.space.decode(bits).weights[0]
        assert (tied_features(50) @ first == 0).any()


def test_losses_are_those_of_the_binary_network():
    network = StraightThroughNetwork((4, 6, 2), seeds=range(3))
    x = exact_features((3, 40, 4))
    y = np.arange(40) % 2
    logits = network(torch.tensor(x, dtype=torch.float32)).detach().double()
    for replica, bits in enumerate(network.bits()):
        losses = torch.nn.functional.cross_entropy(logits[replica], torch.from_numpy(y))
        expected = BinaryNetwork((4, 6, 2)).losses(bits, Samples(x[replica], y))
        np.testing.assert_allclose(losses.item(), expected, rtol=1e-12)


def test_bits_of_latent_weights_of_zero_are_one():
    network = StraightThroughNetwork((1, 3, 1))
    with torch.no_grad():
        network.latent[0].copy_(torch.tensor([[[0.0, -0.0, -0.1]]]))
        network.latent[1].copy_(torch.tensor([[[-0.5], [0.5], [0.0]]]))
    assert network.bits().tolist() == [[1, 1, 0, 0, 1, 1]]


@pytest.mark.parametrize("sign_of_zero", [0, 1])
def test_gradients_are_those_of_the_straight_through_formula(sign_of_zero):
    network = StraightThroughNetwork(
        (4, 6, 2), seeds=(0, 1), sign_of_zero=sign_of_zero, dtype=torch.float64
    )
    spread(network.latent)
    x = tied_features(20)  # hidden sums from -4 to 4: beyond 1, at 1 and at 0
    factors = np.random.default_rng(1).normal(size=(2, 20, 2))
    logits = network(torch.from_numpy(x))
    gradients = torch.autograd.grad(logits, list(network.latent), torch.from_numpy(factors))
    for replica in range(2):
        r1, r2 = (latent[replica].detach().numpy() for latent in network.latent)
        z = x @ np_sign(r1, 1)
        hidden = np_sign(z, sign_of_zero)
        to_second = hidden.T @ factors[replica]
        to_hidden = factors[replica] @ np_sign(r2, 1).T
        to_first = x.T @ (to_hidden * (np.abs(z) <= 1))
        assert (np.abs(r1) > 1).any()
        assert (np.abs(z) > 1).any()
        for got, r, g in zip(gradients, (r1, r2), (to_first, to_second), strict=True):
            np.testing.assert_allclose(got[replica].numpy(), g * (np.abs(r) <= 1), atol=1e-12)


def test_a_step_ends_with_latent_weights_clipped():
    network = StraightThroughNetwork((4, 6, 2), seeds=(0, 1))
    spread(network.latent)
    before = [latent.detach().clone() for latent in network.latent]
    network.after_step()
    for latent, old in zip(network.latent, before, strict=True):
        assert torch.equal(latent, old.clip(-1, 1))


def test_refuses_another_sign_of_zero():
    with pytest.raises(ConfigurationError, match=r"sign_of_zero is \+1 or 0; got -1"):
        StraightThroughNetwork((4, 6, 2), sign_of_zero=-1)


# -- StraightThroughHyperNetwork -------------------------------------------------------------------


def hypernetwork(seeds=(0, 1), **options):
    """One with weights and biases large enough for many latent values beyond 1."""
    network = StraightThroughHyperNetwork((4, 6, 2), seeds=seeds, dtype=torch.float64, **options)
    spread(network.parameters())
    return network


def latent_values(network, replica, x):
    """The linear network in NumPy: its hidden units and the latent values, for one replica."""
    V1, c1, V2, c2 = (
        parameter[replica].detach().numpy()
        for parameter in (network.V1, network.c1, network.V2, network.c2)
    )
    hidden = x @ V1 + c1
    return hidden, hidden @ V2 + c2


def test_bits_are_those_of_the_rounded_clip():
    network = hypernetwork()
    x = exact_features((2, 30, 4))
    bits = network.weights(torch.from_numpy(x))
    assert bits.dtype == np.uint8
    for replica in range(2):
        _, latent = latent_values(network, replica, x[replica])
        np.testing.assert_array_equal(bits[replica], np.round(np.clip(latent / 2 + 0.5, 0, 1)))


def test_latent_values_of_zero_make_bits_of_zero():
    assert np.round(np.clip(0.0 / 2 + 0.5, 0, 1)) == 0
    network = StraightThroughHyperNetwork((4, 6, 2), seeds=(0, 1), dtype=torch.float64)
    with torch.no_grad():
        network.V2.zero_()  # and the biases start at zero
    x = exact_features((3, 4))
    zeros = np.zeros((2, 3, 36), dtype=np.uint8)
    np.testing.assert_array_equal(network.weights(torch.from_numpy(x)), zeros)
    expected = BinaryNetwork((4, 6, 2), sign_of_zero=0).logits(zeros[:, 0], x)
    np.testing.assert_array_equal(network(torch.from_numpy(x)).detach().numpy(), expected)


@pytest.mark.parametrize("features", [exact_features((2, 30, 4)), tied_features(30)])
def test_every_input_is_classified_by_its_own_weights(features):
    network = hypernetwork()
    x = torch.from_numpy(features)
    logits = network(x).detach().numpy()
    bits = network.weights(x)
    target = BinaryNetwork((4, 6, 2), sign_of_zero=0)
    shared = np.broadcast_to(features, (2, 30, 4))
    for replica in range(2):
        for row in range(30):
            expected = target.logits(bits[replica, row], shared[replica, row : row + 1])
            np.testing.assert_array_equal(logits[replica, row : row + 1], expected)


@pytest.mark.parametrize("both_layers", [False, True])
def test_gradients_reach_the_second_layers_bits_and_the_firsts_if_told(both_layers):
    network = hypernetwork(hidden=3, both_layers=both_layers)
    x = exact_features((25, 4))
    factors = np.random.default_rng(1).normal(size=(2, 25, 2))
    names, parameters = zip(*network.named_parameters(), strict=True)
    logits = network(torch.from_numpy(x))
    gradients = torch.autograd.grad(logits, parameters, torch.from_numpy(factors))
    gradient_of = dict(zip(names, gradients, strict=True))
    for replica in range(2):
        units, latent = latent_values(network, replica, x)
        W1 = np_sign(latent[:, :24], -1).reshape(-1, 4, 6)
        W2 = np_sign(latent[:, 24:], -1).reshape(-1, 6, 2)
        z = np.einsum("nf,nfh->nh", x, W1)
        hidden = np_sign(z, 0)
        # logits_c = Σ_h hidden_h W2_hc, and the straight-through gradient of W2 = sign(l)
        to_latent = np.zeros_like(latent)
        to_latent[:, 24:] = (hidden[:, :, None] * factors[replica][:, None, :]).reshape(-1, 12)
        if both_layers:  # hidden_h = sign(z_h), z_h = Σ_f x_f W1_fh
            to_z = np.einsum("nc,nhc->nh", factors[replica], W2) * (np.abs(z) <= 1)
            to_latent[:, :24] = np.einsum("nf,nh->nfh", x, to_z).reshape(-1, 24)
        to_latent *= np.abs(latent) <= 1
        to_units = to_latent @ network.V2[replica].detach().numpy().T
        expected = {
            "V1": x.T @ to_units,
            "c1": to_units.sum(0),
            "V2": units.T @ to_latent,
            "c2": to_latent.sum(0),
        }
        assert (np.abs(latent[:, 24:]) > 1).any()
        assert (to_latent[:, 24:] != 0).any()
        for name, gradient in expected.items():
            got = gradient_of[name][replica].numpy()
            np.testing.assert_allclose(got, gradient, atol=1e-12, err_msg=name)
        assert gradient_of["V2"][replica, :, :24].any() == both_layers
        assert gradient_of["c2"][replica, :24].any() == both_layers


def test_parameters_have_their_shapes_and_start():
    network = StraightThroughHyperNetwork((4, 6, 2), hidden=5, seeds=(0, 1, 2))
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    assert shapes == {"V1": (3, 4, 5), "c1": (3, 5), "V2": (3, 5, 36), "c2": (3, 36)}
    assert network.V1.abs().max() <= np.sqrt(6 / 9)
    assert network.V2.abs().max() <= np.sqrt(6 / 41)
    assert not network.c1.any()
    assert not network.c2.any()


@pytest.mark.parametrize("method", ["forward", "weights"])
def test_refuses_inputs_of_another_shape(method):
    network = StraightThroughHyperNetwork((4, 6, 2), seeds=(0, 1))
    with pytest.raises(ConfigurationError, match=r"expected \[row, 4\]"):
        getattr(network, method)(torch.zeros(1, 5, 4))


def test_refuses_other_than_three_layers_and_no_hidden_unit():
    for layers in ((4, 2), (4, 6, 6, 2)):
        with pytest.raises(ConfigurationError, match=r"Choose three sizes, such as \(4, 6, 2\)"):
            StraightThroughHyperNetwork(layers)
    with pytest.raises(ConfigurationError, match=r"hidden is the number of hidden units.*got 0"):
        StraightThroughHyperNetwork((4, 6, 2), hidden=0)
