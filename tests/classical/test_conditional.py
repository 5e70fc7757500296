"""ConditionalBernoulli against its formula written by hand, and the contract of a generator.

It is no entry point, so the contract of registered generators does not try it.
"""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import expit
from scipy.stats import chisquare

from classical.conditional import ConditionalBernoulli, InputLogits
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams

N = 4
INPUTS = np.array([[0.0, 0.0, 0.0], [1.0, -0.5, 0.3], [-2.0, 0.7, 1.5]])
SEEDS = (0, 1, 2)
STRINGS = np.broadcast_to(all_bitstrings(N), (3, 3, 2**N, N))


def make(seeds=SEEDS, **options):
    return ConditionalBernoulli(N, **{"n_inputs": 3, "hidden": 5, "seeds": seeds, **options})


def spread(generator, scale=0.7):
    """Move the parameters well away from the start, each replica by its own seed."""
    with torch.no_grad():
        for parameter in generator.parameters():
            for values, seed in zip(parameter, generator.seeds, strict=True):
                rng = np.random.default_rng([seed, values.numel()])
                values += torch.from_numpy(rng.normal(0, scale, values.shape))
    return generator


def parameters_of(generator):
    """W1, b1, W2 and b2, each [replica, ...]."""
    names = ("W1", "b1", "W2", "b2")
    return [getattr(generator, name).detach().numpy().copy() for name in names]


def draw(generator, shots, step=0, inputs: npt.ArrayLike = INPUTS):
    return generator.sample(shots, rng=Streams(generator.seeds)(step), inputs=inputs).bits


def gradient(generator):
    """[replica, parameter]"""
    return torch.cat([p.grad.reshape(3, -1) for p in generator.parameters()], dim=1)


# -- the distribution -----------------------------------------------------------------------------


def test_it_is_the_product_of_the_formula():
    generator = spread(make())
    p = generator.probabilities(inputs=INPUTS).detach().numpy()
    assert p.shape == (3, 3, 2**N)
    for replica, (W1, b1, W2, b2) in enumerate(zip(*parameters_of(generator), strict=True)):
        for own, x in enumerate(INPUTS.tolist()):
            hidden = [b1[h] + sum(x[j] * W1[j, h] for j in range(3)) for h in range(5)]
            logits = [b2[i] + sum(hidden[h] * W2[h, i] for h in range(5)) for i in range(N)]
            for number, w in enumerate(all_bitstrings(N).tolist()):
                by_hand = math.prod(
                    1 / (1 + math.exp(-z if bit else z)) for bit, z in zip(w, logits, strict=True)
                )
                assert p[replica, own, number] == pytest.approx(by_hand, rel=1e-12)


def test_probabilities_sum_to_one_for_every_input():
    inputs = np.random.default_rng(0).normal(0, 3, (20, 3))
    totals = spread(make()).probabilities(inputs=inputs).sum(-1).detach().numpy()
    np.testing.assert_allclose(totals, np.ones((3, 20)), rtol=0, atol=1e-12)


def test_draws_follow_the_formula_at_every_input():
    # Seeds 0 to 2, 20,000 draws of 16 values for each of 3 inputs, p > 1e-6 each.
    generator, shots = spread(make()), 20_000
    bits = draw(generator, shots)
    p = generator.probabilities(inputs=INPUTS).detach().numpy()
    for replica, own in np.ndindex(3, 3):
        counts = np.bincount(bits[replica, own] @ (1 << np.arange(N)), minlength=2**N)
        expected = shots * p[replica, own]
        rare = expected < 5  # pooled, as the chi-squared law needs some counts in each cell
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        assert chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-6
    # and the weights of one input have nothing to do with those of another
    centred = bits - bits.mean(axis=2, keepdims=True)
    correlations = np.einsum("rsi,rsj->rij", centred[:, 0], centred[:, 1]) / shots
    assert abs(correlations).max() < 5 * 0.25 / np.sqrt(shots)


def test_it_starts_near_the_uniform_distribution_at_any_input():
    # Seeds 0 to 499: logits of variance 0.05² (1 + (|x|² + 1) / 4). The standard deviation of
    # 2,000 has a relative error of 1.8 %, as those of one replica share its hidden units: 5 sigma.
    generator = make(range(500), hidden=16)
    inputs = torch.from_numpy(INPUTS).expand(500, -1, -1)
    logits = generator.logits(inputs).detach().numpy()
    for own, x in enumerate(INPUTS):
        sigma = 0.05 * np.sqrt(1 + (x @ x + 1) / 4)
        assert logits[:, own].std() == pytest.approx(sigma, rel=0.09)
        assert abs(logits[:, own]).max() < 7 * sigma


def test_one_bit_one_feature_and_one_hidden_unit_are_enough():
    generator = ConditionalBernoulli(1, n_inputs=1, hidden=1, seeds=(0, 1))
    assert generator.n_parameters == 4
    p = generator.probabilities(inputs=[[2.0]])
    assert float(p.sum().detach()) == pytest.approx(2)
    assert draw(generator, 3, inputs=[[2.0]]).shape == (2, 1, 3, 1)


def test_extreme_parameters_stay_finite():
    generator = make()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter *= 1000
    bits = draw(generator, 20)
    generator.accumulate_scores(bits, np.ones((3, 3, 20)), inputs=INPUTS)
    assert torch.isfinite(generator.log_prob(bits, inputs=INPUTS)).all()
    assert torch.isfinite(gradient(generator)).all()


# -- scores ---------------------------------------------------------------------------------------


def test_scores_are_the_derivatives_by_hand():
    # ∂ log p / ∂l_i = w_i - σ(l_i), and the logits are two linear layers.
    generator = spread(make())
    bits = draw(generator, 40)
    W1, b1, W2, b2 = parameters_of(generator)
    hidden = INPUTS @ W1 + b1[:, None]
    by_logit = bits - expit(hidden @ W2 + b2[:, None])[:, :, None]
    by_hidden = np.einsum("rksi,rhi->rksh", by_logit, W2)
    expected = [
        np.einsum("kj,rksh->rksjh", INPUTS, by_hidden),
        by_hidden,
        np.einsum("rkh,rksi->rkshi", hidden, by_logit),
        by_logit,
    ]
    flat = np.concatenate([part.reshape(3, 3, 40, -1) for part in expected], axis=-1)
    found = generator.scores(bits, inputs=INPUTS)
    np.testing.assert_allclose(found, flat, rtol=0, atol=1e-12)

    coefficients = np.random.default_rng(1).normal(size=(3, 3, 40))
    generator.accumulate_scores(bits, coefficients, inputs=INPUTS)
    summed = np.einsum("rks,rksp->rp", coefficients, flat)
    np.testing.assert_allclose(gradient(generator), summed, rtol=0, atol=1e-10)


def test_the_mean_score_is_zero_at_every_input():
    generator = spread(make())
    p = generator.probabilities(inputs=INPUTS).detach().numpy()
    scores = generator.scores(STRINGS, inputs=INPUTS)
    assert abs(np.einsum("rks,rksp->rkp", p, scores)).max() < 1e-12


# -- inputs ---------------------------------------------------------------------------------------


def test_inputs_are_shared_by_all_replicas_or_each_has_its_own():
    generator = spread(make())
    bits, own = draw(generator, 30), np.repeat(INPUTS[None], 3, axis=0)
    np.testing.assert_array_equal(draw(generator, 30, inputs=own), bits)
    shared = generator.log_prob(bits, inputs=INPUTS)
    torch.testing.assert_close(generator.log_prob(bits, inputs=own), shared, rtol=0, atol=0)

    own[1] = own[1, ::-1]
    p = generator.probabilities(inputs=own)
    expected = generator.probabilities(inputs=INPUTS)
    torch.testing.assert_close(p[1], expected[1].flip(0), rtol=0, atol=1e-14)
    torch.testing.assert_close(p[[0, 2]], expected[[0, 2]], rtol=0, atol=1e-14)


@pytest.mark.parametrize("inputs", [INPUTS.tolist(), torch.from_numpy(INPUTS), INPUTS.astype("f4")])
def test_inputs_may_be_lists_tensors_and_single_precision(inputs):
    generator = spread(make())
    np.testing.assert_allclose(
        generator.probabilities(inputs=inputs).detach(),
        generator.probabilities(inputs=INPUTS).detach(),
        rtol=0,
        atol=1e-6,
    )


def test_inputs_that_are_read_only_are_taken_without_a_warning():
    generator, inputs = spread(make()), INPUTS.copy()
    before = generator.probabilities(inputs=inputs)
    inputs.setflags(write=False)
    torch.testing.assert_close(generator.probabilities(inputs=inputs), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "depends on inputs of 3 features; got none"),
        ([0.0, 0.0, 0.0], r"Got inputs of shape \(3,\); expected \[input, 3\]"),
        ([[0.0, 0.0]], r"Got inputs of shape \(3, 1, 2\)"),
        (np.zeros((2, 1, 3)), r"Got inputs of shape \(2, 1, 3\)"),
        ([[0.0, np.nan, 0.0]], "Inputs must be finite"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, message):
    generator = make()
    bits = np.zeros((3, 1, 2, N), np.uint8)
    for attempt in (
        lambda: generator.sample(2, rng=Streams(SEEDS)(0), inputs=inputs),
        lambda: generator.log_prob(bits, inputs=inputs),
        lambda: generator.probabilities(inputs=inputs),
        lambda: generator.scores(bits, inputs=inputs),
    ):
        with pytest.raises(ConfigurationError, match=message):
            attempt()


def test_bits_for_another_number_of_inputs_are_refused():
    with pytest.raises(ConfigurationError, match=r"Got bits of shape \(3, 1, 2, 4\).*3 inputs"):
        make().log_prob(np.zeros((3, 1, 2, N), np.uint8), inputs=INPUTS)


# -- the contract ---------------------------------------------------------------------------------


def test_it_says_what_it_is():
    generator = make()
    assert generator.describe() == "Bernoulli of 3 features, 5 linear hidden units"
    assert (generator.n_bits, generator.n_inputs, generator.seeds) == (N, 3, SEEDS)
    assert generator.n_parameters == 3 * 5 + 5 + 5 * N + N
    assert all(p.dtype == torch.float64 and len(p) == 3 for p in generator.parameters())


def test_replicas_are_independent():
    together = spread(make())
    bits = draw(together, 50)
    log_p = together.log_prob(bits, inputs=INPUTS).detach()
    for replica, seed in enumerate(SEEDS):
        alone, own = spread(make((seed,))), slice(replica, replica + 1)
        np.testing.assert_array_equal(draw(alone, 50), bits[own])
        again = alone.log_prob(bits[own], inputs=INPUTS)
        torch.testing.assert_close(again.detach(), log_p[own], rtol=0, atol=1e-12)


def test_the_same_stream_gives_the_same_draws_and_a_later_one_others():
    generator = make()
    np.testing.assert_array_equal(draw(generator, 50), draw(generator, 50))
    assert (draw(generator, 50) != draw(generator, 50, step=1)).any(axis=(1, 2, 3)).all()


def test_initialise_starts_anew_and_can_be_repeated():
    generator = make()
    start = parameters_of(generator)
    spread(generator).initialise()
    assert all(map(np.array_equal, parameters_of(generator), start))
    generator.initialise(restart=1)
    second = parameters_of(generator)
    assert all((one != two).all() for one, two in zip(start, second, strict=True))


def test_every_tensor_is_made_on_the_device_of_the_parameters():
    # A tensor made without `device` would be on the default device, and could not be used here.
    generator = spread(make())
    bits = draw(generator, 20)
    log_p = generator.log_prob(bits, inputs=INPUTS)
    with torch.device("meta"):
        np.testing.assert_array_equal(draw(generator, 20), bits)
        again = generator.log_prob(bits, inputs=INPUTS)
    torch.testing.assert_close(again, log_p, rtol=0, atol=0)


@pytest.mark.parametrize("options", [{"n_inputs": 0}, {"n_inputs": -1}, {"hidden": 0}])
def test_no_feature_and_no_hidden_unit_are_refused(options):
    ((name, value),) = options.items()
    with pytest.raises(ConfigurationError, match=rf"{name}={value}\b.*Without inputs, use Bern"):
        make(**options)


def test_no_seed_and_no_bit_are_refused():
    with pytest.raises(ConfigurationError, match="at least one seed"):
        make(())
    with pytest.raises(ConfigurationError, match="at least 1 bit"):
        ConditionalBernoulli(0, n_inputs=2)


# -- features that are logits ---------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [0, 5])
def test_input_logits_are_features_and_a_residual_mlp(hidden):
    generator = spread(InputLogits(3, hidden=hidden, scale=0.4, seeds=SEEDS))
    inputs = np.broadcast_to(INPUTS, (3, *INPUTS.shape))
    found = generator.marginals(inputs=inputs).detach().numpy()
    log_p = (
        generator.log_prob(np.broadcast_to(all_bitstrings(3), (3, 3, 8, 3)), inputs=inputs)
        .detach()
        .numpy()
    )
    for replica in range(3):
        logits = INPUTS.copy()
        if hidden:
            w1, b1, w2 = (
                getattr(generator, name).detach().numpy()[replica] for name in ("W1", "b1", "W2")
            )
            logits += 0.4 * np.tanh((INPUTS @ w1 + b1) / 2) @ w2 / math.sqrt(5)
        p = expit(logits)
        np.testing.assert_allclose(found[replica], p, rtol=1e-12)
        for k, string in enumerate(all_bitstrings(3)):
            expected = np.log(np.where(string, p, 1 - p)).sum(axis=1)
            np.testing.assert_allclose(log_p[replica, :, k], expected, rtol=1e-9)
    assert sum(p.numel() for p in generator.parameters()) == 3 * (3 * hidden + hidden + hidden * 3)
    assert ("residual MLP of 5 units" in generator.describe()) == bool(hidden)


def test_draws_of_the_residual_mlp_have_its_marginals():
    """Seed 0, 20,000 shots, 4.5 sigma."""
    generator, shots = spread(InputLogits(3, hidden=4, seeds=[0])), 20_000
    inputs = INPUTS[None]
    drawn = generator.sample(shots, rng=Streams([0])(0, "draw"), inputs=inputs).bits[0]
    p = generator.marginals(inputs=inputs).detach().numpy()[0]
    bound = 4.5 * np.sqrt(p * (1 - p) / shots)
    assert (np.abs(drawn.mean(axis=1) - p) < bound).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"hidden": -1}, "Got hidden=-1 and scale=0.1; expected 0 hidden"),
     ({"scale": 0.0}, "Got hidden=0 and scale=0.0"), ({"n_inputs": 2}, "one feature a bit")],
)  # fmt: skip
def test_input_logits_refuse(options, words):
    with pytest.raises(ConfigurationError, match=words):
        InputLogits(3, **options)
