"""Many rows of a circuit of few qubits: each state fits the cache, and a thread takes whole rows.

What `state_vector` does for one large state, by the same steps, for all rows in one call. Where all
rotations are Ry, amplitudes are real: eight rows go side by side, and their loops are vectorised.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.machine import njit
from qhyper.quantum.backend import KEPT_BYTES, checked_angles
from qhyper.quantum.simulators.prepared import numbers_of_strings, scores_by_turning
from qhyper.quantum.simulators.state_kernels import (
    CZ,
    FASTMATH,
    MATRIX,
    RY,
    Program,
    apply,
    entangle,
    matrices_of,
    slopes,
    transition,
)
from qhyper.streams import Rngs
from qhyper.threads import in_threads

Float = npt.NDArray[np.float64]

_AT_LEAST = 2**13
"""Amplitudes that are worth waking a thread for."""
_LANES = 8
"""Rows that go side by side: numbers of an AVX-512 register."""


class ManyStates:
    """A circuit of few qubits, at many rows of angles: an `Executable`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.real = bool((program.code == RY).all())

    @property
    def parts(self) -> int:
        """Numbers of an amplitude: 1 where all are real, else 2."""
        return 1 if self.real else 2

    def at(self, angles: Float) -> "ManyStatesAt":
        """The circuit at angles [replica, row, angle] in radians; see `Executable`.

        Raises ConfigurationError if they do not fit.
        """
        return ManyStatesAt(self, angles)

    def states(self, angles: Float) -> Float:
        """The states [row, part, 2^n] at angles [row, angle] in radians."""
        out = np.zeros((len(angles), self.parts, 1 << self.program.n_qubits))
        self._run(_real_states if self.real else _states, angles, out)
        return out

    def adjoint(self, angles: Float, states: Float, costs: Float, out: Float) -> None:
        """Write ∂ Σ p · costs [row, 2^n] by each angle to `out` [row, angle].

        At angles [row, angle] in radians, whose states [row, part, 2^n] are overwritten.
        """
        self._run(_real_adjoint if self.real else _adjoint, angles, states, costs, out)

    def _run(self, kernel: Any, angles: Float, *arrays: npt.NDArray) -> None:
        """Run a kernel on rows of angles [row, angle], and of all arrays."""
        p, lanes = self.program, _LANES if self.real else 1
        in_threads(
            kernel, -(-len(angles) // lanes), p.kind, p.qubits, p.first, p.code, p.angle, angles,
            *arrays, at_least=max(1, (_AT_LEAST >> p.n_qubits) // lanes),
        )  # fmt: skip


class ManyStatesAt:
    """Many states at angles: `WithExpectation`. They are kept if they are small together."""

    def __init__(self, circuit: ManyStates, angles: Float) -> None:
        self.angles = checked_angles(angles, circuit.program.n_angles)
        self._circuit, self._n_qubits = circuit, circuit.program.n_qubits
        replicas, rows, n_angles = self.angles.shape
        self._flat = self.angles.reshape(replicas * rows, n_angles)
        self._row_bytes = 8 * circuit.parts << self._n_qubits
        self._keeps = len(self._flat) * self._row_bytes <= KEPT_BYTES
        self._states: Float | None = None

    def _blocks(self) -> Iterator[tuple[slice, Float]]:
        """(rows, their states [row, part, 2^n]), which together are all; not to be written to."""
        if self._keeps:
            if self._states is None:
                self._states = self._circuit.states(self._flat)
            yield slice(0, len(self._flat)), self._states
            return
        size = max(1, KEPT_BYTES // self._row_bytes)
        for first in range(0, len(self._flat), size):
            rows = slice(first, min(first + size, len(self._flat)))
            yield rows, self._circuit.states(self._flat[rows])

    def probabilities(self) -> Float:
        """As in WithExpectation."""
        p = np.empty((len(self._flat), 1 << self._n_qubits))
        for rows, states in self._blocks():
            in_threads(_squares, len(states), states, p[rows], at_least=_AT_LEAST >> self._n_qubits)
        return p.reshape(*self.angles.shape[:2], -1)

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """As in `Prepared`: by inversion of the cumulative probabilities."""
        uniforms = np.concatenate([r.random((self.angles.shape[1], shots)) for r in rng])
        bits = np.empty((len(self._flat), shots, self._n_qubits), np.uint8)
        for rows, states in self._blocks():
            in_threads(
                _draw, len(states), states, uniforms[rows], bits[rows],
                at_least=_AT_LEAST >> self._n_qubits,
            )  # fmt: skip
        return bits.reshape(*self.angles.shape[:2], shots, self._n_qubits)

    def log_prob(self, bits: Bits) -> Float:
        """As in WithLogProb."""
        with np.errstate(divide="ignore"):
            return np.log(np.abs(self.amplitudes(numbers_of_strings(bits))) ** 2)

    def score(self, bits: Bits, coefficients: Float) -> Float:
        """As in WithLogProb: of an expectation of the costs coefficient / p; 0 where p is 0."""
        numbers = numbers_of_strings(bits)
        p = np.abs(self.amplitudes(numbers)) ** 2
        weights = np.divide(coefficients, p, out=np.zeros_like(p), where=p > 0)
        size, flat = 1 << self._n_qubits, numbers.reshape(len(self._flat), numbers.shape[-1])
        places = (flat + size * np.arange(len(flat))[:, None]).ravel()
        costs: Float = np.zeros(size * len(flat))
        costs += np.bincount(places, weights.ravel(), minlength=len(costs))
        return self.expectation(costs.reshape(*self.angles.shape[:2], size))[1]

    def scores(self, bits: Bits) -> Float:
        """As in WithLogProb, by turning each angle by π."""
        return scores_by_turning(self._circuit, self.angles, bits)

    def expectation(self, costs: Float) -> tuple[Float, Float]:
        """As in WithExpectation."""
        shape, size = self.angles.shape[:2], 1 << self._n_qubits
        each = np.broadcast_to(costs, (*shape, size)).reshape(-1, size)
        values, derivatives = np.empty(len(each)), np.empty_like(self._flat)
        for rows, states in self._blocks():
            values[rows] = np.einsum("rpk,rpk,rk->r", states, states, each[rows])
            self._circuit.adjoint(self._flat[rows], states, each[rows], derivatives[rows])
        return values.reshape(shape), derivatives.reshape(self.angles.shape)

    def amplitudes(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.complex128]:
        """The amplitudes [replica, row, shot] of the strings of these numbers."""
        flat = numbers.reshape(len(self._flat), numbers.shape[-1])
        out = np.empty(flat.shape, np.complex128)
        for rows, states in self._blocks():
            parts = [np.take_along_axis(part, flat[rows], axis=1) for part in states.swapaxes(0, 1)]
            out[rows] = parts[0] + 1j * parts[1] if len(parts) > 1 else parts[0]
        return out.reshape(numbers.shape)


# -- kernels ---------------------------------------------------------------------------------------

_jit = njit(error_model="numpy", fastmath=FASTMATH, nogil=True)
_part = njit(error_model="numpy", fastmath=FASTMATH, forceinline=True)
"""Called by kernels alone: inlined, or rounding would depend on numba's cache (see `mps`)."""


@_jit
def _states(begin, end, kind, qubits, first, code, angle, angles, out):
    for row in range(begin, end):
        matrices = matrices_of(kind, first, code, angle, angles[row])
        re, im = out[row, 0], out[row, 1]
        re[0] = 1.0
        for k in range(len(kind)):
            if kind[k] == MATRIX:
                apply(re, im, qubits[k, 0], matrices[k])
            else:
                entangle(re, im, kind[k], qubits[k, 0], qubits[k, 1])


@_jit
def _squares(begin, end, states, out):
    for row in range(begin, end):
        p = out[row]
        p[:] = 0.0
        for part in range(states.shape[1]):
            amplitudes = states[row, part]
            for k in range(len(p)):
                p[k] += amplitudes[k] * amplitudes[k]


@_jit
def _draw(begin, end, states, uniforms, bits):
    size, n_qubits = states.shape[2], bits.shape[2]
    total = np.empty(size)
    for row in range(begin, end):
        so_far = 0.0
        for k in range(size):
            for part in range(states.shape[1]):
                so_far += states[row, part, k] ** 2
            total[k] = so_far
        for shot in range(uniforms.shape[1]):
            # below total[-1] even when rounded, as a uniform number is below 1
            number = np.searchsorted(total, uniforms[row, shot] * so_far, side="right")
            for q in range(n_qubits):
                bits[row, shot, q] = number >> q & 1


@_jit
def _adjoint(begin, end, kind, qubits, first, code, angle, angles, states, costs, out):
    size = states.shape[2]
    psi, other = np.empty((2, size)), np.empty((2, size))
    parts = np.empty((len(kind), 3))
    for row in range(begin, end):
        matrices = matrices_of(kind, first, code, angle, angles[row])
        for part in range(2):
            for k in range(size):
                psi[part, k] = states[row, part, k]
                other[part, k] = states[row, part, k] * costs[row, k]
        parts[:] = 0.0
        for k in range(len(kind) - 1, -1, -1):
            if kind[k] == MATRIX:
                transition(psi[0], psi[1], other[0], other[1], qubits[k, 0], parts[k])
                inverse = matrices[k].conj().T
                apply(psi[0], psi[1], qubits[k, 0], inverse)
                apply(other[0], other[1], qubits[k, 0], inverse)
            else:
                entangle(psi[0], psi[1], kind[k], qubits[k, 0], qubits[k, 1])
                entangle(other[0], other[1], kind[k], qubits[k, 0], qubits[k, 1])
        found = slopes(kind, first, code, angle, angles[row], parts)
        for k in range(len(found)):  # a slice assigned takes seconds to compile
            out[row, k] = found[k]


# -- real amplitudes [2^n, lane] -------------------------------------------------------------------


@_part
def _real_turn(psi, qubit, cosine, sine):
    """Ry on a qubit, by an angle of its own in each lane."""
    stride = 1 << qubit
    for block in range(0, len(psi), 2 * stride):
        for k in range(block, block + stride):
            low, high = psi[k], psi[k + stride]
            for lane in range(_LANES):
                x, y = low[lane], high[lane]
                low[lane] = cosine[lane] * x - sine[lane] * y
                high[lane] = sine[lane] * x + cosine[lane] * y


@_part
def _real_entangle(psi, kind, control, target):
    on = (1 << control) | (1 << target)
    for k in range(len(psi)):
        if kind == CZ and k & on == on:
            for lane in range(_LANES):
                psi[k, lane] = -psi[k, lane]
        elif kind != CZ and k & on == 1 << control:
            low, high = psi[k], psi[k | on]
            for lane in range(_LANES):
                low[lane], high[lane] = high[lane], low[lane]


@_part
def _half_angles(begin, end, angle, angles, row, cosine, sine):
    """Cosine and sine of half the sum of the angles of a matrix, for the rows from `row` on."""
    for lane in range(_LANES):
        total, own = 0.0, angles[min(row + lane, len(angles) - 1)]
        for k in range(begin, end):
            total += own[angle[k]]
        cosine[lane], sine[lane] = np.cos(total / 2), np.sin(total / 2)


@_jit
def _real_states(begin, end, kind, qubits, first, code, angle, angles, out):
    size = out.shape[2]
    psi = np.empty((size, _LANES))
    cosine, sine = np.empty(_LANES), np.empty(_LANES)
    for block in range(begin, end):
        row = block * _LANES
        psi[:] = 0.0
        psi[0] = 1.0
        for k in range(len(kind)):
            if kind[k] == MATRIX:
                _half_angles(first[k], first[k + 1], angle, angles, row, cosine, sine)
                _real_turn(psi, qubits[k, 0], cosine, sine)
            else:
                _real_entangle(psi, kind[k], qubits[k, 0], qubits[k, 1])
        for lane in range(min(_LANES, len(out) - row)):
            for k in range(size):
                out[row + lane, 0, k] = psi[k, lane]


@_jit
def _real_adjoint(begin, end, kind, qubits, first, code, angle, angles, states, costs, out):
    """At each Ry, with λ the other state: 2 λᵀ (-iY / 2) ψ = Σ (λ_1 ψ_0 - λ_0 ψ_1)."""
    size = states.shape[2]
    psi, other = np.zeros((size, _LANES)), np.zeros((size, _LANES))
    cosine, sine, slope = np.empty(_LANES), np.empty(_LANES), np.empty(_LANES)
    for block in range(begin, end):
        row = block * _LANES
        lanes = min(_LANES, len(out) - row)
        for lane in range(lanes):
            out[row + lane] = 0.0
            for k in range(size):
                psi[k, lane] = states[row + lane, 0, k]
                other[k, lane] = states[row + lane, 0, k] * costs[row + lane, k]
        for k in range(len(kind) - 1, -1, -1):
            if kind[k] != MATRIX:
                _real_entangle(psi, kind[k], qubits[k, 0], qubits[k, 1])
                _real_entangle(other, kind[k], qubits[k, 0], qubits[k, 1])
                continue
            _half_angles(first[k], first[k + 1], angle, angles, row, cosine, sine)
            slope[:] = 0.0
            stride = 1 << qubits[k, 0]
            for low in range(0, size, 2 * stride):
                for j in range(low, low + stride):
                    x, y, u, v = psi[j], psi[j + stride], other[j], other[j + stride]
                    for lane in range(_LANES):
                        a, b, c, d = x[lane], y[lane], u[lane], v[lane]
                        slope[lane] += d * a - c * b
                        x[lane] = cosine[lane] * a + sine[lane] * b
                        y[lane] = cosine[lane] * b - sine[lane] * a
                        u[lane] = cosine[lane] * c + sine[lane] * d
                        v[lane] = cosine[lane] * d - sine[lane] * c
            for number in range(first[k], first[k + 1]):
                for lane in range(lanes):
                    out[row + lane, angle[number]] += slope[lane]
