"""StaticConvolutional: classifiers of images whose kernels are their own, or generated.

The networks of the report *Hypernetworks* (Vineet, CS618), which repeats Ha, Dai and Le (2016,
arXiv:1609.09106) on MNIST and on blocks of VGG for CIFAR-10.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn.functional import conv2d, hardtanh, linear, max_pool2d, relu

from classical.image_classifier import (
    ImageClassifier,
    are_sizes,
    check_flags,
    check_planes,
)
from classical.kernel_hypernetwork import KernelHyperNetwork, count_kernels, put_together
from classical.straight_through import sign
from qhyper.arrays import as_number, is_whole
from qhyper.data.images import checked_image
from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.modules import Affine2d
from qhyper.targets.sign import Sign


@dataclass(frozen=True)
class Architecture:
    """A network of convolutions f x f, zeros around, and dense layers.

    A block is its convolutions, the maxima of 2 x 2, and dropout. ReLU, which is not printed,
    follows each convolution and each dense layer but the last.

    Raises ConfigurationError for a kernel that is not odd, a block without convolutions, channels
    and units that are no whole numbers of 1 or more, images of which the blocks leave nothing,
    dropout that is not from 0 to below 1, and pixels that are not shifted by a finite number and
    scaled by one above 0.
    """

    image: tuple[int, int, int]
    """channels, rows and columns"""
    kernel: int
    """f, an odd number"""
    blocks: tuple[tuple[int, ...], ...]
    """channels out of each convolution, by block"""
    dense: tuple[int, ...] = ()
    """units of dense layers before that of the classes"""
    dropout: float = 0.0
    """share of numbers that are dropped after a block"""
    dense_dropout: float = 0.0
    """the same after each layer of `dense`"""
    shift: float = 127.5
    scale: float = 64.0
    """pixels go in as (x - shift) / scale"""
    classes: int = 10

    def __post_init__(self) -> None:
        if not is_whole(self.kernel, at_least=1) or self.kernel % 2 == 0:
            raise ConfigurationError(
                f"Got kernel={self.kernel!r}; expected an odd number of rows and columns, such as "
                "3, so that an image keeps its size."
            )
        checked_image(self.image)
        blocks = self.blocks if isinstance(self.blocks, tuple | list) else ()
        if not blocks or not all(map(are_sizes, blocks)):
            raise ConfigurationError(
                f"Got blocks={self.blocks!r}; expected channels out of one convolution or more in "
                "each block, whole numbers from 1, such as ((16, 16), (32, 32))."
            )
        if self.dense != () and not are_sizes(self.dense):
            raise ConfigurationError(
                f"Got dense={self.dense!r}; expected units of each dense layer before the last, "
                "whole numbers from 1, such as (128,), or ()."
            )
        if min(self.image[1:]) < 2 ** len(self.blocks):
            raise ConfigurationError(
                f"Got images of {self.image}, of which {len(self.blocks)} maxima of 2 x 2 leave "
                "nothing. Choose fewer blocks, or larger images."
            )
        for name in ("dropout", "dense_dropout"):
            if not 0 <= as_number(getattr(self, name)) < 1:
                raise ConfigurationError(
                    f"Got {name}={getattr(self, name)!r}; expected a share from 0 to below 1."
                )
        if not math.isfinite(as_number(self.shift)):
            raise ConfigurationError(
                f"From pixels a shift is taken, a finite number; got {self.shift!r}."
            )
        if not 0 < as_number(self.scale) < math.inf:
            raise ConfigurationError(
                f"Pixels are divided by scale, a finite number above 0; got {self.scale!r}."
            )

    @property
    def convolutions(self) -> list[tuple[int, int]]:
        """Channels in and out of all convolutions in order."""
        widths = [self.image[0], *(width for block in self.blocks for width in block)]
        return list(pairwise(widths))

    @property
    def flat(self) -> int:
        """Numbers that the first dense layer sees."""
        _, rows, columns = self.image
        times = 2 ** len(self.blocks)
        return self.blocks[-1][-1] * (rows // times) * (columns // times)


MNIST = Architecture((1, 28, 28), kernel=7, blocks=((16,), (16,)), shift=0.0, scale=128.0)
"""Section 3.1: two convolutions 7 x 7 and a dense layer; black is 0, as is what is around."""


def vgg(blocks: int, *, dropout: float = 0.4, dense_dropout: float = 0.4) -> Architecture:
    """Table 1: the first blocks of VGG, of 16, 32 and 64 channels, and dense layers, for CIFAR-10.

    `dense_dropout` is a hyperparameter there. Raises ConfigurationError unless blocks is 1, 2 or 3.
    """
    if not is_whole(blocks, at_least=1) or blocks > 3:
        raise ConfigurationError(
            f"Got blocks={blocks!r}; expected 1, 2 or 3, of 16, 32 and 64 channels."
        )
    widths = ((16, 16), (32, 32), (64, 64))[:blocks]
    return Architecture(
        (3, 32, 32), kernel=3, blocks=widths, dense=(128,), dropout=dropout,
        dense_dropout=dense_dropout,
    )  # fmt: skip


@dataclass(frozen=True)
class Generated:
    """How kernels are generated: HyperA_B has the embedding A and the projection B.

    By one generator for all layers, or with `tied` false by one for each. `bias`: whether these
    layers have one number a channel besides, which the report does not count. `start`: see
    KernelHyperNetwork; unless told, what is generated, of variance 1, is divided by
    √(inputs of a unit / 2), layer by layer, so that it starts as He et al. (2015) have it. With a
    start of its own it is the kernel as it is.

    Raises ConfigurationError for `tied` and `bias` that are neither True nor False; what other
    numbers have to be, KernelHyperNetwork says.
    """

    embedding: int
    projection: int
    tied: bool = True
    bias: bool = False
    start: float | None = None

    def __post_init__(self) -> None:
        check_flags(tied=self.tied, bias=self.bias)


class StaticConvolutional(ImageClassifier):
    """A network of an Architecture; all kernels but the first are its own, or `generated`.

    Own kernels, those of the first convolution and dense layers start at N(0, 2 / inputs of a unit)
    (He et al. 2015), the last dense layer at half the variance, biases at 0; own kernels have
    biases.

    `binary`: the kernels but the first are the signs of these numbers, with straight-through
    gradients (`classical.straight_through.sign`; those of generated ones pass as they are), and
    without biases. What comes in are signs as well: ReLU is replaced by batch normalisation without
    parameters of its own, and the sign, or before a dense layer the hardtanh. No channel factors
    are needed: the normalisation would take them out. The maxima of a block stand before it.

    Dropout draws from `draws`. Raises ConfigurationError for channels that cannot be generated,
    as KernelHyperNetwork does, and for a `binary` that is neither True nor False.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        generated: Generated | None = None,
        binary: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(architecture.image, architecture.classes, seed=seed)
        check_flags(binary=binary)
        self.architecture, self.generated, self.binary = architecture, generated, binary
        (rng,) = self.streams(0, "initialise")
        (c_in, c_out), *later = architecture.convolutions
        self.later, f = later, architecture.kernel
        self.first = _weight(rng, (c_out, c_in, f, f))
        self.first_bias = _zeros(c_out)
        if generated is None:
            self.own = torch.nn.ParameterList(
                _weight(rng, (c_out, c_in, f, f)) for c_in, c_out in later
            )
        else:
            self.counts = [count_kernels(*channels) for channels in later]
            self.generators = torch.nn.ModuleList(
                KernelHyperNetwork(
                    embedding=generated.embedding, projection=generated.projection, kernel=f,
                    kernels=kernels, rng=rng, start=generated.start,
                )
                for kernels in ([sum(self.counts)] if generated.tied else self.counts)
            )  # fmt: skip
        biased = not binary and (generated is None or generated.bias)
        self.biases = torch.nn.ParameterList(_zeros(c_out) for _, c_out in later if biased)
        sizes = [architecture.flat, *architecture.dense, architecture.classes]
        pairs = list(zip(sizes[1:], sizes, strict=False))
        self.dense = torch.nn.ParameterList(_weight(rng, pair) for pair in pairs[:-1])
        self.dense.append(_weight(rng, pairs[-1], gain=1.0))
        self.dense_biases = torch.nn.ParameterList(_zeros(units) for units, _ in pairs)
        self.norms = torch.nn.ModuleList(
            torch.nn.BatchNorm2d(c_out, affine=False)
            for _, c_out in architecture.convolutions
            if binary
        )

    def describe(self) -> str:
        """The network and its options, but the seed, as text."""
        return f"{super().describe()}, {self.architecture}, {self.generated}, binary={self.binary}"

    @property
    def n_kernel(self) -> int:
        """Trained parameters of all convolutions but the first, with their biases."""
        parts = [self.own if self.generated is None else self.generators, self.biases]
        return sum(parameter.numel() for part in parts for parameter in part.parameters())

    @property
    def n_dense(self) -> int:
        """Trained parameters of the dense layers."""
        return sum(p.numel() for p in (*self.dense, *self.dense_biases))

    def kernels(self) -> list[torch.Tensor]:
        """The kernels of all convolutions but the first, [c_out, c_in, row, column], as used.

        They have the dtype of the parameters.
        """
        latent = list(self.own) if self.generated is None else self._generated()
        if not self.binary:
            return latent
        if self.generated is None:
            return [sign(kernel) for kernel in latent]
        # nothing clips what is generated, so that beyond 1 gradients have to pass too
        return [kernel + (sign(kernel) - kernel).detach() for kernel in latent]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [image, class] of pixels x [image, channel, row, column], from 0 to 255.

        Raises ConfigurationError for x of another shape.
        """
        check_planes(x, self.image)
        about, padding = self.architecture, self.architecture.kernel // 2
        h = (x.to(self.first.dtype) - about.shift) / about.scale
        h = h.contiguous(memory_format=torch.channels_last)  # quicker on CPUs
        kernels = [self.first, *self.kernels()]
        biases = [self.first_bias, *(self.biases or [None] * len(self.later))]
        number = 0
        for block in about.blocks:
            for place in range(len(block)):
                last = place == len(block) - 1
                h = conv2d(h, kernels[number], biases[number], padding=padding)
                h = max_pool2d(h, 2) if last else h
                h = self._activation(h, number, to_dense=number == len(self.later))
                number += 1
            h = self._dropped(h, about.dropout)
        h = h.flatten(1)
        *hidden, (weight, bias) = zip(self.dense, self.dense_biases, strict=True)
        for matrix, vector in hidden:
            h = self._dropped(relu(linear(h, matrix, vector)), about.dense_dropout)
        return linear(h, weight, bias)

    @torch.no_grad()
    def after_step(self) -> None:
        """Clip own latent weights of binary kernels to [-1, 1]: beyond, they are stuck."""
        if self.binary and self.generated is None:
            for latent in self.own:
                latent.clamp_(-1, 1)

    @torch.no_grad()
    def evaluation_network(self) -> torch.nn.Sequential:
        """The network of eval mode as plain torch layers, in eval mode and float64.

        It takes pixels [image, channel, row, column] from 0 to 255, is on the CPU, and has its own
        copy of all numbers. Generated kernels stand there as they are; binary ones are exactly -1
        and +1.
        """
        about = self.architecture
        scale = torch.full((about.image[0],), 1 / about.scale, dtype=torch.float64)
        modules: list[torch.nn.Module] = [Affine2d(scale, -about.shift * scale)]
        biases = [self.first_bias, *(self.biases or [None] * len(self.later))]
        weights = iter(zip([self.first, *self.kernels()], biases, strict=True))
        number = 0
        for block in about.blocks:
            for place in range(len(block)):
                modules.append(_convolution(*next(weights)))
                if place == len(block) - 1:
                    modules.append(torch.nn.MaxPool2d(2))
                if self.binary:
                    modules.append(_norm(self.norms[number]))
                    last = number == len(self.later)
                    modules.append(torch.nn.Hardtanh() if last else Sign())
                else:
                    modules.append(torch.nn.ReLU())
                number += 1
        modules.append(torch.nn.Flatten())
        for layer, (weight, bias) in enumerate(zip(self.dense, self.dense_biases, strict=True)):
            modules += [torch.nn.ReLU()] if layer else []
            modules.append(_linear(weight, bias))
        return torch.nn.Sequential(*modules).double().eval()

    def _generated(self) -> list[torch.Tensor]:
        assert self.generated is not None
        basic = torch.cat([generator() for generator in self.generators]).split(self.counts)
        f, unscaled = self.architecture.kernel, self.generated.start is not None
        return [
            put_together(part, c_in, c_out) * (1 if unscaled else math.sqrt(2 / (c_in * f * f)))
            for part, (c_in, c_out) in zip(basic, self.later, strict=True)
        ]

    def _activation(self, h: torch.Tensor, number: int, to_dense: bool) -> torch.Tensor:
        """What follows a convolution."""
        if not self.binary:
            return relu(h)
        h = self.norms[number](h)
        return hardtanh(h) if to_dense else sign(h)

    def _dropped(self, h: torch.Tensor, share: float) -> torch.Tensor:
        """h with a share of its numbers 0 and the others larger, in training."""
        if not self.training or not share:
            return h
        kept = torch.empty_like(h, device="cpu").bernoulli_(1 - share, generator=self.draws)
        return h * kept.to(h.device).div_(1 - share)


def _weight(
    rng: np.random.Generator, shape: Sequence[int], gain: float = 2.0
) -> torch.nn.Parameter:
    """N(0, gain / inputs of a unit), [out, in, ...]."""
    start = rng.normal(0, math.sqrt(gain / math.prod(shape[1:])), shape)
    return torch.nn.Parameter(torch.from_numpy(start).float())


def _zeros(size: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(size))


# -- plain layers: on `meta` they have no numbers yet, and take none from torch's random stream ----


def _convolution(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Conv2d:
    c_out, c_in, f, _ = weight.shape
    made = torch.nn.Conv2d(c_in, c_out, f, padding=f // 2, bias=bias is not None, device="meta")
    made.weight = _copied(weight)
    made.bias = None if bias is None else _copied(bias)
    return made


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    made = torch.nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    made.weight, made.bias = _copied(weight), _copied(bias)
    return made


def _norm(norm: torch.nn.Module) -> torch.nn.BatchNorm2d:
    assert isinstance(norm, torch.nn.BatchNorm2d)
    made = torch.nn.BatchNorm2d(norm.num_features, eps=norm.eps)
    made.load_state_dict(norm.state_dict(), strict=False)  # its factors are 1, its shifts 0
    return made


def _copied(numbers: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(numbers.detach().cpu().to(torch.float64, copy=True))
