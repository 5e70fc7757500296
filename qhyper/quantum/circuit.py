"""Circuit, a neutral list of gates, and the ansätze that build one.

All qubits start in |0>. A rotation is exp(-i angle P / 2) with P = X, Y or Z.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError, unknown

ROTATIONS = ("rx", "ry", "rz")
TWO_QUBIT_GATES = ("cx", "cz")


@dataclass(frozen=True)
class Gate:
    """One gate: a rotation with the index of its angle, or a CX or CZ (control first)."""

    name: str
    qubits: tuple[int, ...]
    angle: int | None = None


@dataclass(frozen=True)
class Circuit:
    """Gates in the order in which they act; every angle belongs to one rotation."""

    n_qubits: int
    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
        if self.n_qubits < 1:
            raise ConfigurationError(f"A circuit needs at least 1 qubit; got {self.n_qubits}.")
        angles = 0
        for gate in self.gates:
            rotation = gate.name in ROTATIONS
            if not rotation and gate.name not in TWO_QUBIT_GATES:
                raise unknown("gate", gate.name, ROTATIONS + TWO_QUBIT_GATES)
            arity = 1 if rotation else 2
            on_qubits = all(0 <= qubit < self.n_qubits for qubit in gate.qubits)
            if len(set(gate.qubits)) != arity or len(gate.qubits) != arity or not on_qubits:
                raise ConfigurationError(
                    f"Gate '{gate.name}' got qubits {gate.qubits}; expected {arity} different "
                    f"qubits from 0 to {self.n_qubits - 1}."
                )
            if gate.angle != (angles if rotation else None):
                raise ConfigurationError(
                    f"Gate '{gate.name}' got angle {gate.angle}; expected "
                    f"{angles if rotation else None}: rotations number their angles in order."
                )
            angles += rotation

    @property
    def n_angles(self) -> int:
        """Number of rotations."""
        return sum(gate.angle is not None for gate in self.gates)


class Ansatz(Protocol):
    """A family of circuits, one for each number of qubits."""

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        ...


@dataclass(frozen=True)
class Product:
    """One Ry on every qubit: no entanglement, so a product of Bernoulli distributions."""

    def __str__(self) -> str:
        return "product circuit"

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        return Circuit(n_qubits, tuple(Gate("ry", (q,), q) for q in range(n_qubits)))


@dataclass(frozen=True)
class Brickwork:
    """The ansatz of Carrasquilla et al. (2023, arXiv:2301.08292): `depth` sublayers.

    Each sublayer: CX(j, j+1) on every second pair, then Ry on all qubits, then Rz on all. The
    pairs start at the first qubit in the first sublayer and at the second qubit in the second
    (`phase` 0), or the reverse (`phase` 1), alternating. 2 · n · depth angles; two sublayers are
    one "layer" of the paper.
    """

    depth: int
    phase: Literal[0, 1] = 0

    def __str__(self) -> str:
        return f"brickwork of depth {self.depth}"

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ConfigurationError(
                f"Brickwork depth must be at least 1; got {self.depth}. Without entangling gates, "
                "use the product ansatz."
            )
        if self.phase not in (0, 1):
            raise ConfigurationError(f"Brickwork phase is 0 or 1; got {self.phase}.")

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        gates: list[Gate] = []
        angle = 0
        for sublayer in range(self.depth):
            first = (sublayer + self.phase) % 2
            gates += [Gate("cx", (j, j + 1)) for j in range(first, n_qubits - 1, 2)]
            for name in ("ry", "rz"):
                gates += [Gate(name, (q,), angle + q) for q in range(n_qubits)]
                angle += n_qubits
        return Circuit(n_qubits, tuple(gates))


Start = Literal["near-product", "uniform"]


def initial_angles(
    circuit: Circuit, start: Start, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Angles [n_angles] to begin training at.

    `near-product`: all N(0, 0.05²) about zero, except that the last Ry of each qubit is about
    π/2: near the uniform distribution without entanglement. `uniform`: all uniform in [-π, π).
    """
    if start == "uniform":
        return rng.uniform(-np.pi, np.pi, circuit.n_angles)
    if start != "near-product":
        raise unknown("start", start, ("near-product", "uniform"))
    angles = rng.normal(0, 0.05, circuit.n_angles)
    last_ry = {gate.qubits[0]: gate.angle for gate in circuit.gates if gate.name == "ry"}
    angles[[angle for angle in last_ry.values() if angle is not None]] += np.pi / 2
    return angles
