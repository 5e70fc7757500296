"""Qiskit Aer against the matrix product, and its noise against a density matrix written here."""

import sys
from functools import reduce
from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError, MissingError
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators.mps import MatrixProductBackend
from qhyper.quantum.simulators.qiskit_aer_simulator import METHODS, AerBackend, AerExecutable
from qhyper.streams import Streams

LONG_RANGE = Circuit(
    5,
    (
        *(Gate("ry", (q,), q) for q in range(5)),
        Gate("cx", (4, 0)),
        Gate("rx", (2,), 5),
        Gate("cz", (1, 3)),
        Gate("rz", (0,), 6),
        Gate("cx", (0, 3)),
        *(Gate("rx", (q,), 7 + q) for q in range(5)),
    ),
)
CIRCUITS = {
    "one qubit": Product().build(1),
    "product": Product().build(4),
    "brickwork": Brickwork(3).build(5),
    "ring": HardwareEfficient(2, "ring", "cz", ("ry", "rx")).build(5),
    "long range": LONG_RANGE,
}
STEP = Streams((3, 4))


def random_angles(circuit, seed=0, replicas=2, rows=3):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (replicas, rows, circuit.n_angles))


def ideal(circuit, angles):
    return MatrixProductBackend().compile(circuit).at(angles).probabilities()


def pattern(bits):
    """A circuit that draws these bits for sure, and its angles."""
    gates = tuple(Gate("rx", (q,), q) for q in range(len(bits)))
    return Circuit(len(bits), gates), np.pi * np.asarray(bits, dtype=float)[None, None]


def assert_drawn_from(bits, expected):
    """Chi-squared p > 1e-6 of draws [shot, qubit] from p [2^n]; rare strings count together."""
    counts = np.bincount(bits @ (1 << np.arange(bits.shape[-1])), minlength=len(expected))
    wanted = expected * len(bits)
    assert counts[expected < 1e-12].sum() == 0
    rare = wanted < 10
    counts = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(wanted[~rare], wanted[rare].sum())
    some = wanted > 0
    assert chisquare(counts[some], wanted[some] * len(bits) / wanted.sum()).pvalue > 1e-6


# -- a noisy oracle -------------------------------------------------------------------------------

PAULIS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]


def on(n, operators):
    """The matrix of one-qubit operators {qubit: matrix}; qubit 0 changes fastest."""
    return reduce(np.kron, [operators.get(q, np.eye(2)) for q in range(n)][::-1])


def noisy(circuit, angles, one=0.0, two=0.0, readout=0.0):
    """p [2^n] at angles [angle]: all Paulis alike with probability p after each gate."""
    n = circuit.n_qubits
    rho = np.zeros((2**n, 2**n), complex)
    rho[0, 0] = 1
    for gate, number in circuit.numbered():
        if number is None:
            control, target = gate.qubits
            flip = PAULIS[1] if gate.name == "cx" else PAULIS[3]
            off, when = np.diag([1, 0]), np.diag([0, 1])
            unitary = on(n, {control: off}) + on(n, {control: when, target: flip})
        else:
            half = angles[number] / 2
            P = PAULIS["xyz".index(gate.name[1]) + 1]
            unitary = on(n, {gate.qubits[0]: np.cos(half) * PAULIS[0] - 1j * np.sin(half) * P})
        rho = unitary @ rho @ unitary.conj().T
        strength = two if number is None else one
        errors = [
            on(n, dict(zip(gate.qubits, chosen, strict=True)))
            for chosen in product(PAULIS, repeat=len(gate.qubits))
        ]
        mixed = sum(E @ rho @ E.conj().T for E in errors) / len(errors)
        rho = (1 - strength) * rho + strength * mixed
    flips = np.array([[1 - readout, readout], [readout, 1 - readout]])
    return on(n, dict.fromkeys(range(n), flips)) @ rho.diagonal().real


# -- without noise --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [None, "statevector", "density_matrix"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_probabilities_are_those_of_the_matrix_product(name, method):
    circuit = CIRCUITS[name]
    angles = random_angles(circuit)
    p = AerBackend(method=method).compile(circuit).at(angles).probabilities()
    assert p.shape == (2, 3, 2**circuit.n_qubits)
    np.testing.assert_allclose(p, ideal(circuit, angles), rtol=0, atol=1e-10)


# Seeds 3 and 4, 2000 shots a row: each of six rows has chi-squared p > 1e-6.
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_draws_follow_the_probabilities_row_by_row(name, method):
    circuit = CIRCUITS[name]
    angles = random_angles(circuit, seed=1)
    bits = AerBackend(method=method).compile(circuit, rows=3).at(angles).sample(2000, STEP(0))
    assert bits.shape == (2, 3, 2000, circuit.n_qubits)
    assert bits.dtype == np.uint8
    expected = ideal(circuit, angles)
    for replica, row in product(range(2), range(3)):
        assert_drawn_from(bits[replica, row], expected[replica, row])


@pytest.mark.parametrize("method", METHODS)
def test_qubits_are_in_their_order(method):
    bits = [1, 0, 0, 1, 1, 0]
    circuit, angles = pattern(bits)
    executable = AerBackend(method=method).compile(circuit)
    assert (executable.at(angles).sample(1, STEP(0)[:1]) == bits).all()
    if method != "matrix_product_state":
        (number,) = np.flatnonzero(executable.at(angles).probabilities()[0, 0] > 0.5)
        np.testing.assert_array_equal(all_bitstrings(6)[number], bits)


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_draws_of_more_than_one_word(n):
    bits = np.random.default_rng(n).integers(2, size=n)
    circuit, angles = pattern(bits)
    drawn = AerBackend().compile(circuit).at(angles).sample(3, STEP(0)[:1])
    np.testing.assert_array_equal(drawn, np.broadcast_to(bits, (1, 1, 3, n)))


@pytest.mark.parametrize("method", METHODS)
def test_circuits_without_angles_or_gates(method):
    executable = AerBackend(method=method).compile(Circuit(3, (Gate("cx", (0, 2)),)))
    bits = executable.at(np.zeros((2, 2, 0))).sample(1, STEP(0))
    np.testing.assert_array_equal(bits, np.zeros((2, 2, 1, 3)))
    empty = AerBackend(method=method).compile(Circuit(1, ()))
    np.testing.assert_array_equal(empty.at(np.zeros((1, 1, 0))).sample(4, STEP(0)[:1]), 0)
    if method != "matrix_product_state":
        np.testing.assert_array_equal(empty.at(np.zeros((1, 2, 0))).probabilities(), [[[1, 0]] * 2])


def test_the_method_is_decided_from_the_circuit():
    def chosen(circuit, **options):
        return AerBackend(**options).compile(circuit).method

    assert chosen(Brickwork(4).build(8)) == "statevector"
    assert chosen(Brickwork(4).build(20)) == "matrix_product_state"
    assert chosen(HardwareEfficient(9, "all-to-all").build(14)) == "statevector"
    assert chosen(Brickwork(2).build(36), readout=0.1) == "matrix_product_state"
    assert chosen(Brickwork(2).build(10), depolarising=0.1) == "density_matrix"
    assert chosen(Brickwork(2).build(11), depolarising=0.1) != "density_matrix"
    assert chosen(Brickwork(4).build(20), method="statevector") == "statevector"


# -- random streams -------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [{}, {"depolarising": 0.01, "readout": 0.01}], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_replicas_are_independent_and_repeatable(method, noise):
    circuit = Brickwork(2).build(6)
    angles = random_angles(circuit)
    executable = AerBackend(method=method, **noise).compile(circuit)
    together = executable.at(angles).sample(60, STEP(5))
    np.testing.assert_array_equal(executable.at(angles).sample(60, STEP(5)), together)
    for replica in range(2):
        alone = executable.at(angles[[replica]]).sample(60, STEP(5)[replica : replica + 1])
        np.testing.assert_array_equal(alone[0], together[replica])


@pytest.mark.parametrize("method", METHODS)
def test_calls_rows_and_replicas_differ(method):
    circuit = Product().build(6)
    executable = AerBackend(method=method).compile(circuit)
    rng = STEP(0)
    uniform = np.full((2, 2, 6), np.pi / 2)
    draws = np.concatenate([executable.at(uniform).sample(2000, rng) for _ in range(2)])
    sets = draws.reshape(8, 2000 * 6).astype(float)
    # seeds 3 and 4; bits that agree by chance only, 12 000 of them: correlations within 6 sigma
    correlations = np.corrcoef(sets)[np.triu_indices(8, 1)]
    assert abs(correlations).max() < 6 / np.sqrt(2000 * 6)


@pytest.mark.parametrize("method", METHODS)
def test_rows_do_not_share_their_noise(method):
    # Aer on its own would draw shot j of row 1 as shot 2113 + j of row 0.
    executable = AerBackend(method=method, depolarising=0.01).compile(Product().build(8))
    (rows,) = executable.at(np.full((1, 2, 8), np.pi / 2)).sample(2400, STEP(0)[:1])
    for one, other in ((rows[0, 2113:], rows[1, :287]), (rows[1, 2113:], rows[0, :287])):
        same = (one == other).all(axis=-1).mean()
        assert same < 0.05  # seed 3; by chance 1/256, sigma 0.0037 of 287 shots


def test_fast_sampling_draws_the_same():
    circuit = Brickwork(3).build(12)
    angles = random_angles(circuit, rows=2)
    fast, slow = (
        AerBackend(method="matrix_product_state", fast_sampling=fast)
        .compile(circuit)
        .at(angles)
        .sample(200, STEP(0))
        for fast in (True, False)
    )
    np.testing.assert_array_equal(fast, slow)


# -- noise ----------------------------------------------------------------------------------------

STRENGTHS = {"one": 0.04, "two": 0.15}


@pytest.mark.parametrize("method", [None, "statevector", "density_matrix"])
@pytest.mark.parametrize("name", ["one qubit", "brickwork", "long range"])
def test_noisy_probabilities_are_those_of_the_channels(name, method):
    circuit = CIRCUITS[name]
    angles = random_angles(circuit)
    backend = AerBackend(method=method, depolarising=STRENGTHS, readout=0.07)
    p = backend.compile(circuit).at(angles).probabilities()
    expected = [[noisy(circuit, row, **STRENGTHS, readout=0.07) for row in rows] for rows in angles]
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-10)


# Seed 3, 1500 shots: each of two rows has chi-squared p > 1e-6.
@pytest.mark.parametrize("method", METHODS)
def test_noisy_draws_follow_the_channels(method):
    circuit = LONG_RANGE
    angles = random_angles(circuit, seed=2, replicas=1, rows=2)
    backend = AerBackend(method=method, depolarising=STRENGTHS, readout=0.07)
    bits = backend.compile(circuit).at(angles).sample(1500, STEP(1)[:1])
    for row in range(2):
        expected = noisy(circuit, angles[0, row], **STRENGTHS, readout=0.07)
        assert_drawn_from(bits[0, row], expected)


@pytest.mark.parametrize("method", METHODS)
def test_no_strength_is_no_noise(method):
    circuit = Brickwork(2).build(4)
    angles = random_angles(circuit)
    plain, zero = (
        AerBackend(method=method, **options).compile(circuit)
        for options in ({}, {"depolarising": {"one": 0, "two": 0.0}, "readout": 0.0})
    )
    np.testing.assert_array_equal(
        plain.at(angles).sample(50, STEP(0)), zero.at(angles).sample(50, STEP(0))
    )
    if method != "matrix_product_state":
        np.testing.assert_array_equal(
            plain.at(angles).probabilities(), zero.at(angles).probabilities()
        )


def test_full_depolarisation_is_uniform():
    circuit = Brickwork(2).build(4)
    p = AerBackend(depolarising=1.0).compile(circuit).at(random_angles(circuit)).probabilities()
    np.testing.assert_allclose(p, 1 / 16, rtol=0, atol=1e-12)
    (bits,) = (
        AerBackend(depolarising=1, method="statevector")
        .compile(circuit)
        .at(np.zeros((1, 1, circuit.n_angles)))
        .sample(4000, STEP(0)[:1])[0]
    )
    assert_drawn_from(bits, np.full(16, 1 / 16))  # seed 3, 4000 shots, p > 1e-6


def z_expectations(p, n):
    """<Z> of each qubit [..., qubit] of probabilities [..., 2^n]."""
    return p @ (1.0 - 2.0 * all_bitstrings(n))


def test_noise_shrinks_z_as_in_closed_form():
    circuit = Product().build(4)
    angles = random_angles(circuit)
    p = AerBackend(depolarising=0.3).compile(circuit).at(angles).probabilities()
    np.testing.assert_allclose(z_expectations(p, 4), 0.7 * np.cos(angles), rtol=0, atol=1e-12)
    p = AerBackend(readout=0.2).compile(circuit).at(angles).probabilities()
    np.testing.assert_allclose(z_expectations(p, 4), 0.6 * np.cos(angles), rtol=0, atol=1e-12)
    flipped = AerBackend(readout=1.0).compile(circuit).at(angles).probabilities()
    np.testing.assert_allclose(z_expectations(flipped, 4), -np.cos(angles), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_rotations_by_zero_are_noisy_too(method):
    gates = tuple(Gate(name, (0,), k) for k, name in enumerate(("rx", "ry", "rx")))
    circuit = Circuit(1, gates)
    executable = AerBackend(method=method, depolarising={"one": 0.2}).compile(circuit)
    drawn = executable.at(np.zeros((1, 1, 3))).sample(4000, STEP(0)[:1])
    # seed 3, 4000 shots: <Z> = 0.8^3, one bit in (1 - 0.8^3) / 2 = 0.244, sigma 0.0068, 5 sigma
    assert abs(drawn.mean() - 0.244) < 0.034


def test_gates_of_one_and_two_qubits_have_their_own_strength():
    circuit = Circuit(3, (Gate("ry", (2,), 0), Gate("cx", (0, 1)), Gate("cz", (0, 1))))
    angles = np.full((1, 1, 1), 0.4)
    backend = AerBackend(depolarising={"two": 0.5})
    p = backend.compile(circuit).at(angles).probabilities()
    # CX and CZ keep |00>, which survives with 0.25 or comes back as one of four
    pair = np.array([0.25 + 0.75 / 4, *[0.75 / 4] * 3])
    expected = np.kron([np.cos(0.2) ** 2, np.sin(0.2) ** 2], pair)
    np.testing.assert_allclose(p[0, 0], expected, rtol=0, atol=1e-12)


# -- snapshots ------------------------------------------------------------------------------------


def device(n, couplings, **options):
    from qiskit.providers.fake_provider import GenericBackendV2

    both = [[a, b] for a, b in couplings] + [[b, a] for a, b in couplings]
    return GenericBackendV2(n, coupling_map=both, seed=7, **options)


LINE = [(4, 0), (0, 3), (3, 1), (1, 5), (5, 2), (2, 6)]


def test_a_snapshot_is_noisy_and_keeps_the_order_of_the_qubits():
    bits = [1, 0, 0, 1, 1]
    circuit, angles = pattern(bits)
    # entanglers that do nothing, as their controls or one of their qubits are 0, but need routing
    gates = (*circuit.gates, *(Gate("cx", (1, q)) for q in (3, 0, 4)), Gate("cz", (2, 4)))
    circuit = Circuit(5, gates)
    backend = AerBackend(snapshot=device(7, LINE))
    executable = backend.compile(circuit)
    p = executable.at(angles).probabilities()[0, 0]
    number = int(np.array(bits) @ (1 << np.arange(5)))
    assert p.argmax() == number
    assert 0.8 < p[number] < 0.9999
    np.testing.assert_allclose(p.sum(), 1, rtol=0, atol=1e-10)
    drawn = executable.at(angles).sample(400, STEP(0)[:1])
    assert (drawn[0, 0] == bits).all(axis=-1).mean() > 0.7
    assert str(backend) == "aer with the noise of generic_backend_7q"


@pytest.mark.parametrize("name", ["brickwork", "ring", "long range"])
def test_a_snapshot_without_errors_is_ideal_wherever_its_qubits_are(name):
    circuit = CIRCUITS[name]
    angles = random_angles(circuit, rows=2)
    backend = AerBackend(snapshot=device(7, LINE, noise_info=False))
    executable = backend.compile(circuit)
    p = executable.at(angles).probabilities()
    np.testing.assert_allclose(p, ideal(circuit, angles), rtol=0, atol=1e-10)
    bits = executable.at(angles).sample(2000, STEP(0))
    for replica, row in product(range(2), range(2)):  # seeds 3 and 4, 2000 shots, p > 1e-6
        assert_drawn_from(bits[replica, row], p[replica, row])


def test_a_snapshots_readout_errors_are_those_of_the_qubits_it_uses():
    from qiskit.transpiler import InstructionProperties

    class Readout(InstructionProperties):
        prob_meas1_prep0, prob_meas0_prep1 = 0.0, 0.0

    snapshot = device(7, LINE, noise_info=False)
    wrong_zeros = np.array([0.02, 0.1, 0.05, 0.2, 0.0, 0.15, 0.3])
    wrong_ones = wrong_zeros[::-1] / 2
    for place in range(7):
        readout = Readout()
        readout.prob_meas1_prep0, readout.prob_meas0_prep1 = wrong_zeros[place], wrong_ones[place]
        snapshot.target.update_instruction_properties("measure", (place,), readout)
    circuit = Circuit(3, (Gate("rx", (0,), 0), Gate("cz", (0, 1)), Gate("cx", (0, 2))))
    executable = AerBackend(snapshot=snapshot).compile(circuit)
    angles = np.array([[[0.0], [np.pi]]])  # measured 000 and 101, if there were no errors
    p = executable.at(angles).probabilities()
    (zeros, flipped) = (1 - z_expectations(p, 3)[0]) / 2
    places = [int(abs(wrong_zeros - one).argmin()) for one in zeros]
    np.testing.assert_allclose(zeros, wrong_zeros[places], rtol=0, atol=1e-12)
    expected = np.where([True, False, True], 1 - wrong_ones[places], wrong_zeros[places])
    np.testing.assert_allclose(flipped, expected, rtol=0, atol=1e-12)
    coupled = {frozenset(pair) for pair in LINE}
    assert {frozenset(places[:2]), frozenset(places[::2])} <= coupled
    bits = executable.at(angles).sample(4000, STEP(0)[:1])
    for row in range(2):  # seed 3, 4000 shots, p > 1e-6
        assert_drawn_from(bits[0, row], p[0, row])


def test_a_snapshot_draws_by_trajectories_what_its_density_matrix_says():
    circuit = Brickwork(2).build(4)
    angles = random_angles(circuit, replicas=1, rows=1)
    snapshot = device(7, LINE)
    p = AerBackend(snapshot=snapshot).compile(circuit).at(angles).probabilities()
    assert abs(p - ideal(circuit, angles)).max() > 1e-4
    for method in ("statevector", "matrix_product_state"):
        executable = AerBackend(method=method, snapshot=snapshot).compile(circuit)
        bits = executable.at(angles).sample(1000, STEP(0)[:1])
        assert_drawn_from(bits[0, 0], p[0, 0])  # seed 3, 1000 shots, p > 1e-6


# On a ring of six, five qubits in a ring are routed through the sixth.
@pytest.mark.parametrize(
    "couplings", [LINE, [(q, (q + 1) % 6) for q in range(6)]], ids=["line", "ring of six"]
)
@pytest.mark.parametrize("name", ["brickwork", "ring"])
def test_a_snapshots_noise_is_aers_own_model_of_the_device(name, couplings):
    from qiskit_aer.noise import NoiseModel

    circuit = CIRCUITS[name]
    angles = random_angles(circuit, rows=1)
    snapshot = device(1 + max(map(max, couplings)), couplings)
    executable = AerBackend(snapshot=snapshot).compile(circuit)
    answers = []
    for _ in range(2):
        answers.append(
            (executable.at(angles).probabilities(), executable.at(angles).sample(50, STEP(0)))
        )
        executable._simulator.set_options(noise_model=NoiseModel.from_backend(snapshot))
    np.testing.assert_allclose(answers[0][0], answers[1][0], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(answers[0][1], answers[1][1])


def test_qubits_that_are_routed_through_count():
    from qiskit import QuantumCircuit

    gates = QuantumCircuit(15)
    for q in range(10):
        gates.cx(q, q + 1)
    qubits = [0, 1, 2, 3, 4, 10, 9, 8, 7, 6]  # all but qubit 5; 11 to 14 are idle
    executable = AerExecutable(AerBackend(readout=0.1), "density_matrix", [], gates, qubits)
    with pytest.raises(ConfigurationError, match=r"this circuit takes 11\. Sample instead"):
        executable.at(np.zeros((1, 1, 0))).probabilities()


def test_a_snapshot_that_is_too_small_is_refused():
    with pytest.raises(ConfigurationError, match="Qiskit cannot place this circuit of 5 qubits on"):
        AerBackend(snapshot=device(3, [(0, 1), (1, 2)])).compile(LONG_RANGE)


def test_a_snapshot_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    message = r"in the checkout of qhyper: pip install .* '\.\[ibm\]'"
    with pytest.raises(MissingError, match=message):
        AerBackend(snapshot="fake_torino")


def test_a_snapshot_by_name():
    pytest.importorskip("qiskit_ibm_runtime")
    circuit = Brickwork(2).build(4)
    angles = random_angles(circuit, rows=1)
    backend = build_backend("aer", {"snapshot": "fake_manila"})
    assert str(backend) == "aer with the noise of fake_manila"
    p = backend.compile(circuit).at(angles).probabilities()
    assert 1e-3 < abs(p - ideal(circuit, angles)).max() < 0.2
    with pytest.raises(ConfigurationError, match="Did you mean 'fake_torino'"):
        AerBackend(snapshot="fake_turino")


# -- refusals -------------------------------------------------------------------------------------


def test_names_and_options():
    assert str(AerBackend()) == "aer"
    assert str(build_backend("aer:statevector")) == "aer:statevector"
    noisy_backend = build_backend("aer:density_matrix", {"depolarising": 0.01, "readout": 0.02})
    assert str(noisy_backend) == "aer:density_matrix with depolarising 0.01, readout error 0.02"
    assert str(AerBackend(depolarising={"two": 0.1})) == "aer with depolarising 0 and 0.1"
    with pytest.raises(
        ConfigurationError,
        match=r"Unknown method of aer 'statevektor'. Did you mean 'statevector'\? Known: density_",
    ):
        build_backend("aer:statevektor")
    with pytest.raises(ConfigurationError, match=r"Unknown option of the backend aer: 'max_bond'"):
        build_backend("aer", {"max_bond": 4})


@pytest.mark.parametrize("bad", [-0.1, 1.01, np.nan, np.inf, True, "0.1", None, [0.1]])
def test_strengths_are_probabilities(bad):
    with pytest.raises(ConfigurationError, match="depolarising must be a probability from 0 to 1"):
        AerBackend(depolarising=bad)
    with pytest.raises(ConfigurationError, match="depolarising must be a probability from 0 to 1"):
        AerBackend(depolarising={"two": bad})
    with pytest.raises(ConfigurationError, match="readout must be a probability from 0 to 1; got"):
        AerBackend(readout=bad)


def test_a_kind_of_gate_that_there_is_not():
    with pytest.raises(ConfigurationError, match="Unknown kind of gate in depolarising 'too'"):
        AerBackend(depolarising={"too": 0.1})


def test_a_snapshot_is_a_device_and_all_the_noise():
    from qiskit_aer import AerSimulator

    for other in (5, AerSimulator()):
        with pytest.raises(
            ConfigurationError, match=r"Got the snapshot .*; expected the name of a d"
        ):
            AerBackend(snapshot=other)
    for other in ({"depolarising": 0.1}, {"readout": 0.1}):
        with pytest.raises(ConfigurationError, match="Leave one of them out"):
            AerBackend(snapshot="fake_torino", **other)


def test_what_does_not_fit_in_memory_is_refused():
    circuit = Brickwork(2).build(40)
    with pytest.raises(
        ConfigurationError,
        match=r"The backend aer:statevector would need about 3[\d.,e+]+ GiB for this circuit of 40 "
        r"qubits .* It fits on mps",
    ):
        AerBackend(method="statevector").compile(circuit)
    with pytest.raises(
        ConfigurationError, match=r"aer:density_matrix would need about 3[\d.,e+]+ GiB"
    ):
        AerBackend(method="density_matrix").compile(Brickwork(2).build(20))
    wide = HardwareEfficient(1, "all-to-all").build(80)
    with pytest.raises(ConfigurationError, match=r"aer:matrix_product_state would .* No simul"):
        AerBackend(method="matrix_product_state").compile(wide)


def test_deep_circuits_of_few_qubits_fit_a_matrix_product():
    # two hundred entanglers across a bond, but only 2^2 states on its smaller side
    circuit = HardwareEfficient(200).build(4)
    angles = random_angles(circuit, rows=1)
    executable = AerBackend(method="matrix_product_state").compile(circuit)
    p = AerBackend(method="statevector").compile(circuit).at(angles).probabilities()
    bits = executable.at(angles).sample(2000, STEP(0))
    for replica in range(2):  # seeds 3 and 4, 2000 shots, p > 1e-6
        assert_drawn_from(bits[replica, 0], p[replica, 0])


@pytest.mark.parametrize("shots", [0, -1])
def test_at_least_one_shot(shots):
    executable = AerBackend().compile(LONG_RANGE)
    with pytest.raises(ConfigurationError, match=f"shots must be at least 1; got {shots}"):
        executable.at(random_angles(LONG_RANGE)).sample(shots, STEP(0))


@pytest.mark.parametrize(
    "angles",
    [
        np.zeros((2, 3, 11)),
        np.zeros((2, 12)),
        np.zeros((2, 0, 12)),
        np.full((2, 1, 12), np.nan),
        np.full((2, 1, 12), np.inf),
    ],
    ids=["too few", "no rows axis", "no row", "nan", "inf"],
)
def test_angles_that_do_not_fit(angles):
    executable = AerBackend().compile(LONG_RANGE)
    for ask in (
        lambda: executable.at(angles).sample(5, STEP(0)),
        lambda: executable.at(angles).probabilities(),
    ):
        with pytest.raises(
            ConfigurationError, match=r"expected finite angles \[replica, row, 12\]"
        ):
            ask()


def test_one_generator_a_replica():
    executable = AerBackend().compile(LONG_RANGE)
    with pytest.raises(ConfigurationError, match="Got 1 random generators for 2 replicas"):
        executable.at(random_angles(LONG_RANGE)).sample(5, STEP(0)[:1])


def test_too_many_probabilities():
    for options, n, limit in (({}, 21, 20), ({"readout": 0.1}, 11, 10)):
        backend = AerBackend(**options)
        assert backend.capabilities.probability_bits == limit
        circuit = Product().build(n)
        with pytest.raises(
            ConfigurationError, match=f"of up to {limit} qubits; this circuit takes"
        ):
            backend.compile(circuit).at(random_angles(circuit)).probabilities()
    product_state = AerBackend(method="matrix_product_state")
    assert product_state.capabilities.probability_bits == 0
    with pytest.raises(
        ConfigurationError, match=r"aer:matrix_product_state gives .* up to 0 qubits"
    ):
        product_state.compile(LONG_RANGE).at(random_angles(LONG_RANGE)).probabilities()


def test_aers_own_failure_is_an_error_with_its_message():
    circuit = Product().build(18)
    executable = AerBackend(method="statevector").compile(circuit)
    executable._simulator.set_options(max_memory_mb=1)
    angles = random_angles(circuit)
    for ask in (
        lambda: executable.at(angles).sample(5, STEP(0)),
        lambda: executable.at(angles).probabilities(),
    ):
        with pytest.raises(
            ConfigurationError, match=r"method statevector: ERROR: .* Insufficient mem"
        ):
            ask()


def test_shots_that_are_missing_are_an_error(monkeypatch):
    executable = AerBackend().compile(LONG_RANGE)
    run = executable._run
    monkeypatch.setattr(
        executable, "_run", lambda *args, shots, **rest: run(*args, shots=shots - 1, **rest)
    )
    with pytest.raises(ConfigurationError, match=r"Aer returned \[4\] shots a row; expected 5"):
        executable.at(random_angles(LONG_RANGE)).sample(5, STEP(0))


def test_controlled_rotations_which_aer_gets_wrong_cannot_be_had():
    with pytest.raises(ConfigurationError, match="Unknown gate 'crx'"):
        Circuit(2, (Gate("crx", (0, 1), 0),))


# -- as a generator's backend ---------------------------------------------------------------------


def test_a_generator_on_aer():
    order = [2, 0, 3, 1]
    fixed = Gate("rx", (3,), Angle(offset=np.pi))
    tied = tuple(Gate("ry", (q,), 0) for q in range(3))
    circuit = Circuit(4, (*tied, fixed))
    generators = [
        QuantumHyperNetwork(4, ansatz=circuit, order=order, start=[0.7], backend=name, seeds=(1, 2))
        for name in ("aer", "mps")
    ]
    aer, exact = generators
    assert aer.describe().endswith("own start, on aer")
    assert not aer.capabilities.log_prob
    assert aer.capabilities.angles
    bits = aer.sample(2000, rng=Streams(aer.seeds)(0)).bits
    p = exact.probabilities().detach().numpy()
    for replica in range(2):  # seeds 1 and 2, 2000 shots, p > 1e-6
        assert_drawn_from(bits[replica, 0], p[replica, 0])
    assert bits[..., 1].all()  # qubit 3 carries bit 1
    with pytest.raises(ConfigurationError, match="has no log p"):
        aer.log_prob(bits)
