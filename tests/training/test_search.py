"""The search record against a naive loop over the evaluations."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.report.results import first_hits
from qhyper.targets.target import SAME_LOSS
from qhyper.training.search import SearchRecord

quick = settings(max_examples=100, deadline=None, derandomize=True)


def naive(losses, target):
    """(best loss, its place or None, improvements, first hit) of one replica's losses in order."""
    best, place, improvements, hit = np.inf, None, [], None
    for k, loss in enumerate(losses):
        if loss < best - SAME_LOSS:
            best, place = loss, k
            improvements.append((k + 1, loss))
            if hit is None and loss <= target + SAME_LOSS:
                hit = k + 1
    return best, place, improvements, hit


def fill(losses, cuts):
    """A record fed with losses [replica, shot] in batches, and bits that say which shot it is."""
    replicas, shots = losses.shape
    bits = (np.arange(shots)[:, None] >> np.arange(8) & 1).astype(np.uint8)
    bits = np.broadcast_to(bits, (replicas, shots, 8))
    record = SearchRecord.empty(replicas, 8)
    edges = [0, *sorted({c for c in cuts if 0 < c < shots}), shots]
    for begin, end in pairwise(edges):
        record.update(bits[:, begin:end], losses[:, begin:end])
    return record, bits


def assert_agrees(losses, cuts, target):
    record, bits = fill(losses, cuts)
    assert record.evaluations == losses.shape[1]
    hits = first_hits(record.improvements, target)
    for replica, own in enumerate(losses.tolist()):
        best, place, improvements, hit = naive(own, target)
        assert record.best_loss[replica] == best
        np.testing.assert_array_equal(record.best_bits[replica], bits[replica, place])
        assert record.improvements[replica] == improvements
        assert hits[replica] == hit


@st.composite
def searches(draw):
    """Losses on a few levels with rounding far below a level, and cuts into batches."""
    replicas, shots = draw(st.integers(1, 3)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = rng.integers(draw(st.integers(1, 20)), size=(replicas, shots))
    losses = 0.1 * levels + 1e-12 * rng.normal(size=levels.shape)
    return losses, draw(st.lists(st.integers(1, shots), max_size=6))


@given(search=searches(), target=st.sampled_from([-0.1, 0.0, 0.1, 0.5, 3.0]))
@quick
def test_agrees_with_a_loop(search, target):
    assert_agrees(*search, target)


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(1, 29), max_size=6))
@quick
def test_agrees_with_a_loop_where_falls_are_about_one_level(seed, cuts):
    # Falls of some tenths of 1e-9 that add up: nothing may be lost, whatever the batches.
    rng = np.random.default_rng(seed)
    losses = 1 - np.cumsum(rng.uniform(-0.3e-9, 0.9e-9, (2, 30)), axis=1)
    assert_agrees(losses, cuts, target=-1.0)


def test_falls_below_a_level_that_add_up_to_one_are_an_improvement():
    record = SearchRecord.empty(1, 1)
    record.update(np.zeros((1, 1, 1), np.uint8), np.array([[1.0]]))
    record.update(np.ones((1, 2, 1), np.uint8), np.array([[1 - 0.6e-9, 1 - 1.2e-9]]))
    assert record.improvements == [[(1, 1.0), (3, 1 - 1.2e-9)]]
    assert record.best_bits.tolist() == [[1]]


def test_a_tie_is_no_improvement_and_the_first_one_stays():
    losses = np.array([[0.5, 0.5, 0.5 - 0.9 * SAME_LOSS, 0.5 + SAME_LOSS]])
    record, _ = fill(losses, cuts=[2])
    assert record.improvements == [[(1, 0.5)]]
    assert record.best_bits.tolist() == [[0] * 8]


@pytest.mark.parametrize(("above", "hit"), [(0.9e-9, 2), (0.0, 2), (-0.5, 2), (1.1e-9, None)])
def test_a_hit_is_within_a_level_of_the_target_or_below(above, hit):
    record, _ = fill(np.array([[3.0, 1.0 + above, 3.0]]), cuts=[])
    assert first_hits(record.improvements, 1.0) == [hit]


def test_hits_count_the_evaluations_of_one_replica():
    record, _ = fill(np.array([[5.0, 4.0, 1.0, 0.0], [1.0, 9.0, 9.0, 9.0], [2.0] * 4]), cuts=[1])
    assert first_hits(record.improvements, 1.0) == [3, 1, None]


@pytest.mark.parametrize(("fall", "better"), [(0.0, False), (0.9e-9, False), (1.1e-9, True)])
def test_one_bitstring_is_noted_where_it_is_better_by_more_than_a_level(fall, better):
    record = SearchRecord.empty(2, 2)
    record.note(np.zeros((2, 2), np.uint8), np.array([1.0, 2.0]), at=3)
    record.note(np.ones((2, 2), np.uint8), np.array([1.0 - fall, 5.0]), at=7)
    first = [(3, 1.0), (7, 1.0 - fall)] if better else [(3, 1.0)]
    assert record.improvements == [first, [(3, 2.0)]]
    assert record.best_bits.tolist() == [[int(better)] * 2, [0, 0]]
    assert record.best_loss.tolist() == [1.0 - fall * better, 2.0]
    assert record.evaluations == 0  # those of looks are counted by whoever looks


def test_an_empty_record_has_found_nothing():
    record = SearchRecord.empty(2, 5)
    assert record.best_loss.tolist() == [np.inf, np.inf]
    assert record.best_bits.shape == (2, 5)
    assert record.evaluations == 0
    assert first_hits(record.improvements, np.inf) == [None, None]


def test_replicas_do_not_share_their_improvements():
    record, _ = fill(np.array([[2.0, 1.0], [1.0, 2.0]]), cuts=[])
    assert record.improvements == [[(1, 2.0), (2, 1.0)], [(1, 1.0)]]
