"""What a simulator must do: draw the distribution of its circuit, qubit by qubit in order."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qhyper.checks.finding import Broken, LeftOut, expect, expect_array, expect_same
from qhyper.checks.generator import CHANCE, follows
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.quantum.ansatz import HardwareEfficient
from qhyper.quantum.backend import Backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Streams

QUBITS, ROWS, SEEDS, SHOTS = 5, 3, (7, 8), 2000
PATTERN = np.array([1, 0, 0, 1, 1], np.uint8)
"""Not its own mirror image, nor the complement of that."""


@dataclass(frozen=True, eq=False)
class Simulator:
    """A simulator to be tried."""

    backend: Backend

    def at(self, angles: np.ndarray) -> Any:
        """The circuit of the checks at angles [replica, row, angle]."""
        return self.backend.compile(CIRCUIT, rows=ROWS).at(angles)


CIRCUIT = HardwareEfficient(2, "ring", "cz", ("rx", "ry")).build(QUBITS)
ANGLES = np.random.default_rng(4).uniform(-np.pi, np.pi, (2, ROWS, CIRCUIT.n_angles))


def _exact() -> Any:
    return StateVectorBackend().compile(CIRCUIT, rows=ROWS).at(ANGLES)


def qubits_are_in_their_order(subject: Simulator) -> None:
    """A circuit that prepares 10011 is measured as 10011, on every row of angles."""
    flips = tuple(
        Gate("ry", (q,), Angle({0: 0.0}, offset=np.pi * PATTERN[q])) for q in range(QUBITS)
    )
    circuit = Circuit(QUBITS, (*flips, Gate("cx", (0, 1)), Gate("cx", (0, 1))))
    rows = np.ascontiguousarray(np.broadcast_to(np.pi * PATTERN, (1, 2, QUBITS)).astype(float))
    drawn = subject.backend.compile(circuit).at(rows).sample(64, Streams([0])(0))
    expect_array("A draw", drawn, (1, 2, 64, QUBITS), "[replica, row, shot, qubit]", "u")
    read = (drawn.mean(axis=(0, 1, 2)) > 0.5).astype(int)
    expect(
        (read == PATTERN).all(),
        f"It is measured as {''.join(map(str, read))}: qubit 0 comes first.",
    )


def draws_follow_the_state_vector(subject: Simulator) -> None:
    """Draws are as frequent as the state vector says: seeds 7 and 8, 2,000 shots, chance 1e-6."""
    if _noisy(subject.backend):
        raise LeftOut("it has noise")
    drawn = subject.at(ANGLES).sample(SHOTS, Streams(SEEDS)(0))
    p, numbers = _exact().probabilities(), drawn @ (1 << np.arange(QUBITS))
    for replica, row in np.ndindex(p.shape[:2]):
        chance = follows(np.bincount(numbers[replica, row], minlength=1 << QUBITS), p[replica, row])
        if chance <= CHANCE:
            raise Broken(f"Draws of row {row} do not follow the state vector's probabilities "
                         f"(chi-square: p = {chance:.1g}).")  # fmt: skip


def exact_numbers_are_the_state_vectors(subject: Simulator) -> None:
    """log p, scores and ⟨C⟩ are those of the state vector, as far as its capabilities have them."""
    able, at, exact = subject.backend.capabilities, subject.at(ANGLES), _exact()
    if _noisy(subject.backend):
        raise LeftOut("it has noise")
    if not (able.log_prob or able.expectation or able.probability_bits >= QUBITS):
        raise LeftOut("it only samples")
    rng = np.random.default_rng(1)
    if able.log_prob:
        bits = rng.integers(2, size=(2, ROWS, 9, QUBITS), dtype=np.uint8)
        weights = rng.normal(size=bits.shape[:3])
        expect_same("log p", at.log_prob(bits), exact.log_prob(bits), "Mend `log_prob`.", 1e-8)
        expect_same("score", at.score(bits, weights), exact.score(bits, weights), "Mend `score`.",
                    1e-6)  # fmt: skip
    if able.probability_bits >= QUBITS:
        do = "Mend `probabilities`: qubit 0 changes fastest."
        expect_same("p", at.probabilities(), exact.probabilities(), do, 1e-8)
    if able.expectation:
        costs = rng.normal(size=(2, ROWS, 1 << QUBITS))
        pairs = zip(at.expectation(costs), exact.expectation(costs), strict=True)
        for one, other in pairs:
            expect_same("⟨C⟩ or its derivative", one, other, "Mend `expectation`.", 1e-8)


def it_keeps_to_its_streams(subject: Simulator) -> None:
    """The same streams give the same draws, others others, whatever the global generators."""
    keeps_to_its_streams(lambda: subject.at(ANGLES).sample(30, Streams(SEEDS)(0)))
    first, second = (subject.at(ANGLES).sample(200, Streams(SEEDS)(step)) for step in (0, 1))
    expect((first != second).any(), "Draws are the same at another step: draw from `rng`.")


def replicas_are_independent(subject: Simulator) -> None:
    """A replica draws what it draws alone."""
    together = subject.at(ANGLES).sample(20, Streams(SEEDS)(0))
    alone = subject.at(np.ascontiguousarray(ANGLES[1:])).sample(20, Streams(SEEDS[1:])(0))
    expect_same("A draw of seed 8 alone", alone[0], together[1], "Let a replica use its own rng.")


def _noisy(backend: Any) -> bool:
    return bool(getattr(backend, "noisy", False))


CHECKS = (
    qubits_are_in_their_order,
    draws_follow_the_state_vector,
    exact_numbers_are_the_state_vectors,
    it_keeps_to_its_streams,
    replicas_are_independent,
)
