"""Random search spends its budget, and draws uniformly whatever the batch."""

import numpy as np
import pytest
from scipy.stats import chisquare

from classical.random_search import RandomSearch
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams


def total(bits):
    return bits.sum(-1).astype(float)


def found(search, evaluations, seeds=(0, 1)):
    rng = Streams(seeds)(0, "search")
    batches = list(search.search(total, evaluations=evaluations, rng=rng))
    return (
        np.concatenate([batch.bits for batch in batches], axis=1),
        np.concatenate([batch.losses for batch in batches], axis=1),
    )


@pytest.mark.parametrize("evaluations", [1, 99, 100, 101])
def test_spends_exactly_its_budget(evaluations):
    bits, losses = found(RandomSearch(5, together=50), evaluations)
    assert bits.shape == (2, evaluations, 5)
    assert bits.dtype == np.uint8
    np.testing.assert_array_equal(losses, total(bits))


@pytest.mark.parametrize("n_bits", [3, 64, 70])
def test_how_many_go_together_does_not_matter(n_bits):
    whole, _ = found(RandomSearch(n_bits), 100)
    for together in (1, 7, 100):
        np.testing.assert_array_equal(found(RandomSearch(n_bits, together=together), 100)[0], whole)


def test_replicas_are_independent():
    together, _ = found(RandomSearch(6), 30, seeds=(3, 4, 5))
    for replica, seed in enumerate((3, 4, 5)):
        np.testing.assert_array_equal(found(RandomSearch(6), 30, (seed,))[0][0], together[replica])


def test_draws_are_uniform():
    # Seed 0, 16,000 draws of 16 values, p > 1e-6: fails by chance once in a million.
    bits, _ = found(RandomSearch(4), 16_000, seeds=(0,))
    counts = np.bincount(bits[0] @ (1 << np.arange(4)), minlength=16)
    assert chisquare(counts).pvalue > 1e-6


def test_what_it_holds_is_the_batch():
    (batch,) = RandomSearch(4).search(total, evaluations=10, rng=Streams((0,))(0))
    np.testing.assert_array_equal(batch.current, batch.losses)


@pytest.mark.parametrize(("n_bits", "together"), [(0, 10), (3, 0)])
def test_refuses(n_bits, together):
    with pytest.raises(ConfigurationError, match=f"n_bits={n_bits} and together={together}"):
        RandomSearch(n_bits, together=together)
