"""How fast an exact expectation is with all its derivatives: 17 qubits, one adjoint pass."""

import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from bars import Line, bar, paired_seconds

from qhyper.quantum.ansatz import Brickwork
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.generator import QuantumHyperNetwork

QUBITS, DEPTH = 17, 6
COSTS = np.random.default_rng(0).normal(size=1 << QUBITS)
GATES = {"rx": "RX", "ry": "RY", "rz": "RZ", "cx": "CNOT", "cz": "CZ"}


def _ours(backend: str) -> tuple[QuantumHyperNetwork, Callable[[], tuple[float, np.ndarray]]]:
    generator = QuantumHyperNetwork(
        QUBITS, ansatz=Brickwork(DEPTH), start="uniform", backend=backend
    )
    costs = torch.from_numpy(COSTS)[None, None]

    def ours() -> tuple[float, np.ndarray]:
        generator.zero_grad()
        value = generator.expectation(costs)
        value.sum().backward()
        assert generator.theta.grad is not None
        return value.item(), generator.theta.grad[0].numpy()

    return generator, ours


def _apply(circuit: Circuit, angles) -> None:
    import pennylane as qml

    for gate, number in circuit.numbered():
        make = getattr(qml, GATES[gate.name])
        make(wires=gate.qubits) if number is None else make(angles[number], wires=gate.qubits)


def _assert_same(ours, theirs) -> None:
    for one, other in zip(ours(), theirs(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


@bar
def exact_vs_adjoint() -> Iterator[Line]:
    """Value and gradient against a QNode with the adjoint method on the same diagonal."""
    import pennylane as qml
    from scipy.sparse import csr_matrix

    torch.set_num_threads(1)
    generator, ours = _ours("statevector")
    _, by_lightning = _ours("pennylane:lightning.qubit")
    # wire 0 changes slowest there
    diagonal = COSTS.reshape((2,) * QUBITS).T.ravel()
    every = np.arange(len(diagonal) + 1)
    matrix = csr_matrix((diagonal, every[:-1], every), shape=(len(diagonal),) * 2)

    @qml.qnode(qml.device("lightning.qubit", wires=QUBITS), diff_method="adjoint")
    def expectation(angles):
        _apply(generator.circuit, angles)
        return qml.expval(qml.SparseHamiltonian(matrix, wires=range(QUBITS)))

    gradient = qml.grad(expectation)
    angles = qml.numpy.array(generator.theta[0].tolist(), requires_grad=True)

    def by_hand() -> tuple[float, np.ndarray]:
        derivatives = gradient(angles)
        return float(gradient.forward), np.asarray(derivatives)  # the value of the forward pass

    _assert_same(ours, by_hand)
    _assert_same(by_lightning, by_hand)
    for name, work in (("statevector", ours), ("lightning.qubit", by_lightning)):
        fast, slow = paired_seconds(work, by_hand, 15)
        yield Line(
            f"exact-{name}-vs-adjoint", fast / slow, "x", at_most=1.1,
            detail=f"{1e3 * fast:.0f} ms and {1e3 * slow:.0f} ms by hand",
        )  # fmt: skip


@bar
def exact_vs_backprop() -> Iterator[Line]:
    """Value and gradient against backpropagation through default.qubit's probabilities."""
    import pennylane as qml

    torch.set_num_threads(os.cpu_count() or 1)
    generator, ours = _ours("statevector")
    angles = generator.theta.detach()[0].clone().requires_grad_()
    costs = torch.from_numpy(COSTS)

    @qml.qnode(qml.device("default.qubit"), interface="torch", diff_method="backprop")
    def probabilities(angles):
        _apply(generator.circuit, angles)
        return qml.probs(wires=range(QUBITS)[::-1])  # qubit 0 changes fastest here

    def backprop() -> tuple[float, np.ndarray]:
        angles.grad = None
        value = probabilities(angles) @ costs
        value.backward()
        assert angles.grad is not None
        return value.item(), angles.grad.numpy()

    _assert_same(ours, backprop)
    fast, slow = paired_seconds(ours, backprop, 5)
    torch.set_num_threads(1)
    yield Line(
        "exact-vs-backprop", slow / fast, "x", at_least=20,
        detail=f"backprop {slow:.2f} s, adjoint {1e3 * fast:.0f} ms",
    )  # fmt: skip
