"""Packed targets whose classes are groups of voting units, against plain matrix products."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from classical.majority import MajorityNetwork, PackedSamples
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.loss import label_losses
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.target import PackedTarget


def problem(layers=(9, 5, 6), label_bits=2, rows=40, seed=0, **options):
    rng = np.random.default_rng(seed)
    data = Samples(
        rng.choice((-1.0, 1.0), (rows, layers[0])),
        rng.integers(layers[-1] // label_bits, size=rows),
    )
    target = PackedTarget(layers, label_bits=label_bits, **options)
    return target, data, rng.integers(2, size=(4, target.n_bits), dtype=np.uint8)


def plain_votes(target, x, bits):
    """Units that are +1 in each group, [row, class], of one draw."""
    at = 0
    for n_in, n_out in zip(target.layers, target.layers[1:], strict=False):
        weights = 2.0 * bits[at : at + n_in * n_out].reshape(n_in, n_out) - 1
        x, at = np.where(x @ weights >= 0, 1, -1), at + n_in * n_out
    return (x > 0).reshape(len(x), -1, target.label_bits).sum(axis=2)


CASES = [
    ((9, 5, 6), 2), ((70, 66, 15), 5), ((7, 4), 2), ((5, 4, 3, 3), 1), ((6, 1, 8), 4), ((2, 15), 5),
]  # fmt: skip
"""Groups smaller and larger than the layer that they see."""


@pytest.mark.parametrize(("layers", "label_bits"), CASES)
def test_losses_are_those_of_the_sums_of_each_groups_signs(layers, label_bits):
    target, data, draws = problem(layers, label_bits, scale=1.5)
    assert (target.classes, target.n_bits) == (layers[-1] // label_bits, draws.shape[1])
    votes = np.stack([plain_votes(target, data.x, bits) for bits in draws])
    right = (votes.argmax(axis=2) == data.y).mean(axis=1)
    found = target.objective(data, "accuracy")
    np.testing.assert_allclose(found(draws), 1 - right, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.accuracy(draws, data), right)
    logits = torch.from_numpy((2 * votes - label_bits) / 1.5)
    labels = torch.tensor(data.y)
    expected = [cross_entropy(of_one, labels).item() for of_one in logits]
    scored = target.objective(data)
    np.testing.assert_allclose(scored(draws), expected, rtol=0, atol=1e-12)
    p = torch.softmax(logits, -1).numpy()
    brier = ((p - np.eye(target.classes)[data.y]) ** 2).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(target.objective(data, "squared_error")(draws), brier, atol=1e-12)


def test_any_loss_gets_the_sums_of_signs_as_its_logits(monkeypatch):
    """Not the votes, which are other numbers for a loss that adding a constant changes."""
    target, data, draws = problem(scale=1.5)
    seen = []

    def watched(logits, loss):
        seen.append(logits)
        return label_losses(logits, loss)

    monkeypatch.setattr("qhyper.targets.packed.target.label_losses", watched)
    target.objective(data, "squared_error")(draws)
    votes = np.stack([plain_votes(target, data.x, bits) for bits in draws])
    np.testing.assert_array_equal(np.concatenate(seen, axis=1), (2 * votes - 2) / 1.5)


def test_flips_are_exact_differences():
    target, data, draws = problem()
    scored = target.objective(data)
    assert scored.flip_evaluations == target.n_bits + 1  # no pass has them all
    losses, differences = scored.flips(draws[0])
    for bit in range(target.n_bits):
        other = draws[0].copy()
        other[bit] ^= 1
        assert differences[bit] == pytest.approx(scored(other) - losses, abs=1e-12)


def test_a_draw_is_a_packed_network_that_votes_and_survives_its_file(tmp_path):
    target, data, draws = problem()
    network = target.to_packed(draws[0])
    votes = plain_votes(target, data.x, draws[0])
    np.testing.assert_array_equal(network.outputs(data.x > 0), votes)
    network.save(tmp_path / "network.npz")
    again = PackedNetwork.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(again.predict(data.x > 0), votes.argmax(axis=1))
    module = target.to_torch(draws[0])
    np.testing.assert_array_equal(module(torch.tensor(data.x)).numpy(), votes)
    assert repr(target) == "PackedTarget(9-5-6 on signs, 2 votes a class)"


def test_a_majority_network_is_such_a_target():
    target, data, draws = problem()
    network = MajorityNetwork((9, 5, 6), 2, 3)
    batch = PackedSamples(pack_bits(data.x > 0), data.y)
    right = network.correct(network.shape.from_bits(draws), batch)
    np.testing.assert_array_equal(target.objective(data).accuracy(draws), right / len(data.y))


def test_refuses_layers_that_are_no_groups_and_data_of_more_classes():
    for label_bits in (0, 4, 1.0):
        with pytest.raises(ConfigurationError, match=f"groups of {label_bits} label bits"):
            PackedTarget((9, 5, 6), label_bits=label_bits)
    _, data, _ = problem((9, 5, 8), 2)
    with pytest.raises(ConfigurationError, match=r"has 3 outputs.* layers that end with 8\."):
        PackedTarget((9, 5, 6), label_bits=2).objective(data)
