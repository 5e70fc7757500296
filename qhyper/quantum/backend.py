"""Backends: where a circuit runs, and which one can hold it.

A backend compiles a circuit once; what it returns is put at as many rows of angles as are asked
for, and answers for all of them in one call: `compile(circuit).at(angles).sample(shots, rng)`.
Axes: angles [replica, row, angle], draws [replica, row, shot, qubit].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_float
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.machine import GIB, memory
from qhyper.quantum.circuit import ROTATIONS, Circuit
from qhyper.streams import Rngs

Float = npt.NDArray[np.float64]

AMPLITUDE = 16
"""Bytes of a complex number in double precision."""
KEPT_BYTES = 2**26
"""Memory that a circuit at its angles keeps from call to call; more is computed for each call."""
_SMALL = 8 * 2**20
"""Bytes of a matrix product that is about as quick as a state vector: bonds of about 64."""


@dataclass(frozen=True)
class BackendCapabilities:
    """What a backend can do besides sampling; generators ask here, never by type."""

    log_prob: bool = False
    """`log_prob` and `score` are exact."""
    probability_bits: int = 0
    """`probabilities` gives the exact distribution of up to so many qubits."""
    expectation: bool = False
    """`expectation` gives exact ⟨C⟩ of a diagonal cost with all its derivatives."""
    paid: bool = False
    """Jobs go to a service that may charge for them, by way of a ledger (`CloudBackend`)."""
    mitigates: bool = False
    """An Executable has `mitigated`: readout errors are known, and undone in means of losses."""


class Named:
    """What prints as its class and its name, `__str__`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class Prepared(Protocol):
    """A circuit on a backend at angles [replica, row, angle], which it is asked about.

    What several of its methods need is computed once, when it is first needed, and kept for the
    next call if it takes at most KEPT_BYTES.
    """

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """Draws uint8 [replica, row, shot, qubit]; a replica uses its own generator alone."""
        ...


class WithLogProb(Prepared, Protocol):
    """What there is at angles with a backend of capability `log_prob`."""

    def log_prob(self, bits: Bits) -> Float:
        """log p [replica, row, shot] of bits [replica, row, shot, qubit]; -inf if impossible."""
        ...

    def score(self, bits: Bits, coefficients: Float) -> Float:
        """Σ over shots of coefficient · ∂ log p / ∂ angle, [replica, row, angle]."""
        ...

    def scores(self, bits: Bits) -> Float:
        """∂ log p / ∂ angle of every draw, [replica, row, shot, angle]."""
        ...


class WithExpectation(WithLogProb, Protocol):
    """What there is at angles with a backend of capability `expectation`."""

    def probabilities(self) -> Float:
        """p of every bitstring, [replica, row, 2^n]; qubit 0 changes fastest."""
        ...

    def expectation(self, costs: Float) -> tuple[Float, Float]:
        """Σ p · costs [replica, row] and its derivatives [replica, row, angle].

        costs [replica, row, 2^n], qubit 0 changing fastest.
        """
        ...


class Executable(Protocol):
    """A circuit on a backend.

    With the capability `mitigates` it has `mitigated(bits, losses)` besides: bits [..., shot,
    qubit] and losses [..., shot] give losses [..., shot], whose mean over the shots is the mean
    loss without the device's readout errors. Single ones mean nothing.
    """

    def at(self, angles: Float) -> Prepared:
        """The circuit at angles [replica, row, angle] in radians.

        Later changes of the array do not matter.
        """
        ...


def checked_angles(angles: npt.ArrayLike, n_angles: int) -> Float:
    """A copy of angles [replica, row, angle], float64: every Executable begins with it.

    Raises ConfigurationError unless they are finite, n_angles a row and at least one row.
    """
    array = as_float(angles, "angles", "finite angles [replica, row, angle]")
    fits = array.ndim == 3 and array.shape[2] == n_angles and min(array.shape[:2]) > 0
    if not fits or not np.isfinite(array).all():
        wrong = "" if not fits else ", of which some are NaN or infinite"
        raise ConfigurationError(
            f"Got angles of shape {array.shape}{wrong}; expected finite angles [replica, row, "
            f"{n_angles}], at least one row. If training led there, lower its learning rate."
        )
    return np.array(array, order="C")


class Backend(Protocol):
    """Where circuits run. Its `str` is the name that `build_backend` knows it by."""

    capabilities: BackendCapabilities

    def compile(self, circuit: Circuit, *, rows: int = 1) -> Executable:
        """The circuit, ready to run, with memory for `rows` rows of angles at a time.

        Raises ConfigurationError, with the memory needed and who can do it, if it does not fit.
        """
        ...


# -- memory ----------------------------------------------------------------------------------------


def state_vector_bytes(n_qubits: int, copies: int = 1) -> int:
    """Memory of `copies` state vectors; a density matrix is a vector of twice the qubits."""
    return AMPLITUDE * copies << n_qubits


def matrix_product_bonds(circuit: Circuit) -> list[int]:
    """log2 of the bond left of each site, n_qubits + 1 of them, of the exact matrix product.

    Each CX or CZ doubles the bonds that it spans; CX with a control still in `|0>` and CZ with
    either qubit in `|0>` do nothing.
    """
    touched: set[int] = set()
    bonds = np.zeros(circuit.n_qubits + 1, dtype=np.int64)
    for gate in circuit.gates:
        if gate.name in ROTATIONS:
            touched.add(gate.qubits[0])
        elif acts(gate.name, gate.qubits, touched):
            touched.update(gate.qubits)
            bonds[min(gate.qubits) + 1 : max(gate.qubits) + 1] += 1
    return bonds.tolist()


def acts(name: str, qubits: tuple[int, ...], touched: set[int]) -> bool:
    """Whether a CX or CZ does anything, when only the qubits in `touched` have left `|0>`."""
    return touched.issuperset(qubits) if name == "cz" else qubits[0] in touched


def matrix_product_bytes(bonds: list[int], rows: int = 1) -> int:
    """Memory of the exact matrix product: tensors, their gradients and sampling's matrices."""
    sizes = [1 << bond for bond in bonds]
    tensors = sum(6 * left * right for left, right in pairwise(sizes))
    matrices = sum(2 * left * left for left in sizes)
    return AMPLITUDE * (rows * (tensors + matrices) + 2 * 64 * sum(sizes))


def check_memory(
    circuit: Circuit, backend: str, needed: int, others: Mapping[str, int] | None = None
) -> None:
    """Raise ConfigurationError if `needed` bytes are too many, naming the backends that can.

    These are among `others`, with the bytes that they need: the exact simulators unless told.
    """
    available = memory()
    if needed <= available:
        return
    others = footprints(circuit) if others is None else others
    able = [name for name, size in others.items() if size <= available]
    if backend in able:  # one row of angles would fit
        instead = "Use fewer replicas at a time."
    elif able:
        instead = f"It fits on {', '.join(able)}."
    else:
        instead = (
            "No simulator holds it here: use fewer entangling gates across each bond (a "
            "smaller depth), or fewer qubits."
        )
    raise ConfigurationError(
        f"The backend {backend} would need about {_gib(needed)} GiB for this circuit of "
        f"{circuit.n_qubits} qubits and {len(circuit.gates)} gates; this machine has "
        f"{_gib(available)} GiB. {instead}"
    )


def footprints(circuit: Circuit) -> dict[str, int]:
    """Bytes that each exact simulator would need for one row of angles."""
    return {
        "mps": matrix_product_bytes(matrix_product_bonds(circuit)),
        "statevector": state_vector_bytes(circuit.n_qubits, 4),
        "pennylane:lightning.qubit": state_vector_bytes(circuit.n_qubits, 10),
        "aer:statevector": state_vector_bytes(circuit.n_qubits, 2),
    }


def _gib(size: int) -> str:
    # past the range of a float for silly depths
    if size < 1 << 50:
        return f"{size / GIB:,.0f}" if size > 100 * GIB else f"{size / GIB:.3g}"
    return f"{size / GIB:.3g}" if size < 1 << 900 else f"2^{size.bit_length() - 31}"


def suitable(circuit: Circuit) -> str:
    """The name of the exact backend for a circuit, decided from the circuit itself.

    The matrix product where it is small or smaller than the state vector, else the state vector.
    Raises ConfigurationError if neither fits.
    """
    sizes, available = footprints(circuit), memory()
    product, vector = sizes["mps"], sizes["statevector"]
    if product <= max(vector, _SMALL) or vector > available:
        check_memory(circuit, "mps", product)
        return "mps"
    return "statevector"
