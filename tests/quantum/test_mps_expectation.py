"""Exact ⟨C⟩ of matrix-product costs: against state vectors, differences and closed forms."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper import BinaryNetwork, Samples
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Mirrored, Product
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.simulators import mps_expectation, mps_kernels
from qhyper.quantum.simulators.mps_expectation import MatrixProductCost, expectation
from qhyper.quantum.simulators.mps_program import compile_circuit
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.targets.loss import label_losses


def signs_and_labels(rows, n, rng):
    return Samples(rng.choice([-1.0, 1.0], (rows, n)), rng.integers(2, size=rows))


def perceptron(data, loss="cross_entropy"):
    """The mean loss of `BinaryNetwork((n, 1))`, whose logit is 2 agreements - n."""
    n = data.x.shape[1]
    losses = label_losses(2.0 * np.arange(n + 1)[:, None] - n, loss)[:, data.y].T
    return MatrixProductCost.agreements(data.x, losses / len(data.y))


def costs(n, rng):
    """One of each kind, with the values that they should have, of bits [string, n]."""
    c, j, string = rng.normal(size=n), rng.normal(size=n - 1), rng.integers(2, size=n)
    data = signs_and_labels(3, n, rng)
    return {
        "linear": (MatrixProductCost.linear(c), lambda bits: (2.0 * bits - 1) @ c),
        "neighbours": (
            MatrixProductCost.neighbours(j),
            lambda bits: ((2.0 * bits[:, 1:] - 1) * (2.0 * bits[:, :-1] - 1)) @ j,
        ),
        "projector": (
            MatrixProductCost.projector(string),
            lambda bits: (bits == string).all(axis=1).astype(float),
        ),
        "perceptron": (
            perceptron(data),
            lambda bits: BinaryNetwork((n, 1)).losses(bits, data),
        ),
    }


def angles_for(circuit, seed, replicas=2):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (replicas, circuit.n_angles))


# -- the costs themselves --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 8])
def test_costs_are_what_they_say_of_every_string(n):
    bits = all_bitstrings(n)
    for name, (cost, oracle) in costs(n, np.random.default_rng(n)).items():
        assert cost.n_qubits == n
        np.testing.assert_allclose(cost(bits), oracle(bits), rtol=1e-12, atol=1e-12, err_msg=name)
        assert cost(bits[1]) == pytest.approx(oracle(bits[1:2])[0])


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "accuracy"])
def test_perceptrons_are_binary_networks_of_one_output(loss):
    data, bits = signs_and_labels(7, 9, np.random.default_rng(1)), all_bitstrings(9)
    network = BinaryNetwork((9, 1)).objective(data, loss)(bits)
    found = perceptron(data, loss)(bits)
    np.testing.assert_allclose(found, network, rtol=1e-12, atol=1e-12)


def test_one_qubit():
    circuit = Product().build(1)
    program, angle = compile_circuit(circuit), np.array([[0.7]])
    value, slope = expectation(program, angle, MatrixProductCost.linear([2.0]))
    assert value[0] == pytest.approx(-2 * np.cos(0.7), rel=1e-14)  # bit 0, at angle 0, is -1
    assert slope[0, 0] == pytest.approx(2 * np.sin(0.7), rel=1e-14)


# -- against the state vector ----------------------------------------------------------------------


def assert_agrees(circuit, seed):
    """⟨C⟩ and all derivatives are those of the table of all costs on the state vector."""
    n = circuit.n_qubits
    program, angles = compile_circuit(circuit), angles_for(circuit, seed)
    exact = StateVectorBackend().compile(circuit)
    for name, (cost, oracle) in costs(n, np.random.default_rng(seed)).items():
        values, derivatives = expectation(program, angles, cost)
        table = oracle(all_bitstrings(n))
        expected, slopes = exact.at(angles[:, None]).expectation(table[None, None])
        np.testing.assert_allclose(values, expected[:, 0], rtol=0, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(derivatives, slopes[:, 0], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "circuit",
    [
        Product().build(5),
        Brickwork(1).build(2),
        Brickwork(4).build(9),
        Brickwork(7, 1).build(10),
        Mirrored(Brickwork(3)).build(8),
        HardwareEfficient(2, "ring", "cz", ("rx", "ry", "rz")).build(6),
    ],
    ids=["product", "2 qubits", "brickwork", "deep", "mirrored", "ring"],
)
def test_values_and_derivatives_are_those_of_the_state_vector(circuit):
    assert_agrees(circuit, seed=3)


@st.composite
def circuits(draw):
    """Random circuits of few gates of two qubits, near or far."""
    n = draw(st.integers(2, 6))
    gates, n_angles = [], 0
    for name in draw(st.lists(st.sampled_from(["rx", "ry", "rz", "cx", "cz"]), max_size=20)):
        if name in ("cx", "cz"):
            if sum(gate.angle is None for gate in gates) < 6:
                gates.append(Gate(name, tuple(draw(st.permutations(range(n)))[:2])))
        else:
            gates.append(Gate(name, (draw(st.integers(0, n - 1)),), n_angles))
            n_angles += 1
    return Circuit(n, tuple(gates))


@given(circuit=circuits(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_random_circuits(circuit, seed):
    assert_agrees(circuit, seed)


def test_rows_of_angles_do_not_depend_on_one_another(monkeypatch):
    circuit = Brickwork(4).build(6)
    program, angles = compile_circuit(circuit), angles_for(circuit, 5, replicas=5)
    cost, _ = costs(6, np.random.default_rng(0))["perceptron"]
    values, derivatives = expectation(program, angles, cost)
    monkeypatch.setattr(mps_expectation, "_SWEEP_BYTES", 1)  # one row after another
    one_by_one = expectation(program, angles, cost)
    np.testing.assert_allclose(one_by_one[0], values, rtol=1e-13)
    np.testing.assert_allclose(one_by_one[1], derivatives, rtol=0, atol=1e-14)


# -- beyond state vectors --------------------------------------------------------------------------


def agreements(p):
    """The distribution of how many independent events of probability p [event] happen."""
    distribution = np.ones(1)
    for one in p:
        distribution = np.convolve(distribution, [1 - one, one])
    return distribution


def test_40_independent_bits_have_margins_of_poisson_binomials():
    """A product circuit's bit is 1 with probability sin²(θ/2): all costs have closed forms."""
    n, rng = 40, np.random.default_rng(8)
    theta, data = rng.uniform(-np.pi, np.pi, n), signs_and_labels(3, n, rng)
    one = np.sin(theta / 2) ** 2
    program = compile_circuit(Product().build(n))
    margins = 2 * np.arange(n + 1) - n
    losses = np.logaddexp(0, np.where(data.y, -1, 1)[:, None] * margins)

    def closed(p):
        each = [
            agreements(np.where(x > 0, p, 1 - p)) @ loss
            for x, loss in zip(data.x, losses, strict=True)
        ]
        return np.mean(each)

    cost = perceptron(data)
    (value,), (derivatives,) = expectation(program, theta[None], cost)
    assert value == pytest.approx(closed(one), rel=1e-13)
    # ⟨C⟩ is linear in each probability
    slopes = []
    for i in range(n):
        surely, never = one.copy(), one.copy()
        surely[i], never[i] = 1, 0
        slopes.append((closed(surely) - closed(never)) * np.sin(theta[i]) / 2)
    np.testing.assert_allclose(derivatives, slopes, rtol=0, atol=1e-12)

    w, c, j = 2 * one - 1, rng.normal(size=n), rng.normal(size=n - 1)
    for cost, expected in (
        (MatrixProductCost.linear(c), c @ w),
        (MatrixProductCost.neighbours(j), j @ (w[:-1] * w[1:])),
        (MatrixProductCost.projector(np.ones(n)), one.prod()),
    ):
        (value,), _ = expectation(program, theta[None], cost)
        assert value == pytest.approx(expected, rel=1e-12)


def test_derivatives_at_40_qubits_are_differences():
    """Central differences along a random direction; step 1e-5 leaves errors of 1e-9."""
    circuit, rng, step = Brickwork(4).build(40), np.random.default_rng(9), 1e-5
    program, angles = compile_circuit(circuit), angles_for(circuit, 9, replicas=1)
    direction = rng.normal(size=angles.shape)
    for name, (cost, _) in costs(40, rng).items():
        _, derivatives = expectation(program, angles, cost)
        up, down = (expectation(program, angles + s * direction, cost)[0] for s in (step, -step))
        difference, scale = (up - down)[0] / (2 * step), abs(derivatives).max()
        slope = (derivatives * direction).sum()
        assert difference == pytest.approx(slope, rel=1e-6, abs=1e-6 * scale), name


def test_probabilities_of_256_qubits():
    """A projector's ⟨C⟩ is p of its string, which another kernel works out."""
    circuit, rng = Mirrored(Brickwork(2)).build(256), np.random.default_rng(2)
    program, angles = compile_circuit(circuit), angles_for(circuit, 2, replicas=1)
    string = rng.integers(2, size=256, dtype=np.uint8)
    (p,), (derivatives,) = expectation(program, angles, MatrixProductCost.projector(string))
    tensors = mps_kernels.site_tensors(program, angles)
    log_p = mps_kernels.log_prob(program, tensors, string[None, None])[0, 0]
    assert log_p < np.log(1e-70)
    assert np.log(p) == pytest.approx(log_p, abs=1e-9)
    scores = mps_kernels.scores(program, angles, tensors, string[None, None])[0, 0]
    np.testing.assert_allclose(derivatives / p, scores, rtol=1e-7, atol=1e-8)


# -- what is refused -------------------------------------------------------------------------------


def refuses(message):
    return pytest.raises(ConfigurationError, match=re.escape(message))


def test_costs_that_make_no_sense_are_refused():
    with refuses("Got features other than -1 and +1"):
        MatrixProductCost.agreements([[1.0, -1.0], [0.5, 1.0]], np.zeros((2, 3)))
    for signs, values in (([[1, -1]], [[0, 1]]), ([1, -1], [0, 1, 2]), ([[1]], [[0, np.nan]])):
        shapes = f"rows of shape {np.shape(signs)} with values of shape {np.shape(values)}"
        with refuses(f"Got {shapes}; expected [row, qubit] with finite [row, qubit + 1]"):
            MatrixProductCost.agreements(signs, values)
    with refuses("Got [] as coefficients; expected finite numbers in one axis, at least one."):
        MatrixProductCost.linear([])
    with refuses("Got [1.0, nan] as couplings; expected finite numbers"):
        MatrixProductCost.neighbours([1.0, np.nan])
    with refuses("Got a string of shape (1, 2); expected the bits [qubit] of one."):
        MatrixProductCost.projector([[0, 1]])
    with refuses("Bits must be 0 or 1"):
        MatrixProductCost.projector([0, 2])


def test_a_cost_for_another_circuit_is_refused():
    program = compile_circuit(Product().build(3))
    with refuses("Got a cost of 2 bits for a circuit of 3 qubits. Build it for as many."):
        expectation(program, np.zeros((1, 3)), MatrixProductCost.linear([1.0, 1.0]))


def test_what_does_not_fit_in_memory_is_refused(monkeypatch):
    program = compile_circuit(Product().build(3))
    monkeypatch.setattr(mps_expectation, "memory", lambda: 100)
    with refuses("this machine has 9.31e-08 GiB. Use fewer entangling gates"):
        expectation(program, np.zeros((1, 3)), MatrixProductCost.linear(np.ones(3)))
