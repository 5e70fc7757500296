"""A compiled forward pass for networks of any activation, values and biases.

Every draw is decoded into arrays first, so that the kernel knows nothing of bits. Sums run over
the inputs from left to right in float64 and take the bias last, as in the plain pass, so that ties
of signs are decided alike; logits of sigmoids and tanhs agree to rounding. Rows go through all
layers a block at a time, which stays in the cache.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.machine import njit
from qhyper.targets.layered.kernel import losses_by_logits
from qhyper.targets.layered.rows import Rows
from qhyper.targets.layered.space import ACTIVATIONS, WeightSpace
from qhyper.targets.loss import LossName
from qhyper.threads import in_threads

_TOGETHER = 4096
"""Draws that are decoded together."""
_BLOCK = 256
"""Rows of a block."""

# numba keeps compiled kernels by the state of this file, so what they know is written here
_SIGN, _RELU, _SIGMOID, _TANH = range(4)
_CODES = {"sign": _SIGN, "relu": _RELU, "sigmoid": _SIGMOID, "tanh": _TANH}


class DenseKernel:
    """A network on the rows of a data set: the methods of `Kernel`."""

    def __init__(self, space: WeightSpace, rows: Rows, sign_of_zero: int) -> None:
        self.rows, self._space, self._sign_of_zero = rows, space, sign_of_zero
        self._layers = np.array(space.layers, dtype=np.int64)
        self._x = np.ascontiguousarray(rows.x.T)
        self._samples = rows.counts.sum()

    def logits(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Logits float64 [draw, row, output] of bits uint8 [draw, n_bits]."""
        out = np.empty((len(bits), self._layers[-1], self.rows.n_rows))
        for some, draws in self._decoded(bits):
            in_threads(
                _all_logits, len(draws.activation), self._layers, draws, self._sign_of_zero,
                self._x, out[some], at_least=2,
            )  # fmt: skip
        return np.ascontiguousarray(out.transpose(0, 2, 1))

    def losses(self, bits: npt.NDArray[np.uint8], loss: LossName) -> npt.NDArray[np.float64]:
        """Mean loss over the data, float64 [draw], of bits uint8 [draw, n_bits]."""
        if self._layers[-1] > 1 or loss not in ("cross_entropy", "squared_error"):
            return losses_by_logits(self, bits, loss, self.rows, int(self._layers[-1]))
        out = np.empty(len(bits))
        for some, draws in self._decoded(bits):
            in_threads(
                _sigmoid_losses, len(draws.activation), self._layers, draws,
                self._sign_of_zero, self._x, self.rows.counts, loss == "cross_entropy",
                out[some], at_least=2,
            )  # fmt: skip
        return out / self._samples

    def _decoded(self, bits: npt.NDArray[np.uint8]):
        codes = np.array([_CODES[name] for name in ACTIVATIONS])
        for first in range(0, len(bits), _TOGETHER):
            some = slice(first, min(first + _TOGETHER, len(bits)))
            found, count = self._space.decode(bits[some]), some.stop - first

            def flat(parts, count=count):  # [draw, all of them]
                joined = [part.reshape(count, -1) for part in parts]
                whole = np.concatenate(joined, axis=1) if joined else np.empty((count, 0))
                return np.ascontiguousarray(whole, dtype=np.float64)

            yield some, _Draws(
                flat(found.weights), flat(found.biases), codes[found.activation], flat(found.units),
                flat([found.layers]),
            )  # fmt: skip


class _Draws(NamedTuple):
    """Decoded draws, as the kernels take them: all [draw, ...] in the order of the layers."""

    weights: npt.NDArray[np.float64]
    biases: npt.NDArray[np.float64]
    activation: npt.NDArray[np.int64]
    units: npt.NDArray[np.float64]
    layers: npt.NDArray[np.float64]


_jit = njit(error_model="numpy", nogil=True)
# inlined, or rounding would depend on numba's cache (see `mps` of the simulators)
_part = njit(error_model="numpy", forceinline=True)


@_part
def _activate(name, sign_of_zero, z):
    for k in range(len(z)):
        if name == _SIGN:
            z[k] = 1.0 if z[k] > 0 else (-1.0 if z[k] < 0 else sign_of_zero)
        elif name == _RELU:
            z[k] = max(z[k], 0.0)
        elif name == _TANH:
            z[k] = np.tanh(z[k])
        else:
            z[k] = 1 / (1 + np.exp(-z[k]))


@_part
def _forward(layers, draws, draw, sign_of_zero, x, here, there):
    """The logits [output, row] of one draw on a block of rows x [input, row], in a buffer."""
    n_rows, last = x.shape[1], len(layers) - 2
    for i in range(layers[0]):  # a slice assigned takes seconds to compile
        for row in range(n_rows):
            here[i, row] = x[i, row]
    at_weight, at_bias, at_unit = 0, 0, 0
    for layer in range(last + 1):
        n_in, n_out = layers[layer], layers[layer + 1]
        skipped = layer < last and draws.layers[draw, layer] == 0
        for unit in range(n_out):
            if skipped:
                break
            z = there[unit, :n_rows]
            z[:] = 0.0
            for i in range(n_in):
                weight, h = draws.weights[draw, at_weight + i * n_out + unit], here[i, :n_rows]
                for row in range(n_rows):
                    z[row] += h[row] * weight
            bias = draws.biases[draw, at_bias + unit]
            for row in range(n_rows):
                z[row] += bias
            if layer < last:
                _activate(draws.activation[draw], sign_of_zero, z)
                if draws.units[draw, at_unit + unit] == 0:
                    z[:] = 0.0
        if not skipped:
            here, there = there, here
        at_weight += n_in * n_out
        at_bias += n_out
        at_unit += n_out
    return here


@_jit
def _all_logits(first, stop, layers, draws, sign_of_zero, x, out):
    here, there = np.empty((layers.max(), _BLOCK)), np.empty((layers.max(), _BLOCK))
    for draw in range(first, stop):
        for begin in range(0, x.shape[1], _BLOCK):
            rows = x[:, begin : begin + _BLOCK]
            z = _forward(layers, draws, draw, sign_of_zero, rows, here, there)
            for unit in range(layers[-1]):
                for row in range(rows.shape[1]):
                    out[draw, unit, begin + row] = z[unit, row]


@_jit
def _sigmoid_losses(first, stop, layers, draws, sign_of_zero, x, counts, cross_entropy, out):
    here, there = np.empty((layers.max(), _BLOCK)), np.empty((layers.max(), _BLOCK))
    for draw in range(first, stop):
        total = 0.0
        for begin in range(0, x.shape[1], _BLOCK):
            rows, of = x[:, begin : begin + _BLOCK], counts[begin : begin + _BLOCK]
            z = _forward(layers, draws, draw, sign_of_zero, rows, here, there)[0, : rows.shape[1]]
            if cross_entropy:
                total += _sigmoid_cross_entropy(z, of)
            else:
                total += _sigmoid_squared_error(z, of)
        out[draw] = total


@_part
def _sigmoid_cross_entropy(z, counts):
    """Σ over rows of count · softplus(±z), where `softplus(z) = max(z, 0) + log(1 + exp(-|z|))`.

    Logarithms cost most. Those of rows that stand for one sample are taken together, of a product
    that cannot overflow: a block has at most 256 factors, from 1 to 2.
    """
    total, product = 0.0, 1.0
    for row in range(len(z)):
        total += counts[row, 0] * max(z[row], 0.0) + counts[row, 1] * max(-z[row], 0.0)
        small, samples = np.exp(-abs(z[row])), counts[row, 0] + counts[row, 1]
        if samples == 1:
            product *= 1 + small
        else:
            total += samples * np.log1p(small)
    return total + np.log(product)


@_part
def _sigmoid_squared_error(z, counts):
    """Σ over rows of count · 2 (σ(z) - label)²: the Brier score over both classes."""
    total = 0.0
    for row in range(len(z)):
        p = 1 / (1 + np.exp(-z[row]))
        total += 2 * (counts[row, 0] * p**2 + counts[row, 1] * (1 - p) ** 2)
    return total
