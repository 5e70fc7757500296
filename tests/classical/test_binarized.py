"""Binarised networks: binarisers against formulas, eval mode against plain NumPy, training."""

import copy
import itertools
import re

import numpy as np
import pytest
import torch

from classical import binarized
from classical.binarized import BinarizedNetwork, stochastic_sign
from classical.fit_images import fit_images
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.sign import Sign

KINDS = ("none", "deterministic", "stochastic")
BINARY = KINDS[1:]
LAYERS = (12, 9, 5, 3)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def made_images(n, seed=0, classes=3, inputs=12):
    """Noisy copies of one image a class."""
    prototypes = np.random.default_rng(99).integers(0, 256, (classes, inputs))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    noise = rng.integers(-40, 41, (n, inputs))
    return Images(np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8), labels)


def spread(network, seed=0):
    """Other numbers for all of a network's, latent weights of zero among them; statistics of x."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(rng.integers(-4, 5, parameter.shape) / 4))
        for norm in network.norms:
            norm.weight.add_(0.1)
    network.set_statistics(torch.from_numpy(made_images(50, seed).pixels))


def np_logits(network, x):
    """The network of eval mode, in NumPy and float64."""
    h = z = x.astype(np.float64)
    for k, (latent, norm) in enumerate(zip(network.latent, network.norms, strict=True)):
        if k:
            h = np.where(z >= 0, 1.0, -1.0) if network.binary else np.maximum(z, 0)
        w = latent.detach().double().numpy()
        w = np.where(w >= 0, 1.0, -1.0) if network.binary else w
        mean, var, gamma, beta = (
            part.detach().double().numpy()
            for part in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        z = (h @ w.T - mean) / np.sqrt(var + norm.eps) * gamma + beta
    return z


# -- binarisers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_of_stochastic_sign_is_that_of_its_expectation(dtype):
    x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5], dtype=dtype, requires_grad=True)
    s = stochastic_sign(x, generator(0))
    assert s.dtype == dtype
    assert set(s.tolist()) == {-1, 1}
    (gradient,) = torch.autograd.grad(s, x, torch.arange(1, 8, dtype=dtype))
    assert gradient.tolist() == [0, 2, 3, 4, 5, 6, 0]
    inner = x.detach()[2:5].requires_grad_()
    (expected,) = torch.autograd.grad(inner.clip(-1, 1), inner, torch.arange(3, 6, dtype=dtype))
    assert gradient[2:5].tolist() == expected.tolist()


def test_stochastic_sign_has_the_law_of_the_hard_sigmoid():
    """Seed 1, 200,000 draws a value, 5 sigma; certain values are certain."""
    n = 200_000
    values = torch.tensor([-3.0, -1.0, -0.9, -0.3, 0.0, 0.2, 0.99, 1.0, 2.0])
    share = (stochastic_sign(values.expand(n, -1), generator(1)) > 0).double().mean(0)
    p = ((values.double() + 1) / 2).clip(0, 1)
    assert ((share - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()


def test_draws_of_stochastic_sign_are_independent():
    """Seed 2, 200,000 pairs of a fair draw: the correlation is within 5 sigma of none."""
    n = 200_000
    s = stochastic_sign(torch.zeros(n, 2), generator(2)).double()
    assert abs(float((s[:, 0] * s[:, 1]).mean())) <= 5 / n**0.5


def reference_gradients(network, x, y, binarise):
    """Gradients with clip in the place of each binariser's derivative: s + clip(x) - clip(x)°."""

    def through(v):
        clipped = v.clip(-1, 1)
        return binarise(v.detach()) + clipped - clipped.detach()

    copies = [p.detach().clone().requires_grad_() for p in network.parameters()]
    latents, norms = copies[: len(network.latent)], copies[len(network.latent) :]
    h = x.to(torch.float64)
    for k, latent in enumerate(latents):
        z = h @ through(latent).T
        z = (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()
        z = z * norms[2 * k] + norms[2 * k + 1]
        h = through(z)
    loss = torch.nn.functional.cross_entropy(z, y)
    return torch.autograd.grad(loss, copies)


@pytest.mark.parametrize("kind", BINARY)
def test_gradients_go_straight_through_every_binariser(kind):
    network = BinarizedNetwork(LAYERS, binarisation=kind, seed=3).double()
    images = made_images(40)
    x, y = torch.tensor(images.pixels), torch.tensor(images.labels)
    draws = network.draws.get_state()
    loss = torch.nn.functional.cross_entropy(network(x), y)
    found = torch.autograd.grad(loss, list(network.parameters()))
    replay = torch.Generator()
    replay.set_state(draws)

    def binarise(v):
        if kind == "deterministic":
            return torch.where(v >= 0, 1.0, -1.0).double()
        u = torch.rand(v.shape, dtype=torch.float64, generator=replay)
        return torch.where(u < (v + 1) / 2, 1.0, -1.0).double()

    for ours, theirs in zip(found, reference_gradients(network, x, y, binarise), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert any(float(g.abs().max()) > 0 for g in found)


# -- the network -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [(12, 3), (12, 9, 3), LAYERS])
def test_eval_mode_is_the_network_of_signs(kind, layers):
    network = BinarizedNetwork(layers, binarisation=kind).double()
    spread(network)
    x = made_images(200, seed=5).pixels
    logits = network(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(logits, np_logits(network, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [(12, 3), LAYERS])
def test_evaluation_network_is_the_network_in_eval_mode(kind, layers):
    network = BinarizedNetwork(layers, binarisation=kind)
    spread(network)
    x = torch.tensor(made_images(300, seed=6).pixels)
    plain = network.evaluation_network()
    assert isinstance(plain, torch.nn.Sequential)
    assert not plain.training
    assert all(p.dtype == torch.float64 for p in plain.parameters())
    assert torch.equal(plain(x.double()), network.double()(x))
    between = torch.nn.ReLU if kind == "none" else Sign
    names = [torch.nn.Linear, torch.nn.BatchNorm1d, between] * (len(layers) - 1)
    assert [type(module) for module in plain] == names[:-1]
    linears = [module for module in plain if isinstance(module, torch.nn.Linear)]
    assert all(linear.bias is None for linear in linears)
    if kind != "none":
        assert all(set(linear.weight.unique().tolist()) <= {-1, 1} for linear in linears)


def test_evaluation_network_has_its_own_numbers():
    network = BinarizedNetwork((12, 3), binarisation="none").double()
    spread(network)
    x = torch.tensor(made_images(20).pixels)
    plain = network.evaluation_network()
    before = plain(x.double()).clone()
    with torch.no_grad():
        for tensor in itertools.chain(network.parameters(), network.buffers()):
            tensor.zero_()
    assert torch.equal(plain(x.double()), before)


@pytest.mark.parametrize("kind", BINARY)
def test_packed_predictions_are_those_of_the_evaluation_network(kind):
    network = BinarizedNetwork(LAYERS, binarisation=kind, seed=4)
    fit_images(network, made_images(90), made_images(30, 1), epochs=2, batch=10, learning_rate=0.03)
    x = made_images(500, seed=7).pixels
    plain = network.evaluation_network()
    expected = plain(torch.tensor(x, dtype=torch.float64)).argmax(1)
    np.testing.assert_array_equal(
        PackedNetwork.from_torch(plain, inputs="pixels").predict(x), expected
    )


def test_statistics_are_those_of_the_rows():
    network = BinarizedNetwork(LAYERS, binarisation="stochastic").double()
    x = made_images(60).pixels
    network.set_statistics(torch.tensor(x))
    assert not network.training
    h = x.astype(np.float64)
    for latent, norm in zip(network.latent, network.norms, strict=True):
        sums = h @ np.where(latent.detach().numpy() >= 0, 1.0, -1.0).T
        mean, variance = np.asarray(norm.running_mean), np.asarray(norm.running_var)
        np.testing.assert_allclose(mean, sums.mean(0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(variance, sums.var(0, ddof=1), rtol=1e-12)
        h = np.where(sums >= sums.mean(0), 1.0, -1.0)


def test_a_stochastic_network_draws_anew_in_training_and_not_in_eval_mode():
    network = BinarizedNetwork(LAYERS, binarisation="stochastic")
    x = torch.tensor(made_images(30).pixels)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_draws_in_training_depend_on_the_seed_alone():
    x = torch.tensor(made_images(30).pixels)
    weights = BinarizedNetwork(LAYERS, binarisation="stochastic").state_dict()

    def logits(seed):
        network = BinarizedNetwork(LAYERS, binarisation="stochastic", seed=seed)
        network.load_state_dict(weights)
        return network(x)

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))


def test_nothing_is_drawn_from_the_global_stream():
    before = torch.get_rng_state()
    network = BinarizedNetwork(LAYERS, binarisation="stochastic")
    fit_images(network, made_images(20), made_images(10), epochs=1, batch=10, learning_rate=0.01)
    network.evaluation_network()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_after_step_clips_latent_weights_of_binarised_networks_alone(kind):
    network = BinarizedNetwork((12, 3), binarisation=kind)
    with torch.no_grad():
        network.latent[0].fill_(-3)
    network.after_step()
    assert float(network.latent[0].detach().min()) == (-3 if kind == "none" else -1)


@pytest.mark.parametrize("layers", [(12,), (), (12, 0), (12, 2.5), (12, True)])
def test_layers_that_cannot_be_are_refused(layers):
    with pytest.raises(ConfigurationError, match="expected two numbers of units or more"):
        BinarizedNetwork(layers, binarisation="none")


def test_an_unknown_binarisation_is_refused():
    with pytest.raises(ConfigurationError, match=r"Unknown binarisation 'determinist'.*Did you"):
        BinarizedNetwork((12, 3), binarisation="determinist")  # type: ignore


@pytest.mark.parametrize("shape", [(12,), (2, 11), (2, 3, 12)])
def test_inputs_of_another_shape_are_refused(shape):
    network = BinarizedNetwork((12, 3), binarisation="none")
    for use in (network, network.set_statistics):
        with pytest.raises(ConfigurationError, match=re.escape(f"Got x of shape {shape}")):
            use(torch.zeros(shape))


def test_statistics_of_one_row_are_refused():
    network = BinarizedNetwork((12, 3), binarisation="none")
    with pytest.raises(ConfigurationError, match="Statistics need two rows or more"):
        network.set_statistics(torch.zeros(1, 12))


def test_statistics_are_taken_over_the_first_rows_alone(monkeypatch):
    monkeypatch.setattr(binarized, "STATISTICS", 7)
    network, images = BinarizedNetwork((12, 3), binarisation="deterministic"), made_images(40)
    fit_images(network, images, images, epochs=1, batch=10, learning_rate=0.1)
    other = copy.deepcopy(network.state_dict())
    network.set_statistics(torch.tensor(images.pixels[:7]))
    assert all(torch.equal(network.state_dict()[name], other[name]) for name in other)


def test_the_evaluation_network_of_another_device_is_on_the_cpu(monkeypatch):
    network = BinarizedNetwork((12, 8, 3), binarisation="deterministic")
    norms = copy.deepcopy(network.norms)
    network.to("meta").norms = norms
    # nothing can be copied from `meta`; everything else is as on a device
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: torch.ones(x.shape, dtype=x.dtype))
    plain = network.evaluation_network()
    assert {tensor.device.type for tensor in plain.state_dict().values()} == {"cpu"}


def test_stochastic_signs_are_drawn_on_the_cpu_for_any_device():
    generator, same = (torch.Generator().manual_seed(0) for _ in range(2))
    found = stochastic_sign(torch.zeros(3, 2, device="meta"), generator)
    assert (found.device.type, found.shape) == ("meta", (3, 2))
    stochastic_sign(torch.zeros(3, 2), same)
    assert torch.equal(generator.get_state(), same.get_state())
