"""Kernels of training by error propagation (numba): XOR, AND, counts of ones, and whole numbers.

Matrices of bits are packed along one of their axes, uint64 [word, n]: bit i % 64 of word i // 64 at
column j is the entry of i and j. `turn` packs the same bits along the other axis. Bits past the end
are zeros.
"""

import numpy as np

from qhyper.machine import njit
from qhyper.targets.packed.popcount import count_differing, popcount

_part = njit(error_model="numpy", forceinline=True)
_kernel = njit(error_model="numpy", nogil=True)


@_part
def _transpose(block):
    """Transpose 64 × 64 bits uint64 [64] in place (Warren, Hacker's Delight, 2013, section 7-3)."""
    width, mask = 32, np.uint64(0x00000000FFFFFFFF)
    while width:
        shift = np.uint64(width)
        for i in range(64):
            if i & width == 0:
                swapped = ((block[i] >> shift) ^ block[i + width]) & mask
                block[i] ^= swapped << shift
                block[i + width] ^= swapped
        width >>= 1
        mask ^= mask << np.uint64(width)


@_part
def _turn_row(source, word, block, out):
    """One word of the packed axis of `source`, as 64 columns of `out`."""
    for k in range(out.shape[0]):
        for i in range(64):
            j = 64 * k + i
            block[i] = source[word, j] if j < source.shape[1] else np.uint64(0)
        _transpose(block)
        for i in range(min(64, out.shape[1] - 64 * word)):
            out[k, 64 * word + i] = block[i]


@_kernel
def turn(source, out):
    """The bits of `source` uint64 [word of a, b], packed along b: `out` uint64 [word of b, a]."""
    block = np.zeros(64, np.uint64)
    for word in range(source.shape[0]):
        _turn_row(source, word, block, out)


@_part
def _differing(inputs, row, weights, total):
    """In how many inputs a row and the weights of each unit differ, total int64 [unit]."""
    total[:] = 0
    count_differing(weights, inputs[:, row], np.uint64(0), total)


@_kernel
def hidden(first, last, inputs, weights, n_in, window, out, near):
    """Signs of a layer's sums, and which of them are within the window, of rows first to last - 1.

    `inputs` [word of input, row], `weights` [word of input, unit], `out` and `near` [word of unit,
    row], all uint64. A sum is n_in - 2 × inputs that differ; sign(0) = +1.
    """
    total = np.zeros(weights.shape[1], np.int64)
    for row in range(first, last):
        _differing(inputs, row, weights, total)
        for word in range(out.shape[0]):
            signs, inside = np.uint64(0), np.uint64(0)
            for i in range(min(64, len(total) - 64 * word)):
                z = n_in - 2 * total[64 * word + i]
                signs |= np.uint64(z >= 0) << np.uint64(i)
                inside |= np.uint64(-window <= z <= window) << np.uint64(i)
            out[word, row], near[word, row] = signs, inside


@_kernel
def scores(first, last, inputs, weights, n_in, out):
    """Sums of the last layer, `out` int32 [row, class], of rows first to last - 1."""
    total = np.zeros(weights.shape[1], np.int64)
    for row in range(first, last):
        _differing(inputs, row, weights, total)
        for unit in range(len(total)):
            out[row, unit] = n_in - 2 * total[unit]


@_kernel
def output_errors(score, labels, margin, plus, minus):
    """Errors of the outputs: +1 for the true class and -1 for the best other, or none.

    None where the true class leads by `margin`. `score` int32 [row, class], `labels` int64 [row];
    `plus` and `minus` uint64 [word of class, row] are set. Of equal others the best is the
    lowest class.
    """
    for row in range(len(labels)):
        for word in range(plus.shape[0]):
            plus[word, row] = minus[word, row] = 0
        true = labels[row]
        rival = 1 if true == 0 else 0
        for c in range(rival + 1, score.shape[1]):
            if c != true and score[row, c] > score[row, rival]:
                rival = c
        if score[row, true] - score[row, rival] < margin:
            plus[true >> 6, row] = np.uint64(1) << np.uint64(true & 63)
            minus[rival >> 6, row] = np.uint64(1) << np.uint64(rival & 63)


@_kernel
def errors_below(first, last, plus, minus, weights, near, plus_below, minus_below):
    """Errors of the units below: the sign of Σ weight × error, or 0 outside the window.

    `plus` and `minus` [word of unit, row] of the layer's own errors, `weights` [word of unit,
    input], `near` and what is set, `plus_below` and `minus_below`, [word of input, row].
    """
    total = np.zeros(weights.shape[1], np.int64)
    for row in range(first, last):
        for i in range(len(total)):
            total[i] = 0
        all_errors = 0
        for k in range(plus.shape[0]):
            p, m = plus[k, row], minus[k, row]
            all_errors += np.int64(popcount(p)) - np.int64(popcount(m))
            if p | m:
                for i in range(len(total)):
                    w = weights[k, i]
                    total[i] += np.int64(popcount(p & w)) - np.int64(popcount(m & w))
        for word in range(near.shape[0]):
            above, below = np.uint64(0), np.uint64(0)
            for i in range(min(64, len(total) - 64 * word)):
                change = 2 * total[64 * word + i] - all_errors
                above |= np.uint64(change > 0) << np.uint64(i)
                below |= np.uint64(change < 0) << np.uint64(i)
            plus_below[word, row] = above & near[word, row]
            minus_below[word, row] = below & near[word, row]


@_kernel
def update(first, last, inputs, plus, minus, rate, limit, hidden_weights, by_unit, by_input):
    """Add rate × Σ over rows of error × input to each hidden weight, and set its bit to its sign.

    For the units 64 × first to 64 × last - 1. `inputs` [word of row, input], `plus` and `minus`
    [word of row, unit]; `hidden_weights` int16 [unit, input] stay within ±limit; bits `by_unit`
    [word of unit, input] and `by_input` [word of input, unit] are 1 where they are 0 or more.
    """
    n_inputs = inputs.shape[1]
    total, block = np.zeros(n_inputs, np.int64), np.zeros(64, np.uint64)
    for word in range(first, last):
        changed = False
        for unit in range(64 * word, min(64 * word + 64, len(hidden_weights))):
            for i in range(n_inputs):
                total[i] = 0
            all_errors, any_error = 0, np.uint64(0)
            for k in range(inputs.shape[0]):
                p, m = plus[k, unit], minus[k, unit]
                any_error |= p | m
                all_errors += np.int64(popcount(p)) - np.int64(popcount(m))
                if p | m:
                    for i in range(n_inputs):
                        x = inputs[k, i]
                        total[i] += np.int64(popcount(p & x)) - np.int64(popcount(m & x))
            if any_error == 0:
                continue
            changed = True
            bit = np.uint64(1) << np.uint64(unit & 63)
            for i in range(n_inputs):
                new = hidden_weights[unit, i] + rate * (2 * total[i] - all_errors)
                new = min(max(new, -limit), limit)
                hidden_weights[unit, i] = new
                one = bit if new >= 0 else np.uint64(0)
                by_unit[word, i] = (by_unit[word, i] & ~bit) | one
        if changed:
            _turn_row(by_unit, word, block, by_input)
