"""Objectives that have no certificate of their own are enumerated where that is quick."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.run.comparison import compare
from qhyper.targets.exact.table import tabulate
from qhyper.targets.exact.unasked import certify_unasked
from qhyper.targets.objective import Objective


def weighted(bits):
    return bits @ np.array([3.0, -2.0, 0.5, 1.0, -0.25, 2.0, -1.0, 0.75, 1.5])


def clock_of(*seconds):
    """A clock that says how long calls took: one reading before, one after each."""
    now, readings = 0.0, []
    for took in seconds:
        readings += [now, now + took]
        now += took
    return iter(readings).__next__


def test_all_bitstrings_are_evaluated_and_counted():
    objective = Objective(weighted, 9)
    found = certify_unasked(objective, temperature=0.1)
    table = tabulate(Objective(weighted, 9))
    assert found.minimum_loss == table.minimum == -3.25
    assert found.optimal_bitstrings == 1
    assert found.configurations == 512
    assert objective.evaluations == 512 + 2 * (1 + 64)


def test_what_is_slow_is_not():
    """One call of 0.3 s for 64 strings would be 2.4 s for 512; one of 0.6 s for one, 307 s."""
    calls: list[int] = []

    def counted(bits):
        calls.append(len(bits))
        return weighted(bits)

    certify_unasked(Objective(counted, 9), temperature=0.1, clock=clock_of(3, 0.01, 0.3, 0.3))
    assert calls == [1, 1, 64, 64, 512]
    calls.clear()
    with pytest.raises(UnsuitableError, match=r"all 512 bitstrings of 'mine' would take about 307"):
        certify_unasked(
            Objective(counted, 9, name="mine"), temperature=0.1, clock=clock_of(0.6, 0.6)
        )
    assert calls == [1, 1]
    calls.clear()
    with pytest.raises(UnsuitableError, match=r"about 10,240 s. `qhyper certify` does it if you"):
        certify_unasked(Objective(counted, 9), temperature=0.1, clock=clock_of(20))
    assert calls == [1]  # nobody waits for a second


def test_too_many_bits_are_refused_without_a_call():
    objective = Objective(lambda bits: pytest.fail("called"), 21, name="mine")
    with pytest.raises(UnsuitableError, match=r"'mine' has 2\^21 bitstrings: up to 2\^20 are all"):
        certify_unasked(objective, temperature=0.1)


def test_a_function_that_fails_somewhere_or_draws_is_told():
    def infinite(bits):
        return np.where(bits.all(axis=1), np.inf, 1.0)

    with pytest.raises(UnsuitableError, match=r"all 512 bitstrings of 'mine' failed: .* inf for"):
        certify_unasked(Objective(infinite, 9, name="mine"), temperature=0.1)
    rng = np.random.default_rng(0)
    noisy = Objective(lambda bits: rng.random(len(bits)), 9, name="mine")
    with pytest.raises(UnsuitableError, match="another loss when it is asked again"):
        certify_unasked(noisy, temperature=0.1)


def test_the_comparison_has_regrets_and_says_what_the_proof_cost():
    said: list[str] = []
    objective = Objective(weighted, 9, name="mine")
    found = compare(objective, ["random"], seeds=[0, 1], evaluations=300, warn=said.append).summary
    assert found.certificate is not None
    assert found.certificate["evaluations"] == 512 + 2 * (1 + 64)
    (entry,) = found.generators
    assert entry.regret is not None
    assert entry.evaluations == 300  # the proof is no seed's
    assert "known from all its 512 bitstrings: 642 evaluations beside those of the seeds" in said[0]


def test_what_a_search_finds_below_the_proof_refutes_it():
    """A function whose losses depend on how many bitstrings come together."""

    def relative(bits):
        return weighted(bits) - (100 if len(bits) == 10 else 0)

    # random search on ten evaluations calls it on ten bitstrings
    found = compare(
        Objective(relative, 9), ["random"], seeds=[0], evaluations=10, warn=lambda _: None
    ).summary
    assert found.certificate is None
    assert found.no_certificate is not None
    assert "a search found the loss -10" in found.no_certificate
    assert "Make it a function of its bits alone" in found.no_certificate
    assert found.generators[0].hit_share is None


def test_bad_temperatures_are_refused_as_ever():
    with pytest.raises(ConfigurationError, match="temperature"):
        compare(Objective(weighted, 9), ["random"], seeds=[0], evaluations=9, temperature=-1)
