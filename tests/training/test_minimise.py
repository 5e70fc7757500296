"""Exact minima against closed forms, tables and a plain simulation of the circuit."""

import numpy as np
import pytest
import scipy.optimize
import torch

from classical.bernoulli import Bernoulli
from classical.conditional import ConditionalBernoulli
from classical.mlp import MLP
from qhyper.bits import all_bitstrings
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.hypernetwork import Capabilities, build_generator
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, Risk
from qhyper.targets.exact.table import CostTable, tabulate
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.training.minimise import Minima, minimise

RISKS = [Expectation(), CVaR(0.3), FreeEnergy(0.5), MMD(2.0, 0.4)]
LINEAR = np.array([0.7, -0.4, 0.1, -1.2, 0.3])
"""c of the cost 2 + Σ c_i z_i."""


def linear_table():
    z = 2.0 * all_bitstrings(len(LINEAR)) - 1
    return CostTable(2 + z @ LINEAR)


def random_table(n_bits, seed=0):
    return CostTable(np.random.default_rng(seed).normal(size=2**n_bits))


def circuit(n_bits, ansatz, seeds, backend="statevector", **options):
    return QuantumHyperNetwork(
        n_bits, ansatz=ansatz, start="uniform", seeds=seeds, backend=backend, **options
    )


FACTORISED = {
    "product": lambda seeds: circuit(len(LINEAR), Product(), seeds),
    "bernoulli": lambda seeds: Bernoulli(len(LINEAR), seeds=seeds),
}


def values_of(generator, objective, risk):
    """The exact risk at the parameters that the generator holds, [replica]."""
    return Exact()(generator, objective, risk).value


def parameters_of(generator):
    return [p.detach().clone() for p in generator.parameters()]


# -- known minima -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FACTORISED)
def test_a_linear_cost_has_its_known_minimum(name):
    """min E[c] = 2 - Σ |c_i|: every bit takes the sign of -c_i."""
    generator = FACTORISED[name]((0, 1, 2))
    minima = minimise(generator, linear_table())
    np.testing.assert_allclose(minima.value, 2 - np.abs(LINEAR).sum(), rtol=0, atol=1e-7)
    p = generator.probabilities().detach().numpy()[:, 0]
    found = all_bitstrings(len(LINEAR))[p.argmax(axis=1)]
    np.testing.assert_array_equal(found, np.tile(LINEAR < 0, (3, 1)))
    assert minima.converged.all()


@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("name", FACTORISED)
def test_the_free_energy_of_a_linear_cost_has_its_known_minimum(name, temperature):
    """min F = -T log Z = 2 - T Σ log(2 cosh(c_i / T)), at the posterior, which factorises."""
    generator = FACTORISED[name]((0, 1))
    minima = minimise(generator, linear_table(), FreeEnergy(temperature))
    expected = 2 - temperature * np.log(2 * np.cosh(LINEAR / temperature)).sum()
    np.testing.assert_allclose(minima.value, expected, rtol=0, atol=1e-8)
    p = generator.probabilities().detach().numpy()[0, 0]
    marginals = p @ all_bitstrings(len(LINEAR))
    posterior = 1 / (1 + np.exp(2 * LINEAR / temperature))
    np.testing.assert_allclose(marginals, posterior, rtol=0, atol=1e-4)


def test_restarts_find_the_minimum_of_a_network():
    """A circuit holds every bitstring, so the least risk is the least loss."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    network = BinaryNetwork((2, 2, 1))
    table = tabulate(network.objective(Samples(x, (x.sum(axis=1) > 0).astype(int))))
    minima = minimise(circuit(table.n_bits, Brickwork(2), range(10)), table)
    assert minima.value.min() >= table.minimum - 1e-12
    assert minima.value[minima.best] == minima.value.min()
    assert minima.value.min() == pytest.approx(table.minimum, abs=1e-6)
    assert len(minima.messages) == 10


# -- against a plain simulation ---------------------------------------------------------------


PAULI = {"ry": np.array([[0, -1j], [1j, 0]]), "rz": np.diag([1.0, -1.0])}


def plain_probabilities(gates, n_bits, theta):
    """|state|² of the gates, by matrices on all of the state; bit 0 changes fastest."""
    state = np.zeros([2] * n_bits, dtype=complex)
    state[(0,) * n_bits] = 1.0  # axis q is qubit q
    for gate in gates:
        if gate.name in PAULI:
            (q,) = gate.qubits
            half = theta[gate.angle] / 2
            rotation = np.cos(half) * np.eye(2) - 1j * np.sin(half) * PAULI[gate.name]
            state = np.moveaxis(np.tensordot(rotation, state, (1, q)), 0, q)
        else:
            assert gate.name == "cx"
            control, target = gate.qubits
            flipped = np.flip(state, target)
            on = np.arange(2).reshape([2 if q == control else 1 for q in range(n_bits)])
            state = np.where(on == 1, flipped, state)
    return (np.abs(state) ** 2).T.ravel()


@pytest.fixture(scope="module")
def by_plain_scipy():
    """(table, risk of parameters, start, the risk that plain SciPy ends with), for seed 5."""
    table, one = random_table(4), circuit(4, Brickwork(2), (5,))
    gates, start = one.circuit.gates, one.theta.detach().numpy()[0].copy()

    def risk(theta):
        return plain_probabilities(gates, 4, theta) @ table.losses

    found = scipy.optimize.minimize(risk, start, method="L-BFGS-B", options={"ftol": 1e-10})
    return table, risk, start, found.fun


@pytest.mark.parametrize("backend", ["mps", "statevector", "pennylane:default.qubit"])
def test_equals_plain_scipy_with_finite_differences(by_plain_scipy, backend):
    table, risk, start, expected = by_plain_scipy
    generator = circuit(4, Brickwork(2), (4, 5), backend)
    minima = minimise(generator, table)
    assert minima.before[1] == pytest.approx(risk(start), abs=1e-12)
    assert minima.value[1] == pytest.approx(expected, abs=1e-6)
    held = generator.theta.detach().numpy()
    for replica in range(2):
        assert minima.value[replica] == pytest.approx(risk(held[replica]), abs=1e-12)


# -- what every generator and risk is owed ----------------------------------------------------

NAMES = ["bernoulli", "mlp", "autoregressive", "categorical", "product", "quantum-depth2"]


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: type(risk).__name__)
@pytest.mark.parametrize("name", NAMES)
def test_replicas_are_minimised_alone_and_never_rise(name, risk):
    space, table = BinaryNetwork((2, 1, 2)).space, random_table(4)
    generator = build_generator(name, 4, seeds=(3, 4, 5), layout=space.layout)
    alone, before = generator.replica(2), values_of(generator, table, risk)
    reported = []
    minima = minimise(
        generator, table, risk, max_iterations=25, on_replica=lambda *end: reported.append(end)
    )
    np.testing.assert_allclose(minima.before, before, rtol=0, atol=1e-12)
    assert (minima.value < minima.before).all()
    held = values_of(generator, table, risk)
    np.testing.assert_allclose(minima.value, held, rtol=0, atol=1e-12)
    assert reported == list(enumerate(minima.value))
    assert minima.evaluations.min() > 1
    by_itself = minimise(alone, table, risk, max_iterations=25)
    assert by_itself.value[0] == minima.value[2]
    for one, all_of in zip(alone.parameters(), generator.parameters(), strict=True):
        assert torch.equal(one[0], all_of[2])


def test_a_qubit_order_changes_nothing_but_the_bits():
    """The table in another order of the bits, for a circuit in that order, is the same problem."""
    table, order = random_table(4), [2, 0, 3, 1]
    strings = all_bitstrings(4)
    carried = np.empty_like(strings)
    carried[:, order] = strings  # qubit q carries bit order[q]
    by_qubit = CostTable(table(carried))
    ordered = circuit(4, Brickwork(1), (7,), order=order)
    plain = circuit(4, Brickwork(1), (7,))
    one, other = minimise(ordered, table), minimise(plain, by_qubit)
    np.testing.assert_allclose(one.value, other.value, rtol=0, atol=1e-12)


def test_the_best_replica_and_the_objective_of_any_callable():
    table = random_table(3)
    generator, again = (circuit(3, Product(), range(6)) for _ in range(2))
    minima = minimise(generator, table)
    other = minimise(again, lambda bits: table.losses[bits @ np.array([1, 2, 4])])
    np.testing.assert_array_equal(other.value, minima.value)
    assert isinstance(minima, Minima)
    assert minima.best == np.argmin(minima.value)
    assert table.evaluations == 8


def test_a_generator_holds_what_was_found_and_not_what_was_tried_last(monkeypatch):
    """As after a line search that failed: the parameters tried last were no better."""
    found = scipy.optimize.minimize

    def and_one_more(function, start, **options):
        result = found(function, start, **options)
        function(result.x + 0.3)
        return result

    monkeypatch.setattr(scipy.optimize, "minimize", and_one_more)
    generator, table = Bernoulli(3, seeds=(1, 2)), random_table(3)
    minima = minimise(generator, table, FreeEnergy(0.5))
    held = values_of(generator, table, FreeEnergy(0.5))
    np.testing.assert_allclose(held, minima.value, rtol=0, atol=1e-12)


def test_a_limit_of_iterations_is_not_convergence():
    generator = circuit(4, HardwareEfficient(2), (0,))
    short = minimise(generator, random_table(4), max_iterations=1)
    assert not short.converged[0]
    assert "ITERATIONS" in short.messages[0]
    assert minimise(generator, random_table(4)).converged[0]


def test_a_tighter_tolerance_goes_further():
    tables = [minimise(circuit(4, Brickwork(2), (1,)), random_table(4), tolerance=tolerance)
              for tolerance in (1e-3, 1e-10)]  # fmt: skip
    assert tables[0].evaluations[0] < tables[1].evaluations[0]
    assert tables[0].value[0] > tables[1].value[0]


def test_parameters_that_are_not_trained_stay():
    generator = MLP(3, seeds=(1, 2), latent_bits=2, hidden=3)
    generator.W1.requires_grad_(False)
    before = generator.W1.clone()
    minima = minimise(generator, random_table(3))
    assert torch.equal(generator.W1, before)
    assert not generator.W1.requires_grad
    assert (minima.value < minima.before).all()


def test_an_interrupt_leaves_the_replicas_finished_so_far():
    table = random_table(4)
    generator, whole = (circuit(4, Brickwork(1), (1, 2, 3)) for _ in range(2))
    start = generator.theta.detach().clone()
    minimise(whole, table)

    def stop(replica, value):
        if replica == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimise(generator, table, on_replica=stop)
    assert torch.equal(generator.theta[:2], whole.theta[:2])
    assert torch.equal(generator.theta[2], start[2])


# -- refusals ---------------------------------------------------------------------------------


def refuses(message, *args, **options):
    with pytest.raises(ConfigurationError, match=message):
        minimise(*args, **options)


def test_generators_without_exact_probabilities_are_refused():
    refuses(r"needs all 2\^21 probabilities", Bernoulli(21), random_table(2))
    sampled = Bernoulli(3)
    sampled.capabilities = Capabilities()
    refuses("does not give them", sampled, random_table(3))
    refuses("needs log p", sampled, random_table(3), FreeEnergy(1.0))
    refuses("depends on inputs of 2 features", ConditionalBernoulli(3, n_inputs=2), random_table(3))


def test_a_network_is_no_objective():
    network = BinaryNetwork((1, 2, 1))
    refuses("Got BinaryNetwork as the objective; expected losses of bits", Bernoulli(4), network)


def test_risks_that_are_not_one_number_are_refused():
    class Sampled(Risk):
        def costs(self, drawn, reference):
            return drawn.losses

    table = random_table(3)
    refuses("has a schedule, .* such as risk.at", Bernoulli(3), table, FreeEnergy(1.0, 0.1))
    refuses("The risk Sampled has no exact value", Bernoulli(3), table, Sampled())
    refuses("expects an instance", Bernoulli(3), table, Expectation)
    minimise(Bernoulli(3), table, FreeEnergy(1.0, 0.1).at(1))


def test_limits_without_sense_are_refused():
    generator, table = Bernoulli(3), random_table(3)
    before = parameters_of(generator)
    refuses("max_iterations must be at least 1; got 0", generator, table, max_iterations=0)
    refuses("max_iterations must be a whole number", generator, table, max_iterations=1.5)
    for tolerance in (0.0, 1.0, -1e-3, float("nan")):
        refuses("tolerance is a share of the risk", generator, table, tolerance=tolerance)
    assert torch.equal(generator.logits, before[0])


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: type(risk).__name__)
@pytest.mark.parametrize("name", FACTORISED)
def test_numbers_that_are_not_finite_are_refused(name, risk):
    generator = FACTORISED[name]((1, 2))
    with torch.no_grad():
        next(generator.parameters())[1, 0] = float("nan")
    refuses("with seed 2; expected finite numbers", generator, linear_table(), risk)
    refuses("not a finite number", generator, lambda bits: np.full(bits.shape[:-1], np.nan), risk)


def test_an_objective_of_other_bits_is_refused():
    refuses("Got bitstrings of 3 bits, expected 4", Bernoulli(3), random_table(4))
