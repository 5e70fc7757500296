"""Cyclic precision: numbers of few bits in training, how few changing in cycles.

Fu et al. (2021, arXiv:2101.09868), as released (github.com/GATECH-EIC/CPT): what goes into a
convolution and its weights take so many levels between their least and their greatest number, and
gradients of what comes out take 2^8. All is emulated in floating point, as it is there: the levels
are those of a machine of few bits, and the work is not less but more. Where signs are taken of
what is quantised, which they do not, levels can be symmetric about zero.
"""

import math
from typing import Any

import torch

from qhyper.arrays import is_whole
from qhyper.errors import ConfigurationError

LEAST, MOST = 3, 8
"""Bits of weights and activations at the beginning and at the end of a cycle."""
GRADIENT_BITS = 8
CYCLES = 32
"""Cycles of a training, in all their experiments."""


def bits_of_step(step: int, steps: int, *, cycles: int = CYCLES) -> int:
    """Bits in a step of training, from 0: rint(3 + 2.5 (1 + cos(π + π t/T))) at t/T of a cycle.

    T is steps / cycles. The mean over a cycle is 5.5. Raises ConfigurationError unless
    0 <= step < steps and cycles >= 1.
    """
    if not 0 <= step < steps or cycles < 1:
        raise ConfigurationError(
            f"Got step {step} of {steps} in {cycles} cycles; expected a step below their number, "
            "from 0, and 1 cycle or more."
        )
    place = step * cycles / steps % 1
    return round(LEAST + (MOST - LEAST) / 2 * (1 + math.cos(math.pi + math.pi * place)))


def quantised(x: torch.Tensor, bits: int, *, symmetric: bool = False) -> torch.Tensor:
    """x rounded to the nearest of 2^bits even levels from its minimum to its maximum.

    With `symmetric` they are from `-max|x|` to `max|x|`: none is zero, and every number keeps its
    sign (zero goes to the level above it). The gradient goes straight through. Numbers that are all
    the same stay so, but zeros among symmetric levels become a tiny number. Raises
    ConfigurationError unless bits are 2 to 16.
    """
    check_bits(bits)
    return _Quantise.apply(x, bits, symmetric)


def check_bits(bits: int) -> None:
    """Raise ConfigurationError unless bits are 2 to 16."""
    if not is_whole(bits, at_least=2) or bits > 16:
        raise ConfigurationError(f"Got bits={bits!r}; expected 2 to 16, such as 8.")


def round_gradient(x: torch.Tensor, rng: torch.Generator, bits: int = GRADIENT_BITS) -> None:
    """Let the gradient of x, where it has one, be `rounded_at_random`."""
    if x.requires_grad:
        x.register_hook(lambda gradient: rounded_at_random(gradient, rng, bits))


def rounded_at_random(x: torch.Tensor, rng: torch.Generator, bits: int) -> torch.Tensor:
    """x rounded to one of the two nearest of 2^bits even levels from its minimum to its maximum.

    Which of the two makes it right on average, but for at most 1/512 of the step between levels:
    `rng`, on x's device, gives each number a random byte. Raises ConfigurationError unless bits
    are 2 to 16.
    """
    check_bits(bits)
    low, high = x.amin(), x.amax()
    step = ((high - low) / (2**bits - 1)).clamp_min(torch.finfo(x.dtype).tiny)
    levels = (x - low).div_(step).add_(_random_bytes(x, rng), alpha=1 / 256).add_(1 / 512)
    return levels.floor_().mul_(step).add_(low)


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bits: int, symmetric: bool) -> torch.Tensor:
        low, high = x.amin(), x.amax()  # aminmax would copy what is not contiguous
        size = 2 * torch.maximum(-low, high) if symmetric else high - low
        step = (size / (2**bits - 1)).clamp_min(torch.finfo(x.dtype).tiny)
        if symmetric:  # levels are (k + 1/2) steps
            return x.div(step).floor_().add_(0.5).mul_(step)
        return (x - low).div_(step).round_().mul_(step).add_(low)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None, None]:
        return gradients[0], None, None


def _random_bytes(like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Random bytes in the shape and layout of a tensor, eight from each number that is drawn."""
    words = torch.empty(-(-like.numel() // 8), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None, generator=rng)
    drawn = words.view(torch.uint8)[: like.numel()]
    return drawn.as_strided(like.shape, torch.empty_like(like, device="meta").stride())
