"""Random streams: what they depend on, and what they do not."""

from itertools import combinations, product

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.streams import Streams

PURPOSES = ("initialise", "draw", "evaluate", "search", "batch")


def first(rng):
    return rng.integers(2**63, size=4).tolist()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_stream_does_not_depend_on_the_other_replicas(purpose):
    many = [first(rng) for rng in Streams((5, 6, 7))(3, purpose)]
    for seed, expected in zip((5, 6, 7), many, strict=True):
        (alone,) = Streams((seed,))(3, purpose)
        assert first(alone) == expected
    more = [first(rng) for rng in Streams((5, 6, 7, 8))(3, purpose)]
    assert more[:3] == many


def test_streams_differ_by_seed_step_and_purpose():
    keys = list(product((0, 1, 2**40), (0, 1, 2, 1000), PURPOSES))
    values = [first(Streams((seed,))(step, purpose)[0]) for seed, step, purpose in keys]
    for one, two in combinations(values, 2):
        assert not set(one) & set(two)


def test_the_same_stream_can_be_had_again():
    streams = Streams((1, 2))
    values = [first(rng) for rng in streams(4)]
    streams(9)[0].random(100)
    np.random.default_rng(1).random(10)
    assert [first(rng) for rng in streams(4)] == values
    assert [first(rng) for rng in Streams([1, 2])(4, "draw")] == values


def test_streams_of_equal_seeds_are_equal():
    one, two = Streams((3, 3))(0)
    assert first(one) == first(two)
    assert one is not two


def test_streams_are_the_same_in_every_version():
    # A run is reproducible only if this never changes.
    (rng,) = Streams((42,))(7, "search")
    sequence = np.random.SeedSequence(42, spawn_key=(3, 7))
    assert first(rng) == first(np.random.Generator(np.random.PCG64(sequence)))


def test_seeds_are_kept_as_numbers():
    streams = Streams(np.array([1, 2]))
    assert streams == Streams((1, 2))
    assert all(type(seed) is int for seed in streams.seeds)
    assert Streams(())(0) == []


def test_neighbouring_streams_are_not_correlated():
    # Seeds 2000 to 2099, 10,000 numbers each: each of the 99 correlations of neighbours is
    # 0 ± 0.01; 5 sigma, so that chance fails one of them with 6e-5.
    draws = np.stack([rng.random(10_000) for rng in Streams(range(2000, 2100))(0)])
    assert abs(np.diag(np.corrcoef(draws), k=1)).max() < 0.05


def test_a_purpose_that_no_stream_has_is_refused():
    with pytest.raises(ConfigurationError, match=r"purpose of a random stream 'look'.*initialise"):
        Streams([1])(0, "look")
