"""Frequencies as counts."""

import json

import numpy as np
import pytest

from qhyper.errors import JobError
from qhyper.quantum.cloud.frequencies import counts_of


def drawn(shots, outcomes=7, seed=1):
    """Counts by outcome of a distribution in which no two probabilities are equal."""
    p = np.arange(1, outcomes + 1) / np.arange(1, outcomes + 1).sum()
    times = np.random.default_rng(seed).multinomial(shots, p)
    return {f"{k:03b}": int(n) for k, n in enumerate(times) if n}


@pytest.mark.parametrize("shots", [1, 3, 1000, 1024, 9_999, 99_991])
@pytest.mark.parametrize("digits", [6, 9, None])
def test_counts_survive_the_division_and_the_digits(shots, digits):
    """Through JSON, as a vendor sends them."""
    counts = drawn(shots)
    shares = {k: n / shots if digits is None else round(n / shots, digits)
              for k, n in counts.items()}  # fmt: skip
    assert counts_of(json.loads(json.dumps(shares)), shots, "a vendor") == counts


@pytest.mark.parametrize("shots", [10**6 - 1, 2_345_678, 10**9 + 7])
def test_many_shots_need_many_digits(shots):
    counts = drawn(shots)
    exact = {k: n / shots for k, n in counts.items()}
    assert counts_of(exact, shots, "a vendor") == counts
    short = {k: round(share, 6) for k, share in exact.items()}
    with pytest.raises(JobError):  # six digits are nobody's counts
        counts_of(short, shots, "a vendor")


def test_a_single_outcome_is_all_shots_whatever_the_digits():
    for shots in (1, 8, 1000, 500_000, 10**7):
        assert counts_of({"01": 1.0, "10": 0.0}, shots, "a vendor") == {"01": shots}


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (
            {"0": 0.3, "1": 0.7},
            r"a vendor: got the frequency 0\.3 of the outcome 0; expected a whole number of 8 "
            r"shots, as a share of them\. These are probabilities and not measured shots: nothing "
            r"was made of them\. Use a backend that samples\.",
        ),
        ({"0": -0.125, "1": 1.125}, r"got the frequency -0\.125 of the outcome 0; expected a who"),
        ({"0": float("nan")}, "got the frequency nan of the outcome 0; expected a whole number of"),
        ({"0": 0.25, "1": 0.5}, "got frequencies that make 6 shots; expected 8. Nothing was made"),
        ({}, "got frequencies that make 0 shots; expected 8"),
    ],
)
def test_what_is_no_share_of_the_shots_is_refused(shares, message):
    with pytest.raises(JobError, match=message):
        counts_of(shares, 8, "a vendor")


def test_what_could_be_either_is_refused():
    """Six digits and 500,000 shots: every other number of six digits is a whole number of shots."""
    shares = {"00": 0.123456, "01": 0.234566, "10": 0.641978}
    with pytest.raises(
        JobError,
        match=r"a vendor: got 3 frequencies of 6 digits; expected more digits, or fewer than "
        r"500000 shots: they could be probabilities as well as measured shots\. Nothing was made",
    ):
        counts_of(shares, 500_000, "a vendor")


@pytest.mark.parametrize("shots", [1000, 4096, 10_000, 500_000, 10**6])
@pytest.mark.parametrize("halvings", [2, 3, 6])
def test_probabilities_of_a_circuit_of_clifford_gates_are_refused(shots, halvings):
    """1/4, 1/8 and 1/64 for each outcome: shares of the shots, without any scatter."""
    p = {f"{k:06b}": 0.5**halvings for k in range(1 << halvings)}
    message = r"got frequencies whose counts are all multiples of \d+; expected the scatter of|"
    message += "whole number|could be probabilities"
    with pytest.raises(JobError, match=message):
        counts_of(p, shots, "a vendor")


@pytest.mark.parametrize("digits", [6, 8, None])
def test_probabilities_of_random_states_are_refused_at_any_number_of_shots(digits):
    """2,000 distributions of 2 to 16 outcomes, at 10 to 10^7 shots, some in powers of two and ten.

    By the rule's own bound two at the most are expected to pass; twelve are five sigma off.
    """
    rng = np.random.default_rng(5)
    passed = 0
    for _ in range(2000):
        p = rng.dirichlet(np.ones(rng.integers(2, 17)))
        if digits is not None:
            p = np.round(p, digits)
            p[0] = np.round(1 - p[1:].sum(), digits)
        kind = rng.integers(3)
        shots = [int(10 ** rng.uniform(1, 7)), 2 ** int(rng.integers(4, 24)),
                 10 ** int(rng.integers(1, 8))][kind]  # fmt: skip
        try:
            counts_of({str(k): float(v) for k, v in enumerate(p)}, shots, "a vendor")
        except JobError:
            continue
        passed += 1
    assert passed <= 12
