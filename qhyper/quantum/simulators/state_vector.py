"""Exact state vectors: for circuits of up to some 24 qubits, however deep or entangled.

Neighbouring rotations of a qubit act as one matrix. Derivatives of ⟨C⟩ are by the adjoint method
(Jones and Gacon, 2020, arXiv:2009.02823): with ψ the state and λ = Cψ, both are taken back through
the circuit gate by gate. At each matrix of a qubit, the sums T[a, b] = Σ conj(λ_a) ψ_b over the
other qubits hold the derivatives by all its angles.

Real and imaginary parts are kept apart, so that the loops over amplitudes are vectorised.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.machine import njit
from qhyper.quantum.backend import (
    BackendCapabilities,
    Named,
    check_memory,
    checked_angles,
    footprints,
    state_vector_bytes,
)
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.simulators.many_states import ManyStates
from qhyper.quantum.simulators.prepared import ByRow, numbers_of_strings, scores_by_turning
from qhyper.quantum.simulators.state_kernels import (
    CX,
    CZ,
    FASTMATH,
    MATRIX,
    Program,
    apply,
    compile_circuit,
    entangle,
    matrices_of,
    numbers_of,
    slopes,
    sums_of,
    transition,
    turn_rows,
)
from qhyper.streams import Rngs
from qhyper.threads import in_threads

Float = npt.NDArray[np.float64]

_TOGETHER = 2**13
"""Amplitudes that are too few to wake a second thread for."""
_FEW = 10
"""Qubits up to which a thread takes whole rows: see `many_states`."""
_BLOCK = 2**14
"""Amplitudes of a block: real and imaginary parts of two states fill 512 KiB."""


class StateVectorBackend(Named):
    """Exact state vectors, with adjoint derivatives, on the CPU."""

    capabilities = BackendCapabilities(log_prob=True, probability_bits=24, expectation=True)

    def __str__(self) -> str:
        return "statevector"

    def compile(self, circuit: Circuit, *, rows: int = 1) -> "StateVector | ManyStates":
        """The circuit, ready to run; rows of few qubits together.

        Raises ConfigurationError if it does not fit in memory.
        """
        tables = state_vector_bytes(circuit.n_qubits, rows) // 2  # of probabilities
        check_memory(circuit, str(self), footprints(circuit)[str(self)] + tables)
        if circuit.n_qubits <= _FEW:
            return ManyStates(compile_circuit(circuit))
        return StateVector(circuit)


class StateVector:
    """A circuit as a state vector: an `Executable`."""

    def __init__(self, circuit: Circuit) -> None:
        self.program = compile_circuit(circuit)
        self._segments = _segments(self.program)

    def at(self, angles: Float) -> "StateVectorAt":
        """The circuit at angles [replica, row, angle] in radians; see `Executable`.

        Raises ConfigurationError if they do not fit.
        """
        return StateVectorAt(self, angles)

    def state(self, angles: Float) -> Float:
        """The state [2, 2^n] at angles [angle] in radians."""
        program = self.program
        psi = np.zeros((2, 1 << program.n_qubits))
        psi[0, 0] = 1.0
        matrices = matrices_of(program.kind, program.first, program.code, program.angle, angles)
        for operations in self._segments:
            self._in_halves(_forward, operations, matrices, psi)
        return psi

    def adjoint(self, angles: Float, psi: Float, other: Float) -> Float:
        """2 Re ⟨other|∂ψ⟩ by each of the angles [angle] in radians, of the same shape.

        Takes both states, psi [2, 2^n] and other [2, 2^n], back to the start.
        """
        program = self.program
        matrices = matrices_of(program.kind, program.first, program.code, program.angle, angles)
        parts = np.zeros((2, len(program.kind), 3))
        for operations in self._segments[::-1]:
            self._in_halves(_backward, operations, matrices, psi, other, parts)
        return slopes(
            program.kind, program.first, program.code, program.angle, angles, parts[0] + parts[1]
        )

    def _in_halves(self, kernel: Any, operations: tuple[int, int], *arrays: npt.NDArray) -> None:
        """Run a segment: each half of the amplitudes by itself, or the two together."""
        begin, end = operations
        at_least = max(1, 2 * _TOGETHER >> self.program.n_qubits)
        in_threads(
            kernel, 2, begin, end, self.program.kind, self.program.qubits, *arrays,
            at_least=at_least,
        )  # fmt: skip


class StateVectorAt:
    """A state vector at angles: `WithExpectation`, on states that are kept if they are small."""

    def __init__(self, circuit: StateVector, angles: Float) -> None:
        self.angles = checked_angles(angles, circuit.program.n_angles)
        self._circuit, self._n_qubits = circuit, circuit.program.n_qubits
        self._states = ByRow(circuit.state, self.angles, state_vector_bytes(self._n_qubits))

    def probabilities(self) -> Float:
        """As in WithExpectation."""
        p = np.empty((*self.angles.shape[:2], 1 << self._n_qubits))
        for at in np.ndindex(self.angles.shape[:2]):
            p[at] = _squared(self._states[at])
        return p

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """As in `Prepared`: by inversion of the cumulative probabilities."""
        replicas, rows, _ = self.angles.shape
        numbers = np.empty((replicas, rows, shots), np.int64)
        for replica, stream in enumerate(rng):
            uniforms = stream.random((rows, shots))
            for row in range(rows):
                total = _squared(self._states[replica, row]).cumsum()
                # below total[-1] even when rounded, as a uniform number is below 1
                drawn = uniforms[row] * total[-1]
                numbers[replica, row] = np.searchsorted(total, drawn, side="right")
        return (numbers[..., None] >> np.arange(self._n_qubits) & 1).astype(np.uint8)

    def log_prob(self, bits: Bits) -> Float:
        """As in WithLogProb."""
        with np.errstate(divide="ignore"):
            return np.log(np.abs(self.amplitudes(numbers_of_strings(bits))) ** 2)

    def score(self, bits: Bits, coefficients: Float) -> Float:
        """As in WithLogProb: of an expectation of the costs coefficient / p; 0 where p is 0."""
        numbers, out = numbers_of_strings(bits), np.empty_like(self.angles)
        for at in np.ndindex(self.angles.shape[:2]):
            psi: Float = self._states[at]
            p = _squared(psi)[numbers[at]]
            weights = np.divide(coefficients[at], p, out=np.zeros_like(p), where=p > 0)
            costs = np.bincount(numbers[at], weights, minlength=psi.shape[1])
            out[at] = self._derivatives(at, psi, psi * costs)
        return out

    def scores(self, bits: Bits) -> Float:
        """As in WithLogProb, by turning each angle by π."""
        return scores_by_turning(self._circuit, self.angles, bits)

    def expectation(self, costs: Float) -> tuple[Float, Float]:
        """As in WithExpectation."""
        shape, size = self.angles.shape[:2], 1 << self._n_qubits
        costs = np.broadcast_to(costs, (*shape, size))
        values, derivatives = np.empty(shape), np.empty(self.angles.shape)
        for at in np.ndindex(shape):
            psi = self._states[at]
            other = psi * costs[at]
            values[at] = (psi * other).sum()
            derivatives[at] = self._derivatives(at, psi, other)
        return values, derivatives

    def _derivatives(self, at: tuple[int, ...], psi: Float, other: Float) -> Float:
        """2 Re <other| ∂ψ> of a row; the adjoint pass turns both states back, but not kept ones."""
        own = psi.copy() if self._states.keeps else psi
        return self._circuit.adjoint(self.angles[at], own, other)

    def amplitudes(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.complex128]:
        """The amplitudes [replica, row, shot] of the strings of these numbers."""
        out = np.empty(numbers.shape, np.complex128)
        for at in np.ndindex(self.angles.shape[:2]):
            real, imag = self._states[at][:, numbers[at]]
            out[at] = real + 1j * imag
        return out


def _squared(psi: Float) -> Float:
    """p [2^n] of a state [2, 2^n]."""
    return (psi**2).sum(axis=0)


def _segments(program: Program) -> list[tuple[int, int]]:
    """Runs of operations, begin and end, within which the two halves of the amplitudes are apart.

    The halves are those of the last qubit's bit. A matrix of that qubit, and a CX that flips it,
    join them, and stand alone.
    """
    last = program.n_qubits - 1
    joins = np.where(program.kind == CZ, False, program.qubits[:, 1] == last)
    bounds = [0]
    for operation in np.flatnonzero(joins).tolist():
        bounds += [operation, operation + 1]
    bounds.append(len(program.kind))
    return [(begin, end) for begin, end in pairwise(bounds) if begin < end]


# -- kernels ---------------------------------------------------------------------------------------

_jit = njit(error_model="numpy", fastmath=FASTMATH, nogil=True)
_inline = njit(error_model="numpy", fastmath=FASTMATH, inline="always")
_part = njit(error_model="numpy", fastmath=FASTMATH, forceinline=True)
"""Called by kernels alone: inlined, or rounding would depend on numba's cache (see `mps`)."""


@_part
def _operate(task, kind, qubits, matrix, re, im):
    """One operation, on half number `task` of the amplitudes or of the pairs of amplitudes."""
    half = len(re) // 2
    own = slice(task * half, (task + 1) * half)
    one, other = 1 << qubits[0], 1 << qubits[1]
    if kind == MATRIX:
        if one < half:
            apply(re[own], im[own], qubits[0], matrix)
        else:
            some = _share(task, half)
            if half > 1 or task == 0:
                turn_rows(re[:half][some], im[:half][some], re[half:][some], im[half:][some],
                           numbers_of(matrix))  # fmt: skip
    elif one < half and other < half:
        entangle(re[own], im[own], kind, qubits[0], qubits[1])
    elif other == half and kind == CX:
        if task == 0:
            _swap_halves(re, im, one)
    elif task == 1:  # the last qubit controls: it does so in its half alone
        inner = min(one, other)
        _flip(re[half:], im[half:], kind, inner)


@_part
def _swap_halves(re, im, control):
    """CX of a control on the last qubit."""
    half = len(re) // 2
    for block in range(control, half, 2 * control):
        for array in (re, im):
            low, high = array[block : block + control], array[block + half : block + half + control]
            for k in range(len(low)):
                low[k], high[k] = high[k], low[k]


@_part
def _flip(re, im, kind, stride):
    """X of one qubit, or Z for a CZ."""
    for block in range(0, len(re), 2 * stride):
        for array in (re, im):
            low, high = array[block : block + stride], array[block + stride : block + 2 * stride]
            for k in range(stride):
                if kind == CZ:
                    high[k] = -high[k]
                else:
                    low[k], high[k] = high[k], low[k]


@_part
def _on_block(kind, qubits, matrix, re, im):
    """One operation on a block of amplitudes that it does not leave."""
    if kind == MATRIX:
        apply(re, im, qubits[0], matrix)
    else:
        entangle(re, im, kind, qubits[0], qubits[1])


@_jit
def _forward(first_task, last_task, begin, end, kind, qubits, matrices, psi):
    half = psi.shape[1] // 2
    block = min(half, _BLOCK)
    for task in range(first_task, last_task):
        k = begin
        while k < end:
            stop = k
            while stop < end and 1 << max(qubits[stop, 0], qubits[stop, 1]) < block:
                stop += 1
            if stop == k:
                _operate(task, kind[k], qubits[k], matrices[k], psi[0], psi[1])
                k += 1
                continue
            # operations within blocks go block by block, which stay in the cache
            for low in range(task * half, (task + 1) * half, block):
                re, im = psi[0, low : low + block], psi[1, low : low + block]
                for j in range(k, stop):
                    _on_block(kind[j], qubits[j], matrices[j], re, im)
            k = stop


@_jit
def _backward(first_task, last_task, begin, end, kind, qubits, matrices, psi, other, parts):
    half = psi.shape[1] // 2
    block = min(half, _BLOCK)
    for task in range(first_task, last_task):
        k = end
        while k > begin:
            start = k
            while start > begin and (1 << max(qubits[start - 1, 0], qubits[start - 1, 1]) < block):
                start -= 1
            if start == k:
                k -= 1
                if kind[k] == MATRIX:
                    _part_of_transition(task, qubits[k, 0], psi, other, parts[task, k])
                inverse = matrices[k].conj().T
                _operate(task, kind[k], qubits[k], inverse, psi[0], psi[1])
                _operate(task, kind[k], qubits[k], inverse, other[0], other[1])
                continue
            for low in range(task * half, (task + 1) * half, block):
                re, im = psi[0, low : low + block], psi[1, low : low + block]
                to_re, to_im = other[0, low : low + block], other[1, low : low + block]
                for j in range(k - 1, start - 1, -1):
                    if kind[j] == MATRIX:
                        transition(re, im, to_re, to_im, qubits[j, 0], parts[task, j])
                    inverse = matrices[j].conj().T
                    _on_block(kind[j], qubits[j], inverse, re, im)
                    _on_block(kind[j], qubits[j], inverse, to_re, to_im)
            k = start


@_part
def _part_of_transition(task, qubit, psi, other, total):
    """What half number `task` of the amplitudes, or of their pairs, adds to T of a qubit."""
    half = psi.shape[1] // 2
    if 1 << qubit < half:
        own = slice(task * half, (task + 1) * half)
        transition(psi[0, own], psi[1, own], other[0, own], other[1, own], qubit, total)
    elif task == 0 or half > 1:
        some = _share(task, half)
        low = slice(some.start, some.stop)
        high = slice(some.start + half, some.stop + half)
        sums_of(
            psi[0, low], psi[1, low], psi[0, high], psi[1, high],
            other[0, low], other[1, low], other[0, high], other[1, high], total,
        )  # fmt: skip


@_inline
def _share(task, half):
    """The pairs of amplitudes, of `half` pairs, that half number `task` takes."""
    return slice(task * half // 2, (task + 1) * half // 2) if half > 1 else slice(0, 1)
