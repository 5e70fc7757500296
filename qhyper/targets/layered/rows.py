"""Rows: a data set as a network sees it, with rows that it cannot tell apart counted as one.

The first layer depends on the data (`Rows.first`):

- PACKED   inputs are all -1 or +1: packed words like any hidden layer
- PATTERN  few real inputs: a unit's weights are one of 2^inputs sign patterns, and the activation
           of every pattern on every row is looked up
- REAL     else: signed sums in float64, from left to right as in the plain pass
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qhyper.bits import Words, all_bitstrings, pack
from qhyper.data.samples import Samples
from qhyper.targets.layered.space import WeightSpace

PACKED, PATTERN, REAL = 0, 1, 2
MAX_PATTERN_INPUTS = 8
UNITS_TRIED = 1024
"""Units by which `first_signs` looks at rows, where there are more."""


@dataclass(frozen=True)
class Rows:
    """A data set as a network sees it: distinct rows with the number of samples of each class."""

    first: int
    """PACKED, PATTERN or REAL"""
    words: Words
    """PACKED: inputs, uint64 [word, row]"""
    signs: npt.NDArray[np.int8]
    """PATTERN: activations -1, 0 or +1 of every pattern, [pattern, row]; bit i of a pattern's
    number is the sign of weight i"""
    x: npt.NDArray[np.float64]
    """REAL: inputs [row, input]"""
    counts: npt.NDArray[np.float64]
    """samples of each class, [row, class]; the mean over the data divides by their sum"""
    member: npt.NDArray[np.intp]
    """the row of each sample, [sample]"""

    @property
    def n_rows(self) -> int:
        """Number of distinct rows."""
        return self.counts.shape[0]

    def take(self, samples: npt.NDArray[np.integer], labels: npt.NDArray[np.integer]) -> "Rows":
        """Only these samples [row] of the data, with labels [row], each a row of its own."""
        row, index = self.member[samples], np.arange(len(samples))
        counts = np.zeros((len(row), self.counts.shape[1]))
        counts[index, labels] = 1
        taken = replace(self, counts=counts, member=index)
        if self.first == PACKED:
            return replace(taken, words=np.ascontiguousarray(self.words[:, row]))
        if self.first == PATTERN:
            return replace(taken, signs=np.ascontiguousarray(self.signs[:, row]))
        return replace(taken, x=self.x[row])


def collapse(data: Samples, layers: tuple[int, ...], sign_of_zero: int) -> Rows:
    """The rows of `data` that a network of these `layers` can tell apart, with counts per class."""
    x, n_inputs = data.x, data.x.shape[1]
    has_hidden = len(layers) > 2
    words = np.zeros((1, 1), dtype=np.uint64)
    signs = np.zeros((1, 1), dtype=np.int8)
    real = np.zeros((1, 1))
    if np.isin(x, (-1.0, 1.0)).all():
        first = PACKED
        packed, member = _distinct(pack((x > 0).astype(np.uint8)))
        words = np.ascontiguousarray(packed.T)
    elif has_hidden and n_inputs <= MAX_PATTERN_INPUTS:
        first = PATTERN
        signs, member = _distinct_patterns(x, sign_of_zero)
    else:
        first = REAL
        real, member = _distinct(x)
    counts = _count(member, data.y, max(layers[-1], 2))
    return Rows(first, words, signs, real, counts, member.ravel())


def collapse_real(data: Samples, space: WeightSpace, sign_of_zero: int) -> Rows:
    """The rows of `data` that a network of this space can tell apart, with their real inputs.

    Where all hidden units are signs, these are rows that some unit of the first layer tells apart;
    else rows that are not the same.
    """
    real, member = _distinct(data.x)
    inputs, outputs = data.x.shape[1], space.layers[-1]
    signs = space.activation == ("sign",) and len(space.layers) > 2
    if signs and "layers" not in space.optional and inputs <= MAX_PATTERN_INPUTS:
        first = WeightSpace((inputs, 1), biases=space.biases, values=space.values)
        units = first.decode(all_bitstrings(first.n_bits))
        with_bias = [True, False] if "biases" in space.optional else [space.biases]
        seen = np.empty((len(real), len(with_bias), len(units.activation)), np.int8)
        for unit, weight in enumerate(units.weights[0][..., 0]):  # one at a time, to save memory
            total = np.zeros(len(real))
            for i, of_input in enumerate(weight):
                total += real[:, i] * of_input
            for k, bias in enumerate(with_bias):
                z = total + units.biases[0][unit, 0] if bias else total
                seen[:, k, unit] = np.where(z == 0, sign_of_zero, np.sign(z))
        _, index, of_row = np.unique(
            _as_keys(seen.reshape(len(real), -1)), return_index=True, return_inverse=True
        )
        real, member = np.ascontiguousarray(real[index]), of_row.ravel()[member.ravel()]
    none = np.zeros((1, 1))
    counts = _count(member, data.y, max(outputs, 2))
    return Rows(REAL, none.astype(np.uint64), none.astype(np.int8), real, counts, member.ravel())


def first_signs(
    x: npt.NDArray[np.float64], space: WeightSpace, sign_of_zero: int
) -> npt.NDArray[np.int8]:
    """Signs of units of the first layer on rows x [row, input]: int8 [row, unit].

    They are all the units that there can be, or 1,024 drawn uniformly, always the same ones. Sums
    are rounded otherwise than in the plain pass: ties are not what this is for.
    """
    optional = tuple(part for part in space.optional if part == "biases")
    of_one = WeightSpace(
        (space.layers[0], 1), biases=space.biases, values=space.values, optional=optional
    )
    if 1 << of_one.n_bits <= UNITS_TRIED:
        bits = all_bitstrings(of_one.n_bits)
    else:
        shape = (UNITS_TRIED, of_one.n_bits)
        bits = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8)
    units = of_one.decode(bits)
    sums = x @ units.weights[0][..., 0].T + units.biases[0][..., 0]
    return np.where(sums == 0, sign_of_zero, np.sign(sums)).astype(np.int8)


def collapse_patterns(
    data: Samples, sign_of_zero: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Rows as two classes and few inputs see them, whatever the inputs: `signs` and `counts`.

    They are what `Rows` says of PATTERN: int8 [pattern, row] and float64 [row, 2].
    """
    signs, member = _distinct_patterns(data.x, sign_of_zero)
    return signs, _count(member, data.y, 2)


def _distinct_patterns(
    x: npt.NDArray[np.float64], sign_of_zero: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray]:
    """Signs of x · v for every sign pattern v, summed from left to right, of distinct rows.

    Returns int8 [2^inputs, distinct row] and, for each row, the number of its distinct one.
    """
    n_inputs = x.shape[1]
    signs = np.empty((1 << n_inputs, len(x)), dtype=np.int8)
    for pattern, bits in enumerate(all_bitstrings(n_inputs)):  # one at a time, to save memory
        sums = np.zeros(len(x))
        for i in range(n_inputs):
            sums += x[:, i] if bits[i] else -x[:, i]
        signs[pattern] = np.where(sums == 0, sign_of_zero, np.sign(sums))
    distinct, member = _distinct(signs.T)
    return np.ascontiguousarray(distinct.T), member


def _count(member: npt.NDArray, labels: npt.NDArray, n_classes: int) -> npt.NDArray[np.float64]:
    """Samples of each class in each distinct row, [row, class]."""
    counts = np.zeros((int(member.max()) + 1, n_classes))
    np.add.at(counts, (member.ravel(), labels), 1)
    return counts


def _as_keys(rows: npt.NDArray) -> npt.NDArray:
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _distinct(rows: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Distinct rows and, for each row, the number of its distinct one."""
    _, index, member = np.unique(_as_keys(rows + 0), return_index=True, return_inverse=True)
    return np.ascontiguousarray(rows[index]), member
