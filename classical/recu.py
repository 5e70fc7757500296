"""ReCU: latent weights whose tails are cut off, so that the signs of more of them can change.

Xu et al. (2021, arXiv:2103.12369), as released (github.com/z-hXu/ReCU, commit 9a73bed): the latent
weights of each filter are centred and standardised, those beyond a quantile of a layer's Laplace
distribution are pulled in to it, and then the signs are taken. The quantile rises with training.
There torch.sign takes the signs, which is 0 at zero; here the sign of zero is +1.
"""

import math
from typing import Any

import torch

from classical.straight_through import signs
from qhyper.errors import ConfigurationError

LOWEST, HIGHEST = 0.85, 0.99
"""τ at the beginning and at the end of training."""

_EPSILON = 1e-5
_DEVIATION = 2 * math.sqrt(2)
"""Standard deviation of a filter's standardised weights: that of a Laplace distribution of b = 2"""


def tau_of_epoch(epoch: int, epochs: int) -> float:
    """τ(e) = A exp(e/E) + B of epoch e, from 0, of E: 0.85 for e = 0, and 0.99 it would be for E.

    A = 0.14 / (exp(1) - 1), B = 0.85 - A. Raises ConfigurationError unless 0 <= epoch <= epochs
    and there is an epoch.
    """
    if epochs < 1 or not 0 <= epoch <= epochs:
        raise ConfigurationError(
            f"Got epoch {epoch} of {epochs}; expected 1 epoch or more, and one from 0 to that."
        )
    scale = (HIGHEST - LOWEST) / (math.e - 1)
    return scale * math.exp(epoch / epochs) + LOWEST - scale


def rectified(weight: torch.Tensor, tau: float) -> torch.Tensor:
    """Latent weights [out, in, row, column] standardised a filter, and clamped at ±Q_τ.

    w1 = w0 · 2√2 / √(var(w0) + 1e-5) of w0 = w - mean(w), with the variance of n - 1; and
    Q_τ = -mean|w1| ln(2 - 2τ), with the mean over all filters, a constant to the gradient: the
    quantile τ of a Laplace distribution. Raises ConfigurationError unless 0.5 < τ < 1.
    """
    if not 0.5 < tau < 1:
        raise ConfigurationError(
            f"Got τ = {tau}; expected a quantile above 0.5 and below 1, such as 0.85."
        )
    standard = _DEVIATION * _standardised(weight)
    limit = -standard.detach().abs().mean() * math.log(2 - 2 * tau)
    return standard.clamp(-limit, limit)


def _standardised(w: torch.Tensor) -> torch.Tensor:
    """w less its mean, over √(var + 1e-5), by filter; torch's own var is many times slower."""
    w0 = w - w.mean((1, 2, 3), keepdim=True)
    variance = w0.square().sum((1, 2, 3), keepdim=True) / (w[0].numel() - 1)
    return w0 / (variance + _EPSILON).sqrt()


def weight_sign(x: torch.Tensor) -> torch.Tensor:
    """-1 below zero and +1 else, with the gradient g as it is."""
    return _WeightSign.apply(x)


def activation_sign(x: torch.Tensor) -> torch.Tensor:
    """Signs of x/s, x [image, channel, row, column], with the gradient g max(0, 2 - 2|x/s|) to x/s.

    s = √(var + 1e-5), with the variance (of n - 1) of each image, and the gradient goes on through
    it. The sign is -1 below zero and +1 else. The polynomial is Liu et al.'s (2018).
    """
    return _ActivationSign.apply(x)


class _WeightSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return signs(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> torch.Tensor:
        return gradients[0]


class _ActivationSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return signs(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> torch.Tensor:
        # of its own, and in place: by torch's rules for each operation it takes many times as long
        (x,) = ctx.saved_tensors
        n, axes = x[0].numel(), (1, 2, 3)
        mean = x.mean(axes, keepdim=True)
        square = torch.linalg.vector_norm(x, dim=axes, keepdim=True).square()
        variance = (square - n * mean.square()).clamp_min(0) / max(1, n - 1)
        inverse = (variance + _EPSILON).rsqrt()
        g = (x * inverse).abs_().mul_(-2).add_(2).clamp_(min=0).mul_(gradients[0]).mul_(inverse)
        product = g * x
        through = product.sum(axes, keepdim=True) * inverse.square() / max(1, n - 1)
        return g.sub_(torch.sub(x, mean, out=product).mul_(through))
