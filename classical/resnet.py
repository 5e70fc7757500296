"""ResNet18: a residual network of binary or real weights, for small images.

The binary one is that of a thesis (F. Fontana, Sapienza 2022, section 4.2), which has ReCU's
(Xu et al. 2021) with preactivation, a shifted hardtanh and cyclic precision; each can be left out.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch.nn.functional import conv2d, linear

from classical.image_classifier import ImageClassifier, check_flags, check_planes, standardised
from classical.precision import CYCLES, bits_of_step, check_bits
from classical.recu import tau_of_epoch
from classical.residual_blocks import (
    Activation,
    Block,
    Convolution,
    Norm,
    Options,
    Phase,
    Weights,
    normal_kernels,
    plain_convolution,
)
from qhyper.arrays import as_number, is_whole
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.convolutional.modules import Affine2d

Precision = Literal["cyclic", "float"]

STAGES = (64, 128, 256, 512)
"""Channels of the four stages at width 1; each stage has two blocks."""


class ResNet18(ImageClassifier):
    """ResNet-18 for images of rows and columns that are multiples of 8.

    A real 3×3 convolution and batch normalisation; four stages of 64, 128, 256 and 512 channels
    times `width`, two blocks each, all stages but the first at half the resolution; then the mean
    over each channel, batch normalisation, and a real linear layer. A block has two 3×3
    convolutions and a shortcut around both, without parameters: where a stage begins, 2×2 averages
    with channels of zeros around (Xu et al. 2021).

    - weights: of the blocks' convolutions. "binary": -1 and +1, and so are their inputs; what comes
      out is multiplied by a learnt factor of each channel, which starts at U(0, 1). Activations
      are hardtanh(x - shift), of which the next convolution takes signs, with sign(0) = +1. "real":
      floating point and ReLU, without factors.
    - preactivation: whether batch normalisation and activation come before each convolution, and
      the shortcut has neither (He et al. 2016); else they come after it, the second activation
      after the shortcut's sum, and one after the first layer.
    - recu: whether signs are taken of weights as `classical.recu.rectified` makes them, with the
      gradient as it is, τ rising from epoch to epoch; else of the latent weights themselves, with
      the gradient `g 1[|w| <= 1]`, and latent weights are kept in [-1, 1]. Activations have the
      gradient of `activation_sign` either way.
    - shift: of the hardtanh. A batch normalisation stands before it, so that a shift is no more
      than another beginning of its bias, but for weight decay.
    - precision: "cyclic" is emulated in training, in the blocks' convolutions. What is quantised is
      what signs are taken of, latent weights after ReCU and activations; and the gradients of what
      comes out, to 8 bits, rounded at random. In eval mode nothing is. Levels of binary networks
      are symmetric about zero, so that no sign changes, and only gradients are others. `cycles`
      are those of a whole training.

    Latent and real weights of convolutions start at He et al.'s (2015) normal draws. ReCU's clamp
    keeps all signs, so that the weights of eval mode are the signs of latent weights less their
    filter's mean, whatever τ.

    Raises ConfigurationError as ImageClassifier does, for other rows and columns, for a width that
    leaves no whole number of channels, an unknown kind of weights or precision, a shift that is not
    a finite number, fewer than one cycle, and preactivation or recu that are neither True nor
    False.
    """

    def __init__(
        self,
        image: Sequence[int],
        classes: int,
        *,
        width: float = 1.0,
        weights: Weights = "binary",
        preactivation: bool = True,
        recu: bool = True,
        shift: float = 0.0,
        precision: Precision = "float",
        cycles: int = CYCLES,
        seed: int = 0,
    ) -> None:
        super().__init__(image, classes, seed=seed)
        if weights not in get_args(Weights):
            raise unknown("kind of weights", str(weights), get_args(Weights))
        if precision not in get_args(Precision):
            raise unknown("precision", str(precision), get_args(Precision))
        check_flags(preactivation=preactivation, recu=recu)
        if not math.isfinite(as_number(shift)):
            raise ConfigurationError(
                f"Got shift={shift!r}; expected a finite number, such as 0.25."
            )
        if not is_whole(cycles, at_least=1):
            raise ConfigurationError(f"Got cycles={cycles!r}; expected 1 or more, such as 32.")
        rows, columns = self.image[1:]
        if rows % 8 or columns % 8:
            raise ConfigurationError(
                f"Got images of {rows} × {columns} pixels, which three halvings do not divide; "
                "expected multiples of 8. Pad them, such as 28 to 32."
            )
        channels = [n * as_number(width) for n in STAGES]
        if not (channels[0] >= 1 and float(channels[0]).is_integer()):
            raise ConfigurationError(
                f"Got width={width!r}, which leaves {channels[0]:g} channels of {STAGES[0]}; "
                "expected a whole number of them. Choose a multiple of 1/64, such as 0.25."
            )
        self.width, self.precision, self.cycles = float(width), precision, int(cycles)
        self.phase = Phase()
        self.options = Options(weights, preactivation, recu, float(shift), self.phase)
        (rng,) = self.streams(0, "initialise")
        first, last = int(channels[0]), int(channels[-1])
        self.stem = normal_kernels(rng, self.image[0], first)
        self.norm = Norm(first, 0.0 if preactivation else float(shift))
        self.activation = torch.nn.Identity() if preactivation else Activation(weights)
        self.blocks, n_in = torch.nn.ModuleList(), first
        for stage, n_out in enumerate(map(int, channels)):
            for stride in (1 if stage == 0 else 2, 1):
                self.blocks.append(Block(n_in, n_out, stride, self.options, rng))
                n_in = n_out
        self.last_norm = torch.nn.BatchNorm1d(last)
        limit = 1 / math.sqrt(last)
        start = torch.from_numpy(rng.uniform(-limit, limit, (self.classes, last + 1))).float()
        self.matrix = torch.nn.Parameter(start[:, :-1].clone())
        self.bias = torch.nn.Parameter(start[:, -1].clone())
        for parameter in self.parameters():  # several times quicker at few channels, on CPUs
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [image, class] of pixels x, numbers from 0 to 255 of any dtype.

        x is [image, channel, row, column]. Raises ConfigurationError for another shape.
        """
        check_planes(x, self.image)
        h = standardised(x, self.stem.dtype).contiguous(memory_format=torch.channels_last)
        h = self.activation(self.norm(conv2d(h, self.stem, padding=1)))
        for block in self.blocks:
            h = block(h)
        return linear(self.last_norm(h.mean((2, 3))), self.matrix, self.bias)

    def describe(self) -> str:
        """The network and its options, but the seed, as text."""
        about = self.options
        return (
            f"{super().describe()}, width={self.width}, weights={about.weights}, "
            f"preactivation={about.preactivation}, recu={about.recu}, shift={about.shift}, "
            f"precision={self.precision}, cycles={self.cycles}"
        )

    def begin_epoch(self, number: int, epochs: int) -> None:
        """Set ReCU's τ: that of epoch number - 1, so that training begins at 0.85."""
        self.phase.tau = tau_of_epoch(number - 1, epochs)

    def begin_step(self, step: int, steps: int) -> None:
        """Set the precision of a step."""
        if self.precision == "cyclic":
            self.set_bits(bits_of_step(step, steps, cycles=self.cycles))

    def set_bits(self, bits: int | None) -> None:
        """Train with so many bits from now on, None for floating point; `begin_step` does it too.

        Draws the seed of the gradients' rounding from `draws`. Raises ConfigurationError unless
        bits are 2 to 16.
        """
        if bits is not None:
            check_bits(bits)
        self.phase.bits = bits
        seed = int(torch.randint(2**62, (), generator=self.draws))
        self.phase.rounding = torch.Generator(self.stem.device).manual_seed(seed)

    @torch.no_grad()
    def after_step(self) -> None:
        """Without ReCU, clip the latent weights to [-1, 1]: beyond, they are stuck."""
        if self.options.weights == "binary" and not self.options.recu:
            for module in self.blocks.modules():
                if isinstance(module, Convolution):
                    module.weight.clamp_(-1, 1)

    @torch.no_grad()
    def evaluation_network(self) -> torch.nn.Sequential:
        """The network of eval mode as plain torch layers, in eval mode and float64.

        It maps pixels from 0 to 255, float64 [image, channel, row, column], to logits
        [image, class], begins with their scaling, is on the CPU, and has its own copy of all
        numbers. Weights of binary convolutions are exactly -1 and +1. Channels of zeros come from a
        1×1 convolution.
        """
        scale = torch.full((self.image[0],), 1 / 64, dtype=torch.float64)
        modules = [
            Affine2d(scale, -127.5 * scale), plain_convolution(self.stem), self.norm.plain()
        ]  # fmt: skip
        if isinstance(self.activation, Activation):
            modules.append(self.activation.plain())
        for block in self.blocks:
            assert isinstance(block, Block)
            modules += block.plain()
        rows, columns = self.image[1] // 8, self.image[2] // 8
        norm = torch.nn.BatchNorm1d(self.last_norm.num_features, eps=self.last_norm.eps).double()
        norm.load_state_dict(self.last_norm.state_dict())
        dense = torch.nn.Linear(self.matrix.shape[1], self.classes, device="meta")
        dense.weight, dense.bias = (
            torch.nn.Parameter(numbers.detach().cpu().to(torch.float64, copy=True))
            for numbers in (self.matrix, self.bias)
        )
        modules += [torch.nn.AvgPool2d((rows, columns)), torch.nn.Flatten(), norm, dense]
        return torch.nn.Sequential(*modules).eval()
