"""What an ansatz must do: a circuit for any number of qubits, whose angles all turn something."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qhyper.checks.finding import expect, expect_same
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.simulators.state_vector import StateVectorBackend

QUBITS = 8


@dataclass(frozen=True, eq=False)
class Ansatz:
    """An ansatz to be tried."""

    ansatz: Any

    @property
    def circuit(self) -> Circuit:
        """Its circuit of eight qubits."""
        return self.ansatz.build(QUBITS)


def _probabilities(circuit: Circuit) -> np.ndarray:
    rng = np.random.default_rng(0)
    angles = rng.uniform(-np.pi, np.pi, (1, 1, circuit.n_angles))
    return StateVectorBackend().compile(circuit).at(angles).probabilities()  # type: ignore[attr-defined]


def it_builds_circuits(subject: Ansatz) -> None:
    """`build(n_qubits)` gives a Circuit of so many qubits, with angles to train."""
    circuit = subject.circuit
    a_circuit = isinstance(circuit, Circuit)
    expect(a_circuit, f"build(8) gave a {type(circuit).__name__}; expected a qhyper Circuit.")
    wrong = f"build(8) gave a circuit of {circuit.n_qubits} qubits."
    expect(circuit.n_qubits == QUBITS, wrong)
    expect(len(circuit.trained) > 0, "It has no angle to train: give gates the number of one.")
    unused = set(range(circuit.n_angles)) - set(np.asarray(circuit.trained).tolist())
    expect(not unused, f"The angles {sorted(unused)} depend on no parameter.")


def it_builds_the_same_again(subject: Ansatz) -> None:
    """It builds the same circuit again, whatever the global random generators."""
    keeps_to_its_streams(lambda: _probabilities(subject.circuit))
    expect_same("A probability of a circuit built twice", _probabilities(subject.circuit),
                _probabilities(subject.circuit), "Let it depend on n_qubits alone.")  # fmt: skip


def it_reaches_every_qubit(subject: Ansatz) -> None:
    """At random angles every qubit is measured as 0 and as 1."""
    p = _probabilities(subject.circuit).reshape(-1)
    bits = np.arange(len(p))[:, None] >> np.arange(QUBITS) & 1
    ones = p @ bits
    fixed = np.flatnonzero((ones < 1e-9) | (ones > 1 - 1e-9))
    expect(not len(fixed), f"The qubits {fixed.tolist()} are always measured the same: turn them.")


CHECKS = (it_builds_circuits, it_builds_the_same_again, it_reaches_every_qubit)
