"""Binary kernels as words, and what is counted at the edges of images.

A patch of a kernel of rows × columns is, for each row of the kernel, a run of words: those of its
columns side by side as they lie in the image, or, where channels do not fill words, the channels of
all columns put together. Of the places outside an image nothing is to be counted, but the zeros of
its border differ from every weight +1 there: they are counted, and known. With n of n + m weights
on the image, p of the other m being +1, and c bits that differ, the sum is n + 2 p - 2 c.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, n_words, pack
from qhyper.targets.convolutional.block import UNITS
from qhyper.targets.convolutional.steps import BinaryConvolution, Threshold, Values

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PackedConvolution:
    """A binary convolution, packed for one kind of values before it."""

    weights: npt.NDArray[np.uint64]
    """[block, kernel row, word, unit in block], flat; units past the last have no ones"""
    bases: Whole
    """the sums where nothing differs [edge, unit], for each way to lie over the edge"""
    of_row: Whole
    """where the edge of an output row begins in the flat table [row]"""
    of_column: Whole
    """and how much further that of an output column [column]"""
    gathered: bool
    """whether channels of all columns of the kernel are put together"""
    row_words: int
    """words of a row of a patch"""

    @property
    def units(self) -> int:
        """Units with those that fill the last block."""
        return self.bases.shape[1]

    def limits(self, threshold: Threshold) -> Whole:
        """The largest counts [edge, unit] of units that are +1 or, if not `above`, that are -1."""
        limit = np.where(threshold.above, np.ceil(threshold.limit), np.floor(threshold.limit))
        units = len(limit)
        half = (self.bases[:, :units] - limit) / 2  # a whole number and a half at most
        largest = np.where(threshold.above, np.floor(half), np.ceil(half) - 1)
        found = np.full(self.bases.shape, -1)
        found[:, :units] = np.clip(largest, -1, 2**32)
        return found


def packed(step: BinaryConvolution, values: Values) -> PackedConvolution:
    """A binary convolution of `values`, packed."""
    units, channels, rows, columns = step.bits.shape
    together = n_words(columns * channels)
    gathered = together < columns * n_words(channels)
    by_place = step.bits.transpose(0, 2, 3, 1)  # [unit, row, column, channel]
    if gathered:
        words = pack(by_place.reshape(units, rows, -1))
    else:
        words = pack(by_place).reshape(units, rows, -1)
    full = -(-units // UNITS) * UNITS
    after = step.after(values).shape
    inside = [
        _inside(values.shape[1 + axis], after[1 + axis], step.kernel[axis], step.stride[axis],
                step.padding[axis], step.pad == "minus-one")
        for axis in (0, 1)
    ]  # fmt: skip
    (row_edges, of_row), (column_edges, of_column) = inside
    bases = np.zeros((len(row_edges) * len(column_edges), full), np.int64)
    bases[:, :units] = _bases(step.bits, row_edges, column_edges)
    return PackedConvolution(
        weights=in_blocks(words.reshape(units, -1)),
        bases=bases,
        of_row=of_row * len(column_edges) * full,
        of_column=of_column * full,
        gathered=gathered,
        row_words=words.shape[2],
    )


def in_blocks(weights: npt.NDArray) -> npt.NDArray:
    """Weights [unit, k] as [block, k, unit in block], flat; units past the last are zeros."""
    units, size = weights.shape
    found = np.zeros((-(-units // UNITS) * UNITS, size), weights.dtype)
    found[:units] = weights
    return np.ascontiguousarray(found.reshape(-1, UNITS, size).transpose(0, 2, 1)).ravel()


@lru_cache
def _inside(
    inputs: int, outputs: int, kernel: int, stride: int, padding: int, everywhere: bool
) -> tuple[npt.NDArray[np.bool_], Whole]:
    """Which of the kernel's rows (or columns) are on the image: [edge, row], and which edge.

    It is kept, read-only: networks that differ in their bits alone have the same.
    """
    places = np.arange(outputs)[:, None] * stride - padding + np.arange(kernel)
    found = np.full(places.shape, True) if everywhere else (places >= 0) & (places < inputs)
    edges, number = np.unique(found, axis=0, return_inverse=True)
    number = number.reshape(-1).astype(np.int64)
    edges.setflags(write=False)
    number.setflags(write=False)
    return edges, number


def _bases(
    bits: Bits, row_edges: npt.NDArray[np.bool_], column_edges: npt.NDArray[np.bool_]
) -> Whole:
    """n + 2 p of every unit at every edge, [edge, unit]."""
    ones = bits.sum(axis=1, dtype=np.int64)  # [unit, row, column]
    found = []
    for rows in row_edges:
        for columns in column_edges:
            outside = ~np.outer(rows, columns)
            inside = bits.shape[1] * (outside.size - outside.sum())
            found.append(inside + 2 * ones[:, outside].sum(axis=1))
    return np.stack(found)
