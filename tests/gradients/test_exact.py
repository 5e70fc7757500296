"""The exact gradient against finite differences of the plainly written risk, and closed forms."""

import numpy as np
import pytest
import torch

import qhyper.gradients.exact
from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.mlp import MLP
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy
from qhyper.spending import Spending
from qhyper.targets.objective import Objective

N = 4
STRINGS = all_bitstrings(N)
TABLE = np.random.default_rng(1).normal(size=2**N) + 2
DIFFERING = (STRINGS[:, None] != STRINGS[None]).sum(-1)

EXACT = ("mps", "statevector", "pennylane:lightning.qubit", "pennylane:default.qubit")
RISKS = [Expectation(), CVaR(0.3), FreeEnergy(0.5), MMD(2.0, 0.4)]

TIED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({0: 1.0, 1: 0.5 * q})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        *(Gate("rx", (q,), Angle({0: -2.0, 2: 1.0}, offset=0.3)) for q in range(N)),
        Gate("cz", (0, 3)),
        *(Gate("ry", (q,), Angle(offset=0.4 * q)) for q in range(N)),
    ),
)
ENCODED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({q: 1.0}, {q % 2: 0.7})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        *(Gate("rx", (q,), Angle({q: 0.5, N + q: 1.0}, {1: -1.0}, 0.2)) for q in range(N)),
    ),
)
INPUTS = [[0.3, -1.0], [1.2, 0.4], [-0.5, 0.0]]


def circuit(ansatz, seeds, **options):
    return QuantumHyperNetwork(N, ansatz=ansatz, start="uniform", seeds=seeds, **options)


MAKERS = {
    "mps": lambda seeds: circuit(Brickwork(2), seeds, backend="mps"),
    "order": lambda seeds: circuit(Brickwork(2), seeds, order=[2, 0, 3, 1], backend="mps"),
    "statevector": lambda seeds: circuit(
        HardwareEfficient(1, "ring", rotations=("ry", "rx")),
        seeds,
        order=[2, 0, 3, 1],
        backend="statevector",
    ),
    "lightning": lambda seeds: circuit(
        HardwareEfficient(1, "ring", rotations=("ry", "rx")),
        seeds,
        order=[2, 0, 3, 1],
        backend="pennylane:lightning.qubit",
    ),
    "default.qubit": lambda seeds: circuit(
        Brickwork(1), seeds, order=[1, 2, 3, 0], backend="pennylane:default.qubit"
    ),
    "tied": lambda seeds: circuit(TIED, seeds),
    "bernoulli": lambda seeds: Bernoulli(N, seeds=seeds),
    "mlp": lambda seeds: MLP(N, seeds=seeds, latent_bits=2, hidden=2),
    "autoregressive": lambda seeds: Autoregressive(N, seeds=seeds, hidden=2),
}


def table_objective():
    return Objective(lambda bits: TABLE[bits.astype(int) @ (1 << np.arange(N))], N)


def plain(risk, q):
    """The risk of a distribution [2^N], as it is defined."""
    if isinstance(risk, CVaR):
        left, total = risk.alpha, 0.0
        for k in np.argsort(TABLE):
            total += min(q[k], left) * TABLE[k]
            left -= min(q[k], left)
        return total / risk.alpha
    value = q @ TABLE
    if isinstance(risk, FreeEnergy):
        value += risk.temperature * q @ np.log(q)
    if isinstance(risk, MMD):
        off = q - 1 / len(q)
        value += risk.weight * off @ risk.kappa**DIFFERING @ off
    return value


def plain_values(generator, risk, inputs=None):
    """[replica], the mean over the inputs."""
    with torch.no_grad():
        p = generator.probabilities(inputs=inputs).numpy()
    return np.array([np.mean([plain(risk, q) for q in own]) for own in p])


def differences(generator, risk, inputs=None, step=1e-5):
    """The gradient [replica, parameter], by central differences."""
    columns = []
    for parameter in generator.parameters():
        flat = parameter.data.reshape(generator.replicas, -1)
        for column in range(flat.shape[1]):
            ends = []
            for change in (step, -2 * step, step):  # the last one goes back
                flat[:, column] += change
                ends.append(plain_values(generator, risk, inputs))
            columns.append((ends[0] - ends[1]) / (2 * step))
    return np.stack(columns, axis=1)


def gradient(generator):
    """[replica, parameter]"""
    grads = [p.grad.reshape(generator.replicas, -1) for p in generator.parameters()]
    return torch.cat(grads, dim=1).numpy().copy()


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: type(risk).__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_is_the_derivative_of_the_risk(name, risk):
    generator = MAKERS[name]((3, 4))
    expected = differences(generator, risk)
    got = Exact()(generator, table_objective(), risk)
    np.testing.assert_allclose(gradient(generator), expected, rtol=0, atol=1e-7)
    np.testing.assert_allclose(got.value, plain_values(generator, risk), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(got.standard_error, [0, 0])
    means = plain_values(generator, Expectation())
    np.testing.assert_allclose(got.mean_loss, means, rtol=0, atol=1e-10)


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: type(risk).__name__)
@pytest.mark.parametrize("backend", ["mps", "statevector", "pennylane:lightning.qubit"])
def test_is_the_derivative_of_the_mean_over_inputs(backend, risk):
    generator = circuit(ENCODED, (3, 4), backend=backend)
    expected = differences(generator, risk, INPUTS)
    got = Exact()(generator, table_objective(), risk, inputs=INPUTS)
    np.testing.assert_allclose(gradient(generator), expected, rtol=0, atol=1e-7)
    np.testing.assert_allclose(got.value, plain_values(generator, risk, INPUTS), rtol=0, atol=1e-10)
    assert got.spent == Spending(evaluations=2**N, circuits=3)
    # own inputs for each replica
    own = np.stack([INPUTS, INPUTS[::-1]]) * [[[1.0]], [[0.5]]]
    generator.zero_grad()
    Exact()(generator, table_objective(), risk, inputs=own)
    expected = differences(generator, risk, own)
    np.testing.assert_allclose(gradient(generator), expected, rtol=0, atol=1e-7)


def test_closed_forms_of_a_product_of_bits():
    """Ry(a) on |0> measures 1 with p = sin²(a/2); the loss is linear in the bits."""
    weights = np.array([0.5, -1.0, 2.0, 0.3])
    objective = Objective(lambda bits: bits @ weights, N)
    angles = np.array([0.4, 1.0, 2.2, -0.7])
    p, slope = np.sin(angles / 2) ** 2, np.sin(angles) / 2
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).sum()
    kernel = p**2 + (1 - p) ** 2 + 2 * 0.4 * p * (1 - p)  # of each bit
    kernel_slope = kernel.prod() / kernel * (4 * p - 2) * (1 - 0.4) * slope
    expected = {
        Expectation(): (weights @ p, weights * slope),
        FreeEnergy(0.5): (
            weights @ p - 0.5 * entropy,
            (weights + 0.5 * np.log(p / (1 - p))) * slope,
        ),
        MMD(2.0, 0.4): (
            weights @ p + 2 * (kernel.prod() - 0.7**N),
            weights * slope + 2 * kernel_slope,
        ),
    }
    for risk, (value, slopes) in expected.items():
        generator = QuantumHyperNetwork(N, ansatz=Product(), start=angles.tolist())
        got = Exact()(generator, objective, risk)
        assert got.value == pytest.approx(value, abs=1e-12)
        np.testing.assert_allclose(gradient(generator)[0], slopes, rtol=0, atol=1e-12)


def test_is_the_same_on_every_exact_backend():
    found = []
    for backend in EXACT:
        generator = circuit(Brickwork(2), (5,), order=[3, 1, 0, 2], backend=backend)
        Exact()(generator, table_objective(), MMD(2.0, 0.4))
        found.append(gradient(generator))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-10)


def test_adds_to_the_gradient_and_needs_no_randomness():
    generator, exact, objective = MAKERS["mps"]((0,)), Exact(), table_objective()
    exact(generator, objective, FreeEnergy(0.5))
    once = gradient(generator)
    exact(generator, objective, FreeEnergy(0.5), rng=[])
    np.testing.assert_allclose(gradient(generator), 2 * once, rtol=1e-12)


def test_every_string_is_evaluated_once_for_an_objective():
    generator, exact = MAKERS["bernoulli"]((0, 1)), Exact()
    objective, other = table_objective(), Objective(lambda bits: bits.sum(axis=1), N)
    first = exact(generator, objective, Expectation())
    assert first.spent == Spending(evaluations=16, circuits=1)
    assert (first.draw, first.losses) == (None, None)
    assert objective.evaluations == 16
    later = exact(generator, objective, CVaR(0.5))
    assert (later.spent, later.draw, later.losses) == (Spending(circuits=1), None, None)
    assert exact.cost(generator, Expectation()) == Spending(circuits=1)
    of_other = exact(generator, other, Expectation())
    assert of_other.spent.evaluations == other.evaluations == 16
    with torch.no_grad():
        ones = generator.probabilities().numpy()[:, 0] @ STRINGS.sum(axis=1)
    np.testing.assert_allclose(of_other.value, ones)


def test_one_table_is_kept_and_belongs_to_its_objective():
    exact, one, other = Exact(), table_objective(), table_objective()
    generator = MAKERS["bernoulli"]((0,))
    spent = [exact(generator, o, Expectation()).spent.evaluations for o in (one, one, other, one)]
    assert spent == [2**N, 0, 2**N, 2**N]


def test_a_callable_of_any_number_of_bits_has_a_table_for_each():
    def ones(bits):
        return bits.sum(axis=-1)

    exact = Exact()
    for n_bits in (3, 4, 3):
        generator = Bernoulli(n_bits)
        got = exact(generator, ones, Expectation())
        assert got.spent.evaluations == 2**n_bits
        expected = torch.sigmoid(generator.logits).sum().item()
        assert got.value == pytest.approx(expected, rel=1e-12)


def test_what_was_paid_for_once_is_made_ready_again_without_cost():
    exact, generator, objective = Exact(), MAKERS["bernoulli"]((0,)), table_objective()
    exact.resume(generator, objective)
    assert exact(generator, objective, Expectation()).spent == Spending(circuits=1)


def test_tables_are_made_in_chunks(monkeypatch):
    monkeypatch.setattr(qhyper.gradients.exact, "_CHUNK", 5)
    sizes = []

    def losses(bits):
        sizes.append(len(bits))
        return TABLE[bits.astype(int) @ (1 << np.arange(N))]

    table, fresh = Exact().table(Objective(losses, N), N)
    assert (sizes, fresh) == ([5, 5, 5, 1], True)
    np.testing.assert_array_equal(table, TABLE)


def test_a_risk_of_ones_own_that_changes_a_declared_one_is_taken_at_its_word():
    class Doubled(Expectation):
        def exact(self, probabilities, losses):
            value, costs = super().exact(probabilities, losses)
            return 2 * value, 2 * costs

    generator = MAKERS["bernoulli"]((0,))
    once = Exact()(generator, table_objective(), Expectation())
    before = gradient(generator)
    twice = Exact()(generator, table_objective(), Doubled())
    np.testing.assert_allclose(gradient(generator), 3 * before, rtol=1e-12)
    np.testing.assert_allclose(twice.value, 2 * once.value)


# -- refusals --------------------------------------------------------------------------------------


def refused(generator, message, risk=None, **options):
    objective = Objective(lambda bits: bits.sum(axis=1), generator.n_bits)
    with pytest.raises(ConfigurationError, match=message):
        Exact()(generator, objective, risk or Expectation(), **options)
    return objective.evaluations


def test_more_bits_than_a_generator_gives_are_refused_before_anything_is_spent():
    bernoulli = Bernoulli(21)
    message = r"all 2\^21 probabilities .* gives them up to 20 bits. For circuits of up to 24"
    assert refused(bernoulli, message) == 0
    wide = QuantumHyperNetwork(21, ansatz=Product(), backend="mps")
    assert refused(wide, message) == 0


@pytest.mark.parametrize("backend", ["aer:statevector", "pennylane:default.mixed"])
def test_a_backend_for_sampling_is_refused(backend):
    sampled = circuit(Brickwork(1), (0,), backend=backend)
    assert (
        refused(
            sampled,
            rf"all 2\^4 probabilities and their derivatives, and .*on {backend} does not give them",
        )
        == 0
    )
    message = "The risk FreeEnergy needs log p, .* has none: .* Use the risk MMD"
    assert refused(sampled, message, risk=FreeEnergy(1.0)) == 0


class OfProbabilities(HyperNetwork):
    """All strings by softmax: probabilities of up to 6 bits, and no log p."""

    capabilities = Capabilities(probability_bits=6)

    def __init__(self, n_bits, *, seeds=(0,)):
        super().__init__(n_bits, seeds=seeds)
        self.logits = torch.nn.Parameter(torch.zeros(len(seeds), 2**n_bits).double())
        self.initialise()

    def _initialise(self, rng):
        rows = [stream.normal(size=2**self.n_bits) for stream in rng]
        self.logits.copy_(torch.from_numpy(np.stack(rows)))

    def _sample(self, shots, rng, inputs):
        raise NotImplementedError

    def _probabilities(self, inputs):
        return self.logits.softmax(-1)[:, None]


@pytest.mark.parametrize("risk", [Expectation(), CVaR(0.3), MMD()], ids=lambda r: type(r).__name__)
def test_probabilities_alone_are_enough(risk):
    generator = OfProbabilities(N, seeds=(1, 2))
    expected = differences(generator, risk)
    Exact()(generator, table_objective(), risk)
    np.testing.assert_allclose(gradient(generator), expected, rtol=0, atol=1e-7)
    assert refused(OfProbabilities(7), "gives them up to 6 bits") == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "depends on inputs of 2 features; got none"),
        ([0.3, -1.0], r"Got inputs of shape \(2,\); expected \[input, 2\]"),
        (0.3, r"Got inputs of shape \(\)"),
        ([[0.3]], r"Got inputs of shape \(1, 1, 1\)"),
        ([[0.3, np.nan]], "Inputs must be finite"),
    ],
)
@pytest.mark.parametrize("risk", [Expectation(), MMD()], ids=lambda risk: type(risk).__name__)
def test_inputs_that_do_not_fit_are_refused(risk, inputs, message):
    refused(circuit(ENCODED, (0,)), message, risk=risk, inputs=inputs)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_refused(bad):
    def spoiled(bits):
        losses = TABLE[bits.astype(int) @ (1 << np.arange(N))].copy()
        losses[7] = bad
        return losses

    with pytest.raises(ConfigurationError, match="gave a loss that is not a finite number"):
        Exact()(MAKERS["bernoulli"]((0,)), spoiled, Expectation())


def test_inputs_are_refused_by_the_unconditional():
    refused(MAKERS["mps"]((0,)), "it takes no inputs", inputs=INPUTS)


def test_a_risk_that_is_not_declared_is_refused():
    class Own:
        needs_log_prob, needs_reference, min_shots = False, False, 1

    message = "which it does not support; it supports Expectation, CVaR"
    assert refused(MAKERS["mps"]((0,)), message, risk=Own()) == 0
