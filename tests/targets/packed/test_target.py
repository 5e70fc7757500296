"""Packed targets against the plain forward pass of the layered network, on the same bits."""

from typing import Any

import numpy as np
import pytest
import torch

from qhyper import registry
from qhyper.data.samples import Dataset, Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.loss import LOSSES
from qhyper.targets.packed import target as module
from qhyper.targets.packed.target import PackedTarget, packed

LAYERS = [(5, 3), (5, 4, 3), (6, 4, 2), (4, 5, 3, 2), (70, 3, 2), (3, 66, 4)]
"""Of one, two and three layers of weights; even and odd sums, so that there are ties; whole words
and more."""
OWN_LOSS = "qhyper.targets.loss:cross_entropy"
"""Named in this way it is one of which the kernels know nothing."""


def samples(layers, rows=40, seed=0):
    rng = np.random.default_rng(seed)
    return Samples(rng.choice((-1.0, 1.0), (rows, layers[0])), rng.integers(layers[-1], size=rows))


def images(layers, rows=40, seed=0):
    """Features (v - 127.5) / 128 of whole v."""
    rng = np.random.default_rng(seed)
    pixels = rng.choice((0, 255, 127, 128, 40), (rows, layers[0]))
    return Samples((pixels - 127.5) / 128, rng.integers(layers[-1], size=rows))


def draws(n_bits, number=6, seed=1):
    return np.random.default_rng(seed).integers(2, size=(number, n_bits), dtype=np.uint8)


def brute_force(network, bits, data, loss):
    """(losses, differences) of bits [draw, bit], every string with one bit flipped."""
    own = network.losses(bits, data, loss)
    flipped = bits[:, None] ^ np.eye(network.n_bits, dtype=np.uint8)
    return own, network.losses(flipped, data, loss) - own[:, None]


# -- losses, accuracy, flips -----------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*LOSSES, OWN_LOSS])
@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_losses_are_those_of_the_layered_network_on_signs(layers, loss):
    network, target, data = BinaryNetwork(layers), PackedTarget(layers, scale=1), samples(layers)
    bits = draws(target.n_bits).reshape(2, 3, -1)
    objective = target.objective(data, loss)
    np.testing.assert_allclose(objective(bits), network.losses(bits, data, loss), atol=1e-12)
    assert (objective.evaluations, objective.rows) == (6, 6 * 40)
    assert (target.n_bits, objective.n_rows, objective.loss) == (network.n_bits, 40, loss)


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_accuracy_is_that_of_the_layered_network(layers):
    network, target, data = BinaryNetwork(layers), PackedTarget(layers), samples(layers)
    other, bits = samples(layers, rows=23, seed=5), draws(target.n_bits)
    objective = target.objective(data)
    for some in (None, data, other):
        expected = 1 - network.losses(bits, some or data, "accuracy")
        np.testing.assert_allclose(objective.accuracy(bits, some), expected, atol=1e-12)
    assert objective.accuracy(bits[0]).shape == ()
    assert (objective.evaluations, objective.rows) == (0, 0)  # costs nothing of a budget


@pytest.mark.parametrize("loss", [*LOSSES, OWN_LOSS])
@pytest.mark.parametrize("layers", [(5, 3), (5, 4, 3), (4, 4, 2), (4, 3, 3, 2)], ids=str)
def test_flips_are_those_of_brute_force(layers, loss):
    network, target, data = BinaryNetwork(layers), PackedTarget(layers, scale=1), samples(layers)
    objective, bits = target.objective(data, loss), draws(target.n_bits)
    losses, differences = objective.flips(bits.reshape(2, 3, -1))
    expected = brute_force(network, bits, data, loss)
    np.testing.assert_allclose(losses.ravel(), expected[0], atol=1e-12)
    np.testing.assert_allclose(differences.reshape(6, -1), expected[1], atol=1e-12)
    one_pass = len(layers) == 3 and loss == "cross_entropy"
    each = 1 if one_pass else target.n_bits + 1
    assert objective.flip_evaluations == each
    assert (objective.evaluations, objective.rows) == (6 * each, 6 * each * 40)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [(5, 3), (5, 4, 3), (4, 3, 3, 2)], ids=str)
def test_networks_that_see_pixels(layers, loss):
    # sums of 2 (v - 127.5): 256 times the features, which matters without a hidden layer alone
    scale = 256 if len(layers) == 2 else 1
    network, data = BinaryNetwork(layers), images(layers)
    target = PackedTarget(layers, inputs="pixels", scale=scale)
    objective, bits = target.objective(data, loss), draws(target.n_bits)
    losses, differences = objective.flips(bits)
    expected = brute_force(network, bits, data, loss)
    np.testing.assert_allclose(losses, expected[0], atol=1e-12)
    np.testing.assert_allclose(differences, expected[1], atol=1e-12)
    assert objective.flip_evaluations == target.n_bits + 1
    np.testing.assert_allclose(
        objective.accuracy(bits), 1 - network.losses(bits, data, "accuracy"), atol=1e-12
    )


@pytest.mark.parametrize(("value", "sound"), [(0, True), (255, True), (-1, False), (256, False)])
def test_pixels_go_from_0_to_255(value, sound):
    x = (np.array([[128.0, 3], [value, 5]]) - 127.5) / 128
    data, target = Samples(x, np.array([0, 1])), PackedTarget((2, 2), inputs="pixels")
    if sound:
        assert target.objective(data)(np.ones(4)).shape == ()
    else:
        with pytest.raises(ConfigurationError, match="whole v from 0 to 255"):
            target.objective(data)


def test_accuracy_on_other_samples_is_theirs_whatever_was_asked_before():
    layers = (5, 3)
    network, target = BinaryNetwork(layers), PackedTarget(layers)
    objective, bits = target.objective(samples(layers)), draws(target.n_bits)
    for seed in (1, 2, 1, 3):
        other = samples(layers, rows=20 + seed, seed=seed)
        np.testing.assert_allclose(objective.accuracy(bits, other), network.accuracy(bits, other))
    np.testing.assert_allclose(objective.accuracy(bits), network.accuracy(bits, samples(layers)))


def test_features_are_seen_by_their_signs_alone():
    layers, rng = (6, 4, 2), np.random.default_rng(3)
    x = rng.normal(size=(30, 6))
    x[:5, 0] = 0  # +1, as from 0 up
    data = Samples(x, rng.integers(2, size=30))
    signs = Samples(np.where(x >= 0, 1.0, -1.0), data.y)
    target = PackedTarget(layers)
    bits = draws(target.n_bits)
    np.testing.assert_array_equal(target.objective(data)(bits), target.objective(signs)(bits))


@pytest.mark.parametrize("scale", [0.01, 0.5, 4.0, 100.0])
def test_the_scale_divides_the_logits(scale):
    layers, data = (5, 4, 3), samples((5, 4, 3))
    target = PackedTarget(layers, scale=scale)
    bits = draws(target.n_bits)
    logits = torch.from_numpy(BinaryNetwork(layers).logits(bits, data.x) / scale)
    labels = torch.from_numpy(np.array(data.y)).expand(len(bits), -1)
    expected = torch.nn.functional.cross_entropy(logits.mT, labels, reduction="none").mean(1)
    np.testing.assert_allclose(target.objective(data)(bits), expected, rtol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("inputs", ["signs", "pixels"])
def test_memory_is_bounded_and_parts_add_up(loss, inputs, monkeypatch):
    layers, sizes = (5, 4, 3), []
    data = (samples if inputs == "signs" else images)(layers)
    objective = PackedTarget(layers, inputs=inputs).objective(data, loss)
    bits = draws(objective.n_bits)
    whole = objective(bits)
    plain = module.sums

    def watched(*arguments):
        found = plain(*arguments)
        sizes.append(8 * found.size)
        return found

    monkeypatch.setattr(module, "sums", watched)
    for limit, parts in ((8 * 3 * 40 * 2, 3), (8 * 3 * 7, 6 * 6), (1, 6 * 40)):
        monkeypatch.setattr(module, "_LOGITS_BYTES", limit)
        sizes.clear()
        np.testing.assert_allclose(objective(bits), whole, rtol=1e-14)
        assert len(sizes) == parts
        assert max(sizes) <= max(limit, 8 * 3)


def test_wrong_weights_count_as_one_evaluation():
    target, data = PackedTarget((5, 4, 3)), samples((5, 4, 3))
    objective, bits = target.objective(data), draws(target.n_bits)
    losses, wrong = objective.wrong_weights(bits.reshape(2, 3, -1))
    assert (wrong.shape, wrong.dtype) == ((2, 3, target.n_bits), np.bool_)
    assert (objective.evaluations, objective.rows) == (6, 240)
    np.testing.assert_allclose(losses.ravel(), objective(bits), atol=1e-12)
    np.testing.assert_array_equal(objective.labels, data.y)


# -- what a draw is --------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [(5, 3), (5, 4, 3), (4, 3, 3, 2)], ids=str)
def test_a_draw_as_a_packed_network_and_a_torch_module_predicts_the_same(layers):
    target, data, network = PackedTarget(layers), samples(layers), BinaryNetwork(layers)
    for bits in draws(target.n_bits, 3):
        logits = network.logits(bits, data.x)
        predicted = logits.argmax(-1)
        np.testing.assert_array_equal(target.to_packed(bits).predict(data.x > 0), predicted)
        found = target.to_torch(bits)(torch.from_numpy(np.array(data.x)))
        np.testing.assert_array_equal(found.numpy(), logits)


def test_what_it_is_and_can():
    target = PackedTarget((6, 4, 2))
    objective = target.objective(samples((6, 4, 2)))
    able = objective.capabilities
    assert (able.accuracy, able.mini_batches, able.flips, able.module, able.packed) == (True,) * 5
    assert able.wrong_weights
    assert not able.certificate
    assert repr(target) == objective.subject == "PackedTarget(6-4-2 on signs)"
    assert objective.name == "cross_entropy of PackedTarget(6-4-2 on signs)"
    assert (target.layers, target.classes, target.layout.layers) == ((6, 4, 2), 2, (6, 4, 2))
    assert objective.layout == target.layout
    seeing_pixels = PackedTarget((6, 4, 2), inputs="pixels").objective(images((6, 4, 2)))
    assert not seeing_pixels.capabilities.wrong_weights


@pytest.mark.parametrize(("rows", "batch"), [(4000, None), (4001, 4000)])
def test_mini_batches_are_usual_where_there_are_many_rows(rows, batch):
    assert (
        PackedTarget((2, 2)).objective(samples((2, 2), rows)).usual_training.get("batch") == batch
    )


def test_by_name_it_suits_the_data():
    data = samples((9, 4, 3))
    dataset = Dataset("mine", data, data)
    assert packed(dataset).layers == (9, 128, 3)
    assert packed(dataset, label_bits=5).layers == (9, 128, 15)
    made: Any = registry.build(
        "target", "packed", options={"layers": [9, 4, 3], "inputs": "pixels", "scale": 2},
        offered={"dataset": dataset},
    )  # fmt: skip
    assert (made.layers, made.inputs, made.scale) == ((9, 4, 3), "pixels", 2.0)


# -- refusals --------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused():
    def refused(match, call):
        with pytest.raises(ConfigurationError, match=match):
            call()

    target, data = PackedTarget((6, 4, 2)), samples((6, 4, 2))
    refused("Unknown inputs of a packed network 'sign'. Did you mean 'signs'",
            lambda: PackedTarget((6, 2), inputs="sign"))  # fmt: skip
    for scale in (0, -1, 0.009, np.inf, np.nan, "4"):
        refused("scale divides the sums: a finite number of at least 0.01",
                lambda scale=scale: PackedTarget((6, 2), scale=scale))  # fmt: skip
    refused(r"Got layers \(6,\); expected two sizes or more", lambda: PackedTarget((6,)))
    refused(r"The data have 5 features, but the network \(6, 4, 2\) has 6 inputs\. Choose layers "
            "that begin with 5", lambda: target.objective(samples((5, 2))))  # fmt: skip
    refused(r"have 3 classes, but the network \(6, 4, 2\) has 2 outputs.* layers that end with 3",
            lambda: target.objective(samples((6, 3))))  # fmt: skip
    refused("one for each class. Choose layers that end with 2",
            lambda: PackedTarget((6, 4, 1)).objective(data))  # fmt: skip
    refused(r"whole pixels need features \(v - 127.5\) / 128 .* Use inputs='signs'",
            lambda: PackedTarget((6, 2), inputs="pixels").objective(data))  # fmt: skip
    refused("Unknown loss 'hinge'", lambda: target.objective(data, "hinge"))
    refused("Got bitstrings of 31 bits, expected 32", lambda: target.objective(data)(np.zeros(31)))
    refused("The data have 5 features",
            lambda: target.objective(data).accuracy(np.zeros(32), samples((5, 2))))  # fmt: skip
    refused("errors are laid to weights by bits alone", lambda: PackedTarget(
        (6, 2), inputs="pixels").objective(images((6, 2))).wrong_weights(np.zeros(12)))  # fmt: skip
    large = PackedTarget((784, 128, 10)).objective(samples((784, 10), 20))
    refused(r"cannot be certified: it has 2\^101632 bitstrings, and the limit is", large.certify)
