"""What the compiled engine of convolutional networks does, in NumPy: for where there is no numba.

Slower, and its oracle. Bits are uint8 here, sums int64, real numbers float64.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qhyper.targets.convolutional.bounds import all_values
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    MaxPool,
    Residual,
    Scale,
    Step,
    Threshold,
    Values,
)
from qhyper.targets.fused import multiply_and_add

_PATCHES = 2**25
"""Bytes of the patches of images that are convolved together, about."""


class Prepared:
    """Steps that are ready to run, with the `values` before them."""

    def __init__(self, steps: Sequence[Step], values: Values) -> None:
        self._steps, self._values = steps, values
        widest = max(int(np.prod(between.shape)) for between in all_values(steps, values))
        self._together = max(1, _PATCHES // (8 * 9 * widest))

    def __call__(self, x: npt.NDArray) -> npt.NDArray:
        """What the steps make of `x` [image, channel, row, column]."""
        kinds = {"bits": np.uint8, "sums": np.int64, "real": np.float64}
        found = []
        for first in range(0, max(len(x), 1), self._together):
            some = x[first : first + self._together].astype(kinds[self._values.kind])
            for step in self._steps:
                some = _after(step, some)
            found.append(some)
        return np.concatenate(found)


def _after(step: Step, x: npt.NDArray) -> npt.NDArray:
    match step:
        case Convolution():
            return _convolution(step, x)
        case BinaryConvolution():
            return _binary_convolution(step, x)
        case Threshold():
            limit = step.limit[:, None, None]
            return np.where(step.above[:, None, None], x >= limit, x <= limit).astype(np.uint8)
        case Affine():
            last = np.moveaxis(x, 1, -1)
            return np.moveaxis(multiply_and_add(last, step.scale, step.shift), -1, 1)
        case Scale():
            return x * step.factor[:, None, None]
        case Clamp():
            return np.clip(x.astype(np.float64), step.low, step.high)
        case MaxPool():
            least = -np.inf if x.dtype == np.float64 else np.iinfo(x.dtype).min
            return _windows(step, _padded(x, step.padding, least)).max(axis=(4, 5))
        case AvgPool():
            windows = _windows(step, _numbers(x))
            total = np.zeros(windows.shape[:4])
            for place in np.ndindex(*step.kernel):  # in torch's order
                total += windows[..., *place]
            return total / np.prod(step.kernel)
        case Residual():
            body = shortcut = x
            for each in step.body:
                body = _after(each, body)
            for each in step.shortcut:
                shortcut = _after(each, shortcut)
            return _numbers(body) + _numbers(shortcut)


def _convolution(step: Convolution, x: npt.NDArray) -> npt.NDArray[np.float64]:
    padded = _padded(_numbers(x).astype(np.float64), step.padding, 0)
    found = _products(_windows(step, padded), step.weight)
    return found if step.bias is None else found + step.bias[:, None, None]


def _binary_convolution(step: BinaryConvolution, x: npt.NDArray) -> npt.NDArray[np.int64]:
    """By products of floats -1, 0 and +1, whose sums are exact."""
    exact = np.float32 if step.bits[0].size < 2**24 else np.float64
    outside = 0 if step.pad == "zero" else -1
    padded = _padded(_numbers(x).astype(exact), step.padding, outside)
    weight = 2 * step.bits.astype(exact) - 1
    return _products(_windows(step, padded), weight).astype(np.int64)


def _products(windows: npt.NDArray, weight: npt.NDArray) -> npt.NDArray:
    """[image, out, row, column] of windows [image, in, row, column, k, l] and [out, in, k, l]."""
    n, _, rows, columns = windows.shape[:4]
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, -1)
    found = patches @ weight.reshape(len(weight), -1).T
    return np.ascontiguousarray(found.reshape(n, rows, columns, -1).transpose(0, 3, 1, 2))


def _windows(
    step: Convolution | BinaryConvolution | MaxPool | AvgPool, padded: npt.NDArray
) -> npt.NDArray:
    """The windows [image, channel, row, column, row in it, column in it] of a step."""
    down, right = step.stride
    all_of_them = np.lib.stride_tricks.sliding_window_view(padded, step.kernel, axis=(2, 3))  # type: ignore[arg-type]
    return all_of_them[:, :, ::down, ::right]


def _padded(x: npt.NDArray, padding: tuple[int, int], outside: float) -> npt.NDArray:
    rows, columns = padding
    width = ((0, 0), (0, 0), (rows, rows), (columns, columns))
    return np.pad(x, width, constant_values=outside)


def _numbers(x: npt.NDArray) -> npt.NDArray:
    """Bits as the numbers -1 and +1, int64; other values as they are."""
    return 2 * x.astype(np.int64) - 1 if x.dtype == np.uint8 else x
