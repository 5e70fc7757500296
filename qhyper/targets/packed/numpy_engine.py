"""What the compiled engine of packed networks does, in NumPy: for where there is no numba.

Slower, and its oracle. Arguments and results are those of the functions of the same names in
`numba_engine.py`.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from qhyper.bits import Words, pack

_ROWS = 4096
"""Rows that `correct` takes at once, so that its memory does not grow with them."""


def activations(
    inputs: Words, layers: npt.NDArray[np.int64], words: Words, limits: npt.NDArray[np.int64]
) -> Words:
    """Signs of all units of the last layer, packed: uint64 [network, word, row]."""
    return np.stack([_through(inputs, layers, *one)[0][0] for one in _each(words, limits)])


def scores(
    inputs: Words,
    layers: npt.NDArray[np.int64],
    words: Words,
    limits: npt.NDArray[np.int64],
    label_bits: int,
) -> npt.NDArray[np.int32]:
    """Sums of the last layer, or votes of `label_bits` units each: int32 [network, class, row]."""
    found = []
    for network, limit in _each(words, limits):
        hidden, at, unit = _through(inputs, layers[:-1], network, limit)
        n_in, n_out = int(layers[-2]), int(layers[-1])
        differing = _differing(hidden, network[at:].reshape(n_out, -1))
        if label_bits == 0:
            found.append(((1 << len(hidden)) - 1) * n_in - 2 * differing)
        else:
            plus = differing <= limit[unit:, None]
            found.append(plus.reshape(-1, label_bits, plus.shape[1]).sum(axis=1))
    return np.stack(found).astype(np.int32)


def correct(
    inputs: Words,
    layers: npt.NDArray[np.int64],
    words: Words,
    limits: npt.NDArray[np.int64],
    label_bits: int,
    labels: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Number of rows whose highest score is the label's, int64 [network]; ties: lower class."""
    right = np.zeros(len(words), np.int64)
    for k, (network, limit) in enumerate(_each(words, limits)):
        for start in range(0, len(labels), _ROWS):
            rows = slice(start, start + _ROWS)
            of_rows = inputs[:, :, rows], layers, network[None], limit[None]
            right[k] += (scores(*of_rows, label_bits)[0].argmax(axis=0) == labels[rows]).sum()
    return right


def _each(
    words: Words, limits: npt.NDArray[np.int64]
) -> Iterable[tuple[Words, npt.NDArray[np.int64]]]:
    """Every network's words and limits."""
    return zip(words, np.broadcast_to(limits, (len(words), limits.shape[1])), strict=True)


def _through(
    inputs: Words, layers: npt.NDArray[np.int64], words: Words, limits: npt.NDArray[np.int64]
) -> tuple[Words, int, int]:
    """One network's activations [1, word, row] after `layers`, and weights and limits used."""
    at, unit = 0, 0
    for n_in, n_out in zip(layers[:-1].tolist(), layers[1:].tolist(), strict=True):
        used = n_out * (-(-n_in // 64))
        differing = _differing(inputs, words[at : at + used].reshape(n_out, -1))
        plus = differing <= limits[unit : unit + n_out, None]
        inputs = np.ascontiguousarray(pack(plus.T.astype(np.uint8)).T)[None]
        at, unit = at + used, unit + n_out
    return inputs, at, unit


def _differing(inputs: Words, weights: Words) -> npt.NDArray[np.int64]:
    """Σ over planes b of 2^b times the bits in which units and rows differ, int64 [unit, row].

    `inputs` [plane, word, row], `weights` [unit, word].
    """
    total = np.zeros((len(weights), inputs.shape[2]), np.int64)
    for of_unit, weight in zip(total, weights, strict=True):  # one at a time, to save memory
        for plane, words in enumerate(inputs):
            ones = np.bitwise_count(words ^ weight[:, None]).sum(axis=0, dtype=np.int64)
            of_unit += ones << plane
    return total
