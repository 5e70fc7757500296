"""Local expectation against the exact gradient and the mean-field one, by enumeration."""

import numpy as np
import pytest
import torch

from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.conditional import ConditionalBernoulli
from classical.mlp import MLP
from qhyper.bits import all_bitstrings
from qhyper.compose.chunked import Chunked
from qhyper.compose.joined import Joined
from qhyper.compose.ordered import Ordered
from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.gradients.local_expectation import LocalExpectation
from qhyper.hypernetwork import Draw, HyperNetwork, build_generator
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.registry import names
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy
from qhyper.spending import Spending
from qhyper.streams import Streams
from qhyper.targets.exact.table import CostTable
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.objective import Objective

LAYOUT = BinaryNetwork((2, 3, 2)).layout
N = LAYOUT.n_bits  # 12
STRINGS = all_bitstrings(N)
SEEDS = (11, 12)
TABLE = np.random.default_rng(1).normal(size=2**N) + 2
INPUTS = [[0.3, -1.0], [1.2, 0.4], [-0.6, 0.1]]

TURNED = Circuit(
    N,
    (
        *(Gate("ry", (q,), q) for q in range(N)),
        *(
            Gate("ry", (q,), Angle({q: 0.5, (q + 1) % N: -1.0}, {q % 2: 0.7}, 0.1 * q))
            for q in range(N)
        ),
        Gate("ry", (3,), 5),
    ),
)  # fmt: skip
"""Ry alone, several on a qubit, with tied parameters and inputs: no entanglement."""


def conditional(seeds, n_bits=N, n_inputs=2):
    return ConditionalBernoulli(n_bits, n_inputs=n_inputs, hidden=3, seeds=seeds)


def by_name(name):
    # nothing larger than a bit cuts this layout, and what entangles has to be told so
    options = {"chunk": 1} if name == "static-entangled" else {}
    return lambda seeds: build_generator(name, N, seeds=seeds, layout=LAYOUT, options=options)


def nested(seeds):
    inside = Joined([Chunked(conditional(seeds, 3), 3), Bernoulli(3, seeds=seeds)])
    return Ordered(inside, "unit", layout=LAYOUT)


def of_blocks(seeds):
    """Parts of named blocks, which lie neither in their order nor in its inverse."""
    layout = BinaryNetwork(WeightSpace((2, 2, 2), biases=True)).layout
    parts = {
        ("0.bias", "1.weight"): Bernoulli(6, seeds=seeds),
        "1.bias": Bernoulli(2, seeds=seeds),
        "0.weight": Bernoulli(4, seeds=seeds),
    }
    return Joined(parts, layout=layout)


INDEPENDENT = {
    "bernoulli": by_name("bernoulli"),
    "tied-bernoulli": lambda seeds: build_generator(
        "tied-bernoulli", N, seeds=seeds, layout=LAYOUT, options={"image": (1, 2), "basis": (1, 1)}
    ),
    "conditional": conditional,
    "product": by_name("product"),
    "product in another order": lambda seeds: QuantumHyperNetwork(
        N, ansatz=Product(), order=[*range(5, N), *range(5)], start="uniform", seeds=seeds
    ),
    "own circuit of Ry that sees inputs": lambda seeds: QuantumHyperNetwork(
        N, ansatz=TURNED, start="uniform", order=[*range(5, N), *range(5)], seeds=seeds
    ),
    "chunked": lambda seeds: Chunked(conditional(seeds, 4), 3),
    "joined with inputs": lambda seeds: Joined([conditional(seeds, 5), conditional(seeds, 7)]),
    "joined by blocks": of_blocks,
    "ordered joined chunked": nested,
}
DEPENDENT = {
    "categorical": by_name("categorical"),
    "mlp": by_name("mlp"),
    "autoregressive": by_name("autoregressive"),
    "quantum-depth2": by_name("quantum-depth2"),
    "joined": lambda seeds: Joined([Autoregressive(6, seeds=seeds), Bernoulli(6, seeds=seeds)]),
    "chunked": by_name("chunked"),
}


def moved(generator, scale=0.7):
    """Well away from the start, each replica by its own seed."""
    with torch.no_grad():
        for parameter in generator.trained_parameters:
            for values, seed in zip(parameter, generator.seeds, strict=True):
                rng = np.random.default_rng([seed, values.numel()])
                values += torch.from_numpy(rng.normal(0, scale, values.shape))
    return generator


def inputs_of(generator):
    return INPUTS if generator.n_inputs else None


def flat_gradient(generator):
    """[replica, parameter]"""
    grads = [p.grad.reshape(generator.replicas, -1) for p in generator.trained_parameters]
    return torch.cat(grads, dim=1).numpy().copy()


def gradient(estimator, generator, objective, risk=None, step=0):
    generator.zero_grad()
    estimator(
        generator, objective, risk or Expectation(), rng=Streams(generator.seeds)(step),
        inputs=inputs_of(generator),
    )  # fmt: skip
    return flat_gradient(generator)


class Weighted(CostTable):
    """The table's losses and flips times 2^n p: their mean over all strings is that under p."""

    def __init__(self, generator):
        super().__init__(TABLE)
        with torch.no_grad():
            p = generator.probabilities(inputs=inputs_of(generator)).numpy()
        self.weights = p * 2**N

    def flips(self, bits):
        losses, differences = super().flips(bits)
        return losses * self.weights, differences * self.weights[..., None]


def over_all_strings(generator, monkeypatch, risk):
    """The estimate whose draws are all strings, each with the weight that it has under p."""
    n_inputs = len(INPUTS) if generator.n_inputs else 1
    every = np.broadcast_to(STRINGS, (generator.replicas, n_inputs, *STRINGS.shape))
    monkeypatch.setattr(generator, "sample", lambda shots, **_: Draw(every[:, :, :shots].copy()))
    return gradient(LocalExpectation(2**N), generator, Weighted(generator), risk)


# -- independent bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("risk", [Expectation(), FreeEnergy(0.4)], ids=["mean", "free energy"])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_the_mean_over_all_draws_is_the_exact_gradient(name, risk, monkeypatch):
    generator = moved(INDEPENDENT[name](SEEDS))
    assert generator.capabilities.independent
    expected = gradient(Exact(), generator, CostTable(TABLE), risk)
    found = over_all_strings(generator, monkeypatch, risk)
    assert abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("risk", [Expectation(), FreeEnergy(0.4)], ids=["mean", "free energy"])
@pytest.mark.parametrize("name", ["bernoulli", "conditional", "product"])
def test_sampled_it_is_unbiased(name, risk):
    # Seeds 0 to 299 with the same parameters, 3 shots: the mean of 300 estimates is within 5
    # standard errors of the exact gradient for each of some 12 to 60 parameters.
    one, many = moved(INDEPENDENT[name]((5,))), INDEPENDENT[name](range(300))
    for own, all_of in zip(one.parameters(), many.parameters(), strict=True):
        all_of.data[:] = own.data
    expected = gradient(Exact(), one, CostTable(TABLE), risk)
    found = gradient(LocalExpectation(3), many, CostTable(TABLE), risk)
    error = found.std(axis=0, ddof=1) / np.sqrt(300)
    assert (abs(found.mean(axis=0) - expected[0]) <= 5 * error).all()
    assert LocalExpectation.bias_for(one) == LocalExpectation.bias[type(risk)] == "unbiased"


def test_what_is_measured_besides_is_of_the_same_draws():
    generator, objective, risk = moved(conditional(SEEDS)), CostTable(TABLE), FreeEnergy(0.4)
    estimator = LocalExpectation(5)
    got = estimator(generator, objective, risk, rng=Streams(SEEDS)(0), inputs=INPUTS)
    assert got.draw.bits.shape == (2, 3, 5, N)
    np.testing.assert_array_equal(got.losses, TABLE[got.draw.bits @ (1 << np.arange(N))])
    np.testing.assert_allclose(got.mean_loss, got.losses.mean((1, 2)), rtol=1e-14)
    log_p = generator.log_prob(got.draw.bits, inputs=INPUTS).detach().numpy()
    np.testing.assert_allclose(got.value, (got.losses + 0.4 * log_p).mean((1, 2)), rtol=1e-12)
    assert got.spent == estimator.cost(generator, risk, n_inputs=3, objective=objective)
    assert got.spent == Spending(3 * 5 * (N + 1), 3 * 5, 3)
    assert objective.evaluations == 2 * got.spent.evaluations


def test_a_product_circuit_of_any_size_has_the_gradient_of_every_angle():
    # L = Σ c_i w_i has ∂E/∂θ_i = c_i sin(θ_i) / 2 whatever is drawn
    costs = np.random.default_rng(0).normal(size=300)
    generator = moved(build_generator("product", 300, seeds=SEEDS))
    found = gradient(LocalExpectation(1), generator, Objective(lambda bits: bits @ costs, 300))
    expected = costs * np.sin(generator.theta.detach().numpy()) / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_certain_bits_have_no_gradient_of_the_free_energy():
    generator = QuantumHyperNetwork(N, ansatz=Product(), start=[0.0] * N, seeds=SEEDS)
    found = gradient(LocalExpectation(2), generator, CostTable(TABLE), FreeEnergy(0.4))
    assert (generator.marginals() == 0).all()
    assert (found == 0).all()


@pytest.mark.parametrize("logit", [-800.0, 800.0])
def test_bits_that_are_certain_either_way_have_finite_gradients(logit):
    """p is 0 or 1 to the last bit, and log p or log (1 - p) has no value there."""
    generator = Bernoulli(N, seeds=SEEDS)
    generator.logits.data[:, 1::2] = logit
    for risk in (Expectation(), FreeEnergy(0.4)):
        found = gradient(LocalExpectation(2), generator, CostTable(TABLE), risk)
        assert np.isfinite(found).all()
        assert (found[:, 1::2] == 0).all()
        assert (found[:, ::2] != 0).all()


# -- bits that depend on one another ---------------------------------------------------------------


def mean_field(generator):
    """Σ_i ∂p_i/∂θ E[L(w_i = 1) - L(w_i = 0)], all from the table of probabilities."""
    generator.zero_grad()
    p = generator.probabilities()[:, 0]
    index = np.arange(2**N)
    slopes = np.stack([TABLE[index | 1 << i] - TABLE[index & ~(1 << i)] for i in range(N)], axis=1)
    weights = torch.from_numpy(p.detach().numpy() @ slopes)
    ((p @ torch.from_numpy(STRINGS.astype(float))) * weights).sum().backward()
    return flat_gradient(generator)


@pytest.mark.parametrize("name", DEPENDENT)
def test_for_dependent_bits_it_is_the_mean_field_gradient(name, monkeypatch):
    generator = moved(DEPENDENT[name](SEEDS))
    expected = mean_field(generator)
    exact = gradient(Exact(), generator, CostTable(TABLE))
    found = over_all_strings(generator, monkeypatch, Expectation())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    assert abs(found - exact).max() > 1e-3  # and that is another one
    assert LocalExpectation.bias_for(generator) == "that of taking the bits as independent"


# -- marginals -------------------------------------------------------------------------------------


EVERY = {name: by_name(name) for name in names("generator") if name != "tied-bernoulli"}
EVERY |= {f"own: {name}": make for name, make in (DEPENDENT | INDEPENDENT).items()}


def enumerated(generator):
    """The marginals [replica, input, bit] by the table, differentiable."""
    table = generator.probabilities(inputs=inputs_of(generator))
    return table @ torch.from_numpy(STRINGS.astype(float))


@pytest.mark.parametrize("name", EVERY)
def test_marginals_are_those_of_the_table(name):
    generator = moved(EVERY[name](SEEDS))
    found = generator.marginals(inputs=inputs_of(generator))
    expected = enumerated(generator)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=found.shape))
    gradients = []
    for marginals in (found, expected):
        generator.zero_grad()
        (marginals * weights).sum().backward()
        gradients.append(flat_gradient(generator))
    assert abs(gradients[1]).max() > 1e-3
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", EVERY)
def test_bits_are_independent_where_that_is_declared(name):
    generator = moved(EVERY[name](SEEDS))
    with torch.no_grad():
        p = generator.marginals(inputs=inputs_of(generator)).numpy()
        table = generator.probabilities(inputs=inputs_of(generator)).numpy()
    product = np.where(STRINGS, p[..., None, :], 1 - p[..., None, :]).prod(-1)
    independent = abs(table - product).max() < 1e-12
    assert independent == generator.capabilities.independent
    assert generator.capabilities.marginals or not independent


def test_what_entangles_or_is_noisy_declares_no_marginals():
    cancelled = (Gate("ry", (0,), 0), Gate("cx", (0, 1)), Gate("cx", (0, 1)), Gate("ry", (2,), 1))
    for ansatz, backend in (
        (Brickwork(1), None),
        (Circuit(3, cancelled), None),
        (Product(), build_backend("aer", {"depolarising": 0.02})),  # noise is not in the angles
    ):
        generator = QuantumHyperNetwork(3, ansatz=ansatz, backend=backend, seeds=SEEDS)
        assert not generator.capabilities.marginals
        assert not generator.capabilities.independent


def test_composed_marginals_follow_from_the_parts():
    # each part has few bits, the whole too many for a table
    parts = [Autoregressive(9, seeds=SEEDS), Bernoulli(30, seeds=SEEDS), MLP(9, seeds=SEEDS)]
    whole = Ordered(Joined(parts), list(range(48))[::-1])
    assert whole.capabilities.marginals
    assert not whole.capabilities.independent
    expected = torch.cat([part.marginals() for part in parts], dim=-1).flip(-1)
    torch.testing.assert_close(whole.marginals(), expected, rtol=0, atol=0)
    one_is_large = Joined([Autoregressive(36, seeds=SEEDS), Bernoulli(3, seeds=SEEDS)])
    assert not one_is_large.capabilities.marginals
    with pytest.raises(ConfigurationError, match="gives no exact probability of each bit"):
        one_is_large.marginals()


# -- refusals --------------------------------------------------------------------------------------


class SamplesOnly(HyperNetwork):
    """Neither log p nor marginals."""

    def __init__(self, n_bits, *, seeds=(0,)):
        super().__init__(n_bits, seeds=seeds)
        self.p = torch.nn.Parameter(torch.zeros(len(seeds), 1).double())
        self.initialise()

    def _initialise(self, rng):
        self.p.fill_(0.4)

    def _sample(self, shots, rng, inputs):
        raise AssertionError("nothing is to be drawn")


@pytest.mark.parametrize(
    ("generator", "risk", "message"),
    [
        (SamplesOnly(N), Expectation(),
         r"needs the exact probability of each bit, and SamplesOnly does not give it\. Use score-"),
        (Autoregressive(36), Expectation(), "needs the exact probability of each bit, and [Aa]uto"),
        (Bernoulli(N), CVaR(0.5), r"got the risk CVaR\(alpha=0\.5\), which it does not support; it "
         "supports Expectation, FreeEnergy"),
        (Bernoulli(N), MMD(), "does not support; it supports Expectation, FreeEnergy"),
        (Autoregressive(N), FreeEnergy(), "of FreeEnergy is for independent bits, and those of "
         r".* are not\. Use the risk Expectation, or score-function\."),
    ],
)  # fmt: skip
def test_refuses_what_it_cannot_do_before_anything_is_drawn(generator, risk, message):
    objective, estimator = (
        Objective(lambda bits: bits.sum(-1), generator.n_bits),
        LocalExpectation(2),
    )
    for attempt in (
        lambda: estimator.check(generator, risk),
        lambda: estimator(generator, objective, risk, rng=Streams((0,))(0)),
    ):
        with pytest.raises(ConfigurationError, match=message):
            attempt()
    assert objective.evaluations == 0


def test_refuses_an_objective_without_flips_and_no_shots():
    message = r"needs the differences of single flips, .* Wrap a function of bits \[draws, bit\] as"
    with pytest.raises(ConfigurationError, match=message):
        LocalExpectation(2).check_objective(lambda bits: bits.sum(-1))
    LocalExpectation(2).check_objective(CostTable(TABLE))
    with pytest.raises(ConfigurationError, match="needs at least 1 shot; got 0"):
        LocalExpectation(0)
    with pytest.raises(ConfigurationError, match="must be a whole number; got"):
        LocalExpectation(1.5)
