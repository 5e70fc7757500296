"""Counting errors against the printed pseudo-code; what is wrong has tests of its own."""

import numpy as np
import pytest

from classical.counting_search import CountingSearch
from classical.generations import flipped
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.objective import Objective
from qhyper.targets.packed.target import PackedTarget

SEEDS = (7, 8)
TARGET = PackedTarget((9, 5, 6), label_bits=2)
N = TARGET.n_bits


def data(rows=40):
    rng = np.random.default_rng(0)
    return Samples(rng.choice((-1.0, 1.0), (rows, 9)), rng.integers(3, size=rows))


def run(search, objective, evaluations, seeds=SEEDS):
    return list(search.search(objective, evaluations=evaluations, rng=Streams(seeds)(0, "search")))


def fresh_rows(rng, labels, batch, one_class):
    if batch is None:
        return np.arange(len(labels))
    if not one_class:
        return rng.choice(len(labels), batch, replace=False)
    own = np.flatnonzero(labels == labels[rng.integers(len(labels))])
    return own[rng.integers(len(own), size=batch)]


@pytest.mark.parametrize(("batch", "one_class"), [(None, False), (8, False), (8, True)])
@pytest.mark.parametrize("children", [1, 4])
@pytest.mark.parametrize("p_all", [0.0, 0.05])
def test_it_is_the_printed_scheme(batch, one_class, children, p_all):
    # seeds 7 and 8; with four children, six generations of five and one of three
    if one_class and children > 1:
        pytest.skip("refused")
    rows = 40 if batch else 5  # of few rows, more is wrong
    objective, evaluations = TARGET.objective(data(rows)), 33
    search = CountingSearch(
        N, p=0.3, p_all=p_all, children=children, batch=batch, one_class=one_class
    )
    found = run(search, objective, evaluations)
    assert objective.evaluations == 2 * evaluations
    assert objective.rows == 2 * evaluations * (batch or rows)
    sizes = [part.losses.shape[1] for part in found]
    assert sizes == ([1] * 33 if children == 1 else [5] * 6 + [3])
    some_wrong = 0
    for replica, seed in enumerate(SEEDS):
        (rng,) = Streams((seed,))(0, "search")
        parent = rng.integers(2, size=(1, N), dtype=np.uint8)[0]
        for part, size in zip(found, sizes, strict=True):
            on = objective.on_rows(fresh_rows(rng, objective.labels, batch, one_class))
            losses, wrong = on.wrong_weights(parent[None])
            some_wrong += wrong.any()
            family = [parent]
            population = np.stack([parent] * max(1, size - 1))
            population = flipped(population, 0.3, rng, np.flatnonzero(wrong[0]))
            population = flipped(population, p_all, rng) if p_all else population
            if children == 1:
                held, loss, parent = parent, losses[0], population[0]
            else:
                family += list(population)
                losses = np.append(losses, on.losses(population))
                best = losses[1:].argmin()
                held = parent = population[best]
                loss = losses[1:][best]
            np.testing.assert_array_equal(part.bits[replica], family)
            np.testing.assert_array_equal(part.losses[replica], losses)
            assert part.current[replica] == loss
            if batch is None:
                assert part.held is None
            else:
                np.testing.assert_array_equal(part.held[replica], held)
    assert some_wrong


def test_a_last_evaluation_alone_scores_the_parent():
    objective = TARGET.objective(data())
    found = run(CountingSearch(N, children=4), objective, 6)
    assert [part.losses.shape[1] for part in found] == [5, 1]
    np.testing.assert_array_equal(found[1].current, found[1].losses)
    assert objective.evaluations == 12


def test_learns_an_easy_problem():
    # seed 0: two classes that differ in half of 20 bits, every bit noisy; chance is 0.5, and the
    # nearest of the two patterns right with probability 0.998
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=600)
    clean = np.where(np.arange(20) < 10, labels[:, None], 0)
    x = np.where(clean ^ (rng.random((600, 20)) < 0.1), 1.0, -1.0)
    target = PackedTarget((20, 15, 10), label_bits=5)
    objective = target.objective(Samples(x, labels), "accuracy")
    search = CountingSearch(target.n_bits, p=0.02, batch=3)
    found = run(search, objective, 500, seeds=(0,))
    assert objective.accuracy(np.stack([part.held[0] for part in found])).max() > 0.8


def test_says_what_it_is():
    found = CountingSearch(N, batch=5).describe()
    assert found == "Counting errors, flips of 3 % of the wrong bits, on rows of one class"


def test_rows_are_of_one_class_where_an_only_child_is_not_compared():
    assert CountingSearch(N, batch=5).one_class
    assert not CountingSearch(N).one_class
    assert not CountingSearch(N, batch=5, children=2).one_class
    assert not CountingSearch(N, batch=5, one_class=False).one_class


def test_refuses_objectives_that_tell_no_errors_before_anything_is_spent():
    samples = data()
    layered = BinaryNetwork((9, 5, 3)).objective(samples)
    pixels = PackedTarget((9, 5, 3), inputs="pixels").objective(
        Samples(np.clip(samples.x, -0.99609375, 0.99609375), samples.y)
    )
    own = Objective(lambda bits: bits.sum(1), 60)
    for objective in (layered, pixels, own):
        with pytest.raises(
            UnsuitableError,
            match=r"only packed networks that see signs tell; got .*\. Use elite-evolution, or",
        ):
            CountingSearch(objective.n_bits).search(objective, evaluations=9, rng=[])
        assert objective.evaluations == 0


def test_refuses_what_cannot_be():
    with pytest.raises(ConfigurationError, match="Got children=0"):
        CountingSearch(N, children=0)
    with pytest.raises(ConfigurationError, match="Got p_all=2; expected a probability"):
        CountingSearch(N, p_all=2)
    for batch, children in ((None, 1), (5, 2)):
        with pytest.raises(
            ConfigurationError, match=f"Got one_class with batch={batch} and children={children};"
        ):
            CountingSearch(N, one_class=True, batch=batch, children=children)
    objective = TARGET.objective(data())
    with pytest.raises(ConfigurationError, match="Got 4 evaluations, too few for one gen"):
        CountingSearch(N, children=4).search(objective, evaluations=4, rng=[])
    with pytest.raises(ConfigurationError, match="Got mini-batches of 41 rows"):
        CountingSearch(N, batch=41).search(objective, evaluations=9, rng=[])
