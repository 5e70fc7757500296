"""Packed kernels (numba): the fast forward pass, equal to the plain one in every tie.

Activations are bits. A hidden layer's activations of one row are packed words, and a unit's sum
over its n inputs is n - 2 popcount(h ^ w): the later layers of every network. With sign(0) = 0 an
activation can also be 0, so a second set of words says which are not.

The first layer depends on the data (`Rows.first`):

- PACKED   inputs are all -1 or +1: packed words like any hidden layer
- PATTERN  few real inputs: a unit's weights are one of 2^inputs sign patterns, and the activation
           of every pattern on every row is looked up
- REAL     else: signed sums in float64, from left to right as in the plain pass

Rows that no network of this shape can tell apart are collapsed into one, with counts per class.
"""

import functools
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from qhyper.bits import Words, all_bitstrings, pack
from qhyper.data import Samples
from qhyper.target.loss import LOSSES, LossName, label_losses

PACKED, PATTERN, REAL = 0, 1, 2
MAX_PATTERN_INPUTS = 8
CROSS_ENTROPY, SQUARED_ERROR, ACCURACY = 0, 1, 2
_LOSS_CODES = {
    "cross_entropy": CROSS_ENTROPY,
    "squared_error": SQUARED_ERROR,
    "accuracy": ACCURACY,
}


@dataclass(frozen=True)
class Rows:
    """A data set as a network sees it: distinct rows with the number of samples of each class."""

    first: int
    """PACKED, PATTERN or REAL"""
    words: Words
    """PACKED: inputs, uint64 [word, row]"""
    active: npt.NDArray[np.uint64]
    """PATTERN: 1 where pattern · row counts as +1, [pattern, row]; bit i of the pattern's number
    is the sign of weight i"""
    nonzero: npt.NDArray[np.uint64]
    """PATTERN: 1 where the activation is not 0, [pattern, row]"""
    x: npt.NDArray[np.float64]
    """REAL: inputs [row, input]"""
    counts: npt.NDArray[np.float64]
    """samples of each class, [row, class]; the mean over the data divides by their sum"""

    @property
    def n_rows(self) -> int:
        """Number of distinct rows."""
        return self.counts.shape[0]


def collapse(data: Samples, layers: tuple[int, ...], sign_of_zero: int) -> Rows:
    """The rows of `data` that a network of these `layers` can tell apart, with counts per class."""
    x, n_inputs = data.x, data.x.shape[1]
    has_hidden = len(layers) > 2
    unused = np.zeros((1, 1), dtype=np.uint64)
    words, active, nonzero, real = unused, unused, unused, np.zeros((1, 1))
    if np.isin(x, (-1.0, 1.0)).all():
        first = PACKED
        packed, member = _distinct(pack((x > 0).astype(np.uint8)))
        words = np.ascontiguousarray(packed.T)
    elif has_hidden and n_inputs <= MAX_PATTERN_INPUTS:
        first = PATTERN
        sums = pattern_sums(x)
        plus = (sums >= 0) if sign_of_zero else (sums > 0)
        not_zero = (sums != 0) | bool(sign_of_zero)
        signature = pack(np.concatenate([plus, not_zero], axis=0).T.astype(np.uint8))
        _, index, member = np.unique(_as_keys(signature), return_index=True, return_inverse=True)
        active = np.ascontiguousarray(plus[:, index], dtype=np.uint64)
        nonzero = np.ascontiguousarray(not_zero[:, index], dtype=np.uint64)
    else:
        first = REAL
        real, member = _distinct(x)
    n_rows = int(member.max()) + 1
    counts = np.zeros((n_rows, max(layers[-1], 2)))
    np.add.at(counts, (member.ravel(), data.y), 1)
    return Rows(first, words, active, nonzero, real, counts)


def pattern_sums(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """x · v for every sign pattern v, float64 [2^inputs, row], summed from left to right."""
    n_inputs = x.shape[1]
    patterns = 2.0 * all_bitstrings(n_inputs) - 1.0
    sums = np.zeros((len(patterns), len(x)))
    for i in range(n_inputs):
        sums += patterns[:, i, None] * x[:, i]
    return sums


def _as_keys(rows: npt.NDArray) -> npt.NDArray:
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _distinct(rows: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Distinct rows and, for each row, the number of its distinct one."""
    _, index, member = np.unique(_as_keys(rows + 0), return_index=True, return_inverse=True)
    return np.ascontiguousarray(rows[index]), member


_jit = nb.njit(cache=True, inline="never", error_model="numpy")


@nb.extending.intrinsic
def _popcount(typingctx, word):  # noqa: ANN001, ANN202
    """The number of ones in a uint64: one instruction, which numba has no name for."""

    def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
        return builder.ctpop(args[0])

    return nb.types.uint64(nb.types.uint64), codegen


@_jit
def _pack_unit(bits, start, unit, n_in, n_out, weight):
    """The weights into `unit` of the [n_in, n_out] matrix at bit `start`, as packed words."""
    for word in range(len(weight)):
        weight[word] = 0
    for i in range(n_in):
        weight[i >> 6] |= np.uint64(bits[start + i * n_out + unit]) << np.uint64(i & 63)


@_jit
def _integer_sums(hidden, nonzero, sign_of_zero, n_in, weight, sums):
    """Sums of activations times ±1 weights for every row: (count of nonzero) - 2 popcount."""
    if sign_of_zero == 1:  # no activation is 0
        for row in range(len(sums)):
            sums[row] = n_in
        for word in range(len(weight)):
            for row in range(len(sums)):
                sums[row] -= 2 * np.int64(_popcount(hidden[word, row] ^ weight[word]))
        return
    for row in range(len(sums)):
        sums[row] = 0
    for word in range(len(weight)):
        for row in range(len(sums)):
            live = nonzero[word, row]
            differ = (hidden[word, row] ^ weight[word]) & live
            sums[row] += np.int64(_popcount(live)) - 2 * np.int64(_popcount(differ))


@_jit
def _activate(sums, unit, sign_of_zero, hidden, nonzero):
    """Write the signs of `sums` as bit `unit` of every row."""
    word, shift = unit >> 6, np.uint64(unit & 63)
    for row in range(len(sums)):
        plus = sums[row] > 0 or (sums[row] == 0 and sign_of_zero == 1)
        live = sums[row] != 0 or sign_of_zero == 1
        hidden[word, row] |= np.uint64(plus) << shift
        nonzero[word, row] |= np.uint64(live) << shift


@_jit
def _set_bit(words, values, position):
    """Write 0 or 1 `values` as bit `position` of `words`, which is still 0 there."""
    shift = np.uint64(position)
    for row in range(len(words)):
        words[row] |= values[row] << shift


@_jit
def _real_sums(bits, unit, n_out, x, sums):
    """Signed sums of real inputs for every row, from left to right."""
    for row in range(len(sums)):
        total = 0.0
        for i in range(x.shape[1]):
            total += x[row, i] if bits[i * n_out + unit] else -x[row, i]
        sums[row] = total


@_jit
def _activations(bits, layers, sign_of_zero, first, words, active, nonzero_of, x, space):
    """All layers but the last: (hidden words, nonzero words, bits used) of one draw."""
    hidden, nonzero, next_hidden, next_nonzero, weight, sums, real_sums = space
    n_rows = len(sums)
    n_in, start, begin = layers[0], 0, 0
    if first == PACKED:
        for word in range((n_in + 63) >> 6):
            tail = n_in - 64 * word
            live = ~np.uint64(0) if tail >= 64 else (np.uint64(1) << np.uint64(tail)) - np.uint64(1)
            for row in range(n_rows):
                hidden[word, row] = words[word, row]
                nonzero[word, row] = live
    elif len(layers) > 2:
        begin = 1
        n_out = layers[1]
        hidden[: (n_out + 63) >> 6] = 0
        nonzero[: (n_out + 63) >> 6] = 0
        for unit in range(n_out):
            if first == PATTERN:
                _pack_unit(bits, 0, unit, n_in, n_out, weight[:1])
                pattern = weight[0]
                _set_bit(hidden[unit >> 6], active[pattern], unit & 63)
                if sign_of_zero == 0:
                    _set_bit(nonzero[unit >> 6], nonzero_of[pattern], unit & 63)
            else:
                _real_sums(bits, unit, n_out, x, real_sums)
                _activate(real_sums, unit, sign_of_zero, hidden, nonzero)
        start = n_in * n_out
    for layer in range(begin, len(layers) - 2):
        n_in, n_out = layers[layer], layers[layer + 1]
        used, made = (n_in + 63) >> 6, (n_out + 63) >> 6
        next_hidden[:made] = 0
        next_nonzero[:made] = 0
        for unit in range(n_out):
            _pack_unit(bits, start, unit, n_in, n_out, weight[:used])
            _integer_sums(hidden, nonzero, sign_of_zero, n_in, weight[:used], sums)
            _activate(sums, unit, sign_of_zero, next_hidden, next_nonzero)
        hidden, next_hidden = next_hidden, hidden
        nonzero, next_nonzero = next_nonzero, nonzero
        start += n_in * n_out
    return hidden, nonzero, start


@_jit
def _workspace(layers, n_rows):
    """Buffers of one thread."""
    width = (layers[:-1].max() + 63) >> 6
    return (
        np.zeros((width, n_rows), np.uint64),
        np.zeros((width, n_rows), np.uint64),
        np.zeros((width, n_rows), np.uint64),
        np.zeros((width, n_rows), np.uint64),
        np.zeros(width, np.uint64),
        np.zeros(n_rows, np.int64),
        np.zeros(n_rows, np.float64),
    )


@_jit
def _output_sums(bits, start, unit, layers, sign_of_zero, first, x, hidden, nonzero, space):
    """The logit of output `unit` for every row: integers, or real sums without a hidden layer."""
    weight, sums, real_sums = space[4], space[5], space[6]
    n_in, n_out = layers[-2], layers[-1]
    if len(layers) == 2 and first != PACKED:
        _real_sums(bits, unit, n_out, x, real_sums)
        return
    used = (n_in + 63) >> 6
    _pack_unit(bits, start, unit, n_in, n_out, weight[:used])
    _integer_sums(hidden, nonzero, sign_of_zero, n_in, weight[:used], sums)
    for row in range(len(sums)):
        real_sums[row] = sums[row]


@_jit
def _logits(bits, layers, sign_of_zero, first, words, active, nonzero_of, x, space, out):
    """Logits [row, output] of one draw."""
    hidden, nonzero, start = _activations(
        bits, layers, sign_of_zero, first, words, active, nonzero_of, x, space
    )
    for unit in range(layers[-1]):
        _output_sums(bits, start, unit, layers, sign_of_zero, first, x, hidden, nonzero, space)
        out[:, unit] = space[6]


@_jit
def _two_class_loss(
    bits, layers, sign_of_zero, first, words, active, nonzero_of, x, space, counts, table, margin
):
    """Summed loss of one draw whose loss depends on the difference of its logits alone."""
    hidden, nonzero, start = _activations(
        bits, layers, sign_of_zero, first, words, active, nonzero_of, x, space
    )
    weight, sums = space[4], space[5]
    n_in, n_out = layers[-2], layers[-1]
    used = (n_in + 63) >> 6
    _pack_unit(bits, start, 0, n_in, n_out, weight[:used])
    _integer_sums(hidden, nonzero, sign_of_zero, n_in, weight[:used], sums)
    if n_out == 1:
        margin[:] = sums
    else:
        margin[:] = -sums
        _pack_unit(bits, start, 1, n_in, n_out, weight[:used])
        _integer_sums(hidden, nonzero, sign_of_zero, n_in, weight[:used], sums)
        margin += sums
    return _look_up(margin, 2 * n_in, counts, table)


@nb.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _look_up(margin, zero, counts, table):
    """Σ over rows and labels of count times loss at the row's margin, in any order of summing."""
    total = 0.0
    for row in range(len(margin)):
        z = np.uint64(margin[row] + zero)
        total += counts[row, 0] * table[z, 0] + counts[row, 1] * table[z, 1]
    return total


@_jit
def _label_loss_sum(logits, counts, code):
    """Σ over rows and labels of count times loss; the formulas of `loss.label_losses`."""
    n_classes = logits.shape[1]
    total = 0.0
    for row in range(len(logits)):
        z = logits[row]
        best = 0
        for c in range(1, n_classes):
            if z[c] > z[best]:
                best = c
        if code == ACCURACY:
            for c in range(n_classes):
                if c != best:
                    total += counts[row, c]
            continue
        normaliser, squares = 0.0, 0.0
        for c in range(n_classes):
            exponential = np.exp(z[c] - z[best])
            normaliser += exponential
            squares += exponential * exponential
        for c in range(n_classes):
            if code == CROSS_ENTROPY:
                value = np.log(normaliser) - (z[c] - z[best])
            else:
                p = np.exp(z[c] - z[best]) / normaliser
                value = squares / normaliser**2 - 2 * p + 1
            total += counts[row, c] * value
    return total


_CHUNK = 64
"""Draws that a thread takes at a time; few draws are not worth waking threads for."""

_parallel = nb.njit(parallel=True, cache=True, error_model="numpy")


@_parallel
def _two_class_losses(
    bits, layers, sign_of_zero, first, words, active, nonzero_of, x, counts, table, total, out
):
    for chunk in nb.prange((len(bits) + _CHUNK - 1) // _CHUNK):
        space = _workspace(layers, len(counts))
        margin = np.zeros(len(counts), np.int64)
        for draw in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(bits))):
            out[draw] = (
                _two_class_loss(
                    bits[draw], layers, sign_of_zero, first, words, active, nonzero_of, x, space,
                    counts, table, margin,
                )
                / total
            )  # fmt: skip


@_parallel
def _many_class_losses(
    bits, layers, sign_of_zero, first, words, active, nonzero_of, x, counts, code, total, out
):
    for chunk in nb.prange((len(bits) + _CHUNK - 1) // _CHUNK):
        space = _workspace(layers, len(counts))
        logits = np.zeros((len(counts), counts.shape[1]))
        last = logits[:, counts.shape[1] - layers[-1] :]
        for draw in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(bits))):
            _logits(
                bits[draw], layers, sign_of_zero, first, words, active, nonzero_of, x, space, last
            )
            out[draw] = _label_loss_sum(logits, counts, code) / total


@_parallel
def _all_logits(bits, layers, sign_of_zero, first, words, active, nonzero_of, x, n_rows, out):
    for chunk in nb.prange((len(bits) + _CHUNK - 1) // _CHUNK):
        space = _workspace(layers, n_rows)
        for draw in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(bits))):
            _logits(
                bits[draw], layers, sign_of_zero, first, words, active, nonzero_of, x, space,
                out[draw],
            )  # fmt: skip


class PackedNetwork:
    """The packed forward pass of one network shape on one data set."""

    def __init__(self, layers: tuple[int, ...], rows: Rows, sign_of_zero: int) -> None:
        self.rows = rows
        self._total = rows.counts.sum()
        self._layers = np.array(layers, dtype=np.int64)
        self._sign_of_zero = sign_of_zero

    def logits(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Logits float64 [draw, row, output] of weights uint8 [draw, n_bits]."""
        out = np.empty((len(bits), self.rows.n_rows, self._layers[-1]))
        _all_logits(
            bits, self._layers, self._sign_of_zero, *self._first_layer(), self.rows.n_rows, out
        )
        return out

    def losses(self, bits: npt.NDArray[np.uint8], loss: LossName) -> npt.NDArray[np.float64]:
        """Mean loss over the data, float64 [draw], of weights uint8 [draw, n_bits]."""
        out = np.empty(len(bits))
        counts, total = self.rows.counts, self._total
        if self._two_class_integers:
            _two_class_losses(
                bits, self._layers, self._sign_of_zero, *self._first_layer(),
                counts, self._table(loss), total, out,
            )  # fmt: skip
        else:
            _many_class_losses(
                bits, self._layers, self._sign_of_zero, *self._first_layer(),
                counts, _LOSS_CODES[loss], total, out,
            )  # fmt: skip
        return out

    @property
    def _two_class_integers(self) -> bool:
        """Whether the loss is a function of one integer: the difference of two packed logits."""
        packed = len(self._layers) > 2 or self.rows.first == PACKED
        return packed and self._layers[-1] <= 2

    @functools.lru_cache(maxsize=len(LOSSES))  # noqa: B019 (as long-lived as the network)
    def _table(self, loss: LossName) -> npt.NDArray[np.float64]:
        """Loss for each label of logits (0, z), for every integer z from -2n to 2n, [z, class]."""
        width = 2 * int(self._layers[-2])
        return label_losses(np.arange(-width, width + 1)[:, None], loss)

    def _first_layer(self) -> tuple:
        rows = self.rows
        return rows.first, rows.words, rows.active, rows.nonzero, rows.x
