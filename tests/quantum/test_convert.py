"""Circuits from and to Qiskit and PennyLane, against the simulators of either."""

import functools
import random
import subprocess
import sys

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.circuit import Gate as QiskitGate
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import PauliEvolutionGate, QFTGate, XGate, efficient_su2
from qiskit.quantum_info import Clifford, Kraus, SparsePauliOp, Statevector, random_unitary
from qiskit_aer import AerSimulator

from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.backend import matrix_product_bonds
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.convert import as_circuit, to_qasm3
from qhyper.quantum.generator import QuantumHyperNetwork, quantum
from qhyper.quantum.pennylane_circuits import from_pennylane, to_pennylane
from qhyper.quantum.qiskit_circuits import from_qiskit, to_qiskit

A, B, C = Parameter("a"), Parameter("b"), Parameter("c")
TWO = random_unitary(4, seed=1).data
THREE = random_unitary(8, seed=2).data
PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
LAYERS = efficient_su2(3, reps=1).assign_parameters(np.arange(12.0))

# Angles of all kinds: tied, scaled, summed, fixed, of inputs, with gaps between qubits.
AFFINE = Circuit(
    4,
    (
        Gate("ry", (3,), Angle({0: 2.0, 1: 1.0}, {0: 0.5}, -0.3)),
        Gate("rx", (0,), Angle(offset=0.7)),
        Gate("cx", (3, 0)),
        Gate("rz", (0,), 1),
        Gate("rx", (0,), Angle({0: -0.25})),
        Gate("cz", (0, 2)),
        Gate("ry", (2,), Angle({}, {1: -2.0}, 0.1)),
        Gate("ry", (1,), 0),
        Gate("cx", (1, 2)),
    ),
)


def probabilities(circuit, theta, inputs=None):
    """p of every bitstring by the matrix product, qubit 0 changing fastest."""
    if max(matrix_product_bonds(circuit)) > 10:
        return by_hand(circuit, theta)
    if circuit.n_parameters == 0:
        # a generator must have something to train: a last rz, which changes no probability
        circuit = Circuit(circuit.n_qubits, (*circuit.gates, Gate("rz", (0,), 0)))
        theta = [0.0]
    generator = QuantumHyperNetwork(circuit.n_qubits, ansatz=circuit, backend="mps")
    generator.theta.data = torch.tensor(np.asarray(theta)[None])
    inputs = None if inputs is None else np.asarray(inputs)[None]
    return generator.probabilities(inputs=inputs)[0, 0].detach().numpy()


def by_hand(circuit, theta):
    """The same by matrices of all qubits, for circuits whose bonds grow too large."""
    n, (x, y, z) = circuit.n_qubits, PAULIS
    angles = iter(circuit.angles)

    def on(*matrices):  # by qubit; qubit 0 changes fastest, so it is the last factor
        return functools.reduce(np.kron, [dict(matrices).get(q, np.eye(2)) for q in range(n)[::-1]])

    state = np.eye(2**n)[0]
    for gate in circuit.gates:
        if gate.name in ("cx", "cz"):
            one, other = gate.qubits
            flip = x if gate.name == "cx" else z
            unitary = on((one, (np.eye(2) + z) / 2)) + on((one, (np.eye(2) - z) / 2), (other, flip))
        else:
            angle = next(angles)
            value = angle.offset + sum(c * theta[k] for k, c in angle.parameters.items())
            pauli = on((gate.qubits[0], {"rx": x, "ry": y, "rz": z}[gate.name]))
            unitary = np.cos(value / 2) * np.eye(2**n) - 1j * np.sin(value / 2) * pauli
        state = unitary @ state
    return abs(state) ** 2


def by_qiskit(circuit, values=()):
    """Statevector's probabilities, qubit 0 changing fastest."""
    return Statevector(circuit.assign_parameters(dict(values))).probabilities()


def by_pennylane(function, n_qubits, *arguments):
    """The probabilities of default.qubit, reversed: there the last wire changes fastest."""

    @qml.qnode(qml.device("default.qubit", wires=n_qubits))
    def run():
        function(*arguments)
        return qml.probs(wires=range(n_qubits))

    return np.asarray(run()).reshape([2] * n_qubits).transpose().ravel()


def same(one, other):
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


# -- Qiskit: the zoo ------------------------------------------------------------------------------


def sub_circuit(kind):
    inner = QuantumCircuit(2)
    inner.h(0)
    inner.crx(A + B, 0, 1)
    return inner.to_gate() if kind == "gate" else inner.to_instruction()


ZOO = {
    **{
        name: lambda q, name=name: getattr(q, name)(1)
        for name in ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg", "id")
    },
    **{
        name: lambda q, name=name: getattr(q, name)(A, 1)
        for name in ("rx", "ry", "rz", "p")
    },
    "r": lambda q: q.r(A, 0.4, 1),
    "u": lambda q: q.u(A, B, 0.2, 1),
    "u, fixed": lambda q: q.u(0.5, 0.6, 0.2, 1),
    **{
        name: lambda q, name=name: getattr(q, name)(2, 0)
        for name in (
            "cx", "cy", "cz", "ch", "cs", "csdg", "csx", "swap", "iswap", "dcx", "ecr",
        )
    },
    **{
        name: lambda q, name=name: getattr(q, name)(2 * A + B - 0.3, 2, 0)
        for name in ("crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx")
    },
    "cx, open": lambda q: q.cx(2, 0, ctrl_state=0),
    "cu": lambda q: q.cu(A, B, 0.2, C, 2, 0),
    "layers": lambda q: q.append(LAYERS, q.qubits),
    "ccx": lambda q: q.ccx(2, 0, 1),
    "ccz": lambda q: q.ccz(2, 0, 1),
    "cswap": lambda q: q.cswap(2, 0, 1),
    "mcx": lambda q: q.append(XGate().control(2, ctrl_state=1), [2, 0, 1]),
    "unitary 1": lambda q: q.unitary(random_unitary(2, seed=3).data, [1]),
    "unitary 2": lambda q: q.unitary(TWO, [2, 0]),
    "unitary 3": lambda q: q.unitary(THREE, [2, 0, 1]),
    "evolution": lambda q: q.append(
        PauliEvolutionGate(SparsePauliOp(["XZ", "ZX"], [0.4, 1.0]), A), [2, 0]
    ),
    "fourier": lambda q: q.append(QFTGate(2), [2, 0]),
    "gate of one's own": lambda q: q.append(sub_circuit("gate"), [2, 1]),
    "instruction of one's own": lambda q: q.append(sub_circuit("instruction"), [2, 1]),
}  # fmt: skip


def between(gate):
    """A gate between others that tell it from its neighbours, on 3 qubits."""
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate((0.4, 1.1, 2.0)):
        circuit.ry(angle, qubit)
        circuit.rz(angle / 3, qubit)
    gate(circuit)
    for qubit, angle in enumerate((0.9, 0.2, 1.3)):
        circuit.rx(angle, qubit)
    return circuit


# Statevector takes the exponential of an evolution by a way of SciPy's that warns.
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("name", ZOO)
def test_gates_of_qiskit_keep_their_distribution(name):
    circuit = between(ZOO[name])
    values = dict(zip(circuit.parameters, (0.8, -1.7, 2.9), strict=False))
    taken = from_qiskit(circuit)
    same(probabilities(taken, [*values.values()]), by_qiskit(circuit, values))
    assert taken.n_parameters == len(values)


def test_a_gate_that_needs_no_decomposition_is_itself():
    circuit = QuantumCircuit(3)
    circuit.cx(2, 0)
    circuit.ry(A, 1)
    circuit.barrier()
    circuit.cz(1, 2)
    circuit.rx(0.5, 0)
    expected = [
        Gate("cx", (2, 0)),
        Gate("ry", (1,), 0),
        Gate("cz", (1, 2)),
        Gate("rx", (0,), Angle(offset=0.5)),
    ]
    assert from_qiskit(circuit) == Circuit(3, tuple(expected))


def test_coefficients_of_qiskit_are_exact():
    circuit = QuantumCircuit(1)
    for expression in (2 * A + B - 0.3, (A + B) / 3, -A, A + B - A, 0.5 * (A - 2 * (B + 1))):
        circuit.rx(expression, 0)
    assert from_qiskit(circuit).angles == (
        Angle({0: 2.0, 1: 1.0}, {}, -0.3),
        Angle({0: 1 / 3, 1: 1 / 3}),
        Angle({0: -1.0}),
        Angle({1: 1.0}),
        Angle({0: 0.5, 1: -1.0}, {}, -1.0),
    )


def test_parameters_are_ordered_by_name_and_vectors_by_index():
    theta, circuit = ParameterVector("m", 12), QuantumCircuit(1)
    for parameter in (Parameter("z"), *theta[::-1], A):
        circuit.rx(parameter, 0)
    numbers = [gate.angle for gate in from_qiskit(circuit).gates]
    assert numbers == [13, *range(12, 0, -1), 0]


@pytest.mark.parametrize("inputs", [[C, A], ["c", "a"], (C, "a")], ids=str)
def test_inputs_of_qiskit_are_named(inputs):
    circuit = QuantumCircuit(2)
    circuit.ry(A - 0.5, 0)
    circuit.crx(B + 2 * C, 0, 1)
    taken = from_qiskit(circuit, inputs=inputs)
    assert (taken.n_parameters, taken.n_inputs) == (1, 2)
    x = [0.3, 1.9]  # of c and a
    expected = by_qiskit(circuit, {A: x[1], B: 0.8, C: x[0]})
    same(probabilities(taken, [0.8], x), expected)


def test_an_input_is_named_alone_or_by_a_vector():
    x, circuit = ParameterVector("x", 2), QuantumCircuit(1)
    circuit.rx(x[1] + A, 0)
    circuit.ry(x[0], 0)
    assert from_qiskit(circuit, inputs=x) == Circuit(
        1, (Gate("rx", (0,), Angle({0: 1.0}, {1: 1.0})), Gate("ry", (0,), Angle({}, {0: 1.0})))
    )
    assert from_qiskit(circuit, inputs="x[0]").n_inputs == 1


# -- Qiskit: qubits and measurements --------------------------------------------------------------


def drawn_by_qiskit(circuit):
    """What Qiskit draws from a circuit without chance: classical bits, number 0 first."""
    (counts,) = AerSimulator().run(circuit, shots=3).result().get_counts()
    return [int(bit) for bit in counts.replace(" ", "")[::-1]]


def drawn(circuit):
    p = probabilities(from_qiskit(circuit), [])
    assert p.max() == pytest.approx(1, abs=1e-12)
    return [int(p.argmax()) >> q & 1 for q in range(circuit.num_qubits)]


def flipped(*registers):
    """A circuit of five qubits that draws 1, 1, 0, 1, 0 of them."""
    circuit = QuantumCircuit(QuantumRegister(2, "one"), QuantumRegister(3, "other"), *registers)
    circuit.x([0, 1, 3])
    return circuit


@pytest.mark.parametrize(
    "bits",
    [[0, 1, 2, 3, 4], [3, 0, 4, 2, 1], [4, 3, 2, 1, 0], [1, 2, 3, 4, 0]],
    ids=str,
)
@pytest.mark.parametrize("sizes", [(5,), (2, 3), (1, 1, 3)], ids=str)
def test_columns_are_classical_bits_where_all_qubits_are_measured(bits, sizes):
    circuit = flipped(*(ClassicalRegister(n, f"c{k}") for k, n in enumerate(sizes)))
    circuit.barrier()
    circuit.measure(range(5), bits)
    assert drawn(circuit) == drawn_by_qiskit(circuit)


def test_classical_bits_that_are_not_measured_into_are_no_columns():
    circuit = flipped(ClassicalRegister(4), ClassicalRegister(5))
    circuit.measure(range(5), [8, 1, 7, 2, 5])
    seen = drawn_by_qiskit(circuit)
    assert drawn(circuit) == [seen[bit] for bit in (1, 2, 5, 7, 8)]


def test_measure_all_beside_other_classical_bits():
    circuit = flipped(ClassicalRegister(5))
    circuit.measure_all()
    assert drawn(circuit) == drawn_by_qiskit(circuit)[5:] == [1, 1, 0, 1, 0]


def test_measurements_inside_an_instruction_count():
    inner = QuantumCircuit(2, 2)
    inner.x(0)
    inner.measure([0, 1], [1, 0])
    circuit = QuantumCircuit(2, 2)
    circuit.append(inner.to_instruction(), [1, 0], [1, 0])
    assert drawn(circuit) == drawn_by_qiskit(circuit.decompose())


@pytest.mark.parametrize("line", [False, True], ids=["all-to-all", "line"])
@pytest.mark.parametrize("level", range(4))
def test_columns_of_a_transpiled_circuit_are_those_of_the_circuit(level, line):
    circuit = QuantumCircuit(4)
    circuit.x(0)
    circuit.cx(0, 3)
    circuit.swap(0, 2)
    circuit.measure_all()
    pairs = [[0, 1], [1, 2], [2, 3]] if line else None
    basis = ["rx", "rz", "cx"]
    given = transpile(circuit, None, basis, coupling_map=pairs, optimization_level=level)
    assert drawn(given) == drawn_by_qiskit(given) == drawn(circuit) == [0, 0, 1, 1]


def test_a_relabelled_circuit_without_measurements_is_refused():
    circuit = QuantumCircuit(3)
    circuit.ry(A, 0)
    circuit.swap(0, 2)
    given = transpile(circuit, basis_gates=["ry", "cx"], optimization_level=2)
    with pytest.raises(ConfigurationError, match=r"other qubits \(\[2, 1, 0\].* Measure before"):
        from_qiskit(given)
    kept = transpile(circuit, basis_gates=["ry", "cx"], optimization_level=1)
    assert from_qiskit(kept) == from_qiskit(circuit)


@pytest.mark.parametrize(("qubits", "bits"), [([2], [0]), ([0, 1], [1, 0]), ([0, 1], [0, 2])])
def test_some_qubits_measured_into_other_bits_are_refused(qubits, bits):
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.measure(qubits, bits)
    message = r"Qubit \d is measured into classical bit \d, but only \d of 3 .* Measure all of them"
    with pytest.raises(ConfigurationError, match=message):
        from_qiskit(circuit)


@pytest.mark.parametrize("measured", [[], [0], [2, 0], [0, 1, 2]])
def test_measurements_at_the_end_are_dropped(measured):
    circuit = QuantumCircuit(3, 3)
    circuit.ry(A, 0)
    circuit.measure(measured, measured)
    circuit.barrier()
    assert from_qiskit(circuit).gates == (Gate("ry", (0,), 0),)


def measured_early(q):
    q.measure(0, 1)
    q.h(1)
    q.ry(0.2, 0)


def measured_twice(q):
    q.measure(0, 1)
    q.measure(0, 0)


def measured_into_one(q):
    q.measure([0, 2], [1, 1])


def conditional(q):
    q.measure(0, 0)
    with q.if_test((q.clbits[0], 1)):
        q.x(1)


def loop(q):
    with q.for_loop(range(3)):
        q.h(0)


def hidden_reset(q):
    inner = QuantumCircuit(1)
    inner.h(0)
    inner.reset(0)
    q.append(inner.to_instruction(), [1])


def look_alike(q):
    q.append(QiskitGate("ry", 1, [0.3]), [1])


class Untrue(QiskitGate):
    """A gate whose matrix is not that of its definition."""

    def __init__(self):
        super().__init__("untrue", 1, [])

    def _define(self):
        self.definition = QuantumCircuit(1)
        self.definition.h(0)

    def __array__(self, dtype=None, copy=None):
        return np.diag([1, -1]).astype(dtype)


@pytest.mark.parametrize("name", ["barrier", "measure"])
def test_a_gate_that_is_called_a_barrier_is_a_gate(name):
    inner = QuantumCircuit(1)
    inner.x(0)
    gate = QiskitGate(name, 1, [])
    gate.definition = inner
    circuit = QuantumCircuit(2)
    circuit.append(gate, [1])
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        from_qiskit(circuit)


def test_operations_that_are_no_instructions_are_decomposed():
    circuit = QuantumCircuit(2)
    circuit.ry(A, 0)
    inner = QuantumCircuit(2)
    inner.h(1)
    inner.cx(1, 0)
    circuit.append(Clifford(inner), [0, 1])
    circuit.ry(0.4, 0)
    same(probabilities(from_qiskit(circuit), [0.7]), by_qiskit(circuit, {A: 0.7}))


def test_evolutions_that_do_not_commute_are_the_product_formula_of_qiskit():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    inner = QuantumCircuit(2)
    inner.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZI"], [0.7, 1.3]), A), [0, 1])
    circuit.append(inner.to_gate(), [0, 1])
    formula = circuit.decompose(reps=3)
    same(probabilities(from_qiskit(circuit), [1.1]), by_qiskit(formula, {A: 1.1}))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (measured_early, "'measure' on qubits 0: 'ry' acts on the qubit after it; measure at the"),
        (measured_twice, "'measure' on qubits 0: 'measure' acts on the qubit after it"),
        (measured_into_one, "'measure' on qubits 2: classical bit 1 is measured into twice"),
        (lambda q: q.reset(2), "'reset' on qubits 2: all qubits start in"),
        (hidden_reset, "'reset' on qubits 1: all qubits start in"),
        (lambda q: q.initialize([0, 1], [1]), "'initialize' on qubits 1: .* only gates prepare"),
        (lambda q: q.prepare_state(1, [1]), "'state_preparation' on qubits 1: .* only gates"),
        (lambda q: q.delay(10, 2), "'delay' on qubits 2: circuits have no timing"),
        (conditional, "'if_else' on qubits 1: circuits have no control flow; write its gates out"),
        (loop, "'for_loop' on qubits 0: circuits have no control flow"),
        (lambda q: q.append(QiskitGate("mine", 1, []), [0]), 'cannot decompose .*"mine"'),
        (
            lambda q: q.append(Kraus([np.diag([1, 0.6]), np.diag([0, 0.8])]).to_instruction(), [0]),
            'cannot decompose .*"kraus"',
        ),
        (look_alike, "'ry' on qubits 1: Qiskit does not decompose it into rx, ry, rz, cx, cz"),
        (
            lambda q: q.append(Untrue(), [0]),
            r"other probabilities than Qiskit says: they are up to 0\.5 apart .* write it out",
        ),
    ],
)
def test_what_is_not_unitary_is_refused_by_name(build, message):
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    build(circuit)
    with pytest.raises(ConfigurationError, match=message):
        from_qiskit(circuit)


@pytest.mark.parametrize(
    ("angle", "text"),
    [
        (A.sin(), r"sin\(a\)"),
        (A * B, r"a\*b"),
        (abs(A), r"abs\(a\)"),
        (A.sign(), r"sign\(a\)"),
        (1 / A, "1/a"),
        (A**2, r"a\*\*2"),
        (1j * A, r"\(1i\)\*a"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_an_angle_of_qiskit_that_is_not_affine_is_refused(angle, text):
    circuit = QuantumCircuit(3)
    circuit.rx(angle, 2)
    expected = f"rx on qubit 2 is '{text}'; expected a real affine expression"
    with pytest.raises(ConfigurationError, match=expected):
        from_qiskit(circuit)


def test_a_decomposed_angle_that_is_not_affine_is_refused():
    circuit = QuantumCircuit(2)
    circuit.cp(A * B, 0, 1)
    with pytest.raises(ConfigurationError, match=r"rz on qubit \d is '.*a\*b"):
        from_qiskit(circuit)


def test_a_parameter_that_turns_nothing_is_refused():
    circuit = QuantumCircuit(1, global_phase=A)
    circuit.rx(B + 0 * C, 0)
    with pytest.raises(ConfigurationError, match="depends on the parameters a, c; expected all"):
        from_qiskit(circuit)
    with pytest.raises(ConfigurationError, match="depends on the parameters a; expected all"):
        from_qiskit(circuit, inputs=[B, C])
    with pytest.raises(ConfigurationError, match="depends on the inputs c, a; expected all"):
        from_qiskit(circuit, inputs=[C, A])


def test_unknown_inputs_are_refused():
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("theta") + A, 0)
    with pytest.raises(ConfigurationError, match=r"'thetta'\. Did you mean 'theta'"):
        from_qiskit(circuit, inputs=["thetta"])
    with pytest.raises(ConfigurationError, match="inputs a, a; expected each of them once"):
        from_qiskit(circuit, inputs=[A, "a"])


# -- Qiskit: there and back -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "ansatz", [Product(), Brickwork(3), HardwareEfficient(2, "ring", "cz", ("rx", "rz"))], ids=str
)
def test_ansaetze_go_to_either_and_come_back_the_same(ansatz):
    circuit = ansatz.build(13)  # more than 10 parameters, so that names and numbers sort apart
    assert from_qiskit(to_qiskit(circuit)) == circuit
    assert as_circuit(to_pennylane(circuit), 13) == circuit


def test_affine_angles_go_to_either_and_come_back_the_same():
    built = to_qiskit(AFFINE)
    assert [p.name for p in built.parameters] == ["theta[0]", "theta[1]", "x[0]", "x[1]"]
    assert from_qiskit(built, inputs=["x[0]", "x[1]"]) == AFFINE
    assert from_pennylane(to_pennylane(AFFINE), n_qubits=4) == AFFINE


def test_circuits_have_the_same_distribution_in_either():
    theta, x = np.array([0.7, -1.9]), np.array([1.2, 0.4])
    own = probabilities(AFFINE, theta, x)
    built = to_qiskit(AFFINE)
    same(own, by_qiskit(built, zip(built.parameters, [*theta, *x], strict=True)))
    same(own, by_pennylane(to_pennylane(AFFINE), 4, theta, x))


def test_a_decomposed_circuit_goes_back_to_qiskit():
    circuit = between(ZOO["cu"])
    values = dict(zip(circuit.parameters, (0.8, -1.7, 2.9), strict=True))
    back = to_qiskit(from_qiskit(circuit))
    same(
        by_qiskit(back, zip(back.parameters, values.values(), strict=True)),
        by_qiskit(circuit, values),
    )


# -- PennyLane: the zoo ---------------------------------------------------------------------------


def own(gate):
    """A PennyLane function on 3 wires with a gate between others."""

    def function(p):
        for wire, angle in enumerate((0.4, 1.1, 2.0)):
            qml.RY(angle, wire)
            qml.RZ(angle / 3, wire)
        gate(p)
        for wire, angle in enumerate((0.9, 0.2, 1.3)):
            qml.RX(angle, wire)

    return function


PENNYLANE_ZOO = {
    **{
        kind.__name__: (0, lambda p, kind=kind: kind(1))
        for kind in (qml.H, qml.X, qml.Y, qml.Z, qml.S, qml.T, qml.SX, qml.Identity)
    },
    "adjoint": (0, lambda p: qml.adjoint(qml.S(1))),
    **{
        kind.__name__: (1, lambda p, kind=kind: kind(p[0], 1))
        for kind in (qml.RX, qml.RY, qml.RZ, qml.PhaseShift)
    },
    "Rot": (3, lambda p: qml.Rot(*p, wires=1)),
    "U3": (3, lambda p: qml.U3(*p, wires=1)),
    **{
        kind.__name__: (0, lambda p, kind=kind: kind([2, 0]))
        for kind in (qml.CNOT, qml.CY, qml.CZ, qml.CH, qml.SWAP, qml.ISWAP, qml.ECR)
    },
    **{
        kind.__name__: (2, lambda p, kind=kind: kind(2 * p[0] + p[1] - 0.3, [2, 0]))
        for kind in (
            qml.CRX, qml.CRY, qml.CRZ, qml.ControlledPhaseShift, qml.IsingXX, qml.IsingYY,
            qml.IsingZZ, qml.IsingXY, qml.MultiRZ, qml.SingleExcitation,
        )
    },
    "CRot": (3, lambda p: qml.CRot(*p, wires=[2, 0])),
    "controlled U3": (3, lambda p: qml.ctrl(qml.U3(*p, wires=1), 2, control_values=0)),
    "controlled phase": (1, lambda p: qml.ctrl(qml.GlobalPhase(p[0]), 1)),
    "Toffoli": (0, lambda p: qml.Toffoli([2, 0, 1])),
    "CSWAP": (0, lambda p: qml.CSWAP([2, 0, 1])),
    "MultiControlledX": (0, lambda p: qml.MultiControlledX([2, 0, 1], control_values=[0, 1])),
    "unitary 1": (0, lambda p: qml.QubitUnitary(random_unitary(2, seed=3).data, 1)),
    "unitary 2": (0, lambda p: qml.QubitUnitary(TWO, [2, 0])),
    "unitary 3": (0, lambda p: qml.QubitUnitary(THREE, [2, 0, 1])),
    "PauliRot": (1, lambda p: qml.PauliRot(p[0], "XYZ", [2, 0, 1])),
    "QFT": (0, lambda p: qml.QFT([2, 0])),
    "layers": (9, lambda p: qml.StronglyEntanglingLayers(p.reshape(1, 3, 3), range(3))),
    "embedding": (3, lambda p: qml.AngleEmbedding(p / 3, range(3), rotation="Y")),
    "evolution": (1, lambda p: qml.evolve(qml.X(2) @ qml.Z(0), p[0])),
    "power": (1, lambda p: qml.pow(qml.RX(p[0], 1), 3)),
    "product": (1, lambda p: qml.prod(qml.RX(p[0], 1), qml.X(2))),
    "barrier, phase": (1, lambda p: (qml.Barrier([0, 1]), qml.GlobalPhase(0.3), qml.RX(p[0], 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", PENNYLANE_ZOO)
def test_gates_of_pennylane_keep_their_distribution(name):
    n_parameters, gate = PENNYLANE_ZOO[name]
    theta = np.array([0.8, -1.7, 2.9, 0.1, 1.5, -0.4, 2.2, 0.6, -2.6])[:n_parameters]
    taken = from_pennylane(own(gate), n_qubits=3, n_parameters=n_parameters)
    assert (taken.n_parameters, taken.n_inputs) == (n_parameters, 0)
    same(probabilities(taken, theta), by_pennylane(own(gate), 3, theta))


def test_column_q_is_wire_q():
    def flips(parameters):
        for wire in (0, 1, 3):
            qml.X(wire)
        qml.Identity([4, 2])
        return qml.probs(wires=[3, 1])

    p = probabilities(from_pennylane(flips, n_qubits=5, n_parameters=0), [])
    assert p[0b01011] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    "returned", [qml.sample, qml.probs, qml.counts], ids=["sample", "probs", "counts"]
)
def test_columns_are_as_a_qnode_returns_all_wires(returned):
    def flips(parameters):
        qml.X(0)
        qml.Identity([1, 2])
        return returned(wires=[2, 0, 1])

    p = probabilities(from_pennylane(flips, n_qubits=3, n_parameters=0), [])
    assert p[0b010] == pytest.approx(1, abs=1e-12)  # wire 0 is in column 1


def test_columns_are_in_the_order_of_a_qnodes_device():
    @qml.set_shots(5)
    @qml.qnode(qml.device("default.qubit", wires=[2, 0, 1]))
    def flips(parameters):
        qml.X(0)
        qml.RY(parameters[0], 2)
        qml.Identity(1)
        return qml.sample()

    taken = from_pennylane(flips, n_qubits=3, n_parameters=1)
    assert np.array_equal(flips(np.array([np.pi])), [[1, 1, 0]] * 5)
    assert probabilities(taken, [np.pi])[0b011] == pytest.approx(1, abs=1e-12)


def test_an_order_that_depends_on_the_values_is_refused():
    def mine(p):
        qml.RX(p[0], 0)
        qml.RY(0.3, 1)
        return qml.sample(wires=[0, 1] if p[0] > 0 else [1, 0])

    refused(mine, "mine returns wires in an order that depends on the values")


class UntrueX(qml.operation.Operation):
    """An operation whose matrix is not that of its decomposition."""

    num_wires = 1

    @staticmethod
    def compute_decomposition(wires):
        return [qml.RX(0.3, wires)]

    @staticmethod
    def compute_matrix():
        return np.array([[0, 1], [1, 0]])


def test_an_operation_that_is_not_its_decomposition_is_refused():
    message = "other probabilities than PennyLane says: they are up to 0.* apart"
    refused(one_gate(lambda t: UntrueX(1)), message)


def test_taking_over_leaves_global_random_streams_alone():
    before = repr(np.random.get_state()[1:3])  # noqa: NPY002
    others = torch.get_rng_state(), random.getstate()
    tied_qiskit()
    tied_pennylane()
    assert repr(np.random.get_state()[1:3]) == before  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), others[0])
    assert random.getstate() == others[1]


def with_inputs(parameters, inputs):
    qml.RY(2 * parameters[0] + inputs[1] - 0.3, 0)
    qml.CRX(parameters[1] / 2 - 3 * inputs[0], [0, 1])
    qml.RX(parameters[0], 1)


def qnode_of(function, **attributes):
    @qml.qnode(qml.device("default.qubit", wires=2))
    def mine(parameters, inputs):
        function(parameters, inputs)
        return qml.expval(qml.Z(0))

    for name, value in attributes.items():
        setattr(mine, name, value)
    return mine


def test_qnodes_with_inputs():
    theta, x = np.array([0.7, -1.9]), np.array([1.2, 0.4])
    taken = as_circuit(qnode_of(with_inputs, n_parameters=2, n_inputs=2), 2)
    assert (taken.n_parameters, taken.n_inputs) == (2, 2)
    same(probabilities(taken, theta, x), by_pennylane(with_inputs, 2, theta, x))
    assert taken == from_pennylane(with_inputs, n_qubits=2, n_parameters=2, n_inputs=2)


def test_coefficients_of_pennylane_are_as_written():
    def function(p):
        qml.RX(2 * p[0] + p[1] - 0.3, 0)
        qml.RY(0.1 * p[2], 0)
        qml.RZ(p[1], 0)
        qml.RX(np.pi / 2, 0)
        qml.RX(p[2] / 3 + 1e-6, 0)

    angles = from_pennylane(function, n_qubits=1, n_parameters=3).angles
    assert angles[:3] == (Angle({0: 2.0, 1: 1.0}, {}, -0.3), Angle({2: 0.1}), Angle({1: 1.0}))
    assert angles[3] == Angle(offset=pytest.approx(np.pi / 2, abs=1e-14))
    assert angles[4] == Angle(
        {2: pytest.approx(1 / 3, abs=1e-14)}, {}, pytest.approx(1e-6, abs=1e-14)
    )


def test_a_qnode_is_taken_with_its_transforms():
    # Two turns of one wire, merged by the transform.
    def twice(parameters, inputs):
        qml.RX(parameters[0], 0)
        qml.RX(inputs[0] + 0.5, 0)
        qml.RY(parameters[1], 1)

    merged = qml.transforms.merge_rotations(qnode_of(twice))
    taken = from_pennylane(merged, n_qubits=2, n_parameters=2, n_inputs=1)
    assert taken.angles == (Angle({0: 1.0}, {0: 1.0}, 0.5), Angle({1: 1.0}))


def test_many_parameters_take_few_recordings():
    calls = []
    function = to_pennylane(Brickwork(2).build(30))

    def counted(parameters):
        calls.append(1)
        function(parameters)

    taken = from_pennylane(counted, n_qubits=30, n_parameters=120)
    assert taken == Brickwork(2).build(30)
    assert len(calls) < 12


# -- PennyLane: what is refused -------------------------------------------------------------------


def refused(function, message, **counts):
    with pytest.raises(ConfigurationError, match=message):
        from_pennylane(function, **{"n_qubits": 2, "n_parameters": 1, **counts})


def one_gate(gate):
    def mine(p):
        qml.RX(p[0], 0)
        qml.RY(0.3, 1)
        gate(p[0])

    return mine


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (lambda t: qml.RX(np.sin(t), 1), "RX on wire 1, rotation number 2 of .* mine, is not aff"),
        (lambda t: qml.CRX(t * t, [0, 1]), "RY on wire 1, rotation number 3 of .* is not affine"),
        (lambda t: qml.RZ(abs(t), 1), "RZ on wire 1, rotation number 2 of .* is not affine"),
        (lambda t: qml.RZ(t % (2 * np.pi), 1), "RZ on wire 1, .* is not affine in its"),
        (lambda t: qml.RZ(np.clip(t, -12, 99), 1), "RZ on wire 1, .* is not affine in its"),
        (lambda t: qml.RZ(t * 1j, 1), "Cannot take over RZ on wires .1.* not one finite real"),
        (lambda t: qml.RZ(t * np.nan, 1), "Cannot take over RZ .*its angle is .*nan.*, not one"),
        (lambda t: qml.RZ([t, t], 1), "Cannot take over RZ .* not one finite real number"),
        (
            lambda t: qml.RX(t, 1) if t > 0 else qml.RY(t, 1),
            "depend on the values .*: gate number 2 is rx on wires .1. for some .* ry on wires .1.",
        ),
        (lambda t: t == 0 or qml.X(0), "gate number 2 is PauliX on wires .0. for .* and none for"),
        (lambda t: qml.CZ([0, 1] if t > 5 else [1, 0]), "gate number 2 is CZ on wires"),
        (lambda t: qml.measure(0), r"over MidMeasureMP on wires \[0\] of .*mine: .* at the end"),
        (lambda t: qml.StatePrep([0, 1], 1), r"StatePrep on wires \[1\] .* only gates prepare"),
        (lambda t: qml.BasisState([1], 1), r"BasisState on wires \[1\] .* only gates prepare"),
        (
            lambda t: qml.AmplitudeDamping(0.1, 1),
            r"AmplitudeDamping on wires \[1\] .*: PennyLane does not decompose it into RX, RY",
        ),
        (lambda t: qml.RX(0.1, 2), r"wires \[0, 1, 2\]; expected all wires from 0 to 1"),
        (lambda t: qml.RX(0.1, "a"), r"wires \[0, 1, 'a'\]; expected all wires from 0 to 1"),
        (lambda t: 1 / 0, r"mine failed, called with parameters \[1\]: ZeroDivisionError: divi"),
    ],
)
def test_what_pennylane_does_beyond_affine_gates_is_refused(gate, message):
    refused(one_gate(gate), message)


def test_a_gate_that_is_decomposed_by_its_numbers_is_refused():
    # With two controls the angles jump where the matrix of RX repeats itself.
    refused(
        one_gate(lambda t: qml.ctrl(qml.RX(t, 0), [1, 2])),
        "not affine .*, or write the gate out if PennyLane decomposes it by its numbers",
        n_qubits=3,
    )


def test_a_wire_without_a_gate_is_refused():
    refused(one_gate(lambda t: None), r"wires \[0, 1\]; expected all .* 0 to 2", n_qubits=3)


def test_a_work_wire_that_is_no_bit_is_refused():
    def gate(t):
        qml.MultiControlledX([0, 1, 2, 3], work_wires=["w"], work_wire_type="zeroed")

    refused(one_gate(gate), r"\[0, 1, 2, 3, 'w'\]; expected all wires from 0 to 3", n_qubits=4)


def test_counts_that_do_not_fit_are_refused():
    mine = one_gate(lambda t: None)
    refused(mine, "parameters number 1, number 2; expected all of them", n_parameters=3)
    refused(mine, r"failed, called with parameters \[0\]: IndexError", n_parameters=0)
    refused(mine, r"called with parameters \[1\] and inputs \[2\]: TypeError", n_inputs=2)
    refused(mine, "Got n_parameters = 1.5 for mine; expected a whole number", n_parameters=1.5)
    refused(mine, "Got n_inputs = -1 for mine; expected a whole number", n_inputs=-1)
    refused(mine, r"set mine\.n_parameters = \.\.\. \(and", n_parameters=None)


def test_inputs_that_turn_nothing_are_refused():
    def function(p, x):
        qml.RX(p[0] + x[1], 0)

    refused(function, "No angle depends on the inputs number 0", n_qubits=1, n_inputs=2)


def test_a_qnode_that_is_split_is_refused():
    @qml.transforms.split_non_commuting
    @qml.qnode(qml.device("default.qubit", wires=1))
    def mine(p):
        qml.RX(p[0], 0)
        return qml.expval(qml.X(0)), qml.expval(qml.Z(0))

    refused(mine, "QNode mine make 2 circuits of it; expected one", n_qubits=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1],), "Got 1 parameters; expected 2"),
        (([0.1, 0.2],), "Got 0 inputs; expected 2"),
        (([0.1, 0.2], [0.3]), "Got 1 inputs; expected 2"),
    ],
)
def test_a_function_for_pennylane_checks_its_arguments(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        to_pennylane(AFFINE)(*arguments)


def test_a_function_for_pennylane_keeps_idle_wires():
    circuit = Circuit(3, (Gate("ry", (1,), 0),))
    assert as_circuit(to_pennylane(circuit), 3) == circuit


# -- any of them ----------------------------------------------------------------------------------


def test_a_circuit_is_itself():
    assert as_circuit(AFFINE, 4) is AFFINE


@pytest.mark.parametrize(
    "thing",
    [AFFINE, to_qiskit(Product().build(4)), functools.partial],
    ids=["circuit", "qiskit", "class"],
)
def test_another_width_is_refused(thing):
    message = "Got a circuit of 4 qubits for 5 bits; expected one qubit a bit"
    if isinstance(thing, type):
        message = "Got the class partial itself; expected a qhyper Circuit, a qiskit"
    with pytest.raises(ConfigurationError, match=message):
        as_circuit(thing, 5)


@pytest.mark.parametrize(
    ("thing", "name"),
    [(3, "builtins.int"), (None, "builtins.NoneType"), (XGate(), "XGate"), (Product(), "Product")],
)
def test_anything_else_is_refused_by_its_type(thing, name):
    with pytest.raises(ConfigurationError, match=rf"type .*{name}; expected a qhyper Circuit, a q"):
        as_circuit(thing, 2)


def test_a_function_without_its_number_of_parameters_is_refused():
    with pytest.raises(ConfigurationError, match=r"set with_inputs\.n_parameters = \.\.\."):
        as_circuit(with_inputs, 2)


def test_circuits_of_ones_own_by_name(tmp_path, monkeypatch):
    (tmp_path / "circuits_of_mine.py").write_text(
        "import pennylane as qml\n"
        "from qiskit.circuit.library import efficient_su2\n"
        "su2 = efficient_su2(3, reps=1)\n"
        "def layer(parameters):\n"
        "    qml.StronglyEntanglingLayers(parameters.reshape(1, 3, 3), range(3))\n"
        "layer.n_parameters = 9\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert quantum(3, ansatz="circuits_of_mine:su2").n_parameters == 12
    assert quantum(3, ansatz="circuits_of_mine:layer").n_parameters == 9


def test_no_sdk_is_loaded_for_a_circuit():
    code = (
        "import sys; from qhyper.quantum.convert import as_circuit;"
        "from qhyper.quantum.ansatz import Product; as_circuit(Product().build(2), 2);"
        "sys.exit(any(name in sys.modules for name in ('qiskit', 'pennylane')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- what training sees ---------------------------------------------------------------------------


def tied_qiskit():
    circuit = between(lambda q: q.cu(2 * A + B - 0.3, B / 3, 0.4, C - A, 2, 0))
    circuit.ry(-1.5 * B, 1)
    circuit.ccx(1, 2, 0)
    circuit.ry(B + 0.5 * C, 0)
    return from_qiskit(circuit)


def tied_pennylane():
    def gate(p):
        qml.CRot(2 * p[0] + p[1] - 0.3, p[1] / 3, p[2] - p[0], wires=[2, 0])
        qml.RY(-1.5 * p[1], 1)
        qml.Toffoli([1, 2, 0])
        qml.RY(p[1] + 0.5 * p[2], 0)

    return from_pennylane(own(gate), n_qubits=3, n_parameters=3)


@pytest.mark.parametrize("build", [tied_qiskit, tied_pennylane])
def test_gradients_of_circuits_taken_over_are_finite_differences(build):
    circuit = build()
    theta = np.array([0.8, -1.7, 2.9])
    generator = QuantumHyperNetwork(3, ansatz=circuit, backend="mps")
    generator.theta.data = torch.from_numpy(theta[None].copy())
    weights = torch.from_numpy(np.random.default_rng(5).normal(size=8))
    (generator.probabilities()[0, 0] * weights).sum().backward()
    step = 1e-5
    differences = [
        (probabilities(circuit, theta + e) - probabilities(circuit, theta - e)) @ weights.numpy()
        for e in step * np.eye(3)
    ]
    # central differences: the error is about step² / 6 and rounding 1e-16 / step, both 1e-11
    np.testing.assert_allclose(
        generator.theta.grad[0], np.array(differences) / (2 * step), rtol=0, atol=1e-8
    )
    assert (generator.theta.grad[0].abs() > 1e-3).all()


# -- OpenQASM 3 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "circuit",
    [
        Product().build(2),
        Brickwork(3).build(4),
        HardwareEfficient(pairs="ring", gate="cz").build(3),
    ],
)
def test_openqasm_3_is_read_back_as_the_same_circuit(circuit):
    """By Qiskit's own reader and state vector; bits of the register `c` are our qubits."""
    from qiskit import qasm3

    angles = np.random.default_rng(5).uniform(-7, 7, circuit.n_angles)
    angles[:2] = np.pi / 2, 1e-9
    program = to_qasm3(circuit, angles)
    assert program.startswith("OPENQASM 3.0;")
    read = qasm3.loads(program)
    measured = {
        read.find_bit(step.qubits[0]).index: read.find_bit(step.clbits[0]).index
        for step in read.data
        if step.operation.name == "measure"
    }
    assert measured == {q: q for q in range(circuit.n_qubits)}
    read.remove_final_measurements()
    executable = build_backend("statevector").compile(circuit)
    exact = executable.at(angles[None, None]).probabilities()[0, 0]
    np.testing.assert_allclose(Statevector(read).probabilities(), exact, atol=1e-11)


def test_openqasm_3_of_a_trained_generator():
    generator = QuantumHyperNetwork(3, ansatz=Brickwork(2), seeds=(0, 1))
    program = to_qasm3(generator.circuit, generator.angles().detach()[1, 0])
    assert program.count("measure") == 3
    assert program.count("ry(") == 6


@pytest.mark.parametrize("angles", [np.zeros(3), np.zeros((1, 2)), [0.0, np.nan], 1.0])
def test_openqasm_3_takes_one_finite_angle_for_each(angles):
    message = r"expected 2 finite ones, \[n_angles\]. Of a generator choose one replica and row"
    with pytest.raises(ConfigurationError, match=message):
        to_qasm3(Product().build(2), angles)
