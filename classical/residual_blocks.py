"""Blocks of a residual network, of binary or real weights, and the phase of their training."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, hardtanh, pad

from classical.precision import quantised, round_gradient
from classical.recu import LOWEST, activation_sign, rectified, weight_sign
from classical.straight_through import sign, signs
from qhyper.targets.convolutional.modules import ChannelScale, Residual
from qhyper.targets.sign import Sign

Weights = Literal["binary", "real"]


@dataclass
class Phase:
    """Where training is: what all convolutions of a network look at."""

    tau: float = LOWEST
    bits: int | None = None
    """of weights and activations; None: floating point"""
    rounding: torch.Generator | None = None
    """for gradients of few bits, on the network's device"""


@dataclass(frozen=True)
class Options:
    """What the blocks of a network have in common; see ResNet18."""

    weights: Weights
    preactivation: bool
    recu: bool
    shift: float
    phase: Phase


def normal_kernels(rng: np.random.Generator, n_in: int, n_out: int) -> torch.nn.Parameter:
    """Kernels [out, in, 3, 3] of He et al.'s (2015) normal draws, of the variance 2 / (9 in)."""
    drawn = rng.normal(0.0, math.sqrt(2 / (9 * n_in)), (n_out, n_in, 3, 3))
    return torch.nn.Parameter(torch.from_numpy(drawn).float())


def plain_convolution(weight: torch.Tensor, stride: int = 1) -> torch.nn.Conv2d:
    """A convolution of these weights as they are now, in float64, padded with zeros to fit."""
    n_out, n_in, rows, columns = weight.shape
    # on `meta` it has no numbers yet, and takes none from torch's random stream
    plain = torch.nn.Conv2d(
        n_in, n_out, (rows, columns), stride, (rows // 2, columns // 2), bias=False, device="meta"
    )  # fmt: skip
    plain.weight = torch.nn.Parameter(weight.detach().cpu().to(torch.float64, copy=True))
    return plain


class Norm(torch.nn.BatchNorm2d):
    """Batch normalisation, and `shift` taken away behind it."""

    def __init__(self, channels: int, shift: float) -> None:
        super().__init__(channels)
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the batch's mean and variance in training, of their running averages in eval mode."""
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias - self.shift,
            self.training, self.momentum or 0.0, self.eps,
        )  # fmt: skip

    def plain(self) -> torch.nn.BatchNorm2d:
        """The same as torch's own layer, in float64."""
        plain = torch.nn.BatchNorm2d(self.num_features, eps=self.eps).double()
        plain.load_state_dict(self.state_dict())
        plain.bias.data.sub_(self.shift)
        return plain


class Activation(torch.nn.Module):
    """Hardtanh of binary networks, ReLU of real ones, in place."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.binary = weights == "binary"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The activations, in the place of x."""
        return hardtanh(x, inplace=True) if self.binary else x.relu_()

    def plain(self) -> torch.nn.Module:
        """The same as torch's own layer."""
        return torch.nn.Hardtanh() if self.binary else torch.nn.ReLU()


class Convolution(torch.nn.Module):
    """A 3×3 convolution without bias, of binary weights and inputs and channel factors, or real."""

    def __init__(
        self, n_in: int, n_out: int, stride: int, options: Options, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.stride, self.recu, self.phase = stride, options.recu, options.phase
        self.binary = options.weights == "binary"
        self.weight = normal_kernels(rng, n_in, n_out)
        if self.binary:
            self.alpha = torch.nn.Parameter(torch.from_numpy(rng.random(n_out)).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What comes out of x [image, channel, row, column], times the channel factors."""
        if not self.training:
            x = signs(x) if self.binary else x
            h = conv2d(x, self.weight_of_eval_mode(), stride=self.stride, padding=1)
            return h * self.alpha[:, None, None] if self.binary else h
        weight, phase = self.weight, self.phase
        if self.binary and self.recu:
            weight = rectified(weight, phase.tau)
        if phase.bits is not None:
            weight, x = (quantised(each, phase.bits, symmetric=self.binary) for each in (weight, x))
        if self.binary:
            weight = weight_sign(weight) if self.recu else sign(weight)
            weight = weight * self.alpha[:, None, None, None]  # a pass over the outputs less
            x = activation_sign(x)
        h = conv2d(x, weight, stride=self.stride, padding=1)
        if phase.bits is not None and phase.rounding is not None:
            round_gradient(h, phase.rounding)
        return h

    def weight_of_eval_mode(self) -> torch.Tensor:
        """Signs of latent weights (less their filter's mean: ReCU keeps those), or real weights."""
        if not self.binary:
            return self.weight
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        return signs(self.weight - mean if self.recu else self.weight)

    def plain(self) -> list[torch.nn.Module]:
        """The same in eval mode, of torch's own layers in float64."""
        plain = plain_convolution(self.weight_of_eval_mode(), self.stride)
        if not self.binary:
            return [plain]
        return [Sign(), plain, ChannelScale(self.alpha.detach().cpu().double())]


class Shortcut(torch.nn.Module):
    """x itself; or, where a stage begins, 2×2 averages with channels of zeros around."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.n_in, self.n_out, self.stride = n_in, n_out, stride
        self.before = (n_out - n_in) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the body's output, in its shape."""
        if self.stride == 1:
            return x
        after = self.n_out - self.n_in - self.before
        return pad(avg_pool2d(x, self.stride), (0, 0, 0, 0, self.before, after))

    def plain(self) -> list[torch.nn.Module]:
        """The same of torch's own layers: a 1×1 convolution of zeros and ones pads."""
        if self.stride == 1:
            return []
        weight = torch.zeros(self.n_out, self.n_in, 1, 1)
        weight[self.before : self.before + self.n_in, :, 0, 0] = torch.eye(self.n_in)
        return [torch.nn.AvgPool2d(self.stride), plain_convolution(weight)]


class Block(torch.nn.Module):
    """Two convolutions with batch normalisation and activation, and a shortcut around both."""

    def __init__(
        self, n_in: int, n_out: int, stride: int, options: Options, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.preactivation = options.preactivation
        self.norm1 = Norm(n_in if self.preactivation else n_out, options.shift)
        self.norm2 = Norm(n_out, options.shift)
        self.convolution1 = Convolution(n_in, n_out, stride, options, rng)
        self.convolution2 = Convolution(n_out, n_out, 1, options, rng)
        self.shortcut, self.activation = Shortcut(n_in, n_out, stride), Activation(options.weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What comes out of x [image, channel, row, column]."""
        if self.preactivation:
            h = self.convolution1(self.activation(self.norm1(x)))
            h = self.convolution2(self.activation(self.norm2(h)))
            return h.add_(self.shortcut(x))
        h = self.activation(self.norm1(self.convolution1(x)))
        h = self.norm2(self.convolution2(h))
        return self.activation(h.add_(self.shortcut(x)))

    def plain(self) -> list[torch.nn.Module]:
        """The same in eval mode, of torch's own layers and `Residual`, in float64."""
        body: list[torch.nn.Module] = []
        for norm, convolution in (
            (self.norm1, self.convolution1), (self.norm2, self.convolution2)
        ):  # fmt: skip
            around = [norm.plain(), self.activation.plain()]
            body += [*around, *convolution.plain()] if self.preactivation else [
                *convolution.plain(), *around
            ]  # fmt: skip
        last = [] if self.preactivation else [body.pop()]  # that of the sum
        shortcut = torch.nn.Sequential(*self.shortcut.plain())
        return [Residual(torch.nn.Sequential(*body), shortcut), *last]
