"""Majority networks against plain NumPy; flips against their law."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classical import majority
from classical.majority import MajorityNetwork, PackedSamples, mutate
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.network import PackedNetwork


def plain(network, words, x):
    """Classes by NumPy: XOR with the printed weights, which are the stored ones' complements."""
    for bits in network.shape.unpack(words):
        ones = (x[:, None, :] ^ (1 - bits)).sum(axis=2)
        x = 1 - (ones < bits.shape[1] - ones).astype(np.uint8)  # 0 if zeros are the majority
    return x.reshape(len(x), network.classes, -1).sum(axis=2).argmax(axis=1)


def problem(layers, label_bits, classes, rows, seed):
    network = MajorityNetwork(layers, label_bits, classes)
    rng = np.random.default_rng(seed)
    x = rng.integers(2, size=(rows, layers[0]), dtype=np.uint8)
    labels = rng.integers(classes, size=rows)
    return network, network.random(3, rng), x, labels


@st.composite
def problems(draw):
    label_bits, classes = draw(st.integers(1, 3)), draw(st.integers(2, 3))
    below = draw(st.lists(st.sampled_from((1, 2, 5, 63, 64, 65)), min_size=2, max_size=5))
    layers = (*below, label_bits * classes)
    return problem(layers, label_bits, classes, draw(st.integers(1, 6)), draw(st.integers(0, 99)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problems())
def test_classes_are_those_of_the_printed_network(found):
    network, population, x, labels = found
    classes = [plain(network, words, x) for words in population]
    np.testing.assert_array_equal(
        network.correct(population, PackedSamples(pack_bits(x), labels)),
        [(own == labels).sum() for own in classes],
    )
    np.testing.assert_array_equal(network.packed(population[0]).predict(x), classes[0])


def test_a_network_survives_its_file(tmp_path):
    network, population, x, _ = problem((70, 9, 6), 2, 3, 5, seed=0)
    packed = network.packed(population[0])
    packed.save(tmp_path / "network.npz")
    again = PackedNetwork.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(again.words, population[0])
    np.testing.assert_array_equal(again.predict(x), packed.predict(x))


def test_random_networks_are_uniform():
    # seed 0; 50 networks of 1,448 weights: the number of ones within 5 sigma of half
    network = MajorityNetwork((70, 20, 6), 3, 2)
    words = network.random(50, np.random.default_rng(0))
    ones, n = int(np.bitwise_count(words).sum()), 50 * network.shape.n_weights
    assert abs(ones - n / 2) < 5 * np.sqrt(n / 4)
    np.testing.assert_array_equal(words & ~network.shape.ones, 0)


# Flips


def flipped(network, networks, p, seed):
    """What `mutate` flips of all weights: ones in zeros."""
    words = np.zeros((networks, network.shape.n_words), np.uint64)
    everywhere = np.arange(network.shape.n_words)
    mutate(words, everywhere, network.shape.ones, p, np.random.default_rng(seed))
    return words


@pytest.fixture(params=[None, 1, 1000], ids=["together", "one-by-one", "some-by-some"])
def drawn_together(request, monkeypatch):
    """Bits that flips are drawn from at once: the law does not depend on it."""
    if request.param:
        monkeypatch.setattr(majority, "_DRAWN_TOGETHER", request.param)


@pytest.mark.usefixtures("drawn_together")
def test_flips_with_certainty_flip_all_and_only_what_they_may():
    network = MajorityNetwork((70, 20, 6), 3, 2)
    np.testing.assert_array_equal(
        flipped(network, 2, 1.0, seed=0), np.stack([network.shape.ones] * 2)
    )
    assert not flipped(network, 2, 0.0, seed=0).any()
    where, masks = np.array([7, 3]), np.array([5, 1 << 63], np.uint64)
    words = np.zeros((2, network.shape.n_words), np.uint64)
    mutate(words, where, masks, 1.0, np.random.default_rng(0))
    assert words[:, where].tolist() == [[5, 1 << 63]] * 2
    words[:, where] = 0
    assert not words.any()


@pytest.mark.usefixtures("drawn_together")
def test_flips_are_independent_and_as_probable_as_asked():
    # seed 1, 2,000 networks of 36 weights, p = 0.1: counts a weight, and of pairs of neighbours,
    # within 5 sigma of their means
    network, networks, p = MajorityNetwork((6, 4, 3), 1, 3), 2000, 0.1
    words = flipped(network, networks, p, seed=1)
    bits = np.concatenate([m.reshape(networks, -1) for m in network.shape.unpack(words)], axis=1)
    assert bits.shape == (networks, 36)
    for found, q in ((bits, p), (bits[:, 1:] & bits[:, :-1], p * p), (bits[1:] & bits[:-1], p * p)):
        counts = found.sum(axis=0)
        assert (abs(counts - networks * q) < 5 * np.sqrt(networks * q * (1 - q))).all()
    total = bits.sum()  # its spread too is that of independent flips
    assert abs(total - bits.size * p) < 5 * np.sqrt(bits.size * p * (1 - p))
    assert bits.sum(axis=1).var() == pytest.approx(36 * p * (1 - p), rel=0.2)


# What is refused


@pytest.mark.parametrize("layers", [(784, 10), (784, 50, 50, 50, 50, 50, 10)])
def test_refuses_another_depth(layers):
    with pytest.raises(ConfigurationError, match=f"Got {len(layers) - 1} layers of weights"):
        MajorityNetwork(layers, 1)


def test_refuses_a_last_layer_that_does_not_fit_the_label_bits():
    with pytest.raises(
        ConfigurationError,
        match=r"too deep for the label bits: its last layer has 10 units, but 10 classes of 100 "
        r"bits need 1000\. Choose a last layer of 1000 units, or other",
    ):
        MajorityNetwork((784, 512, 10), 100)


@pytest.mark.parametrize(("label_bits", "classes"), [(0, 10), (10, 1)])
def test_refuses_no_bits_and_one_class(label_bits, classes):
    with pytest.raises(ConfigurationError, match=f"Got {classes} classes of {label_bits} label"):
        MajorityNetwork((5, 4, 10), label_bits, classes)


def test_refuses_inputs_of_another_width():
    network, population, _, labels = problem((7, 5, 6), 2, 3, 4, seed=0)
    batch = PackedSamples(pack_bits(np.zeros((4, 8), np.uint8)), labels)
    with pytest.raises(ConfigurationError, match="Got 8 inputs a row"):
        network.correct(population, batch)


def test_refuses_batches_without_rows_and_with_other_labels():
    inputs = pack_bits(np.zeros((4, 8), np.uint8))
    floats: Any = np.zeros(4)
    with pytest.raises(ConfigurationError, match=r"labels of int64 and shape \(3,\) for 4 rows"):
        PackedSamples(inputs, np.zeros(3, np.int64))
    with pytest.raises(ConfigurationError, match="labels of float64"):
        PackedSamples(inputs, floats)
    with pytest.raises(ConfigurationError, match="a batch without rows"):
        PackedSamples(inputs, np.zeros(4, np.int64)).take(slice(0, 0))
