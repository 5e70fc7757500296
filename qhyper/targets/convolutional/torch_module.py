"""Convolutional networks from torch modules, and back: the same predictions, ties included.

A module takes images [image, channel, row, column] of pixels from 0 to 255. It is a
torch.nn.Sequential of the layers that `reading` knows and of those in `modules`; a convolution
whose weights are all -1 or +1 behind a `Sign` is binary, any other real. What stands between a
number and its sign is folded into a limit. Outputs are compared on random images.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from qhyper.data.images import checked_image
from qhyper.errors import ConfigurationError
from qhyper.targets.conversion import check_same, warn_of_mode, warn_of_rounding, warn_of_ties
from qhyper.targets.convolutional.agreement import random_images, run, tied_images
from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, PadMinusOne, Residual
from qhyper.targets.convolutional.parts import EXPECTED, PARTS, Part, plain_parts
from qhyper.targets.convolutional.reading import Reader
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    Float,
    MaxPool,
    Pair,
    Scale,
    Shape,
    Step,
    Threshold,
    Values,
)
from qhyper.targets.packed.plain_module import (
    called,
    check_no_global_hooks,
    check_numbers,
    copy_in_float64,
    kind_of,
)
from qhyper.targets.sign import Sign


class Convolutional(Protocol):
    """A network of steps, as `ConvolutionalNetwork` is one."""

    @property
    def image(self) -> Shape:
        """Channels, rows and columns of what it takes."""
        ...

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done to them."""
        ...

    def outputs(self, pixels: npt.ArrayLike, /) -> npt.NDArray:
        """Outputs [image, class] of pixels [image, channel, row, column]."""
        ...


Network = TypeVar("Network", bound=Convolutional)

_ADVICE = (
    "Ties of a sign or between classes are decided by the last digits of real numbers there: "
    "weights and factors of few binary digits do not round."
)


@torch.no_grad()
def from_module(
    module: torch.nn.Module,
    image: Sequence[int],
    make: Callable[[Shape, tuple[Step, ...]], Network],
) -> Network:
    """What `make` makes of an image's shape and the steps of a module: the network that it is.

    Its predictions are the module's in eval mode and float64, on any device: a copy of it, so
    converted, is read and compared with the result on up to 64 random `image`s (channels, rows,
    columns). Ties included, with the exceptions in which torch's own rounding varies: sums of real
    numbers that no float64 holds exactly, behind a real convolution or average pooling; and batch
    normalisation that is not before a `Sign` on processors without fused multiply-add. A warning
    says in how many of the images that gives another class.

    Behind signs, convolutions and Linear are binary if their weights are -1 and +1 alone; all
    others stay real. Batch normalisations, factors, shifts, ReLU and Hardtanh right before a `Sign`
    are folded into limits, of sums or of real numbers; elsewhere they stay steps of their own. Max
    pooling right before a `Sign` is done behind it, which is the same, on bits.

    Warns as `qhyper.targets.packed.torch_module.from_module` of modules of other types than float64
    and of those in train mode, if random images get another class.

    Raises ConfigurationError if the module is of other parts, of subclasses of these, or they do
    not fit one another; if it has forward hooks or methods that an instance has of its own
    (parametrised layers have their weights as computed); for padding other than by zeros or -1,
    groups, and dilation; if a binary convolution has a bias that is no whole number, a batch
    normalisation no running statistics or a variance that is not positive, a sign of zero is 0, or
    a number is not finite; if what comes out is not one number a class; and if outputs differ on
    random images.
    """
    image = checked_image(image)
    if not isinstance(module, torch.nn.Sequential) or kind_of(module) is not torch.nn.Sequential:
        known = hasattr(module, "evaluation_network")
        hint = " Pass its evaluation_network()." if known else ""
        raise ConfigurationError(f"Got {called(type(module), PARTS)}; {EXPECTED}.{hint}")
    check_no_global_hooks()
    plain_parts(module)
    check_numbers(module)
    copied = copy_in_float64(module)
    with torch.random.fork_rng(devices=[]):  # what computes a weight may draw from it
        steps = _steps(plain_parts(copied), image)
        network = make(image, steps)
        pixels = random_images(image, steps)
        expected, found = run(copied, pixels), network.outputs(pixels)
        check_same(
            "The packed network", found, expected, lambda: tied_images(copied, pixels),
            rows="images",
        )  # fmt: skip
        x = torch.from_numpy(pixels).to(torch.float64)
        warn_of_ties(found, expected, _ADVICE, rows="images")
        warn_of_mode(module, x, expected, rows="images")
        warn_of_rounding(module, x, found, rows="images")
    return network


def to_torch(network: Convolutional) -> torch.nn.Sequential:
    """The network as a torch module in float64 that takes pixels [image, channel, row, column].

    Its outputs are [image, class]. Limits become shifts before a `Sign`, and dense layers are
    convolutions over the whole image. `from_module` makes a network of the same predictions of it
    again. Raises ConfigurationError if outputs differ on random images.
    """
    parts = [module for step in network.steps for module in _modules(step)]
    module = torch.nn.Sequential(*parts, torch.nn.Flatten()).eval().requires_grad_(False)
    pixels = random_images(network.image, network.steps)
    expected = network.outputs(pixels).astype(np.float64)
    check_same(
        "The torch module", run(module, pixels), expected, lambda: tied_images(module, pixels),
        rows="images",
    )  # fmt: skip
    return module


def _steps(parts: Sequence[Part], image: Shape) -> tuple[Step, ...]:
    reader = Reader(Values("real", image), 255.0).read(parts)
    values = reader.values
    if values.kind == "bits":
        raise ConfigurationError(
            f"The module's outputs are signs, {values.shape[0]} of them; expected numbers, one a "
            "class. Leave out the last Sign."
        )
    if values.shape[1:] != (1, 1):
        raise ConfigurationError(
            f"The module's outputs are {values} for images of {'×'.join(map(str, image))}; "
            "expected one number a class. End it with AdaptiveAvgPool2d(1), or with Flatten and "
            "Linear."
        )
    return tuple(reader.steps)


def _modules(step: Step) -> Sequence[torch.nn.Module]:
    """The torch modules of one step."""
    if isinstance(step, Convolution):
        return [_convolution(step, step.weight, step.bias, step.padding)]
    if isinstance(step, BinaryConvolution):
        weight = np.where(step.bits == 1, 1.0, -1.0)
        if step.pad == "zero" or step.padding == (0, 0):
            return [_convolution(step, weight, None, step.padding)]
        return [PadMinusOne(*step.padding), _convolution(step, weight, None, (0, 0))]
    if isinstance(step, Threshold):  # differences have the sign that they should, however rounded
        turned, same = np.where(step.above, 1.0, -1.0), np.isinf(step.limit)
        shift = -turned * np.where(same, np.sign(step.limit), step.limit)
        return [_affine(np.where(same, 0.0, turned), shift), Sign()]
    if isinstance(step, Affine):
        return [_affine(step.scale, step.shift)]
    if isinstance(step, Scale):
        return [ChannelScale(torch.tensor(step.factor))]
    if isinstance(step, Clamp):
        clamp = torch.nn.Hardtanh()  # which takes equal ones, but not when it is made
        clamp.min_val, clamp.max_val = step.low, step.high
        return [clamp]
    if isinstance(step, MaxPool):
        return [torch.nn.MaxPool2d(step.kernel, step.stride, step.padding)]
    if isinstance(step, AvgPool):
        return [torch.nn.AvgPool2d(step.kernel, step.stride)]
    body, shortcut = (
        torch.nn.Sequential(*(module for one in way for module in _modules(one)))
        for way in (step.body, step.shortcut)
    )
    return [Residual(body, shortcut)]


def _affine(scale: Float, shift: Float) -> Affine2d:
    return Affine2d(torch.tensor(scale), torch.tensor(shift))


def _convolution(
    step: Convolution | BinaryConvolution,
    weight: Float,
    bias: Float | None,
    padding: Pair,
) -> torch.nn.Conv2d:
    # on `meta` it has no numbers yet, and takes none from torch's random stream
    found = torch.nn.Conv2d(
        weight.shape[1], len(weight), step.kernel, step.stride, padding, bias=bias is not None,
        device="meta",
    )  # fmt: skip
    found.weight = torch.nn.Parameter(torch.tensor(weight))
    if bias is not None:
        found.bias = torch.nn.Parameter(torch.tensor(bias))
    return found
