"""The natural gradient against plain solves with the damped Fisher matrix."""

import numpy as np
import pytest
import torch

from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.mlp import MLP
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.gradients import natural
from qhyper.gradients.natural import NaturalGradient, solve
from qhyper.gradients.score import ScoreFunction
from qhyper.hypernetwork import HyperNetwork
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy
from qhyper.spending import Spending
from qhyper.streams import Streams
from qhyper.targets.objective import Objective

N = 4
STRINGS = all_bitstrings(N)
TABLE = np.random.default_rng(1).normal(size=2**N) + 2

RISKS = [Expectation(), CVaR(0.3), FreeEnergy(0.5), MMD(2.0, 0.4)]

TIED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({0: 1.0, 1: 0.5 * q})) for q in range(N)),
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


def circuit(ansatz, seeds, **options):
    return QuantumHyperNetwork(N, ansatz=ansatz, seeds=seeds, **{"start": "uniform", **options})


MAKERS = {
    "mps": lambda seeds: circuit(Brickwork(2), seeds, order=[2, 0, 3, 1]),
    "statevector": lambda seeds: circuit(HardwareEfficient(1), seeds, backend="statevector"),
    "lightning": lambda seeds: circuit(
        HardwareEfficient(1), seeds, backend="pennylane:lightning.qubit"
    ),
    "tied": lambda seeds: circuit(TIED, seeds),
    "encoded": lambda seeds: circuit(ENCODED, seeds),
    "bernoulli": lambda seeds: Bernoulli(N, seeds=seeds),
    "mlp": lambda seeds: MLP(N, seeds=seeds, latent_bits=2, hidden=2),
    "autoregressive": lambda seeds: Autoregressive(N, seeds=seeds, hidden=2),
}


def inputs_of(name):
    return INPUTS if name == "encoded" else None


def table_objective():
    return Objective(lambda bits: TABLE[bits.astype(int) @ (1 << np.arange(N))], N)


def gradient(generator):
    """[replica, parameter]"""
    grads = [p.grad.reshape(generator.replicas, -1) for p in generator.parameters()]
    return torch.cat(grads, dim=1).numpy().copy()


def estimate(estimator, generator, risk=None, *, inputs=None, step=0):
    """(gradient [replica, parameter], what was measured)"""
    generator.zero_grad()
    got = estimator(
        generator,
        table_objective(),
        risk or Expectation(),
        rng=Streams(generator.seeds)(step),
        inputs=inputs,
    )
    return gradient(generator), got


def scores_by_differences(generator, bits, inputs=None, step=1e-5):
    """∇ log p of draws [replica, input, shot, bit], as [replica, draw, parameter]."""
    columns = []
    for parameter in generator.parameters():
        flat = parameter.data.reshape(generator.replicas, -1)
        for column in range(flat.shape[1]):
            ends = []
            for change in (step, -2 * step, step):  # the last one goes back
                flat[:, column] += change
                ends.append(generator.log_prob(bits, inputs=inputs).detach().numpy())
            columns.append((ends[0] - ends[1]) / (2 * step))
    return np.stack(columns, axis=-1).reshape(generator.replicas, -1, len(columns))


def damped(scores, damping, p=None):
    """F + damping of scores [draw, parameter], with the draws' probabilities if not equal."""
    weights = np.full(len(scores), 1 / len(scores)) if p is None else p
    return (scores.T * weights) @ scores + damping * np.eye(scores.shape[1])


# -- the solve -------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("shape", [(50, 7), (7, 50), (20, 20), (1, 5), (5, 1), (21, 20), (20, 21)])
def test_the_solve_is_that_of_the_damped_fisher_matrix(shape, damping):
    rng = np.random.default_rng(2)
    scores, right = rng.normal(size=shape), rng.normal(size=shape[1])
    kept = scores.copy(), right.copy()
    expected = np.linalg.solve(damped(scores, damping), right)
    found = solve(scores, right, damping)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * abs(expected).max())
    np.testing.assert_array_equal(scores, kept[0])
    np.testing.assert_array_equal(right, kept[1])


@pytest.mark.parametrize("shape", [(50, 7), (7, 50)])
def test_scores_that_are_not_independent_are_no_trouble(shape):
    rng = np.random.default_rng(3)
    scores, right = rng.normal(size=shape), rng.normal(size=shape[1])
    scores[:, 3] = scores[:, 1]
    scores[4] = scores[2]
    scores[:, 5] = 0
    expected = np.linalg.solve(damped(scores, 0.01), right)
    np.testing.assert_allclose(solve(scores, right, 0.01), expected, rtol=0, atol=1e-8 * 100)


@pytest.mark.parametrize("shape", [(8, 3), (3, 8)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_scores_that_are_not_finite_are_refused(shape, bad):
    scores = np.ones(shape)
    scores[1, 1] = bad
    message = "The Fisher matrix is not finite and positive: the scores are too large. Lower"
    with pytest.raises(ConfigurationError, match=message):
        solve(scores, np.ones(shape[1]), 1e-3)


# -- the estimator ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [3, 60])
@pytest.mark.parametrize("name", MAKERS)
def test_is_the_score_gradient_preconditioned_by_the_scores_of_its_draws(name, shots):
    """Fewer draws than parameters, and more; but for tied parameters, which are three."""
    generator, inputs = MAKERS[name]((3, 4)), inputs_of(name)
    plain, of_score = estimate(ScoreFunction(shots), generator, inputs=inputs)
    found, got = estimate(NaturalGradient(shots, 0.02), generator, inputs=inputs)
    np.testing.assert_array_equal(got.draw.bits, of_score.draw.bits)
    scores = scores_by_differences(generator, got.draw.bits, inputs)
    assert scores.shape[:2] == (2, shots * len(inputs or [0]))
    for replica in range(2):
        expected = np.linalg.solve(damped(scores[replica], 0.02), plain[replica])
        np.testing.assert_allclose(
            found[replica], expected, rtol=0, atol=1e-6 * abs(expected).max()
        )


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: type(risk).__name__)
def test_preconditions_the_gradient_of_every_risk(risk):
    generator = MAKERS["mps"]((3, 4))
    plain, of_score = estimate(ScoreFunction(40), generator, risk)
    found, got = estimate(NaturalGradient(40, 0.02), generator, risk)
    scores = generator.scores(got.draw.bits)
    for replica in range(2):
        expected = np.linalg.solve(damped(scores[replica, 0], 0.02), plain[replica])
        np.testing.assert_allclose(found[replica], expected, rtol=0, atol=1e-8)
    assert got.spent == of_score.spent == Spending(40, 40, 1)
    for field in ("losses", "value", "standard_error", "mean_loss"):
        np.testing.assert_array_equal(getattr(got, field), getattr(of_score, field))


def test_much_damping_leaves_the_gradient():
    generator = MAKERS["bernoulli"]((3, 4))
    plain, _ = estimate(ScoreFunction(40), generator)
    found, _ = estimate(NaturalGradient(40, 1e6), generator)
    np.testing.assert_allclose(found * 1e6, plain, rtol=1e-5)


@pytest.mark.parametrize("name", ["entangled", "tied", "encoded"])
def test_converges_to_the_exact_damped_natural_gradient(name):
    # Seeds 0 to 39, all at the same parameters, 4,000 shots: the mean of 40 estimates is within 5
    # standard errors of (Σ p s sᵀ + damping)⁻¹ ∇R (at most 8 parameters and 39 degrees of freedom:
    # chance 1e-4). The bias, of order 1/shots, is √(40/4000) = a tenth of a standard error, up to
    # a factor of order one.
    if name == "entangled":
        start = np.random.default_rng(4).uniform(-np.pi, np.pi, 8).tolist()
        many = circuit(HardwareEfficient(1), range(40), start=start)
    else:
        many = MAKERS[name](range(40))
        for parameter in many.parameters():
            parameter.data[:] = parameter.data[:1].clone()
    inputs = inputs_of(name)
    n_inputs = len(inputs or [0])
    strings = np.broadcast_to(STRINGS, (1, n_inputs, *STRINGS.shape))
    with torch.no_grad():
        p = many.probabilities(inputs=inputs)[0].numpy().ravel() / n_inputs
    scores = scores_by_differences(many, np.repeat(strings, 40, axis=0), inputs)[0]
    possible = p > 0
    p, scores = p[possible], scores[possible]
    costs = np.tile(TABLE, n_inputs)[possible]
    expected = np.linalg.solve(damped(scores, 0.05, p), (p * costs) @ scores)
    found, _ = estimate(NaturalGradient(4000, 0.05), many, inputs=inputs)
    error = found.std(axis=0, ddof=1) / np.sqrt(40)
    assert (abs(found.mean(axis=0) - expected) < 5 * error + 1e-9).all()
    # and the errors are small enough for that to mean something
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(expected)


def test_parameters_that_change_nothing_stay():
    """The last Rz of every qubit turns only phases: its scores are 0, and so are its steps."""
    found, _ = estimate(NaturalGradient(30), MAKERS["mps"]((3, 4)))
    np.testing.assert_allclose(found[:, -N:], 0, atol=1e-12)
    assert (abs(found[:, :N]) > 1e-6).any()


def test_parameters_that_are_not_trained_are_left_out():
    generator, free = MAKERS["mlp"]((3, 4)), MAKERS["mlp"]((3, 4))
    generator.W1.requires_grad_(False)
    step = NaturalGradient(30, 0.02)
    got = step(generator, table_objective(), Expectation(), rng=Streams((3, 4))(0))
    assert generator.W1.grad is None
    trained = [p for p in generator.parameters() if p.requires_grad]
    found = torch.cat([p.grad.reshape(2, -1) for p in trained], dim=1).numpy()
    plain, _ = estimate(ScoreFunction(30), free)
    sizes = [p[0].numel() for p in free.parameters()]
    names = np.repeat([name for name, _ in free.named_parameters()], sizes)
    kept = names != "W1"
    scores = free.scores(got.draw.bits)[:, 0][..., kept]
    for replica in range(2):
        expected = np.linalg.solve(damped(scores[replica], 0.02), plain[replica, kept])
        np.testing.assert_allclose(found[replica], expected, rtol=0, atol=1e-8)


def test_adds_to_the_gradient():
    generator, step = MAKERS["autoregressive"]((3, 4)), NaturalGradient(10, 0.1)
    once, _ = estimate(step, generator)
    step(generator, table_objective(), Expectation(), rng=Streams((3, 4))(0))
    np.testing.assert_allclose(gradient(generator), 2 * once, rtol=1e-12)


def test_a_replica_has_the_step_that_it_has_alone():
    together, _ = estimate(NaturalGradient(10), MAKERS["mps"]((4, 5, 6)))
    for replica, seed in enumerate((4, 5, 6)):
        alone, _ = estimate(NaturalGradient(10), MAKERS["mps"]((seed,)))
        np.testing.assert_allclose(alone[0], together[replica], rtol=1e-9)


# -- without keeping the scores --------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 2**13], ids=["one draw", "blocks"])
@pytest.mark.parametrize("shots", [6, 45])
@pytest.mark.parametrize("name", ["mps", "encoded", "mlp"])
def test_the_matrix_free_solve_is_the_dense_one(monkeypatch, name, shots, size):
    generator, inputs, step = MAKERS[name]((3, 4)), inputs_of(name), NaturalGradient(shots, 0.02)
    dense, _ = estimate(step, generator, inputs=inputs)
    seen = []
    scores = generator.scores
    monkeypatch.setattr(
        generator, "scores", lambda bits, **own: seen.append(bits.shape[2]) or scores(bits, **own)
    )
    monkeypatch.setattr(natural, "DENSE_BYTES", size)
    free, _ = estimate(step, generator, inputs=inputs)
    for replica in range(2):
        scale = abs(dense[replica]).max()
        np.testing.assert_allclose(free[replica], dense[replica], rtol=0, atol=1e-4 * scale)
    per_draw = 8 * 2 * len(inputs or [0]) * generator.n_parameters
    blocks = seen[: -(-shots // max(1, size // per_draw))]
    assert sum(blocks) == shots  # the first pass, for the gradient, is over all draws
    if size * 1.0 < per_draw * shots:
        assert max(seen) * per_draw <= max(size, per_draw)


def test_replicas_are_solved_to_the_same_relative_error(monkeypatch):
    """Conjugate gradients of all replicas run together; here one's losses are 10^8 as large."""
    generator = Bernoulli(N, seeds=(3, 4, 5))
    generator.logits.data[2] = 40.0  # always the same string: no gradient

    def objective(bits):
        return TABLE[bits.astype(int) @ (1 << np.arange(N))] * [[[1.0]], [[1e8]], [[1.0]]]

    found = []
    for size in (natural.DENSE_BYTES, 0):
        monkeypatch.setattr(natural, "DENSE_BYTES", size)
        generator.zero_grad()
        rng = Streams(generator.seeds)(0)
        NaturalGradient(20, 0.1)(generator, objective, Expectation(), rng=rng)
        found.append(gradient(generator))
    dense, free = found
    for replica in range(2):
        scale = abs(dense[replica]).max()
        np.testing.assert_allclose(free[replica], dense[replica], rtol=0, atol=1e-4 * scale)
    assert abs(free[2]).max() == abs(dense[2]).max() == 0


@pytest.mark.parametrize("damping", [1e-2, 1e-4])
def test_conjugate_gradients_get_as_far_as_rounding_lets_them(damping):
    """Scores from very small to large: in exact arithmetic one step a parameter would do."""
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(2, 300, 40)) * np.geomspace(1e-3, 3, 40)
    right = rng.normal(size=(2, 40))
    expected = np.stack([np.linalg.solve(damped(scores[r], damping), right[r]) for r in range(2)])

    def product(vectors):
        along = np.einsum("rkp,rp->rk", scores, vectors)
        return np.einsum("rk,rkp->rp", along, scores) / 300 + damping * vectors

    found = natural._conjugate_gradients(product, right)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize(("broken", "steps"), [("steps", 0), ("scores", 160)])
def test_conjugate_gradients_that_do_not_converge_are_refused(monkeypatch, broken, steps):
    generator = circuit(Brickwork(2), (3, 4))
    monkeypatch.setattr(natural, "DENSE_BYTES", 0)
    if broken == "steps":
        monkeypatch.setattr(natural, "STEPS", 0)
    else:
        monkeypatch.setattr(generator, "scores", lambda bits, **_: np.full((2, 1, 1, 16), np.nan))
    message = rf"did not converge in {steps} conjugate-gradient steps. .* its damping \(0.001\)"
    with pytest.raises(ConfigurationError, match=message):
        estimate(NaturalGradient(10), generator)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0, -1e-3, np.nan, np.inf])
def test_a_damping_that_is_not_above_zero_is_refused(damping):
    message = f"The natural gradient needs a damping above 0; got {damping}"
    with pytest.raises(ConfigurationError, match=message):
        NaturalGradient(10, damping)


@pytest.mark.parametrize("shots", [1, 0, -5])
def test_fewer_than_two_shots_are_refused(shots):
    message = f"needs at least 2 shots, for the leave-one-out baseline; got {shots}"
    with pytest.raises(ConfigurationError, match=f"The natural gradient {message}"):
        NaturalGradient(shots)


def test_too_few_shots_for_a_risk_are_refused():
    message = "The natural gradient needs at least 3 shots for this risk; got 2"
    with pytest.raises(ConfigurationError, match=message):
        NaturalGradient(2).check(MAKERS["bernoulli"]((0,)), MMD())
    NaturalGradient(2).check(MAKERS["bernoulli"]((0,)), Expectation())
    NaturalGradient(3).check(MAKERS["bernoulli"]((0,)), MMD())


class SamplesOnly(HyperNetwork):
    """Always zeros, and no log p."""

    def _initialise(self, rng):
        pass

    def _sample(self, shots, rng, inputs):
        return np.zeros((self.replicas, 1, shots, self.n_bits), np.uint8)


def test_a_generator_without_log_p_is_refused_before_anything_is_spent():
    objective = table_objective()
    message = "The natural gradient needs log p, and SamplesOnly has none.*or spsa"
    with pytest.raises(ConfigurationError, match=message):
        NaturalGradient(4)(SamplesOnly(N), objective, Expectation(), rng=Streams((0,))(0))
    assert objective.evaluations == 0
