"""The layers of a torch module as steps of a packed convolutional network.

What a layer does to every channel alone is held back until it is known what comes next: a Sign, and
all of it becomes one Threshold; or anything else, and each becomes a step of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.folding import folded
from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, PadMinusOne, Residual
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
from qhyper.targets.packed.plain_module import check_plain, kind_of
from qhyper.targets.sign import Sign

WITHOUT_EFFECT = (torch.nn.Identity, torch.nn.Dropout, torch.nn.Dropout2d)
"""What is left out: in eval mode these do nothing."""
_NORMS = (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)
_PER_CHANNEL = (*_NORMS, ChannelScale, Affine2d, torch.nn.ReLU, torch.nn.Hardtanh)
_OF_IMAGES = (
    torch.nn.Conv2d,
    torch.nn.BatchNorm2d,
    torch.nn.MaxPool2d,
    torch.nn.AvgPool2d,
    torch.nn.AdaptiveAvgPool2d,
    PadMinusOne,
)
PARTS = (
    torch.nn.Conv2d,
    torch.nn.Linear,
    *_PER_CHANNEL,
    Sign,
    torch.nn.MaxPool2d,
    torch.nn.AvgPool2d,
    torch.nn.AdaptiveAvgPool2d,
    torch.nn.Flatten,
    Residual,
    PadMinusOne,
    *WITHOUT_EFFECT,
)
EXPECTED = f"expected a torch.nn.Sequential of {', '.join(part.__name__ for part in PARTS)}"
_SLACK = 1 + 2**-20
"""Rounding takes no number further than this."""


class Part(NamedTuple):
    """A part of a module, and where it stands: "3.body.0"."""

    name: str
    module: torch.nn.Module


def plain_parts(module: torch.nn.Module, within: str = "") -> list[Part]:
    """The parts of a Sequential, of those in it too, and without those that do nothing.

    Raises ConfigurationError for what is none, for parts that we do not know and for subclasses of
    those that we do, for hooks and patched methods; also inside a Residual.
    """
    if not isinstance(module, torch.nn.Sequential) or kind_of(module) is not torch.nn.Sequential:
        raise ConfigurationError(
            f"Got {called(type(module))}{f' as {within}' * bool(within)}; {EXPECTED}."
        )
    check_plain(module, within or "all layers")
    parts: list[Part] = []
    for name, part in module._modules.items():  # also those that stand there twice
        assert part is not None
        name, kind = f"{within}.{name}" if within else name, kind_of(part)
        if kind is torch.nn.Sequential:
            parts += plain_parts(part, name)
            continue
        if kind not in PARTS:
            above = next((known.__name__ for known in PARTS if isinstance(part, known)), None)
            hint = f" A subclass of {above} may compute anything: make it a plain {above}."
            raise ConfigurationError(
                f"Got {called(kind)} as layer {name}; {EXPECTED}.{hint if above else ''}"
            )
        check_plain(part, f"layer {name}")
        if isinstance(part, Residual):
            plain_parts(part.body, f"{name}.body")
            plain_parts(part.shortcut, f"{name}.shortcut")
        if not isinstance(part, WITHOUT_EFFECT):
            parts.append(Part(name, part))
    return parts


def called(kind: type) -> str:
    """The name of a class, with its module if it is but the name of a part that we know."""
    known = (torch.nn.Sequential, *PARTS)
    alike = kind not in known and kind.__name__ in {part.__name__ for part in known}
    return f"{kind.__module__}.{kind.__qualname__}" if alike else kind.__name__


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
                raise _error(part, "it takes images, and stands behind a Flatten. Put it before")
            if isinstance(module, PadMinusOne):
                if not queue or not isinstance(queue[0].module, torch.nn.Conv2d):
                    raise _error(part, "no Conv2d follows it. Put it right before one")
                self._release()
                self._convolution(queue.pop(0), module)
            elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                self._release()
                self._convolution(part, None)
            elif isinstance(module, Sign):
                self._sign(part)
            elif isinstance(module, torch.nn.Flatten):
                if (module.start_dim, module.end_dim) != (1, -1):
                    raise _error(part, "it flattens other than all of an image. Take Flatten()")
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
        try:
            self.values = step.after(self.values)
        except ConfigurationError as error:
            raise ConfigurationError(f"Layer {_named(part)}: {error}") from None
        self.largest = _largest(part, step, self.largest)
        self.steps.append(step)

    def _convolution(self, part: Part, around: PadMinusOne | None) -> None:
        module: Any = part.module
        dense = isinstance(module, torch.nn.Linear)
        weight = _numbers(part, module.weight, "weight", 2 if dense else 4)
        bias = None if module.bias is None else _numbers(part, module.bias, "bias", 1)
        if dense:
            weight = self._over_the_image(part, weight)
        options = {} if dense else _windows(part)
        if self.values.kind != "bits" or not np.isin(weight, (-1.0, 1.0)).all():
            if around is not None:
                raise _error(
                    part, "a PadMinusOne stands before it, which goes with weights -1 and +1 and "
                    "inputs that are signs alone. Use padding",
                )  # fmt: skip
            self._add(part, _made(part, Convolution, weight, bias, **options))
            return
        if bias is not None and not (np.isfinite(bias) & (bias == np.round(bias))).all():
            raise _error(
                part, f"got the bias {bias[bias != np.round(bias)][0]:g} beside weights -1 and +1, "
                "with which sums round as torch likes. Leave it out, make it whole numbers, or put "
                "it into an Affine2d behind",
            )  # fmt: skip
        if around is not None:
            if options["padding"] != (0, 0):
                raise _error(part, "both it and a PadMinusOne before it pad. Set its padding to 0")
            options |= {"padding": (around.rows, around.columns), "pad": "minus-one"}
        bits = (weight > 0).astype(np.uint8)
        self._add(part, _made(part, BinaryConvolution, bits, **options))
        if bias is not None and bias.any():
            shift = torch.from_numpy(bias)
            self._hold(Part(part.name, Affine2d(torch.ones_like(shift), shift)))

    def _over_the_image(self, part: Part, weight: Float) -> Float:
        """The weights of a Linear as the kernel of a convolution over the whole image."""
        if not self.flat:
            raise _error(part, f"it takes rows, and gets {self.values}. Put a Flatten before it")
        inputs = int(np.prod(self.values.shape))
        if weight.shape[1] != inputs:
            raise _error(
                part, f"it takes {weight.shape[1]} inputs, and gets {inputs}: {self.values}. Make "
                "them the same",
            )  # fmt: skip
        return weight.reshape(len(weight), *self.values.shape)

    def _hold(self, part: Part) -> None:
        """Keep a layer that works on every channel alone for what comes behind it."""
        if isinstance(part.module, torch.nn.BatchNorm1d) and not self.flat:
            raise _error(part, f"it takes rows, and gets {self.values}. Take a BatchNorm2d")
        if self.values.kind == "bits":
            raise _error(
                part, "it takes real numbers or sums, and gets signs. Put a convolution before it"
            )
        self._check_per_channel(part)
        self._held.append((part, self.flat))

    def _check_per_channel(self, part: Part) -> None:
        """Raise ConfigurationError if a layer's numbers are not one for each channel."""
        module: Any = part.module
        numbers: dict[str, Any] = {}
        if isinstance(module, _NORMS):
            if module.running_mean is None or module.running_var is None:
                raise _error(
                    part, "it has no running statistics, so that outputs depend on the batch. Make "
                    "it with track_running_stats=True",
                )  # fmt: skip
            if not module.eps >= 0 or not bool((module.running_var + module.eps > 0).all()):
                raise _error(
                    part, f"it has variances from {module.running_var.min():g} and "
                    f"eps = {module.eps:g}; expected variances above 0. Set its eps",
                )  # fmt: skip
            numbers = {"mean": module.running_mean, "variance": module.running_var}
            numbers |= {"weight": module.weight, "bias": module.bias}
        elif isinstance(module, ChannelScale):
            numbers = {"factor": module.factor}
        elif isinstance(module, Affine2d):
            numbers = {"scale": module.scale, "shift": module.shift}
        channels = self.values.shape[0]
        if self.flat and self.values.shape[1:] != (1, 1) and numbers:
            raise _error(
                part, f"it has numbers for rows of a flattened image, {self.values}, whose places "
                "are not held one by one. Put a BatchNorm2d before the Flatten",
            )  # fmt: skip
        for what, tensor in numbers.items():
            array = None if tensor is None else _numbers(part, tensor, what, 1)
            if array is not None and (len(array) != channels or not np.isfinite(array).all()):
                raise _error(
                    part, f"got {len(array)} numbers as its {what}; expected {channels} finite "
                    f"ones, one for each channel of {self.values}. Give it these",
                )  # fmt: skip

    def _sign(self, part: Part) -> None:
        sign = part.module
        assert isinstance(sign, Sign)
        if sign.of_zero not in (-1, 1):
            raise _error(
                part, f"got of_zero={sign.of_zero}; expected +1 or -1: a bit has no third value. "
                "Choose one of them",
            )  # fmt: skip
        if self.values.kind == "bits":  # the sign of a sign
            return
        held, self._held = [*self._held, (part, self.flat)], []
        on_the_way = self.largest
        for one, _ in held[:-1]:
            on_the_way = _largest(one, _made(one, _step_of, one.module), on_the_way)

        @torch.no_grad()
        def plus(numbers: Float) -> npt.NDArray[np.bool_]:
            x = torch.from_numpy(numbers)
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
            self._add(part, _made(part, _step_of, part.module))

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
            raise _error(part, "one of its ways ends with rows and one with images. Flatten both")
        largest, self.flat = ends[0].largest + ends[1].largest, ends[0].flat
        self._add(part, Sum(tuple(ends[0].steps), tuple(ends[1].steps)))
        self.largest = largest * (1 if self.values.kind == "sums" else _SLACK)


def _step_of(module: Any) -> Step:
    """The step of a layer that works on every channel alone."""
    if isinstance(module, _NORMS):
        return Affine(*_scale_and_shift(module))
    if isinstance(module, Affine2d):
        return Affine(module.scale.detach().numpy(), module.shift.detach().numpy())
    if isinstance(module, ChannelScale):
        return Scale(module.factor.detach().numpy())
    if isinstance(module, torch.nn.Hardtanh):
        return Clamp(module.min_val, module.max_val)
    return Clamp(0.0, float("inf"))


@torch.no_grad()
def _scale_and_shift(norm: Any) -> tuple[Float, Float]:
    """What a batch normalisation multiplies with and adds, as torch works them out."""
    zeros = torch.zeros_like(norm.running_mean)
    at_zero, at_one = (torch.full((1, len(zeros)), value, dtype=torch.float64) for value in (0, 1))
    run = torch.nn.functional.batch_norm
    scale = run(at_one, zeros, norm.running_var, norm.weight, zeros, eps=norm.eps)
    shift = run(at_zero, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return scale[0].numpy(), shift[0].numpy()


def _largest(part: Part, step: Step, largest: float) -> float:
    """What no number that comes out of a step is above, if none that goes in is above `largest`.

    Raises ConfigurationError, with the part's name, if that is more than float64 holds.
    """
    with np.errstate(over="ignore"):
        found = _bound(step, largest)
    if not np.isfinite(found):
        raise _error(part, "its outputs may not fit float64. Make its numbers smaller")
    return found


def _bound(step: Step, largest: float) -> float:
    if isinstance(step, BinaryConvolution):
        return float(step.bits[0].size)
    if isinstance(step, Convolution):
        found = np.abs(step.weight).sum(axis=(1, 2, 3)) * largest
        found = found if step.bias is None else found + np.abs(step.bias)
        return float(found.max()) * _SLACK
    if isinstance(step, Affine):
        return float((np.abs(step.scale) * largest + np.abs(step.shift)).max()) * _SLACK
    if isinstance(step, Scale):
        return float(np.abs(step.factor).max()) * largest * _SLACK
    if isinstance(step, Clamp):
        return float(np.abs(np.clip([-largest, largest], step.low, step.high)).max())
    return largest


def _windows(part: Part) -> dict[str, Any]:
    """Stride and padding of a Conv2d; ConfigurationError for what we have no convolution of."""
    module: Any = part.module
    for name, expected in (("padding_mode", "zeros"), ("groups", 1), ("dilation", (1, 1))):
        if (got := getattr(module, name)) != expected:
            raise _error(part, f"got {name}={got!r}; expected {expected!r} alone. Change that")
    if isinstance(module.padding, str):
        raise _error(part, f"got padding={module.padding!r}; expected numbers. Give them")
    return {"stride": module.stride, "padding": module.padding}


def _max_pool(part: Part) -> MaxPool:
    module: Any = part.module
    others = (("dilation", 1), ("ceil_mode", False), ("return_indices", False))
    for name, expected in others:
        if getattr(module, name) not in (expected, (expected, expected)):
            raise _error(
                part, f"got {name}={getattr(module, name)!r}; expected {expected!r}. Change that"
            )
    return _made(part, MaxPool, *map(_pair, (module.kernel_size, module.stride, module.padding)))


def _avg_pool(part: Part, values: Values) -> AvgPool:
    module: Any = part.module
    if isinstance(module, torch.nn.AdaptiveAvgPool2d):
        if module.output_size not in (1, (1, 1)):
            raise _error(
                part, f"got output_size={module.output_size!r}; expected 1. Take AvgPool2d"
            )
        return AvgPool(values.shape[1:], values.shape[1:])
    others = (("padding", 0), ("ceil_mode", False), ("divisor_override", None))
    for name, expected in others:
        if getattr(module, name) not in (expected, (expected, expected)):
            raise _error(
                part, f"got {name}={getattr(module, name)!r}; expected {expected!r}. Change that"
            )
    return _made(part, AvgPool, *map(_pair, (module.kernel_size, module.stride)))


def _pair(number: Any) -> Pair:
    return (number, number) if isinstance(number, int) else tuple(number)


def _made(part: Part, make: Callable[..., Any], *fields: Any, **options: Any) -> Any:
    """A step; ConfigurationError with the part's name if it refuses its numbers."""
    try:
        return make(*fields, **options)
    except ConfigurationError as error:
        raise ConfigurationError(f"Layer {_named(part)}: {error}") from None


def _numbers(part: Part, tensor: Any, what: str, dimensions: int) -> Float:
    """A tensor of float64 with so many dimensions as an array, or ConfigurationError.

    In a copy of float64 others are those that are no parameter or buffer, or hold whole numbers.
    """
    if (
        not isinstance(tensor, torch.Tensor)
        or tensor.dtype != torch.float64
        or tensor.ndim != dimensions
    ):
        got = type(tensor).__name__
        if isinstance(tensor, torch.Tensor):
            got = f"{tensor.dtype} and shape {tuple(tensor.shape)}"
        raise _error(
            part, f"got its {what} as {got}; expected floating point numbers in {dimensions} "
            "dimensions. Assign a torch.nn.Parameter",
        )  # fmt: skip
    return tensor.detach().numpy()


def _named(part: Part) -> str:
    return f"{part.name}, {type(part.module).__name__}"


def _error(part: Part, text: str) -> ConfigurationError:
    return ConfigurationError(f"Layer {_named(part)}: {text}.")
