"""The score function against the exact gradient of the mean loss, over all 256 bitstrings."""

import numpy as np
import pytest
import torch

from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.categorical import Categorical
from classical.mlp import MLP
from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.gradients.score import ScoreFunction
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy
from qhyper.streams import Streams
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.objective import Objective

SPACE = WeightSpace((2, 2, 2))
N = SPACE.n_bits
TABLE = np.random.default_rng(99).normal(size=2**N) + 3
"""The loss of every bitstring; far from zero, so that a missing baseline would show."""

MAKERS = {
    "brickwork": lambda seeds: QuantumHyperNetwork(N, ansatz=Brickwork(3), seeds=seeds),
    "split": lambda seeds: QuantumHyperNetwork(
        N, ansatz=Brickwork(2, 1), order="split", layout=SPACE.layout, seeds=seeds
    ),
    "product": lambda seeds: QuantumHyperNetwork(N, ansatz=Product(), seeds=seeds),
    "bernoulli": lambda seeds: Bernoulli(N, seeds=seeds),
    "categorical": lambda seeds: Categorical(N, seeds=seeds, layout=SPACE.layout),
    "mlp": lambda seeds: MLP(N, seeds=seeds, latent_bits=2, hidden=4),
    "autoregressive": lambda seeds: Autoregressive(N, seeds=seeds, hidden=8),
}


def table_objective():
    return Objective(lambda bits: TABLE[bits @ (1 << np.arange(N))], N)


def copies(maker, sets, number):
    """`number` replicas of each of `sets` parameter sets in turn, and one replica of each set.

    Every replica has its own random stream, so one call gives many independent estimates.
    """
    few, many = maker(range(sets)), maker(range(sets * number))
    rng = np.random.default_rng(7)
    with torch.no_grad():
        for one, all_of in zip(few.parameters(), many.parameters(), strict=True):
            one += torch.from_numpy(rng.normal(0, 0.5, one.shape))
            all_of.copy_(one.repeat(number, *[1] * (one.ndim - 1)))
    return few, many


def flat_gradient(generator):
    """[replica, parameter]"""
    grads = [p.grad.reshape(generator.replicas, -1) for p in generator.parameters()]
    return torch.cat(grads, dim=1).numpy().copy()


def exact_gradient(generator):
    generator.zero_grad()
    risk = (generator.probabilities()[:, 0] * torch.from_numpy(TABLE)).sum()
    risk.backward()
    return flat_gradient(generator)


def estimate(generator, shots, step=0):
    generator.zero_grad()
    rng = Streams(generator.seeds)(step)
    return ScoreFunction(shots)(generator, table_objective(), Expectation(), rng=rng)


@pytest.mark.parametrize("name", MAKERS)
def test_unbiased_for_each_replica(name):
    # Seeds 0 to 5,999 (2,000 of each of 3 parameter sets), 8 shots: the mean of 2,000 estimates is
    # within 5 standard errors for each parameter (at most 432 of them: chance 3e-4 at the worst).
    few, many = copies(MAKERS[name], sets=3, number=2000)
    expected = exact_gradient(few)
    estimate(many, shots=8)
    gradients = flat_gradient(many).reshape(2000, 3, -1)
    standard_error = gradients.std(axis=0, ddof=1) / np.sqrt(2000)
    assert (abs(gradients.mean(axis=0) - expected) <= 5 * standard_error + 1e-12).all()
    # The sets differ and the errors are small enough for that to mean something.
    assert np.sqrt((expected**2).sum()) > 5 * np.sqrt((standard_error**2).sum())


TIED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({0: 1.0, 1: 0.2 * q})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        *(Gate("rx", (q,), Angle({0: -2.0, 2: 1.0}, offset=0.3)) for q in range(N)),
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
OTHERS = {
    "bernoulli": (MAKERS["bernoulli"], None),
    "tied": (lambda seeds: QuantumHyperNetwork(N, ansatz=TIED, seeds=seeds), None),
    "encoded": (lambda seeds: QuantumHyperNetwork(N, ansatz=ENCODED, seeds=seeds), INPUTS),
}


@pytest.mark.parametrize("baseline", ["leave-one-out", "none"])
@pytest.mark.parametrize(
    "risk", [Expectation(), FreeEnergy(0.5), MMD(2.0, 0.4)], ids=lambda risk: type(risk).__name__
)
@pytest.mark.parametrize("name", OTHERS)
def test_unbiased_for_each_risk_and_baseline(name, risk, baseline):
    # Seeds 0 to 1,999 of one parameter set, 8 shots: 5 standard errors for each of at most 16
    # parameters (chance 1e-5), of the value and of the mean loss. `Exact` has tests of its own.
    maker, inputs = OTHERS[name]
    few, many = copies(maker, sets=1, number=2000)
    exact = Exact()(few, table_objective(), risk, inputs=inputs)
    rng = Streams(many.seeds)(0)
    got = ScoreFunction(8, baseline)(many, table_objective(), risk, rng=rng, inputs=inputs)
    gradients, expected = flat_gradient(many), flat_gradient(few)[0]
    standard_error = gradients.std(axis=0, ddof=1) / np.sqrt(2000)
    assert (abs(gradients.mean(axis=0) - expected) <= 5 * standard_error + 1e-12).all()
    # The mean loss is 3, far from 0: without a baseline the errors are several times as large.
    assert np.linalg.norm(expected) > 2 * np.linalg.norm(standard_error)
    for mean, own in ((got.value, exact.value), (got.mean_loss, exact.mean_loss)):
        assert abs(mean.mean() - own[0]) < 5 * mean.std(ddof=1) / np.sqrt(2000)


@pytest.mark.parametrize("baseline", ["leave-one-out", "none"])
def test_the_bias_of_cvar_falls_as_one_over_the_shots(baseline):
    # Seeds 0 to 11,999, alpha = 1/2, 8 and 32 shots, losses spread over 256 values so that the
    # quantile is nearly continuous. The biases are some 0.06 and 0.014, with errors of less than
    # 0.005 and 0.0015, so the ratio, which tends to 4, has one of 0.5. It would be 2 for a bias of
    # 1/√shots and 16 for one of 1/shots².
    weights = 0.5 ** np.arange(N)
    objective = Objective(lambda bits: bits @ weights + 0.3 * (bits @ weights) ** 2, N)
    some = Circuit(
        N, tuple(Gate("ry", (q,), q if q < 3 else Angle(offset=np.pi / 2)) for q in range(N))
    )
    one, many = (
        QuantumHyperNetwork(N, ansatz=some, start=[1.2, 1.9, 1.4], seeds=range(number))
        for number in (1, 12_000)
    )
    exact = Exact()(one, objective, CVaR(0.5))
    bias, of_value = [], []
    for shots in (8, 32):
        many.zero_grad()
        rng = Streams(many.seeds)(shots)
        got = ScoreFunction(shots, baseline)(many, objective, CVaR(0.5), rng=rng)
        off = flat_gradient(many) - flat_gradient(one)
        bias.append(np.linalg.norm(off.mean(axis=0)))
        of_value.append(got.value.mean() - exact.value[0])
        assert bias[-1] > 5 * np.linalg.norm(off.std(axis=0)) / np.sqrt(12_000)
    assert 2.7 < bias[0] / bias[1] < 6
    assert 2.7 < of_value[0] / of_value[1] < 6


def test_inputs_share_a_gradient():
    """The mean over inputs, each with shots of its own."""
    maker, inputs = OTHERS["encoded"]
    generator = maker((3, 4))
    objective = table_objective()
    step = ScoreFunction(5)
    got = step(generator, objective, Expectation(), rng=Streams((3, 4))(0), inputs=inputs)
    together = flat_gradient(generator)
    assert got.losses.shape == (2, 3, 5)
    assert (got.spent.evaluations, got.spent.shots, got.spent.circuits) == (15, 15, 3)
    assert got.spent == step.cost(generator, Expectation(), n_inputs=3)
    assert objective.evaluations == 2 * 15
    np.testing.assert_allclose(got.value, got.losses.mean(axis=(1, 2)), rtol=1e-13)
    errors = got.losses.var(axis=2, ddof=1) / 5
    np.testing.assert_allclose(got.standard_error, np.sqrt(errors.sum(axis=1)) / 3, rtol=1e-12)
    generator.zero_grad()
    for number, x in enumerate(inputs):
        losses = got.losses[:, number]
        others = (losses.sum(axis=1, keepdims=True) - losses) / 4
        log_p = generator.log_prob(got.draw.bits[:, number : number + 1], inputs=[x])
        (log_p[:, 0] * torch.from_numpy(losses - others)).sum().div(15).backward()
    np.testing.assert_allclose(together, flat_gradient(generator), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["brickwork", "bernoulli", "autoregressive"])
def test_error_falls_as_one_over_the_root_of_the_shots(name):
    # Seeds 0 to 399, K = 64 and 1,024. Each total variance has a relative error of at most
    # √(2/400) = 7 %, their ratio of 10 %, so the ratio of the deviations, which should be 4, of
    # 5 % = 0.2: 4 ± 1 is 5 sigma, also counting the 1/(K-1) of the leave-one-out baseline.
    _, many = copies(MAKERS[name], sets=1, number=400)
    spread = []
    for shots in (64, 1024):
        estimate(many, shots)
        spread.append(np.sqrt(flat_gradient(many).var(axis=0, ddof=1).sum()))
    assert 3 < spread[0] / spread[1] < 5


@pytest.mark.parametrize("baseline", ["leave-one-out", "none"])
def test_equals_its_formula(baseline):
    generator = MAKERS["brickwork"]((3, 4))
    got = ScoreFunction(5, baseline)(
        generator, table_objective(), Expectation(), rng=Streams((3, 4))(2)
    )
    gradient = flat_gradient(generator)
    bits, losses = got.draw.bits, got.losses
    generator.zero_grad()
    coefficients = np.empty_like(losses)
    for r in range(2):
        for k in range(5):
            others = np.delete(losses[r, 0], k)
            base = others.mean() if baseline == "leave-one-out" else 0.0
            coefficients[r, 0, k] = (losses[r, 0, k] - base) / 5
    (generator.log_prob(bits) * torch.from_numpy(coefficients)).sum().backward()
    np.testing.assert_allclose(gradient, flat_gradient(generator), rtol=0, atol=1e-12)


def test_reports_what_it_measured():
    generator = MAKERS["bernoulli"]((3, 4, 5))
    objective = table_objective()
    got = ScoreFunction(shots=6)(
        generator, objective, Expectation(), rng=Streams(generator.seeds)(1)
    )
    same = generator.sample(6, rng=Streams(generator.seeds)(1))
    np.testing.assert_array_equal(got.draw.bits, same.bits)
    assert got.losses.shape == (3, 1, 6)
    np.testing.assert_array_equal(got.losses, TABLE[same.bits @ (1 << np.arange(N))])
    assert got.value.shape == got.standard_error.shape == (3,)
    for r in range(3):
        losses = got.losses[r, 0]
        assert got.value[r] == pytest.approx(sum(losses) / 6)
        variance = sum((losses - losses.mean()) ** 2) / 5
        assert got.standard_error[r] == pytest.approx((variance / 6) ** 0.5)
    assert (got.spent.evaluations, got.spent.shots, got.spent.circuits) == (6, 6, 1)
    np.testing.assert_array_equal(got.mean_loss, got.value)
    assert objective.evaluations == 18


def test_value_and_standard_error_are_those_of_the_risk():
    # Seeds 0 to 999, 50 shots. Mean of the values: 5 standard errors. The square of the standard
    # error, averaged, is the variance of the values within 5 · √(2/1000) = 22 %.
    few, many = copies(MAKERS["bernoulli"], sets=1, number=1000)
    got = estimate(many, shots=50)
    exact = (few.probabilities()[0, 0].detach().numpy() * TABLE).sum()
    sigma = got.value.std(ddof=1)
    assert abs(got.value.mean() - exact) < 5 * sigma / np.sqrt(1000)
    assert (got.standard_error**2).mean() == pytest.approx(sigma**2, rel=0.25)


def test_adds_to_the_gradient():
    generator = MAKERS["product"]((0,))
    estimate(generator, shots=4)
    once = flat_gradient(generator)
    ScoreFunction(4)(generator, table_objective(), Expectation(), rng=Streams((0,))(0))
    np.testing.assert_allclose(flat_gradient(generator), 2 * once)


@pytest.mark.parametrize("name", MAKERS)
def test_a_replica_has_the_gradient_that_it_has_alone(name):
    together = MAKERS[name]((4, 5, 6))
    estimate(together, shots=10)
    gradients = flat_gradient(together)
    for replica, seed in enumerate(together.seeds):
        alone = MAKERS[name]((seed,))
        estimate(alone, shots=10)
        np.testing.assert_allclose(flat_gradient(alone)[0], gradients[replica], rtol=0, atol=1e-12)


def test_equal_losses_give_no_gradient():
    generator = MAKERS["brickwork"]((0, 1))
    flat = Objective(lambda bits: np.full(len(bits), 0.7), N)
    got = ScoreFunction(8)(generator, flat, Expectation(), rng=Streams((0, 1))(0))
    np.testing.assert_allclose(flat_gradient(generator), 0, atol=1e-12)
    np.testing.assert_allclose(got.standard_error, 0, atol=1e-12)


@pytest.mark.parametrize("shots", [1, 0, -3])
def test_fewer_than_two_shots_are_refused(shots):
    with pytest.raises(
        ConfigurationError, match=f"at least 2 shots, for the leave-one-out baseline; got {shots}"
    ):
        ScoreFunction(shots)


@pytest.mark.parametrize("shots", [True, 2.0, "4", None])
def test_shots_that_are_no_whole_number_are_refused(shots):
    with pytest.raises(ConfigurationError, match=f"shots must be a whole number; got {shots!r}"):
        ScoreFunction(shots)


def test_two_shots_are_the_other_ones_baseline():
    generator = MAKERS["bernoulli"]((3, 4))
    got = estimate(generator, shots=2)
    gradient = flat_gradient(generator)
    losses = got.losses[:, 0]
    coefficients = (losses - losses[:, ::-1]) / 2
    generator.zero_grad()
    (generator.log_prob(got.draw.bits)[:, 0] * torch.from_numpy(coefficients)).sum().backward()
    np.testing.assert_allclose(gradient, flat_gradient(generator), rtol=0, atol=1e-12)


def test_one_shot_is_enough_without_a_baseline():
    generator = MAKERS["bernoulli"]((3, 4))
    got = ScoreFunction(1, "none")(
        generator, table_objective(), FreeEnergy(0.5), rng=Streams((3, 4))(0)
    )
    found = flat_gradient(generator)
    generator.zero_grad()
    log_p = generator.log_prob(got.draw.bits)
    costs = got.losses + 0.5 * log_p.detach().numpy()
    (log_p * torch.from_numpy(costs)).sum().backward()
    np.testing.assert_allclose(found, flat_gradient(generator), rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.value, costs[:, 0, 0])
    assert np.isinf(got.standard_error).all()


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ConfigurationError, match=r"baseline 'non'\. Did you mean 'none'"):
        ScoreFunction(4, "non")


def test_too_few_shots_for_a_risk_are_refused():
    message = "The score function needs at least 3 shots for this risk; got 2"
    with pytest.raises(ConfigurationError, match=message):
        ScoreFunction(2).check(MAKERS["product"]((0,)), MMD())
    ScoreFunction(3).check(MAKERS["product"]((0,)), MMD())


class SamplesOnly(HyperNetwork):
    """Always zeros, and no log p."""

    capabilities = Capabilities()

    def _initialise(self, rng):
        pass

    def _sample(self, shots, rng, inputs):
        return np.zeros((self.replicas, 1, shots, self.n_bits), np.uint8)


def test_a_generator_without_log_p_is_refused_before_anything_is_spent():
    objective = table_objective()
    with pytest.raises(ConfigurationError, match="needs log p, and SamplesOnly has none"):
        ScoreFunction(4)(SamplesOnly(N), objective, Expectation(), rng=Streams((0,))(0))
    assert objective.evaluations == 0
