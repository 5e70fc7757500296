"""The risks against their plain definitions, on distributions over all 64 strings of 6 bits."""

from dataclasses import dataclass

import numpy as np
import pytest

import qhyper.risk
from classical.bernoulli import Bernoulli
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.gradients.score import ScoreFunction
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, Sample, build_risk
from qhyper.streams import Streams
from qhyper.targets.objective import Objective

N = 6
STRINGS = all_bitstrings(N)
LOSSES = np.random.default_rng(1).normal(size=2**N) + 2
"""The loss of every string."""
DIFFERING = (STRINGS[:, None] != STRINGS[None]).sum(-1)
"""The Hamming distance of every two strings."""

ALL = [Expectation(), CVaR(0.3), FreeEnergy(0.7), MMD(2.0, 0.4)]
WITHOUT_QUANTILE = [Expectation(), FreeEnergy(0.7), MMD(2.0, 0.4)]


def name_of(risk):
    return type(risk).__name__


def distribution(seed=2, spread=1.0):
    """A distribution over all strings, [2^N]."""
    weights = np.exp(spread * np.random.default_rng(seed).normal(size=2**N))
    return weights / weights.sum()


def drawn(numbers, q):
    """Draws of q, by the numbers of their strings [..., shot]."""
    return Sample(STRINGS[numbers], LOSSES[numbers], np.log(q[numbers]))


def draws(shape, q, seed):
    return drawn(np.random.default_rng(seed).choice(2**N, size=shape, p=q), q)


def plain(risk, q, losses=LOSSES):
    """The risk of a distribution, written down as it is defined."""
    if isinstance(risk, CVaR):
        order = np.argsort(losses)
        left, total = risk.alpha, 0.0
        for p, loss in zip(q[order], losses[order], strict=True):
            total += min(p, left) * loss
            left -= min(p, left)
        return total / risk.alpha
    mean = sum(p * loss for p, loss in zip(q, losses, strict=True))
    if isinstance(risk, FreeEnergy):
        return mean + risk.temperature * sum(p * np.log(p) for p in q if p > 0)
    if isinstance(risk, MMD):
        off = q - 1 / len(q)
        return mean + risk.weight * off @ risk.kappa**DIFFERING @ off
    return mean


# -- exact -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("risk", ALL, ids=name_of)
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
def test_the_exact_value_is_that_of_the_definition(risk, spread):
    q = distribution(spread=spread)
    value, costs = risk.exact(q, LOSSES)
    assert value == pytest.approx(plain(risk, q), abs=1e-12)
    assert costs.shape == (2**N,)


@pytest.mark.parametrize("risk", ALL, ids=name_of)
def test_the_exact_costs_are_the_first_variation(risk):
    # R(q + eδ) - R(q - eδ) = 2e Σ δ c, for directions δ that keep the sum of q.
    q = distribution()
    _, costs = risk.exact(q, LOSSES)
    rng = np.random.default_rng(3)
    for _ in range(20):
        change = rng.normal(size=2**N) * q
        change -= q * change.sum()
        difference = plain(risk, q + 1e-5 * change) - plain(risk, q - 1e-5 * change)
        assert difference / 2e-5 == pytest.approx(change @ costs, abs=1e-8)


@pytest.mark.parametrize("risk", ALL, ids=name_of)
def test_leading_axes_are_independent(risk):
    q = np.stack([[distribution(seed), distribution(seed + 9)] for seed in range(3)])
    value, costs = risk.exact(q, np.broadcast_to(LOSSES, q.shape))
    assert value.shape == (3, 2)
    np.testing.assert_allclose(
        value, [[plain(risk, one) for one in own] for own in q], rtol=0, atol=1e-12
    )
    for place in np.ndindex(3, 2):
        np.testing.assert_allclose(
            np.broadcast_to(costs, q.shape)[place], risk.exact(q[place], LOSSES)[1], atol=1e-12
        )


@pytest.mark.parametrize("risk", ALL, ids=name_of)
def test_impossible_strings_are_no_trouble(risk):
    q = distribution()
    q[::3] = 0
    q /= q.sum()
    value, costs = risk.exact(q, LOSSES)
    assert value == pytest.approx(plain(risk, q), abs=1e-12)
    assert np.isfinite(costs).all()


# -- estimated from draws --------------------------------------------------------------------------


@pytest.mark.parametrize("risk", WITHOUT_QUANTILE, ids=name_of)
def test_the_value_is_unbiased_and_its_standard_error_right(risk):
    # Seed 4, 4,000 estimates of 100 shots. Their mean is within 5 standard errors (chance 6e-7).
    # The variance is known to √(2/4000) = 2.2 % (somewhat more for heavy tails), so 5 sigma are
    # 11 %; the error of MMD is of first order in 1/shots, which takes another 1 or 2 %.
    q = distribution()
    values, errors = risk.value(draws((4000, 100), q, seed=4))
    assert values.shape == errors.shape == (4000,)
    assert abs(values.mean() - plain(risk, q)) < 5 * values.std(ddof=1) / np.sqrt(4000)
    assert (errors**2).mean() == pytest.approx(values.var(ddof=1), rel=0.13)


def test_the_standard_error_of_mmd_alone_is_right():
    # Seed 19, 1,500 estimates of 100 shots, all losses 0: 5 sigma are 18 %, and the part of second
    # order in 1/shots some 2 %. Twice the kernel, as its first variation, is what varies.
    q = distribution(spread=2.0)
    some = draws((1500, 100), q, seed=19)
    values, errors = MMD(3.0, 0.4).value(Sample(some.bits, np.zeros((1500, 100))))
    expected = plain(MMD(3.0, 0.4), q, np.zeros(2**N))
    assert abs(values.mean() - expected) < 5 * values.std(ddof=1) / np.sqrt(1500)
    assert (errors**2).mean() == pytest.approx(values.var(ddof=1), rel=0.2)


def test_the_standard_error_of_cvar_is_right_for_many_shots():
    # Seed 5, 2,000 estimates of 2,000 shots: 5 standard errors; the variance is known to 3.2 %.
    # The shares at which the quantile would be another string, 0.343 and 0.415, are 3 sigma of the
    # share of 2,000 draws away from 0.38, so the bias is far below the standard error.
    q, risk = distribution(), CVaR(0.38)
    values, errors = risk.value(draws((2000, 2000), q, seed=5))
    assert abs(values.mean() - plain(risk, q)) < 5 * values.std(ddof=1) / np.sqrt(2000)
    assert (errors**2).mean() == pytest.approx(values.var(ddof=1), rel=0.16)


@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.3, 0.35, 0.5, 0.7, 0.99, 1.0, 1e-3, 1e-12])
@pytest.mark.parametrize("shots", [1, 3, 10, 40])
def test_cvar_of_draws_is_the_mean_of_the_best_share(alpha, shots):
    # the draws are a distribution in which each has probability 1/shots
    some = draws((2, 3, shots), distribution(), seed=6)
    value, _ = CVaR(alpha).value(some)
    expected = [
        [plain(CVaR(alpha), np.full(shots, 1 / shots), own) for own in row] for row in some.losses
    ]
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("shots", [1, 3, 10, 49, 100])
def test_the_quantile_of_a_whole_number_of_draws_is_the_last_of_them(shots):
    """alpha = k / shots, whatever alpha · shots is rounded to; a little more is the next draw."""
    losses = np.random.default_rng(20).permutation(shots) + 1.0
    some = Sample(np.zeros((shots, 1), np.uint8), losses)
    for k in range(1, shots + 1):
        for alpha, quantile in ((k / shots, k), ((k + 1e-6) / shots, k + 1)):
            if quantile <= shots:
                expected = quantile + np.minimum(losses - quantile, 0) / alpha
                np.testing.assert_array_equal(CVaR(alpha).costs(some, some), expected)


@pytest.mark.parametrize("possible", [3, 6, 7, 10, 13])
def test_the_exact_quantile_of_a_whole_number_of_equal_shares_is_the_last_of_them(possible):
    """alpha = k / n of n strings that are as likely, whatever their sum is rounded to."""
    order = np.random.default_rng(21).permutation(16)
    q = np.zeros(16)
    q[order[:possible]] = 1 / possible
    losses = np.arange(16.0)
    ranked = np.sort(losses[order[:possible]])
    for k in range(1, possible + 1):
        for alpha, number in ((k / possible, k), ((k / possible) * (1 + 1e-8), k + 1)):
            if number > possible:
                continue
            quantile = ranked[number - 1]
            _, costs = CVaR(alpha).exact(q, losses)
            expected = quantile + np.minimum(losses - quantile, 0) / alpha
            np.testing.assert_allclose(costs, expected, rtol=1e-12)


def test_probabilities_that_sum_to_less_than_alpha_have_the_largest_loss_as_their_quantile():
    value, costs = CVaR(1.0).exact(distribution() * (1 - 1e-10), LOSSES)
    np.testing.assert_allclose(costs, LOSSES, rtol=1e-12)
    assert value == pytest.approx(distribution() @ LOSSES, rel=1e-9)
    short = 0.5 * (1 - 1e-12)  # as good as one half
    _, costs = CVaR(0.5).exact(np.array([short, 1 - short]), np.array([1.0, 2.0]))
    assert costs.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("shots", [1, 2, 50])
def test_cvar_of_everything_is_the_expectation(shots):
    some = draws((3, shots), distribution(), seed=7)
    value, error = CVaR(1.0).value(some)
    mean, mean_error = Expectation().value(some)
    np.testing.assert_allclose(value, mean, rtol=1e-13)
    np.testing.assert_allclose(error, mean_error, rtol=1e-12)
    q = distribution()
    assert CVaR(1.0).exact(q, LOSSES)[0] == pytest.approx(q @ LOSSES, abs=1e-13)


@pytest.mark.parametrize("risk", [Expectation(), CVaR(0.3), FreeEnergy(0.7)], ids=name_of)
def test_one_draw_has_an_infinite_standard_error(risk):
    some = draws((4, 1), distribution(), seed=8)
    value, error = risk.value(some)
    expected = some.losses + (0.7 * some.log_prob if isinstance(risk, FreeEnergy) else 0)
    np.testing.assert_allclose(value, expected[:, 0])
    assert np.isinf(error).all()


def test_the_standard_error_by_hand():
    # mean 4, squares about it 9 + 1 + 0 + 4 + 4: variance 18 / 4, of the mean 18 / 20
    losses = np.array([1.0, 3, 4, 6, 6])
    value, error = Expectation().value(Sample(np.zeros((5, 1), np.uint8), losses))
    assert (value, error) == (4, pytest.approx(np.sqrt(0.9), rel=1e-14))


def test_mmd_is_the_u_statistic():
    risk, shots = MMD(2.0, 0.4), 9
    some = draws((2, shots), distribution(), seed=9)
    for bits, losses, value, own in zip(
        some.bits, some.losses, risk.value(some)[0], risk.own_costs(some)[0], strict=True
    ):
        total = 0.0
        for i in range(shots):
            pairs = [0.4 ** (bits[i] != bits[j]).sum() for j in range(shots) if j != i]
            total += sum(pairs)
            assert own[i] == pytest.approx(losses[i] + 4 * np.mean(pairs), abs=1e-12)
        square = total / (shots * (shots - 1)) - 0.7**N
        assert value == pytest.approx(losses.mean() + 2 * square, abs=1e-12)


def test_mmd_of_the_uniform_distribution_is_zero():
    # Seed 10, 4,000 estimates of 10 shots: within 5 standard errors, and not all of one sign.
    uniform = np.full(2**N, 1 / 2**N)
    assert MMD(1.0, 0.4).exact(uniform, np.zeros(2**N))[0] == pytest.approx(0, abs=1e-15)
    some = draws((4000, 10), uniform, seed=10)
    values, _ = MMD(1.0, 0.4).value(Sample(some.bits, np.zeros((4000, 10))))
    assert abs(values.mean()) < 5 * values.std(ddof=1) / np.sqrt(4000)
    assert values.min() < 0 < values.max()


def test_mmd_of_a_single_string_is_the_largest():
    one = np.eye(2**N)[37]
    value, _ = MMD(1.0, 0.4).exact(one, np.zeros(2**N))
    assert value == pytest.approx(1 - 0.7**N)
    same = Sample(np.repeat(STRINGS[37:38], 5, axis=0), np.zeros(5))
    assert MMD(1.0, 0.4).value(same)[0] == pytest.approx(1 - 0.7**N)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_weight_and_temperature_zero_leave_the_expectation(weight):
    some, q = draws((2, 20), distribution(), seed=11), distribution()
    for risk in (MMD(weight, 0.4), FreeEnergy(weight)):
        same = np.isclose(risk.exact(q, LOSSES)[0], q @ LOSSES)
        same_draws = np.allclose(risk.value(some)[0], some.losses.mean(-1))
        assert same == same_draws == (weight == 0)


# -- costs and baselines ---------------------------------------------------------------------------


@pytest.mark.parametrize("risk", WITHOUT_QUANTILE, ids=name_of)
def test_a_baseline_does_not_depend_on_its_own_draw(risk):
    numbers = np.random.default_rng(12).choice(2**N, size=8)
    q = distribution()
    _, before = risk.own_costs(drawn(numbers, q))
    for k in range(8):
        changed = numbers.copy()
        changed[k] = (changed[k] + 21) % 2**N
        _, after = risk.own_costs(drawn(changed, q))
        assert after[k] == pytest.approx(before[k], abs=1e-12)
        assert (abs(np.delete(after - before, k)) > 1e-6).all()


@pytest.mark.parametrize("risk", WITHOUT_QUANTILE, ids=name_of)
def test_a_baseline_is_the_mean_cost_of_the_others_without_the_own_draw(risk):
    some = draws((8,), distribution(), seed=13)
    _, baselines = risk.own_costs(some)
    for k in range(8):
        others = Sample(
            np.delete(some.bits, k, axis=0), np.delete(some.losses, k), np.delete(some.log_prob, k)
        )
        costs, _ = risk.own_costs(others)
        assert baselines[k] == pytest.approx(costs.mean(), abs=1e-12)


def test_the_baselines_of_cvar_are_means_of_the_other_costs():
    some = draws((8,), distribution(), seed=14)
    costs, baselines = CVaR(0.3).own_costs(some)
    quantile = np.sort(some.losses)[2]  # 2.4 of 8 draws
    np.testing.assert_allclose(costs, quantile + np.minimum(some.losses - quantile, 0) / 0.3)
    expected = [np.delete(costs, k).mean() for k in range(8)]
    np.testing.assert_allclose(baselines, expected, rtol=1e-12)


@pytest.mark.parametrize("risk", [Expectation(), FreeEnergy(0.7), MMD(2.0, 0.4)], ids=name_of)
def test_costs_about_a_reference_are_unbiased(risk):
    # Seed 15, 4,000 references of 20 shots: the cost of every string is, up to a constant, within
    # 5.5 standard errors of the exact one (64 strings: chance 3e-6).
    q = distribution()
    reference = draws((4000, 20), q, seed=15)
    costs = risk.costs(drawn(np.arange(2**N)[None], q), reference)
    _, exact = risk.exact(q, LOSSES)
    error = costs.std(axis=0, ddof=1) / np.sqrt(4000) if len(costs) > 1 else 0
    assert (abs(costs.mean(axis=0) - exact) <= 5.5 * error + 1e-12).all()


def test_costs_about_a_reference_by_hand():
    # of 4 losses the quantile of one half is 2, whatever the draws' own
    some = Sample(STRINGS[[0, 1, 3]], np.array([10.0, 0.0, 4.0]), np.log([0.5, 0.25, 0.25]))
    reference = Sample(STRINGS[[0, 0, 1, 63]], np.array([4.0, 1.0, 3.0, 2.0]))
    assert CVaR(0.5).costs(some, reference).tolist() == [2.0, -2.0, 2.0]
    # bits that differ from those of the reference: (0, 0, 1, 6), (1, 1, 0, 5) and (2, 2, 1, 4)
    kernel = [[0.4**k for k in own] for own in ((0, 0, 1, 6), (1, 1, 0, 5), (2, 2, 1, 4))]
    expected = some.losses + 2 * 3.0 * np.mean(kernel, axis=1)
    np.testing.assert_allclose(MMD(3.0, 0.4).costs(some, reference), expected, rtol=1e-14)
    expected = some.losses + 2.0 * some.log_prob
    np.testing.assert_allclose(FreeEnergy(2.0).costs(some, reference), expected, rtol=1e-14)


def test_references_are_shared_along_an_axis_of_one():
    """As by parameter shift: rows of draws, about one row at the parameters themselves."""
    q = distribution()
    rows, reference = draws((2, 3, 4, 5), q, seed=16), draws((2, 3, 1, 7), q, seed=17)
    for risk in ALL:
        costs = risk.costs(rows, reference)
        assert costs.shape == (2, 3, 4, 5)
        for at in np.ndindex(2, 3, 4):
            central = at[0], at[1], 0
            one = risk.costs(
                Sample(rows.bits[at], rows.losses[at], rows.log_prob[at]),
                Sample(reference.bits[central], reference.losses[central]),
            )
            np.testing.assert_allclose(costs[at], one, rtol=0, atol=1e-13)


@pytest.mark.parametrize("block", [1, 50, 7 * 50])
def test_the_kernel_is_summed_in_blocks(monkeypatch, block):
    some = draws((2, 50), distribution(), seed=18)
    whole = MMD(1.0, 0.4).own_costs(some)
    monkeypatch.setattr(qhyper.risk, "_BLOCK", block)  # of 1 or of 7 draws, and a last one
    for one, other in zip(MMD(1.0, 0.4).own_costs(some), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_draw_that_is_impossible_at_the_parameters_costs_its_loss():
    some = Sample(STRINGS[:2], LOSSES[:2], np.array([-np.inf, np.log(0.5)]))
    costs = FreeEnergy(2.0).costs(some, some)
    np.testing.assert_allclose(costs, [LOSSES[0], LOSSES[1] + 2 * np.log(0.5)])


# -- temperature -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "middle"), [("geometric", np.sqrt(2.0 * 0.02)), ("linear", 1.01)]
)
def test_a_schedule_goes_from_the_first_temperature_to_the_last(schedule, middle):
    risk = FreeEnergy(2.0, 0.02, schedule)
    for progress, temperature in ((0.0, 2.0), (0.5, middle), (1.0, 0.02)):
        now = risk.at(progress)
        assert now.temperature == pytest.approx(temperature, rel=1e-14)
        assert now.end_temperature is None
        assert now.at(0.7) is now


def test_a_linear_schedule_may_end_at_zero_and_one_may_rise():
    assert FreeEnergy(0.5, 0.0, "linear").at(1.0).temperature == 0
    assert FreeEnergy(0.1, 0.4).at(0.5).temperature == pytest.approx(0.2)


def test_a_schedule_keeps_a_class_of_ones_own():
    @dataclass(frozen=True)
    class Mine(FreeEnergy):
        prior: float = 3.0

    now = Mine(2.0, 0.5, prior=4.0).at(0.5)
    assert (type(now), now.temperature, now.prior) == (Mine, 1.0, 4.0)


@pytest.mark.parametrize("risk", [Expectation(), CVaR(), MMD(), FreeEnergy(0.3)], ids=name_of)
def test_without_a_schedule_a_risk_stays(risk):
    assert all(risk.at(progress) is risk for progress in (0.0, 0.4, 1.0))


@pytest.mark.parametrize("temperature", [0.05, 0.7, 20.0])
def test_kl_is_that_to_the_posterior(temperature):
    risk = FreeEnergy(temperature)
    boltzmann = np.exp(-LOSSES / temperature)
    log_z = np.log(boltzmann.sum())
    posterior = boltzmann / boltzmann.sum()
    for seed in range(30):
        q = distribution(seed, spread=seed / 5)
        by_summation = (q * np.log(q / posterior)).sum()
        by_free_energy = risk.kl(risk.exact(q, LOSSES)[0], log_z)
        assert by_free_energy == pytest.approx(by_summation, abs=1e-9)
        assert by_free_energy > 0
    at_minimum = risk.kl(risk.exact(posterior, LOSSES)[0], log_z)
    assert at_minimum == pytest.approx(0, abs=1e-9)
    # values [replica] give as many divergences
    np.testing.assert_allclose(risk.kl([1.0, 2.0], log_z), np.array([1, 2]) / temperature + log_z)


# -- refusals and names ----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0, -0.1, 1.0001, 2, np.nan, np.inf, True, None])
def test_alpha_outside_its_range_is_refused(alpha):
    with pytest.raises(
        ConfigurationError, match=f"CVaR needs 0 < alpha <= 1, .* best draws; got {alpha}"
    ):
        CVaR(alpha)


@pytest.mark.parametrize("temperature", [-1e-9, -3, np.nan, np.inf, True])
def test_a_temperature_that_is_none_is_refused(temperature):
    message = rf"The free energy needs a temperature of 0 or more, below 1e\+100; got {temperature}"
    with pytest.raises(ConfigurationError, match=message):
        FreeEnergy(temperature)
    with pytest.raises(ConfigurationError, match=message):
        FreeEnergy(1.0, temperature, "linear")


@pytest.mark.parametrize(
    "ends", [(0.0, 1.0), (1.0, 0.0), (0.0, 1.0, "geometric"), (1.0, 0.0, "geometric")]
)
def test_a_geometric_schedule_from_or_to_zero_is_refused(ends):
    message = rf"geometric schedule cannot go from {ends[0]} to {ends[1]}: use schedule='linear'"
    with pytest.raises(ConfigurationError, match=message):
        FreeEnergy(*ends)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ConfigurationError, match="'geometric' or 'linear'; got 'cosine'"):
        FreeEnergy(1.0, 0.5, "cosine")


def test_there_is_no_kl_at_temperature_zero():
    with pytest.raises(ConfigurationError, match="At temperature 0 there is no posterior"):
        FreeEnergy(0.0).kl(1.0, 2.0)


@pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf, True])
def test_a_negative_weight_is_refused(weight):
    with pytest.raises(ConfigurationError, match=rf"MMD needs .* below 1e\+100; got {weight}"):
        MMD(weight)


@pytest.mark.parametrize("kappa", [0, 1, -0.5, 1.5, np.nan, True])
def test_a_kappa_outside_its_range_is_refused(kappa):
    message = f"MMD needs 0 < kappa < 1, the kernel's factor .* differs; got {kappa}"
    with pytest.raises(ConfigurationError, match=message):
        MMD(1.0, kappa)


def test_risks_are_built_by_name():
    known = {"expectation": Expectation, "cvar": CVaR, "free-energy": FreeEnergy, "mmd": MMD}
    assert {name: type(build_risk(name)) for name in known} == known
    assert build_risk("cvar", {"alpha": 0.1}) == CVaR(0.1)
    assert build_risk("qhyper.risk:MMD", {"kappa": 0.2}) == MMD(1.0, 0.2)
    for options, message in (
        ({"alpah": 0.1}, "Unknown option of the risk cvar: 'alpah'. Did you mean 'alpha'?"),
        ({"alpha": 0}, "0 < alpha <= 1"),
        ({"alpha": "much"}, "Got alpha='much' .str. for the risk cvar; expected a number"),
    ):
        with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
            build_risk("cvar", options)
    with pytest.raises(ConfigurationError, match=r"Unknown risk 'cvr'\. Did you mean 'cvar'"):
        build_risk("cvr")
    assert build_risk("free-energy") == FreeEnergy(0.05)


# -- what cannot work ------------------------------------------------------------------------------


def test_a_quantile_below_which_no_draw_lies_is_refused():
    generator, objective = Bernoulli(4), Objective(lambda bits: bits.sum(axis=1), 4)
    message = "needs at least 101 shots for this risk; got 64"
    with pytest.raises(ConfigurationError, match=message):
        ScoreFunction(64)(generator, objective, CVaR(0.01), rng=Streams([0])(0))
    assert (CVaR(1).min_shots, CVaR(0.5).min_shots, CVaR(0.3).min_shots) == (1, 3, 4)
    assert all(CVaR(1 / n).min_shots == n + 1 for n in range(2, 500))  # whatever the rounding
    assert (MMD().min_shots, Expectation().min_shots, FreeEnergy().min_shots) == (3, 1, 1)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda bits: bits.sum(-1)[..., :1], "expected one number a bitstring"),
        (lambda bits: np.full(bits.shape[:-1], np.nan), "not a finite number"),
        (lambda bits: None, "Got losses of object and shape"),
    ],
)
@pytest.mark.parametrize("estimator", [ScoreFunction(8), Exact()], ids=["score", "exact"])
def test_losses_of_a_plain_function_are_checked(loss, message, estimator):
    with pytest.raises(ConfigurationError, match=message):
        estimator(Bernoulli(4), loss, Expectation(), rng=Streams([0])(0))


def test_unsigned_losses_of_a_plain_function_are_numbers_like_any():
    generator, exact = Bernoulli(4), Exact()
    unsigned = exact(generator, lambda bits: bits.sum(-1), CVaR(0.3)).value
    signed = exact(generator, lambda bits: bits.sum(-1) * 1.0, CVaR(0.3)).value
    np.testing.assert_array_equal(unsigned, signed)
    assert unsigned[0] < 2


def test_the_kl_of_a_schedule_is_refused_and_rounding_is_not_negative():
    with pytest.raises(ConfigurationError, match="The temperature has a schedule"):
        FreeEnergy(1.0, 0.01).kl(0.5, 3.0)
    assert FreeEnergy(1.0).kl(-3.0 - 1e-13, 3.0) == 0
    assert FreeEnergy(1.0).kl(-3.1, 3.0) < 0  # a noisy value keeps its sign
    off = np.array([-1e-8, -1.1e-9, -0.9e-9, 0.9e-9, 1e-8])
    expected = [-1e-8, -1.1e-9, 0, 0.9e-9, 1e-8]
    np.testing.assert_allclose(FreeEnergy(1.0).kl(off, 0.0), expected, rtol=1e-12)


def test_a_schedule_without_an_end_is_refused():
    with pytest.raises(ConfigurationError, match="without an end_temperature"):
        FreeEnergy(0.1, schedule="linear")
