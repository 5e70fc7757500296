"""The score function against the exact gradient of the mean loss, over all 256 bitstrings."""

import numpy as np
import pytest
import torch

from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.categorical import Categorical
from classical.mlp import MLP
from qhyper.errors import ConfigurationError
from qhyper.gradients.score import ScoreFunction
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
from qhyper.streams import Streams
from qhyper.target.objective import Objective
from qhyper.target.space import WeightSpace

SPACE = WeightSpace((2, 2, 2))
N = SPACE.n_bits
TABLE = np.random.default_rng(99).normal(size=2**N) + 3
"""The loss of every bitstring; far from zero, so that a missing baseline would show."""

MAKERS = {
    "brickwork": lambda seeds: QuantumHyperNetwork(N, ansatz=Brickwork(3), seeds=seeds),
    "split": lambda seeds: QuantumHyperNetwork(
        N, ansatz=Brickwork(2, 1), order="split", space=SPACE, seeds=seeds
    ),
    "product": lambda seeds: QuantumHyperNetwork(N, ansatz=Product(), seeds=seeds),
    "bernoulli": lambda seeds: Bernoulli(N, seeds=seeds),
    "categorical": lambda seeds: Categorical(N, seeds=seeds, space=SPACE),
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


def test_equals_its_formula():
    generator = MAKERS["brickwork"]((3, 4))
    got = estimate(generator, shots=5, step=2)
    gradient = flat_gradient(generator)
    bits, losses = got.draw.bits, got.losses
    generator.zero_grad()
    coefficients = np.empty_like(losses)
    for r in range(2):
        for k in range(5):
            others = np.delete(losses[r, 0], k)
            coefficients[r, 0, k] = (losses[r, 0, k] - others.mean()) / 5
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
