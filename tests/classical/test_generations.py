"""The law of flips, and the rows that generations are scored on."""

import numpy as np
import pytest

from classical import generations
from classical.generations import Scores, check_budget, check_search, flipped, uniform
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork


@pytest.fixture(params=[None, 1, 1000], ids=["together", "one-by-one", "some-by-some"])
def together(request, monkeypatch):
    """Bits that flips are drawn from at once: the law does not depend on it."""
    if request.param:
        monkeypatch.setattr(generations, "_DRAWN_TOGETHER", request.param)


@pytest.mark.usefixtures("together")
def test_flips_are_independent_and_as_probable_as_asked():
    # seed 0, 2,000 strings of 36 bits, p = 0.1: counts a bit, and of pairs of neighbours, within
    # 5 sigma of their means
    strings, p = 2000, 0.1
    bits = flipped(np.zeros((strings, 36), np.uint8), p, np.random.default_rng(0))
    for found, q in ((bits, p), (bits[:, 1:] & bits[:, :-1], p * p), (bits[1:] & bits[:-1], p * p)):
        counts = found.sum(axis=0)
        assert (abs(counts - strings * q) < 5 * np.sqrt(strings * q * (1 - q))).all()
    assert abs(bits.sum() - bits.size * p) < 5 * np.sqrt(bits.size * p * (1 - p))
    assert bits.sum(axis=1).var() == pytest.approx(36 * p * (1 - p), rel=0.2)


@pytest.mark.usefixtures("together")
def test_flips_only_what_may_flip_and_leaves_the_parents_alone():
    rng = np.random.default_rng(1)
    parents = rng.integers(2, size=(3, 4, 7), dtype=np.uint8)
    before = parents.copy()
    assert (flipped(parents, 1.0, rng) != parents).all()
    np.testing.assert_array_equal(flipped(parents, 0.0, rng), parents)
    among = np.array([5, 2])
    changed = flipped(parents, 1.0, rng, among) != parents
    np.testing.assert_array_equal(changed.all(axis=(0, 1)), np.isin(np.arange(7), among))
    np.testing.assert_array_equal(changed.any(axis=(0, 1)), np.isin(np.arange(7), among))
    np.testing.assert_array_equal(flipped(parents, 1.0, rng, among[:0]), parents)
    np.testing.assert_array_equal(parents, before)


def test_uniform_draws_are_each_replicas_own():
    draws = uniform(5, 9, Streams((1, 2))(0))
    assert (draws.shape, draws.dtype) == ((2, 5, 9), np.uint8)
    np.testing.assert_array_equal(draws[1:], uniform(5, 9, Streams((2,))(0)))
    assert (draws[0] != draws[1]).any()


def test_generations_are_scored_on_fresh_rows_of_each_replica():
    rng = np.random.default_rng(0)
    objective = BinaryNetwork((3, 2, 2)).objective(
        Samples(rng.normal(size=(20, 3)), np.arange(20) % 2)
    )
    bits = rng.integers(2, size=(2, 4, 10), dtype=np.uint8)
    whole = Scores.of(objective, None)
    np.testing.assert_array_equal(whole.fresh(bits, Streams((1, 2))(0)), objective(bits))
    assert (objective.evaluations, objective.rows) == (16, 16 * 20)
    some, streams = Scores.of(objective, 5), Streams((1, 2))(0)
    first, second = some.fresh(bits, streams), some.fresh(bits, streams)
    assert (objective.evaluations, objective.rows) == (32, 16 * 20 + 16 * 5)
    again = Streams((1, 2))(0)
    for found in (first, second):
        for replica, stream in enumerate(again):
            rows = stream.choice(20, 5, replace=False)
            expected = objective.on_rows(rows).losses(bits[replica])
            np.testing.assert_array_equal(found[replica], expected)
    assert (first != second).any()


def test_refuses():
    with pytest.raises(ConfigurationError, match="needs at least 1 bit; got n_bits=0"):
        check_search(0, None, {})
    for batch in (0, -1, 2.0, True):
        with pytest.raises(ConfigurationError, match=f"Got batch={batch}; expected rows of a mini"):
            check_search(3, batch, {})
    for p in (-0.1, 1.5, float("nan"), "much"):
        with pytest.raises(ConfigurationError, match=r"Got p_all=.*; expected a probability"):
            check_search(3, None, {"p": 0.5, "p_all": p})
    with pytest.raises(
        ConfigurationError,
        match=r"Got 3 evaluations, too few for one generation of 4\. Give",
    ):
        check_budget(3, 4, "Give more.")
    check_budget(4, 4, "Give more.")
