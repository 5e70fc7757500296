"""State vectors gate by gate: a circuit as operations, and the kernels of each.

Real and imaginary parts are kept apart, so that the loops over amplitudes are vectorised.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qhyper.machine import njit
from qhyper.quantum.circuit import ROTATIONS, Circuit

RX, RY, RZ = range(3)
MATRIX, CX, CZ = range(3)


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


FASTMATH = {"contract", "reassoc", "nsz"}
_jit = njit(error_model="numpy", fastmath=FASTMATH, nogil=True)
_inline = njit(error_model="numpy", fastmath=FASTMATH, inline="always")
_part = njit(error_model="numpy", fastmath=FASTMATH, forceinline=True)
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
def numbers_of(matrix):
    """The real and imaginary parts of its four entries."""
    return (
        matrix[0, 0].real, matrix[0, 0].imag, matrix[0, 1].real, matrix[0, 1].imag,
        matrix[1, 0].real, matrix[1, 0].imag, matrix[1, 1].real, matrix[1, 1].imag,
    )  # fmt: skip


@_part
def apply(re, im, qubit, matrix):
    """One matrix on one qubit; low qubits have loops of their own, which can be vectorised."""
    u = numbers_of(matrix)
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
            turn_rows(low_re, low_im, high_re, high_im, u)


@_part
def turn_rows(low_re, low_im, high_re, high_im, u):
    """`_turn` of all amplitudes of bit 0, and of bit 1 beside them."""
    ar, ai, br, bi, cr, ci, dr, di = u
    for k in range(len(low_re)):
        xr, xi, yr, yi = low_re[k], low_im[k], high_re[k], high_im[k]
        low_re[k] = ar * xr - ai * xi + br * yr - bi * yi
        low_im[k] = ar * xi + ai * xr + br * yi + bi * yr
        high_re[k] = cr * xr - ci * xi + dr * yr - di * yi
        high_im[k] = cr * xi + ci * xr + dr * yi + di * yr


@_part
def entangle(re, im, kind, control, target):
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
def matrices_of(kind, first, code, angle, angles):
    """The matrix of every operation [operation, 2, 2]; of CX and CZ the identity."""
    out = np.empty((len(kind), 2, 2), np.complex128)
    for k in range(len(kind)):
        matrix = _matrix(first[k], first[k + 1], code, angle, angles)
        for i in range(2):  # a slice assigned takes seconds to compile
            for j in range(2):
                out[k, i, j] = matrix[i, j]
    return out


@_jit
def slopes(kind, first, code, angle, angles, totals):
    """From the sums T of every matrix to the derivatives by its angles.

    `2 Re <λ| V (-i/2) P V† |ψ>`, with V the rotations of the matrix after this one.
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
def transition(psi_re, psi_im, other_re, other_im, qubit, total):
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
            sums_of(x_re, x_im, y_re, y_im, p_re, p_im, q_re, q_im, total)
        return
    for low in range(0, size, 2 * stride):
        high, end = low + stride, low + 2 * stride
        sums_of(
            psi_re[low:high], psi_im[low:high], psi_re[high:end], psi_im[high:end],
            other_re[low:high], other_im[low:high], other_re[high:end], other_im[high:end], total,
        )  # fmt: skip


@_part
def sums_of(x_re, x_im, y_re, y_im, p_re, p_im, q_re, q_im, total):
    """The sums of `transition` for ψ = (x, y) and λ = (p, q), bit 0 and bit 1 of the qubit."""
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
