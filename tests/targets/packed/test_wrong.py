"""Wrong weights against the printed rule in plain loops, on words and from objectives."""

from typing import Any

import numpy as np
import pytest

from qhyper.bits import unpack
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.objective import Objective
from qhyper.targets.packed import wrong
from qhyper.targets.packed.inputs import pack_bits, pack_pixels
from qhyper.targets.packed.shape import PackedShape
from qhyper.targets.packed.target import PackedTarget
from qhyper.targets.packed.wrong import READINGS, wrong_weights


def literal(matrices, x, labels, label_bits, reading="all-weights", voters_below=False):
    """Wrong weights [unit][input] a layer, by loops; weights and inputs are -1 and +1."""
    values = [x]
    for matrix in matrices:
        values.append(np.where(values[-1] @ matrix.T >= 0, 1, -1))
    should = np.where(labels[:, None] == np.arange(len(matrices[-1])) // label_bits, 1, -1)
    errors = values[-1] != should
    wrong_units = [u for u in range(len(matrices[-1])) if errors[:, u].sum() >= len(x) / 2]
    found = [np.zeros(matrix.shape, bool) for matrix in matrices]
    for layer in reversed(range(len(matrices))):
        last = layer == len(matrices) - 1
        contributed = np.zeros(matrices[layer].shape, int)  # times
        for u in wrong_units:
            for i, weight in enumerate(matrices[layer][u]):
                for r in range(len(x)):
                    voted = values[layer][r, i] * weight == values[layer + 1][r, u]
                    contributed[u, i] += voted and (not last or errors[r, u])
                every = not last and not voters_below
                found[layer][u, i] = every or contributed[u, i] >= len(x) / 2
        if reading == "contributions":
            wrong = contributed.sum(axis=0) >= len(x) / 2
        elif reading == "wrong-bits":
            wrong = found[layer].sum(axis=0) > len(wrong_units) / 2
        else:
            wrong = found[layer].sum(axis=0) > len(matrices[layer]) / 2
        wrong_units = np.flatnonzero(wrong)
    return found


CASES = [
    ((5, 4), 1), ((5, 3, 4), 1), ((70, 6, 4), 1), ((9, 5, 4), 2), ((5, 64, 65, 4), 1),
    ((4, 3, 3, 3, 6), 3), ((5, 3, 2, 4), 1),
]  # fmt: skip


def problem(layers, label_bits, rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.choice((-1, 1), (rows, layers[0]))
    labels = np.append(rng.integers(layers[-1] // label_bits, size=rows - 1), 0)
    bits = rng.integers(2, size=(3, PackedShape(layers).n_weights), dtype=np.uint8)
    return x, labels, bits


@pytest.fixture(params=[None, 1, 40], ids=["together", "one-by-one", "some-by-some"])
def together(request, monkeypatch):
    """Words of rows that are counted together: nothing depends on it."""
    if request.param:
        monkeypatch.setattr(wrong, "_TOGETHER", request.param)
        monkeypatch.setattr(wrong, "_FEW", 1)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize(("layers", "label_bits"), CASES)
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("voters_below", [False, True])
def test_wrong_weights_are_those_of_the_printed_rule(
    layers, label_bits, rows, reading, voters_below
):
    shape, found = PackedShape(layers), set()
    for seed in range(3):
        x, labels, bits = problem(layers, label_bits, rows, seed)
        for words in shape.from_bits(bits):
            numbers, masks = wrong_weights(
                shape, words, pack_bits(x > 0), labels, label_bits, reading=reading,
                voters_below=voters_below,
            )  # fmt: skip
            assert len(set(numbers.tolist())) == len(numbers)
            ours = np.zeros(shape.n_words, np.uint64)
            ours[numbers] = masks
            matrices = [2 * m.astype(int) - 1 for m in shape.unpack(words)]
            expected = literal(matrices, x, labels, label_bits, reading, voters_below)
            for own, other in zip(shape.unpack(ours), expected, strict=True):
                np.testing.assert_array_equal(own, other)
            found.add(any(m.any() for m in expected))
    assert True in found


DEEP = PackedShape((784, 1024, 1024, 1024, 1024, 1000))
SHARES = {"all-weights": (0, 0), "contributions": (1, 1), "wrong-bits": (0.70, 0)}
"""Of inputs of the last layer that are wrong, with 1 row and with 100."""


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("rows", [1, 100])
def test_readings_find_other_shares_of_inputs_wrong_in_a_deep_random_network(reading, rows):
    # seed 1, random bits of 10 classes. The share of 0.70 is of 1,024 inputs of one network: its
    # standard deviation would be 0.014 were they independent, and 0.05 is allowed.
    rng = np.random.default_rng(1)
    words = rng.integers(2**64, size=DEEP.n_words, dtype=np.uint64) & DEEP.ones
    x, labels = rng.integers(2, size=(rows, 784)), rng.integers(10, size=rows)
    numbers, masks = wrong_weights(DEEP, words, pack_bits(x), labels, 100, reading=reading)
    found = np.zeros(DEEP.n_words, np.uint64)
    found[numbers] = masks
    below = DEEP.unpack(found)[-2]  # all weights of a wrong unit are wrong
    assert (below.all(axis=1) == below.any(axis=1)).all()
    assert below.any(axis=1).mean() == pytest.approx(SHARES[reading][rows > 1], abs=0.05)


@pytest.mark.parametrize("rows", range(1, 10))
def test_a_bit_is_counted_in_at_least_so_many_rows(rows):
    words = np.random.default_rng(rows).integers(2**63, size=(rows, 3), dtype=np.uint64)
    bits = unpack(words, 192)
    for threshold in range(1, rows + 3):
        for parts in ([words], words[:, None]):
            found = unpack(wrong._at_least(iter(parts), threshold), 192)
            np.testing.assert_array_equal(found, bits.sum(axis=0) >= threshold)


def objective(layers=(9, 5, 4), label_bits=2, loss="accuracy", rows=12, seed=0):
    x, labels, bits = problem(layers, label_bits, rows, seed)
    target = PackedTarget(layers, label_bits=label_bits)
    return target.objective(Samples(x.astype(float), labels), loss), x, labels, bits


@pytest.mark.parametrize("label_bits", [1, 2])
@pytest.mark.parametrize("loss", ["accuracy", "cross_entropy"])
def test_an_objective_gives_losses_and_wrong_bits_from_one_evaluation(label_bits, loss):
    scored, x, labels, bits = objective(label_bits=label_bits, loss=loss)
    assert scored.capabilities.wrong_weights
    np.testing.assert_array_equal(scored.labels, labels)
    losses, bits_wrong = scored.wrong_weights(bits)
    assert (scored.evaluations, scored.rows) == (3, 3 * len(x))
    np.testing.assert_array_equal(losses, scored(bits))
    assert (bits_wrong.shape, bits_wrong.dtype) == (bits.shape, bool)
    shape = PackedShape((9, 5, 4))
    for own, draw in zip(bits_wrong, bits, strict=True):
        matrices = [2 * m.astype(int) - 1 for m in shape.unpack(shape.from_bits(draw))]
        expected = np.concatenate([m.T.ravel() for m in literal(matrices, x, labels, label_bits)])
        np.testing.assert_array_equal(own, expected)
    np.testing.assert_array_equal(scored.wrong_weights(bits[0])[1], bits_wrong[0])


def test_a_mini_batch_gives_them_on_its_own_rows():
    scored, _, _, bits = objective()
    rows = np.array([[0, 3, 5], [7, 7, 2]])
    batch = scored.mini_batches(3).take(rows)
    draws = np.stack([bits[:2], bits[1:]])[:, None]
    losses, bits_wrong = batch.wrong_weights(draws)
    assert (scored.evaluations, scored.rows) == (4, 12)
    assert losses.shape == (2, 1, 2)
    assert bits_wrong.shape == draws.shape
    for replica, chosen in enumerate(rows):
        alone = scored.on_rows(chosen).wrong_weights(draws[replica, 0])
        np.testing.assert_array_equal(losses[replica, 0], alone[0])
        np.testing.assert_array_equal(bits_wrong[replica, 0], alone[1])


def test_refuses_pixels_and_networks_of_other_kinds():
    shape = PackedShape((3, 2))
    with pytest.raises(ConfigurationError, match="Got inputs of 8 planes; errors are laid to"):
        wrong_weights(shape, shape.ones, pack_pixels([[1, 2, 3]]), np.zeros(1, int))
    with pytest.raises(ConfigurationError, match="no whole number of groups of 3 label bits"):
        wrong_weights(shape, shape.ones, pack_bits([[1, 0, 1]]), np.zeros(1, int), 3)
    reading: Any = "wrong-bit"
    with pytest.raises(ConfigurationError, match=r"reading 'wrong-bit'.*wrong-bits"):
        wrong_weights(shape, shape.ones, pack_bits([[1, 0, 1]]), np.zeros(1, int), reading=reading)
    pixels = Samples((np.arange(9.0).reshape(3, 3) - 127.5) / 128, np.array([0, 1, 1]))
    assert not PackedTarget((3, 2), inputs="pixels").objective(pixels).capabilities.wrong_weights
    layered = BinaryNetwork((3, 2, 2)).objective(pixels)
    for other in (layered, Objective(lambda bits: bits.sum(1), 4)):
        assert not other.capabilities.wrong_weights
        with pytest.raises(UnsuitableError, match="lays errors to no bits: only packed networks"):
            other.wrong_weights(np.zeros(other.n_bits, np.uint8))
    assert layered.labels.tolist() == [0, 1, 1]
    with pytest.raises(ConfigurationError, match="tells no labels of rows"):
        _ = Objective(lambda bits: bits.sum(1), 4).labels
    with pytest.raises(UnsuitableError, match="lays errors to no bits: only packed networks"):
        layered.mini_batches(2).take(np.array([[0, 1]])).wrong_weights(np.zeros((1, 1, 1, 10)))
