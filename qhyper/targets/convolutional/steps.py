"""The steps of a packed convolutional network, each with its own arrays, checked.

Between two steps stand values of one kind, for every image an array [channel, row, column]: *real*
numbers (float64), *sums* (whole numbers), or *bits* (1 is +1, 0 is -1). A dense layer is a
convolution whose kernel is the whole image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, as_float, as_number, is_whole
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, unknown

Kind = Literal["real", "sums", "bits"]
Pad = Literal["zero", "minus-one"]
Float = npt.NDArray[np.float64]
Pair = tuple[int, int]
Shape = tuple[int, int, int]
"""Channels, rows and columns."""

_WORDS = {"real": "real numbers", "sums": "whole sums", "bits": "bits"}


@dataclass(frozen=True)
class Values:
    """What stands between two steps: of which kind, and of which shape for an image."""

    kind: Kind
    shape: Shape

    def __str__(self) -> str:
        return f"{_WORDS[self.kind]} of {'×'.join(map(str, self.shape))}"


@dataclass(frozen=True, eq=False, repr=False)
class Convolution:
    """A real convolution with zeros around the image: any values to real ones; bits are -1 and +1.

    `weight` float64 [out, in, row, column], `bias` float64 [out] or None; `stride` and `padding` of
    rows and columns. Raises ConfigurationError for arrays of other shapes or not finite.
    """

    weight: Float
    bias: Float | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        weight = _finite(self.weight, "weight", "[out, in, row, column]", 4)
        _keep(self, weight=weight, stride=_pair(self, "stride", 1), padding=_pair(self, "padding"))
        if self.bias is not None:
            _keep(self, bias=_finite(self.bias, "bias", "[out]", 1))
            if self.bias.shape != weight.shape[:1]:
                raise ConfigurationError(
                    f"Got a bias of shape {self.bias.shape} for {len(weight)} output channels; "
                    "expected one number for each."
                )

    @property
    def kernel(self) -> Pair:
        """Rows and columns of the kernel."""
        return self.weight.shape[2], self.weight.shape[3]

    def __repr__(self) -> str:
        return f"Convolution({_sizes(self)})"

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        return Values("real", _convolved(self, self.weight.shape, values))


@dataclass(frozen=True, eq=False, repr=False)
class BinaryConvolution:
    """A convolution of bits with weights -1 and +1: bits to sums.

    `bits` uint8 [out, in, row, column] of the weights. Places outside the image count nothing with
    `pad="zero"`, and are -1 with `pad="minus-one"`. Raises ConfigurationError for other arrays.
    """

    bits: Bits
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    pad: Pad = "zero"

    def __post_init__(self) -> None:
        bits = as_array(self.bits, "bits of weights", "0 and 1, [out, in, row, column]")
        if bits.ndim != 4 or 0 in bits.shape or not ((bits == 0) | (bits == 1)).all():
            raise ConfigurationError(
                f"Got bits of weights of {bits.dtype} and shape {bits.shape}; expected 0 for -1 "
                "and 1 for +1, [out, in, row, column], at least one of each."
            )
        if self.pad not in get_args(Pad):
            raise unknown("padding of a binary convolution", str(self.pad), get_args(Pad))
        _keep(self, stride=_pair(self, "stride", 1), padding=_pair(self, "padding"))
        _keep(self, bits=np.array(bits, np.uint8, order="C"))
        if bits[0].size >= 2**31:
            raise ConfigurationError(
                f"Sums of {bits[0].size} inputs do not fit 32 bits. Choose a smaller kernel."
            )

    @property
    def kernel(self) -> Pair:
        """Rows and columns of the kernel."""
        return self.bits.shape[2], self.bits.shape[3]

    def __repr__(self) -> str:
        return f"BinaryConvolution({_sizes(self)})"

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        if values.kind != "bits":
            raise ConfigurationError(
                f"it takes bits, and gets {values}. Put a Threshold before it, or take a "
                "Convolution with weights -1 and +1."
            )
        return Values("sums", _convolved(self, self.bits.shape, values))


@dataclass(frozen=True, eq=False, repr=False)
class Threshold:
    """Signs of what comes in: +1 where x >= limit (`above`), or x <= limit (not `above`).

    `limit` float64 [channel], `above` bool [channel]. Infinite limits make channels that are always
    the same. Raises ConfigurationError for NaN and other shapes.
    """

    limit: Float
    above: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        limit = np.array(as_float(self.limit, "limits", "one number a channel"))
        above = np.array(as_array(self.above, "above", "one bool a channel"))
        if limit.ndim != 1 or not limit.size or np.isnan(limit).any():
            raise ConfigurationError(
                f"Got limits of shape {limit.shape}{' with NaN' * bool(np.isnan(limit).any())}; "
                "expected one number a channel, which may be infinite."
            )
        if above.shape != limit.shape or above.dtype != np.bool_:
            raise ConfigurationError(
                f"Got above of {above.dtype} and shape {above.shape}; expected one bool for each "
                f"of {len(limit)} channels: whether it is +1 from its limit up, or down."
            )
        _keep(self, limit=limit, above=above)

    def __repr__(self) -> str:
        return f"Threshold({len(self.limit)})"

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        if values.kind == "bits":
            raise ConfigurationError(
                f"it takes real numbers or sums, and gets {values}. Leave it out."
            )
        _check_channels(len(self.limit), values)
        return Values("bits", values.shape)


@dataclass(frozen=True, eq=False, repr=False)
class Affine:
    """x * scale + shift, rounded once, as torch normalises batches in eval mode: to real numbers.

    `scale` and `shift` float64 [channel]. Raises ConfigurationError for other shapes or numbers
    that are not finite.
    """

    scale: Float
    shift: Float

    def __post_init__(self) -> None:
        _keep(self, scale=_finite(self.scale, "scale", "[channel]", 1))
        _keep(self, shift=_finite(self.shift, "shift", "[channel]", 1))
        if self.scale.shape != self.shift.shape:
            raise ConfigurationError(
                f"Got {len(self.scale)} scales and {len(self.shift)} shifts; expected one of each "
                "a channel."
            )

    def __repr__(self) -> str:
        return f"Affine({len(self.scale)})"

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        return _per_channel(len(self.scale), values)


@dataclass(frozen=True, eq=False, repr=False)
class Scale:
    """x * factor, with `factor` float64 [channel]: to real numbers.

    Raises ConfigurationError for another shape or numbers that are not finite.
    """

    factor: Float

    def __post_init__(self) -> None:
        _keep(self, factor=_finite(self.factor, "factor", "[channel]", 1))

    def __repr__(self) -> str:
        return f"Scale({len(self.factor)})"

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        return _per_channel(len(self.factor), values)


@dataclass(frozen=True)
class Clamp:
    """Numbers below `low` become `low`, and above `high` become `high`: to real numbers.

    ReLU is Clamp(0, inf). Raises ConfigurationError unless low <= high leave a finite number
    between them.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = as_number(self.low), as_number(self.high)
        if not low <= high or low == np.inf or high == -np.inf:
            raise ConfigurationError(
                f"Got a clamp from {self.low!r} to {self.high!r}; expected two numbers, the lower "
                "one first, which leave a finite one between them."
            )
        _keep(self, low=low, high=high)

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        return _per_channel(values.shape[0], values)


@dataclass(frozen=True)
class MaxPool:
    """The maximum of each window, of the same kind: an OR of bits.

    `kernel`, `stride` and `padding` of rows and columns; places outside count nothing. Raises
    ConfigurationError for a padding of more than half a kernel.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        _keep(self, kernel=_pair(self, "kernel", 1), stride=_pair(self, "stride", 1))
        _keep(self, padding=_pair(self, "padding"))
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ConfigurationError(
                f"Got a padding of {self.padding} for windows of {self.kernel}; expected at most "
                "half of it."
            )

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        channels, *size = values.shape
        return Values(values.kind, (channels, *_windows(self, size)))


@dataclass(frozen=True)
class AvgPool:
    """The mean of each window, to real numbers; bits are -1 and +1.

    `kernel` and `stride` of rows and columns; raises ConfigurationError unless they are whole
    numbers of 1 or more.
    """

    kernel: Pair
    stride: Pair

    def __post_init__(self) -> None:
        _keep(self, kernel=_pair(self, "kernel", 1), stride=_pair(self, "stride", 1))

    @property
    def padding(self) -> Pair:
        """None: (0, 0)."""
        return 0, 0

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        channels, *size = values.shape
        return Values("real", (channels, *_windows(self, size)))


@dataclass(frozen=True, repr=False, eq=False)
class Residual:
    """Two ways of the same values, whose results are added: sums if both are, else real numbers.

    An empty `shortcut` hands the values on as they are. Raises ConfigurationError for what are no
    steps.
    """

    body: "tuple[Step, ...]"
    shortcut: "tuple[Step, ...]" = ()

    def __post_init__(self) -> None:
        _keep(self, body=checked_steps(self.body), shortcut=checked_steps(self.shortcut))

    def __repr__(self) -> str:
        return f"Residual({len(self.body)} steps, {len(self.shortcut)} steps)"

    def after(self, values: Values) -> Values:
        """The values after this step; ConfigurationError if it cannot take these."""
        ends = {
            name: _last(values_between(steps, values, f"in its {name}, "), values)
            for name, steps in (("body", self.body), ("shortcut", self.shortcut))
        }
        for name, end in ends.items():
            if end.kind == "bits":
                raise ConfigurationError(
                    f"its {name} ends with {end}, which are not added. End it with sums or real "
                    "numbers."
                )
        body, shortcut = ends["body"], ends["shortcut"]
        if body.shape != shortcut.shape:
            raise ConfigurationError(
                f"its body ends with {body}, and its shortcut with {shortcut}. Let both end with "
                "the same shape."
            )
        return body if body.kind == "real" else shortcut


Step: TypeAlias = (
    Convolution
    | BinaryConvolution
    | Threshold
    | Affine
    | Scale
    | Clamp
    | MaxPool
    | AvgPool
    | Residual
)


def values_between(steps: Sequence[Step], values: Values, where: str = "") -> list[Values]:
    """The values after each of the steps, the first of which takes `values`.

    Raises ConfigurationError, which begins with `where` and the step, for a step that cannot take
    what comes before it.
    """
    found = []
    for number, step in enumerate(steps):
        try:
            values = step.after(values)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}step {number}, {step!r}: {error}") from None
        found.append(values)
    return found


def checked_steps(steps: Any) -> tuple[Step, ...]:
    """The steps as a tuple; ConfigurationError for anything that is none."""
    found = tuple(steps) if isinstance(steps, Sequence) and not isinstance(steps, str) else None
    if found is None or not all(isinstance(step, get_args(Step)) for step in found):
        names = ", ".join(kind.__name__ for kind in get_args(Step))
        other = steps if found is None else [s for s in found if not isinstance(s, get_args(Step))]
        raise ConfigurationError(f"Got the steps {other!r}; expected a tuple of {names}.")
    return found


def _last(found: list[Values], values: Values) -> Values:
    return found[-1] if found else values


def _convolved(step: Convolution | BinaryConvolution, weights: Any, values: Values) -> Shape:
    channels, *size = values.shape
    if channels != weights[1]:
        raise ConfigurationError(
            f"its kernel is for {weights[1]} channels, and it gets {values}. Let the kernel be "
            f"[{weights[0]}, {channels}, row, column]."
        )
    return (weights[0], *_windows(step, size))


def _windows(step: Any, size: Sequence[int]) -> Pair:
    """How many windows there are in rows and columns of `size`."""
    found = [
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(size, step.padding, step.kernel, step.stride, strict=True)
    ]
    if min(found) < 1:
        raise ConfigurationError(
            f"windows of {step.kernel[0]}×{step.kernel[1]} do not fit into {size[0]}×{size[1]} "
            f"with a padding of {step.padding[0]}×{step.padding[1]}. Choose a smaller kernel or "
            "pool less before."
        )
    return found[0], found[1]


def _per_channel(channels: int, values: Values) -> Values:
    if values.kind == "bits":
        raise ConfigurationError(
            f"it takes real numbers or sums, and gets {values}. Put a convolution before it."
        )
    _check_channels(channels, values)
    return Values("real", values.shape)


def _check_channels(channels: int, values: Values) -> None:
    if channels != values.shape[0]:
        raise ConfigurationError(
            f"it has numbers for {channels} channels, and gets {values}. Give one for each channel."
        )


def _finite(numbers: Any, what: str, axes: str, ndim: int) -> Float:
    array = np.array(as_float(numbers, what, f"finite numbers {axes}"), order="C")
    if array.ndim != ndim or 0 in array.shape or not np.isfinite(array).all():
        raise ConfigurationError(
            f"Got {what} of shape {array.shape}{_bad(array)}; expected finite numbers {axes}, at "
            "least one of each."
        )
    return array


def _bad(array: Float) -> str:
    wrong = array[~np.isfinite(array)]
    return f" with {wrong[0]}" if wrong.size else ""


def _pair(step: Any, name: str, at_least: int = 0) -> Pair:
    """The field `name` as two whole numbers; one number stands for both."""
    given = getattr(step, name)
    pair = (given, given) if is_whole(given, at_least=at_least) else given
    two = isinstance(pair, Sequence) and len(pair) == 2
    if not two or not all(is_whole(n, at_least=at_least) for n in pair):
        raise ConfigurationError(
            f"Got {name}={given!r} of a {type(step).__name__}; expected two whole numbers of at "
            f"least {at_least}, of rows and columns."
        )
    return int(pair[0]), int(pair[1])


def _sizes(step: Convolution | BinaryConvolution) -> str:
    array = step.weight if isinstance(step, Convolution) else step.bits
    out, channels, rows, columns = array.shape
    return f"{channels}→{out}, {rows}×{columns}"


def _keep(step: Any, **fields: Any) -> None:
    """Set fields; arrays, which are copies, are then read alone: engines prepare what they hold."""
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        object.__setattr__(step, name, value)
