"""Ties of logits: within 1e-9 of the largest, the lowest class, wherever logits are decided.

Features of one decimal are not exact in binary: logits that are equal on paper differ in the last
digits, and which is larger says nothing.
"""

import itertools

import numpy as np
import pytest
import torch

from classical.straight_through import StraightThroughNetwork
from classical.supervised import accuracy
from qhyper.bits import all_bitstrings
from qhyper.data.samples import Samples
from qhyper.targets.exact.certificate import certify
from qhyper.targets.layered.conditional_batches import Batches
from qhyper.targets.layered.dense_kernel import DenseKernel
from qhyper.targets.layered.export import to_onnx, to_torch
from qhyper.targets.layered.kernel import ACCURACY, PackedKernel, _label_loss_sum
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.rows import collapse, collapse_real
from qhyper.targets.loss import LOSSES, SAME_LOGIT, predictions

WITHOUT = [(n_in, n_out) for n_in in (1, 2, 3, 4) for n_out in (1, 2, 3)]
WITH = [
    (n_in, *hidden, n_out)
    for n_in, hidden, n_out in itertools.product((1, 2, 3), ((1,), (2,), (2, 1)), (1, 2, 3))
    if n_in * hidden[0] + hidden[0] * hidden[-1] * (len(hidden) > 1) + hidden[-1] * n_out <= 8
]
KINDS = ("tenths", "integers", "reals")


def case(layers, kind, sign_of_zero=1, rows=12):
    """A network, data, and every bitstring."""
    rng = np.random.default_rng(len(kind))
    network = BinaryNetwork(layers, sign_of_zero=sign_of_zero)
    x = {
        "tenths": lambda: rng.integers(-3, 4, (rows, layers[0])) / 10,
        "integers": lambda: rng.integers(-1, 2, (rows, layers[0])).astype(float),
        "reals": lambda: rng.normal(size=(rows, layers[0])),
    }[kind]()
    data = Samples(x, rng.integers(0, network.n_classes, rows))
    return network, data, all_bitstrings(network.n_bits)


def by_hand(logits):
    """The rule in words of its own: class after class, one row at a time."""
    z = np.concatenate([0 * logits, logits], axis=-1) if logits.shape[-1] == 1 else logits
    flat = z.reshape(-1, z.shape[-1])
    found = [next(c for c in range(len(row)) if max(row) - row[c] <= 1e-9) for row in flat]
    return np.array(found).reshape(z.shape[:-1])


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", WITHOUT + WITH, ids=str)
def test_every_pass_decides_alike(layers, kind, sign_of_zero):
    network, data, bits = case(layers, kind, sign_of_zero)
    logits = network.logits(bits, data.x)
    right = (by_hand(logits) == data.y).mean(axis=-1)
    np.testing.assert_array_equal(network.accuracy(bits, data), right)
    np.testing.assert_array_equal(
        np.rint(12 * network.objective(data).accuracy(bits)), np.rint(12 * right)
    )
    kernels = [
        PackedKernel(layers, collapse(data, layers, sign_of_zero), sign_of_zero),
        DenseKernel(network.space, collapse_real(data, network.space, sign_of_zero), sign_of_zero),
    ]
    for kernel, loss in itertools.product(kernels, LOSSES):
        off = kernel.losses(bits, loss) - network.losses(bits, data, loss)
        assert np.abs(off).max() <= 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", WITHOUT + WITH, ids=str)
def test_certificates_are_those_of_the_plain_pass(layers, kind):
    network, data, bits = case(layers, kind)
    right = np.rint(12 * network.accuracy(bits, data)).astype(int)
    classes = ["classes"] if len(layers) == 3 and layers[-1] < 3 else []
    for loss, method in itertools.product(LOSSES, ["enumeration", *classes]):
        found = certify(network, data, loss=loss, method=method)
        losses = network.losses(bits, data, loss)
        optimal = losses <= losses.min() + 1e-9
        assert 12 * found.best_accuracy == pytest.approx(right.max())
        assert found.best_accuracy_bitstrings == (right == right.max()).sum()
        assert 12 * found.accuracy_at_minimum == pytest.approx(right[optimal].max())
        assert found.minimum_loss == pytest.approx(losses.min(), abs=1e-12)
        assert found.optimal_bitstrings == optimal.sum()
        assert network.accuracy(found.best_accuracy_bits, data) == found.best_accuracy
        assert network.accuracy(found.optimum, data) == found.accuracy_at_minimum


@pytest.mark.parametrize("layers", WITHOUT, ids=str)
def test_a_draw_on_its_own_sample_decides_alike(layers):
    network, data, bits = case(layers, "tenths")
    batches = Batches(network, data, size=12, scored_on="own", loss="accuracy")
    draws = np.broadcast_to(bits, (1, 12, *bits.shape))
    wrong = batches.take(np.arange(12)[None])(draws)[0]
    expected = predictions(network.logits(bits, data.x)) != data.y
    np.testing.assert_array_equal(wrong, expected.T)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", WITHOUT, ids=str)
def test_exports_decide_alike_by_the_rule(layers, kind, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network, data, bits = case(layers, kind)
    every = bits[:: max(1, len(bits) // 64)]
    for number, one in enumerate(every):
        expected = network.accuracy(one, data)
        with torch.no_grad():
            logits = to_torch(network, one)(torch.tensor(data.x)).numpy()
        assert (predictions(logits) == data.y).mean() == expected
        if number % 16 == 0:
            path = tmp_path / f"{number}.onnx"
            to_onnx(network, one, path)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            (logits,) = session.run(None, {"x": data.x})
            assert (predictions(logits) == data.y).mean() == expected


@pytest.mark.parametrize("layers", [(3, 2), (3, 3), (4, 2)])
def test_trained_binary_networks_decide_alike_in_float64(layers):
    _, data, _ = case(layers, "tenths", rows=200)
    trained = StraightThroughNetwork(layers, seeds=range(20), dtype=torch.float64)
    expected = BinaryNetwork(layers).accuracy(trained.bits(), data)
    np.testing.assert_array_equal(accuracy(trained, data), expected)


def test_ties_are_met_where_rounding_decides():
    # else the tests above would see nothing of the rule
    network, data, bits = case((3, 2), "tenths")
    gap = np.abs(np.diff(network.logits(bits, data.x)))
    assert ((gap > 0) & (gap < 1e-12)).any()


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([0.0, 0.9e-9], 0),
        ([0.0, 1.1e-9], 1),
        ([0.9e-9], 0),
        ([1.1e-9], 1),
        # not a chain: what counts is the distance to the largest
        ([0.0, 0.8e-9, 1.6e-9], 1),
        ([0.0, 1.6e-9, 0.8e-9], 1),
        ([0.8e-9, 0.0, 1.6e-9], 0),
    ],
)
def test_the_edge_of_a_tie(logits, expected):
    assert SAME_LOGIT == 1e-9
    assert predictions(np.array(logits)) == expected
    z = np.array([logits if len(logits) > 1 else [0.0, *logits]])
    for label, only in enumerate(np.eye(z.shape[1])):
        wrong = _label_loss_sum(z, only[None], ACCURACY, SAME_LOGIT)
        assert wrong == (label != expected)
