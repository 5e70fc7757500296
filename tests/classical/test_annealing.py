"""Annealing spends its budget on single flips, accepted by the Metropolis rule."""

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from classical.annealing import SimulatedAnnealing
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams

N = 12
GAINS = np.random.default_rng(0).normal(size=N)
OPTIMUM = (GAINS < 0).astype(np.uint8)


def separable(bits):
    return bits @ GAINS


def run(evaluations, *, seeds=(0, 1), objective=separable, n_bits=N, **options):
    """All bits [replica, step, bit], losses [replica, step] and the blocks as they came."""
    search = SimulatedAnnealing(n_bits, **options)
    rng = Streams(seeds)(0, "search")
    blocks = list(search.search(objective, evaluations=evaluations, rng=rng))
    bits = np.concatenate([block.bits for block in blocks], axis=1)
    return bits, np.concatenate([block.losses for block in blocks], axis=1), blocks


@pytest.mark.parametrize("evaluations", [1, 2, 1000, 1001, 1002, 2500])
def test_spends_exactly_its_budget(evaluations):
    calls = []

    def counting(bits):
        calls.append(bits.shape)
        return separable(bits)

    bits, losses, blocks = run(evaluations, objective=counting)
    assert calls == [(2, N)] * evaluations
    assert bits.shape == (2, evaluations, N)
    assert bits.dtype == np.uint8
    np.testing.assert_allclose(losses, separable(bits))
    assert all(block.current.shape == (2, 1) for block in blocks)


def test_finds_the_optimum_of_a_separable_objective():
    bits, losses, blocks = run(3000, seeds=range(5))
    best = bits[np.arange(5), losses.argmin(axis=1)]
    np.testing.assert_array_equal(best, np.tile(OPTIMUM, (5, 1)))
    np.testing.assert_allclose(blocks[-1].current, separable(OPTIMUM), atol=0.1)


def test_a_cold_chain_never_goes_uphill_and_takes_every_way_down():
    bits, losses, blocks = run(1001, t_start=1e-12, t_end=1e-12)
    for replica in range(2):
        state, loss = bits[replica, 0], losses[replica, 0]
        for tried, new in zip(bits[replica, 1:], losses[replica, 1:], strict=True):
            assert (tried != state).sum() == 1
            if new <= loss:
                state, loss = tried, new
        assert blocks[-1].current[replica, 0] == loss


def test_a_hot_chain_takes_every_flip():
    bits, _, _ = run(500, t_start=1e12, t_end=1e12)
    assert ((bits[:, 1:] != bits[:, :-1]).sum(-1) == 1).all()


def test_a_chain_at_fixed_temperature_follows_the_boltzmann_law():
    # Seeds 7 to 406: 400 chains of 60 steps, whose ends alone are counted: independent draws;
    # p > 1e-6: fails by chance once in a million.
    gains = np.array([0.3, -0.8])
    chains = 400

    def loss(bits):
        return bits @ gains

    *_, blocks = run(
        61, seeds=range(7, 7 + chains), objective=loss, n_bits=2, t_start=0.5, t_end=0.5
    )
    ends = blocks[-1].current[:, 0]
    levels = np.array([0.0, 0.3, -0.8, -0.5])
    weights = np.array([math.exp(-level / 0.5) for level in levels])
    counts = [np.isclose(ends, level).sum() for level in levels]
    assert sum(counts) == chains
    assert chisquare(counts, chains * weights / weights.sum()).pvalue > 1e-6


def test_replicas_are_independent():
    together, _, _ = run(1500, seeds=(3, 4, 5))
    for replica, seed in enumerate((3, 4, 5)):
        np.testing.assert_array_equal(run(1500, seeds=(seed,))[0][0], together[replica])


@pytest.mark.parametrize(
    ("t_start", "t_end"), [(0.1, 1.0), (1.0, 0.0), (-1.0, -2.0), (math.nan, 0.1), (math.inf, 0.1)]
)
def test_refuses_temperatures_that_do_not_fall(t_start, t_end):
    with pytest.raises(ConfigurationError, match=f"t_start={t_start} and t_end={t_end}"):
        SimulatedAnnealing(N, t_start=t_start, t_end=t_end)


def test_refuses_no_bits():
    with pytest.raises(ConfigurationError, match="n_bits=0"):
        SimulatedAnnealing(0)
