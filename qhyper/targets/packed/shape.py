"""How words hold the weights of packed networks.

A network of layers such as (784, 128, 10) is `words`, uint64 [word]: layer by layer, unit by unit,
⌈inputs / 64⌉ words a unit, bit i % 64 of word i // 64 for input i; bit 1 is weight +1, bit 0 is
-1, and bits past the end are zero. Many networks of one shape, a population, are [network, word].
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qhyper.arrays import is_whole
from qhyper.bits import Bits, Words, as_bits, n_words, pack, unpack
from qhyper.errors import ConfigurationError


@dataclass(frozen=True)
class PackedShape:
    """The layers of packed networks, inputs first: how words hold their weights.

    Raises ConfigurationError unless there are two layers or more, of one unit or more each.
    """

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        layers = self.layers
        if (
            not isinstance(layers, Iterable)
            or len(tuple(layers)) < 2
            or not all(is_whole(size, at_least=1) for size in layers)
        ):
            raise ConfigurationError(
                f"Got layers {layers!r}; expected two sizes or more, of 1 or more each, inputs "
                "first, such as (784, 128, 10)."
            )
        object.__setattr__(self, "layers", tuple(int(size) for size in layers))

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """(units, inputs) of every layer's weights."""
        return tuple(
            (n_out, n_in) for n_in, n_out in zip(self.layers, self.layers[1:], strict=False)
        )

    @property
    def n_weights(self) -> int:
        """Number of weights."""
        return sum(n_out * n_in for n_out, n_in in self.matrices)

    @property
    def n_words(self) -> int:
        """Number of words of one network."""
        return sum(n_out * n_words(n_in) for n_out, n_in in self.matrices)

    @cached_property
    def ones(self) -> Words:
        """The words [word] of the network whose weights are all +1: a bit for each weight."""
        return self.pack([np.ones(matrix, np.uint8) for matrix in self.matrices])

    def pack(self, matrices: Sequence[npt.ArrayLike]) -> Words:
        """Words uint64 [..., word] of `matrices` of bits [..., unit, input], one a layer.

        Raises ConfigurationError for another number of matrices, or other units or inputs.
        """
        if len(matrices) != len(self.matrices):
            raise ConfigurationError(
                f"Got {len(matrices)} matrices of weights, expected {len(self.matrices)}: one a "
                f"layer of {self.layers}."
            )
        parts = []
        for bits, (n_out, n_in) in zip(matrices, self.matrices, strict=True):
            array = as_bits(bits, n_in)
            if array.ndim < 2 or array.shape[-2] != n_out:
                raise ConfigurationError(
                    f"Got weights of shape {array.shape}, expected [..., unit, input] = "
                    f"[..., {n_out}, {n_in}]."
                )
            parts.append(pack(array).reshape(*array.shape[:-2], -1))
        return np.concatenate(parts, axis=-1)

    def unpack(self, words: Words) -> list[Bits]:
        """The matrices of bits [..., unit, input] that `pack` took, of words [..., word]."""
        self.check(words)
        matrices, at = [], 0
        for n_out, n_in in self.matrices:
            size = n_out * n_words(n_in)
            of_layer = words[..., at : at + size].reshape(*words.shape[:-1], n_out, -1)
            matrices.append(unpack(of_layer, n_in))
            at += size
        return matrices

    def from_bits(self, bits: npt.ArrayLike) -> Words:
        """Words uint64 [..., word] of draws of bits [..., n_weights] in WeightSpace's order."""
        array, matrices, at = as_bits(bits, self.n_weights), [], 0
        for n_out, n_in in self.matrices:
            of_layer = array[..., at : at + n_in * n_out].reshape(*array.shape[:-1], n_in, n_out)
            matrices.append(of_layer.swapaxes(-1, -2))
            at += n_in * n_out
        return self.pack(matrices)

    def to_bits(self, words: Words) -> Bits:
        """The bits [..., n_weights] that `from_bits` took, of words [..., word]."""
        matrices = [m.swapaxes(-1, -2) for m in self.unpack(words)]
        return np.concatenate([m.reshape(*m.shape[:-2], -1) for m in matrices], axis=-1)

    def limits(self, *, planes: int = 1, of_last: bool = False) -> npt.NDArray[np.int64]:
        """Limits int64 [unit] of units that are the signs of their sums, with sign(0) = +1.

        A unit is +1 where its weights differ from at most so many of its inputs, weighted where
        inputs have several `planes`. The last layer's are left out unless `of_last`.
        """
        most = [n_in for _, n_in in self.matrices]
        most[0] *= (1 << planes) - 1
        limits = [np.full(n, m // 2) for (n, _), m in zip(self.matrices, most, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *(limits if of_last else limits[:-1])])

    def check(self, words: Words) -> None:
        """Raise ConfigurationError unless `words` is uint64 [..., n_words], zeros past weights."""
        if (
            not isinstance(words, np.ndarray)
            or words.dtype != np.uint64
            or (words.ndim < 1 or words.shape[-1] != self.n_words)
        ):
            got = type(words).__name__
            if isinstance(words, np.ndarray):
                got = f"{words.dtype} and shape {words.shape}"
            raise ConfigurationError(
                f"Got words of {got}, expected an array of uint64 [..., word] with {self.n_words} "
                f"words for the layers {self.layers}."
            )
        if (words & ~self.ones).any():
            raise ConfigurationError(
                "Got ones past the end of a unit's weights; expected zeros. Make the words by "
                "PackedShape.pack."
            )


class Packed(Protocol):
    """One packed network, its parts and what it gives, as `PackedNetwork` has them."""

    @property
    def shape(self) -> PackedShape:
        """How words hold the weights."""
        ...

    @property
    def words(self) -> Words:
        """The weights, uint64 [word]."""
        ...

    @property
    def limits(self) -> npt.NDArray[np.int64]:
        """Of the units that are signs, int64 [unit]."""
        ...

    @property
    def planes(self) -> int:
        """Bits of an input."""
        ...

    @property
    def label_bits(self) -> int | None:
        """Units of the last layer that vote for a class."""
        ...

    @property
    def scale(self) -> npt.NDArray[np.float64] | None:
        """Of scaled sums, float64 [class]."""
        ...

    @property
    def shift(self) -> npt.NDArray[np.float64] | None:
        """The same."""
        ...

    def outputs(self, x: npt.ArrayLike, /) -> npt.NDArray:
        """Outputs [row, class] of rows [row, input]."""
        ...
