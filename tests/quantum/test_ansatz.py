"""Ansätze against their definitions and a state vector written out here, and the starts."""

import re
import time
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import (
    Brickwork,
    HardwareEfficient,
    Mirrored,
    Product,
    Reuploading,
    UnitChain,
    build_ansatz,
    initial_parameters,
    within,
)
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork, quantum
from qhyper.quantum.simulators.mps import MatrixProductBackend
from qhyper.targets.layered.space import WeightSpace

SPACE = WeightSpace((2, 2, 2))
BLOCKS = [[0, 2, 4, 5], [1, 3, 6, 7]]
"""The bits of its two hidden units: W1 = [[0, 1], [2, 3]], W2 = [[4, 5], [6, 7]]."""
PERMUTATION = [5, 0, 7, 2, 1, 6, 4, 3]


# -- oracle ---------------------------------------------------------------------------------------


def matrix(name, angle):
    """exp(-i angle P / 2) = cos(angle / 2) - i sin(angle / 2) P."""
    pauli = {"rx": [[0, 1], [1, 0]], "ry": [[0, -1j], [1j, 0]], "rz": [[1, 0], [0, -1]]}[name]
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * np.array(pauli)


def state_vector_probabilities(circuit, angles):
    """p of every string, qubit 0 changing fastest: gates on a vector of 2^n amplitudes."""
    number = np.arange(2**circuit.n_qubits)
    psi, angle = (number == 0).astype(complex), iter(angles)
    for gate in circuit.gates:
        if gate.name == "cx":
            control, target = gate.qubits
            psi = np.where(number >> control & 1, psi[number ^ (1 << target)], psi)
        elif gate.name == "cz":
            one, other = gate.qubits
            psi = np.where(number >> one & number >> other & 1, -psi, psi)
        else:
            (qubit,) = gate.qubits
            u, bit, mask = matrix(gate.name, next(angle)), number >> gate.qubits[0] & 1, 1 << qubit
            psi = u[bit, 0] * psi[number & ~mask] + u[bit, 1] * psi[number | mask]
    assert next(angle, None) is None
    return abs(psi) ** 2


# -- gates and angles of every ansatz by its name -------------------------------------------------


def named(name, n, **options):
    """The circuit of an ansatz of this name."""
    return build_ansatz(name, options, order=range(n)).build(n)


def counts(circuit):
    names = Counter(gate.name for gate in circuit.gates)
    return circuit.n_angles, names["cx"] + names["cz"]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 36])
def test_product_is_one_ry_on_every_qubit(n):
    circuit = named("product", n)
    assert circuit.gates == tuple(Gate("ry", (q,), q) for q in range(n))
    assert counts(circuit) == (n, 0)


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 36])
def test_brickwork_has_its_gates(n, depth, phase):
    circuit = named("brickwork", n, depth=depth, phase=phase)
    assert circuit == Brickwork(depth, phase).build(n)
    assert circuit.n_qubits == n
    assert circuit.n_angles == circuit.n_parameters == 2 * n * depth
    names = Counter(gate.name for gate in circuit.gates)
    entangling = sum((n - (sublayer + phase) % 2) // 2 for sublayer in range(depth))
    assert +names == +Counter(ry=n * depth, rz=n * depth, cx=entangling)
    angles = [gate.angle for gate in circuit.gates if gate.angle is not None]
    assert angles == list(range(2 * n * depth))


@pytest.mark.parametrize("gate", ["cx", "cz"])
@pytest.mark.parametrize("rotations", [("ry",), ("rz", "rx"), ("rx", "ry", "rz"), ("ry", "ry")])
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_hardware_efficient_ansaetze_have_their_gates(n, depth, rotations, gate):
    entanglers = {
        "hardware-efficient": n - 1,
        "linear": n - 1,
        "ring": n if n > 2 else n - 1,
        "all-to-all": n * (n - 1) // 2,
    }
    for name, each in entanglers.items():
        circuit = named(name, n, depth=depth, rotations=rotations, gate=gate)
        names = Counter(gate.name for gate in circuit.gates)
        expected = Counter({gate: depth * each})
        for rotation in rotations:
            expected[rotation] += (depth + 1) * n
        assert +names == +expected
        assert circuit.n_angles == circuit.n_parameters == (depth + 1) * n * len(rotations)
        assert circuit.plain


@pytest.mark.parametrize(
    ("blocks", "depth", "phase", "n"), [(1, 4, 0, 6), (2, 1, 1, 5), (3, 2, 0, 1)]
)
def test_mirrored_has_twice_the_gates_of_its_blocks_and_a_last_ry(blocks, depth, phase, n):
    angles, entangling = counts(Brickwork(depth, phase).build(n))
    circuit = named("mirrored", n, blocks=blocks, depth=depth, phase=phase)
    assert counts(circuit) == (2 * blocks * angles + n, 2 * blocks * entangling)
    assert circuit.plain


@pytest.mark.parametrize("layers", [(2, 2, 2), (4, 6, 2), (3, 2, 1, 2)])
@pytest.mark.parametrize("depth", [1, 3])
def test_units_has_a_chain_in_every_hidden_unit(depth, layers):
    space = WeightSpace(layers)
    ansatz = build_ansatz("units", {"depth": depth}, order=range(space.n_bits), layout=space.layout)
    inputs, hidden, outputs = layers[:3]
    angles, entangling = counts(ansatz.build(space.n_bits))
    assert angles == (depth + 1) * space.n_bits
    assert entangling == depth * hidden * (inputs + outputs - 1)


@pytest.mark.parametrize(
    ("name", "depth_4"),
    [
        ("brickwork", Brickwork(4)),
        ("hardware-efficient", HardwareEfficient(4)),
        ("linear", HardwareEfficient(4, "linear", "cx", ("ry",))),
        ("ring", HardwareEfficient(4, "ring")),
        ("all-to-all", HardwareEfficient(4, "all-to-all")),
        ("mirrored", Mirrored(Brickwork(4), 1)),
    ],
)
def test_the_depth_is_4_unless_told(name, depth_4):
    assert build_ansatz(name, {}, order=range(5)) == depth_4


def test_options_reach_the_ansatz():
    order = range(3)
    pairs = [[0, 2], [2, 1]]
    own = build_ansatz(
        "hardware-efficient", {"depth": 1, "pairs": pairs, "gate": "cz"}, order=order
    )
    assert own == HardwareEfficient(1, pairs, "cz")
    mirrored = build_ansatz("mirrored", {"depth": 2, "phase": 1, "blocks": 3}, order=order)
    assert mirrored == Mirrored(Brickwork(2, 1), 3)


@pytest.mark.parametrize(
    ("ansatz", "text"),
    [
        (Product(), "product circuit"),
        (Brickwork(3), "brickwork of depth 3"),
        (HardwareEfficient(2), "hardware-efficient ansatz of depth 2 (linear, cx, ry)"),
        (
            HardwareEfficient(1, [(0, 1), (2, 0)], "cz", ["ry", "rz"]),
            "hardware-efficient ansatz of depth 1 (2 own pairs, cz, ry rz)",
        ),
        (Mirrored(Brickwork(2)), "1 mirrored block of brickwork of depth 2"),
        (Mirrored(Product(), 2), "2 mirrored blocks of product circuit"),
        (Reuploading(Brickwork(2), 3), "brickwork of depth 2 that sees 3 features"),
    ],
    ids=str,
)
def test_every_ansatz_says_what_it_is(ansatz, text):
    assert str(ansatz) == text


# -- gates in their order -------------------------------------------------------------------------


def rotations(names, n, first=0):
    every = [(name, q) for name in names for q in range(n)]
    return [Gate(name, (q,), first + k) for k, (name, q) in enumerate(every)]


def pairs(circuit, names=("cx", "cz")):
    return [gate.qubits for gate in circuit.gates if gate.name in names]


def test_brickwork_alternates_its_pairs():
    even, odd = [(0, 1), (2, 3)], [(1, 2), (3, 4)]
    assert pairs(Brickwork(3).build(5)) == even + odd + even
    assert pairs(Brickwork(3, phase=0).build(5)) == even + odd + even
    assert pairs(Brickwork(3, phase=1).build(5)) == odd + even + odd
    assert pairs(Brickwork(2, phase=1).build(4)) == [(1, 2), (0, 1), (2, 3)]


def test_a_sublayer_of_brickwork_is_cx_then_ry_then_rz():
    entangler = Gate("cx", (0, 1))
    assert Brickwork(1).build(3).gates == (entangler, *rotations(("ry", "rz"), 3))


def test_a_layer_of_hardware_efficient_is_entanglers_then_all_rotations():
    circuit = HardwareEfficient(2, gate="cz", rotations=("rz", "ry")).build(3)
    entanglers = [Gate("cz", (0, 1)), Gate("cz", (1, 2))]
    assert circuit.gates == (
        *rotations(("rz", "ry"), 3),
        *entanglers,
        *rotations(("rz", "ry"), 3, first=6),
        *entanglers,
        *rotations(("rz", "ry"), 3, first=12),
    )


OWN = [(3, 0), (1, 4), (0, 1)]


@pytest.mark.parametrize(
    ("kind", "n", "expected"),
    [
        ("linear", 4, [(0, 1), (1, 2), (2, 3)]),
        ("linear", 1, []),
        ("ring", 5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]),
        ("ring", 3, [(0, 1), (1, 2), (2, 0)]),
        ("ring", 2, [(0, 1)]),  # a second one would undo the first
        ("ring", 1, []),
        ("all-to-all", 4, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        ("all-to-all", 1, []),
        (OWN, 5, OWN),
        (np.array(OWN), 5, OWN),
        ([[2, 0]], 3, [(2, 0)]),
        ([], 3, []),
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", [1, 2])
def test_the_pairs_of_hardware_efficient(kind, n, expected, depth):
    assert pairs(HardwareEfficient(depth, kind).build(n)) == expected * depth


def test_mirrored_is_the_gates_and_their_mirror_image():
    circuit = Mirrored(HardwareEfficient(1, rotations=("ry", "rz")), blocks=2).build(2)
    half = [("ry", 0), ("ry", 1), ("rz", 0), ("rz", 1), ("cx", 0, 1)]
    half += half[:4]
    block = half + half[::-1]
    expected = block + block + [("ry", 0), ("ry", 1)]
    assert [(gate.name, *gate.qubits) for gate in circuit.gates] == expected
    numbers = [gate.angle for gate in circuit.gates if gate.angle is not None]
    assert numbers == list(range(4 * 8 + 2))


# -- units ----------------------------------------------------------------------------------------


def test_within_by_hand():
    row = [(0, 2), (2, 4), (4, 5), (1, 3), (3, 6), (6, 7)]
    assert within(BLOCKS, range(8)) == row
    # The blocks one after another: qubits 0 to 3 and 4 to 7.
    unit = [0, 2, 4, 5, 1, 3, 6, 7]
    assert within(BLOCKS, unit) == [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7)]
    assert within(BLOCKS, PERMUTATION) == [(1, 3), (3, 6), (6, 0), (4, 7), (7, 5), (5, 2)]
    assert within([[3]], range(8)) == []


@pytest.mark.parametrize("order", ["row", "unit", "split", None, PERMUTATION], ids=str)
def test_units_entangle_within_hidden_units_whatever_the_order(order):
    generator = quantum(
        8, ansatz="units", depth=2, order=order, layout=SPACE.layout, start="uniform", backend="mps"
    )
    chains = [(one, other) for block in BLOCKS for one, other in pairwise(block)]
    bits = [tuple(generator.order[list(pair)].tolist()) for pair in pairs(generator.circuit)]
    assert bits == 2 * chains

    # So the units are independent of one another, and no two bits within one.
    p = generator.probabilities()[0, 0].detach().numpy().reshape([2] * 8)  # axis 7 - b is bit b
    first, second = (
        p.sum(axis=tuple(7 - bit for bit in block), keepdims=True) for block in BLOCKS[::-1]
    )
    np.testing.assert_allclose(p, first * second, rtol=0, atol=1e-12)
    for block in BLOCKS:
        for one, other in combinations(block, 2):
            rest = tuple(axis for axis in range(8) if axis not in (7 - one, 7 - other))
            joint = p.sum(axis=rest)
            assert abs(np.linalg.det(joint)) > 1e-4

    expected = state_vector_probabilities(generator.circuit, generator.theta[0].tolist())
    number = all_bitstrings(8)[:, generator.order] @ (1 << np.arange(8))
    np.testing.assert_allclose(p.ravel(), expected[number], rtol=0, atol=1e-12)


def test_units_leave_the_bits_of_later_layers_alone():
    space = WeightSpace((2, 2, 1, 2))
    generator = quantum(8, ansatz="units", depth=1, layout=space.layout, backend="mps")
    entangled = {int(generator.order[qubit]) for pair in pairs(generator.circuit) for qubit in pair}
    assert entangled == set(range(6))


@pytest.mark.parametrize("layout", [None, WeightSpace((2, 3)).layout], ids=str)
def test_units_need_a_hidden_layer(layout):
    message = rf"inside the hidden units.* pass its `layout`, .*; got {layout}\. Or use another ans"
    with pytest.raises(ConfigurationError, match=message):
        quantum(6, ansatz="units", layout=layout)


# -- distributions --------------------------------------------------------------------------------

EVERY = [
    (Product(), 7),
    (Brickwork(4), 7),
    (Brickwork(5, 1), 6),
    (HardwareEfficient(4), 7),
    (HardwareEfficient(3, gate="cz", rotations=("rx", "rz")), 5),
    (HardwareEfficient(3, "linear", rotations=("ry", "rz")), 1),
    (HardwareEfficient(2, "ring"), 7),
    (HardwareEfficient(3, "ring", "cz", ("ry", "rx")), 5),
    (HardwareEfficient(3, "ring", rotations=("rx", "ry", "rz")), 3),
    (HardwareEfficient(4, "ring"), 2),
    (HardwareEfficient(1, "all-to-all"), 5),
    (HardwareEfficient(1, "all-to-all", "cz", ("rz", "ry", "rx")), 5),
    (HardwareEfficient(2, "all-to-all", rotations=("ry", "rz")), 4),
    (HardwareEfficient(2, [(4, 0), (1, 3), (3, 1), (2, 4)], rotations=("ry", "rx")), 5),
    (HardwareEfficient(3, [(6, 2)], "cz"), 7),
    (HardwareEfficient(2, []), 3),
    (Mirrored(Brickwork(2)), 6),
    (Mirrored(Brickwork(1, 1), 2), 7),
    (Mirrored(HardwareEfficient(1, "ring", "cz", ("rx", "ry"))), 5),
    (Mirrored(Product(), 3), 4),
]
IDS = [f"{ansatz}, {n} qubits" for ansatz, n in EVERY]


@pytest.mark.parametrize(("ansatz", "n"), EVERY, ids=IDS)
def test_every_ansatz_agrees_with_the_state_vector(ansatz, n):
    circuit = ansatz.build(n)
    angles = np.random.default_rng([n, circuit.n_angles]).uniform(-np.pi, np.pi, circuit.n_angles)
    p = MatrixProductBackend().compile(circuit).at(angles[None, None]).probabilities()[0, 0]
    expected = state_vector_probabilities(circuit, angles)
    assert expected.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-12)


def test_the_last_pair_of_a_ring_has_its_control_on_the_last_qubit():
    # X on the last qubit alone, then the ring's CX: (n - 1, 0) sets qubit 0.
    circuit = HardwareEfficient(1, "ring", rotations=("rx",)).build(4)
    p = state_vector_probabilities(circuit, [0, 0, 0, np.pi, 0, 0, 0, 0])
    assert p[0b1001] == pytest.approx(1)
    executable = MatrixProductBackend().compile(circuit)
    angles = np.array([0, 0, 0, np.pi, 0, 0, 0, 0])
    np.testing.assert_allclose(
        executable.at(angles[None, None]).probabilities()[0, 0], p, atol=1e-12
    )


# -- re-uploading ---------------------------------------------------------------------------------


def test_reuploading_by_hand():
    # Qubits 0, 1, 2 take the features 0, 1, 0 in the first sublayer and 1, 0, 1 in the second; the
    # Rz that end the circuit take none.
    circuit = Reuploading(Brickwork(3), 2, scale=0.7).build(3)

    def seen(parameter, feature):
        return Angle({parameter: 1.0}, {feature: 0.7})

    assert circuit.gates == (
        Gate("cx", (0, 1)),
        *rotations(["ry"], 3),
        Gate("rz", (0,), seen(3, 0)),
        Gate("rz", (1,), seen(4, 1)),
        Gate("rz", (2,), seen(5, 0)),
        Gate("cx", (1, 2)),
        *rotations(["ry"], 3, first=6),
        Gate("rz", (0,), seen(9, 1)),
        Gate("rz", (1,), seen(10, 0)),
        Gate("rz", (2,), seen(11, 1)),
        Gate("cx", (0, 1)),
        *rotations(["ry", "rz"], 3, first=12),
    )
    assert (circuit.n_inputs, circuit.n_parameters, circuit.n_angles) == (2, 18, 18)


class Own:
    """Rz that are fixed, tied, scaled, and see a feature already."""

    def build(self, n_qubits):
        gates = (
            Gate("rz", (0,), Angle(offset=0.3)),
            Gate("ry", (0,), Angle({0: 1.0}, {0: 2.0})),
            Gate("rz", (0,), Angle({0: -2.0}, {1: 0.5})),
            Gate("rz", (0,), Angle({1: 1.0}, {1: 0.5})),
            Gate("rx", (0,), 2),
        )
        return Circuit(n_qubits, gates)


def test_reuploading_adds_to_whatever_the_angle_of_an_rz_is():
    circuit = Reuploading(Own(), 2, scale=0.25).build(1)
    assert circuit.angles == (
        Angle({}, {0: 0.25}, 0.3),
        Angle({0: 1.0}, {0: 2.0}),
        Angle({0: -2.0}, {1: 0.75}),
        Angle({1: 1.0}, {1: 0.5, 0: 0.25}),
        Angle({2: 1.0}),
    )


SEEING = [
    (Brickwork(3), 5, 2),
    (Brickwork(2, 1), 4, 4),
    (Brickwork(4), 2, 3),
    (HardwareEfficient(2, "ring", "cz", ("rz", "ry")), 5, 3),
    (HardwareEfficient(1, rotations=("rz", "ry", "rz")), 3, 2),
    (Mirrored(Brickwork(1)), 4, 2),
]


def at_inputs(circuit, theta, x, scale):
    """The angles of a circuit that has none but parameters, x added to every Rz but a last one."""
    angles, seen, number = list(theta), Counter(), 0
    for k, gate in enumerate(circuit.gates):
        (qubit, *_) = gate.qubits
        if gate.name == "rz" and any(qubit in later.qubits for later in circuit.gates[k + 1 :]):
            angles[number] += scale * x[(qubit + seen[qubit]) % len(x)]
            seen[qubit] += 1
        number += gate.angle is not None
    return angles


@pytest.mark.parametrize("scale", [np.pi / 2, -0.4])
@pytest.mark.parametrize(("ansatz", "n", "n_inputs"), SEEING, ids=str)
def test_reuploading_agrees_with_the_state_vector(ansatz, n, n_inputs, scale):
    generator = QuantumHyperNetwork(
        n, ansatz=Reuploading(ansatz, n_inputs, scale), start="uniform", seeds=(3, 4)
    )
    x = np.random.default_rng(n).normal(size=(2, 3, n_inputs))
    angles = generator.angles(inputs=x).detach().numpy()
    p = generator.probabilities(inputs=x).detach().numpy()
    plain, theta = ansatz.build(n), generator.theta.detach().numpy()
    for replica, own in np.ndindex(2, 3):
        expected = at_inputs(plain, theta[replica], x[replica, own], scale)
        np.testing.assert_allclose(angles[replica, own], expected, rtol=0, atol=1e-14)
        by_state = state_vector_probabilities(plain, expected)
        np.testing.assert_allclose(p[replica, own], by_state, rtol=0, atol=1e-12)


@pytest.mark.parametrize("start", ["near-product", "uniform"])
@pytest.mark.parametrize(("ansatz", "n", "n_inputs"), SEEING, ids=str)
def test_at_input_zero_it_is_the_ansatz_itself(ansatz, n, n_inputs, start):
    options = {"start": start, "seeds": (3, 4)}
    plain = QuantumHyperNetwork(n, ansatz=ansatz, **options)
    seeing = QuantumHyperNetwork(n, ansatz=Reuploading(ansatz, n_inputs), **options)
    np.testing.assert_array_equal(seeing.theta.detach(), plain.theta.detach())
    found = seeing.probabilities(inputs=np.zeros((1, n_inputs))).detach()
    np.testing.assert_allclose(found, plain.probabilities().detach(), rtol=0, atol=1e-12)


def test_one_qubit_in_closed_form_and_what_there_is_to_train():
    # Ry(a), Rz(b + s x), Ry(c): <Z> = cos a cos c - sin a sin c cos(b + s x), p(1) = (1 - <Z>) / 2.
    a, b, c, scale = 0.4, -0.8, 1.9, 0.7
    ansatz = Reuploading(Brickwork(2), 1, scale)
    generator = QuantumHyperNetwork(1, ansatz=ansatz, start=[a, b, c, 0.5])
    x = np.array([[-1.3], [0.0], [2.1]])
    p = generator.probabilities(inputs=x)[0, :, 1].detach().numpy()
    z = np.cos(a) * np.cos(c) - np.sin(a) * np.sin(c) * np.cos(b + scale * x[:, 0])
    np.testing.assert_allclose(p, (1 - z) / 2, rtol=0, atol=1e-12)

    # At the centre of near-product, a = b = 0 and c = π/2, p does not depend on x, but its
    # derivative by a, cos(s x) / 2, does: training can make it depend.
    generator = QuantumHyperNetwork(1, ansatz=ansatz, start=[0.0, 0.0, np.pi / 2, 0.0])
    p = generator.probabilities(inputs=x)[0, :, 1]
    np.testing.assert_allclose(p.detach(), 0.5, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(p[1] - p[2], generator.theta)
    slope = (1 - np.cos(scale * 2.1)) / 2
    np.testing.assert_allclose(gradient, [[slope, 0, 0, 0]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_near_product_hardly_depends_on_the_input_and_can_learn_to(depth):
    # Seeds 0 to 2, 6 qubits and 2 features. As for near-product without inputs, log p of a string
    # is -6 ln 2 plus at most one term of N(0, 0.05²) for each angle, whatever the input: 6 sigma.
    n, x = 6, np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])
    bound, off = 6 * 0.05 * np.sqrt(2 * n * depth), {}
    for start in ("near-product", "uniform"):
        ansatz = Reuploading(Brickwork(depth), 2)
        generator = QuantumHyperNetwork(n, ansatz=ansatz, start=start, seeds=range(3))
        p = generator.probabilities(inputs=x)
        off[start] = abs(p.detach().log() + n * np.log(2)).max()
    assert off["near-product"] < bound < off["uniform"]

    # At first order an Ry of the first sublayer adds ± cos(angle of the Rz after it) to log p:
    # where they see x = 1 at a scale of π/2 that is another derivative than at x = 0, by about 1.
    for other in (1, 2, 3):
        generator = QuantumHyperNetwork(n, ansatz=Reuploading(Brickwork(depth), 2), seeds=range(3))
        log_p = generator.probabilities(inputs=x)[:, :, 0b101101].log()
        change = (log_p[:, other] - log_p[:, 0]).sum()
        (gradient,) = torch.autograd.grad(change, generator.theta)
        assert (gradient.norm(dim=1) > 0.5).all()


@pytest.mark.parametrize(
    ("ansatz", "n", "n_inputs", "found"),
    [
        (Brickwork(1), 4, 2, 0),  # too shallow
        (Brickwork(2), 1, 3, 1),
        (Brickwork(2), 2, 3, 2),
        (HardwareEfficient(2), 4, 1, 0),  # no Rz
        (Product(), 4, 2, 0),
    ],
    ids=str,
)
def test_features_without_an_rz_are_refused(ansatz, n, n_inputs, found):
    message = (
        f"{ansatz} on {n} qubits has Rz gates, with others after them, for {found} of {n_inputs} "
        "input features. Use a deeper ansatz with Rz gates, such as Brickwork of depth 2 or more."
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Reuploading(ansatz, n_inputs).build(n)


@pytest.mark.parametrize("n_inputs", [0, -1, 1.5, "2"])
def test_reuploading_needs_a_feature(n_inputs):
    message = f"whole number of input features, at least 1; got n_inputs={n_inputs!r}."
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Reuploading(Brickwork(2), n_inputs)


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_a_scale_that_is_not_finite_is_refused(scale):
    with pytest.raises(ConfigurationError, match=r"'rz' got .*; expected finite numbers"):
        Reuploading(Brickwork(2), 2, scale).build(3)


def test_a_circuit_that_sees_an_input_is_no_identity_block():
    circuit = Reuploading(Mirrored(Brickwork(1)), 2).build(3)
    with pytest.raises(ConfigurationError, match="'identity-block' needs a circuit of blocks"):
        initial_parameters(circuit, "identity-block", np.random.default_rng(0))


# -- what cannot be built -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "name"), [(Brickwork, "Brickwork"), (HardwareEfficient, "HardwareEfficient")]
)
@pytest.mark.parametrize("depth", [0, -1, 2.5, "4"])
def test_a_depth_that_is_no_number_from_1_is_refused(build, name, depth):
    message = f"{name} depth must be a whole number, at least 1; got {depth!r}.*use the product"
    with pytest.raises(ConfigurationError, match=message):
        build(depth)


@pytest.mark.parametrize("phase", [2, -1])
def test_a_phase_that_is_neither_0_nor_1_is_refused(phase):
    with pytest.raises(ConfigurationError, match=f"phase is 0 or 1; got {phase}"):
        Brickwork(2, phase=phase)


@pytest.mark.parametrize("blocks", [0, -1, 1.5])
def test_mirrored_needs_a_block(blocks):
    with pytest.raises(ConfigurationError, match=f"at least 1 whole block; got {blocks}"):
        Mirrored(Product(), blocks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate": "cy"}, "Unknown entangling gate 'cy'. Did you mean 'cz'? Known: cx, cz."),
        (
            {"rotations": ["ry", "ru"]},
            "Unknown rotation 'ru'. Did you mean 'rz'? Known: rx, ry, rz",
        ),
        ({"rotations": "ry"}, "Got rotations='ry'; expected a list such as ['ry', 'rz']."),
        ({"rotations": []}, "Got rotations=[]; expected a list such as ['ry', 'rz']."),
        (
            {"pairs": "rings"},
            "Unknown pairs 'rings'. Did you mean 'ring'? Known: all-to-all, linear, ring.",
        ),
        (
            {"pairs": [1, 2]},
            "Got pairs=[1, 2]; expected linear, ring, all-to-all, or a list of pai",
        ),
        ({"pairs": [(0, 1, 2)]}, "Got pairs=[(0, 1, 2)]; expected linear, ring, all-to-all, or"),
        ({"pairs": [(0.5, 1)]}, "Got pairs=[(0.5, 1)]; expected linear, ring, all-to-all, or"),
    ],
    ids=str,
)
def test_options_of_hardware_efficient_that_cannot_work_are_refused(options, message):
    for build in (
        lambda: HardwareEfficient(1, **options),
        lambda: build_ansatz("hardware-efficient", options, order=range(3)),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            build()


@pytest.mark.parametrize("pair", [(0, 3), (-1, 0), (1, 1)])
def test_own_pairs_have_to_be_on_the_qubits(pair):
    message = f"'cx' got qubits {pair}; expected 2 different qubits from 0 to 2"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        HardwareEfficient(1, [pair]).build(3)


@pytest.mark.parametrize("ansatz", [Brickwork(2), Product(), HardwareEfficient(1)], ids=str)
def test_a_circuit_needs_a_qubit(ansatz):
    with pytest.raises(ConfigurationError, match="at least 1 qubit; got 0"):
        ansatz.build(0)


def test_an_unknown_ansatz_is_refused_with_the_nearest_name():
    message = (
        "Unknown ansatz 'brikwork'. Did you mean 'brickwork'? Known: all-to-all, brickwork, "
        "encoded, hardware-efficient, linear, mirrored, product, ring, unit-chain, units."
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        build_ansatz("brikwork", {}, order=range(3))


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("brickwork", "dept", ": 'dept'. Did you mean 'depth'? Known: depth, phase."),
        ("ring", "pairs", ": 'pairs'. Known: depth, gate, rotations."),
        ("hardware-efficient", "pair", ": 'pair'. Did you mean 'pairs'?"),
        ("mirrored", "block", ": 'block'. Did you mean 'blocks'?"),
        ("units", "phase", ": 'phase'. Known: depth, gate, rotations."),
        ("product", "depth", ": 'depth'. Known: (none)."),
    ],
)
def test_an_option_that_the_ansatz_does_not_take_is_refused(name, option, message):
    expected = re.escape(f"Unknown option of the ansatz {name}{message}")
    with pytest.raises(ConfigurationError, match=expected):
        build_ansatz(name, {option: 1}, order=range(3))
    with pytest.raises(ConfigurationError, match=expected):
        quantum(3, ansatz=name, **{option: 1})


# -- where training begins ------------------------------------------------------------------------


def test_near_product_has_the_last_ry_about_half_pi():
    # Seed 0: 200 qubits and 1,200 angles of N(0, 0.05²) about their centres; all within 5 sigma.
    n = 200
    circuit = Brickwork(3).build(n)
    angles = initial_parameters(circuit, "near-product", np.random.default_rng(0))
    centre = np.zeros(circuit.n_angles)
    centre[4 * n : 5 * n] = np.pi / 2
    assert abs(angles - centre).max() < 5 * 0.05
    # Seed 0: standard deviation of 1,200 values, relative error 1/sqrt(2400) = 2 %, 5 sigma.
    assert (angles - centre).std() == pytest.approx(0.05, rel=0.1)


def test_near_product_finds_the_last_ry_of_each_qubit_by_itself():
    # Seed 1; 5 sigma of 0.05.
    gates = (
        Gate("ry", (1,), 0),
        Gate("ry", (0,), 1),
        Gate("rx", (2,), 2),
        Gate("ry", (1,), 3),
        Gate("rz", (0,), 4),
    )
    angles = initial_parameters(Circuit(3, gates), "near-product", np.random.default_rng(1))
    half = np.pi / 2
    np.testing.assert_allclose(angles, [0, half, 0, half, 0], rtol=0, atol=0.25)


def test_near_product_sets_parameters_so_that_the_angles_are_half_pi():
    # Seed 6; 5 sigma of 0.05. Two last Ry share parameter 0; that of qubit 2 has the factor -2,
    # that of qubit 3 a factor of 0 besides; that of qubit 4 is fixed, that of 5 a sum of two.
    gates = (
        Gate("ry", (0,), 0),
        Gate("ry", (1,), 0),
        Gate("ry", (2,), Angle({1: -2.0})),
        Gate("ry", (3,), Angle({2: 1.0, 3: 0.0})),
        Gate("ry", (4,), Angle(offset=0.3)),
        Gate("ry", (5,), Angle({3: 1.0, 4: 1.0})),
    )
    parameters = initial_parameters(Circuit(6, gates), "near-product", np.random.default_rng(6))
    half = np.pi / 2
    np.testing.assert_allclose(parameters, [half, -half / 2, half, 0, 0], rtol=0, atol=0.25)


def test_near_product_without_an_ry_is_about_zero():
    # Seed 2; 5 sigma of 0.05.
    circuit = Circuit(2, (Gate("rx", (0,), 0), Gate("cz", (0, 1))))
    angles = initial_parameters(circuit, "near-product", np.random.default_rng(2))
    assert angles.shape == (1,)
    assert abs(angles[0]) < 0.25


NEAR_UNIFORM = [
    Product(),
    Brickwork(4),
    Brickwork(3, 1),
    HardwareEfficient(4),
    HardwareEfficient(2, "linear", "cz", ("ry", "rz")),
    HardwareEfficient(3, "ring"),
    HardwareEfficient(1, "all-to-all", rotations=("rx", "ry")),
    HardwareEfficient(2, [(5, 0), (2, 4)], rotations=("ry", "rx")),
    HardwareEfficient(4, within(BLOCKS, PERMUTATION)),
    Mirrored(Brickwork(2)),
]


@pytest.mark.parametrize("ansatz", NEAR_UNIFORM, ids=str)
def test_near_product_is_near_the_uniform_distribution(ansatz):
    # Seeds 0 to 2, 8 qubits. To first order log p of a string is -8 ln 2 plus at most one term of
    # N(0, 0.05²) with a sign for each angle: 6 sigma for the largest of 768 strings.
    n = 8
    circuit = ansatz.build(n)
    bound = 6 * 0.05 * np.sqrt(circuit.n_angles)
    for seed in range(3):
        off = {}
        for start in ("near-product", "uniform"):
            angles = initial_parameters(circuit, start, np.random.default_rng(seed))
            p = state_vector_probabilities(circuit, angles)
            off[start] = abs(np.log(p) + n * np.log(2)).max()
        assert off["near-product"] < bound
        assert off["uniform"] > 1.5 * bound  # so the bound says something


def test_a_fixed_rotation_keeps_near_product_from_uniform():
    gates = (Gate("ry", (0,), Angle(offset=np.pi / 2)), Gate("ry", (0,), 0))
    generator = QuantumHyperNetwork(1, ansatz=Circuit(1, gates), start="near-product")
    # Seed 0: the angles add to π ± 0.05, so bit 1 is all but sure; 5 sigma.
    assert generator.probabilities()[0, 0, 1] > np.cos(5 * 0.05 / 2) ** 2


def test_uniform_start_fills_the_circle():
    # Seed 3: the mean of 4,000 uniform angles is 0 ± (2π/√12)/√4000 = 0.029; 5 sigma.
    circuit = Brickwork(1).build(2000)
    angles = initial_parameters(circuit, "uniform", np.random.default_rng(3))
    assert (angles >= -np.pi).all()
    assert (angles < np.pi).all()
    assert np.ptp(angles) > 1.9 * np.pi
    assert abs(angles.mean()) < 0.145


MIRRORED = [
    (Mirrored(Product()), 4),
    (Mirrored(Brickwork(2)), 6),
    (Mirrored(Brickwork(3, 1)), 5),
    (Mirrored(Brickwork(1), 3), 5),
    (Mirrored(HardwareEfficient(1, "ring", "cz", ("rx", "ry", "rz"))), 5),
    (Mirrored(HardwareEfficient(1, "all-to-all"), 2), 3),
    (Mirrored(HardwareEfficient(1, [(2, 0), (1, 3)]), 2), 4),
]


@pytest.mark.parametrize(("ansatz", "n"), MIRRORED, ids=str)
def test_identity_blocks_start_at_exactly_the_uniform_distribution(ansatz, n):
    generator = QuantumHyperNetwork(
        n, ansatz=ansatz, start="identity-block", seeds=(0, 1), backend="mps"
    )
    theta = generator.theta.detach().numpy()
    p = generator.probabilities().detach().numpy()
    np.testing.assert_allclose(p, np.full((2, 1, 2**n), 2.0**-n), rtol=0, atol=1e-12)
    for angles in theta:
        expected = state_vector_probabilities(generator.circuit, angles)
        np.testing.assert_allclose(expected, 2.0**-n, rtol=0, atol=1e-12)
    # Not because all angles are zero: they are random, and another for each replica.
    assert (theta[0, :-n] != theta[1, :-n]).all()
    assert np.unique(abs(theta[0, :-n])).size == (theta.shape[1] - n) // 2
    np.testing.assert_array_equal(theta[:, -n:], np.full((2, n), np.pi / 2))


def test_angles_of_identity_blocks_fill_the_circle():
    # Seed 4: 4,000 pairs of opposite angles, uniform in [-π, π); the mean of their squares is
    # π²/3 ± (π² √(4/45)) / √4000, 5 sigma.
    circuit = Mirrored(Brickwork(1)).build(2000)
    angles = initial_parameters(circuit, "identity-block", np.random.default_rng(4))[:-2000]
    assert abs(angles).max() <= np.pi
    error = np.pi**2 * np.sqrt(4 / 45) / np.sqrt(4000)
    assert (angles**2).mean() == pytest.approx(np.pi**2 / 3, abs=5 * error)


def test_identity_blocks_of_an_own_circuit():
    # Rz meets Rz and Cx meets Cx; qubit 1 has no last Ry and stays in |0>.
    gates = (
        Gate("rx", (0,), 0),
        Gate("cx", (0, 1)),
        Gate("rz", (1,), 1),
        Gate("rz", (1,), 2),
        Gate("cx", (0, 1)),
        Gate("rx", (0,), 3),
        Gate("ry", (0,), 4),
    )
    circuit = Circuit(2, gates)
    angles = initial_parameters(circuit, "identity-block", np.random.default_rng(5))
    assert angles[4] == np.pi / 2
    np.testing.assert_array_equal(angles[[3, 2]], -angles[[0, 1]])
    p = state_vector_probabilities(circuit, angles)
    np.testing.assert_allclose(p, [0.5, 0.5, 0, 0], rtol=0, atol=1e-12)


ry = ("ry", (0,))


@pytest.mark.parametrize(
    "circuit",
    [
        Brickwork(2).build(4),
        HardwareEfficient(1).build(2),
        Circuit(2, (Gate("cx", (0, 1)), Gate("ry", (0,), 0))),
        Circuit(2, (Gate("cx", (0, 1)), Gate("cx", (1, 0)), Gate("ry", (0,), 0))),
        Circuit(1, (Gate(*ry, 0), Gate("rz", (0,), 1), Gate(*ry, 2))),
        Circuit(1, (Gate("rx", (0,), 0),)),
        Circuit(1, (Gate(*ry, 0), Gate(*ry, 0))),
        Circuit(1, (Gate(*ry, 0), Gate(*ry, Angle(offset=1.0)), Gate(*ry, 1))),
        Circuit(1, (Gate(*ry, 0), Gate(*ry, Angle({1: -1.0})))),
    ],
    ids=["brickwork", "linear", "cx", "cx xc", "three", "rx", "tied", "fixed", "scaled"],
)
def test_circuits_that_are_no_identity_blocks_are_refused(circuit):
    message = (
        "The start 'identity-block' needs a circuit of blocks that mirror themselves.*Use the "
        "ansatz 'mirrored', or the start 'near-product' or 'uniform'"
    )
    with pytest.raises(ConfigurationError, match=message):
        initial_parameters(circuit, "identity-block", np.random.default_rng(0))


@pytest.mark.parametrize("start", ["near-product", "near-plus", "uniform", "identity-block"])
def test_the_same_seed_gives_the_same_start(start):
    circuit = Mirrored(Brickwork(2)).build(5)
    first, again, other = (
        initial_parameters(circuit, start, np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other)[:-5].all()


# -- UnitChain -------------------------------------------------------------------------------------


@pytest.mark.parametrize("signs", [False, True])
def test_a_chain_whose_qubits_are_all_in_plus_is_uniform(signs):
    # p = 2^-n exactly at the centre of near-plus: X does nothing to |+>
    space = WeightSpace((2, 2, 2))
    ansatz = UnitChain(2, 2, signs=signs)
    generator = QuantumHyperNetwork(8, ansatz=ansatz, layout=space.layout, backend="statevector")
    assert generator.start == "near-plus"
    with torch.no_grad():
        generator.theta.copy_((generator.theta > 0.8).double() * np.pi / 2)
    p = generator.probabilities().detach().numpy()
    np.testing.assert_allclose(p, 2.0**-8, atol=1e-14)


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_a_chain_is_a_bayesian_network(inputs):
    # Seed 5, all bitstrings of two units. Measured in the order of the graph, every Ry is a
    # conditional probability sin²: of the chain s_u given s_{u-1}, of the other qubits given
    # whether the unit acts. On |0>, Ry(a) X^c Ry(b) is the angle a + b if c = 0, else π - a + b.
    units, width = 2, inputs + 2
    circuit = UnitChain(units, inputs).build(units * width)
    theta = np.random.default_rng(5).uniform(-3, 3, circuit.n_parameters)
    strings = all_bitstrings(units * width)
    given = iter(theta)

    def p_one(control, a, b):
        return np.sin(np.where(control == 1, np.pi - a + b, a + b) / 2) ** 2

    def of(bit, p):
        return np.where(bit == 1, p, 1 - p)

    half = inputs // 2
    last, first = strings[:, half::width], strings[:, half + 1 :: width]
    acts = last ^ first  # [string, unit]
    chain = np.bitwise_xor.accumulate(acts, axis=1)
    expected = of(chain[:, 0], np.sin(next(given) / 2) ** 2)
    for u in range(1, units):
        expected = expected * of(chain[:, u], p_one(chain[:, u - 1], next(given), next(given)))
    for u in range(units):
        own = strings[:, u * width : (u + 1) * width]
        others = [own[:, k] for k in range(width) if k not in (half, half + 1)]
        for bit in (*others, first[:, u]):
            expected = expected * of(bit, p_one(acts[:, u], next(given), next(given)))
    assert next(given, None) is None
    p = MatrixProductBackend().compile(circuit).at(theta[None, None]).probabilities()[0, 0]
    np.testing.assert_allclose(p, expected, atol=1e-13)


def test_a_chain_can_let_exactly_one_unit_act():
    # With s_0 = 0, P(s_u = 1 | s_{u-1} = 0) = 1 / (units left) and s staying 1 once it is, exactly
    # one unit changes s, and each one with the same probability. Ry(a) CX Ry(b) on |0> is the angle
    # a + b if the control is 0 and π - a + b if it is 1.
    space, units = WeightSpace((1, 4, 2)), 4
    generator = QuantumHyperNetwork(
        12, ansatz=UnitChain(units, 1), layout=space.layout, backend="statevector"
    )
    theta = np.zeros(generator.circuit.n_parameters)
    theta[0] = 2 * np.arcsin(np.sqrt(1 / units))
    for u in range(1, units):
        zero, one = 2 * np.arcsin(np.sqrt(1 / (units - u))), np.pi
        theta[2 * u - 1], theta[2 * u] = (zero - one + np.pi) / 2, (zero + one - np.pi) / 2
    with torch.no_grad():
        generator.theta.copy_(torch.from_numpy(theta)[None])
    p = generator.probabilities().detach().numpy()[0, 0]
    second = space.decode(all_bitstrings(12)).weights[1]
    acts = second[..., 0] != second[..., 1]  # [string, unit]
    assert p[acts.sum(axis=1) == 1].sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose([p[acts[:, u]].sum() for u in range(units)], 1 / units, atol=1e-12)


def test_a_chain_without_its_links_has_independent_units():
    # 6 qubits in two units: cut the CX between the units, and the distribution factorises
    whole = UnitChain(2, 1).build(6)
    linked = {(0, 3), (3, 0)}  # the qubits that carry whether a unit acts
    gates = tuple(gate for gate in whole.gates if gate.qubits not in linked)
    assert len(whole.gates) - len(gates) == 2
    angles = np.random.default_rng(3).uniform(-3, 3, (1, 1, whole.n_angles))
    for circuit, factorises in ((Circuit(6, gates), True), (whole, False)):
        p = MatrixProductBackend().compile(circuit).at(angles).probabilities()[0, 0].reshape(8, 8)
        product = np.outer(p.sum(axis=1), p.sum(axis=0))
        assert (np.abs(p - product).max() < 1e-12) == factorises


@pytest.mark.parametrize(("signs", "parameters"), [(False, 71), (True, 95)])
def test_the_chain_of_the_36_weights_by_name(signs, parameters):
    space = WeightSpace((4, 6, 2))
    generator = quantum(36, ansatz="unit-chain", signs=signs, layout=space.layout)
    assert generator.circuit.n_parameters == parameters
    np.testing.assert_array_equal(generator.order, space.layout.order("unit-centre"))
    assert generator.order[:6].tolist() == [0, 6, 25, 24, 12, 18]
    assert "chain of 6 units" in generator.describe()
    assert str(generator.backend) == "mps"


def test_chains_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match="whole numbers from 1; got units=0"):
        UnitChain(0, 4)
    with pytest.raises(ConfigurationError, match=r"got inputs=2\.5"):
        UnitChain(6, 2.5)
    with pytest.raises(ConfigurationError, match="signs is true or false; got 'yes'"):
        UnitChain(6, 4, signs="yes")
    with pytest.raises(ConfigurationError, match="two outputs has 36 qubits; got 38"):
        UnitChain(6, 4).build(38)
    with pytest.raises(ConfigurationError, match=r"'unit-chain' follows the hidden.*; got None\. "):
        quantum(6, ansatz="unit-chain")
    for space in (
        WeightSpace((2, 2, 1)),
        WeightSpace((2, 2, 2, 2)),
        WeightSpace((2, 1, 2), biases=True),
        WeightSpace((2, 1, 2), values=[(-1, 1), (0, 1)]),
    ):
        message = f"two outputs and bits for nothing but weights: .*; got {space.layout}. Or use"
        with pytest.raises(ConfigurationError, match=message):
            quantum(space.n_bits, ansatz="unit-chain", layout=space.layout)


def test_an_unknown_start_is_refused_with_the_nearest_name():
    message = r"'near_product'\. Did you mean 'near-product'\? Known: identity-block, near-plus, "
    with pytest.raises(ConfigurationError, match=message):
        initial_parameters(Product().build(2), "near_product", np.random.default_rng(0))


def test_long_circuits_are_quick():
    # 10,000 qubits, 170,000 gates: a second here; anything quadratic would take minutes.
    begin = time.perf_counter()
    circuit = Brickwork(8).build(10_000)
    angles = initial_parameters(circuit, "near-product", np.random.default_rng(0))
    assert len(angles) == circuit.n_angles == 160_000
    assert time.perf_counter() - begin < 20
