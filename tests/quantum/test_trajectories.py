"""Trajectories against exact channels: a density matrix written here, and Aer's."""

from itertools import product
from typing import cast

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.gradients.parameter_shift import ParameterShift
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators.depolarising import strength
from qhyper.quantum.simulators.many_states import ManyStatesAt
from qhyper.quantum.simulators.qiskit_aer_simulator import AerBackend, AerExecutable
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.quantum.simulators.trajectories import TrajectoryBackend
from qhyper.risk import Expectation
from qhyper.streams import Streams
from qhyper.targets.objective import Objective

N = 4
CIRCUITS = {
    "brickwork": Brickwork(3).build(N),
    "ring": HardwareEfficient(1, "ring", "cz", ("rx", "ry", "rz")).build(N),
    "begins with CX": Circuit(
        N,
        (
            *(Gate("cx", (3, 0)), Gate("rx", (1,), 0), Gate("cz", (1, 0)), Gate("cx", (1, 2))),
            *(Gate("cx", (2, 0)), Gate("ry", (0,), 1), Gate("cx", (0, 3))),
        ),
    ),
}
STRENGTHS = {
    "weak": {"one": 0.01, "two": 0.03},
    "strong": {"one": 0.2, "two": 0.4},
    "of two alone": {"two": 0.3},
    "full": {"one": 1.0, "two": 1.0},
}
COSTS = np.random.default_rng(1).normal(size=2**N)


@pytest.fixture(params=CIRCUITS)
def circuit(request):
    return CIRCUITS[request.param]


@pytest.fixture(params=STRENGTHS)
def strengths(request):
    return STRENGTHS[request.param]


def random_angles(circuit, seed=0, replicas=2, rows=2):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (replicas, rows, circuit.n_angles))


# -- an exact oracle ------------------------------------------------------------------------------

PAULIS = (np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1]))


def on_both_sides(rho, matrix, qubits):
    """U ρ U†, with ρ as a tensor [bit of every qubit, and again]."""
    k, n = len(qubits), rho.ndim // 2
    tensor = matrix.reshape([2] * 2 * k)
    rho = np.tensordot(tensor, rho, (range(k, 2 * k), qubits))
    rho = np.moveaxis(rho, range(k), qubits)
    bra = [n + q for q in qubits]
    rho = np.tensordot(tensor.conj(), rho, (range(k, 2 * k), bra))
    return np.moveaxis(rho, range(k), bra)


def forgotten(rho, qubits):
    """ρ with these qubits replaced by I / 2 each."""
    n = rho.ndim // 2
    for q in qubits:
        rest = np.trace(rho, axis1=q, axis2=n + q)
        rho = np.moveaxis(np.multiply.outer(np.eye(2) / 2, rest), (0, 1), (q, n + q))
    return rho


def exact(circuit, angles, one=0.0, two=0.0):
    """p [2^n] at angles [angle], qubit 0 changing fastest."""
    n = circuit.n_qubits
    rho = np.zeros([2] * 2 * n, complex)
    rho[(0,) * 2 * n] = 1
    for gate, number in circuit.numbered():
        if number is None:
            matrix = np.eye(4, dtype=complex)
            matrix[2:, 2:] = PAULIS[1 if gate.name == "cx" else 3]
        else:
            half = angles[number] / 2
            matrix = (
                np.cos(half) * np.eye(2) - 1j * np.sin(half) * PAULIS["xyz".index(gate.name[1]) + 1]
            )
        rho = on_both_sides(rho, matrix, gate.qubits)
        p = two if number is None else one
        rho = (1 - p) * rho + p * forgotten(rho, gate.qubits)
    p = np.diagonal(rho.reshape(2**n, 2**n)).real
    return p.reshape([2] * n).ravel(order="F")


def exact_table(circuit, angles, **strengths):
    return np.array([[exact(circuit, row, **strengths) for row in rows] for rows in angles])


def test_the_oracle_is_aers_density_matrix(circuit, strengths):
    angles = random_angles(circuit)
    backend = AerBackend(method="density_matrix", depolarising=strengths)
    aer = cast(AerExecutable, backend.compile(circuit))
    expected = exact_table(circuit, angles, **strengths)
    np.testing.assert_allclose(aer.at(angles).probabilities(), expected, rtol=0, atol=1e-10)


# -- the mean over trajectories -------------------------------------------------------------------


# Seed 5, 400 trajectories, 5 sigma: of the mean of ⟨C⟩ as estimated, and of a probability, which
# varies between 0 and 1 with mean p, at most √(p (1 - p) / 400).
def test_the_mean_is_that_of_the_channels(circuit, strengths):
    angles = random_angles(circuit, replicas=1)
    backend = TrajectoryBackend(depolarising=strengths, trajectories=400, seed=5)
    executable = backend.compile(circuit)
    expected = exact_table(circuit, angles, **strengths)
    values = executable.at(angles).expectations(COSTS)
    assert values.shape == (1, 2, 400)
    error = values.std(axis=-1, ddof=1) / np.sqrt(400)
    assert (error > 0).all()
    assert (abs(values.mean(axis=-1) - expected @ COSTS) < 5 * error).all()
    p = executable.at(angles).probabilities()
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=0, atol=1e-12)
    assert (abs(p - expected) <= 5 * np.sqrt(expected * (1 - expected) / 400) + 1e-12).all()
    value, _ = executable.at(angles).expectation(COSTS)
    np.testing.assert_allclose(value, values.mean(axis=-1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(value, p @ COSTS, rtol=0, atol=1e-12)


# Seed 0, 1000 trajectories, 5 sigma as above.
def test_full_depolarisation_is_uniform_in_the_mean(circuit):
    backend = TrajectoryBackend(depolarising=1.0, trajectories=1000)
    p = backend.compile(circuit).at(random_angles(circuit, rows=1, replicas=1)).probabilities()
    assert (abs(p - 1 / 16) <= 5 * np.sqrt(15 / 256 / 1000)).all()


def test_strength_0_is_the_exact_simulator(circuit):
    angles = random_angles(circuit)
    noisy, ideal = TrajectoryBackend().compile(circuit), StateVectorBackend().compile(circuit)
    for found, expected in zip(
        noisy.at(angles).expectation(COSTS), ideal.at(angles).expectation(COSTS), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    p = ideal.at(angles).probabilities()
    np.testing.assert_allclose(noisy.at(angles).probabilities(), p, rtol=0, atol=1e-12)
    values = noisy.at(angles).expectations(COSTS)
    np.testing.assert_allclose(values, np.repeat((p @ COSTS)[..., None], 100, -1), atol=1e-12)


def test_derivatives_are_of_the_same_trajectories(circuit, strengths):
    angles = random_angles(circuit)
    executable = TrajectoryBackend(depolarising=strengths, trajectories=8).compile(circuit)
    _, derivatives = executable.at(angles).expectation(COSTS)
    for k in range(circuit.n_angles):
        step = np.zeros(circuit.n_angles)
        step[k] = 1e-5
        up, down = (executable.at(angles + s).expectation(COSTS)[0] for s in (step, -step))
        np.testing.assert_allclose(derivatives[..., k], (up - down) / 2e-5, rtol=0, atol=1e-8)


def test_the_trajectories_are_those_of_the_seed_for_all_rows_and_replicas():
    circuit, noise = CIRCUITS["brickwork"], STRENGTHS["strong"]
    angles = np.tile(random_angles(circuit, rows=1, replicas=1), (2, 3, 1))
    one, same, other = (
        TrajectoryBackend(depolarising=noise, seed=seed)
        .compile(circuit)
        .at(angles)
        .expectations(COSTS)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(one, np.broadcast_to(one[:1, :1], one.shape))
    assert (one != other).any(axis=-1).all()
    # a later call is no other set, whatever was sampled in between
    executable = TrajectoryBackend(depolarising=noise, seed=3).compile(circuit)
    executable.at(angles).sample(10, Streams([0, 1])(0))
    np.testing.assert_array_equal(executable.at(angles).expectations(COSTS), one)


def test_equal_trajectories_are_evaluated_once(monkeypatch):
    calls = []
    inner = ManyStatesAt.expectation
    monkeypatch.setattr(ManyStatesAt, "expectation", lambda *args: calls.append(1) or inner(*args))
    circuit = CIRCUITS["brickwork"]
    angles = random_angles(circuit)
    for noise, most in ((0.0, 1), (0.001, 100)):
        calls.clear()
        backend = TrajectoryBackend(depolarising=noise, trajectories=1000)
        executable = backend.compile(circuit)
        executable.at(angles).expectation(COSTS)
        values = executable.at(angles).expectations(COSTS)[0, 0]
        assert len(np.unique(values)) <= len(calls) <= most
    # seed 0, 1000 trajectories: 24 rotations and 5 CX leave `kept` without an error, 5 sigma
    clean = StateVectorBackend().compile(circuit).at(angles).probabilities()[0, 0] @ COSTS
    kept = (1 - 0.00075) ** 24 * (1 - 0.0009375) ** 5
    assert abs((abs(values - clean) < 1e-12).mean() - kept) < 5 * np.sqrt(kept * (1 - kept) / 1000)


# -- draws ----------------------------------------------------------------------------------------


# Seed 3, 3000 shots in blocks of 1024: each of two rows has chi-squared p > 1e-6.
@pytest.mark.parametrize("simulator", ["statevector", "mps"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_draws_follow_the_channels(name, simulator):
    circuit, noise = CIRCUITS[name], {"one": 0.03, "two": 0.15}
    angles = random_angles(circuit, seed=2, replicas=1)
    # one fixed trajectory: the draws must have errors of their own
    backend = TrajectoryBackend(depolarising=noise, trajectories=1, simulator=simulator)
    bits = backend.compile(circuit, rows=2).at(angles).sample(3000, Streams([3])(0))
    assert bits.shape == (1, 2, 3000, N)
    for row in range(2):
        expected = 3000 * exact(circuit, angles[0, row], **noise)
        counts = np.bincount(bits[0, row] @ (1 << np.arange(N)), minlength=2**N)
        rare = expected < 10
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        some = expected > 0
        assert counts[~some].sum() == 0
        assert chisquare(counts[some], expected[some]).pvalue > 1e-6


# Seed 0, 2000 shots, 36 qubits: ⟨Z⟩ within 5 sigma, at most 1 / √2000. Depolarising noise goes
# through a rotation, so ⟨Z⟩ shrinks by 1 - p a gate.
def test_36_qubits_by_matrix_product():
    gates = [Gate(name, (q,), None) for name in ("ry", "rz", "ry") for q in range(36)]
    circuit = Circuit(36, tuple(Gate(g.name, g.qubits, k) for k, g in enumerate(gates)))
    theta = np.random.default_rng(0).uniform(-np.pi, np.pi, 36)
    angles = np.concatenate([theta, np.zeros(36), theta / 2])[None, None]
    backend = TrajectoryBackend(depolarising={"one": 0.1}, simulator="mps")
    bits = backend.compile(circuit).at(angles).sample(2000, Streams([0])(0))
    z = 1 - 2 * bits[0, 0].mean(axis=0)
    assert (abs(z - 0.9**3 * np.cos(1.5 * theta)) < 5 / np.sqrt(2000)).all()


# Seed 0, 500 shots, 5 sigma: a CX on a qubit and |0> makes both bits alike, ⟨ZZ⟩ = 1, and gives the
# second qubit the ⟨Z⟩ of the first; its noise shrinks all of these by 1 - p.
def test_36_entangled_qubits_by_matrix_product():
    pairs = [(q, q + 1) for q in range(0, 36, 2)]
    gates = tuple(Gate("ry", (q,), k) for k, (q, _) in enumerate(pairs))
    circuit = Circuit(36, (*gates, *(Gate("cx", pair) for pair in pairs)))
    backend = TrajectoryBackend(depolarising={"one": 0.5, "two": 0.2}, simulator="mps")
    angles = np.random.default_rng(1).uniform(-np.pi, np.pi, (1, 1, 18))
    bits = backend.compile(circuit).at(angles).sample(500, Streams([0])(0))[0, 0]
    agree = (1 - 2.0 * (bits[:, ::2] ^ bits[:, 1::2])).mean(axis=0)
    assert (abs(agree - 0.8) < 5 * np.sqrt((1 - 0.8**2) / 500)).all()
    z = (1 - 2.0 * bits).mean(axis=0)  # of control and target alike
    expected = np.repeat(0.8 * 0.5 * np.cos(angles[0, 0]), 2)
    assert (abs(z - expected) < 5 / np.sqrt(500)).all()


@pytest.mark.parametrize("simulator", ["statevector", "mps"])
def test_replicas_are_independent_and_repeatable(simulator):
    circuit = CIRCUITS["brickwork"]
    angles = random_angles(circuit)
    backend = TrajectoryBackend(depolarising=0.2, simulator=simulator)
    executable, streams = backend.compile(circuit), Streams([3, 4])
    together = executable.at(angles).sample(60, streams(5))
    np.testing.assert_array_equal(executable.at(angles).sample(60, streams(5)), together)
    for replica in range(2):
        alone = executable.at(angles[[replica]]).sample(60, streams(5)[replica : replica + 1])
        np.testing.assert_array_equal(alone[0], together[replica])


# -- training -------------------------------------------------------------------------------------


def generator(backend, **options):
    return QuantumHyperNetwork(
        N, ansatz=Brickwork(2), start="uniform", seeds=(1, 2), backend=backend, **options
    )


def objective():
    return Objective(lambda bits: COSTS[bits.astype(int) @ (1 << np.arange(N))], N)


def test_trains_with_the_exact_gradient_of_its_trajectories():
    net = generator(TrajectoryBackend(depolarising=0.1, trajectories=10), order=[2, 0, 3, 1])
    estimator, losses, values = Exact(), objective(), []
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = estimator(net, losses, Expectation()).value
        assert value is not None
        values.append(float(value.sum()))
        return torch.tensor(values[-1])

    optimizer.step(closure)
    assert min(values) < values[0] - 0.5
    p = net.probabilities().detach().numpy()
    np.testing.assert_allclose((p @ COSTS).sum(), min(values), rtol=0, atol=1e-6)


# Seeds 1 and 2, 500 shots: half the difference of two means of losses whose range is r has a
# sigma of at most r / √(8 · 500); 5 sigma. Shots have errors of their own: the channel's slope.
def test_the_parameter_shift_is_that_of_the_channel():
    net = generator(TrajectoryBackend(depolarising=0.1, trajectories=1))
    ParameterShift(500)(net, objective(), Expectation(), rng=Streams(net.seeds)(0))
    angles = net.angles().detach().numpy()
    expected = np.empty(angles.shape)
    for k in range(net.circuit.n_angles):
        turn = np.eye(net.circuit.n_angles)[k] * np.pi / 2
        up, down = (exact_table(net.circuit, angles + s, one=0.1, two=0.1) for s in (turn, -turn))
        expected[..., k] = (up - down) @ COSTS / 2
    gradient = net.theta.grad
    assert gradient is not None
    bound = 5 * np.ptp(COSTS) / np.sqrt(8 * 500)
    assert (abs(gradient.numpy() - expected[:, 0]) < bound).all()


# -- conventions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2])
def test_strength_of_the_probability_of_a_pauli_error(k):
    rng = np.random.default_rng(0)
    state = rng.normal(size=2**k) + 1j * rng.normal(size=2**k)
    rho = np.outer(state, state.conj()).reshape([2] * 2 * k)
    qubits, error = tuple(range(k)), 0.1
    mixed = (1 - error) * rho
    for chosen in list(product(PAULIS, repeat=k))[1:]:
        matrix = chosen[0] if k == 1 else np.kron(*chosen)
        mixed = mixed + error / (4**k - 1) * on_both_sides(rho, matrix, qubits)
    p = strength(error, k)
    expected = (1 - p) * rho + p * forgotten(rho, qubits)
    np.testing.assert_allclose(mixed, expected, rtol=0, atol=1e-12)


def test_strengths_of_errors_in_numbers():
    assert strength(0.001, 1) == pytest.approx(0.001 * 4 / 3, rel=1e-12)
    assert strength(0.00375, 2) == pytest.approx(0.004, rel=1e-12)
    assert strength(0.0, 2) == 0
    assert strength(0.75, 1) == strength(0.9375, 2) == 1
    with pytest.raises(
        ConfigurationError,
        match=r"Got the error probability 0.8 for a gate of 1 qubits; expected at most 0.75, at",
    ):
        strength(0.8, 1)
    with pytest.raises(ConfigurationError, match="error must be a probability from 0 to 1; got -1"):
        strength(-1, 2)


# -- names and refusals ---------------------------------------------------------------------------


def test_says_what_it_is():
    assert str(TrajectoryBackend()) == "trajectories"
    noisy = TrajectoryBackend(depolarising={"one": 0.001, "two": 0.004}, seed=7)
    assert str(noisy) == "trajectories with depolarising 0.001 and 0.004, 100 of seed 7"
    by_mps = TrajectoryBackend(depolarising=0.1, simulator="mps")
    assert str(by_mps) == "trajectories by mps with depolarising 0.1"
    assert "on trajectories with depolarising" in generator(noisy).describe()


def test_is_built_by_name():
    options = {"depolarising": 0.1, "trajectories": 5, "seed": 2, "simulator": "statevector"}
    backend = build_backend("trajectories", options)
    assert isinstance(backend, TrajectoryBackend)
    assert str(backend) == "trajectories with depolarising 0.1, 5 of seed 2"
    with pytest.raises(ConfigurationError, match="option of the backend trajectories: 'shots'"):
        build_backend("trajectories", {"shots": 5})
    with pytest.raises(ConfigurationError, match="Unknown backend 'trajectories:mps'"):
        build_backend("trajectories:mps")


def test_what_it_offers():
    able = TrajectoryBackend().capabilities
    assert (able.log_prob, able.expectation, able.probability_bits) == (False, True, 24)
    able = TrajectoryBackend(simulator="mps").capabilities
    assert (able.log_prob, able.expectation, able.probability_bits) == (False, False, 0)


@pytest.mark.parametrize("bad", [-0.1, 1.01, np.nan, True, "0.1", None])
def test_strengths_are_probabilities(bad):
    for depolarising in (bad, {"two": bad}):
        with pytest.raises(ConfigurationError, match="depolarising must be a probability from 0"):
            TrajectoryBackend(depolarising=depolarising)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depolarising": {"too": 0.1}}, "Unknown kind of gate in depolarising 'too'"),
        ({"trajectories": 0}, "trajectories must be a whole number of at least 1; got 0"),
        ({"trajectories": 1.5}, "trajectories must be a whole number of at least 1; got 1.5"),
        ({"trajectories": True}, "trajectories must be a whole number of at least 1; got True"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        ({"simulator": "aer"}, r"Unknown simulator of trajectories 'aer'\. .*Known: mps, statev"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigurationError, match=message):
        TrajectoryBackend(**options)


def test_matrix_products_only_sample():
    circuit = Product().build(36)
    backend = TrajectoryBackend(depolarising=0.1, simulator="mps")
    executable = backend.compile(circuit)
    angles = np.zeros((1, 1, 36))
    for refused in (
        lambda: executable.at(angles).probabilities(),
        lambda: executable.at(angles).expectation(COSTS),
        lambda: executable.at(angles).expectations(COSTS),
    ):
        with pytest.raises(ConfigurationError, match=r"only samples.* take the simulator statevec"):
            refused()
    net = generator(backend)
    with pytest.raises(ConfigurationError, match="All 2\\^4 probabilities"):
        net.probabilities()
    with pytest.raises(ConfigurationError, match="has no log p"):
        net.log_prob(np.zeros((2, 1, 1, N), np.uint8))


@pytest.mark.parametrize("shape", [(1, 9), (1, 1, 1), (1, 0, 9), (0, 1, 9)])
def test_angles_that_do_not_fit(shape):
    gates = tuple(Gate("ry", (q % N,), q) for q in range(9))
    executable = TrajectoryBackend(depolarising=0.1).compile(Circuit(N, gates))
    angles = np.zeros(shape)
    for use in (
        lambda: executable.at(angles).sample(1, Streams([0])(0)),
        lambda: executable.at(angles).probabilities(),
        lambda: executable.at(angles).expectation(COSTS),
    ):
        with pytest.raises(ConfigurationError, match=r"expected finite angles \[replica, row, 9\]"):
            use()
    with pytest.raises(ConfigurationError, match="shots must be at least 1; got 0"):
        executable.at(np.zeros((1, 1, 9))).sample(0, Streams([0])(0))
    with pytest.raises(ConfigurationError, match="Got 2 random generators for 1 replicas"):
        executable.at(np.zeros((1, 1, 9))).sample(1, Streams([0, 1])(0))


def test_a_circuit_too_large_for_the_simulator_is_told_of_the_other_one():
    backend = TrajectoryBackend(depolarising=0.01)
    message = r"40 qubits does not fit the simulator 'statevector'.*Use simulator='mps'"
    with pytest.raises(ConfigurationError, match=message):
        backend.compile(Brickwork(2).build(40))
