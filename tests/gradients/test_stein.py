"""The Stein control variate: its operator summed over all draws, its polynomial, its bounds."""

import itertools

import numpy as np
import pytest
import torch

from classical.conditional import ConditionalBernoulli
from experiments.gradients.neighbours import RaoBlackwell
from qhyper.bits import all_bitstrings
from qhyper.compose.chunked import Chunked
from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.gradients.score import ScoreFunction
from qhyper.gradients.stein import Stein, accumulate_operator, polynomials
from qhyper.hypernetwork import Draw, build_generator
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import CVaR, Expectation
from qhyper.spending import Spending
from qhyper.streams import Streams
from qhyper.targets.layout import Block, Layout

N = 5
STRINGS = all_bitstrings(N)
LAYOUT = Layout((Block("0.weight", (2, 2), (0, 1)), Block("1.bias", (1,), (1,))))
TABLE = np.random.default_rng(1).normal(size=2**N) + 2


def loss(bits):
    return TABLE[: 1 << bits.shape[-1]][bits.astype(int) @ (1 << np.arange(bits.shape[-1]))]


def circuit(seeds, n_bits=N):
    return QuantumHyperNetwork(n_bits, ansatz=Brickwork(2), start="uniform", seeds=seeds)


GENERATORS = {
    "circuit": circuit,
    "chunks": lambda seeds: Chunked(ConditionalBernoulli(1, n_inputs=2, hidden=3, seeds=seeds), N),
    **{
        name: lambda seeds, name=name: build_generator(name, N, seeds=seeds, layout=LAYOUT)
        for name in ("bernoulli", "mlp", "autoregressive")
    },
}


def flat(generator):
    grads = [p.grad.reshape(generator.replicas, -1) for p in generator.trained_parameters]
    return torch.cat(grads, dim=1).numpy().copy()


def exact(generator, objective=loss):
    generator.zero_grad()
    Exact()(generator, objective, Expectation())
    return flat(generator)


# -- the operator ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("flips", [list(range(N)), [3], [4, 0]])
def test_the_operator_vanishes_over_all_draws(name, flips):
    """Σ p(w) · (A h)(w) = 0 for costs and changes of any function of the bits; rounding, 1e-12."""
    generator = GENERATORS[name]((3,))
    p = generator.probabilities().detach().numpy()[0, 0]
    numbers = np.arange(2**N)
    changes = TABLE[numbers[:, None] ^ (1 << np.array(flips))] - TABLE[:, None]
    chosen = np.broadcast_to(flips, (2**N, len(flips)))
    generator.zero_grad()
    accumulate_operator(
        generator, STRINGS[None, None], chosen[None, None], (p * TABLE)[None, None],
        (p[:, None] * changes)[None, None],
    )  # fmt: skip
    np.testing.assert_allclose(flat(generator), 0, atol=1e-12)
    # one draw alone is not 0
    generator.zero_grad()
    accumulate_operator(
        generator, STRINGS[None, None, :1], chosen[None, None, :1], TABLE[None, None, :1],
        changes[None, None, :1],
    )  # fmt: skip
    assert np.abs(flat(generator)).max() > 1e-3


def test_an_impossible_neighbour_adds_nothing():
    """Of Ry(0) on bit 0, which is 0 always: log p of its flip is -inf."""
    generator = QuantumHyperNetwork(2, ansatz=Product(), start=[0.0, 0.7], seeds=[0])
    bits = np.array([[[[0, 0], [0, 1]]]], dtype=np.uint8)
    flips = np.zeros((1, 1, 2, 1), dtype=np.int64)
    assert not np.isfinite(
        generator.log_prob(bits ^ np.array([1, 0], np.uint8)).detach().numpy()
    ).any()
    generator.zero_grad()
    accumulate_operator(generator, bits, flips, np.ones((1, 1, 2)), np.ones((1, 1, 2, 1)))
    np.testing.assert_allclose(flat(generator), 0, atol=1e-12)


def test_the_operator_by_hand():
    """One bit with p = 0.3, h = cost · ∇log p: p(flip) · (h(1 - w) - h(w)), for w = 0 and 1."""
    generator = build_generator("bernoulli", 1)
    (logit,) = generator.trained_parameters
    with torch.no_grad():
        logit[:] = np.log(0.3 / 0.7)
    for w, leave in ((0, 0.3), (1, 0.7)):
        slope = w - 0.3  # ∇log p by the logit
        generator.zero_grad()
        accumulate_operator(
            generator, np.full((1, 1, 1, 1), w, np.uint8), np.zeros((1, 1, 1, 1), int),
            np.full((1, 1, 1), 2.0), np.full((1, 1, 1, 1), 3.0),
        )  # fmt: skip
        expected = leave * (5.0 * (1 - w - 0.3) - 2.0 * slope)
        assert flat(generator).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("flips", [1, 3])
def test_rao_blackwell_over_all_pairs_of_draws(flips, monkeypatch):
    """Two draws of 3 bits, baseline leave-one-out: Σ p(w) p(w') ĝ(w, w') is the exact gradient.

    All 64 pairs in both orders of random numbers that decide which bit is flipped.
    """
    generator = circuit((3,), 3)
    p = generator.probabilities().detach().numpy()[0, 0]
    expected, strings = exact(generator), all_bitstrings(3)
    total, orders = np.zeros_like(expected), [(0.0, 0.5, 1.0), (1.0, 0.0, 0.5), (0.5, 1.0, 0.0)]
    for (a, b), order in itertools.product(itertools.product(range(8), repeat=2), orders):

        class Fixed:
            def random(self, shape, order=order):
                return np.broadcast_to(order, shape)

        draw = Draw(strings[[a, b]][None, None])
        monkeypatch.setattr(generator, "sample", lambda *_, draw=draw, **__: draw)
        generator.zero_grad()
        RaoBlackwell(2, flips)(generator, loss, Expectation(), rng=[Fixed()])
        total += p[a] * p[b] * flat(generator) / len(orders)
    np.testing.assert_allclose(total, expected, atol=1e-10)


# -- the polynomial --------------------------------------------------------------------------------


def terms_of(bits):
    """Signs and their products [draw, 15] of 5 bits."""
    signs = 2.0 * bits - 1
    pairs = [signs[:, a] * signs[:, b] for a, b in itertools.combinations(range(N), 2)]
    return np.concatenate([signs, np.stack(pairs, axis=1)], axis=1)


def test_the_polynomial_is_a_ridge_regression_on_the_other_half():
    """Least squares with a row √10 · 1 more for each term; 5 bits, 15 terms, 70 draws."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (1, 1, 70, N)).astype(np.uint8)
    losses = rng.normal(size=(1, 1, 70))
    values, changes = polynomials(bits, losses)
    for own, other in ((slice(35), slice(35, None)), (slice(35, None), slice(35))):
        terms = terms_of(bits[0, 0, other])
        mean = terms.mean(axis=0)
        rows = np.concatenate([terms - mean, np.sqrt(10) * np.eye(15)])
        known = np.concatenate([losses[0, 0, other] - losses[0, 0, other].mean(), np.zeros(15)])
        fitted, *_ = np.linalg.lstsq(rows, known, rcond=None)
        mine = (terms_of(bits[0, 0, own]) - mean) @ fitted
        np.testing.assert_allclose(values[0, 0, own], mine, atol=1e-12)
        for bit in range(N):
            flipped = bits[0, 0, own].copy()
            flipped[:, bit] ^= 1
            there = (terms_of(flipped) - mean) @ fitted
            np.testing.assert_allclose(changes[0, 0, own, bit], there - mine, atol=1e-12)


def test_replicas_and_inputs_are_fitted_apart():
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, (2, 3, 70, N)).astype(np.uint8)
    losses = rng.normal(size=(2, 3, 70))
    values, changes = polynomials(bits, losses)
    alone = polynomials(bits[1:, 2:], losses[1:, 2:])
    np.testing.assert_array_equal(values[1:, 2:], alone[0])
    np.testing.assert_array_equal(changes[1:, 2:], alone[1])


def test_a_draw_does_not_know_its_own_loss():
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2, (1, 1, 70, N)).astype(np.uint8)
    losses = rng.normal(size=(1, 1, 70))
    other = losses.copy()
    other[..., :35] = rng.normal(size=35)
    for before, after in zip(polynomials(bits, losses), polynomials(bits, other), strict=True):
        np.testing.assert_array_equal(before[:, :, :35], after[:, :, :35])
        assert (before[:, :, 35:] != after[:, :, 35:]).any()


@pytest.mark.parametrize(("shots", "order"), [(16, 2), (15, 1), (6, 1), (5, 0), (2, 0)])
def test_the_order_falls_where_draws_are_few(shots, order):
    """16 terms of order 2 and 6 of order 1; what is shown is fitted to the smaller half."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, (1, 1, shots, N)).astype(np.uint8)
    _, changes = polynomials(bits, rng.normal(size=(1, 1, shots)))
    s = 2.0 * bits[0, 0, shots // 2 :] - 1
    slopes = -changes[0, 0, shots // 2 :] / (2 * s)
    assert slopes.any() == (order > 0)
    assert (np.ptp(slopes, axis=0).max() > 1e-9) == (order > 1)


def test_one_bit_has_no_pairs():
    bits = np.array([0, 1] * 8, dtype=np.uint8).reshape(1, 1, 16, 1)
    values, changes = polynomials(bits, 3.0 * bits[..., 0])
    slope = 1.5 * 8 / (8 + 10)  # shrunk: eight draws against ten that say 0
    np.testing.assert_allclose(changes[..., 0], -2 * slope * (2.0 * bits[..., 0] - 1), atol=1e-12)
    np.testing.assert_allclose(values, slope * (2.0 * bits[..., 0] - 1), atol=1e-12)


# -- the estimator ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATORS)
def test_it_is_unbiased_and_varies_less(name):
    """Of a loss that no quadratic fits: seeds 0 to 399, 64 draws, within 5 standard errors."""
    one, many = GENERATORS[name]((5,)), GENERATORS[name](range(400))
    with torch.no_grad():
        for own, all_of in zip(one.parameters(), many.parameters(), strict=True):
            all_of.copy_(own.expand_as(all_of))
    rough = np.random.default_rng(4).normal(scale=0.3, size=2**N)
    table = rough + (2.0 * STRINGS - 1) @ np.array([2.0, -1.0, 0.5, 1.0, -1.5])

    def objective(bits):
        return table[bits.astype(int) @ (1 << np.arange(N))]

    expected, spread = exact(one, objective)[0], {}
    for estimator in (Stein(64), ScoreFunction(64)):
        many.zero_grad()
        got = estimator(many, objective, Expectation(), rng=Streams(many.seeds)(0))
        found = flat(many)
        error = found.std(axis=0, ddof=1) / 20
        assert (np.abs(found.mean(axis=0) - expected) <= 5 * error + 1e-12).all()
        assert got.spent == Spending(64, 64, 1) == estimator.cost(many, Expectation())
        spread[type(estimator)] = found.var(axis=0).sum()
    assert spread[Stein] < 0.9 * spread[ScoreFunction]


def test_with_inputs_it_is_the_mean_over_them():
    generator = ConditionalBernoulli(3, n_inputs=2, hidden=3, seeds=(1,))
    one, two = [[0.3, -1.0]], [[0.3, -1.0], [1.2, 0.4]]
    assert Stein(40).cost(generator, Expectation(), n_inputs=2) == Spending(80, 80, 2)
    many = ConditionalBernoulli(3, n_inputs=2, hidden=3, seeds=range(400))
    with torch.no_grad():
        for own, all_of in zip(generator.parameters(), many.parameters(), strict=True):
            all_of.copy_(own.expand_as(all_of))
    for inputs in (one, two):  # seeds 0 to 399, within 5 standard errors
        generator.zero_grad()
        many.zero_grad()
        Exact()(generator, loss, Expectation(), inputs=inputs)
        Stein(40)(many, loss, Expectation(), rng=Streams(many.seeds)(0), inputs=inputs)
        found = flat(many)
        error = found.std(axis=0, ddof=1) / 20
        assert (np.abs(found.mean(axis=0) - flat(generator)[0]) <= 5 * error + 1e-12).all()


def test_few_draws_are_a_plain_score_function():
    found = []
    for estimator in (Stein(4), ScoreFunction(4)):
        generator = circuit((1, 2))
        estimator(generator, loss, Expectation(), rng=Streams((1, 2))(0))
        found.append(flat(generator))
    np.testing.assert_array_equal(*found)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigurationError, match="needs at least 2 shots, one in each half; got 1"):
        Stein(1)
    with pytest.raises(ConfigurationError, match=r"got the risk CVaR.*it supports Expectation"):
        Stein(8).check(circuit((0,)), CVaR(0.5))
    with pytest.raises(ConfigurationError, match=r"log p of all 65 strings .* Use score-function"):
        Stein(8).check(build_generator("bernoulli", 65), Expectation())
    Stein(8).check(build_generator("bernoulli", 64), Expectation())
    sampled = QuantumHyperNetwork(3, ansatz=Product(), backend="aer", seeds=[0])
    with pytest.raises(ConfigurationError, match=r"Stein .* needs log p, and .* has none"):
        Stein(8).check(sampled, Expectation())
