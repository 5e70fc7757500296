"""Exact ⟨C⟩ and all its derivatives on matrix products, for costs that are matrix products too.

A diagonal cost is written like the amplitude, as a product with one matrix for each qubit's bit:

    cost(bits) = Σ over terms of M_1[bit 1] ⋯ M_n[bit n] · last

The states between two matrices are what a reader of the bits has to remember: nothing for a single
string, the number of agreements so far for a perceptron. All matrices here are banded, and held as
their diagonals.

One sweep from the left has the environments of every bond, [bond, state, bond]; one from the right
takes them back and gives the derivatives by all tensors, hence by all angles. Time and memory grow
with the qubits, the states and the bonds, never with 2^n, and nothing is sampled or truncated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, as_float
from qhyper.bits import as_bits
from qhyper.errors import ConfigurationError
from qhyper.machine import memory
from qhyper.quantum.backend import AMPLITUDE, GIB
from qhyper.quantum.simulators.mps_kernels import Complex, add_angle_scores, site_tensors
from qhyper.quantum.simulators.mps_program import Float, Program

_SWEEP_BYTES = 2**28
"""Memory for the environments of the rows of angles that are swept together."""

Diagonals = Mapping[int, Float]
"""A banded matrix: entry k of diagonal d takes state k to state k + d."""


@dataclass(frozen=True, eq=False)
class _Term:
    """One matrix product, with one row vector on its left."""

    states: tuple[int, ...]
    """before each qubit, and after the last"""
    matrices: tuple[tuple[Diagonals, Diagonals], ...]
    """of each qubit, for bit 0 and bit 1; a vanishing one has no diagonals"""
    last: Float
    """[state] after the last qubit"""


class MatrixProductCost:
    """A cost of bitstrings as a sum of matrix products; the class methods make them.

    Bits stand for signs w as weights do: bit 1 is +1, bit 0 is -1.
    """

    def __init__(self, terms: Sequence[_Term]) -> None:
        self.terms = tuple(terms)

    @property
    def n_qubits(self) -> int:
        """Number of bits."""
        return len(self.terms[0].matrices)

    def __call__(self, bits: npt.ArrayLike) -> Float:
        """The cost float64 [...] of bits [..., n_qubits], one matrix after another."""
        strings = as_bits(bits, self.n_qubits)
        total = np.zeros(strings.shape[:-1])
        for term in self.terms:
            vector = np.ones((*strings.shape[:-1], 1))
            for site, matrices in enumerate(term.matrices):
                after = np.zeros((*strings.shape[:-1], term.states[site + 1]))
                for bit, diagonals in enumerate(matrices):
                    chosen = strings[..., site, None] == bit
                    for shift, weights in diagonals.items():
                        moved = vector[..., : len(weights)] * weights
                        after[..., shift : shift + len(weights)] += chosen * moved
                vector = after
            total += vector @ term.last
        return total

    @classmethod
    def linear(cls, coefficients: npt.ArrayLike) -> "MatrixProductCost":
        """Σ c_i w_i of coefficients [qubit]; its states are "yet to come" and "added".

        Raises ConfigurationError unless they are finite numbers, at least one.
        """
        c = _finite(coefficients, "coefficients")
        matrices = [
            ({0: np.ones(2), 1: np.array([-c_i])}, {0: np.ones(2), 1: np.array([c_i])}) for c_i in c
        ]
        return cls([_from_first(matrices, np.array([0.0, 1.0]))])

    @classmethod
    def neighbours(cls, couplings: npt.ArrayLike) -> "MatrixProductCost":
        """Σ J_i w_i w_{i+1} of couplings [qubit - 1].

        Its states are "yet to come", "between the qubits of a pair" and "added". Raises
        ConfigurationError unless they are finite numbers, at least one.
        """
        j = _finite(couplings, "couplings")
        wait = np.array([1.0, 0.0, 1.0])
        matrices = []
        for ended, begun in zip(np.append(0.0, j), np.append(np.ones(len(j)), 0.0), strict=True):
            step = np.array([begun, ended])
            matrices.append(({0: wait, 1: -step}, {0: wait, 1: step}))
        return cls([_from_first(matrices, np.array([0.0, 0.0, 1.0]))])

    @classmethod
    def projector(cls, string: npt.ArrayLike) -> "MatrixProductCost":
        """1 for the bits of `string` [qubit], 0 for all others; one state.

        Raises ConfigurationError unless they are bits of one string.
        """
        wanted = as_array(string, "a string", "the bits [qubit] of one")
        if wanted.ndim != 1 or not wanted.size:
            raise ConfigurationError(
                f"Got a string of shape {wanted.shape}; expected the bits [qubit] of one."
            )
        here: Diagonals = {0: np.ones(1)}
        matrices = [({}, here) if bit else (here, {}) for bit in as_bits(wanted, len(wanted))]
        return cls([_from_first(matrices, np.ones(1))])

    @classmethod
    def agreements(cls, signs: npt.ArrayLike, values: npt.ArrayLike) -> "MatrixProductCost":
        """Σ over rows of values[row, a], a the number of agreements w_i = signs[row, i].

        Of rows of -1 and +1 [row, qubit] and values [row, qubit + 1]: any function of Σ w_i x_i,
        such as a perceptron's loss. Each row is a term whose state after i qubits is the number
        so far, 0 to i. Raises ConfigurationError for other rows or values.
        """
        x, table = as_float(signs, "rows"), as_float(values, "values")
        n = x.shape[-1] if x.ndim == 2 else 0
        if not x.size or table.shape != (len(x), n + 1) or not np.isfinite(table).all():
            raise ConfigurationError(
                f"Got rows of shape {x.shape} with values of shape {table.shape}; expected [row, "
                "qubit] with finite [row, qubit + 1], at least one of each."
            )
        if not np.isin(x, (-1.0, 1.0)).all():
            raise ConfigurationError(
                "Got features other than -1 and +1: the margin would take too many values to be "
                "counted. Use rows of signs."
            )
        states = tuple(range(1, n + 2))
        stay, move = [{0: np.ones(k)} for k in states], [{1: np.ones(k)} for k in states]
        terms = []
        for row, last in zip(x, table, strict=True):
            matrices = [(stay[i], move[i]) if row[i] > 0 else (move[i], stay[i]) for i in range(n)]
            terms.append(_Term(states, tuple(matrices), last.copy()))
        return cls(terms)


def expectation(program: Program, angles: Float, cost: MatrixProductCost) -> tuple[Float, Float]:
    """⟨C⟩ [replica] and its derivatives [replica, n_angles], of angles [replica, n_angles].

    Exact; a probability below 1e-308, as strings of a thousand qubits may have, counts as 0.
    Raises ConfigurationError if the cost is of another number of qubits, or if the environments
    of one row of angles do not fit in memory.
    """
    if cost.n_qubits != program.n_sites:
        raise ConfigurationError(
            f"Got a cost of {cost.n_qubits} bits for a circuit of {program.n_sites} qubits. Build "
            "it for as many."
        )
    needed = max(_environment_bytes(program, term) for term in cost.terms)
    if needed > memory():
        raise ConfigurationError(
            f"The environments of this cost would need about {needed / GIB:.3g} GiB for one row of "
            f"angles; this machine has {memory() / GIB:.3g} GiB. Use fewer entangling gates across "
            "each bond (a smaller depth), or fewer qubits."
        )
    values, derivatives = np.zeros(len(angles)), np.zeros(angles.shape)
    together = max(1, _SWEEP_BYTES // needed)
    for first in range(0, len(angles), together):
        rows = slice(first, first + together)
        tensors = site_tensors(program, angles[rows])
        gradients = np.zeros_like(tensors)
        sites, site_gradients = _by_site(program, tensors), _by_site(program, gradients)
        for term in cost.terms:
            lefts = _from_left(sites, term)
            values[rows] += (lefts[-1][:, 0, :, 0] @ term.last).real
            _add_gradients(sites, term, lefts, site_gradients)
        own = np.ascontiguousarray(angles[rows])
        add_angle_scores(program, own, tensors, gradients, derivatives[rows])
    return values, derivatives


# -- making costs ----------------------------------------------------------------------------------


def _finite(numbers: npt.ArrayLike, what: str) -> Float:
    array = as_float(numbers, what, "finite numbers in one axis, at least one")
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ConfigurationError(
            f"Got {array.tolist()} as {what}; expected finite numbers in one axis, at least one."
        )
    return array


def _from_first(matrices: Sequence[tuple[Diagonals, Diagonals]], last: Float) -> _Term:
    """A term of square matrices that begins in the first state."""
    zero, one = ({shift: weights[:1] for shift, weights in m.items()} for m in matrices[0])
    states = (1, *[len(last)] * len(matrices))
    return _Term(states, ((zero, one), *matrices[1:]), last)


# -- sweeps ----------------------------------------------------------------------------------------


def _environment_bytes(program: Program, term: _Term) -> int:
    """Of all left environments of one row of angles."""
    return AMPLITUDE * int((program.bond**2 * np.array(term.states)).sum())


def _by_site(program: Program, flat: Complex) -> list[Complex]:
    """Views [replica, bit, left, right] of the flat arrays of all sites."""
    bond, offset = program.bond, program.offset
    return [
        flat[:, offset[i] : offset[i + 1]].reshape(-1, 2, bond[i], bond[i + 1])
        for i in range(program.n_sites)
    ]


def _from_left(sites: Sequence[Complex], term: _Term) -> list[Complex]:
    """Environments [replica, bond, state, bond] of what stands left of each site, and of all.

    The first bond is that of the conjugate. The state stands between the bonds, so that each side
    is multiplied by its matrix for all states at once.
    """
    lefts = [np.ones((len(sites[0]), 1, 1, 1), np.complex128)]
    for tensor, matrices, states in zip(sites, term.matrices, term.states[1:], strict=True):
        replicas, _, n_left, n_right = tensor.shape
        left = lefts[-1]
        before = left.shape[2]
        after = np.zeros((replicas, n_right, states, n_right), np.complex128)
        for bit, diagonals in enumerate(matrices):
            if not diagonals:
                continue
            matrix = tensor[:, bit]
            half = matrix.conj().swapaxes(1, 2) @ left.reshape(replicas, n_left, before * n_left)
            both = half.reshape(replicas, n_right * before, n_left) @ matrix
            both = both.reshape(replicas, n_right, before, n_right)
            for shift, weights in diagonals.items():
                n = len(weights)
                after[:, :, shift : shift + n] += weights[:, None] * both[:, :, :n]
        lefts.append(after)
    return lefts


def _add_gradients(
    sites: Sequence[Complex], term: _Term, lefts: Sequence[Complex], gradients: Sequence[Complex]
) -> None:
    """Add to `gradients`, as views of the sites, G with d⟨C⟩ = 2 Re Σ G · dA.

    G is the network without the tensor A: left environment, conjugate of A, right environment.
    """
    replicas = len(sites[0])
    right = np.zeros((replicas, 1, len(term.last), 1), np.complex128)
    right[:, 0, :, 0] = term.last
    for site in range(len(sites) - 1, -1, -1):
        tensor, left = sites[site], lefts[site]
        _, _, n_left, n_right = tensor.shape
        before = left.shape[2]
        before_right = np.zeros((replicas, n_left, before, n_left), np.complex128)
        for bit, diagonals in enumerate(term.matrices[site]):
            if not diagonals:
                continue
            matrix = tensor[:, bit]
            taken = np.zeros((replicas, n_right, before, n_right), np.complex128)
            for shift, weights in diagonals.items():
                n = len(weights)
                taken[:, :, :n] += weights[:, None] * right[:, :, shift : shift + n]
            half = matrix.conj() @ taken.reshape(replicas, n_right, before * n_right)
            half = half.reshape(replicas, n_left * before, n_right)
            gradients[site][:, bit] += (
                left.reshape(replicas, n_left * before, n_left).swapaxes(1, 2) @ half
            )
            both = half @ matrix.swapaxes(1, 2)
            before_right += both.reshape(replicas, n_left, before, n_left)
        right = before_right
