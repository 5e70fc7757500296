"""The layers of a torch module as steps of a packed convolutional network.

What a layer does to every channel alone is held back until it is known what comes next: a Sign, and
all of it becomes one Threshold; or anything else, and each becomes a step of its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.targets.conversion import scale_and_shift
from qhyper.targets.convolutional.bounds import largest_after
from qhyper.targets.convolutional.folding import folded
from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, PadMinusOne, Residual
from qhyper.targets.convolutional.parts import NORMS, Part, error, made, numbers, plain_parts
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
    Step,
    Values,
)
from qhyper.targets.convolutional.steps import Residual as Sum
from qhyper.targets.sign import Sign

_OF_IMAGES = (
    torch.nn.Conv2d,
    torch.nn.BatchNorm2d,
    torch.nn.MaxPool2d,
    torch.nn.AvgPool2d,
    torch.nn.AdaptiveAvgPool2d,
    PadMinusOne,
)


class Reader:
    """Steps of the parts of one module in float64 and eval mode, in their order."""

    def __init__(self, values: Values, largest: float, *, flat: bool = False) -> None:
        self.values, self.largest, self.flat = values, largest, flat
        """What the next step takes, its largest number, whether torch has it [image, number]."""
        self.steps: list[Step] = []
        self._held: list[tuple[Part, bool]] = []

    def read(self, parts: Sequence[Part]) -> "Reader":
        """Add the steps of `parts`; ConfigurationError if they do not fit."""
        queue = list(parts)
        while queue:
            part = queue.pop(0)
            module = part.module
            if self.flat and isinstance(module, _OF_IMAGES):
                raise error(part, "it takes images, and stands behind a Flatten. Put it before")
            if isinstance(module, PadMinusOne):
                if not queue or not isinstance(queue[0].module, torch.nn.Conv2d):
                    raise error(part, "no Conv2d follows it. Put it right before one")
                self._release()
                self._convolution(queue.pop(0), module)
            elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                self._release()
                self._convolution(part, None)
            elif isinstance(module, Sign):
                self._sign(part)
            elif isinstance(module, torch.nn.Flatten):
                if (module.start_dim, module.end_dim) != (1, -1):
                    raise error(part, "it flattens other than all of an image. Take Flatten()")
                self.flat = True
            elif isinstance(module, torch.nn.MaxPool2d):
                if queue and isinstance(queue[0].module, Sign):  # the sign of the largest
                    self._sign(queue.pop(0))  # is the largest of the signs
                self._release()
                self._add(part, _max_pool(part))
            elif isinstance(module, torch.nn.AvgPool2d | torch.nn.AdaptiveAvgPool2d):
                self._release()
                self._add(part, _avg_pool(part, self.values))
            elif isinstance(module, Residual):
                self._release()
                self._residual(part)
            else:
                self._hold(part)
        self._release()
        return self

    def _add(self, part: Part, step: Step) -> None:
        self.values = made(part, step.after, self.values)
        self.largest = made(part, largest_after, step, self.largest)
        self.steps.append(step)

    def _convolution(self, part: Part, around: PadMinusOne | None) -> None:
        module: Any = part.module
        dense = isinstance(module, torch.nn.Linear)
        weight = numbers(part, module.weight, "weight", 2 if dense else 4)
        bias = None if module.bias is None else numbers(part, module.bias, "bias", 1)
        if dense:
            weight = self._over_the_image(part, weight)
        options = {} if dense else _windows(part)
        if self.values.kind != "bits" or not np.isin(weight, (-1.0, 1.0)).all():
            if around is not None:
                raise error(
                    part, "a PadMinusOne stands before it, which goes with weights -1 and +1 and "
                    "inputs that are signs alone. Use padding",
                )  # fmt: skip
            self._add(part, made(part, Convolution, weight, bias, **options))
            return
        if (
            bias is not None
            and (broken := bias[~(np.isfinite(bias) & (bias == np.round(bias)))]).size
        ):
            raise error(
                part, f"got the bias {broken[0]:g} beside weights -1 and +1, "
                "with which sums round as torch likes. Leave it out, make it whole numbers, or put "
                "it into an Affine2d behind",
            )  # fmt: skip
        if around is not None:
            if options["padding"] != (0, 0):
                raise error(part, "both it and a PadMinusOne before it pad. Set its padding to 0")
            options |= {"padding": (around.rows, around.columns), "pad": "minus-one"}
        bits = (weight > 0).astype(np.uint8)
        self._add(part, made(part, BinaryConvolution, bits, **options))
        if bias is not None and bias.any():
            shift = torch.from_numpy(bias)
            self._hold(Part(part.name, Affine2d(torch.ones_like(shift), shift)))

    def _over_the_image(self, part: Part, weight: Float) -> Float:
        """The weights of a Linear as the kernel of a convolution over the whole image."""
        if not self.flat:
            raise error(part, f"it takes rows, and gets {self.values}. Put a Flatten before it")
        inputs = int(np.prod(self.values.shape))
        if weight.shape[1] != inputs:
            raise error(
                part, f"it takes {weight.shape[1]} inputs, and gets {inputs}: {self.values}. Make "
                "them the same",
            )  # fmt: skip
        return weight.reshape(len(weight), *self.values.shape)

    def _hold(self, part: Part) -> None:
        """Keep a layer that works on every channel alone for what comes behind it."""
        if isinstance(part.module, torch.nn.BatchNorm1d) and not self.flat:
            raise error(part, f"it takes rows, and gets {self.values}. Take a BatchNorm2d")
        if self.values.kind == "bits":
            raise error(
                part, "it takes real numbers or sums, and gets signs. Put a convolution before it"
            )
        self._check_per_channel(part)
        self._held.append((part, self.flat))

    def _check_per_channel(self, part: Part) -> None:
        """Raise ConfigurationError if a layer's numbers are not one for each channel."""
        module: Any = part.module
        found: dict[str, Any] = {}
        if isinstance(module, NORMS):
            if module.running_mean is None or module.running_var is None:
                raise error(
                    part, "it has no running statistics, so that outputs depend on the batch. Make "
                    "it with track_running_stats=True",
                )  # fmt: skip
            if not module.eps >= 0 or not bool((module.running_var + module.eps > 0).all()):
                raise error(
                    part, f"it has variances from {module.running_var.min():g} and "
                    f"eps = {module.eps:g}; expected variances above 0. Set its eps",
                )  # fmt: skip
            found = {"mean": module.running_mean, "variance": module.running_var}
            found |= {"weight": module.weight, "bias": module.bias}
        elif isinstance(module, ChannelScale):
            found = {"factor": module.factor}
        elif isinstance(module, Affine2d):
            found = {"scale": module.scale, "shift": module.shift}
        channels = self.values.shape[0]
        if self.flat and self.values.shape[1:] != (1, 1) and found:
            raise error(
                part, f"it has numbers for rows of a flattened image, {self.values}, whose places "
                "are not held one by one. Put a BatchNorm2d before the Flatten",
            )  # fmt: skip
        for what, tensor in found.items():
            array = None if tensor is None else numbers(part, tensor, what, 1)
            if array is not None and (len(array) != channels or not np.isfinite(array).all()):
                raise error(
                    part, f"got {len(array)} numbers as its {what}; expected {channels} finite "
                    f"ones, one for each channel of {self.values}. Give it these",
                )  # fmt: skip

    def _sign(self, part: Part) -> None:
        sign = part.module
        assert isinstance(sign, Sign)
        if sign.of_zero not in (-1, 1):
            raise error(
                part, f"got of_zero={sign.of_zero}; expected +1 or -1: a bit has no third value. "
                "Choose one of them",
            )  # fmt: skip
        if self.values.kind == "bits":  # the sign of a sign
            return
        held, self._held = [*self._held, (part, self.flat)], []
        on_the_way = self.largest
        for one, _ in held[:-1]:
            step = made(one, _step_of, one.module)
            on_the_way = made(one, largest_after, step, on_the_way)

        @torch.no_grad()
        def plus(of_channel: Float) -> npt.NDArray[np.bool_]:
            x = torch.from_numpy(of_channel)
            for of_channels, flat in held:
                x = of_channels.module(x.reshape((1, -1) if flat else (1, -1, 1, 1)))
            return (x.flatten() > 0).numpy()

        whole = self.values.kind == "sums"
        step = folded(plus, self.values.shape[0], largest=self.largest, whole=whole)
        self._add(part, step)

    def _release(self) -> None:
        """Let the layers that were kept become steps of their own."""
        held, self._held = self._held, []
        for part, _ in held:
            self._add(part, made(part, _step_of, part.module))

    def _residual(self, part: Part) -> None:
        residual: Any = part.module
        ends = [
            Reader(self.values, self.largest, flat=self.flat).read(plain_parts(way, name))
            for way, name in (
                (residual.body, f"{part.name}.body"),
                (residual.shortcut, f"{part.name}.shortcut"),
            )
        ]
        if ends[0].flat != ends[1].flat:
            raise error(part, "one of its ways ends with rows and one with images. Flatten both")
        self.flat = ends[0].flat
        self._add(part, Sum(tuple(ends[0].steps), tuple(ends[1].steps)))


def _step_of(module: Any) -> Step:
    """The step of a layer that works on every channel alone."""
    if isinstance(module, NORMS):
        return Affine(*scale_and_shift(module))
    if isinstance(module, Affine2d):
        return Affine(module.scale.detach().numpy(), module.shift.detach().numpy())
    if isinstance(module, ChannelScale):
        return Scale(module.factor.detach().numpy())
    if isinstance(module, torch.nn.Hardtanh):
        return Clamp(module.min_val, module.max_val)
    return Clamp(0.0, float("inf"))


def _windows(part: Part) -> dict[str, Any]:
    """Stride and padding of a Conv2d; ConfigurationError for what we have no convolution of."""
    module: Any = part.module
    for name, expected in (("padding_mode", "zeros"), ("groups", 1), ("dilation", (1, 1))):
        if (got := getattr(module, name)) != expected:
            raise error(part, f"got {name}={got!r}; expected {expected!r} alone. Change that")
    if isinstance(module.padding, str):
        raise error(part, f"got padding={module.padding!r}; expected numbers. Give them")
    return {"stride": module.stride, "padding": module.padding}


def _max_pool(part: Part) -> MaxPool:
    module: Any = part.module
    others = (("dilation", 1), ("ceil_mode", False), ("return_indices", False))
    for name, expected in others:
        if getattr(module, name) not in (expected, (expected, expected)):
            raise error(
                part, f"got {name}={getattr(module, name)!r}; expected {expected!r}. Change that"
            )
    return made(part, MaxPool, *map(_pair, (module.kernel_size, module.stride, module.padding)))


def _avg_pool(part: Part, values: Values) -> AvgPool:
    module: Any = part.module
    if isinstance(module, torch.nn.AdaptiveAvgPool2d):
        if module.output_size not in (1, (1, 1)):
            raise error(part, f"got output_size={module.output_size!r}; expected 1. Take AvgPool2d")
        return AvgPool(values.shape[1:], values.shape[1:])
    others = (("padding", 0), ("ceil_mode", False), ("divisor_override", None))
    for name, expected in others:
        if getattr(module, name) not in (expected, (expected, expected)):
            raise error(
                part, f"got {name}={getattr(module, name)!r}; expected {expected!r}. Change that"
            )
    return made(part, AvgPool, *map(_pair, (module.kernel_size, module.stride)))


def _pair(number: Any) -> Pair:
    return (number, number) if isinstance(number, int) else tuple(number)
