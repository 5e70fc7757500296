"""Mini-batches against the plain forward pass, sample by sample, which is the oracle."""

import re
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.layered.conditional_batches import Batches
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.rows import PACKED, PATTERN, REAL, collapse
from qhyper.targets.loss import LOSSES

SCORED_ON = ("own", "batch")
NETWORK = BinaryNetwork((2, 3, 2))
DATA = Samples(np.arange(20.0).reshape(10, 2), np.arange(10) % 2)
"""Every sample is another one."""


def batches(size: Any = 4, scored_on: Any = "own", data=DATA, **options):
    return NETWORK.batches(data, size=size, scored_on=scored_on, **options)


def random_data(network, kind, rows=12, seed=0):
    """Rows of signs, of integers with many sums of 0 and equal rows, or of real numbers."""
    rng, shape = np.random.default_rng(seed), (rows, network.layers[0])
    if kind == "signs":
        x = rng.choice([-1.0, 1.0], shape)
    else:
        x = (
            rng.integers(-1, 2, shape).astype(float)
            if kind == "integers"
            else rng.normal(size=shape)
        )
    return Samples(x, rng.integers(0, network.n_classes, rows))


def random_bits(network, samples, shots=3, seed=1):
    shape = (*np.shape(samples), shots, network.n_bits)
    return np.random.default_rng(seed).integers(0, 2, shape, dtype=np.uint8)


def by_the_plain_pass(network, data, samples, bits, scored_on, loss):
    """The losses [replica, input, shot], one draw's samples at a time."""
    losses = np.empty(bits.shape[:3])
    for replica, own in np.ndindex(bits.shape[:2]):
        chosen = samples[replica] if scored_on == "batch" else samples[replica, own : own + 1]
        scored = Samples(data.x[chosen], data.y[chosen])
        losses[replica, own] = network.losses(bits[replica, own], scored, loss)
    return losses


# -- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize(
    ("layers", "kind", "first"),
    [
        ((3, 4), "integers", PATTERN),
        ((4, 6, 5), "integers", PATTERN),
        ((8, 65, 3), "floats", PATTERN),
        ((9, 6), "integers", REAL),
        ((9, 6, 5), "floats", REAL),
        ((4,), "integers", REAL),
        ((4, 6), "signs", PACKED),
        ((6,), "signs", PACKED),
        ((70, 64, 64), "signs", PACKED),
    ],
)
def test_losses_are_those_of_the_plain_pass(layers, kind, first, outputs, sign_of_zero):
    network = BinaryNetwork((*layers, outputs), sign_of_zero=sign_of_zero)
    data = random_data(network, kind)
    assert collapse(data, network.layers, sign_of_zero).first == first
    samples = np.array([[3, 0, 3, 11, 7], [5, 5, 5, 5, 5], [8, 9, 1, 2, 4]])
    bits = random_bits(network, samples)
    for loss in LOSSES:
        for scored_on in SCORED_ON:
            objective = network.batches(data, size=5, scored_on=scored_on, loss=loss)
            np.testing.assert_allclose(
                objective.take(samples)(bits),
                by_the_plain_pass(network, data, samples, bits, scored_on, loss),
                rtol=0,
                atol=1e-12,
            )


@pytest.mark.parametrize("size", [1, 8, 9, 19])
def test_own_losses_do_not_depend_on_how_many_samples_go_together(size):
    data = random_data(NETWORK, "integers", rows=40)
    samples = np.random.default_rng(size).integers(40, size=(2, size))
    bits = random_bits(NETWORK, samples)
    np.testing.assert_allclose(
        batches(size, "own", data).take(samples)(bits),
        by_the_plain_pass(NETWORK, data, samples, bits, "own", "cross_entropy"),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("kind", ["signs", "integers", "floats"])
def test_all_samples_as_one_batch_are_the_objective_on_the_data(kind):
    data = random_data(NETWORK, kind, rows=40)
    bits = random_bits(NETWORK, np.zeros((1, 40)))
    for loss in LOSSES:
        batch = batches(40, "batch", data, loss=loss).take([np.arange(40)])
        expected = NETWORK.objective(data, loss)(bits)
        np.testing.assert_allclose(batch(bits), expected, rtol=0, atol=1e-12)


def test_samples_that_differ_only_in_their_label_keep_it():
    # The kernel sees one row. Weights +1: hidden (1, 1, 1), logits (3, -3), class 0.
    data = Samples(np.ones((2, 2)), np.array([0, 1]))
    weights = np.ones((1, 2, 1, NETWORK.n_bits), np.uint8)
    weights[..., 7::2] = 0
    for scored_on, expected in (("own", [[[0.0], [1.0]]]), ("batch", [[[0.5], [0.5]]])):
        objective = batches(2, scored_on, data, loss="accuracy")
        assert objective.take([[0, 1]])(weights).tolist() == expected


def test_of_one_sample_its_own_loss_is_that_of_the_batch():
    bits = random_bits(NETWORK, np.zeros((3, 1)))
    own, batch = (batches(1, scored_on).take([[2], [5], [5]])(bits) for scored_on in SCORED_ON)
    np.testing.assert_allclose(own, batch, rtol=0, atol=1e-12)


def test_a_loss_may_be_written_with_a_hyphen():
    bits = random_bits(NETWORK, np.zeros((1, 2)))
    one, other = (
        batches(loss=loss).take([[0, 1]])(bits) for loss in ("squared-error", "squared_error")
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scored_on", SCORED_ON)
def test_draws_are_counted(scored_on):
    objective = batches(scored_on=scored_on)
    for shots in (1, 5):
        samples = [[0, 1, 2, 3], [4, 5, 6, 7]]
        losses = objective.take(samples)(random_bits(NETWORK, samples, shots))
        assert losses.shape == (2, 4, shots)
        assert losses.dtype == np.float64
    assert objective.evaluations == 2 * 4 * (1 + 5)


# -- which samples --------------------------------------------------------------------------------


def test_a_batch_has_the_inputs_and_labels_of_its_samples():
    samples = np.array([[9, 0, 0], [4, 7, 2]])
    batch = batches().take(samples)
    np.testing.assert_array_equal(batch.inputs, DATA.x[samples])
    np.testing.assert_array_equal(batch.labels, DATA.y[samples])


def test_a_replica_draws_the_same_samples_whoever_else_does():
    objective = batches(size=50)
    together = objective.draw(Streams((5, 6, 7))(3, "batch"))
    for replica, seed in enumerate((5, 6, 7)):
        alone = objective.draw(Streams((seed,))(3, "batch"))
        np.testing.assert_array_equal(alone.inputs[0], together.inputs[replica])
        np.testing.assert_array_equal(alone.labels[0], together.labels[replica])
    # 50 of 10 samples each: they agree by chance with 1e-50
    assert (together.inputs[0] != together.inputs[1]).any()


def test_batches_can_be_drawn_again_and_differ_by_step():
    first, again, later = (
        batches(size=50).draw(Streams((5,))(step, "batch")).inputs for step in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()


def test_samples_are_drawn_uniformly_with_replacement():
    # Seed 0: 20,000 of 10 samples, p > 1e-6.
    batch = batches(size=20_000).draw(Streams((0,))(0, "batch"))
    number = (batch.inputs[0, :, 0] / 2).astype(int)
    np.testing.assert_array_equal(batch.inputs[0], DATA.x[number])
    np.testing.assert_array_equal(batch.labels[0], DATA.y[number])
    assert chisquare(np.bincount(number, minlength=10)).pvalue > 1e-6


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "4", None])
def test_a_size_that_is_no_number_from_1_is_refused(size):
    message = f"a whole number of samples, 1 or more; got size={size!r}"
    with pytest.raises(ConfigurationError, match=message):
        batches(size)


def test_an_unknown_way_to_score_is_refused():
    message = r"Unknown scored_on 'bacth'\. Did you mean 'batch'\? Known: batch, own"
    with pytest.raises(ConfigurationError, match=message):
        batches(scored_on="bacth")


def test_an_unknown_loss_is_refused():
    hinge: Any = "hinge"
    with pytest.raises(ConfigurationError, match="Unknown loss 'hinge'"):
        batches(loss=hinge)
    with pytest.raises(ConfigurationError, match="Unknown loss 'hinge'"):
        Batches(NETWORK, DATA, size=2, scored_on="own", loss=hinge)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match=r"3 features.*2 inputs.*begin with 3"):
        batches(data=Samples(np.zeros((2, 3)), np.array([0, 1])))
    with pytest.raises(ConfigurationError, match=r"label 2.*tells 2 classes apart"):
        batches(data=Samples(np.zeros((2, 2)), np.array([0, 2])))


@pytest.mark.parametrize(
    "samples",
    [3, [0, 1], [[[0]]], [[]], [[0, 10]], [[-1, 0]], [[0.0, 1.0]], [[True, False]], [["0"]]],
    ids=str,
)
def test_samples_that_are_none_of_the_data_are_refused(samples):
    array = np.asarray(samples)
    message = (
        f"Got samples of {array.dtype} and shape {array.shape}; expected numbers of samples "
        "[replica, input], each from 0 to 9."
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        batches().take(samples)


@pytest.mark.parametrize("shape", [(12,), (2, 12), (2, 3, 12), (1, 3, 5, 12), (2, 4, 5, 12)])
@pytest.mark.parametrize("scored_on", SCORED_ON)
def test_draws_for_another_batch_are_refused(scored_on, shape):
    objective = batches(scored_on=scored_on)
    batch = objective.take([[0, 1, 2], [3, 4, 5]])
    message = f"Got bits of shape {shape}; expected draws for this mini-batch, [replica, input, "
    with pytest.raises(ConfigurationError, match=re.escape(message) + ".*2 replicas and 3 inputs"):
        batch(np.zeros(shape, np.uint8))
    with pytest.raises(ConfigurationError, match="Got bitstrings of 11 bits, expected 12"):
        batch(np.zeros((2, 3, 5, 11), np.uint8))
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        batch(np.full((2, 3, 5, 12), -1))
    assert objective.evaluations == 0
