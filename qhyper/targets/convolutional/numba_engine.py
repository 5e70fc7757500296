"""Steps of a convolutional network, compiled (numba): all of them on a few images, then the next.

A tile is a number of images whose arrays stay in the cache; tiles run in threads.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qhyper.targets.convolutional import kernels
from qhyper.targets.convolutional.block import LANES
from qhyper.targets.convolutional.operations import Operation, Pool, border, operations, through
from qhyper.targets.convolutional.steps import Residual, Step, Values, values_between
from qhyper.threads import in_threads, n_threads

_TILE = 2**19
"""Bytes of the largest array of a tile, about, unless eight images have more."""


def run(steps: Sequence[Step], values: Values, x: npt.NDArray) -> npt.NDArray:
    """What the steps make of `x` [image, channel, row, column], the `values` before them."""
    after = [values, *values_between(steps, values)][-1]
    kinds = {"bits": np.uint8, "sums": np.int64, "real": np.float64}
    out = np.empty((len(x), *after.shape), kinds[after.kind])
    groups = -(-len(x) // LANES)
    each = max(1, min(_TILE // _largest(steps, values), -(-groups // n_threads())))
    x = np.ascontiguousarray(x, np.uint8 if x.dtype == np.uint8 else np.float64)
    made = operations(steps, values)
    arguments = made, values, border(steps), x, out, each * LANES
    in_threads(_tiles, -(-groups // each), *arguments)
    return out


def _tiles(
    first: int, last: int, made: Sequence[Operation], values: Values, edge: tuple[int, int],
    x: npt.NDArray, out: npt.NDArray, size: int,
) -> None:  # fmt: skip
    """Run tiles `first` to `last` - 1 of `size` images each."""
    pool = Pool(edge)
    for tile in range(first, last):
        images = slice(tile * size, (tile + 1) * size)
        some = x[images]
        now = pool.tile(-(-len(some) // LANES), values)
        if values.kind == "bits":
            kernels.load_bits(some, now, *edge)
        else:
            kernels.load(some, now)
        now = through(made, now, pool, keep=False)
        if out.dtype == np.uint8:
            kernels.store_bits(now, *edge, out[images])
        else:
            kernels.store(now, out[images])
        pool.give(now)


def _largest(steps: Sequence[Step], values: Values) -> int:
    """Bytes of the largest values of eight images."""
    found = _bytes(values)
    for step in steps:
        if isinstance(step, Residual):
            found = max(found, _largest(step.body, values), _largest(step.shortcut, values))
        values = step.after(values)
        found = max(found, _bytes(values))
    return found


def _bytes(values: Values) -> int:
    bytes_each = 1 / 8 if values.kind == "bits" else 8
    return max(1, int(LANES * bytes_each * np.prod(values.shape)))
