"""The exact matrix product, compiled for the CPU: sampling, log p and its gradient.

Linear in the qubits. Everything runs in complex128: sites are small, so loops over draws beat any
tensor library. All arrays are flat in replicas and rows: angles [row, angle], tensors [row, size],
bits [row, shot, qubit].
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.machine import memory, njit
from qhyper.quantum.backend import AMPLITUDE, GIB
from qhyper.quantum.simulators.mps_program import (
    LEFT_CONTROL,
    LEFT_X,
    LEFT_Z,
    RIGHT_CONTROL,
    RIGHT_X,
    ROWS_BYTES,
    RX,
    RY,
    WIRE,
    Program,
)
from qhyper.threads import in_threads, n_threads

Complex = npt.NDArray[np.complex128]
Float = npt.NDArray[np.float64]

_LANES = 64
"""Draws that are carried through the sites together."""
_PARTS_BYTES = 2**28
"""Memory for the gradients of blocks of draws before they are summed."""


def _in_blocks(kernel: Callable, program: Program, bits: npt.NDArray, *args: npt.NDArray) -> None:
    """Run a kernel over the blocks of draws of every replica, several threads if it is long."""
    replicas, shots, _ = bits.shape
    block_work = _LANES * int((program.bond[:-1] * program.bond[1:]).sum())
    at_least = 1 + 500_000 // block_work  # a millisecond or so
    blocks = replicas * -(-shots // _LANES)
    in_threads(kernel, blocks, program.bond, program.offset, *args, at_least=at_least)


def site_tensors(program: Program, angles: Float) -> Complex:
    """All tensors, flat complex128 [row, size], of angles [row, angle]."""
    tensors = np.empty((len(angles), program.offset[-1]), np.complex128)
    _build(
        program.start, program.code, program.angle, program.bond, program.offset, angles, tensors
    )
    return tensors


def weight_matrices(program: Program, tensors: Complex) -> Complex:
    """What sampling needs besides the tensors: for each site and bit, A_bit E A_bit†, [row, size].

    E is the right environment.
    """
    matrices = np.empty((len(tensors), 2 * int((program.bond[:-1] ** 2).sum())), np.complex128)
    _weight_matrices(program.bond, program.offset, tensors, matrices)
    return matrices


def sample(program: Program, tensors: Complex, matrices: Complex, uniforms: Float) -> Bits:
    """Exact draws uint8 [row, shot, qubit].

    Uniforms in [0, 1) [row, shot, qubit], one for each bit.
    """
    bits = np.empty(uniforms.shape, np.uint8)
    _in_blocks(_sample, program, bits, tensors, matrices, uniforms, bits)
    return bits


def log_prob(program: Program, tensors: Complex, bits: Bits) -> Float:
    """log p [row, shot] of bits uint8 [row, shot, qubit]; -inf if impossible."""
    out = np.empty(bits.shape[:2])
    _in_blocks(_log_prob, program, bits, tensors, bits, out)
    return out


def score(
    program: Program, angles: Float, tensors: Complex, bits: Bits, coefficients: Float
) -> Float:
    """Σ over shots of coefficient · ∂ log p / ∂ angle, [row, angle].

    bits uint8 [row, shot, qubit], coefficients [row, shot]. Impossible strings count 0.
    """
    gradients = np.zeros_like(tensors)
    # each block of draws has its own part, summed in order, so that threads do not matter
    blocks = min(16, max(1, _PARTS_BYTES // tensors.nbytes))
    for first in range(0, bits.shape[1], blocks * _LANES):
        slab = slice(first, first + blocks * _LANES)
        drawn = np.ascontiguousarray(bits[:, slab])
        factors = np.ascontiguousarray(coefficients[:, slab])
        parts = np.empty((-(-drawn.shape[1] // _LANES), *tensors.shape), np.complex128)
        _in_blocks(_tensor_scores, program, drawn, tensors, drawn, factors, parts)
        gradients += parts.sum(axis=0)
    out = np.zeros_like(angles)
    add_angle_scores(program, angles, tensors, gradients, out)
    return out


def add_angle_scores(
    program: Program, angles: Float, tensors: Complex, gradients: Complex, out: Float
) -> None:
    """Add 2 Re Σ gradient · ∂A / ∂ angle of every angle to `out` [row, angle]."""
    _angle_scores(
        program.start, program.code, program.angle, program.bond, program.offset, angles,
        tensors, gradients, out,
    )  # fmt: skip


def scores(program: Program, angles: Float, tensors: Complex, bits: Bits) -> Float:
    """∂ log p / ∂ angle of every draw, [row, shot, angle]; 0 for impossible strings.

    bits uint8 [row, shot, qubit]. Raises ConfigurationError if the derivatives of all tensors
    do not fit in memory.
    """
    begin = _derivative_offsets(program)
    row_bytes, block_bytes = AMPLITUDE * int(begin[-1]), 16 * _LANES * int(program.bond.max()) ** 2
    if row_bytes + n_threads() * block_bytes > memory():
        raise ConfigurationError(
            f"The scores of single draws would need about {row_bytes / GIB:.3g} GiB for the "
            f"derivatives of this circuit's tensors; this machine has {memory() / GIB:.3g} GiB. "
            "Use the score function, which needs their sum alone, or fewer entangling gates."
        )
    out = np.zeros((*bits.shape[:2], program.n_angles))
    together = max(1, ROWS_BYTES // max(1, row_bytes))
    for first in range(0, len(angles), together):
        rows = slice(first, first + together)
        derivatives = _angle_derivatives(program, angles[rows], begin)
        _in_blocks(
            _draw_scores, program, bits[rows], tensors[rows], bits[rows], program.start,
            program.angle, derivatives, begin, out[rows],
        )  # fmt: skip
    return out


def _derivative_offsets(program: Program) -> npt.NDArray[np.int64]:
    """Where the derivative of the tensor begins by the angle of each operation, and the end."""
    sizes = np.diff(program.offset)
    site = np.repeat(np.arange(program.n_sites), np.diff(program.start))
    return np.concatenate([[0], np.cumsum(np.where(program.angle >= 0, sizes[site], 0))])


def _angle_derivatives(program: Program, angles: Float, offset: npt.NDArray[np.int64]) -> Complex:
    """∂A / ∂ angle of every rotation, flat [replica, size]."""
    derivatives = np.zeros((len(angles), offset[-1]), np.complex128)
    _derive(program.start, program.code, program.angle, program.bond, angles, derivatives, offset)
    return derivatives


# -- building the tensors from the angles, and back ----------------------------------------------


_FASTMATH = {"contract", "reassoc", "nsz"}
_jit = njit(error_model="numpy", fastmath=_FASTMATH)
_threaded = njit(error_model="numpy", fastmath=_FASTMATH, nogil=True)
_part = njit(error_model="numpy", fastmath=_FASTMATH, forceinline=True)
"""Called by kernels alone. As calls they would be compiled twice, and which copy runs, with its own
order of rounding, would depend on whether the kernel comes from numba's cache."""


@_part
def _rotation(code, angle):
    """The matrix of a rotation, as four numbers."""
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    if code == RX:
        return complex(c, 0.0), complex(0.0, -s), complex(0.0, -s), complex(c, 0.0)
    if code == RY:
        return complex(c, 0.0), complex(-s, 0.0), complex(s, 0.0), complex(c, 0.0)
    return complex(c, -s), complex(0.0, 0.0), complex(0.0, 0.0), complex(c, s)


@_part
def _rotate(tensor, u00, u01, u10, u11):
    for left in range(tensor.shape[1]):
        for right in range(tensor.shape[2]):
            zero, one = tensor[0, left, right], tensor[1, left, right]
            tensor[0, left, right] = u00 * zero + u01 * one
            tensor[1, left, right] = u10 * zero + u11 * one


@_part
def _operator(code, leg, bit):
    """The bit that `bit` comes from under the operator of a leg's value, and its factor."""
    if code in (LEFT_CONTROL, RIGHT_CONTROL):
        return bit, 1.0 if bit == leg else 0.0
    if code in (LEFT_X, RIGHT_X):
        return bit ^ leg, 1.0
    return bit, -1.0 if bit and leg else 1.0


@_part
def _append_leg(tensor, code):
    """The tensor with one more leg on the left, on the right, or a wire on both."""
    _, n_left, n_right = tensor.shape
    more_left = 2 if code == WIRE or code <= LEFT_Z else 1
    more_right = 2 if code >= RIGHT_CONTROL else 1
    grown = np.zeros((2, n_left * more_left, n_right * more_right), np.complex128)
    for leg in range(2):
        a, b = (leg if more_left == 2 else 0), (leg if more_right == 2 else 0)
        for bit in range(2):
            source, factor = (bit, 1.0) if code == WIRE else _operator(code, leg, bit)
            for left in range(n_left):
                for right in range(n_right):
                    grown[bit, left * more_left + a, right * more_right + b] = (
                        factor * tensor[source, left, right]
                    )
    return grown


@_part
def _fold_leg(tensor, gradient, code):
    """Undo `_append_leg` on the tensor, and take its gradient back through it."""
    more_left = 2 if code == WIRE or code <= LEFT_Z else 1
    more_right = 2 if code >= RIGHT_CONTROL else 1
    n_left, n_right = tensor.shape[1] // more_left, tensor.shape[2] // more_right
    before = np.zeros((2, n_left, n_right), np.complex128)
    folded = np.zeros((2, n_left, n_right), np.complex128)
    for leg in range(2):
        a, b = (leg if more_left == 2 else 0), (leg if more_right == 2 else 0)
        for bit in range(2):
            source, factor = (bit, 1.0) if code == WIRE else _operator(code, leg, bit)
            if factor == 0.0:
                continue
            for left in range(n_left):
                for right in range(n_right):
                    at_left, at_right = left * more_left + a, right * more_right + b
                    before[source, left, right] = factor * tensor[bit, at_left, at_right]
                    folded[source, left, right] += factor * gradient[bit, at_left, at_right]
    return before, folded


@_part
def _store(tensor, out):
    """Write a tensor's numbers in their order: a slice assigned takes seconds to compile."""
    numbers = tensor.ravel()
    for k in range(len(out)):
        out[k] = numbers[k]


@_jit
def _build(start, code, angle, bond, offset, angles, tensors):
    for replica in range(len(angles)):
        for site in range(len(start) - 1):
            tensor = np.zeros((2, 1, 1), np.complex128)
            tensor[0, 0, 0] = 1.0
            for k in range(start[site], start[site + 1]):
                if angle[k] >= 0:
                    u00, u01, u10, u11 = _rotation(code[k], angles[replica, angle[k]])
                    _rotate(tensor, u00, u01, u10, u11)
                else:
                    tensor = _append_leg(tensor, code[k])
            _store(tensor, tensors[replica, offset[site] : offset[site + 1]])


@_jit
def _angle_scores(start, code, angle, bond, offset, angles, tensors, gradients, out):
    """From d log p = 2 Re Σ gradient · dA to ∂ log p / ∂ angle, undoing the gates one by one."""
    for replica in range(len(angles)):
        for site in range(len(start) - 1):
            shape = (2, bond[site], bond[site + 1])
            here = slice(offset[site], offset[site + 1])
            tensor = tensors[replica, here].copy().reshape(shape)
            gradient = gradients[replica, here].copy().reshape(shape)
            for k in range(start[site + 1] - 1, start[site] - 1, -1):
                if angle[k] < 0:
                    tensor, gradient = _fold_leg(tensor, gradient, code[k])
                    continue
                u00, u01, u10, u11 = _rotation(code[k], angles[replica, angle[k]])
                out[replica, angle[k]] += _generator_score(code[k], tensor, gradient)
                _rotate(tensor, np.conj(u00), np.conj(u10), np.conj(u01), np.conj(u11))
                _rotate(gradient, u00, u10, u01, u11)


@_part
def _generator_score(code, tensor, gradient):
    """2 Re Σ gradient · (-i/2) P A, with P the Pauli matrix of the rotation."""
    total = 0.0
    for left in range(tensor.shape[1]):
        for right in range(tensor.shape[2]):
            zero, one = tensor[0, left, right], tensor[1, left, right]
            g_zero, g_one = gradient[0, left, right], gradient[1, left, right]
            if code == RX:
                total += (g_zero * one + g_one * zero).imag
            elif code == RY:
                total += (g_one * zero - g_zero * one).real
            else:
                total += (g_zero * zero - g_one * one).imag
    return total


# -- sampling -------------------------------------------------------------------------------------


@_jit
def _weight_matrices(bond, offset, tensors, matrices):
    """For each site and bit, A_bit E A_bit†: the weight of a bit is v M v† of the left vector v.

    E, the right environment, is the sum of the two matrices of the next site.
    """
    for replica in range(len(tensors)):
        environment = np.ones((1, 1), np.complex128)
        end = matrices.shape[1]
        for site in range(len(bond) - 2, -1, -1):
            n_left, n_right = bond[site], bond[site + 1]
            tensor = tensors[replica, offset[site] : offset[site + 1]].reshape(2, n_left, n_right)
            end -= 2 * n_left * n_left
            both = matrices[replica, end : end + 2 * n_left * n_left].reshape(2, n_left, n_left)
            half = np.zeros(n_right, np.complex128)
            for bit in range(2):
                for i in range(n_left):
                    half[:] = 0.0
                    for k in range(n_right):
                        for m in range(n_right):
                            half[m] += tensor[bit, i, k] * environment[k, m]
                    for j in range(n_left):
                        total = 0j
                        for m in range(n_right):
                            total += half[m] * np.conj(tensor[bit, j, m])
                        both[bit, i, j] = total
            environment = both[0] + both[1]


@_threaded
def _sample(first_task, last_task, bond, offset, tensors, matrices, uniforms, bits):
    _, shots, n_sites = uniforms.shape
    blocks = (shots + _LANES - 1) // _LANES
    for task in range(first_task, last_task):
        replica, first = task // blocks, (task % blocks) * _LANES
        lanes = min(_LANES, shots - first)
        width = bond.max()
        real, imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        next_real, next_imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        weight = np.zeros((2, lanes))
        chosen, scale = np.zeros(lanes), np.zeros(lanes)
        real[0, :] = 1.0
        matrix_at = 0
        for site in range(n_sites):
            n_left, n_right = bond[site], bond[site + 1]
            for bit in range(2):
                matrix = matrices[replica, matrix_at : matrix_at + n_left * n_left]
                matrix_at += n_left * n_left
                _quadratic_form(matrix, n_left, real, imag, weight[bit])
            for k in range(lanes):
                one = (
                    uniforms[replica, first + k, site] * (weight[0, k] + weight[1, k])
                    < weight[1, k]
                )
                bits[replica, first + k, site] = one
                chosen[k] = one
            for k in range(lanes):  # apart from the above, so that roots are taken in vectors
                scale[k] = 1.0 / np.sqrt(weight[1, k] if chosen[k] > 0.5 else weight[0, k])
            tensor = tensors[replica, offset[site] : offset[site + 1]].reshape(2, n_left, n_right)
            _advance(tensor, chosen, scale, real, imag, next_real, next_imag)
            real, next_real = next_real, real
            imag, next_imag = next_imag, imag


@_part
def _quadratic_form(matrix, n, real, imag, out):
    """v M v† of every lane, for a Hermitian M."""
    lanes = len(out)
    for k in range(lanes):
        out[k] = 0.0
    for i in range(n):
        diagonal = matrix[i * n + i].real
        for k in range(lanes):
            out[k] += diagonal * (real[i, k] * real[i, k] + imag[i, k] * imag[i, k])
        for j in range(i + 1, n):
            a, b = 2 * matrix[i * n + j].real, 2 * matrix[i * n + j].imag
            for k in range(lanes):
                same = real[i, k] * real[j, k] + imag[i, k] * imag[j, k]
                cross = imag[i, k] * real[j, k] - real[i, k] * imag[j, k]
                out[k] += a * same - b * cross


@_part
def _advance(tensor, chosen, scale, real, imag, next_real, next_imag):
    """The left vector of every lane times its bit's matrix, times its scale."""
    _, n_left, n_right = tensor.shape
    lanes = len(chosen)
    for right in range(n_right):
        to_real, to_imag = next_real[right], next_imag[right]
        for k in range(lanes):
            to_real[k] = 0.0
            to_imag[k] = 0.0
        for left in range(n_left):
            a0, b0 = tensor[0, left, right].real, tensor[0, left, right].imag
            a1, b1 = tensor[1, left, right].real, tensor[1, left, right].imag
            from_real, from_imag = real[left], imag[left]
            for k in range(lanes):
                a = a1 if chosen[k] > 0.5 else a0
                b = b1 if chosen[k] > 0.5 else b0
                to_real[k] += from_real[k] * a - from_imag[k] * b
                to_imag[k] += from_real[k] * b + from_imag[k] * a
        for k in range(lanes):
            to_real[k] *= scale[k]
            to_imag[k] *= scale[k]


# -- log p of given bits, and its gradient --------------------------------------------------------


@_part
def _normalise(real, imag, n, scale):
    """Write 1 / norm of every lane's vector to `scale`, 0 for a vanishing one, and apply it."""
    for k in range(len(scale)):
        scale[k] = 0.0
    for i in range(n):
        for k in range(len(scale)):
            scale[k] += real[i, k] * real[i, k] + imag[i, k] * imag[i, k]
    for k in range(len(scale)):
        scale[k] = 1.0 / np.sqrt(scale[k]) if scale[k] > 0.0 else 0.0
    for i in range(n):
        for k in range(len(scale)):
            real[i, k] *= scale[k]
            imag[i, k] *= scale[k]


@_threaded
def _log_prob(first_task, last_task, bond, offset, tensors, bits, out):
    _, shots, n_sites = bits.shape
    blocks = (shots + _LANES - 1) // _LANES
    for task in range(first_task, last_task):
        replica, first = task // blocks, (task % blocks) * _LANES
        lanes = min(_LANES, shots - first)
        width = bond.max()
        real, imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        next_real, next_imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        chosen, scale, total = np.zeros(lanes), np.ones(lanes), np.zeros(lanes)
        ones = np.ones(lanes)
        real[0, :] = 1.0
        for site in range(n_sites):
            n_left, n_right = bond[site], bond[site + 1]
            for k in range(lanes):
                chosen[k] = bits[replica, first + k, site]
            tensor = tensors[replica, offset[site] : offset[site + 1]].reshape(2, n_left, n_right)
            _advance(tensor, chosen, ones, real, imag, next_real, next_imag)
            _normalise(next_real, next_imag, n_right, scale)
            for k in range(lanes):
                total[k] += -2.0 * np.log(scale[k]) if scale[k] > 0.0 else -np.inf
            real, next_real = next_real, real
            imag, next_imag = next_imag, imag
        for k in range(lanes):
            out[replica, first + k] = total[k]


@_part
def _by_site(bits):
    """Bits [lane, site] as numbers [site, lane], where a site's lie side by side for vectors."""
    lanes, n_sites = bits.shape
    drawn = np.empty((n_sites, lanes))
    for site in range(n_sites):
        for k in range(lanes):
            drawn[site, k] = bits[k, site]
    return drawn


@_part
def _left_vectors(bond, offset, tensors, drawn, scale):
    """The normalised left vector of every lane at every site: (first row of each site, re, im)."""
    n_sites, lanes = drawn.shape
    start = np.zeros(n_sites + 1, np.int64)
    for site in range(n_sites):
        start[site + 1] = start[site] + bond[site]
    real, imag = np.zeros((start[-1] + 1, lanes)), np.zeros((start[-1] + 1, lanes))
    ones = np.ones(lanes)
    real[0, :] = 1.0
    for site in range(n_sites - 1):
        n_left, n_right = bond[site], bond[site + 1]
        tensor = tensors[offset[site] : offset[site + 1]].reshape(2, n_left, n_right)
        here, there = start[site], start[site + 1]
        to_real, to_imag = real[there : there + n_right], imag[there : there + n_right]
        _advance(tensor, drawn[site], ones, real[here:there], imag[here:there], to_real, to_imag)
        _normalise(to_real, to_imag, n_right, scale)
    return start, real, imag


@_threaded
def _tensor_scores(first_task, last_task, bond, offset, tensors, bits, coefficients, parts):
    """Σ coefficient · ∂ log p / ∂ A for each block of draws, with d log p = 2 Re Σ gradient · dA.

    With the left vector l, the right vector r and the amplitude l A r, the gradient for the drawn
    bit's matrix is the outer product of l and r over the amplitude; norms of l and r drop out.
    """
    _, shots, n_sites = bits.shape
    blocks = (shots + _LANES - 1) // _LANES
    for task in range(first_task, last_task):
        replica, block = task // blocks, task % blocks
        first = block * _LANES
        lanes = min(_LANES, shots - first)
        width = bond.max()
        drawn = _by_site(bits[replica, first : first + lanes])
        scale = np.zeros(lanes)
        start, left_real, left_imag = _left_vectors(bond, offset, tensors[replica], drawn, scale)
        real, imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        next_real, next_imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        factor_real, factor_imag = np.zeros((2, lanes)), np.zeros((2, lanes))
        real[0, :] = 1.0
        for site in range(n_sites - 1, -1, -1):
            n_left, n_right = bond[site], bond[site + 1]
            tensor = tensors[replica, offset[site] : offset[site + 1]].reshape(2, n_left, n_right)
            here, there = start[site], start[site] + n_left
            _retreat(tensor, drawn[site], real, imag, next_real, next_imag)
            _score_factors(
                left_real[here:there], left_imag[here:there], next_real, next_imag, n_left,
                coefficients[replica, first : first + lanes], drawn[site], factor_real, factor_imag,
            )  # fmt: skip
            part = parts[block, replica, offset[site] : offset[site + 1]]
            _outer_products(
                left_real[here:there], left_imag[here:there], real, imag, n_left, n_right,
                factor_real, factor_imag, part.reshape(2, n_left, n_right),
            )  # fmt: skip
            _normalise(next_real, next_imag, n_left, scale)
            real, next_real = next_real, real
            imag, next_imag = next_imag, imag


@_part
def _retreat(tensor, chosen, real, imag, next_real, next_imag):
    """Every lane's bit's matrix times its right vector."""
    _, n_left, n_right = tensor.shape
    lanes = len(chosen)
    for left in range(n_left):
        to_real, to_imag = next_real[left], next_imag[left]
        for k in range(lanes):
            to_real[k] = 0.0
            to_imag[k] = 0.0
        for right in range(n_right):
            a0, b0 = tensor[0, left, right].real, tensor[0, left, right].imag
            a1, b1 = tensor[1, left, right].real, tensor[1, left, right].imag
            from_real, from_imag = real[right], imag[right]
            for k in range(lanes):
                a = a1 if chosen[k] > 0.5 else a0
                b = b1 if chosen[k] > 0.5 else b0
                to_real[k] += from_real[k] * a - from_imag[k] * b
                to_imag[k] += from_real[k] * b + from_imag[k] * a


@_part
def _score_factors(
    left_real, left_imag, real, imag, n, coefficients, chosen, factor_real, factor_imag
):
    """coefficient / (left · right) of every lane, in the row of its bit; 0 if impossible."""
    for k in range(len(chosen)):
        amplitude_real, amplitude_imag = 0.0, 0.0
        for i in range(n):
            amplitude_real += left_real[i, k] * real[i, k] - left_imag[i, k] * imag[i, k]
            amplitude_imag += left_real[i, k] * imag[i, k] + left_imag[i, k] * real[i, k]
        square = amplitude_real * amplitude_real + amplitude_imag * amplitude_imag
        inverse = coefficients[k] / square if square > 0.0 else 0.0
        one = chosen[k]
        factor_real[0, k] = (1.0 - one) * amplitude_real * inverse
        factor_imag[0, k] = (one - 1.0) * amplitude_imag * inverse
        factor_real[1, k] = one * amplitude_real * inverse
        factor_imag[1, k] = -one * amplitude_imag * inverse


@_part
def _outer_products(
    left_real, left_imag, right_real, right_imag, n_left, n_right, factor_real, factor_imag, out
):
    """Σ over lanes of factor · left ⊗ right, for both bits."""
    lanes = factor_real.shape[1]
    real, imag = np.empty(lanes), np.empty(lanes)
    for bit in range(2):
        for left in range(n_left):
            for k in range(lanes):
                a, b = left_real[left, k], left_imag[left, k]
                c, d = factor_real[bit, k], factor_imag[bit, k]
                real[k] = a * c - b * d
                imag[k] = a * d + b * c
            for right in range(n_right):
                total_real, total_imag = 0.0, 0.0
                for k in range(lanes):
                    total_real += real[k] * right_real[right, k] - imag[k] * right_imag[right, k]
                    total_imag += real[k] * right_imag[right, k] + imag[k] * right_real[right, k]
                out[bit, left, right] = complex(total_real, total_imag)


@_jit
def _derive(start, code, angle, bond, angles, derivatives, offset):
    """∂A / ∂ angle of every rotation: its gate's generator put behind it, then the later gates."""
    for replica in range(len(angles)):
        for site in range(len(start) - 1):
            before = np.zeros((2, 1, 1), np.complex128)
            before[0, 0, 0] = 1.0
            for k in range(start[site], start[site + 1]):
                if angle[k] < 0:
                    before = _append_leg(before, code[k])
                    continue
                u00, u01, u10, u11 = _rotation(code[k], angles[replica, angle[k]])
                _rotate(before, u00, u01, u10, u11)
                # d/dθ exp(-iθP/2) = exp(-i(θ + π)P/2) / 2
                tensor = before.copy()
                u00, u01, u10, u11 = _rotation(code[k], np.pi)
                _rotate(tensor, u00 / 2, u01 / 2, u10 / 2, u11 / 2)
                for later in range(k + 1, start[site + 1]):
                    if angle[later] < 0:
                        tensor = _append_leg(tensor, code[later])
                    else:
                        u00, u01, u10, u11 = _rotation(code[later], angles[replica, angle[later]])
                        _rotate(tensor, u00, u01, u10, u11)
                _store(tensor, derivatives[replica, offset[k] : offset[k + 1]])


@_threaded
def _draw_scores(
    first_task, last_task, bond, offset, tensors, bits, start, angle, derivatives, begin, out
):
    """∂ log p / ∂ angle = 2 Re l (∂A / ∂ angle) r / (l A r) of every draw, for the drawn bit."""
    _, shots, n_sites = bits.shape
    blocks = (shots + _LANES - 1) // _LANES
    for task in range(first_task, last_task):
        replica, first = task // blocks, (task % blocks) * _LANES
        lanes = min(_LANES, shots - first)
        width = bond.max()
        drawn = _by_site(bits[replica, first : first + lanes])
        scale, ones = np.zeros(lanes), np.ones(lanes)
        at, left_real, left_imag = _left_vectors(bond, offset, tensors[replica], drawn, scale)
        real, imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        next_real, next_imag = np.zeros((width, lanes)), np.zeros((width, lanes))
        factor_real, factor_imag = np.zeros((2, lanes)), np.zeros((2, lanes))
        outer_real, outer_imag = np.zeros((width * width, lanes)), np.zeros((width * width, lanes))
        total = np.zeros(lanes)
        real[0, :] = 1.0
        for site in range(n_sites - 1, -1, -1):
            n_left, n_right = bond[site], bond[site + 1]
            size = n_left * n_right
            tensor = tensors[replica, offset[site] : offset[site + 1]].reshape(2, n_left, n_right)
            here, there = at[site], at[site] + n_left
            _retreat(tensor, drawn[site], real, imag, next_real, next_imag)
            _score_factors(
                left_real[here:there], left_imag[here:there], next_real, next_imag, n_left,
                ones, drawn[site], factor_real, factor_imag,
            )  # fmt: skip
            for left in range(n_left):
                for right in range(n_right):
                    entry = left * n_right + right
                    for k in range(lanes):
                        c = factor_real[0, k] + factor_real[1, k]
                        d = factor_imag[0, k] + factor_imag[1, k]
                        a = left_real[here + left, k] * c - left_imag[here + left, k] * d
                        b = left_real[here + left, k] * d + left_imag[here + left, k] * c
                        outer_real[entry, k] = 2 * (a * real[right, k] - b * imag[right, k])
                        outer_imag[entry, k] = 2 * (a * imag[right, k] + b * real[right, k])
            for operation in range(start[site], start[site + 1]):
                if angle[operation] < 0:
                    continue
                total[:] = 0.0
                derivative = derivatives[replica, begin[operation] : begin[operation + 1]]
                for entry in range(size):
                    a0, b0 = derivative[entry].real, derivative[entry].imag
                    a1, b1 = derivative[size + entry].real, derivative[size + entry].imag
                    for k in range(lanes):
                        a = a1 if drawn[site, k] > 0.5 else a0
                        b = b1 if drawn[site, k] > 0.5 else b0
                        total[k] += a * outer_real[entry, k] - b * outer_imag[entry, k]
                for k in range(lanes):
                    out[replica, first + k, angle[operation]] = total[k]
            _normalise(next_real, next_imag, n_left, scale)
            real, next_real = next_real, real
            imag, next_imag = next_imag, imag
