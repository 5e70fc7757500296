"""The packed kernel (numba): the fast forward pass, equal to the plain one in every tie.

Networks of one shape are given by draws of bits, on the rows of a data set that they can tell
apart (`rows.py`): what `compare` and training spend their time on. A layer counts bits that differ,
as those of networks that stay packed do (`popcount.py`), but the first may see real inputs, and
with sign(0) = 0 an activation can also be 0, so a second set of words says which are not.
"""

import functools
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from qhyper.bits import Words
from qhyper.machine import njit
from qhyper.targets.layered.rows import PACKED, PATTERN, Rows
from qhyper.targets.loss import SAME_LOGIT, LossName, is_by_row, label_losses, mean_losses
from qhyper.targets.packed.popcount import count_differing, popcount
from qhyper.threads import in_threads

MAX_TABLE = 2**20
"""Entries of a table of losses by row and margin, at most."""
_LOGITS = 2**22
"""Logits that are held together, where the loss is computed from them."""
CROSS_ENTROPY, SQUARED_ERROR, ACCURACY = 0, 1, 2
_LOSS_CODES = {
    "cross_entropy": CROSS_ENTROPY,
    "squared_error": SQUARED_ERROR,
    "accuracy": ACCURACY,
}


class Kernel(Protocol):
    """A network on the rows of a data set, for many bitstrings at once."""

    def logits(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Logits float64 [draw, row, output] of bits uint8 [draw, n_bits]."""
        ...

    def losses(self, bits: npt.NDArray[np.uint8], loss: LossName) -> npt.NDArray[np.float64]:
        """Mean loss over the data, float64 [draw], of bits uint8 [draw, n_bits]."""
        ...


def losses_by_logits(
    kernel: Kernel, bits: npt.NDArray[np.uint8], loss: LossName, rows: Rows, n_out: int
) -> npt.NDArray[np.float64]:
    """`Kernel.losses` of any loss, by the logits of some draws at a time."""
    out = np.empty(len(bits))
    if not is_by_row(loss, rows.counts.shape[1]):
        row, labels = _samples(rows)
        together = max(1, _LOGITS // (len(row) * n_out))  # every sample has logits of its own
        for first in range(0, len(bits), together):
            some = slice(first, first + together)
            out[some] = mean_losses(kernel.logits(bits[some])[:, row], labels, loss)
        return out
    together = max(1, _LOGITS // (rows.n_rows * n_out))
    for first in range(0, len(bits), together):
        some = slice(first, first + together)
        of_label = label_losses(kernel.logits(bits[some]), loss)  # [draw, row, class]
        out[some] = np.einsum("drc,rc->d", of_label, rows.counts)
    return out / rows.counts.sum()


def _samples(rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The row of each sample of the data, and its label, both [sample], in any order."""
    row, label = np.nonzero(rows.counts)
    times = rows.counts[row, label].astype(np.int64)
    return np.repeat(row, times), np.repeat(label, times)


class _Net(NamedTuple):
    """What a kernel needs to know of a network and its rows, besides the weights."""

    layers: npt.NDArray[np.int64]
    sign_of_zero: int
    packed: bool
    pattern: bool
    words: Words
    signs: npt.NDArray[np.int8]
    x: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]


_jit = njit(error_model="numpy")
_part = njit(error_model="numpy", forceinline=True)


@_jit
def _clear(words, n_units):
    for word in range((n_units + 63) >> 6):
        for row in range(words.shape[1]):
            words[word, row] = 0


@_jit
def _pack_unit(bits, start, unit, n_in, n_out, weight):
    """The weights into `unit` of the [n_in, n_out] matrix at bit `start`, as packed words."""
    at = start + unit
    for word in range((n_in + 63) >> 6):
        packed = np.uint64(0)
        for i in range(min(64, n_in - 64 * word)):
            packed |= np.uint64(bits[at]) << np.uint64(i)
            at += n_out
        weight[word] = packed


@_part
def _integer_sums(hidden, nonzero, sign_of_zero, n_in, weight, sums):
    """Sums of activations times ±1 weights for every row: (count of nonzero) - 2 popcount."""
    for row in range(len(sums)):
        sums[row] = 0
    n_words = (n_in + 63) >> 6
    if sign_of_zero == 1:  # no activation is 0
        count_differing(hidden, weight[:n_words], np.uint64(0), sums)
        for row in range(len(sums)):
            sums[row] = n_in - 2 * sums[row]
        return
    for word in range(n_words):
        for row in range(len(sums)):
            live = nonzero[word, row]
            differ = (hidden[word, row] ^ weight[word]) & live
            sums[row] += np.int64(popcount(live)) - 2 * np.int64(popcount(differ))


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
def _real_sums(bits, unit, n_out, x, sums):
    """Signed sums of real inputs for every row, from left to right."""
    for row in range(len(sums)):
        total = 0.0
        for i in range(x.shape[1]):
            total += x[row, i] if bits[i * n_out + unit] else -x[row, i]
        sums[row] = total


@_jit
def _activations(bits, net, buffers):
    """All layers but the last: (hidden words, nonzero words, bits used) of one draw."""
    hidden, nonzero, next_hidden, next_nonzero, weight, sums, real_sums = buffers
    layers, sign_of_zero, n_rows = net.layers, net.sign_of_zero, len(sums)
    n_in, start, begin = layers[0], 0, 0
    if net.packed:
        for word in range((n_in + 63) >> 6):
            tail = n_in - 64 * word
            live = ~np.uint64(0) if tail >= 64 else (np.uint64(1) << np.uint64(tail)) - np.uint64(1)
            for row in range(n_rows):
                hidden[word, row] = net.words[word, row]
                nonzero[word, row] = live
    elif len(layers) > 2:
        begin = 1
        n_out = layers[1]
        _clear(hidden, n_out)
        _clear(nonzero, n_out)
        for unit in range(n_out):
            if net.pattern:
                _pack_unit(bits, 0, unit, n_in, n_out, weight)
                pattern = weight[0]
                _activate(net.signs[pattern], unit, sign_of_zero, hidden, nonzero)
            else:
                _real_sums(bits, unit, n_out, net.x, real_sums)
                _activate(real_sums, unit, sign_of_zero, hidden, nonzero)
        start = n_in * n_out
    for layer in range(begin, len(layers) - 2):
        n_in, n_out = layers[layer], layers[layer + 1]
        _clear(next_hidden, n_out)
        _clear(next_nonzero, n_out)
        for unit in range(n_out):
            _pack_unit(bits, start, unit, n_in, n_out, weight)
            _integer_sums(hidden, nonzero, sign_of_zero, n_in, weight, sums)
            _activate(sums, unit, sign_of_zero, next_hidden, next_nonzero)
        hidden, next_hidden = next_hidden, hidden
        nonzero, next_nonzero = next_nonzero, nonzero
        start += n_in * n_out
    return hidden, nonzero, start


@_jit
def _new_buffers(net):
    """Buffers of one thread: two sets of hidden words, packed weights, and sums of a unit."""
    n_rows, width = len(net.counts), (net.layers[:-1].max() + 63) >> 6
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
def _output_sums(bits, start, unit, net, hidden, nonzero, buffers):
    """The logit of output `unit` for every row: integers, or real sums without a hidden layer."""
    weight, sums, real_sums = buffers[4], buffers[5], buffers[6]
    n_in, n_out = net.layers[-2], net.layers[-1]
    if len(net.layers) == 2 and not net.packed:
        _real_sums(bits, unit, n_out, net.x, real_sums)
        return
    _pack_unit(bits, start, unit, n_in, n_out, weight)
    _integer_sums(hidden, nonzero, net.sign_of_zero, n_in, weight, sums)
    for row in range(len(sums)):
        real_sums[row] = sums[row]


@_jit
def _logits(bits, net, buffers, out):
    """Logits [row, output] of one draw."""
    hidden, nonzero, start = _activations(bits, net, buffers)
    for unit in range(net.layers[-1]):
        _output_sums(bits, start, unit, net, hidden, nonzero, buffers)
        for row in range(len(out)):  # a slice assigned takes seconds to compile
            out[row, unit] = buffers[6][row]


@_jit
def _two_class_loss(bits, net, buffers, table, margin):
    """Summed loss of one draw whose loss depends on the difference of its logits alone."""
    hidden, nonzero, start = _activations(bits, net, buffers)
    weight, sums = buffers[4], buffers[5]
    n_in, n_out = net.layers[-2], net.layers[-1]
    _pack_unit(bits, start, 0, n_in, n_out, weight)
    _integer_sums(hidden, nonzero, net.sign_of_zero, n_in, weight, sums)
    sign = 1 if n_out == 1 else -1  # the margin is logit 1 minus logit 0
    for row in range(len(margin)):
        margin[row] = sign * sums[row]
    if n_out == 2:
        _pack_unit(bits, start, 1, n_in, n_out, weight)
        _integer_sums(hidden, nonzero, net.sign_of_zero, n_in, weight, sums)
        for row in range(len(margin)):
            margin[row] += sums[row]
    return _look_up(margin, 2 * n_in, net.counts, table)


# inlined, or the order of summing would depend on numba's cache (see `mps` of the simulators)
@njit(error_model="numpy", fastmath={"reassoc", "contract"}, forceinline=True)
def _look_up(margin, zero, counts, table):
    """Σ over rows and labels of count times loss at the row's margin, in any order of summing."""
    total = 0.0
    for row in range(len(margin)):
        z = np.uint64(margin[row] + zero)
        total += counts[row, 0] * table[z, 0] + counts[row, 1] * table[z, 1]
    return total


@_jit
def _label_loss_sum(logits, counts, code, tie):
    """Σ over rows and labels of count times loss; the formulas of `loss.label_losses`.

    The class of a row is the lowest whose logit is at most `tie` below the largest.
    """
    n_classes = logits.shape[1]
    total = 0.0
    for row in range(len(logits)):
        z = logits[row]
        top = z[0]
        for c in range(1, n_classes):
            top = max(top, z[c])
        if code == ACCURACY:
            predicted = 0
            while z[predicted] < top - tie:
                predicted += 1
            for c in range(n_classes):
                if c != predicted:
                    total += counts[row, c]
            continue
        normaliser, squares = 0.0, 0.0
        for c in range(n_classes):
            exponential = np.exp(z[c] - top)
            normaliser += exponential
            squares += exponential * exponential
        for c in range(n_classes):
            if code == CROSS_ENTROPY:
                value = np.log(normaliser) - (z[c] - top)
            else:
                p = np.exp(z[c] - top) / normaliser
                value = squares / normaliser**2 - 2 * p + 1
            total += counts[row, c] * value
    return total


_FEW = 4096
"""Fewer draws than this are not worth waking a thread for."""
_threaded = njit(error_model="numpy", nogil=True)


@_threaded
def _two_class_losses(first_draw, last_draw, bits, net, table, out):
    buffers = _new_buffers(net)
    margin = np.zeros(len(net.counts), np.int64)
    for draw in range(first_draw, last_draw):
        out[draw] = _two_class_loss(bits[draw], net, buffers, table, margin)


@_threaded
def _pattern_losses(first_draw, last_draw, bits, net, table, out):
    """The case that the project is named for: few real inputs, one hidden layer, two classes.

    A row's margin is Σ over units of (w_1 - w_0) times the activation of the unit's pattern, and
    `table` holds its loss, all rows after one another, each from the lowest margin to the highest.
    """
    n_in, hidden, n_out = net.layers[0], net.layers[1], net.layers[2]
    signs, n_rows = net.signs, len(net.counts)
    at = np.zeros(n_rows, np.int32)  # where the row's margin stands in the table
    even = n_rows - n_rows % 4
    for draw in range(first_draw, last_draw):
        for row in range(n_rows):
            at[row] = row * (4 * hidden + 1) + 2 * hidden
        for unit in range(hidden):
            output = n_in * hidden + unit * n_out
            factor = 2 * np.int32(bits[draw, output]) - 1
            if n_out == 2:
                factor = 2 * np.int32(bits[draw, output + 1]) - 1 - factor
            if factor == 0:
                continue
            pattern = 0
            for i in range(n_in):
                pattern |= np.int64(bits[draw, i * hidden + unit]) << i
            for row in range(n_rows):
                at[row] += np.int32(factor * signs[pattern, row])
        # four sums: the additions of one would each wait for the one before
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for row in range(0, even, 4):
            a += table[np.uint64(at[row])]
            b += table[np.uint64(at[row + 1])]
            c += table[np.uint64(at[row + 2])]
            d += table[np.uint64(at[row + 3])]
        for row in range(even, n_rows):
            a += table[np.uint64(at[row])]
        out[draw] = (a + b) + (c + d)


@_threaded
def _many_class_losses(first_draw, last_draw, bits, net, how, out):
    code, tie = how
    buffers = _new_buffers(net)
    logits = np.zeros((len(net.counts), net.counts.shape[1]))
    # one output stands for the logits (0, z)
    outputs = logits[:, logits.shape[1] - net.layers[-1] :]
    for draw in range(first_draw, last_draw):
        _logits(bits[draw], net, buffers, outputs)
        out[draw] = _label_loss_sum(logits, net.counts, code, tie)


@_threaded
def _all_logits(first_draw, last_draw, bits, net, out):
    buffers = _new_buffers(net)
    for draw in range(first_draw, last_draw):
        _logits(bits[draw], net, buffers, out[draw])


class PackedKernel:
    """The packed forward pass of one network shape on one data set."""

    def __init__(self, layers: tuple[int, ...], rows: Rows, sign_of_zero: int) -> None:
        self.rows = rows
        self._samples = rows.counts.sum()
        self._net = _Net(
            np.array(layers, dtype=np.int64), sign_of_zero,
            rows.first == PACKED, rows.first == PATTERN,
            rows.words, rows.signs, rows.x, rows.counts,
        )  # fmt: skip
        n_in, n_out = layers[-2:]
        # with two classes and packed logits, the loss is a function of one integer
        self._by_margin = n_out <= 2 and (len(layers) > 2 or rows.first == PACKED)
        fits = rows.n_rows * (4 * n_in + 1) <= MAX_TABLE
        self._by_row = self._by_margin and rows.first == PATTERN and len(layers) == 3 and fits
        self._hows: dict[LossName, tuple[Any, Any]] = {}

    def logits(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Logits float64 [draw, row, output] of weights uint8 [draw, n_bits]."""
        out = np.empty((len(bits), self.rows.n_rows, self._net.layers[-1]))
        in_threads(_all_logits, len(bits), bits, self._net, out, at_least=_FEW)
        return out

    def losses(self, bits: npt.NDArray[np.uint8], loss: LossName) -> npt.NDArray[np.float64]:
        """Mean loss over the data, float64 [draw], of weights uint8 [draw, n_bits]."""
        if loss not in _LOSS_CODES:
            return losses_by_logits(self, bits, loss, self.rows, int(self._net.layers[-1]))
        if loss not in self._hows:
            self._hows[loss] = self._how(loss)
        kernel, how = self._hows[loss]
        out = np.empty(len(bits))
        in_threads(kernel, len(bits), bits, self._net, how, out, at_least=_FEW)
        return out / self._samples

    def _how(self, loss: LossName) -> tuple[Any, Any]:
        """The kernel of a loss, with its table, or its code and how near logits are a tie."""
        if not self._by_margin:
            return _many_class_losses, (_LOSS_CODES[loss], SAME_LOGIT)
        table = _margin_table(int(self._net.layers[-2]), loss)
        if self._by_row:
            return _pattern_losses, (self.rows.counts @ table.T).ravel()
        return _two_class_losses, table


@functools.cache
def _margin_table(n_in: int, loss: LossName) -> npt.NDArray[np.float64]:
    """The loss of each label at every margin from -2 n_in to 2 n_in, [margin, label]."""
    return label_losses(np.arange(-2 * n_in, 2 * n_in + 1)[:, None], loss)
