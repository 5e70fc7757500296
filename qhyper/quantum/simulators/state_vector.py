"""Exact state vectors: for circuits of up to some 24 qubits, however deep or entangled.

Neighbouring rotations of a qubit act as one matrix. Derivatives of ⟨C⟩ are by the adjoint method
(Jones and Gacon, 2020, arXiv:2009.02823): with ψ the state and λ = Cψ, both are taken back through
the circuit gate by gate. At each matrix of a qubit, the sums T[a, b] = Σ conj(λ_a) ψ_b over the
other qubits hold the derivatives by all its angles.

Real and imaginary parts are kept apart, so that the loops over amplitudes are vectorised.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.machine import njit
from qhyper.quantum.backend import (
    BackendCapabilities,
    check_memory,
    checked_angles,
    footprints,
    state_vector_bytes,
)
from qhyper.quantum.circuit import ROTATIONS, Circuit
from qhyper.quantum.simulators.prepared import ByRow
from qhyper.streams import Rngs
from qhyper.threads import in_threads

if TYPE_CHECKING:
    from qhyper.quantum.simulators.many_states import ManyStates

Float = npt.NDArray[np.float64]

RX, RY, RZ = range(3)
MATRIX, CX, CZ = range(3)
_TOGETHER = 2**13
"""Amplitudes that are too few to wake a second thread for."""
_FEW = 10
"""Qubits up to which a thread takes whole rows: see `many_states`."""
_BLOCK = 2**14
"""Amplitudes of a block: real and imaginary parts of two states fill 512 KiB."""


class StateVectorBackend:
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
            from qhyper.quantum.simulators.many_states import ManyStates

            return ManyStates(compile_circuit(circuit))
        return StateVector(circuit)


@dataclass(frozen=True)
class Program:
    """A circuit as operations: a matrix of one qubit, CX or CZ."""

    n_qubits: int
    n_angles: int
    kind: npt.NDArray[np.int64]
    """[operation]: MATRIX, CX or CZ"""
    qubits: npt.NDArray[np.int64]
    """[operation, 2]: the qubit, or control and target"""
    first: npt.NDArray[np.int64]
    """[operation + 1]: where the rotations of a MATRIX begin in `code` and `angle`"""
    code: npt.NDArray[np.int64]
    angle: npt.NDArray[np.int64]


def compile_circuit(circuit: Circuit) -> Program:
    """The operations of a circuit; rotations join the last matrix of their qubit if they can."""
    operations: list[tuple[int, int, int, list[tuple[int, int]]]] = []
    open_matrix: dict[int, list[tuple[int, int]]] = {}
    for gate, angle in circuit.numbered():
        if angle is not None:
            qubit = gate.qubits[0]
            if qubit not in open_matrix:
                open_matrix[qubit] = []
                operations.append((MATRIX, qubit, qubit, open_matrix[qubit]))
            open_matrix[qubit].append((ROTATIONS.index(gate.name), angle))
            continue
        control, target = gate.qubits
        operations.append((CX if gate.name == "cx" else CZ, control, target, []))
        open_matrix.pop(control, None)
        open_matrix.pop(target, None)
    rotations = [rotation for *_, joined in operations for rotation in joined]
    return Program(
        n_qubits=circuit.n_qubits,
        n_angles=circuit.n_angles,
        kind=np.array([kind for kind, *_ in operations], dtype=np.int64),
        qubits=np.array([(a, b) for _, a, b, _ in operations], dtype=np.int64).reshape(-1, 2),
        first=np.cumsum([0] + [len(joined) for *_, joined in operations]),
        code=np.array([code for code, _ in rotations], dtype=np.int64),
        angle=np.array([angle for _, angle in rotations], dtype=np.int64),
    )


class StateVector:
    """A circuit as a state vector: an `Executable`."""

    def __init__(self, circuit: Circuit) -> None:
        self.program = compile_circuit(circuit)
        self._segments = _segments(self.program)

    def at(self, angles: Float) -> "StateVectorAt":
        """As in Executable. Raises ConfigurationError if the angles do not fit."""
        return StateVectorAt(self, angles)

    def state(self, angles: Float) -> Float:
        """The state [2, 2^n] at angles [angle]."""
        program = self.program
        psi = np.zeros((2, 1 << program.n_qubits))
        psi[0, 0] = 1.0
        matrices = _matrices(program.kind, program.first, program.code, program.angle, angles)
        for operations in self._segments:
            self._in_halves(_forward, operations, matrices, psi)
        return psi

    def adjoint(self, angles: Float, psi: Float, other: Float) -> Float:
        """2 Re <other| ∂ψ> for every angle, taking both states [2, 2^n] back to the start."""
        program = self.program
        matrices = _matrices(program.kind, program.first, program.code, program.angle, angles)
        parts = np.zeros((2, len(program.kind), 3))
        for operations in self._segments[::-1]:
            self._in_halves(_backward, operations, matrices, psi, other, parts)
        return _slopes(
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
            return np.log(np.abs(self._amplitudes(_numbers(bits))) ** 2)

    def score(self, bits: Bits, coefficients: Float) -> Float:
        """As in WithLogProb: of an expectation of the costs coefficient / p; 0 where p is 0."""
        numbers, out = _numbers(bits), np.empty_like(self.angles)
        for at in np.ndindex(self.angles.shape[:2]):
            psi: Float = self._states[at]
            p = _squared(psi)[numbers[at]]
            weights = np.divide(coefficients[at], p, out=np.zeros_like(p), where=p > 0)
            costs = np.bincount(numbers[at], weights, minlength=psi.shape[1])
            out[at] = self._derivatives(at, psi, psi * costs)
        return out

    def scores(self, bits: Bits) -> Float:
        """As in WithLogProb, one simulation an angle: ∂ log p = Re ψ(angle + π) / ψ."""
        numbers = _numbers(bits)
        amplitude = self._amplitudes(numbers)
        out = np.zeros((*bits.shape[:3], self.angles.shape[-1]))
        for k in range(self.angles.shape[-1]):
            turned = self.angles.copy()
            turned[..., k] += np.pi  # ∂ exp(-i angle P / 2) = exp(-i (angle + π) P / 2) / 2
            moved = self._circuit.at(turned)._amplitudes(numbers)
            ratio = np.divide(moved, amplitude, out=np.zeros_like(moved), where=amplitude != 0)
            out[..., k] = np.real(ratio)
        return out

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

    def _amplitudes(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.complex128]:
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


def _numbers(bits: Bits) -> npt.NDArray[np.int64]:
    """The place of bitstrings [..., qubit] in a table, qubit 0 changing fastest."""
    return bits @ (1 << np.arange(bits.shape[-1], dtype=np.int64))


# -- kernels ---------------------------------------------------------------------------------------

_FASTMATH = {"contract", "reassoc", "nsz"}
_jit = njit(error_model="numpy", fastmath=_FASTMATH, nogil=True)
_inline = njit(error_model="numpy", fastmath=_FASTMATH, inline="always")
_part = njit(error_model="numpy", fastmath=_FASTMATH, forceinline=True)
"""Called by kernels alone: inlined, or rounding would depend on numba's cache (see `mps`)."""


@_part
def _rotation(code, angle):
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    matrix = np.zeros((2, 2), np.complex128)
    if code == RZ:
        matrix[0, 0], matrix[1, 1] = complex(c, -s), complex(c, s)
        return matrix
    matrix[0, 0] = matrix[1, 1] = c
    if code == RX:
        matrix[0, 1] = matrix[1, 0] = complex(0.0, -s)
    else:
        matrix[0, 1], matrix[1, 0] = -s, s
    return matrix


@_part
def _product(a, b):
    out = np.empty((2, 2), np.complex128)
    for i in range(2):
        for j in range(2):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j]
    return out


@_part
def _matrix(first, last, code, angle, angles):
    """The product of the rotations first to last - 1, the later ones on the left."""
    out = np.eye(2).astype(np.complex128)
    for k in range(first, last):
        out = _product(_rotation(code[k], angles[angle[k]]), out)
    return out


@_inline
def _turn(re, im, i, j, u):
    """Multiply the amplitudes i and j, of bit 0 and 1, by a matrix given as eight numbers."""
    ar, ai, br, bi, cr, ci, dr, di = u
    xr, xi, yr, yi = re[i], im[i], re[j], im[j]
    re[i] = ar * xr - ai * xi + br * yr - bi * yi
    im[i] = ar * xi + ai * xr + br * yi + bi * yr
    re[j] = cr * xr - ci * xi + dr * yr - di * yi
    im[j] = cr * xi + ci * xr + dr * yi + di * yr


@_inline
def _numbers_of(matrix):
    return (
        matrix[0, 0].real, matrix[0, 0].imag, matrix[0, 1].real, matrix[0, 1].imag,
        matrix[1, 0].real, matrix[1, 0].imag, matrix[1, 1].real, matrix[1, 1].imag,
    )  # fmt: skip


@_part
def _apply(re, im, qubit, matrix):
    """One matrix on one qubit; low qubits have loops of their own, which can be vectorised."""
    u = _numbers_of(matrix)
    size, stride = len(re), 1 << qubit
    if qubit == 0:
        for k in range(size // 2):
            _turn(re, im, 2 * k, 2 * k + 1, u)
    elif qubit == 1:
        for k in range(size // 4):
            _turn(re, im, 4 * k, 4 * k + 2, u)
            _turn(re, im, 4 * k + 1, 4 * k + 3, u)
    else:
        for block in range(0, size, 2 * stride):
            low_re, low_im = re[block : block + stride], im[block : block + stride]
            high_re = re[block + stride : block + 2 * stride]
            high_im = im[block + stride : block + 2 * stride]
            _turn_rows(low_re, low_im, high_re, high_im, u)


@_part
def _turn_rows(low_re, low_im, high_re, high_im, u):
    ar, ai, br, bi, cr, ci, dr, di = u
    for k in range(len(low_re)):
        xr, xi, yr, yi = low_re[k], low_im[k], high_re[k], high_im[k]
        low_re[k] = ar * xr - ai * xi + br * yr - bi * yi
        low_im[k] = ar * xi + ai * xr + br * yi + bi * yr
        high_re[k] = cr * xr - ci * xi + dr * yr - di * yi
        high_im[k] = cr * xi + ci * xr + dr * yi + di * yr


@_part
def _entangle(re, im, kind, control, target):
    """CX or CZ, on runs of amplitudes that lie side by side."""
    size = len(re)
    low, high = 1 << min(control, target), 1 << max(control, target)
    on_control, on_target = 1 << control, 1 << target
    for block in range(0, size, 2 * high):
        for part in range(block, block + high, 2 * low):
            if kind == CZ:
                for k in range(part + low + high, part + 2 * low + high):
                    re[k] = -re[k]
                    im[k] = -im[k]
            else:
                for k in range(part + on_control, part + on_control + low):
                    j = k + on_target
                    re[k], re[j] = re[j], re[k]
                    im[k], im[j] = im[j], im[k]


@_jit
def _matrices(kind, first, code, angle, angles):
    """The matrix of every operation [operation, 2, 2]; of CX and CZ the identity."""
    out = np.empty((len(kind), 2, 2), np.complex128)
    for k in range(len(kind)):
        out[k] = _matrix(first[k], first[k + 1], code, angle, angles)
    return out


@_part
def _operate(task, kind, qubits, matrix, re, im):
    """One operation, on half number `task` of the amplitudes or of the pairs of amplitudes."""
    half = len(re) // 2
    own = slice(task * half, (task + 1) * half)
    one, other = 1 << qubits[0], 1 << qubits[1]
    if kind == MATRIX:
        if one < half:
            _apply(re[own], im[own], qubits[0], matrix)
        else:
            some = _share(task, half)
            if half > 1 or task == 0:
                _turn_rows(re[:half][some], im[:half][some], re[half:][some], im[half:][some],
                           _numbers_of(matrix))  # fmt: skip
    elif one < half and other < half:
        _entangle(re[own], im[own], kind, qubits[0], qubits[1])
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
        _apply(re, im, qubits[0], matrix)
    else:
        _entangle(re, im, kind, qubits[0], qubits[1])


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
                        _transition(re, im, to_re, to_im, qubits[j, 0], parts[task, j])
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
        _transition(psi[0, own], psi[1, own], other[0, own], other[1, own], qubit, total)
    elif task == 0 or half > 1:
        some = _share(task, half)
        low = slice(some.start, some.stop)
        high = slice(some.start + half, some.stop + half)
        _sums(
            psi[0, low], psi[1, low], psi[0, high], psi[1, high],
            other[0, low], other[1, low], other[0, high], other[1, high], total,
        )  # fmt: skip


@_inline
def _share(task, half):
    """The pairs of amplitudes, of `half` pairs, that half number `task` takes."""
    return slice(task * half // 2, (task + 1) * half // 2) if half > 1 else slice(0, 1)


@_jit
def _slopes(kind, first, code, angle, angles, totals):
    """From the sums T of every matrix to the derivatives by its angles.

    2 Re <λ| V (-i/2) P V† |ψ>, with V the rotations of the matrix after this one.
    """
    out = np.zeros(len(angles))
    for k in range(len(kind)):
        after = np.eye(2).astype(np.complex128)
        for r in range(first[k + 1] - 1, first[k] - 1, -1):
            pauli = _rotation(code[r], np.pi) / 2  # exp(-iπP/2) / 2 = -iP / 2
            inside = _product(_product(after, pauli), after.conj().T)
            # inside is traceless and anti-Hermitian: these numbers of T are enough
            diagonal, real, imag = totals[k]
            out[angle[r]] += -2 * inside[0, 0].imag * diagonal
            out[angle[r]] += 2 * (inside[0, 1].real * real - inside[0, 1].imag * imag)
            after = _product(after, _rotation(code[r], angles[angle[r]]))
    return out


@_part
def _transition(psi_re, psi_im, other_re, other_im, qubit, total):
    """Add what the derivatives by the angles of a qubit's matrix need of T to `total`.

    These are the numbers Im (T[0, 0] - T[1, 1]) and, real and imaginary, T[0, 1] - conj T[1, 0].
    """
    size, stride = len(psi_re), 1 << qubit
    if qubit < 2:  # runs of one or two amplitudes: go along the columns
        columns = (
            psi_re.reshape(-1, 2 * stride), psi_im.reshape(-1, 2 * stride),
            other_re.reshape(-1, 2 * stride), other_im.reshape(-1, 2 * stride),
        )  # fmt: skip
        for low in range(stride):
            x_re, x_im = columns[0][:, low], columns[1][:, low]
            y_re, y_im = columns[0][:, low + stride], columns[1][:, low + stride]
            p_re, p_im = columns[2][:, low], columns[3][:, low]
            q_re, q_im = columns[2][:, low + stride], columns[3][:, low + stride]
            _sums(x_re, x_im, y_re, y_im, p_re, p_im, q_re, q_im, total)
        return
    for low in range(0, size, 2 * stride):
        high, end = low + stride, low + 2 * stride
        _sums(
            psi_re[low:high], psi_im[low:high], psi_re[high:end], psi_im[high:end],
            other_re[low:high], other_im[low:high], other_re[high:end], other_im[high:end], total,
        )  # fmt: skip


@_part
def _sums(x_re, x_im, y_re, y_im, p_re, p_im, q_re, q_im, total):
    """The sums of `_transition` for ψ = (x, y) and λ = (p, q), bit 0 and bit 1 of the qubit."""
    diagonal, real, imag = 0.0, 0.0, 0.0
    for k in range(len(x_re)):
        a, b, c, d = x_re[k], x_im[k], y_re[k], y_im[k]
        e, f, g, h = p_re[k], p_im[k], q_re[k], q_im[k]
        diagonal += e * b - f * a - g * d + h * c
        real += e * c + f * d - g * a - h * b
        imag += e * d - f * c + g * b - h * a
    total[0] += diagonal
    total[1] += real
    total[2] += imag
