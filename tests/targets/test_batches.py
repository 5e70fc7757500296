"""Mini-batches of rows, against the same target on these rows alone."""

import numpy as np
import pytest

from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.streams import Streams
from qhyper.targets.batches import RowBatches
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.packed.target import PackedTarget
from qhyper.targets.target import MiniBatches

SEEDS = (11, 12, 13)
TARGETS = {
    "layered": BinaryNetwork((4, 3, 2)),
    "layered with choices": BinaryNetwork(
        WeightSpace((4, 2, 1), biases=True, activation=("sign", "tanh"))
    ),
    "packed": PackedTarget((4, 3, 2)),
    "packed, no hidden layer": PackedTarget((4, 2)),
}
RNG = np.random.default_rng(0)
DATA = Samples(RNG.choice((-1.0, 1.0), (30, 4)), RNG.integers(0, 2, 30))


@pytest.fixture(params=TARGETS)
def target(request):
    return TARGETS[request.param]


def draws(target, replicas=3, inputs=1, shots=5):
    rng = np.random.default_rng(7)
    return rng.integers(2, size=(replicas, inputs, shots, target.n_bits), dtype=np.uint8)


@pytest.mark.parametrize("loss", ["cross_entropy", "accuracy"])
def test_every_replica_is_scored_on_its_own_rows(target, loss):
    objective, bits = target.objective(DATA, loss), draws(target)
    rows = np.array([[3, 7, 0, 29], [5, 1, 2, 3], [9, 8, 4, 6]])
    losses = objective.mini_batches(4).take(rows)(bits)
    assert (losses.shape, losses.dtype) == ((3, 1, 5), np.float64)
    for replica, of_one in enumerate(rows):
        alone = target.objective(DATA.take(of_one), loss)
        np.testing.assert_allclose(losses[replica], alone(bits[replica]), atol=1e-12)
    assert (objective.evaluations, objective.rows) == (15, 15 * 4)


def test_flips_are_those_on_these_rows(target):
    objective, bits = target.objective(DATA), draws(target, shots=2)
    batches = objective.mini_batches(6)
    rows = np.array([np.random.default_rng(k).choice(30, 6, replace=False) for k in range(3)])
    losses, differences = batches.take(rows).flips(bits)
    for replica, of_one in enumerate(rows):
        alone = target.objective(DATA.take(of_one))
        expected = alone.flips(bits[replica])
        np.testing.assert_allclose(losses[replica], expected[0], atol=1e-12)
        np.testing.assert_allclose(differences[replica], expected[1], atol=1e-12)
    assert batches.flip_evaluations == objective.flip_evaluations
    assert objective.evaluations == 6 * objective.flip_evaluations
    assert objective.rows == 6 * objective.evaluations


def test_errors_are_laid_to_weights_on_these_rows():
    target = TARGETS["packed"]
    objective, bits = target.objective(DATA), draws(target)
    rows = np.array([[3, 7, 0, 29], [5, 1, 2, 3], [9, 8, 4, 6]])
    losses, wrong = objective.mini_batches(4).take(rows).wrong_weights(bits)
    for replica, of_one in enumerate(rows):
        expected = target.objective(DATA.take(of_one)).wrong_weights(bits[replica])
        np.testing.assert_allclose(losses[replica], expected[0], atol=1e-12)
        np.testing.assert_array_equal(wrong[replica], expected[1])
    assert (objective.evaluations, objective.rows) == (15, 60)
    layered = TARGETS["layered"].objective(DATA)
    with pytest.raises(UnsuitableError, match="lays errors to no bits"):
        layered.mini_batches(4).take(rows).wrong_weights(draws(TARGETS["layered"]))


def test_rows_are_drawn_without_replacement_by_each_replicas_stream(target):
    objective = target.objective(DATA)
    batches, bits = objective.mini_batches(8), draws(target)
    found = batches.draw(Streams(SEEDS)(3, "batch"))(bits)
    rows = np.stack([r.choice(30, 8, replace=False) for r in Streams(SEEDS)(3, "batch")])
    assert all(len(set(of_one)) == 8 for of_one in rows.tolist())
    np.testing.assert_array_equal(found, batches.take(rows)(bits))
    alone = batches.draw(Streams(SEEDS[1:2])(3, "batch"))(bits[1:2])
    np.testing.assert_array_equal(alone[0], found[1])
    other = batches.draw(Streams(SEEDS)(4, "batch"))(bits)
    assert (other != found).any()


def test_a_mini_batch_of_all_rows_has_the_loss_of_all(target):
    objective, bits = target.objective(DATA), draws(target)
    batch = objective.mini_batches(np.int64(30)).draw(Streams(SEEDS)(0, "batch"))
    np.testing.assert_allclose(batch(bits), objective(bits), atol=1e-12)
    assert batch.inputs is None


def test_the_mean_over_all_disjoint_mini_batches_is_the_whole(target):
    objective, bits = target.objective(DATA), draws(target, replicas=1)
    order = np.random.default_rng(2).permutation(30).reshape(5, 6)
    parts = [objective.mini_batches(6).take(rows[None])(bits) for rows in order]
    np.testing.assert_allclose(np.mean(parts, axis=0), objective(bits), atol=1e-12)


def test_they_are_what_trainers_ask_for(target):
    batches = target.objective(DATA).mini_batches(8)
    assert isinstance(batches, MiniBatches)
    assert (batches.size, batches.n_rows, batches.n_features) == (8, 8, 0)
    assert batches.capabilities.mini_batches


@pytest.mark.parametrize("size", [31, 0, -1, True, 1.5, None])
def test_sizes_that_cannot_be_are_refused(target, size):
    objective = target.objective(DATA)
    message = r"Got mini-batches of .* from 30 rows of data; expected a whole number from 1 to 30\."
    for make in (objective.mini_batches, lambda size: RowBatches(objective, size)):
        with pytest.raises(ConfigurationError, match=message + " Choose a smaller `batch`, or"):
            make(size)


def test_draws_of_other_replicas_are_refused_uncounted(target):
    objective = target.objective(DATA)
    batch = objective.mini_batches(4).draw(Streams(SEEDS)(0, "batch"))
    for bits in (draws(target, replicas=2), draws(target)[:, 0]):
        for ask in (batch, batch.flips):
            with pytest.raises(ConfigurationError, match=r"expected draws .* with 3 replicas\."):
                ask(bits)
    assert (objective.evaluations, objective.rows) == (0, 0)
