"""Circuits as lists of gates, and how their angles come from parameters and inputs."""

import re

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.quantum.circuit import Angle, Circuit, Gate

MIXED = Circuit(
    3,
    (
        Gate("ry", (0,), 2),
        Gate("cx", (0, 1)),
        Gate("rz", (1,), Angle({0: -2.0, 2: 0.5}, {1: 3.0}, 0.25)),
        Gate("rx", (2,), Angle(offset=1.5)),
        Gate("cz", (2, 0)),
        Gate("ry", (1,), Angle({}, {0: 1.0})),
        Gate("ry", (1,), 1),
        Gate("rz", (0,), Angle({1: 0.0}, {}, -1.0)),
    ),
)
"""Tied, affine, fixed and input-encoded angles, and one whose coefficient is zero."""


# -- gates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, -3])
def test_a_circuit_needs_a_qubit(n):
    with pytest.raises(ConfigurationError, match=f"at least 1 qubit; got {n}"):
        Circuit(n, ())


ONE, TWO = "expected 1 different qubits from 0 to 2", "expected 2 different qubits from 0 to 2"
NUMBER = "expected the number of its parameter, or an Angle."


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ([Gate("ryy", (0,), 0)], "Unknown gate 'ryy'. Did you mean 'ry'"),
        ([Gate("h", (0,))], "Unknown gate 'h'. Known: cx, cz, rx, ry, rz."),
        ([Gate("ry", (3,), 0)], f"got qubits (3,); {ONE}"),
        ([Gate("ry", (-1,), 0)], f"got qubits (-1,); {ONE}"),
        ([Gate("ry", (0.5,), 0)], f"got qubits (0.5,); {ONE}"),
        ([Gate("ry", 0, 0)], f"got qubits 0; {ONE}, as a tuple"),
        ([Gate("ry", [0], 0)], f"got qubits [0]; {ONE}, as a tuple"),
        ([Gate("ry", (0, 1), 0)], ONE),
        ([Gate("ry", (0, 0), 0)], ONE),
        ([Gate("ry", (), 0)], ONE),
        ([Gate("cx", (1, 1))], f"got qubits (1, 1); {TWO}"),
        ([Gate("cz", (1,))], TWO),
        ([Gate("cx", (0, 1, 2))], TWO),
        ([Gate("cx", (0, 3))], TWO),
        ([Gate("cx", (0, 1), 0)], "Gate 'cx' got angle 0; expected none."),
        ([Gate("cz", (0, 1), 0.5)], "Gate 'cz' got angle 0.5; expected none."),
        ([Gate("rx", (0,))], f"Gate 'rx' got angle None; {NUMBER}"),
        ([Gate("rx", (0,), 0.5)], f"Gate 'rx' got angle 0.5; {NUMBER}"),
        ([Gate("rx", (0,), "0")], f"Gate 'rx' got angle 0; {NUMBER}"),
    ],
    ids=str,
)
def test_gates_that_cannot_work_are_refused(gates, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Circuit(3, tuple(gates))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["offset", "parameters", "inputs"])
def test_angles_that_are_no_numbers_are_refused(place, number):
    angle = Angle(**{place: number if place == "offset" else {0: number}})
    with pytest.raises(ConfigurationError, match=r"Gate 'ry' got Angle\(.*expected finite numbers"):
        Circuit(1, (Gate("ry", (0,), angle),))


@pytest.mark.parametrize(
    ("kind", "used", "message"),
    [
        ("parameters", [1], "use parameters [1]; expected all from 0 to 1, without gaps"),
        ("parameters", [0, 2, 0], "use parameters [0, 2]; expected all from 0 to 2, without gaps"),
        ("parameters", [-1, 0], "use parameters [-1, 0]; expected all from 0 to 1, without gaps"),
        ("inputs", [3], "use inputs [3]; expected all from 0 to 3, without gaps"),
        ("inputs", [0, 1, 4], "use inputs [0, 1, 4]; expected all from 0 to 4, without gaps"),
    ],
)
def test_a_parameter_or_an_input_that_is_left_out_is_refused(kind, used, message):
    angles = [Angle(**{kind: {number: 1.0}}) for number in used]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Circuit(1, tuple(Gate("ry", (0,), angle) for angle in angles))


def test_numbers_of_parameters_may_come_in_any_order():
    circuit = Circuit(3, (Gate("rx", (0,), 1), Gate("ry", (1,), 0), Gate("rz", (2,), 1)))
    assert (circuit.n_angles, circuit.n_parameters, circuit.n_inputs) == (3, 2, 0)
    assert [number for _, number in circuit.numbered()] == [0, 1, 2]
    assert circuit.angles == (Angle({1: 1.0}), Angle({0: 1.0}), Angle({1: 1.0}))
    assert not circuit.plain


# -- angles ---------------------------------------------------------------------------------------


def test_rotations_are_numbered_in_the_order_in_which_they_act():
    gates = [gate for gate, _ in MIXED.numbered()]
    assert gates == list(MIXED.gates)
    assert [number for _, number in MIXED.numbered()] == [0, None, 1, 2, None, 3, 4, 5]


def test_what_a_circuit_depends_on():
    assert MIXED.n_angles == 6
    assert MIXED.n_parameters == 3
    assert MIXED.n_inputs == 2
    assert MIXED.trained.tolist() == [0, 1, 4]
    assert not MIXED.plain


def test_a_circuit_without_rotations_depends_on_nothing():
    circuit = Circuit(2, (Gate("cx", (0, 1)),))
    assert (circuit.n_angles, circuit.n_parameters, circuit.n_inputs) == (0, 0, 0)
    assert circuit.trained.tolist() == []
    affine = circuit.affine()
    assert [len(part) for part in vars(affine).values()] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("angles", "plain"),
    [
        ([0, 1], True),
        ([np.int64(0), 1], True),
        ([Angle({0: 1.0}), Angle({1: 1})], True),
        ([0, 0], False),
        ([1, 0], False),
        ([0, Angle({1: 2.0})], False),
        ([0, Angle({1: 1.0}, {}, 0.1)], False),
        ([0, Angle({1: 1.0}, {0: 1.0})], False),
        ([0, Angle({0: 1.0, 1: 1.0})], False),
        ([0, Angle()], False),
    ],
    ids=str,
)
def test_plain_is_every_angle_a_parameter_of_its_own(angles, plain):
    circuit = Circuit(2, tuple(Gate("ry", (q,), angle) for q, angle in enumerate(angles)))
    assert circuit.plain is plain


def test_angles_are_affine_in_parameters_and_inputs():
    affine = MIXED.affine()
    matrix = np.zeros((6, 5))
    np.add.at(matrix, (affine.angle, affine.column), affine.coefficient)
    for seed in range(5):
        a, b, c, x, y = values = np.random.default_rng(seed).normal(size=5)
        by_hand = [c, 0.25 - 2 * a + 0.5 * c + 3 * y, 1.5, x, b, -1.0]
        np.testing.assert_allclose(affine.offset + matrix @ values, by_hand, rtol=0, atol=1e-14)
    assert affine.offset.dtype == affine.coefficient.dtype == np.float64
    assert affine.angle.dtype == affine.column.dtype == np.int64
