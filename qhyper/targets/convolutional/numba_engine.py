"""Steps of a convolutional network, compiled (numba): all of them on a few images, then the next.

A tile is a number of images whose arrays stay in the cache; tiles run in threads.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from qhyper.bits import n_words
from qhyper.targets.convolutional import kernels
from qhyper.targets.convolutional.block import LANES
from qhyper.targets.convolutional.bounds import all_values
from qhyper.targets.convolutional.operations import (
    Pool,
    Tile,
    border,
    operations,
    through,
)
from qhyper.targets.convolutional.steps import Step, Values, values_between
from qhyper.threads import in_threads, n_threads

_TILE = 2**19
"""Bytes of the largest array of a tile, about, unless eight images have more."""

_SLICE = 2**16
"""Bytes of such arrays that are worth waking a thread for, about."""


class Prepared:
    """Steps that are ready to run: kernels packed, limits worked out."""

    def __init__(self, steps: Sequence[Step], values: Values) -> None:
        self._before, self._after = values, [values, *values_between(steps, values)][-1]
        self._operations, self._border = operations(steps, values), border(steps)
        self._bytes = max(map(_bytes, all_values(steps, values)))

    def __call__(self, x: npt.NDArray) -> npt.NDArray:
        """What the steps make of `x` [image, channel, row, column]."""
        kinds = {"bits": np.uint8, "sums": np.int64, "real": np.float64}
        out = np.empty((len(x), *self._after.shape), kinds[self._after.kind])

        def store(tile: Tile, images: slice) -> None:
            if self._after.kind == "bits":
                kernels.store_bits(tile, *self._border, out[images])
            else:
                kernels.store(tile, out[images])

        self._run(x, store)
        return out

    def words(self, x: npt.NDArray) -> npt.NDArray[np.uint64]:
        """The same of steps that end with bits, left packed [group, row, column, word, lane].

        Without a border: see `kernels`.
        """
        channels, rows, columns = self._after.shape
        down, right = self._border
        shape = -(-len(x) // LANES), rows, columns, n_words(channels), LANES
        out = np.empty(shape, np.uint64)

        def store(tile: Tile, images: slice) -> None:
            first = images.start // LANES
            out[first : first + len(tile)] = tile[:, down : down + rows, right : right + columns]

        self._run(x, store)
        return out

    def _run(self, x: npt.NDArray, store: Callable[[Tile, slice], None]) -> None:
        """Run all tiles; `store` gets the last values of each and which images they are."""
        groups = -(-len(x) // LANES)
        each = max(1, min(_TILE // self._bytes, -(-groups // n_threads())))
        x = np.ascontiguousarray(x, np.uint8 if x.dtype == np.uint8 else np.float64)
        at_least = -(-_SLICE // (each * self._bytes))
        in_threads(self._tiles, -(-groups // each), each * LANES, x, store, at_least=at_least)

    def _tiles(
        self, first: int, last: int, size: int, x: npt.NDArray, store: Callable[[Tile, slice], None]
    ) -> None:
        """Run tiles `first` to `last` - 1 of `size` images each."""
        pool = Pool(self._border)
        for tile in range(first, last):
            images = slice(tile * size, min((tile + 1) * size, len(x)))
            some = x[images]
            now = pool.tile(-(-len(some) // LANES), self._before)
            if self._before.kind == "bits":
                kernels.load_bits(some, now, *self._border)
            else:
                kernels.load(some, now)
            now = through(self._operations, now, pool, keep=False)
            store(now, images)
            pool.give(now)


def _bytes(values: Values) -> int:
    """Bytes of the values of eight images."""
    bytes_each = 1 / 8 if values.kind == "bits" else 8
    return max(1, int(LANES * bytes_each * np.prod(values.shape)))
