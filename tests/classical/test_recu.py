"""ReCU: latent weights, τ and the signs' gradients, against formulas written out."""

import math

import numpy as np
import pytest
import torch

from classical.recu import activation_sign, rectified, tau_of_epoch, weight_sign
from classical.straight_through import signs
from qhyper.errors import ConfigurationError


def some(shape, seed, scale=1.0):
    drawn = np.random.default_rng(seed).normal(size=shape) * scale
    return torch.tensor(drawn, requires_grad=True)


def slowly_rectified(weight, tau):
    """The released code's steps, number by number."""
    filters = weight.detach().numpy().reshape(len(weight), -1).tolist()
    standard = []
    for w in filters:
        mean = sum(w) / len(w)
        w0 = [number - mean for number in w]
        again = sum(w0) / len(w0)
        variance = sum((number - again) ** 2 for number in w0) / (len(w0) - 1)
        standard.append([number * 2 * math.sqrt(2) / math.sqrt(variance + 1e-5) for number in w0])
    sizes = [abs(number) for w1 in standard for number in w1]
    limit = -sum(sizes) / len(sizes) * math.log(2 - 2 * tau)
    clamped = [[max(min(number, limit), -limit) for number in w1] for w1 in standard]
    return torch.tensor(clamped, dtype=torch.float64).view(weight.shape)


@pytest.mark.parametrize(("shape", "tau"), [((4, 3, 3, 3), 0.85), ((2, 5, 1, 2), 0.99)])
def test_rectified_weights_are_those_of_the_formula(shape, tau):
    weight = some(shape, 0, scale=0.05)
    expected = slowly_rectified(weight, tau)
    torch.testing.assert_close(rectified(weight, tau).detach(), expected, rtol=1e-12, atol=1e-12)
    assert (expected.abs() == expected.abs().max()).sum() >= 2 or tau > 0.9  # some are clamped


def test_the_limit_is_the_quantile_of_a_laplace_distribution():
    # of many Laplace draws, the share beyond the limit on each side is 1 - τ
    drawn = np.random.default_rng(1).laplace(size=(2, 20_000, 1, 1))
    for tau in (0.85, 0.95):
        found = rectified(torch.tensor(drawn), tau)
        share = (found == found.max()).double().mean()
        assert abs(share - (1 - tau)) < 0.005


def test_clamping_keeps_every_sign_of_the_centred_weights():
    weight = some((8, 4, 3, 3), 2)
    centred = weight - weight.mean((1, 2, 3), keepdim=True)
    for tau in (0.85, 0.92, 0.99):
        assert torch.equal(signs(rectified(weight, tau)), centred.sign())


def test_gradient_of_rectified_weights_is_right_where_nothing_is_at_the_limit():
    weight = some((3, 2, 3, 3), 3)

    def unclamped(w):  # the limit is a constant to the gradient
        return rectified(w, 0.9999)

    assert (unclamped(weight).abs() < unclamped(weight).abs().max()).sum() >= 50
    torch.autograd.gradcheck(unclamped, weight)


def test_clamped_weights_pass_no_gradient():
    weight = some((1, 4, 3, 3), 4)
    found = rectified(weight, 0.6)
    at_limit = found.abs() == found.abs().max()
    (gradient,) = torch.autograd.grad(found, weight, at_limit.double())
    assert at_limit.sum() > 10
    assert torch.count_nonzero(gradient) == 0


@pytest.mark.parametrize("sign", [signs, weight_sign])
def test_the_sign_of_zero_is_plus_one(sign):
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0])
    assert sign(x).tolist() == [-1, -1, 1, 1, 1, 1]
    assert x.sign().tolist() == [-1, -1, 0, 0, 1, 1]  # torch's own


def test_signs_of_weights_pass_the_gradient_as_it_is():
    x, g = some((2, 3, 3, 3), 5, scale=5), some((2, 3, 3, 3), 6).detach()
    (found,) = torch.autograd.grad(weight_sign(x), x, g)
    assert torch.equal(found, g)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_signs_of_activations_have_the_gradient_of_a_polynomial_of_standardised_ones(layout):
    x, g = some((3, 4, 5, 2), 7), some((3, 4, 5, 2), 8).detach()
    (found,) = torch.autograd.grad(activation_sign(x.to(memory_format=layout)), x, g)

    standard = x / (x.var((1, 2, 3), keepdim=True) + 1e-5).sqrt()
    slope = (2 - 2 * standard.abs()).clamp_min(0).detach()
    (expected,) = torch.autograd.grad(standard, x, g * slope)
    assert torch.equal(activation_sign(x), x.detach().sign())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert 0 < torch.count_nonzero(slope) < slope.numel()


def test_an_image_of_one_number_throughout_has_a_finite_gradient():
    x = torch.full((1, 2, 3, 3), 0.5, requires_grad=True)
    (found,) = torch.autograd.grad(activation_sign(x).sum(), x)
    assert torch.isfinite(found).all()


def test_tau_rises_from_the_first_quantile_to_the_last():
    taus = [tau_of_epoch(epoch, 10) for epoch in range(11)]
    assert taus[0] == pytest.approx(0.85, abs=1e-12)
    assert taus[-1] == pytest.approx(0.99, abs=1e-12)
    a = 0.14 / (math.exp(1) - 1)
    assert taus[4] == pytest.approx(a * math.exp(4 / 10) + 0.85 - a, abs=1e-12)
    assert (np.diff(taus, 2) > 0).all()  # ever faster


def test_bad_quantiles_and_epochs_are_refused():
    with pytest.raises(ConfigurationError, match=r"τ = 0\.5; expected a quantile above 0\.5"):
        rectified(torch.ones(1, 1, 3, 3), 0.5)
    with pytest.raises(ConfigurationError, match="below 1"):
        rectified(torch.ones(1, 1, 3, 3), 1.0)
    for epoch, epochs in ((-1, 3), (4, 3), (0, 0)):
        with pytest.raises(ConfigurationError, match=f"Got epoch {epoch} of {epochs}"):
            tau_of_epoch(epoch, epochs)
