"""What every single flip of a weight would do to the loss: exact differences, all at once.

The network has one hidden layer of signs and is packed. All but one bit stay as they are:

- a weight of the last layer moves one class's sum by 2, up where it differs from its unit and
  down where it agrees;
- a weight of the first layer moves its unit's sum by 2, and that matters only on rows at the
  unit's edge: where the weights differ from as many inputs as they may (one more makes it -1), or
  from one more than that (one less makes it +1). There, the unit moves every class's sum by 2.

So a row and a unit have two numbers, the change of the row's loss if a weight that agrees with its
input is flipped, and if one that differs is. A bit's difference is their sum over the rows.
"""

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array
from qhyper.bits import Words
from qhyper.errors import ConfigurationError
from qhyper.machine import njit
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.popcount import popcount
from qhyper.targets.packed.shape import PackedShape
from qhyper.threads import in_threads

MIN_SCALE = 0.01
"""Below, exponentials of 2 / scale come near to overflowing."""
_TOGETHER = 2048
"""Rows whose changes are held together."""
_TILE = 128
"""Rows that go through the hidden layer together, in the cache."""


def flip_differences(
    shape: PackedShape,
    words: Words,
    inputs: PackedInputs,
    labels: npt.ArrayLike,
    scale: float = 1.0,
) -> tuple[float, list[npt.NDArray[np.float64]]]:
    """The mean loss, and L(bit flipped) - L of every bit, all others held.

    The loss of a row is the cross-entropy of softmax(sums / scale), where the sums are those of
    `qhyper.targets.packed`. `words` uint64 [word] is one network, `labels` are classes [row].
    The differences are float64 [unit, input], one matrix a layer as `PackedShape.unpack` has them.
    They are exact but for rounding, and the same for any number of threads.

    Raises ConfigurationError unless there is one hidden layer, two classes or more, a scale of at
    least MIN_SCALE, and words, inputs (of one plane) and labels that fit the shape.
    """
    first, last, truth = checked_arguments(shape, words, inputs, labels, scale)
    n_inputs, n_hidden, n_classes = shape.layers
    table = np.exp(-2 * np.arange(n_hidden + 1) / scale)
    loss = 0.0
    of_first = np.zeros((n_hidden, 64 * first.shape[1]))
    of_last = np.zeros((n_classes, 64 * last.shape[1]))
    for begin in range(0, len(inputs), _TOGETHER):
        some = slice(begin, begin + _TOGETHER)
        x, of_rows = np.ascontiguousarray(inputs.words[0, :, some]), truth[some]
        n_rows = len(of_rows)
        hidden = np.empty((last.shape[1], n_rows), np.uint64)
        losses = np.empty(n_rows)
        lines = (
            -(-n_rows // 8) | 1
        )  # an odd number of cache lines, or units would share their place
        agree, differ = np.empty((2, n_hidden + n_classes, 8 * lines))
        in_threads(
            _changes, -(-n_rows // _TILE), x, first, last, n_inputs // 2, of_rows, table,
            float(scale), hidden, losses, agree, differ,
        )  # fmt: skip
        in_threads(
            _differences, n_hidden + n_classes, x, first, hidden, last, agree, differ, of_first,
            of_last,
        )  # fmt: skip
        loss += losses.sum()
    rows = len(inputs)
    return float(loss / rows), [of_first[:, :n_inputs] / rows, of_last[:, :n_hidden] / rows]


def checked_arguments(
    shape: PackedShape, words: Words, inputs: PackedInputs, labels: npt.ArrayLike, scale: float
) -> tuple[Words, Words, npt.NDArray[np.int64]]:
    """Weights of the first and the last layer, uint64 [unit, word], and labels, all checked."""
    if len(shape.layers) != 3 or shape.layers[-1] < 2:
        raise ConfigurationError(
            f"Differences of flips are known for one hidden layer and two classes or more; got "
            f"layers {shape.layers}. Choose three sizes, such as (784, 128, 10)."
        )
    shape.check(words)
    if words.ndim != 1:
        raise ConfigurationError(
            f"Got words of shape {words.shape}; expected [word], those of one network."
        )
    if inputs.planes != 1 or inputs.n_inputs != shape.layers[0]:
        raise ConfigurationError(
            f"Got {inputs.n_inputs} inputs a row of {inputs.planes} planes; expected "
            f"{shape.layers[0]} bits, as `pack_bits` packs them."
        )
    truth, n_classes = as_array(labels, "labels", "classes, one a row"), shape.layers[-1]
    whole = truth.shape == (len(inputs),) and truth.dtype.kind in "iu"
    if not whole or not len(truth) or truth.min() < 0 or truth.max() >= n_classes:
        raise ConfigurationError(
            f"Got labels of {truth.dtype} and shape {truth.shape}; expected whole numbers from 0 "
            f"to {n_classes - 1}, one for each of {len(inputs)} rows."
        )
    if not MIN_SCALE <= scale < np.inf:
        raise ConfigurationError(
            f"scale divides the sums: a finite number of at least {MIN_SCALE}; got {scale}."
        )
    weights, at = [], 0
    for n_out, n_in in shape.matrices:
        size = -(-n_in // 64)
        of_layer = words[at : at + n_out * size].reshape(n_out, size)
        weights.append(np.ascontiguousarray(of_layer))
        at += n_out * size
    return weights[0], weights[1], truth.astype(np.int64)


_jit = njit(error_model="numpy", nogil=True)
# inlined, or rounding would depend on numba's cache (see `mps` of the simulators)
_part = njit(error_model="numpy", forceinline=True)


@_part
def _count_differing(x, weight, count):
    """How many inputs of x [word, row] differ from a unit's weights, of every row of a tile."""
    n_words = x.shape[0]
    fours = n_words - n_words % 4
    count[:] = 0
    for j in range(0, fours, 4):  # four words together halve the time
        w0, w1, w2, w3 = weight[j], weight[j + 1], weight[j + 2], weight[j + 3]
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        for r in range(_TILE):
            count[r] += (popcount(x0[r] ^ w0) + popcount(x1[r] ^ w1)) + (
                popcount(x2[r] ^ w2) + popcount(x3[r] ^ w3)
            )
    for j in range(fours, n_words):
        of_weight, of_rows = weight[j], x[j]
        for r in range(_TILE):
            count[r] += popcount(of_rows[r] ^ of_weight)


@_jit
def _changes(
    begin, end, x, first, last, limit, labels, table, scale, hidden, losses, agree, differ
):
    """Losses, hidden units, and changes [unit, row] of the loss, of the rows of some tiles.

    x [word, row]; first, last [unit, word]; table[k] = exp(-2 k / scale). Writes hidden
    [word, row], losses [row], and in agree and differ the hidden units' changes, then the classes'.
    """
    n_words, n_rows = x.shape
    n_hidden, n_classes, n_hidden_words = len(first), len(last), len(hidden)
    tile = np.zeros((n_words, _TILE), np.uint64)
    count = np.empty(_TILE, np.uint64)
    units = np.empty((n_hidden_words, _TILE), np.uint64)
    edges = np.empty((n_hidden_words, _TILE), np.uint64)
    sums = np.empty(n_classes, np.int64)
    e = np.empty(n_classes)
    up, down = np.exp(2 / scale), np.exp(-2 / scale)
    most, more, none, one = np.uint64(limit), np.uint64(limit + 1), np.uint64(0), np.uint64(1)
    for number in range(begin, end):
        start = number * _TILE
        size = min(_TILE, n_rows - start)
        for word in range(n_words):  # a slice assigned takes seconds to compile
            for r in range(size):
                tile[word, r] = x[word, start + r]
        for word in range(n_hidden_words):
            units[word] = 0
            edges[word] = 0
            for k in range(min(64, n_hidden - 64 * word)):
                _count_differing(tile, first[64 * word + k], count)
                bit = one << np.uint64(k)
                for r in range(_TILE):
                    at_edge = (count[r] == most) | (count[r] == more)
                    units[word, r] |= bit if count[r] <= most else none
                    edges[word, r] |= bit if at_edge else none
        for word in range(n_hidden_words):
            for r in range(size):
                hidden[word, start + r] = units[word, r]
        for r in range(size):
            row, label = start + r, labels[start + r]
            for c in range(n_classes):
                differing = none
                for word in range(n_hidden_words):
                    differing += popcount(units[word, r] ^ last[c, word])
                sums[c] = n_hidden - 2 * np.int64(differing)
            top = sums.max()
            total = 0.0
            for c in range(n_classes):
                e[c] = table[(top - sums[c]) >> 1]
                total += e[c]
            log_total = np.log(total)
            losses[row] = log_total + (top - sums[label]) / scale
            for c in range(n_classes):
                others = 0.0  # not total - e[c]: that cancels where one class outweighs the rest
                for other in range(n_classes):
                    others += 0.0 if other == c else e[other]
                of_label = 2 / scale if c == label else 0.0
                agree[n_hidden + c, row] = np.log(others + e[c] * down) - log_total + of_label
                differ[n_hidden + c, row] = np.log(others + e[c] * up) - log_total - of_label
            agree[:n_hidden, row] = 0.0
            differ[:n_hidden, row] = 0.0
            for word in range(n_hidden_words):
                left = edges[word, r]
                while left != none:
                    k = popcount(left ^ (left - one)) - one  # of the lowest bit
                    left &= left - one
                    unit, sign = 64 * word + np.int64(k), units[word, r] >> k & one
                    flipped = 0.0
                    for c in range(n_classes):
                        flipped += e[c] * (down if (last[c, word] >> k & one) == sign else up)
                    same = (last[label, word] >> k & one) == sign
                    change = np.log(flipped) - log_total + (2 / scale if same else -2 / scale)
                    if sign == one:
                        agree[unit, row] = change
                    else:
                        differ[unit, row] = change


@_part
def _add_up(x, weight, agree, differ, out):
    """Add to out [input] the changes of all rows x [word, row], for one unit's weights."""
    n_words, n_rows = x.shape
    one = np.uint64(1)
    for row in range(n_rows):
        if agree[row] != 0.0 or differ[row] != 0.0:
            of_same, of_other = agree[row], differ[row]
            for word in range(n_words):
                other = x[word, row] ^ weight[word]
                for k in range(64):
                    out[64 * word + k] += of_other if other >> np.uint64(k) & one else of_same


@_jit
def _differences(begin, end, x, first, hidden, last, agree, differ, of_first, of_last):
    """Add the changes up over the rows, for some units: hidden ones, then classes."""
    n_hidden = len(first)
    for unit in range(begin, end):
        if unit < n_hidden:
            _add_up(x, first[unit], agree[unit], differ[unit], of_first[unit])
        else:
            c = unit - n_hidden
            _add_up(hidden, last[c], agree[unit], differ[unit], of_last[c])
