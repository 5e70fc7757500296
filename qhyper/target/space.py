"""WeightSpace: which bit is which weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, as_bits
from qhyper.errors import ConfigurationError, unknown


@dataclass(frozen=True)
class WeightSpace:
    """The weights of a layered network without biases, one bit each; bit 1 is +1, bit 0 is -1.

    Order: layer by layer, each matrix row-major [in, out]. For (4, 6, 2) that is
    W1 = w[:24].reshape(4, 6), W2 = w[24:].reshape(6, 2).
    """

    layers: tuple[int, ...]

    def __init__(self, layers: Sequence[int]) -> None:
        sizes = tuple(int(size) for size in layers)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigurationError(
                f"Got layer sizes {list(layers)}; expected at least an input and an output "
                "layer, each of 1 unit or more, such as (4, 6, 2)."
            )
        object.__setattr__(self, "layers", sizes)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """[in, out] of every weight matrix."""
        return list(pairwise(self.layers))

    @property
    def n_bits(self) -> int:
        """Number of weights, and so of bits."""
        return sum(rows * columns for rows, columns in self.shapes)

    def check(self, n_bits: int) -> None:
        """Raise ConfigurationError unless the space has `n_bits` bits."""
        if self.n_bits != n_bits:
            raise ConfigurationError(
                f"Got n_bits={n_bits}, but the WeightSpace {self.layers} has {self.n_bits} bits. "
                "Pass the n_bits and the space of the same network."
            )

    def decode(self, bits: npt.ArrayLike) -> list[npt.NDArray[np.int64]]:
        """The weight matrices, -1 or +1, int64 [..., in, out], of bits [..., n_bits]."""
        values = 2 * as_bits(bits, self.n_bits).astype(np.int64) - 1
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])[:-1]
        flat = np.split(values, ends, axis=-1)
        return [
            part.reshape(*part.shape[:-1], *shape)
            for part, shape in zip(flat, self.shapes, strict=True)
        ]

    def encode(self, weights: Sequence[npt.ArrayLike]) -> Bits:
        """The bits [..., n_bits] of weight matrices of -1 and +1: the inverse of `decode`."""
        if len(weights) != len(self.shapes):
            raise ConfigurationError(
                f"Got {len(weights)} weight matrices, expected {len(self.shapes)} of the shapes "
                f"{self.shapes}."
            )
        parts = []
        for weight, shape in zip(weights, self.shapes, strict=True):
            array = np.asarray(weight)
            if array.shape[-2:] != shape or not np.isin(array, (-1, 1)).all():
                raise ConfigurationError(
                    f"Got a weight matrix of shape {array.shape}; expected [..., {shape[0]}, "
                    f"{shape[1]}] with every weight -1 or +1."
                )
            parts.append((array > 0).reshape(*array.shape[:-2], -1))
        return np.concatenate(parts, axis=-1).astype(np.uint8)

    def unit_blocks(self) -> list[npt.NDArray[np.int64]]:
        """The bits of each unit of the first hidden layer: its inputs, then its outputs.

        For (4, 6, 2): six blocks of 4 + 2 bits. Bits of later layers belong to no block.
        Raises ConfigurationError without a hidden layer.
        """
        if len(self.layers) < 3:
            raise ConfigurationError(
                f"Layers {self.layers} have no hidden unit; expected at least three sizes."
            )
        index = self._bit_index()
        return [
            np.concatenate([index[0][:, unit], index[1][unit]]) for unit in range(self.layers[1])
        ]

    def order(self, name: str) -> npt.NDArray[np.int64]:
        """A named order of the bits, int64 [n_bits]: entry q is the bit that stands q-th.

        `row`: as stored. `unit`: the bits of a hidden unit adjacent. `split`: the first matrix as
        stored, every later one output by output (all first outputs, then all second, ...).
        """
        index = self._bit_index()
        if name == "row":
            return np.arange(self.n_bits)
        if name == "split":
            return np.concatenate([index[0].ravel(), *(w.T.ravel() for w in index[1:])])
        if name == "unit":
            rest = [w.ravel() for w in index[2:]]
            return np.concatenate([*self.unit_blocks(), *rest])
        raise unknown("order of the bits", name, ("row", "unit", "split"))

    def _bit_index(self) -> list[npt.NDArray[np.int64]]:
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])[:-1]
        flat = np.split(np.arange(self.n_bits), ends)
        return [part.reshape(shape) for part, shape in zip(flat, self.shapes, strict=True)]
