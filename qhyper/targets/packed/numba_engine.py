"""Packed networks (numba): many networks on many rows, tile by tile.

A task is one network on one tile of rows, so that its memory is that of a tile. `popcount.py` says
what a layer counts. A network of 36 weights on inputs of -1 and +1 is one case of these.
"""

import numpy as np
import numpy.typing as npt

from qhyper.bits import Words
from qhyper.machine import njit
from qhyper.targets.packed.popcount import count_differing
from qhyper.threads import in_threads

_part = njit(error_model="numpy", forceinline=True)
_threaded = njit(error_model="numpy", nogil=True)

_TILE = 128
"""Rows of a tile: with these, a layer of 1,024 inputs fits the nearest cache."""


@_part
def _load(inputs, first_row, tile):
    """Copy the rows of a tile; those past the end are zeros, which nobody reads."""
    n_rows = min(_TILE, inputs.shape[2] - first_row)
    for plane in range(inputs.shape[0]):
        for word in range(inputs.shape[1]):
            for row in range(n_rows):
                tile[plane, word, row] = inputs[plane, word, first_row + row]
            for row in range(n_rows, _TILE):
                tile[plane, word, row] = 0


@_part
def _unit(inputs, weight, total):
    """Σ over planes b of 2^b times the number of bits in which weight and each row differ."""
    total[:] = 0
    for plane in range(inputs.shape[0]):
        count_differing(inputs[plane], weight, np.uint64(plane), total)


@_part
def _layer(inputs, n_in, n_out, weights, limits, total, out):
    """Activations of a layer, packed: bit `unit` is whether the unit's total is in its limit."""
    n_words = (n_in + 63) >> 6
    for word in range((n_out + 63) >> 6):
        out[0, word] = 0
        for position in range(min(64, n_out - 64 * word)):
            unit = 64 * word + position
            _unit(inputs, weights[unit * n_words : (unit + 1) * n_words], total)
            limit, bit = limits[unit], np.uint64(1) << np.uint64(position)
            for row in range(_TILE):
                out[0, word, row] |= bit if total[row] <= limit else np.uint64(0)


@_part
def _new_tiles(inputs, layers):
    """Tiles of one thread: of the inputs, of two hidden layers, and a unit's totals."""
    width = (layers[1:].max() + 63) >> 6
    return (
        np.zeros((inputs.shape[0], inputs.shape[1], _TILE), np.uint64),
        np.zeros((1, width, _TILE), np.uint64),
        np.zeros((1, width, _TILE), np.uint64),
        np.zeros(_TILE, np.int64),
    )


@_part
def _through(tiles, layers, n_layers, weights, limits):
    """A tile through the first `n_layers` layers: activations, weights and limits used."""
    inputs, hidden, spare, total = tiles
    at, unit = 0, 0
    for k in range(n_layers):
        n_in, n_out = layers[k], layers[k + 1]
        if k == 0:
            _layer(inputs, n_in, n_out, weights, limits, total, hidden)
        else:
            _layer(hidden, n_in, n_out, weights[at:], limits[unit:], total, spare)
            hidden, spare = spare, hidden
        at += n_out * ((n_in + 63) >> 6)
        unit += n_out
    return hidden, at, unit


@_part
def _class_scores(inputs, n_in, planes, weights, limits, label_bits, total, score):
    """Sums of the last layer's units, or of the votes of each class, [class, row] of a tile."""
    n_words = (n_in + 63) >> 6
    of_all = ((1 << planes) - 1) * n_in
    score[:] = 0
    for c in range(len(score)):
        for vote in range(max(label_bits, 1)):
            unit = c * max(label_bits, 1) + vote
            _unit(inputs, weights[unit * n_words : (unit + 1) * n_words], total)
            if label_bits == 0:
                for row in range(_TILE):
                    score[c, row] = of_all - 2 * total[row]
            else:
                limit = limits[unit]
                for row in range(_TILE):
                    score[c, row] += 1 if total[row] <= limit else 0


@_part
def _tile_scores(tiles, layers, planes, weights, limits, label_bits, score):
    """Scores [class, row] of the rows of a tile."""
    last = len(layers) - 2
    n_in = layers[last]
    if last == 0:
        _class_scores(tiles[0], n_in, planes, weights, limits, label_bits, tiles[3], score)
        return
    hidden, at, unit = _through(tiles, layers, last, weights, limits)
    _class_scores(hidden, n_in, 1, weights[at:], limits[unit:], label_bits, tiles[3], score)


@_threaded
def _all_activations(first, last, inputs, layers, words, limits, out):
    tiles = _new_tiles(inputs, layers)
    n_rows = inputs.shape[2]
    n_tiles = (n_rows + _TILE - 1) // _TILE
    for task in range(first, last):
        network, first_row = task // n_tiles, task % n_tiles * _TILE
        _load(inputs, first_row, tiles[0])
        of_network = limits[min(network, len(limits) - 1)]
        found, _, _ = _through(tiles, layers, len(layers) - 1, words[network], of_network)
        for word in range(out.shape[1]):
            for row in range(min(_TILE, n_rows - first_row)):
                out[network, word, first_row + row] = found[0, word, row]


@_threaded
def _all_scores(first, last, inputs, layers, words, limits, label_bits, out):
    tiles = _new_tiles(inputs, layers)
    score = np.zeros((out.shape[1], _TILE), np.int32)
    n_rows, planes = inputs.shape[2], inputs.shape[0]
    n_tiles = (n_rows + _TILE - 1) // _TILE
    for task in range(first, last):
        network, first_row = task // n_tiles, task % n_tiles * _TILE
        _load(inputs, first_row, tiles[0])
        of_network = limits[min(network, len(limits) - 1)]
        _tile_scores(tiles, layers, planes, words[network], of_network, label_bits, score)
        for c in range(len(score)):
            for row in range(min(_TILE, n_rows - first_row)):
                out[network, c, first_row + row] = score[c, row]


@_threaded
def _all_correct(first, last, inputs, layers, words, limits, label_bits, labels, n_classes, out):
    tiles = _new_tiles(inputs, layers)
    score = np.zeros((n_classes, _TILE), np.int32)
    n_rows, planes = inputs.shape[2], inputs.shape[0]
    n_tiles = (n_rows + _TILE - 1) // _TILE
    for task in range(first, last):
        network, first_row = task // n_tiles, task % n_tiles * _TILE
        _load(inputs, first_row, tiles[0])
        of_network = limits[min(network, len(limits) - 1)]
        _tile_scores(tiles, layers, planes, words[network], of_network, label_bits, score)
        right = 0
        for row in range(min(_TILE, n_rows - first_row)):
            best = 0
            for c in range(1, n_classes):
                if score[c, row] > score[best, row]:
                    best = c
            right += best == labels[first_row + row]
        out[task] = right


def activations(
    inputs: Words, layers: npt.NDArray[np.int64], words: Words, limits: npt.NDArray[np.int64]
) -> Words:
    """Signs of all units of the last layer, packed: uint64 [network, word, row].

    `inputs` [plane, word, row], `layers` [layer], `words` [network, word], `limits`
    [network or 1, unit], as in `population.py`.
    """
    out = np.empty((len(words), (int(layers[-1]) + 63) >> 6, inputs.shape[2]), np.uint64)
    in_threads(_all_activations, _tasks(inputs, words), inputs, layers, words, limits, out)
    return out


def scores(
    inputs: Words,
    layers: npt.NDArray[np.int64],
    words: Words,
    limits: npt.NDArray[np.int64],
    label_bits: int,
) -> npt.NDArray[np.int32]:
    """Sums of the last layer's units, or votes of `label_bits` each: int32 [network, class, row].

    Arguments as of `activations`; the last layer has limits only if it votes.
    """
    classes = int(layers[-1]) // max(label_bits, 1)
    out = np.empty((len(words), classes, inputs.shape[2]), np.int32)
    in_threads(_all_scores, _tasks(inputs, words), inputs, layers, words, limits, label_bits, out)
    return out


def correct(
    inputs: Words,
    layers: npt.NDArray[np.int64],
    words: Words,
    limits: npt.NDArray[np.int64],
    label_bits: int,
    labels: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Number of rows whose highest score is the label's, int64 [network]; ties: lower class.

    Arguments as of `scores`, and `labels` int64 [row].
    """
    classes, tasks = int(layers[-1]) // max(label_bits, 1), _tasks(inputs, words)
    out = np.empty(tasks, np.int64)
    in_threads(_all_correct, tasks, inputs, layers, words, limits, label_bits, labels, classes, out)
    return out.reshape(len(words), -1).sum(axis=1)


def _tasks(inputs: Words, words: Words) -> int:
    """Number of tiles of all networks."""
    return len(words) * -(-inputs.shape[2] // _TILE)
