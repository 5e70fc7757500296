"""Naive perturbation against the printed pseudo-code, on all rows and on mini-batches."""

import numpy as np
import pytest

from classical import perturbation_search
from classical.generations import flipped
from classical.perturbation_search import PerturbationSearch
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.objective import Objective

N = 10
SEEDS = (3, 4)


def whole(bits):
    """Few levels, so that many flips are neither better nor worse."""
    return (bits @ np.arange(1, N + 1) % 7).astype(float)


def network_objective():
    rng = np.random.default_rng(0)
    return BinaryNetwork((3, 2, 2)).objective(
        Samples(rng.normal(size=(30, 3)), np.arange(30) % 2), "accuracy"
    )


def run(search, objective, evaluations, seeds=SEEDS):
    return list(search.search(objective, evaluations=evaluations, rng=Streams(seeds)(0, "search")))


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_on_all_rows_it_is_the_printed_scheme(block, monkeypatch):
    # seeds 3 and 4, 200 evaluations; what flips is drawn a block of generations at a time
    monkeypatch.setattr(perturbation_search, "BLOCK", block)
    found = run(PerturbationSearch(N, p=0.15), Objective(whole, N), 200)
    bits = np.concatenate([part.bits for part in found], axis=1)
    losses = np.concatenate([part.losses for part in found], axis=1)
    kept = 0
    for replica, seed in enumerate(SEEDS):
        (rng,) = Streams((seed,))(0, "search")
        state = rng.integers(2, size=(1, N), dtype=np.uint8)[0].tolist()
        tried = [state]
        for done in range(1, 200, block):
            size = min(block, 200 - done)
            for flips in flipped(np.zeros((size, N), np.uint8), 0.15, rng):
                new = [1 - bit if flip else bit for bit, flip in zip(state, flips, strict=True)]
                tried.append(new)
                if whole(np.array(state)) < whole(np.array(new)):
                    kept += 1
                else:
                    state = new
        assert bits[replica].tolist() == tried
        np.testing.assert_array_equal(losses[replica], whole(np.array(tried)))
        assert found[-1].current[replica] == whole(np.array(state))
    assert 0 < kept < 398
    assert all(part.held is None for part in found)


@pytest.mark.parametrize("evaluations", [2, 40, 41])
def test_on_mini_batches_old_and_new_are_scored_on_the_same_fresh_rows(evaluations):
    objective = network_objective()
    found = run(PerturbationSearch(N, p=0.15, batch=6), objective, evaluations)
    assert objective.evaluations == 2 * evaluations
    assert objective.rows == 12 * evaluations
    streams = Streams(SEEDS)(0, "search")
    state = [rng.integers(2, size=(1, N), dtype=np.uint8)[0] for rng in streams]
    for part in found:
        pairs = []
        for replica, rng in enumerate(streams):
            pair = [state[replica]]
            if part.bits.shape[1] == 2:
                flips = flipped(np.zeros((1, N), np.uint8), 0.15, rng)[0]
                pair.append(state[replica] ^ flips)
            pairs.append(pair)
        for replica, rng in enumerate(streams):
            rows = rng.choice(30, 6, replace=False)
            losses = objective.on_rows(rows).losses(np.array(pairs[replica]))
            np.testing.assert_array_equal(part.bits[replica], pairs[replica])
            np.testing.assert_array_equal(part.losses[replica], losses)
            keep = 0 if losses[0] < losses[-1] else -1
            state[replica] = pairs[replica][keep]
            assert part.current[replica] == losses[keep]
        np.testing.assert_array_equal(part.held, state)
    assert sum(part.losses.shape[1] for part in found) == evaluations


def test_finds_the_optimum_of_a_separable_objective():
    # seeds 0 to 4, 3,000 evaluations of 12 bits
    gains = np.random.default_rng(0).normal(size=12)
    found = run(PerturbationSearch(12), Objective(lambda b: b @ gains, 12), 3000, range(5))
    np.testing.assert_allclose(found[-1].current[:, 0], gains[gains < 0].sum())


def test_says_what_it_is_and_flips_few_bits_unless_told():
    assert PerturbationSearch(36).p == 6**0.5 / 36
    assert PerturbationSearch(2).p == 0.5
    assert PerturbationSearch(36).describe() == "Naive perturbation, 2.45 flips on average"
    assert PerturbationSearch(36, batch=5).batch == 5
    assert PerturbationSearch(36).batch is None


def test_refuses():
    with pytest.raises(ConfigurationError, match="Got p=2; expected a probability"):
        PerturbationSearch(3, p=2)
    objective = network_objective()
    with pytest.raises(ConfigurationError, match="Got 1 evaluations, too few for one gen"):
        PerturbationSearch(N, batch=3).search(objective, evaluations=1, rng=[])
    with pytest.raises(ConfigurationError, match="Got mini-batches of 31 rows from 30 rows"):
        PerturbationSearch(N, batch=31).search(objective, evaluations=9, rng=[])
    with pytest.raises(ConfigurationError, match="has no mini-batches"):
        PerturbationSearch(N, batch=3).search(Objective(whole, N), evaluations=9, rng=[])
    assert objective.evaluations == 0
