"""Images that a network and what it was made from, or what is made of it, are compared on."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from qhyper.errors import ConfigurationError
from qhyper.targets.conversion import ROUNDING, short
from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, Residual
from qhyper.targets.convolutional.steps import (
    BinaryConvolution,
    Convolution,
    Float,
    Shape,
    Step,
    Values,
)
from qhyper.targets.convolutional.steps import Residual as Sum
from qhyper.targets.sign import Sign

_MOST, _LEAST, _PRODUCTS = 64, 4, 2**31
"""Images, and products of a weight that they meet at the most."""
_ADDS = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.AvgPool2d, torch.nn.AdaptiveAvgPool2d)
"""Layers that add up in an order of their own."""
_NUMBERS = ("weight", "bias", "scale", "shift", "factor")


def random_images(image: Shape, steps: Sequence[Step]) -> npt.NDArray[np.uint8]:
    """Pixels [image, channel, row, column], always the same ones: up to 64, few if that is long.

    Noise of any contrast on patches of any size, and one image each all black and all white.
    """
    rng = np.random.default_rng(0)
    count = int(
        np.clip(_PRODUCTS // max(_products(Values("real", image), steps), 1), _LEAST, _MOST)
    )
    found = np.empty((count, *image), np.uint8)
    channels, rows, columns = image
    for x in found:
        size, depth = rng.integers(1, 9), rng.integers(1, 256)
        patches = rng.integers(256, size=(channels, rows // size + 1, columns // size + 1))
        smooth = patches.repeat(size, axis=1).repeat(size, axis=2)[:, :rows, :columns]
        x[:] = np.clip(smooth + rng.integers(-depth, depth + 1, size=image), 0, 255)
    found[0], found[1] = 0, 255
    return found


def _products(values: Values, steps: Sequence[Step]) -> int:
    """Products of weights and inputs that the steps add up for one image."""
    found = 0
    for step in steps:
        after = step.after(values)
        if isinstance(step, Convolution):
            found += step.weight.size * after.shape[1] * after.shape[2]
        elif isinstance(step, BinaryConvolution):
            found += step.bits.size * after.shape[1] * after.shape[2]
        elif isinstance(step, Sum):
            found += _products(values, step.body) + _products(values, step.shortcut)
        values = after
    return found


@torch.no_grad()
def run(module: torch.nn.Module, pixels: npt.NDArray[np.uint8]) -> Float:
    """What comes out of a module of float64, [image, class]; ConfigurationError if it fails."""
    x = torch.from_numpy(pixels).to(torch.float64)
    try:
        return module(x).to(torch.float64).flatten(1).numpy()
    except Exception as error:  # whatever a user's module does
        raise ConfigurationError(
            "The module fails in float64 and eval mode on images [image, channel, row, column] = "
            f"{list(x.shape)}: {type(error).__name__}: {error}. Let it run on such images first."
        ) from error


@torch.no_grad()
def tied_images(
    module: torch.nn.Sequential, pixels: npt.NDArray, *, affine: bool = False
) -> npt.NDArray[np.bool_]:
    """Images [image] in which a sign depends on how sums were rounded.

    As `qhyper.targets.conversion.tied_rows`, of convolutions and with residual ways. `affine`: what
    is multiplied, and then added to, may also be rounded otherwise than torch does it.
    """
    x = torch.from_numpy(pixels).to(torch.float64)
    tied = torch.zeros(len(x), dtype=torch.bool, device="cpu")
    rounding = (*_ADDS, Affine2d, ChannelScale) if affine else _ADDS
    _watched(module, x, torch.zeros_like(tied), tied, rounding)
    return tied.numpy()


def _watched(
    module: torch.nn.Module, x: torch.Tensor, rounds: torch.Tensor, tied: torch.Tensor,
    rounding: tuple[type, ...],
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """What a module gives, and in which images that is rounded; sets `tied` where it decides.

    Parts of the types `rounding` round.
    """
    if isinstance(module, torch.nn.Sequential):
        for part in module:
            x, rounds = _watched(part, x, rounds, tied, rounding)
        return x, rounds
    if isinstance(module, Residual):
        body, of_body = _watched(module.body, x, rounds, tied, rounding)
        shortcut, of_shortcut = _watched(module.shortcut, x, rounds, tied, rounding)
        return body + shortcut, of_body | of_shortcut
    if isinstance(module, rounding):
        numbers = (getattr(module, name, None) for name in _NUMBERS)
        plain = all(bool(short(t).all()) for t in numbers if t is not None)
        rounds = rounds | ~short(x).flatten(1).all(1) | (not plain)
    if isinstance(module, Sign):
        size = x.abs().transpose(0, 1).flatten(1).amax(1).reshape(-1, *(1 for _ in x.shape[2:]))
        near = (size > 0) & (x.abs() <= ROUNDING * size)
        tied |= rounds & near.flatten(1).any(1)
        rounds = torch.zeros_like(rounds)
    return module(x), rounds
