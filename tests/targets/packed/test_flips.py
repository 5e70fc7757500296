"""Differences of flips against brute force: every bit flipped, the loss computed anew."""

import numpy as np
import pytest
from scipy.special import logsumexp

from qhyper import threads
from qhyper.errors import ConfigurationError
from qhyper.targets.packed import flips
from qhyper.targets.packed.flips import flip_differences
from qhyper.targets.packed.inputs import pack_bits, pack_pixels
from qhyper.targets.packed.population import sums
from qhyper.targets.packed.shape import PackedShape


def problem(layers, rows, seed=0):
    """A shape, random matrices of bits, rows of bits and labels."""
    rng = np.random.default_rng(seed)
    shape = PackedShape(layers)
    matrices = [rng.integers(0, 2, m, dtype=np.uint8) for m in shape.matrices]
    bits = rng.integers(0, 2, (rows, layers[0]), dtype=np.uint8)
    return shape, matrices, bits, rng.integers(0, layers[-1], rows)


def plain_sums(matrices, bits):
    """Sums of the hidden and of the last layer, [row, unit], sign(0) = +1."""
    first, last = (2.0 * m - 1 for m in matrices)
    hidden = (2.0 * bits - 1) @ first.T
    return hidden, np.where(hidden >= 0, 1, -1) @ last.T


def plain_loss(matrices, bits, labels, scale):
    z = plain_sums(matrices, bits)[1] / scale
    return np.mean(logsumexp(z, axis=1) - z[np.arange(len(z)), labels])


def brute_force(matrices, bits, labels, scale):
    """The loss, and what every flip adds to it."""
    loss = plain_loss(matrices, bits, labels, scale)
    differences = [np.empty(m.shape) for m in matrices]
    for matrix, found in zip(matrices, differences, strict=True):
        for i in np.ndindex(matrix.shape):
            matrix[i] ^= 1
            found[i] = plain_loss(matrices, bits, labels, scale) - loss
            matrix[i] ^= 1
    return loss, differences


def differences_of(shape, matrices, bits, labels, scale=1.0):
    return flip_differences(shape, shape.pack(matrices), pack_bits(bits), labels, scale)


@pytest.mark.parametrize("scale", [0.05, 1, 8.0])
@pytest.mark.parametrize(
    ("layers", "rows"),
    [
        ((9, 5, 3), 40),
        ((10, 7, 10), 200),
        ((7, 66, 4), 129),
        ((63, 3, 5), 128),
        ((130, 4, 3), 60),
        ((6, 64, 2), 50),
        ((65, 1, 10), 300),
        ((1, 3, 2), 7),
        ((2, 2, 9), 1),
    ],
    ids=str,
)
def test_differences_are_those_of_brute_force(layers, rows, scale):
    shape, matrices, bits, labels = problem(layers, rows)
    loss, expected = brute_force(matrices, bits, labels, scale)
    got, differences = differences_of(shape, matrices, bits, labels, scale)
    # differences grow as 1 / scale, and rounding with them
    assert got == pytest.approx(loss, rel=1e-12, abs=1e-12)
    for found, of_layer in zip(differences, expected, strict=True):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, of_layer, rtol=1e-12, atol=1e-12 * max(1, 1 / scale))


def test_the_problems_have_units_on_both_sides_of_the_edge_and_classes_that_tie():
    for layers, edges in (((10, 7, 10), (0, -2)), ((9, 5, 3), (1, -1))):
        _, matrices, bits, _ = problem(layers, 200)
        hidden, last = plain_sums(matrices, bits)
        assert all((hidden == edge).sum() > 100 for edge in edges)
        top = np.sort(last, axis=1)
        assert (top[:, -1] == top[:, -2]).sum() > 20


def test_the_loss_is_that_of_the_sums_of_packed_networks():
    shape, matrices, bits, labels = problem((30, 20, 6), 500)
    z = sums(shape, shape.pack(matrices)[None], pack_bits(bits))[0] / 3
    expected = np.mean(logsumexp(z, axis=1) - z[np.arange(500), labels])
    got, _ = differences_of(shape, matrices, bits, labels, 3)
    assert got == pytest.approx(expected, rel=1e-13)


def test_a_class_that_outweighs_all_others_leaves_nothing_to_cancel():
    # all weights and inputs +1: class 0 has the sum 64, class 1 has -64, and exp(-128 / 0.01) is 0
    shape = PackedShape((5, 64, 2))
    matrices = [np.ones((64, 5), np.uint8), np.repeat(np.array([[1], [0]], np.uint8), 64, 1)]
    bits, labels = np.ones((3, 5), np.uint8), np.array([0, 1, 1])
    loss, (first, last) = differences_of(shape, matrices, bits, labels, 0.01)
    assert loss == pytest.approx(2 / 3 * 128 / 0.01, rel=1e-13)
    assert (first == 0).all()  # no unit is at its edge
    np.testing.assert_allclose(last, -2 / 3 * 2 / 0.01, rtol=1e-13)


def test_rows_in_several_parts_add_up(monkeypatch):
    shape, matrices, bits, labels = problem((40, 30, 5), 700)
    whole = differences_of(shape, matrices, bits, labels)
    monkeypatch.setattr(flips, "_TOGETHER", 150)
    parts = differences_of(shape, matrices, bits, labels)
    assert parts[0] == pytest.approx(whole[0], rel=1e-13)
    for one, other in zip(parts[1], whole[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    shape, matrices, bits, labels = problem((100, 70, 10), 600)
    found = []
    for n_threads in (1, 2, 5):
        monkeypatch.setattr(threads, "n_threads", lambda n=n_threads: n)
        found.append(differences_of(shape, matrices, bits, labels))
    for other in found[1:]:
        assert other[0] == found[0][0]
        assert all(map(np.array_equal, other[1], found[0][1]))


def test_refuses_what_does_not_fit():
    shape, matrices, bits, labels = problem((10, 7, 3), 20)
    words, inputs = shape.pack(matrices), pack_bits(bits)

    def refused(match, shape=shape, words=words, inputs=inputs, labels=labels, scale=1.0):
        with pytest.raises(ConfigurationError, match=match):
            flip_differences(shape, words, inputs, labels, scale)

    for layers in ((10, 3), (10, 7, 7, 3), (10, 7, 1)):
        refused("one hidden layer and two classes or more; got layers", PackedShape(layers))
    refused("with 10 words for the layers", words=words[:-1])
    refused("those of one network", words=words[None])
    refused("Got ones past the end", words=words | np.uint64(1 << 10))
    refused("Got 9 inputs a row of 1 planes; expected 10 bits", inputs=pack_bits(bits[:, :9]))
    refused("of 8 planes", inputs=pack_pixels(bits))
    refused("expected whole numbers from 0 to 2, one for each of 20 rows", labels=labels[:-1])
    refused("expected whole numbers from 0 to 2", labels=labels + 1.0)
    refused("expected whole numbers from 0 to 2", labels=np.where(labels == 2, 3, labels))
    refused("expected whole numbers from 0 to 2", labels=labels - 1)
    for scale in (0.0, -1.0, 0.009, np.inf, np.nan):
        refused("scale divides the sums: a finite number of at least 0.01", scale=scale)
