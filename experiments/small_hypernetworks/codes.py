"""Affine codes: a binary hypernetwork over GF(2), and the tying of weights as one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class AffineCode:
    """The strings w = G z + b over GF(2), of k free bits z, as words of up to 64 bits.

    Weights that share a bit are the code whose columns of G have no 1 in common; where b is 1, a
    weight has the other sign (as in HashedNets: Chen et al. 2015, section 4.3).
    """

    offset: int
    """b"""
    columns: tuple[int, ...]
    """those of G, [k]"""

    @property
    def n_bits(self) -> int:
        """k, the number of free bits."""
        return len(self.columns)

    def first(self, k: int) -> "AffineCode":
        """The code of the first k columns."""
        return AffineCode(self.offset, self.columns[:k])

    def words(self) -> Words:
        """The strings of all z, uint64 [2^k]: those of the first j columns are the first 2^j."""
        words = np.array([self.offset], np.uint64)
        for column in self.columns:
            words = np.concatenate([words, words ^ np.uint64(column)])
        return words

    def contains(self, words: Words) -> npt.NDArray[np.bool_]:
        """Which of `words` [string] are in the code, bool [string]."""
        rest = words ^ np.uint64(self.offset)
        for pivot, vector in self._echelon:
            rest ^= ((rest >> np.uint64(pivot)) & np.uint64(1)) * np.uint64(vector)
        return rest == 0

    def first_of(self, words: Words) -> int | None:
        """The index of the first of `words` [string] that is in the code; None if none is."""
        begin, length = 0, 1 << 10
        while begin < len(words):
            inside = self.contains(words[begin : begin + length])
            if inside.any():
                return begin + int(inside.argmax())
            begin, length = begin + length, 2 * length
        return None

    @cached_property
    def _echelon(self) -> list[tuple[int, int]]:
        """A basis of the columns' span: highest bit and vector, where no vector has a 1 at an
        earlier one's bit."""
        basis: list[tuple[int, int]] = []
        for column in self.columns:
            rest = column
            for pivot, vector in basis:
                rest ^= ((rest >> pivot) & 1) * vector
            if rest:
                basis.append((rest.bit_length() - 1, rest))
        return basis


def random_code(n_bits: int, rng: np.random.Generator) -> AffineCode:
    """A uniform offset, and n_bits uniform independent columns: all of them reach every string."""
    columns: list[int] = []
    code = AffineCode(_word(rng.integers(0, 2, n_bits)), ())
    while len(columns) < n_bits:
        column = _word(rng.integers(0, 2, n_bits))
        span = AffineCode(0, tuple(columns))
        if not span.contains(np.array([column], np.uint64))[0]:
            columns.append(column)
    return AffineCode(code.offset, tuple(columns))


def tying(label: Sequence[int], minus: Sequence[int] | None = None) -> AffineCode:
    """Weights [bit] of the same label share a free bit, with the other sign where minus is 1.

    Where the label is -1 nothing is free: the weight is -1, or +1 where minus is 1.
    """
    label = np.asarray(label)
    offset = _word(np.zeros(len(label)) if minus is None else minus)
    return AffineCode(offset, tuple(_word(label == one) for one in np.unique(label[label >= 0])))


def random_tying(n_bits: int, k: int, rng: np.random.Generator, *, signs: bool) -> AffineCode:
    """k free bits, each shared by n_bits / k weights at random, rounded up or down.

    With `signs`, every weight is its bit or the opposite, at random.
    """
    label = rng.permutation(np.arange(n_bits) % k)
    return tying(label, rng.integers(0, 2, n_bits) if signs else None)


def _word(bits: npt.ArrayLike) -> int:
    """Bits [bit] as one number, bit 0 the lowest."""
    return sum(1 << i for i, bit in enumerate(np.asarray(bits)) if bit)
