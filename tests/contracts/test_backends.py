"""What every backend must do: the same distribution for the same circuit and angles."""

import numpy as np
import pytest
from scipy.stats import chisquare

from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.simulators import many_states, mps_program, prepared
from qhyper.streams import Streams

N = 5
BACKENDS = {
    "mps": ("mps", {}),
    "mps in torch": ("mps", {"device": "cpu:0"}),
    "statevector": ("statevector", {}),
    "lightning.qubit": ("pennylane:lightning.qubit", {}),
    "default.qubit": ("pennylane:default.qubit", {}),
    "default.mixed": ("pennylane:default.mixed", {}),
    "aer statevector": ("aer:statevector", {}),
    "aer matrix_product_state": ("aer:matrix_product_state", {}),
    "aer density_matrix": ("aer:density_matrix", {}),
    "aer with noise of strength 0": ("aer", {"depolarising": 0.0, "readout": 0.0}),
    "trajectories with noise of strength 0": ("trajectories", {"depolarising": 0.0}),
    "trajectories of matrix products": ("trajectories", {"simulator": "mps"}),
}
CIRCUITS = {
    "brickwork": Brickwork(3).build(N),
    "ring": HardwareEfficient(2, "ring", "cz", ("rx", "ry", "rz")).build(N),
    "all-to-all": HardwareEfficient(1, "all-to-all").build(N),
    "product": Product().build(N),
    "long-range": Circuit(
        N,
        (
            *(Gate("ry", (q,), q) for q in range(N)),
            *(Gate("cx", (4, 0)), Gate("cz", (1, 3)), Gate("cx", (0, 3)), Gate("cx", (3, 1))),
            Gate("rx", (1,), 5),
        ),
    ),
}
PATTERN = np.array([1, 0, 0, 1, 1], np.uint8)
"""Not its own mirror image, nor the complement of that."""


def angles(circuit, rows=3, replicas=2):
    return np.random.default_rng(4).uniform(-np.pi, np.pi, (replicas, rows, circuit.n_angles))


@pytest.fixture(params=BACKENDS)
def backend(request):
    name, options = BACKENDS[request.param]
    return build_backend(name, options)


@pytest.fixture(params=CIRCUITS)
def circuit(request):
    return CIRCUITS[request.param]


def reference(circuit, rows):
    return build_backend("mps").compile(circuit).at(rows).probabilities()


def test_says_what_it_is(backend):
    assert str(backend).strip()


def test_bits_are_in_the_order_of_the_qubits(backend):
    flips = tuple(Gate("ry", (q,), Angle({0: 0.0}, offset=np.pi * PATTERN[q])) for q in range(N))
    circuit = Circuit(N, (*flips, Gate("cx", (0, 1)), Gate("cx", (0, 1))))
    rows = np.broadcast_to(np.pi * PATTERN, (1, 2, N)).astype(np.float64)
    drawn = backend.compile(circuit).at(np.ascontiguousarray(rows)).sample(6, Streams([0])(0))
    np.testing.assert_array_equal(drawn, np.broadcast_to(PATTERN, (1, 2, 6, N)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_angles_that_are_not_finite_are_refused(backend, value):
    circuit = CIRCUITS["product"]
    rows = angles(circuit)
    rows[1, 2, -1] = value
    executable = backend.compile(circuit)
    with pytest.raises(ConfigurationError, match="some are NaN or infinite; expected finite"):
        executable.at(rows)
    for shape in [(2, 3), (2, 3, circuit.n_angles + 1), (0, 3, circuit.n_angles)]:
        with pytest.raises(ConfigurationError, match="Got angles of shape"):
            executable.at(np.zeros(shape))


def test_exact_probabilities_agree(backend, circuit):
    if backend.capabilities.probability_bits < N:
        pytest.skip("it only samples")
    rows = angles(circuit)
    found = backend.compile(circuit).at(rows).probabilities()
    np.testing.assert_allclose(found, reference(circuit, rows), rtol=0, atol=1e-10)


def test_draws_follow_the_exact_distribution_row_by_row(backend, circuit):
    # Seeds 7 and 8, 2,000 shots over 32 strings, three rows of angles at once: p > 1e-6 each.
    rows = angles(circuit)
    drawn = backend.compile(circuit).at(rows).sample(2000, Streams([7, 8])(0))
    assert drawn.shape == (2, 3, 2000, N)
    assert drawn.dtype == np.uint8
    p = reference(circuit, rows)
    for replica, row in np.ndindex(2, 3):
        counts = np.bincount(drawn[replica, row] @ (1 << np.arange(N)), minlength=2**N)
        expected = 2000 * p[replica, row]
        common = expected >= 5
        counts = np.append(counts[common], counts[~common].sum())
        expected = np.append(expected[common], expected[~common].sum())
        some = expected > 1e-9
        assert counts[~some].sum() == 0
        assert chisquare(counts[some], expected[some] / expected[some].sum() * 2000).pvalue > 1e-6


def test_replicas_draw_as_if_alone(backend):
    circuit = CIRCUITS["brickwork"]
    rows = angles(circuit)
    executable = backend.compile(circuit)
    together = executable.at(rows).sample(20, Streams([7, 8])(0))
    alone = executable.at(np.ascontiguousarray(rows[1:])).sample(20, Streams([8])(0))
    np.testing.assert_array_equal(together[1:], alone)


def test_equal_rows_and_later_steps_have_draws_of_their_own(backend):
    circuit = CIRCUITS["brickwork"]
    rows = np.repeat(angles(circuit, rows=1, replicas=1), 2, axis=1)
    executable = backend.compile(circuit)
    first, second = (executable.at(rows).sample(200, Streams([3])(step)) for step in (0, 1))
    assert (first[0, 0] != first[0, 1]).any()
    assert (first != second).any()
    np.testing.assert_array_equal(first, executable.at(rows).sample(200, Streams([3])(0)))


def everything(at, able):
    """What is offered at angles [2, 3, angle]; all that can be shared is needed several times."""
    found = [at.sample(40, Streams([7, 8])(0))]
    bits = np.random.default_rng(1).integers(2, size=(2, 3, 70, N), dtype=np.uint8)
    coefficients = np.random.default_rng(2).normal(size=bits.shape[:3])
    costs = np.random.default_rng(3).normal(size=(2, 3, 2**N))
    if able.log_prob:
        found += [at.score(bits, coefficients), at.log_prob(bits), at.scores(bits)]
    if able.expectation:
        found += at.expectation(costs)
    if able.probability_bits >= N:
        found.append(at.probabilities())
    return found


def test_what_is_prepared_once_answers_as_if_prepared_for_each_question(backend, circuit):
    """Asked twice, with all states kept: the same bits as two executables that were asked once."""
    rows, able = angles(circuit), backend.capabilities
    at = backend.compile(circuit).at(rows)
    first, second = everything(at, able), everything(at, able)
    fresh = everything(backend.compile(circuit).at(rows.copy()), able)
    for one, other, alone in zip(first, second, fresh, strict=True):
        np.testing.assert_array_equal(one, alone)
        np.testing.assert_array_equal(other, alone)


def test_states_that_are_too_large_to_keep_are_computed_for_each_question(
    backend, circuit, monkeypatch
):
    rows, able = angles(circuit), backend.capabilities
    keeping = backend.compile(circuit).at(rows)
    kept = everything(keeping, able)
    if getattr(backend, "device", "") == "cpu":
        assert largest_array(keeping) > rows.nbytes
    for module in (prepared, mps_program, many_states):
        monkeypatch.setattr(module, "KEPT_BYTES", 0)
    at = backend.compile(circuit).at(rows)
    for one, other in zip(kept, everything(at, able), strict=True):
        np.testing.assert_array_equal(one, other)
    assert largest_array(at) <= rows.nbytes


def largest_array(thing):
    """Bytes of the largest array that an object holds, but for a compiled circuit's."""
    if hasattr(thing, "nbytes"):  # NumPy's and torch's
        return thing.nbytes
    parts = thing if isinstance(thing, list | tuple) else getattr(thing, "__dict__", {}).values()
    return max((largest_array(part) for part in parts if not hasattr(part, "at")), default=0)


def test_changing_the_array_of_angles_changes_no_answer(backend):
    circuit = CIRCUITS["brickwork"]
    rows, able = angles(circuit), backend.capabilities
    expected = everything(backend.compile(circuit).at(rows.copy()), able)
    at = backend.compile(circuit).at(rows)
    rows += 1
    for one, other in zip(everything(at, able), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_qubit_and_one_shot(backend):
    circuit = Product().build(1)
    assert backend.compile(circuit).at(np.zeros((1, 1, 1))).sample(1, Streams([0])(0)).tolist() == [
        [[[0]]]
    ]
