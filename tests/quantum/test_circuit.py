"""Circuits as lists of gates, and the ansätze that build them."""

import time
from collections import Counter

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import Brickwork, Product, initial_parameters
from qhyper.quantum.circuit import Circuit, Gate


def pairs(circuit):
    return [gate.qubits for gate in circuit.gates if gate.name == "cx"]


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 36])
def test_brickwork_has_its_gates(n, depth, phase):
    circuit = Brickwork(depth, phase).build(n)
    assert circuit.n_qubits == n
    assert circuit.n_angles == 2 * n * depth
    names = Counter(gate.name for gate in circuit.gates)
    entangling = sum((n - (sublayer + phase) % 2) // 2 for sublayer in range(depth))
    assert +names == +Counter(ry=n * depth, rz=n * depth, cx=entangling)
    angles = [gate.angle for gate in circuit.gates if gate.angle is not None]
    assert angles == list(range(2 * n * depth))


def test_brickwork_alternates_its_pairs():
    even, odd = [(0, 1), (2, 3)], [(1, 2), (3, 4)]
    assert pairs(Brickwork(3).build(5)) == even + odd + even
    assert pairs(Brickwork(3, phase=0).build(5)) == even + odd + even
    assert pairs(Brickwork(3, phase=1).build(5)) == odd + even + odd
    assert pairs(Brickwork(2, phase=1).build(4)) == [(1, 2), (0, 1), (2, 3)]


def test_a_sublayer_is_cx_then_ry_then_rz():
    assert Brickwork(1).build(3).gates == (
        Gate("cx", (0, 1)),
        Gate("ry", (0,), 0),
        Gate("ry", (1,), 1),
        Gate("ry", (2,), 2),
        Gate("rz", (0,), 3),
        Gate("rz", (1,), 4),
        Gate("rz", (2,), 5),
    )


def test_product_is_one_ry_on_every_qubit():
    circuit = Product().build(4)
    assert circuit.gates == tuple(Gate("ry", (q,), q) for q in range(4))
    assert circuit.n_angles == 4


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth):
    with pytest.raises(ConfigurationError, match=f"at least 1; got {depth}.*product"):
        Brickwork(depth)


@pytest.mark.parametrize("phase", [2, -1])
def test_a_phase_that_is_neither_0_nor_1_is_refused(phase):
    with pytest.raises(ConfigurationError, match=f"phase is 0 or 1; got {phase}"):
        Brickwork(2, phase=phase)


@pytest.mark.parametrize("ansatz", [Brickwork(2), Product()])
def test_a_circuit_needs_a_qubit(ansatz):
    with pytest.raises(ConfigurationError, match="at least 1 qubit; got 0"):
        ansatz.build(0)


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ([Gate("ryy", (0,), 0)], "Unknown gate 'ryy'. Did you mean 'ry'"),
        ([Gate("h", (0,))], "Unknown gate 'h'"),
        ([Gate("ry", (3,), 0)], "expected 1 different qubits from 0 to 2"),
        ([Gate("ry", (-1,), 0)], "expected 1 different qubits from 0 to 2"),
        ([Gate("ry", (0, 1), 0)], "expected 1 different"),
        ([Gate("ry", (0, 0), 0)], "expected 1 different"),
        ([Gate("cx", (1, 1))], "expected 2 different"),
        ([Gate("cz", (1,))], "expected 2 different"),
        ([Gate("cx", (0, 1, 2))], "expected 2 different"),
        ([Gate("cx", (0, 3))], "expected 2 different qubits from 0 to 2"),
        ([Gate("cx", (0, 1), 0)], "got angle 0; expected None"),
        ([Gate("rx", (0,))], "got angle None; expected 0"),
        ([Gate("rx", (0,), 0), Gate("ry", (1,), 0)], "got angle 0; expected 1"),
        ([Gate("rx", (0,), 1), Gate("ry", (1,), 0)], "got angle 1; expected 0"),
    ],
)
def test_gates_that_cannot_work_are_refused(gates, message):
    with pytest.raises(ConfigurationError, match=message):
        Circuit(3, tuple(gates))


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


def test_near_product_without_an_ry_is_about_zero():
    # Seed 2; 5 sigma of 0.05.
    circuit = Circuit(2, (Gate("rx", (0,), 0), Gate("cz", (0, 1))))
    angles = initial_parameters(circuit, "near-product", np.random.default_rng(2))
    assert angles.shape == (1,)
    assert abs(angles[0]) < 0.25


def test_uniform_start_fills_the_circle():
    # Seed 3: the mean of 4,000 uniform angles is 0 ± (2π/√12)/√4000 = 0.029; 5 sigma.
    circuit = Brickwork(1).build(2000)
    angles = initial_parameters(circuit, "uniform", np.random.default_rng(3))
    assert (angles >= -np.pi).all()
    assert (angles < np.pi).all()
    assert np.ptp(angles) > 1.9 * np.pi
    assert abs(angles.mean()) < 0.145


@pytest.mark.parametrize("start", ["near-product", "uniform"])
def test_the_same_seed_gives_the_same_start(start):
    circuit = Brickwork(2).build(5)
    first, again, other = (
        initial_parameters(circuit, start, np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_an_unknown_start_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r"'near_product'\. Did you mean 'near-product'"):
        initial_parameters(Product().build(2), "near_product", np.random.default_rng(0))


def test_long_circuits_are_quick():
    # 10,000 qubits, 170,000 gates: half a second here; anything quadratic would take minutes.
    begin = time.perf_counter()
    circuit = Brickwork(8).build(10_000)
    angles = initial_parameters(circuit, "near-product", np.random.default_rng(0))
    assert len(angles) == circuit.n_angles == 160_000
    assert time.perf_counter() - begin < 20
