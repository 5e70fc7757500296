"""Steps as operations on a tile of images, whose loops are in `kernels`.

A binary convolution that a threshold follows stays packed: its counts are compared with whole
limits. A unit that is +1 from its limit *down* is computed the other way round and flipped. Maxima
before a threshold become ORs of signs: a maximum reaches a limit where any number does, and it is
at most a limit where all are, an AND, which is the OR of what has not been flipped yet.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qhyper.bits import n_words, pack
from qhyper.targets.convolutional import kernels
from qhyper.targets.convolutional.block import LANES, UNITS
from qhyper.targets.convolutional.packing import PackedConvolution, in_blocks, packed
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    MaxPool,
    Pair,
    Residual,
    Scale,
    Step,
    Threshold,
    Values,
    values_between,
)

Tile: TypeAlias = npt.NDArray[Any]
"""Numbers or words of some images: see `kernels`."""


class Pool:
    """Arrays of a thread that are used again: fresh ones cost more than what is done with them."""

    def __init__(self, border: Pair) -> None:
        self.border = border
        """of words: rows and columns"""
        self._free: dict[tuple[Any, ...], list[Tile]] = {}

    def take(self, shape: tuple[int, ...], dtype: Any = np.float64) -> Tile:
        """An array with anything in it, at a vector's bounds."""
        free = self._free.get((shape, np.dtype(dtype)))
        if free:
            return free.pop()
        size = 8 * int(np.prod(shape))
        octets = np.empty(size + 64, np.uint8)
        start = -octets.ctypes.data % 64
        return octets[start : start + size].view(dtype).reshape(shape)

    def give(self, tile: Tile) -> None:
        """Take an array back."""
        self._free.setdefault((tile.shape, tile.dtype), []).append(tile)

    def tile(self, groups: int, values: Values) -> Tile:
        """An array for these values of so many groups of images."""
        channels, rows, columns = values.shape
        if values.kind != "bits":
            return self.take((groups, channels, rows, columns, LANES))
        down, right = self.border
        shape = (groups, rows + 2 * down, columns + 2 * right, n_words(channels), LANES)
        return self.take(shape, np.uint64)


Operation: TypeAlias = Callable[[Tile, Pool, bool], Tile]
"""Values of a tile, a pool and whether the values have to be kept, to the next ones. Those are
never the array that is kept; one that need not be is theirs, or given back."""


def through(operations: Sequence[Operation], x: Tile, pool: Pool, keep: bool) -> Tile:
    """What operations, one after the other, make of x."""
    if not operations and keep:
        found = pool.take(x.shape, x.dtype)
        found[:] = x
        return found
    for operation in operations:
        x, keep = operation(x, pool, keep), False
    return x


def border(steps: Sequence[Step]) -> Pair:
    """The rows and columns of zeros around words that these steps need."""
    found = [(0, 0)]
    for step in steps:
        if isinstance(step, Residual):
            found += [border(step.body), border(step.shortcut)]
        elif isinstance(step, BinaryConvolution | MaxPool):
            found.append(step.padding)
    return max(p[0] for p in found), max(p[1] for p in found)


def operations(steps: Sequence[Step], values: Values) -> list[Operation]:
    """The steps as operations, where `values` stand before the first."""
    found: list[Operation] = []
    steps = list(steps)
    while steps:
        step, sums = steps[0], isinstance(steps[0], BinaryConvolution)
        pools = _pools(steps[1:] if sums else steps)
        rest = steps[len(pools) + sums :]
        if (sums or (pools and values.kind != "bits")) and rest and isinstance(rest[0], Threshold):
            used = [*steps[: len(pools) + sums], rest[0]]
            found += _pooled_signs(step, pools, rest[0], values)
        elif sums and isinstance(step, BinaryConvolution):
            scale = steps[1] if len(steps) > 1 else None
            used = steps[: 1 + isinstance(scale, Scale)]
            factors = scale.factor if isinstance(scale, Scale) else np.ones(len(step.bits))
            found.append(Sums(step, factors, values))
        else:
            used = [step]
            found.append(_operation(step, values, step.after(values)))
        values = values_between(used, values)[-1]
        steps = steps[len(used) :]
    return found


def _pooled_signs(
    step: Step, pools: Sequence[MaxPool], then: Threshold, values: Values
) -> list[Operation]:
    """The signs of maxima, by the OR of signs: of sums by a step, or of the values themselves."""
    flipped = (~then.above).astype(np.uint8)
    flip = [_flip(pack(flipped[None])[0])] if flipped.any() else []
    if isinstance(step, BinaryConvolution):
        packed_step = packed(step, values)
        found = [_signs(step, packed_step, packed_step.limits(then), values)]
        values = step.after(values)
    else:
        found = [_operation(then, values, then.after(values)), *flip]
    for pool in pools:
        found.append(_or_pool(pool, Values("bits", values.shape)))
        values = pool.after(values)
    return found + flip


def _pools(steps: Sequence[Step]) -> list[MaxPool]:
    """The maxima that come first."""
    return list(takewhile(lambda step: isinstance(step, MaxPool), steps))  # type: ignore[arg-type]


def _operation(step: Step, values: Values, after: Values) -> Operation:
    """One step that is no binary convolution.

    Kernels get copies of arrays: read-only ones are of another type, and would be compiled for.
    """
    match step:
        case Convolution():
            return _real_convolution(step, values, after)
        case Threshold():
            limit, above = step.limit.copy(), step.above.copy()
            return _into(after, lambda x, out, pool: kernels.threshold(
                x, limit, above, out, *pool.border
            ))  # fmt: skip
        case MaxPool() if values.kind == "bits":
            return _or_pool(step, values)
        case MaxPool():
            return _into(after, lambda x, out, pool: kernels.max_pool(
                x, step.padding, step.stride, step.kernel, out
            ))  # fmt: skip
        case AvgPool():
            return _of_numbers(values, after, lambda x, out: kernels.avg_pool(
                x, step.stride, step.kernel, out
            ))  # fmt: skip
        case Affine():
            scale, shift = step.scale.copy(), step.shift.copy()
            return _in_place(lambda x: kernels.affine(x, scale, shift))
        case Scale():
            factor = step.factor[:, None, None, None]
            return _in_place(lambda x: np.multiply(x, factor, out=x))
        case Clamp():
            return _in_place(lambda x: np.clip(x, step.low, step.high, out=x))
        case Residual():
            return _residual(step, values)
        case _:
            raise AssertionError(step)


def _into(after: Values, fill: Callable[[Tile, Tile, Pool], Any]) -> Operation:
    """An operation whose results fill an array of their own."""

    def operation(x: Tile, pool: Pool, keep: bool) -> Tile:
        out = pool.tile(len(x), after)
        fill(x, out, pool)
        if not keep:
            pool.give(x)
        return out

    return operation


def _of_numbers(values: Values, after: Values, fill: Callable[[Tile, Tile], Any]) -> Operation:
    """The same of numbers; bits become -1 and +1 first."""

    def filled(x: Tile, out: Tile, pool: Pool) -> None:
        numbers = x
        if values.kind == "bits":
            numbers = pool.tile(len(x), Values("sums", values.shape))
            kernels.numbers_of(x, *pool.border, numbers)
        fill(numbers, out)
        if numbers is not x:
            pool.give(numbers)

    return _into(after, filled)


def _in_place(change: Callable[[Tile], Any]) -> Operation:
    """An operation on every number by itself."""

    def operation(x: Tile, pool: Pool, keep: bool) -> Tile:
        out = through([], x, pool, keep)
        change(out)
        return out

    return operation


# -- binary convolutions ---------------------------------------------------------------------------


def _patches(
    step: BinaryConvolution, packed_step: PackedConvolution, shape: tuple[int, int], x: Tile,
    pool: Pool,
) -> tuple[Tile, tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    """Words in which patches are runs, with the distances and the size that `kernels` want."""
    (rows, columns), edge = shape, pool.border
    down, right = edge[0] - step.padding[0], edge[1] - step.padding[1]
    across = step.stride[1] * x.shape[3] * LANES
    if packed_step.gathered:
        found = pool.take((len(x), x.shape[1], columns, packed_step.row_words, LANES), np.uint64)
        channels = step.bits.shape[1]
        kernels.gather(x, right, step.stride[1], step.kernel[1], channels, found)
        x, right, across = found, 0, packed_step.row_words * LANES
    group, line, place = (stride // 8 for stride in x.strides[:3])
    steps = (down * line + right * place, group, step.stride[0] * line, across, line)
    size = (len(x), rows, columns, step.kernel[0], packed_step.row_words, packed_step.units)
    return x, steps, size


def _signs(
    step: BinaryConvolution, packed_step: PackedConvolution, limits: npt.NDArray[np.int64],
    values: Values,
) -> Operation:  # fmt: skip
    """Whether counts are within limits, packed."""
    shape = step.after(values).shape
    after, table = Values("bits", shape), limits.ravel()

    def fill(x: Tile, out: Tile, pool: Pool) -> None:
        words, steps, size = _patches(step, packed_step, shape[1:], x, pool)
        out[:] = 0
        group, row, place = (stride // 8 for stride in out.strides[:3])
        down, right = pool.border
        kernels.signs(
            words.reshape(-1), steps, size, packed_step.weights, table, packed_step.of_row,
            packed_step.of_column, out.reshape(-1), (down * row + right * place, group, row, place),
        )  # fmt: skip
        if words is not x:
            pool.give(words)

    return _into(after, fill)


class Sums:
    """An operation: the sums of a binary convolution, times a factor each."""

    def __init__(
        self, step: BinaryConvolution, factors: npt.NDArray[np.float64], values: Values
    ) -> None:
        self._step, self._factors, self._after = step, factors.copy(), step.after(values)
        self._packed = packed(step, values)

    def __call__(self, x: Tile, pool: Pool, keep: bool) -> Tile:
        """The sums."""
        out = pool.tile(len(x), self._after)
        self._fill(x, out, pool, 0)
        if not keep:
            pool.give(x)
        return out

    def add(self, x: Tile, pool: Pool, out: Tile) -> None:
        """Add the sums to numbers, and give x back."""
        self._fill(x, out, pool, 1)
        pool.give(x)

    def _fill(self, x: Tile, out: Tile, pool: Pool, adds: int) -> None:
        it = self._packed
        words, steps, size = _patches(self._step, it, self._after.shape[1:], x, pool)
        kernels.sums(
            words.reshape(-1), steps, size, it.weights, it.bases.reshape(-1), it.of_row,
            it.of_column, self._factors, adds, out,
        )  # fmt: skip
        if words is not x:
            pool.give(words)


def _or_pool(step: MaxPool, values: Values) -> Operation:
    def fill(x: Tile, out: Tile, pool: Pool) -> None:
        first = (pool.border[0] - step.padding[0], pool.border[1] - step.padding[1])
        kernels.or_pool(x, first, step.stride, step.kernel, out, pool.border)

    return _into(step.after(values), fill)


def _flip(mask: npt.NDArray[np.uint64]) -> Operation:
    def operation(x: Tile, pool: Pool, keep: bool) -> Tile:
        assert not keep
        kernels.flip(x, *pool.border, mask)
        return x

    return operation


# -- others ----------------------------------------------------------------------------------------


def _residual(step: Residual, values: Values) -> Operation:
    """Two ways; the sums of a last binary convolution are added where they arise."""
    body, shortcut = operations(step.body, values), operations(step.shortcut, values)
    last = body.pop() if body and isinstance(body[-1], Sums) else None

    def operation(x: Tile, pool: Pool, keep: bool) -> Tile:
        one = through(body, x, pool, keep=True)
        other = through(shortcut, x, pool, keep)
        if isinstance(last, Sums):
            last.add(one, pool, other)
        else:
            other += one
            pool.give(one)
        return other

    return operation


def _real_convolution(step: Convolution, values: Values, after: Values) -> Operation:
    """Products of real weights and patches."""
    units = len(step.weight)
    weights = in_blocks(step.weight.reshape(units, -1))
    bias = np.zeros(-(-units // UNITS) * UNITS)
    bias[:units] = 0 if step.bias is None else step.bias

    return _of_numbers(values, after, lambda x, out: kernels.products(
        x, step.padding, step.stride, step.kernel, weights, bias, out
    ))  # fmt: skip
