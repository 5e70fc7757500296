import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.errors import ConfigurationError
from qhyper.report.statistics import (
    CensoredMedian,
    Median,
    censored_median,
    effect_size,
    holm,
    median_interval,
    paired_tests,
    signed_levels,
    wilson,
)
from qhyper.report.words import lower_entry

# -- shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe (1998), table I: 81/263, 15/148, 0/20, 1/29, Wilson's score method
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_values(hits, n, low, high):
    figure = wilson(hits, n)
    assert figure.value == hits / n
    assert figure.low == pytest.approx(low, abs=5e-5)
    assert figure.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(1, 10), (5, 10), (299, 1000)])
def test_wilson_bounds_solve_the_score_equation(hits, n):
    figure = wilson(hits, n)
    for bound in (figure.low, figure.high):
        z = (hits / n - bound) / math.sqrt(bound * (1 - bound) / n)
        assert abs(z) == pytest.approx(1.959963985, rel=1e-8)


def test_wilson_closes_exactly_at_the_ends():
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == 1.0
    assert wilson(0, 10).high == pytest.approx(1.959963985**2 / (10 + 1.959963985**2))


def test_wilson_of_a_single_seed():
    z2 = 1.959963985**2
    none, one = wilson(0, 1), wilson(1, 1)
    assert (none.value, none.low, one.value, one.high) == (0.0, 0.0, 1.0, 1.0)
    assert none.high == pytest.approx(z2 / (1 + z2))
    assert one.low == pytest.approx(1 / (1 + z2))


def test_wilson_is_wider_at_higher_confidence():
    assert wilson(5, 10, confidence=0.99).high > wilson(5, 10).high


@pytest.mark.parametrize(
    ("hits", "n", "confidence"),
    [
        (1, 0, 0.95),
        (-1, 3, 0.95),
        (4, 3, 0.95),
        (1, 3, 1.0),
        (1, 3, 0.0),
        (1, 3, -0.5),
        (1, 3, math.nan),
    ],
)
def test_wilson_refuses_what_is_no_share(hits, n, confidence):
    with pytest.raises(ConfigurationError, match=r"0 <= hits <= n|must lie between 0 and 1"):
        wilson(hits, n, confidence)


# -- medians --------------------------------------------------------------------------------------


def bca_by_the_book(sample, resamples, seed):
    """Efron and Tibshirani (1993), 14.9 to 14.15, with own resamples."""
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(sample, size=(resamples, len(sample))), axis=1)
    at = np.median(sample)
    z0 = norm.ppf((np.mean(medians < at) + np.mean(medians <= at)) / 2)
    jack = np.array([np.median(np.delete(sample, i)) for i in range(len(sample))])
    d = jack.mean() - jack
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    z = z0 + norm.ppf([0.025, 0.975])
    return np.quantile(medians, norm.cdf(z0 + z / (1 - a * z)))


def test_median_interval_is_bca():
    sample = np.random.default_rng(3).exponential(size=41)
    figure = median_interval(sample)
    low, high = bca_by_the_book(sample, 100_000, seed=7)
    assert figure.median == np.median(sample)
    assert figure.low == pytest.approx(low, abs=0.03)
    assert figure.high == pytest.approx(high, abs=0.03)


def test_median_interval_covers_the_true_median():
    rng = np.random.default_rng(0)
    figures = [median_interval(rng.normal(size=25)) for _ in range(120)]
    covered = sum(f.low <= 0 <= f.high for f in figures)
    assert covered >= 0.88 * 120  # four standard errors below 95 %


def test_the_same_seed_gives_the_same_interval():
    sample = [0.1, 0.4, 0.2, 0.9, 0.3, 0.6]
    assert median_interval(sample, seed=5) == median_interval(sample, seed=5)


def test_equal_values_are_their_own_interval():
    assert median_interval([0.25] * 10) == Median(0.25, 0.25, 0.25)


def test_an_interval_of_the_median_needs_six_values():
    """Lowest and highest of n values miss the median with 2^(1 - n): 6 % of five, 3 % of six."""
    for n in range(1, 6):
        assert 1 - 2.0 ** (1 - n) < 0.95
        assert median_interval(range(n)) == Median((n - 1) / 2, None, None)
        assert censored_median(range(n), 100) == CensoredMedian((n - 1) / 2, None, None)
    assert median_interval([0.25] * 5).low is None
    assert censored_median([1, 2, 3, None], 9) == CensoredMedian(2.5, None, None)
    assert 1 - 2.0 ** (1 - 6) > 0.95
    six = median_interval(range(6))
    assert six.low is not None
    assert six.high is not None
    assert 0 <= six.low < 2.5 < six.high <= 5
    assert censored_median([1, 2, 3, 4, 5, None], 9).low is not None


def test_the_interval_covers_the_median_of_few_values_as_it_says():
    """94 to 95 % of six values; of 300 samples 94 % are missed by 3.5 sigma below 89 %."""
    rng = np.random.default_rng(5)
    figures = [median_interval(rng.normal(size=6)) for _ in range(300)]
    assert sum(f.low <= 0 <= f.high for f in figures) >= 0.89 * 300


def test_where_bca_is_undefined_the_percentile_bootstrap_stands_in():
    # Every leave-one-out median is 0: the acceleration of BCa is 0/0.
    figure = median_interval([0.0] * 7 + [1.0] * 3)
    assert figure.median == 0.0
    assert figure.low == 0.0
    assert figure.high in (0.0, 0.5, 1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.0005, 0.079, 0.12, 0.33]), min_size=1, max_size=12))
def test_intervals_of_plateaus_are_finite_and_in_order(values):
    figure = median_interval(values)
    if len(values) < 6:
        assert (figure.low, figure.high) == (None, None)
    else:
        assert min(values) <= figure.low <= figure.median <= figure.high <= max(values)
    json.dumps(vars(figure), allow_nan=False)


@pytest.mark.parametrize(
    "values",
    [
        [0.33, 0.0] + [0.33] * 10,
        [0.0, 0.079, 0.0, 0.079, 0.079, 0.079, 0.079, 0.0, 0.0005, 0.0, 0.079],
        [0.33, 0.12, 0.12, 0.079, 0.079, 0.33, 0.079, 0.12, 0.12, 0.079, 0.12],
        [0.12, 0.33, 0.0005, 0.0005, 0.0005, 0.33],
    ],
    ids=["low above median", "high below median", "low below all", "high above all"],
)
def test_rounding_of_interpolated_bounds_leaves_them_in_order(values):
    """SciPy's bounds of these are a last bit past the median, or past all values."""
    figure = median_interval(values)
    assert min(values) <= figure.low <= figure.median <= figure.high <= max(values)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_median_interval_refuses_what_has_no_median(values):
    with pytest.raises(ConfigurationError, match="one or more finite values"):
        median_interval(values)


# -- evaluations to hit ---------------------------------------------------------------------------


def test_censored_median_where_all_hit_is_the_median():
    values = [1, 2, 3, 9, 4, 7]
    assert vars(censored_median(values, 10)) == vars(median_interval(values))


def test_censored_median_where_none_hit_is_unknown():
    assert censored_median([None] * 10, 100) == CensoredMedian(None, None, None)


@pytest.mark.parametrize(
    ("hits", "median"), [(4, None), (5, None), (6, 55.0), (7, 55.0), (9, 55.0)]
)
def test_censored_median_is_unknown_from_half_the_seeds(hits, median):
    values = [10 * (k + 1) for k in range(hits)] + [None] * (10 - hits)
    assert censored_median(values, 1000).median == median


def test_censored_bounds_by_rank():
    figure = censored_median([10, 20, 30, 40, 50, 60, None, None, None], 100)
    assert figure.median == 50
    assert figure.low in (10, 20, 30)  # the median's bounds of rank lie near 2 of 9
    assert figure.high is None
    assert censored_median([10, 20, 30, 40, 50, 60, 70, 80, 90, 99, None], 100).high is not None


def test_a_hit_with_the_last_evaluation_of_the_budget_is_one():
    assert censored_median([100] * 7, 100) == CensoredMedian(100.0, 100.0, 100.0)
    assert censored_median([5, 100, None], 100).median == 100
    assert censored_median([5, 101, None], 100).median is None


def test_censored_bounds_are_of_95_percent_of_the_resamples(monkeypatch):
    """Of 40 resamples one lies below the interval and one above, as drawn from the seed."""
    monkeypatch.setattr("qhyper.report.statistics.RESAMPLES", 40)
    values = [*range(10, 91, 10), *[None] * 2]
    for seed in range(20):
        sample = np.array([np.inf if v is None else v for v in values])
        rng = np.random.default_rng(seed)
        medians = np.sort(np.median(rng.choice(sample, size=(40, 11)), axis=1))
        figure = censored_median(values, 100, seed=seed)
        bounds = [None if np.isinf(m) else m for m in medians[[1, -2]]]
        assert [figure.low, figure.high] == bounds


def test_other_seeds_resample_anew():
    sample = np.random.default_rng(3).exponential(size=15)
    assert len({median_interval(sample, seed=seed) for seed in range(5)}) > 1
    censored = [*(100 * sample[:12]), None, None, None]
    assert len({censored_median(censored, 1e6, seed=seed) for seed in range(40)}) > 1


def test_a_hit_past_the_budget_is_none():
    assert censored_median([5, 200, 300], 100) == censored_median([5, None, None], 100)


def test_censored_median_of_one_seed():
    assert censored_median([None], 100).median is None
    assert censored_median([7], 100) == CensoredMedian(7.0, None, None)


def test_censored_median_refuses_no_values():
    with pytest.raises(ConfigurationError, match="one or more values or None"):
        censored_median([1.0, math.nan, None], 100)
    with pytest.raises(ConfigurationError, match="one or more values or None"):
        censored_median([], 100)


# -- paired tests ---------------------------------------------------------------------------------


def test_signed_rank_by_hand_and_holm_by_hand():
    # Five differences of one sign: p = 2/2^5. One of five opposed, and the smallest: 2·2/2^5.
    base = [1.0, 1.0, 1.0, 1.0, 1.0]
    losses = {
        "q": base,
        "above": [1.1, 1.2, 1.3, 1.4, 1.5],
        "mixed": [0.9, 1.2, 1.3, 1.4, 1.5],
        "same": base,
    }
    tests = paired_tests(losses, [("q", "same"), ("q", "mixed"), ("q", "above")])
    assert [t.other for t in tests] == ["same", "mixed", "above"]
    assert [t.p for t in tests] == pytest.approx([1.0, 0.125, 0.0625])
    # Holm: 3 · 0.0625 = 0.1875; then 2 · 0.125 = 0.25; then 1 · 1.
    assert [t.p_holm for t in tests] == pytest.approx([1.0, 0.25, 0.1875])
    assert [t.median_difference for t in tests] == pytest.approx([0.0, -0.3, -0.3])


def test_holm_never_falls_and_never_passes_one():
    # p = 0.0625 three times: 3p for all, because Holm's values never fall.
    losses = {"q": [1.0] * 5, **{n: [1.1, 1.2, 1.3, 1.4, 1.5] for n in "abc"}}
    assert [t.p_holm for t in paired_tests(losses, [("q", n) for n in "abc"])] == pytest.approx(
        [0.1875] * 3
    )
    losses = {"q": [1.0, 1.0], "a": [0.0, 0.5], "b": [0.0, 0.7]}
    assert [t.p_holm for t in paired_tests(losses, [("q", n) for n in "ab"])] == [1.0, 1.0]


def test_differences_of_rounding_are_no_differences():
    losses = {"q": [0.5, 0.5, 0.5], "c": [0.5 + 1e-12, 0.5 - 1e-12, 0.5]}
    (test,) = paired_tests(losses, [("q", "c")])
    assert (test.p, test.p_holm, test.median_difference) == (1.0, 1.0, 0.0)


ROUNDED = ([0.7, 0.9, 1.1, 0.3, 0.6, 1.0, 1.3], [0.4, 0.6, 0.8, 0.4, 0.5, 0.9, 1.1])
"""Differences 0.3 three times, ±0.1 three times and 0.2, none of which is the same float."""


def test_differences_that_are_equal_but_for_rounding_are_ties():
    one, other = map(np.array, ROUNDED)
    assert len(np.unique(np.abs(one - other))) > 3
    assert signed_levels(one, other).tolist() == [3, 3, 3, -1, 1, 1, 2]
    (test,) = paired_tests({"q": one, "c": other}, [("q", "c")])
    # exactly: midranks 6, 6, 6, 2, 2, 2, 4 with every choice of signs
    ranks = np.array([6, 6, 6, 2, 2, 2, 4])
    sums = np.array(list(itertools.product((-1, 1), repeat=7))) @ ranks
    assert test.p == pytest.approx(np.mean(np.abs(sums) >= ranks.sum() - 4))
    assert test.rank_correlation == pytest.approx((ranks.sum() - 4) / ranks.sum())


tenths = st.integers(-30, 30)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(tenths, tenths), min_size=2, max_size=10),
    st.sampled_from([1.0, 0.1, 1e-3, 1 / 3, 1e-12, 7e9]),
    st.sampled_from([0.0, 1.0, -2.7, 100.0]),
)
def test_units_and_constants_make_no_difference(pairs, unit, constant):
    """Against SciPy on whole numbers, whose differences are exact."""
    from scipy.stats import wilcoxon

    one, other = np.array(pairs).T
    losses = {"q": (one + constant) * unit, "c": (other + constant) * unit}
    (test,) = paired_tests(losses, [("q", "c")])
    exact = one - other
    assert test.p == (wilcoxon(exact).pvalue if exact.any() else 1.0)
    assert test.median_difference == pytest.approx(np.median(exact) * unit, abs=1e-9 * unit)
    assert (signed_levels(losses["q"], losses["c"]) == signed_levels(one, other)).all()


def test_levels_of_differences_are_transitive():
    """Rounding of neighbours adds up: what follows one another within it is one level."""
    sizes = 0.5 + 8e-12 * np.arange(5)
    assert signed_levels(1 + sizes, np.ones(5)).tolist() == [1] * 5
    apart = np.append(sizes, 0.5 + 1e-9)
    assert signed_levels(np.ones(6), 1 + apart).tolist() == [-1] * 5 + [-2]


def test_which_is_lower_is_said_by_the_ranks():
    """Where more than half of the seeds agree, the median difference is 0 and tells nothing."""
    quantum = [0.5] * 12 + [0.4, 0.39, 0.38, 0.37, 0.36, 0.35, 0.34, 0.33]
    (test,) = paired_tests({"q": quantum, "c": [0.5] * 20}, [("q", "c")])
    assert test.median_difference == 0.0
    assert test.rank_correlation == -1.0
    assert test.p < 0.05
    assert lower_entry(test) == "q"


def test_paired_tests_refuse_what_is_not_finite():
    with pytest.raises(ConfigurationError, match=r"need finite losses; got \[1.0, nan\] for c"):
        paired_tests({"q": [1.0, 2.0], "c": [1.0, math.nan]}, [("q", "c")])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_of_1e_8_is_one_and_none_of_them_is_left_out(sign):
    """And one seed without a difference is left out of the ranks: p = 2/2^5 of the five others."""
    base = np.full(6, 0.5)
    by = sign * np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0]) * 1e-8
    (test,) = paired_tests({"q": base + by, "c": base}, [("q", "c")])
    assert test.p == pytest.approx(0.0625)
    assert test.median_difference == pytest.approx(sign * 2.5e-8, rel=1e-6)


def test_seeds_without_a_difference_have_no_rank():
    """Of the others, 7 here, p is the share of all signs that are as uneven."""
    by = np.array([0.0, 0.0, 0.0, 0.1, -0.2, -0.25, 0.3, 0.4, 0.5, 0.7])
    (test,) = paired_tests({"q": 1 + by, "c": np.ones(10)}, [("q", "c")])
    ranks = np.arange(1, 8)
    signs = 2 * (np.arange(128)[:, None] >> np.arange(7) & 1) - 1
    assert test.p == pytest.approx(np.mean(abs(signs @ ranks) >= 28 - 2 * (2 + 3)))


def test_the_median_difference_is_no_mean_and_the_first_minus_the_second():
    losses = {"q": [1.0, 2.0, 30.0], "c": [0.5, 1.0, 2.0]}
    (test,) = paired_tests(losses, [("q", "c")])
    assert test.median_difference == 1.0


def test_two_seeds_are_enough_for_a_test():
    (test,) = paired_tests({"q": [1.0, 2.0], "c": [2.0, 4.0]}, [("q", "c")])
    assert test.p == pytest.approx(0.5)  # 2/2^2


def test_no_tests_without_two_seeds_or_pairs():
    assert paired_tests({"q": [1.0], "c": [2.0]}, [("q", "c")]) == []
    assert paired_tests({"q": [1.0, 2.0]}, []) == []


def test_paired_tests_refuse_different_seeds():
    with pytest.raises(ConfigurationError, match="same seeds"):
        paired_tests({"q": [1.0, 2.0], "c": [2.0]}, [("q", "c")])


def test_holm_passes_one_for_no_p():
    assert holm([0.9, 0.8, 0.4]) == [1.0, 1.0, 1.0]
    assert holm([0.2, 0.9]) == pytest.approx([0.4, 0.9])
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


def test_holm_of_a_known_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(
    ("correlation", "word"),
    [(0.0, "negligible"), (-0.09, "negligible"), (0.1, "small"), (-0.3, "medium"), (0.49, "medium"),
     (0.5, "large"), (-1.0, "large")],
)  # fmt: skip
def test_the_size_of_an_effect_in_words(correlation, word):
    assert effect_size(correlation) == word


def test_a_test_says_how_large_its_effect_is():
    # ranks 1, 2, 3, 4 with signs -, -, +, -: (3 - 7) / 10
    losses = {"q": [0.9, 0.8, 1.3, 0.6], "c": [1.0] * 4}
    (test,) = paired_tests(losses, [("q", "c")])
    assert test.rank_correlation == pytest.approx(-0.4)
    assert test.effect == "medium"
