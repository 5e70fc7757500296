"""Frequencies as counts."""

import numpy as np
import pytest

from qhyper.errors import JobError
from qhyper.quantum.cloud.frequencies import counts_of


@pytest.mark.parametrize("shots", [1, 3, 1000, 1024, 9_999, 100_000])
def test_counts_survive_the_division_and_six_digits(shots):
    times = np.random.default_rng(1).multinomial(shots, np.full(7, 1 / 7))
    shares = {f"{k:03b}": round(int(n) / shots, 6) for k, n in enumerate(times)}
    expected = {f"{k:03b}": int(n) for k, n in enumerate(times) if n}
    assert counts_of(shares, shots, "a vendor") == expected


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"0": 0.3, "1": 0.7}, "a vendor: got the frequency 0.3 of the outcome 0, .* 8 shots: th"),
        ({"0": -0.125, "1": 1.125}, "got the frequency -0.125 of the outcome 0"),
        ({"0": 0.25, "1": 0.5}, "got frequencies that make 6 shots; expected 8. Nothing was made"),
        ({}, "got frequencies that make 0 shots; expected 8"),
    ],
)
def test_probabilities_are_refused(shares, message):
    with pytest.raises(JobError, match=message):
        counts_of(shares, 8, "a vendor")
