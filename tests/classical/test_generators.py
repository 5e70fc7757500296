"""What every classical generator must do, and each one against an oracle written by hand."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from classical import autoregressive
from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.categorical import Categorical
from classical.mlp import MLP
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.layered.space import WeightSpace

SPACE = WeightSpace((2, 2, 1))
N = SPACE.n_bits

MAKERS = {
    "bernoulli": lambda seeds: Bernoulli(N, seeds=seeds),
    "categorical": lambda seeds: Categorical(N, seeds=seeds, layout=SPACE.layout),
    "mlp": lambda seeds: MLP(N, seeds=seeds, latent_bits=2, hidden=5),
    "mlp-constant": lambda seeds: MLP(N, seeds=seeds, latent_bits=0, hidden=5),
    "autoregressive": lambda seeds: Autoregressive(N, seeds=seeds, hidden=7),
}


def spread(generator, scale=1.0):
    """Move the parameters well away from the uniform start, each replica by its own seed."""
    with torch.no_grad():
        for parameter in generator.parameters():
            for values, seed in zip(parameter, generator.seeds, strict=True):
                rng = np.random.default_rng([seed, values.numel()])
                values += torch.from_numpy(rng.normal(0, scale, values.shape))
    return generator


@pytest.fixture(params=MAKERS)
def make(request):
    return lambda seeds=(0, 1, 2): spread(MAKERS[request.param](seeds))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def coin(bit, logit):
    return sigmoid(logit) if bit else sigmoid(-logit)


# -- every generator --------------------------------------------------------------------------


def test_probabilities_sum_to_one(make):
    totals = make().probabilities().sum(-1).detach().numpy()
    np.testing.assert_allclose(totals, np.ones((3, 1)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_starts_near_the_uniform_distribution(name):
    generator = MAKERS[name](range(4))
    log_p = generator.probabilities().log().detach().numpy()
    assert abs(log_p + N * math.log(2)).max() < 1


def test_gradient_agrees_with_central_differences(make):
    generator = make()
    bits = np.random.default_rng(5).integers(2, size=(3, 1, 4, N), dtype=np.uint8)
    coefficients = np.random.default_rng(6).normal(size=(3, 1, 4))

    def value():
        with torch.no_grad():
            return float((generator.log_prob(bits).numpy() * coefficients).sum())

    generator.accumulate_scores(bits, coefficients)
    step = 1e-6
    for parameter in generator.parameters():
        assert parameter.grad is not None
        flat, grad = parameter.detach().view(-1), parameter.grad.reshape(-1)
        for i in range(len(flat)):
            centre = float(flat[i])
            flat[i] = centre + step
            above = value()
            flat[i] = centre - step
            below = value()
            flat[i] = centre
            assert float(grad[i]) == pytest.approx((above - below) / (2 * step), abs=1e-7)


def test_draws_follow_log_p(make):
    # Seed 3, 20,000 draws of 64 values, p > 1e-6: fails by chance once in a million.
    generator = make()
    shots = 20_000
    bits = generator.sample(shots, rng=Streams(generator.seeds)(3)).bits
    p = generator.probabilities().detach().numpy()[:, 0]
    for replica in range(3):
        numbers = bits[replica, 0] @ (1 << np.arange(N))
        counts = np.bincount(numbers, minlength=1 << N)
        expected = shots * p[replica]
        rare = expected < 5  # pooled, as the chi-squared law needs some counts in each cell
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        assert chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-6


def test_draws_are_bits_in_the_agreed_shape(make):
    generator = make()
    bits = generator.sample(5, rng=Streams(generator.seeds)(0)).bits
    assert bits.shape == (3, 1, 5, N)
    assert bits.dtype == np.uint8
    assert bits.max() <= 1


def test_replicas_are_independent(make):
    together = make((4, 5, 6))
    bits = together.sample(50, rng=Streams((4, 5, 6))(1)).bits
    log_p = together.log_prob(bits).detach().numpy()
    for replica, seed in enumerate((4, 5, 6)):
        alone = make((seed,))
        same = alone.sample(50, rng=Streams((seed,))(1)).bits
        np.testing.assert_array_equal(same[0], bits[replica])
        np.testing.assert_allclose(
            alone.log_prob(same).detach().numpy()[0], log_p[replica], rtol=1e-13
        )


def test_log_p_takes_bits_shared_by_all_replicas(make):
    generator = make()
    log_p = generator.log_prob(all_bitstrings(N)[None, None])
    assert log_p.shape == (3, 1, 64)
    assert log_p.dtype == torch.float64
    np.testing.assert_allclose(
        log_p[:, 0].exp().detach().numpy(), generator.probabilities()[:, 0].detach()
    )
    with pytest.raises(ConfigurationError, match="one input for an unconditional generator"):
        generator.log_prob(all_bitstrings(N).reshape(1, 4, 16, N))


def test_extreme_parameters_stay_finite(make):
    generator = make()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter *= 1000
    bits = generator.sample(20, rng=Streams(generator.seeds)(0)).bits
    generator.accumulate_scores(bits, np.ones((3, 1, 20)))
    assert torch.isfinite(generator.log_prob(bits)).all()
    assert all(torch.isfinite(p.grad).all() for p in generator.parameters())


@pytest.mark.parametrize("name", ["bernoulli", "mlp", "autoregressive"])
def test_one_bit_is_enough(name):
    make = {"bernoulli": Bernoulli, "mlp": MLP, "autoregressive": Autoregressive}[name]
    generator = spread(make(1, seeds=(0, 1)))
    assert float(generator.probabilities().sum().detach()) == pytest.approx(2)
    assert generator.sample(3, rng=Streams((0, 1))(0)).bits.shape == (2, 1, 3, 1)


# -- Bernoulli --------------------------------------------------------------------------------


def test_bernoulli_is_a_product():
    generator = spread(Bernoulli(N, seeds=(0, 1)))
    p = generator.probabilities().detach().numpy()
    for replica, logits in enumerate(generator.logits.tolist()):
        for number, bits in enumerate(all_bitstrings(N)):
            by_hand = math.prod(coin(b, logit) for b, logit in zip(bits, logits, strict=True))
            assert p[replica, 0, number] == pytest.approx(by_hand, rel=1e-12)


# -- Categorical ------------------------------------------------------------------------------


def test_categorical_is_a_product_over_hidden_units():
    # (2, 2, 1): W1 = bits 0..3 row-major [in, out], W2 = bits 4, 5. Unit 0 has the bits 0, 2, 4.
    generator = spread(Categorical(N, layout=SPACE.layout))
    units = [[math.exp(x) for x in row] for row in generator.logits[0].tolist()]
    p = generator.probabilities().detach().numpy()[0, 0]
    for number, w in enumerate(all_bitstrings(N).tolist()):
        first = units[0][w[0] + 2 * w[2] + 4 * w[4]] / sum(units[0])
        second = units[1][w[1] + 2 * w[3] + 4 * w[5]] / sum(units[1])
        assert p[number] == pytest.approx(first * second, rel=1e-12)


def test_categorical_of_the_thesis_network():
    generator = Categorical(36, layout=WeightSpace((4, 6, 2)).layout)
    assert generator.n_parameters == 6 * 64
    assert generator.describe() == "Categorical, 6 hidden units of 64 values each"


@pytest.mark.parametrize(
    ("n_bits", "space", "match"),
    [
        (6, None, "needs the target's layout"),
        (7, SPACE, "n_bits=7, but the layout .* has 6 bits"),
        (2, WeightSpace((2, 1)), "one hidden layer"),
        (16, WeightSpace((2, 2, 3, 2)), "one hidden layer"),
        (9, WeightSpace((2, 2, 1), biases=True), "0.bias 2, 1.bias 1 has 1 more"),
        (34, WeightSpace((16, 2, 1)), r"17 bits; the limit is 16.* = 262144 logits"),
    ],
)
def test_categorical_refuses(n_bits, space, match):
    with pytest.raises(ConfigurationError, match=match):
        Categorical(n_bits, layout=space and space.layout)


# -- MLP --------------------------------------------------------------------------------------


def test_mlp_is_the_mixture_over_all_latent_values():
    generator = spread(MLP(N, latent_bits=2, hidden=3))
    W1, b1, W2, b2 = (
        p[0].tolist() for p in (generator.W1, generator.b1, generator.W2, generator.b2)
    )
    by_hand = np.zeros(1 << N)
    for z in product((-1, 1), repeat=2):
        hidden = [math.tanh(b1[h] + sum(z[k] * W1[k][h] for k in range(2))) for h in range(3)]
        logits = [b2[i] + sum(hidden[h] * W2[h][i] for h in range(3)) for i in range(N)]
        for number, w in enumerate(all_bitstrings(N)):
            by_hand[number] += math.prod(map(coin, w, logits)) / 4
    np.testing.assert_allclose(generator.probabilities().detach()[0, 0], by_hand, rtol=1e-12)


def test_mlp_of_a_constant_input_is_the_bernoulli_of_its_logits():
    constant = spread(MLP(N, seeds=(0, 1), latent_bits=0))
    product_of_bits = Bernoulli(N, seeds=(0, 1))
    with torch.no_grad():
        logits = constant.b1.tanh()[:, None] @ constant.W2 + constant.b2[:, None]
        product_of_bits.logits.copy_(logits[:, 0])
    np.testing.assert_allclose(
        constant.probabilities().detach(), product_of_bits.probabilities().detach(), rtol=1e-12
    )
    assert "reparametrised Bernoulli" in constant.describe()


@pytest.mark.parametrize("options", [{"latent_bits": -1}, {"latent_bits": 9}, {"hidden": 0}])
def test_mlp_refuses(options):
    (name, value), *_ = options.items()
    with pytest.raises(ConfigurationError, match=f"{name} .*got {value}"):
        MLP(N, **options)


# -- Autoregressive ---------------------------------------------------------------------------


def logits_of(generator, strings):
    with torch.no_grad():
        return generator._logits(torch.from_numpy(2.0 * strings[None] - 1))[0].numpy()


def test_made_is_the_masked_network_written_as_loops():
    # Unit h sees the first d_h bits and speaks to the bits after them.
    generator = spread(Autoregressive(N, hidden=7))
    W1, b1, W2, b2 = (
        p[0].tolist() for p in (generator.W1, generator.b1, generator.W2, generator.b2)
    )
    degrees = [1, 1, 2, 3, 3, 4, 5]
    p = generator.probabilities().detach().numpy()[0, 0]
    for number, w in enumerate(all_bitstrings(N).tolist()):
        units = [
            max(0.0, b1[h] + sum((2 * w[j] - 1) * W1[j][h] for j in range(degrees[h])))
            for h in range(7)
        ]
        logits = [
            b2[i] + sum(units[h] * W2[h][i] for h in range(7) if degrees[h] <= i) for i in range(N)
        ]
        assert p[number] == pytest.approx(math.prod(map(coin, w, logits)), rel=1e-12)


def test_made_changing_a_bit_leaves_the_conditionals_up_to_it():
    generator = spread(Autoregressive(N, hidden=7))
    strings = all_bitstrings(N)
    for j in range(N):
        changed = strings.copy()
        changed[:, j] ^= 1
        before, after = logits_of(generator, strings), logits_of(generator, changed)
        np.testing.assert_array_equal(after[:, : j + 1], before[:, : j + 1])
        if j + 1 < N:
            assert (after[:, j + 1] != before[:, j + 1]).any()


def test_made_counts_no_masked_weight():
    generator = spread(Autoregressive(N, hidden=7))
    with torch.no_grad():
        generator.b1 += 100  # no unit rests, so every weight that is not masked has a gradient
    bits = np.random.default_rng(0).integers(2, size=(1, 1, 200, N), dtype=np.uint8)
    generator.accumulate_scores(bits, np.random.default_rng(1).normal(size=(1, 1, 200)))
    moved = sum(int(torch.count_nonzero(p.grad)) for p in generator.parameters())
    assert generator.n_parameters == moved


def test_made_kernel_is_its_plain_python():
    generator = spread(Autoregressive(N, seeds=(0, 1), hidden=7))
    parameters = (generator.W1, generator.b1, generator.W2, generator.b2)
    arguments = (
        np.random.default_rng(2).random((2, N, 30)),
        *(p.detach().numpy() for p in parameters),
        generator._complete,
    )
    np.testing.assert_array_equal(
        autoregressive._compiled()(*arguments), autoregressive._draw(*arguments)
    )


def test_made_refuses_no_hidden_unit():
    with pytest.raises(ConfigurationError, match=r"hidden .* got 0"):
        Autoregressive(N, hidden=0)
