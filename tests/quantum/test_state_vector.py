"""Our state vector against the matrix product, and its derivatives against finite differences."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.quantum import backend
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.simulators import many_states, state_vector
from qhyper.quantum.simulators.many_states import ManyStatesAt
from qhyper.quantum.simulators.mps import MatrixProductBackend
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Streams

CIRCUITS = {
    "product of 1": Product().build(1),
    "brickwork of 2": Brickwork(2).build(2),
    "brickwork of 5": Brickwork(4, 1).build(5),
    "ring": HardwareEfficient(2, "ring", "cz", ("rx", "ry", "rz")).build(5),
    "all-to-all": HardwareEfficient(1, "all-to-all").build(5),
    "last qubit controls": Circuit(
        4,
        (
            *(Gate("ry", (q,), q) for q in range(4)),
            *(Gate("cx", (3, q)) for q in range(3)),
            *(Gate("cz", (3, q)) for q in (2, 0)),
            *(Gate("rx", (q,), 4 + q) for q in range(4)),
            *(Gate("cx", (q, 3)) for q in (1, 0, 2)),
            Gate("cz", (1, 3)),
            Gate("rz", (3,), 8),
            Gate("ry", (3,), 9),
        ),
    ),
    "no rotation between entanglers": Circuit(
        3, (Gate("ry", (0,), 0), *(Gate("cx", (0, 1)), Gate("cx", (1, 2)), Gate("cz", (0, 2))))
    ),
}


@pytest.fixture(params=["one large state", "many small states"], autouse=True)
def kind(request, monkeypatch):
    """A circuit of few qubits as rows of small states, and as a large state, which it is not."""
    if request.param == "one large state":
        monkeypatch.setattr(state_vector, "_FEW", 0)
    return request.param


def with_state(n, psi):
    """A circuit of n qubits in the state [2, 2^n]."""
    prepared = StateVectorBackend().compile(Product().build(n)).at(np.zeros((1, 1, n)))
    prepared._states = psi[None] if isinstance(prepared, ManyStatesAt) else {(0, 0): psi}
    return prepared


@pytest.fixture(params=CIRCUITS)
def circuit(request):
    return CIRCUITS[request.param]


def both(circuit):
    return StateVectorBackend().compile(circuit), MatrixProductBackend().compile(circuit)


def angles(circuit, replicas=2, rows=3):
    return np.random.default_rng(1).uniform(-np.pi, np.pi, (replicas, rows, circuit.n_angles))


def test_agrees_with_the_matrix_product(circuit):
    at = angles(circuit)
    ours, oracle = (compiled.at(at) for compiled in both(circuit))
    np.testing.assert_allclose(ours.probabilities(), oracle.probabilities(), atol=1e-12)
    bits = oracle.sample(40, Streams([0, 1])(0))
    coefficients = np.random.default_rng(2).normal(size=bits.shape[:3])
    np.testing.assert_allclose(ours.log_prob(bits), oracle.log_prob(bits), atol=1e-9)
    np.testing.assert_allclose(
        ours.score(bits, coefficients), oracle.score(bits, coefficients), atol=1e-8
    )
    np.testing.assert_allclose(ours.scores(bits), oracle.scores(bits), atol=1e-8)


def test_derivatives_are_central_differences(circuit):
    executable, _ = both(circuit)
    at = angles(circuit, 1, 2)
    costs = np.random.default_rng(3).normal(size=(1, 2, 1 << circuit.n_qubits))
    value, derivatives = executable.at(at).expectation(costs)
    np.testing.assert_allclose(
        value, (executable.at(at).probabilities() * costs).sum(-1), atol=1e-12
    )
    step = 1e-5
    for k in range(circuit.n_angles):
        plus, minus = at.copy(), at.copy()
        plus[..., k] += step
        minus[..., k] -= step
        slope = (
            executable.at(plus).expectation(costs)[0] - executable.at(minus).expectation(costs)[0]
        ) / (2 * step)
        np.testing.assert_allclose(derivatives[..., k], slope, atol=1e-8)


def test_blocks_and_halves_agree_with_the_matrix_product():
    """17 qubits: operations within blocks, across blocks and across the two halves."""
    circuit = Brickwork(3, 1).build(17)
    ours, oracle = both(circuit)
    at = angles(circuit, 1, 1)
    bits = oracle.at(at).sample(50, Streams([0])(0))
    np.testing.assert_allclose(ours.at(at).log_prob(bits), oracle.at(at).log_prob(bits), atol=1e-9)
    ones = np.ones((1, 1, 50))
    np.testing.assert_allclose(
        ours.at(at).score(bits, ones), oracle.at(at).score(bits, ones), atol=1e-8
    )


def test_costs_may_be_shared_by_all_rows():
    executable, _ = both(CIRCUITS["ring"])
    at = angles(CIRCUITS["ring"])
    costs = np.random.default_rng(3).normal(size=32)
    one, each = (
        executable.at(at).expectation(costs),
        executable.at(at).expectation(np.broadcast_to(costs, (2, 3, 32))),
    )
    np.testing.assert_array_equal(one[1], each[1])


@pytest.mark.parametrize("together", [1, 2**30])
def test_results_do_not_depend_on_the_threads(monkeypatch, together):
    circuit = Brickwork(3).build(17)
    at, costs = angles(circuit, 1, 1), np.random.default_rng(3).normal(size=(1, 1, 2**17))
    before = StateVectorBackend().compile(circuit).at(at).expectation(costs)
    monkeypatch.setattr(state_vector, "_TOGETHER", together)
    after = StateVectorBackend().compile(circuit).at(at).expectation(costs)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


class Stuck:
    """A stream whose every number is the same."""

    def __init__(self, number):
        self.number = number

    def random(self, shape):
        return np.full(shape, self.number)


@pytest.mark.parametrize("total", [1.0, 1 - 1e-12, 1 + 1e-12])
@pytest.mark.parametrize(
    ("uniform", "expected"),
    [
        (0.0, [0, 1, 0]),
        (0.25 - 1e-9, [0, 1, 0]),
        (0.25 + 1e-9, [1, 1, 0]),
        (0.5 + 1e-9, [1, 0, 1]),
        (np.nextafter(1, 0), [1, 0, 1]),
    ],
)
def test_the_ends_of_the_unit_interval_are_strings_that_are_possible(uniform, expected, total):
    """Of the probabilities 0, 0, 1/4, 1/4, 0, 1/2, 0, 0, whatever their sum is rounded to."""
    psi = np.zeros((2, 8))
    psi[0, 2], psi[1, 3], psi[0, 5] = 0.5, 0.5, np.sqrt(0.5)
    prepared = with_state(3, np.sqrt(total) * psi)
    assert prepared.sample(2, [Stuck(uniform)]).tolist() == [[[expected, expected]]]


def test_a_uniform_number_on_an_edge_is_the_string_above():
    psi = np.array([[0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0]])
    prepared = with_state(2, psi)
    for k in range(4):
        drawn = prepared.sample(1, [Stuck(k / 4)])
        assert (drawn @ [1, 2]).tolist() == [[[k]]]


def test_impossible_strings_have_no_score():
    circuit = Product().build(2)
    executable, _ = both(circuit)
    at, ones = np.zeros((1, 1, 2)), np.ones((1, 1, 1, 2), np.uint8)
    assert executable.at(at).log_prob(ones).tolist() == [[[-np.inf]]]
    assert not executable.at(at).score(ones, np.ones((1, 1, 1))).any()
    assert not executable.at(at).scores(ones).any()


def test_what_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(backend, "memory", lambda: 24 * 2**30)
    with pytest.raises(ConfigurationError, match=r"statevector would need about 4,608 GiB .* mps"):
        StateVectorBackend().compile(Brickwork(2).build(36))


@pytest.mark.parametrize("ansatz", [HardwareEfficient(2, "ring", "cz"), Brickwork(2)], ids=str)
def test_many_rows_in_blocks_are_those_of_single_rows(ansatz, monkeypatch, kind):
    """21 rows of real and of complex amplitudes, a few at a time: no lane takes another's row."""
    if kind == "one large state":
        return
    circuit = ansatz.build(4)
    rng = np.random.default_rng(0)
    angles, costs = rng.normal(size=(1, 21, circuit.n_angles)), rng.normal(size=(1, 21, 16))
    executable = StateVectorBackend().compile(circuit)
    whole = executable.at(angles)
    monkeypatch.setattr(many_states, "KEPT_BYTES", 5 * 16 * 16)
    parts = executable.at(angles)
    assert not parts._keeps
    for row in range(21):
        alone = executable.at(angles[:, row : row + 1])
        for found in (whole, parts):
            np.testing.assert_array_equal(found.probabilities()[:, [row]], alone.probabilities())
            for one, other in zip(found.expectation(costs), alone.expectation(costs[:, [row]]),
                                  strict=True):  # fmt: skip
                np.testing.assert_array_equal(one[:, [row]], other)
    draws = [found.sample(5, Streams([3])(0)) for found in (whole, parts)]
    np.testing.assert_array_equal(*draws)
