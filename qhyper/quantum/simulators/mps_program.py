"""A circuit as a site program: what the matrix product on the CPU and the one in torch share.

A CX is a matrix-product operator of bond 2, `Σ_a |a><a| ⊗ X^a`, and a CZ is `Σ_a |a><a| ⊗ Z^a`, so
each gate across a bond doubles that bond and nothing is ever truncated. Every qubit is a site
with a tensor A[bit, left, right]; the amplitude of a bitstring is the product of its matrices.

A site's tensor is built from its own gates alone, in time order: a rotation turns the bit axis, a
two-qubit gate appends a leg to `left` or `right`. Both sites of a gate append it at the same
place, so the legs match. Gates that only ever see `|0>` do nothing and are left out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, all_bitstrings
from qhyper.quantum.backend import (
    KEPT_BYTES,
    acts,
    check_memory,
    checked_angles,
    matrix_product_bonds,
    matrix_product_bytes,
)
from qhyper.quantum.circuit import ROTATIONS, Circuit
from qhyper.streams import Rngs
from qhyper.threads import in_threads

Float = npt.NDArray[np.float64]

RX, RY, RZ, LEFT_CONTROL, LEFT_X, LEFT_Z, RIGHT_CONTROL, RIGHT_X, RIGHT_Z, WIRE = range(10)

ROWS_BYTES = 2**30
"""Memory for the tensors of rows of angles that are sampled, or whose scores are, together."""


@dataclass(frozen=True)
class Program:
    """A circuit compiled to one list of operations per site."""

    n_sites: int
    n_angles: int
    start: npt.NDArray[np.int64]
    """operations of site i: start[i] to start[i + 1]"""
    code: npt.NDArray[np.int64]
    angle: npt.NDArray[np.int64]
    """index of the angle of a rotation, else -1"""
    bond: npt.NDArray[np.int64]
    """bond[i] is the dimension left of site i; n_sites + 1 entries"""
    offset: npt.NDArray[np.int64]
    """where the tensor A[bit, left, right] of site i begins in the flat array"""
    row_bytes: int
    """memory for the tensors of one row of angles, and for what is computed from them"""


def compile_circuit(circuit: Circuit, *, rows: int = 1) -> Program:
    """The site program of a circuit.

    Raises ConfigurationError, with the estimate, if its tensors would not fit in memory.
    """
    log2_bond = matrix_product_bonds(circuit)
    check_memory(circuit, "mps", matrix_product_bytes(log2_bond, rows))
    operations: list[list[tuple[int, int]]] = [[] for _ in range(circuit.n_qubits)]
    touched: set[int] = set()
    for gate, angle in circuit.numbered():
        if angle is not None:
            code = (RX, RY, RZ)[ROTATIONS.index(gate.name)]
            operations[gate.qubits[0]].append((code, angle))
            touched.add(gate.qubits[0])
            continue
        if not acts(gate.name, gate.qubits, touched):
            continue
        touched.update(gate.qubits)
        control, target = gate.qubits
        left, right = min(control, target), max(control, target)
        on_target = (RIGHT_X, LEFT_X) if gate.name == "cx" else (RIGHT_Z, LEFT_Z)
        operations[left].append((RIGHT_CONTROL if left == control else on_target[0], -1))
        operations[right].append((LEFT_CONTROL if right == control else on_target[1], -1))
        for between in range(left + 1, right):
            operations[between].append((WIRE, -1))
    bond = np.array([1 << b for b in log2_bond], dtype=np.int64)
    flat = [operation for site in operations for operation in site]
    return Program(
        n_sites=circuit.n_qubits,
        n_angles=circuit.n_angles,
        start=np.cumsum([0] + [len(site) for site in operations]),
        code=np.array([code for code, _ in flat], dtype=np.int64),
        angle=np.array([angle for _, angle in flat], dtype=np.int64),
        bond=bond,
        offset=np.concatenate([[0], np.cumsum(2 * bond[:-1] * bond[1:])]),
        row_bytes=matrix_product_bytes(log2_bond),
    )


class MatrixProductAt(ABC):
    """A matrix product at angles [replica, row, angle], of which it has a copy.

    Site tensors are built when they are first needed, and what only sampling needs when something
    is sampled. They are kept for the next call if the memory of all rows, `Program.row_bytes`
    each, is at most KEPT_BYTES; else they are built for every call.
    """

    def __init__(self, program: Program, angles: Float) -> None:
        self.program = program
        self.angles = checked_angles(angles, program.n_angles)

    @property
    def keeps(self) -> bool:
        """Whether tensors are kept from call to call."""
        replicas, rows, _ = self.angles.shape
        return replicas * rows * self.program.row_bytes <= KEPT_BYTES

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """As in `Prepared`; many rows are drawn in parts."""
        replicas, rows, _ = self.angles.shape
        n_sites = self.program.n_sites
        bits = np.empty((replicas, rows, shots, n_sites), np.uint8)
        row_bytes = self.program.row_bytes + 16 * shots * n_sites  # and its uniforms, and bits
        together = max(1, ROWS_BYTES // (replicas * row_bytes))
        for first in range(0, rows, together):
            part = slice(first, min(rows, first + together))
            uniforms = np.empty((replicas, part.stop - first, shots, n_sites))
            _fill(uniforms, rng)
            bits[:, part] = self._draw(part, uniforms)
        return bits

    @abstractmethod
    def _draw(self, rows: slice, uniforms: Float) -> Bits:
        """Draws of these rows from uniforms [replica, row, shot, qubit], which decide every bit."""

    @abstractmethod
    def log_prob(self, bits: Bits) -> Float:
        """As in WithLogProb."""

    @abstractmethod
    def score(self, bits: Bits, coefficients: Float) -> Float:
        """As in WithLogProb."""

    @abstractmethod
    def scores(self, bits: Bits) -> Float:
        """As in WithLogProb."""

    def probabilities(self) -> Float:
        """As in WithExpectation."""
        strings = all_bitstrings(self.program.n_sites)
        every = np.broadcast_to(strings, (*self.angles.shape[:2], *strings.shape))
        return np.exp(self.log_prob(every))


def _fill(uniforms: Float, rng: Rngs) -> None:
    """Each replica's uniforms from its own stream; several replicas in threads."""

    def fill(first: int, last: int) -> None:
        for replica in range(first, last):
            rng[replica].random(out=uniforms[replica])

    in_threads(fill, len(uniforms), at_least=1 + 50_000 // max(1, uniforms[0].size))
