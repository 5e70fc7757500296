"""The matrix-product simulator against a state vector written out here, and against PennyLane."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from qhyper import threads
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.quantum import backend
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators import mps, mps_kernels, mps_program

RELIABLE = 1e-12
"""log p is compared where p is above this: below it, the state vector itself is rounding."""


# -- oracles --------------------------------------------------------------------------------------


def rotation(name, angle):
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    return np.array(
        {
            "rx": [[c, -1j * s], [-1j * s, c]],
            "ry": [[c, -s], [s, c]],
            "rz": [[np.exp(-0.5j * angle), 0], [0, np.exp(0.5j * angle)]],
        }[name]
    )


def state_vector(circuit, angles):
    """The amplitudes [2, ..., 2], axis q for qubit q."""
    n = circuit.n_qubits
    psi = np.zeros((2,) * n, complex)
    psi[(0,) * n] = 1
    for gate in circuit.gates:
        if gate.angle is not None:
            (q,) = gate.qubits
            psi = np.tensordot(rotation(gate.name, angles[gate.angle]), psi, (1, q))
            psi = np.moveaxis(psi, 0, q)
            continue
        control, target = gate.qubits
        on = [slice(None)] * n
        on[control] = 1
        part = psi[tuple(on)]
        axis = target - (target > control)
        if gate.name == "cx":
            psi[tuple(on)] = np.flip(part, axis).copy()
        else:
            sign = np.array([1, -1]).reshape([2 if a == axis else 1 for a in range(n - 1)])
            psi[tuple(on)] = part * sign
    return psi


def state_vector_probabilities(circuit, angles):
    """p of every bitstring, bit 0 changing fastest."""
    return (abs(state_vector(circuit, angles)) ** 2).T.ravel()


def pennylane_probabilities(circuit, angles):
    """The same from default.qubit, where wire 0 would change slowest: so the wires are reversed."""
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=circuit.n_qubits))
    def probabilities():
        for gate in circuit.gates:
            if gate.angle is None:
                {"cx": qml.CNOT, "cz": qml.CZ}[gate.name](wires=gate.qubits)
            else:
                rotate = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ}[gate.name]
                rotate(angles[gate.angle], wires=gate.qubits[0])
        return qml.probs(wires=range(circuit.n_qubits)[::-1])

    return np.asarray(probabilities())


def sample(program, angles, uniforms):
    tensors = mps_kernels.site_tensors(program, angles)
    matrices = mps_kernels.weight_matrices(program, tensors)
    return mps_kernels.sample(program, tensors, matrices, uniforms)


def log_prob(program, angles, bits):
    return mps_kernels.log_prob(program, mps_kernels.site_tensors(program, angles), bits)


def score_of(program, angles, bits, coefficients):
    tensors = mps_kernels.site_tensors(program, angles)
    return mps_kernels.score(program, angles, tensors, bits, coefficients)


def scores_of(program, angles, bits):
    return mps_kernels.scores(program, angles, mps_kernels.site_tensors(program, angles), bits)


def mps_log_p(circuit, angles, bits=None):
    """log p of bits [shot, qubit], by default of all, for one replica."""
    bits = all_bitstrings(circuit.n_qubits) if bits is None else bits
    return log_prob(mps_program.compile_circuit(circuit), angles[None], bits[None])[0]


def assert_agrees(circuit, angles, expected):
    log_p = mps_log_p(circuit, angles)
    assert not np.isnan(log_p).any()
    np.testing.assert_allclose(np.exp(log_p), expected, rtol=0, atol=1e-12)
    sure = expected > RELIABLE
    np.testing.assert_allclose(log_p[sure], np.log(expected[sure]), rtol=0, atol=1e-8)


def random_angles(circuit, seed):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, circuit.n_angles)


@st.composite
def circuits(draw, max_qubits=7, max_long=6):
    """Random circuits; few gates of two qubits, as each doubles all the bonds that it spans."""
    n = draw(st.integers(1, max_qubits))
    names = ["rx", "ry", "rz"] + (["cx", "cz"] if n > 1 else [])
    gates, n_angles, entangling = [], 0, 0
    for name in draw(st.lists(st.sampled_from(names), max_size=24)):
        if name in ("cx", "cz"):
            entangling += 1
            if entangling <= max_long:
                pair = draw(st.permutations(range(n)))[:2]
                gates.append(Gate(name, tuple(pair)))
        else:
            gates.append(Gate(name, (draw(st.integers(0, n - 1)),), n_angles))
            n_angles += 1
    return Circuit(n, tuple(gates))


def ring(n, layers, entangler="cx"):
    """Ry and Rx on all, then a ladder closed to a ring, `layers` times."""
    gates, angle = [], 0
    for _ in range(layers):
        for name in ("ry", "rx"):
            gates += [Gate(name, (q,), angle + q) for q in range(n)]
            angle += n
        gates += [Gate(entangler, (q, (q + 1) % n)) for q in range(n)]
    return Circuit(n, tuple(gates))


# -- probabilities --------------------------------------------------------------------------------

BRICKWORK = [
    (n, depth)
    for n in range(1, 13)
    for depth in ((1, 2, 3, 4, 5, 6, 7, 8) if n <= 5 else (1, 4, 7) if n <= 9 else (3, 6))
] + [(12, 8), (11, 8)]


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize(("n", "depth"), BRICKWORK)
def test_brickwork_agrees_with_the_state_vector(n, depth, phase):
    circuit = Brickwork(depth, phase).build(n)
    angles = random_angles(circuit, [n, depth, phase])
    assert_agrees(circuit, angles, state_vector_probabilities(circuit, angles))


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize(("n", "depth"), [(1, 3), (2, 8), (3, 5), (5, 4), (8, 4), (9, 3), (12, 2)])
def test_brickwork_agrees_with_pennylane(n, depth, phase):
    circuit = Brickwork(depth, phase).build(n)
    angles = random_angles(circuit, [n, depth, phase, 1])
    assert_agrees(circuit, angles, pennylane_probabilities(circuit, angles))


@pytest.mark.parametrize("entangler", ["cx", "cz"])
@pytest.mark.parametrize(("n", "layers"), [(2, 3), (3, 2), (6, 2), (7, 1), (8, 2)])
def test_rings_agree_with_both_oracles(n, layers, entangler):
    circuit = ring(n, layers, entangler)
    angles = random_angles(circuit, [n, layers])
    assert_agrees(circuit, angles, state_vector_probabilities(circuit, angles))
    assert_agrees(circuit, angles, pennylane_probabilities(circuit, angles))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_product_is_a_product(n):
    circuit = Product().build(n)
    angles = random_angles(circuit, n)
    one = np.sin(angles / 2) ** 2
    bits = all_bitstrings(n)
    expected = np.where(bits, one, 1 - one).prod(axis=1)
    assert_agrees(circuit, angles, expected)


@given(circuit=circuits(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_random_circuits_agree_with_the_state_vector(circuit, seed):
    angles = random_angles(circuit, seed)
    assert_agrees(circuit, angles, state_vector_probabilities(circuit, angles))


@given(circuit=circuits(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_random_circuits_agree_with_pennylane(circuit, seed):
    angles = random_angles(circuit, seed)
    assert_agrees(circuit, angles, pennylane_probabilities(circuit, angles))


def test_gates_that_do_not_commute_act_in_their_order():
    # X then CX(0, 1) gives 11; CX then X would give 10 and 01.
    circuit = Circuit(2, (Gate("rx", (0,), 0), Gate("cx", (0, 1)), Gate("rx", (1,), 1)))
    np.testing.assert_allclose(
        np.exp(mps_log_p(circuit, np.array([np.pi, 0.0]))), [0, 0, 0, 1], atol=1e-15
    )
    np.testing.assert_allclose(
        np.exp(mps_log_p(circuit, np.array([np.pi, np.pi]))), [0, 1, 0, 0], atol=1e-15
    )


def test_a_circuit_without_gates_is_all_zeros():
    circuit = Circuit(3, ())
    log_p = mps_log_p(circuit, np.zeros(0))
    np.testing.assert_array_equal(log_p, [0.0] + [-np.inf] * 7)
    bits = sample(mps_program.compile_circuit(circuit), np.zeros((2, 0)), np.full((2, 5, 3), 0.999))
    assert not bits.any()


@pytest.mark.parametrize("depth", [2, 4])
def test_interleaved_circuits_on_36_qubits_are_independent(depth):
    # Three brickworks of 12 qubits on every third qubit: each one alone has an oracle.
    part = Brickwork(depth).build(12)
    gates, angle = [], 0
    for block in range(3):
        for gate in part.gates:
            qubits = tuple(3 * q + block for q in gate.qubits)
            gates.append(Gate(gate.name, qubits, None if gate.angle is None else angle))
            angle += gate.angle is not None
    circuit = Circuit(36, tuple(gates))
    angles = random_angles(circuit, depth)
    bits = np.random.default_rng(0).integers(2, size=(20, 36), dtype=np.uint8)
    expected = np.zeros(20)
    for block, own in enumerate(np.split(angles, 3)):
        p = state_vector_probabilities(part, own)
        expected += np.log(p[bits[:, block::3] @ (1 << np.arange(12))])
    np.testing.assert_allclose(mps_log_p(circuit, angles, bits), expected, rtol=0, atol=1e-6)


def squared_norm(program, tensors):
    """<psi|psi>, contracted from the left."""
    environment = np.ones((1, 1), complex)
    for site, (left, right) in enumerate(pairwise(program.bond)):
        tensor = tensors[program.offset[site] : program.offset[site + 1]].reshape(2, left, right)
        environment = sum(A.T @ environment @ A.conj() for A in tensor)
    return environment.item()


@pytest.mark.parametrize(("n", "depth"), [(36, 2), (36, 4), (36, 6), (1000, 4)])
def test_norm_is_one(n, depth):
    circuit = Brickwork(depth, phase=1).build(n)
    program = mps_program.compile_circuit(circuit, rows=2)
    angles = np.stack([random_angles(circuit, seed) for seed in (0, 1)])
    for tensors in mps_kernels.site_tensors(program, angles):
        assert abs(squared_norm(program, tensors) - 1) < 1e-10


@pytest.mark.parametrize("depth", [2, 4, 6])
def test_bonds_grow_as_stated(depth):
    for phase in (0, 1):
        program = mps_program.compile_circuit(Brickwork(depth, phase).build(12))
        assert program.bond.max() <= 2 ** -(-depth // 2)


# -- impossible strings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "circuit",
    [Brickwork(4).build(5), Brickwork(3, 1).build(4), Product().build(3), ring(4, 2, "cz")],
    ids=["brickwork", "phase 1", "product", "ring"],
)
def test_impossible_strings_have_minus_infinity_and_finite_scores(circuit):
    angles = np.zeros((1, circuit.n_angles))
    n = circuit.n_qubits
    log_p = mps_log_p(circuit, angles[0])
    np.testing.assert_array_equal(log_p, [0.0] + [-np.inf] * (2**n - 1))
    program = mps_program.compile_circuit(circuit)
    score = score_of(program, angles, all_bitstrings(n)[None], np.ones((1, 2**n)))
    np.testing.assert_array_equal(score, np.zeros_like(angles))
    scores = scores_of(program, angles, all_bitstrings(n)[None])
    np.testing.assert_array_equal(scores[:, 1:], np.zeros((1, 2**n - 1, circuit.n_angles)))
    bits = sample(program, angles, np.random.default_rng(0).random((1, 100, n)))
    assert not bits.any()


def test_impossible_strings_beside_possible_ones_change_no_gradient():
    circuit = Brickwork(2).build(4)
    generator = QuantumHyperNetwork(4, ansatz=Brickwork(2))
    angles = np.zeros(circuit.n_angles)
    angles[-8:-4] = [0.0, 0.3, 0.0, -0.8]  # last Ry of qubits 1 and 3: half of the bits are 0
    generator.theta.data[0] = generator.theta.new_tensor(angles)
    bits = all_bitstrings(4)
    possible = state_vector_probabilities(circuit, angles) > RELIABLE
    assert possible.sum() == 4

    log_p = generator.log_prob(bits[None, None])
    assert log_p.detach().isneginf()[0, 0].numpy().tolist() == (~possible).tolist()
    (gradient,) = np.asarray(_gradient(generator, bits))
    (expected,) = np.asarray(_gradient(generator, bits[possible]))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12)
    generator.zero_grad()
    generator.probabilities().sum().backward()
    np.testing.assert_allclose(generator.theta.grad, np.zeros((1, len(angles))), atol=1e-12)


def _gradient(generator, bits):
    generator.zero_grad()
    generator.log_prob(bits[None, None]).sum().backward()
    return generator.theta.grad.numpy().copy()


# -- gradients ------------------------------------------------------------------------------------


def assert_scores_agree_with_central_differences(circuit, seed):
    rng = np.random.default_rng(seed)
    program = mps_program.compile_circuit(circuit)
    angles = rng.uniform(-np.pi, np.pi, (2, circuit.n_angles))
    # Draws, as those have a log p whose third derivative is not huge.
    bits = sample(program, angles, rng.random((2, 70, circuit.n_qubits)))
    coefficients = rng.normal(size=(2, 70))
    coefficients[log_prob(program, angles, bits) < np.log(1e-3)] = 0
    score = score_of(program, angles, bits, coefficients)
    step = 1e-5
    for index in range(circuit.n_angles):
        shifted = [angles.copy(), angles.copy()]
        shifted[0][:, index] += step
        shifted[1][:, index] -= step
        above, below = ((coefficients * log_prob(program, a, bits)).sum(axis=1) for a in shifted)
        np.testing.assert_allclose(score[:, index], (above - below) / (2 * step), atol=1e-5)


@pytest.mark.parametrize(
    "circuit",
    [
        Brickwork(1).build(1),
        Brickwork(4).build(6),
        Brickwork(5, 1).build(5),
        Product().build(4),
        ring(5, 2),
        ring(4, 2, "cz"),
    ],
    ids=["one qubit", "brickwork", "phase 1", "product", "ring", "cz ring"],
)
def test_scores_agree_with_central_differences(circuit):
    assert_scores_agree_with_central_differences(circuit, seed=3)


@given(circuit=circuits(max_qubits=5), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_scores_of_random_circuits_agree_with_central_differences(circuit, seed):
    assert_scores_agree_with_central_differences(circuit, seed)


def test_scores_at_36_qubits_agree_with_central_differences():
    circuit = Brickwork(4).build(36)
    program = mps_program.compile_circuit(circuit)
    rng = np.random.default_rng(5)
    angles = rng.uniform(-np.pi, np.pi, (1, circuit.n_angles))
    bits = sample(program, angles, rng.random((1, 100, 36)))
    coefficients = rng.normal(size=(1, 100))
    score = score_of(program, angles, bits, coefficients)
    for _ in range(5):
        direction = rng.normal(size=angles.shape)
        above, below = (
            (coefficients * log_prob(program, angles + s * direction, bits)).sum()
            for s in (1e-6, -1e-6)
        )
        along = (score * direction).sum()
        assert along == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-4)


def assert_scores_of_draws_agree(circuit, seed, shots=70):
    """A draw's score is the score with a coefficient of 1 for it alone: a replica of its own."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-np.pi, np.pi, (2, circuit.n_angles))
    program = mps_program.compile_circuit(circuit)
    bits = sample(program, angles, rng.random((2, shots, circuit.n_qubits)))
    scores = scores_of(program, angles, bits)
    assert scores.shape == (2, shots, circuit.n_angles)
    own = np.repeat(angles, shots, axis=0)
    alone = score_of(program, own, bits.reshape(-1, 1, circuit.n_qubits), np.ones((len(own), 1)))
    np.testing.assert_allclose(scores.reshape(alone.shape), alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "circuit",
    [Brickwork(1).build(1), Brickwork(4).build(6), Brickwork(4, 1).build(36), ring(5, 2, "cz")],
    ids=["one qubit", "brickwork", "36 qubits", "cz ring"],
)
def test_scores_of_draws_are_scores_with_one_coefficient(circuit):
    assert_scores_of_draws_agree(circuit, seed=6)


@given(circuit=circuits(max_qubits=5), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_scores_of_draws_of_random_circuits(circuit, seed):
    assert_scores_of_draws_agree(circuit, seed, shots=7)


def test_scores_of_draws_one_by_one():
    # 130 draws: two full blocks of lanes and a part of one.
    circuit = Brickwork(3).build(4)
    program = mps_program.compile_circuit(circuit)
    rng = np.random.default_rng(7)
    angles = rng.uniform(-np.pi, np.pi, (1, circuit.n_angles))
    bits = sample(program, angles, rng.random((1, 130, 4)))
    scores = scores_of(program, angles, bits)
    for shot, one in enumerate(np.eye(130)):
        score = score_of(program, angles, bits, one[None])
        np.testing.assert_allclose(scores[:, shot], score, rtol=1e-10, atol=1e-10)


# -- sampling -------------------------------------------------------------------------------------


@given(circuit=circuits(max_qubits=5), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_draws_invert_the_conditional_probabilities(circuit, seed):
    """Bit q is 1 if its uniform is below p(bit q = 1 | bits before): an oracle draw for draw."""
    n = circuit.n_qubits
    angles = random_angles(circuit, seed)
    uniforms = np.random.default_rng(seed).random((1, 70, n))
    p = (abs(state_vector(circuit, angles)) ** 2).reshape((2,) * n)
    drawn = sample(mps_program.compile_circuit(circuit), angles[None], uniforms)[0]
    for bits, u in zip(drawn, uniforms[0], strict=True):
        here = p
        for q in range(n):
            zero, one = (here[bit].sum() for bit in (0, 1))
            conditional = one / (zero + one)
            if abs(u[q] - conditional) > 1e-9:
                assert bits[q] == (u[q] < conditional)
            here = here[bits[q]]


@pytest.mark.parametrize(
    ("circuit", "seed"),
    [
        (Brickwork(3).build(3), 1),
        (Brickwork(4, 1).build(4), 2),
        (ring(5, 2), 3),
        (Brickwork(6).build(6), 4),
    ],
    ids=["3 qubits", "4 qubits", "ring of 5", "6 qubits"],
)
def test_draws_follow_the_probabilities(circuit, seed):
    # Chi-squared of 40,001 draws (the last block of lanes is not full) with the seeds above;
    # p > 1e-6, so chance fails each case once in a million.
    n, shots = circuit.n_qubits, 40_001
    angles = random_angles(circuit, seed)
    uniforms = np.random.default_rng(seed).random((1, shots, n))
    drawn = sample(mps_program.compile_circuit(circuit), angles[None], uniforms)[0]
    counts = np.bincount(drawn @ (1 << np.arange(n)), minlength=2**n)
    expected = shots * state_vector_probabilities(circuit, angles)
    common = expected >= 5
    counts = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    some = expected > 0
    assert chisquare(counts[some], expected[some]).pvalue > 1e-6


def test_draws_depend_on_neither_the_other_replicas_nor_the_other_shots():
    circuit = Brickwork(4).build(9)
    program = mps_program.compile_circuit(circuit, rows=3)
    rng = np.random.default_rng(0)
    angles = rng.uniform(-np.pi, np.pi, (3, circuit.n_angles))
    uniforms = rng.random((3, 150, 9))
    bits = sample(program, angles, uniforms)
    log_p = log_prob(program, angles, bits)
    coefficients = rng.normal(size=(3, 150))
    score = score_of(program, angles, bits, coefficients)
    scores = scores_of(program, angles, bits)
    for r in range(3):
        own = slice(r, r + 1)
        np.testing.assert_array_equal(sample(program, angles[own], uniforms[own]), bits[own])
        np.testing.assert_array_equal(log_prob(program, angles[own], bits[own]), log_p[own])
        alone = score_of(program, angles[own], bits[own], coefficients[own])
        np.testing.assert_allclose(alone, score[own], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(scores_of(program, angles[own], bits[own]), scores[own])
    np.testing.assert_array_equal(sample(program, angles, uniforms[:, 20:30]), bits[:, 20:30])


@pytest.mark.parametrize("several", [2, 5])
def test_results_do_not_depend_on_the_number_of_threads(monkeypatch, several):
    circuit = Brickwork(4).build(10)
    program = mps_program.compile_circuit(circuit, rows=3)
    rng = np.random.default_rng(1)
    angles = rng.uniform(-np.pi, np.pi, (3, circuit.n_angles))
    uniforms, coefficients = rng.random((3, 1000, 10)), rng.normal(size=(3, 1000))
    slices = []

    def counted(kernel, tasks, *args, at_least):
        def slice_of(first, last, *rest):
            slices.append((first, last))
            kernel(first, last, *rest)

        threads.in_threads(slice_of, tasks, *args)  # at_least 1: short work is shared out too

    monkeypatch.setattr(mps_kernels, "in_threads", counted)

    def results(cores):
        monkeypatch.setattr(threads, "n_threads", lambda: cores)
        bits = sample(program, angles, uniforms)
        return (
            bits,
            log_prob(program, angles, bits),
            score_of(program, angles, bits, coefficients),
            scores_of(program, angles, bits),
        )

    one = results(1)
    assert len(slices) == 4
    many = results(several)
    assert len(slices) == 4 + 4 * several
    for alone, together in zip(one, many, strict=True):
        np.testing.assert_array_equal(alone, together)


# -- the backend ----------------------------------------------------------------------------------


def compiled(circuit, rows=1):
    return mps.MatrixProductBackend().compile(circuit, rows=rows)


def streams(replicas):
    return [np.random.default_rng([9, replica]) for replica in range(replicas)]


def test_the_backend_says_what_it_can():
    able = mps.MatrixProductBackend()
    assert str(able) == "mps"
    assert able.capabilities == backend.BackendCapabilities(log_prob=True, probability_bits=20)


@pytest.mark.parametrize(("replicas", "rows"), [(1, 1), (1, 3), (3, 1), (2, 3)])
def test_every_replica_and_row_is_the_circuit_at_its_own_angles(replicas, rows):
    circuit, shots = ring(4, 2), 70
    rng = np.random.default_rng([replicas, rows])
    angles = rng.uniform(-np.pi, np.pi, (replicas, rows, circuit.n_angles))
    executable = compiled(circuit, rows=replicas * rows)
    bits = executable.at(angles).sample(shots, streams(replicas))
    assert bits.shape == (replicas, rows, shots, 4)
    assert bits.dtype == np.uint8
    coefficients = rng.normal(size=(replicas, rows, shots))
    p = executable.at(angles).probabilities()
    log_p = executable.at(angles).log_prob(bits)
    score = executable.at(angles).score(bits, coefficients)
    scores = executable.at(angles).scores(bits)
    for replica, row in np.ndindex(replicas, rows):
        own = angles[replica, row]
        expected = state_vector_probabilities(circuit, own)
        np.testing.assert_allclose(p[replica, row], expected, rtol=0, atol=1e-12)
        number = bits[replica, row] @ (1 << np.arange(4))
        np.testing.assert_allclose(log_p[replica, row], np.log(expected[number]), atol=1e-8)
        weighted = coefficients[replica, row] @ scores[replica, row]
        np.testing.assert_allclose(score[replica, row], weighted, rtol=1e-9, atol=1e-9)
        program, own, drawn = (
            mps_program.compile_circuit(circuit),
            own[None],
            bits[replica, row][None],
        )
        np.testing.assert_array_equal(scores_of(program, own, drawn)[0], scores[replica, row])


def test_a_replica_draws_with_its_own_generator_row_after_row(monkeypatch):
    circuit = Brickwork(3).build(5)
    angles = np.random.default_rng(8).uniform(-np.pi, np.pi, (2, 7, circuit.n_angles))
    executable = compiled(circuit)
    bits = executable.at(angles).sample(40, streams(2))
    for replica, stream in enumerate(streams(2)):
        for row in range(7):
            uniforms = stream.random((1, 40, 5))
            alone = sample(executable.program, angles[replica, row][None], uniforms)[0]
            np.testing.assert_array_equal(bits[replica, row], alone)
    row_bytes = backend.matrix_product_bytes(backend.matrix_product_bonds(circuit))
    for limit in (1, 5 * row_bytes):  # one row of both replicas at a time, two of them
        monkeypatch.setattr(mps_program, "ROWS_BYTES", limit)
        np.testing.assert_array_equal(executable.at(angles).sample(40, streams(2)), bits)


# -- memory ---------------------------------------------------------------------------------------


def test_a_circuit_that_does_not_fit_is_refused_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(mps_kernels, "site_tensors", lambda *_: pytest.fail("allocated"))
    monkeypatch.setattr(backend, "memory", lambda: 24 * 2**30)
    message = (
        r"The backend mps would need about (\S+) GiB for this circuit of 36 qubits and 5370 gates; "
        r"this machine has 24 GiB\. No simulator holds it here: use fewer entangling gates"
    )
    circuit = Brickwork(60).build(36)
    needed = []
    for refused in (
        lambda: mps_program.compile_circuit(circuit),
        lambda: mps.MatrixProductBackend().compile(circuit),
        lambda: mps_program.compile_circuit(circuit, rows=7),
        lambda: QuantumHyperNetwork(36, ansatz=Brickwork(60), backend="mps", seeds=range(7)),
    ):
        with pytest.raises(ConfigurationError, match=message) as error:
            refused()
        needed.append(float(re.search(message, str(error.value))[1]))
    # Bonds of 2^30 in the middle: 2 · 2^60 entries of 16 bytes in each of the tensors there.
    assert needed[0] > 2 * 2**60 * 16 / 2**30
    np.testing.assert_allclose(np.array(needed) / needed[0], [1, 1, 7, 7], rtol=0.01)


def test_an_estimate_past_the_range_of_a_float_is_still_an_answer(monkeypatch):
    # Bonds 2^1099, 2^1100, 2^1099 (the first sublayer sees |0>): 16 (6 · 1 + 2 · 1.5) 2^2200 bytes.
    monkeypatch.setattr(backend, "memory", lambda: 24 * 2**30)
    message = r"about 2\^2177 GiB .*It fits on statevector, pennylane:li"
    with pytest.raises(ConfigurationError, match=message):
        mps_program.compile_circuit(Brickwork(2200).build(4))


def test_more_replicas_need_more_memory(monkeypatch):
    circuit = Brickwork(8).build(12)
    monkeypatch.setattr(backend, "memory", lambda: 4096 * 1000)
    mps_program.compile_circuit(circuit)
    with pytest.raises(ConfigurationError, match="fewer replicas"):
        mps_program.compile_circuit(circuit, rows=100)
    with pytest.raises(ConfigurationError, match="fewer replicas"):
        QuantumHyperNetwork(12, ansatz=Brickwork(8), backend="mps", seeds=range(100))
