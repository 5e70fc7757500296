"""Convolutional networks as a target, against the networks themselves and torch."""

import numpy as np
import pytest
import torch

from qhyper import registry
from qhyper.bits import all_bitstrings
from qhyper.checks.finding import examine
from qhyper.checks.target import CHECKS, Target
from qhyper.data.samples import Dataset, Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional import engine, objective
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Convolution,
    MaxPool,
    Residual,
    Scale,
    Threshold,
)
from qhyper.targets.convolutional.target import ConvolutionalTarget, convolutional

RNG = np.random.default_rng(12)
PIXELS = RNG.integers(0, 256, (40, 2 * 6 * 6), dtype=np.uint8)
DATA = Samples((PIXELS - 127.5) / 128, np.arange(40) % 3)
SET = Dataset("images", DATA, DATA)


def made(**options):
    given = {"image": (2, 6, 6), "channels": (3, 4)} | options
    return registry.build("target", "convolutional", options=given, offered={"dataset": SET})


def trained():
    """A network with real parts, whose kernels are a trained network's."""
    rng = np.random.default_rng(13)
    body = (
        Threshold(rng.normal(size=4), np.array([True, False, True, False])),
        BinaryConvolution(rng.integers(0, 2, (4, 4, 3, 3)), 1, 1),
        Scale(rng.normal(size=4)),
    )
    steps = (
        Affine(np.full(2, 1 / 100), np.full(2, -1.0)),
        Convolution(rng.normal(size=(4, 2, 3, 3)), padding=1),
        Threshold(np.zeros(4), np.ones(4, bool)),
        BinaryConvolution(rng.integers(0, 2, (4, 4, 1, 1))),
        Residual(body),
        AvgPool(6, 6),
        Convolution(rng.normal(size=(3, 4, 1, 1))),
    )
    return ConvolutionalNetwork((2, 6, 6), steps)


def cross_entropy(outputs):
    logits, labels = torch.tensor(outputs, dtype=torch.float64), torch.tensor(DATA.y)
    return torch.nn.functional.cross_entropy(logits, labels).item()


def test_the_layers_are_convolutions_maxima_and_signs():
    """Written out in torch, on the features themselves."""
    target = made(scale=2.5)
    assert repr(target) == "ConvolutionalTarget(2×6×6 to 3, kernels 3×2×3×3, 4×3×3×3, 3×4×1×1)"
    names = [(block.name, block.shape) for block in target.layout.blocks]
    shapes = [(3, 2, 3, 3), (4, 3, 3, 3), (3, 4, 1, 1)]
    assert names == [(f"{k}.weight", shape) for k, shape in enumerate(shapes)]
    assert target.n_bits == 54 + 108 + 12
    bits = RNG.integers(0, 2, (5, target.n_bits), dtype=np.uint8)
    objective, kernels = target.objective(DATA), target.layout.bits
    for draw, loss, share in zip(bits, objective(bits), objective.accuracy(bits), strict=True):
        x = torch.tensor(DATA.x).reshape(-1, 2, 6, 6)
        first, second, last = (
            torch.tensor(2.0 * draw[kernels[f"{k}.weight"]] - 1) for k in range(3)
        )
        for kernel in (first, second):
            sums = torch.nn.functional.conv2d(x, kernel, padding=1)
            x = torch.where(torch.nn.functional.max_pool2d(sums, 2) >= 0, 1.0, -1.0).double()
        outputs = torch.nn.functional.conv2d(x, last)[:, :, 0, 0].numpy()
        assert loss == pytest.approx(cross_entropy(outputs / 2.5), abs=1e-12)
        assert share == (outputs.argmax(1) == DATA.y).mean()
        np.testing.assert_array_equal(target.to_packed(draw).outputs(PIXELS), outputs)
    assert (objective.evaluations, objective.rows) == (5, 200)


@pytest.mark.parametrize(
    ("free", "n_bits"), [(None, 16 + 144), (("4.body.1",), 144), ((3,), 16), (("4.body.1", 3), 160)]
)
def test_a_trained_networks_kernels_are_open_and_the_rest_stays(free, n_bits):
    network = trained()
    target = ConvolutionalTarget.from_network(network, free=free, scale=0.5)
    assert target.n_bits == n_bits
    objective, outputs = target.objective(DATA), network.outputs(PIXELS)
    assert objective(target.own_bits) == pytest.approx(cross_entropy(outputs / 0.5), abs=1e-12)
    assert objective.accuracy(target.own_bits) == (outputs.argmax(1) == DATA.y).mean()
    same = target.to_packed(target.own_bits)
    np.testing.assert_array_equal(same.outputs(PIXELS), outputs)
    other = RNG.integers(0, 2, n_bits, dtype=np.uint8)
    found = target.to_packed(other)
    assert objective(other) == pytest.approx(cross_entropy(found.outputs(PIXELS) / 0.5), abs=1e-12)
    again = ConvolutionalTarget.from_network(found, free=free)
    np.testing.assert_array_equal(again.own_bits, other)
    assert found.n_real == network.n_real


def test_what_comes_before_an_open_kernel_is_computed_once(monkeypatch):
    """A draw runs the steps from the first that is open on."""
    target = ConvolutionalTarget.from_network(trained(), free=("4.body.1",))
    lengths = []

    def counted(steps, values):
        lengths.append(len(steps))
        return engine.prepared(steps, values)

    monkeypatch.setattr("qhyper.targets.convolutional.open_kernels.prepared", counted)
    objective = target.objective(DATA)
    objective(RNG.integers(0, 2, (3, 144), dtype=np.uint8))
    assert lengths == [4, 3, 3, 3]


@pytest.mark.parametrize("free", ["3", "4.body.1"])
@pytest.mark.parametrize("loss", ["cross_entropy", "accuracy"])
def test_what_takes_much_memory_is_computed_again_and_is_the_same(monkeypatch, free, loss):
    target = ConvolutionalTarget.from_network(trained(), free=(free,))
    bits = RNG.integers(0, 2, (3, target.n_bits), dtype=np.uint8)
    kept = target.objective(DATA, loss)
    place, octets = kept.all_rows.start, kept.all_rows.x.nbytes
    assert place == int(free[0])
    assert octets == 40 * 4 * 6 * 6 * (1 if free == "3" else 8)  # bits take one each
    monkeypatch.setattr(objective, "_KEPT", octets - 1)
    again = target.objective(DATA, loss)
    assert again.all_rows.start == 0
    assert again.all_rows.x.shape == (40, 2, 6, 6)
    np.testing.assert_array_equal(again(bits), kept(bits))
    np.testing.assert_array_equal(again.accuracy(bits), kept.accuracy(bits))
    some = again.on_rows(np.arange(7))
    assert some.start == place  # a mini-batch is small
    np.testing.assert_array_equal(some.losses(bits), kept.on_rows(np.arange(7)).losses(bits))


def test_a_draw_is_a_torch_module_that_takes_pixels():
    target = made()
    bits = RNG.integers(0, 2, target.n_bits, dtype=np.uint8)
    assert target.objective(DATA).capabilities.module
    module = target.to_torch(bits)
    with torch.no_grad():
        outputs = module(torch.tensor(PIXELS, dtype=torch.float64).reshape(-1, 2, 6, 6)).numpy()
    np.testing.assert_array_equal(target.to_packed(bits).outputs(PIXELS), outputs)


@pytest.mark.parametrize("make", [made, lambda: ConvolutionalTarget.from_network(trained())])
def test_targets_do_what_targets_must(make):
    findings = list(examine(CHECKS, Target(make(), DATA)))
    assert [str(finding) for finding in findings if finding.problem] == []
    assert sum(finding.left_out is None for finding in findings) > 10


def test_features_that_are_no_pixels_are_taken_as_they_are_or_refused():
    rng = np.random.default_rng(14)
    odd = Samples(rng.normal(size=(20, 72)), np.arange(20) % 3)
    target = made()
    objective = target.objective(odd)
    assert not objective.capabilities.packed
    assert np.isfinite(objective(np.zeros(target.n_bits, np.uint8)))
    with pytest.raises(ConfigurationError, match="takes whole pixels v from 0 to 255, features"):
        ConvolutionalTarget.from_network(trained()).objective(odd)


def test_square_images_are_told_by_their_number_of_features():
    grey = Samples(np.ones((4, 16)), np.arange(4) % 2)
    colour = Samples(np.ones((4, 48)), np.arange(4) % 2)
    for data, image in ((grey, (1, 4, 4)), (colour, (3, 4, 4))):
        assert convolutional(Dataset("images", data, data)).network.image == image


def test_windows_are_no_larger_than_what_is_left():
    steps = made(channels=(1, 1, 1, 1)).network.steps
    assert [step.kernel[0] for step in steps if isinstance(step, MaxPool)] == [2, 2, 1, 1]


def test_small_kernels_are_enumerated():
    data = Samples(np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]), np.array([0, 1, 1, 0]))
    given = {"image": (1, 1, 2), "channels": (2,), "kernel": 1, "pool": 1}
    target = convolutional(Dataset("xor", data, data), **given)
    assert target.n_bits == 10
    losses = target.objective(data, "accuracy")(all_bitstrings(10))
    assert losses.min() == 0.25  # signs of single pixels alone


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"image": (3, 6, 6)}, r"Got image=\(3, 6, 6\) for 72 features; expected"),
        ({"image": None}, "have 72 features, which are no square image of one channel or three"),
        ({"channels": ()}, r"Got channels=\(\); expected one whole number or more"),
        ({"kernel": 2}, "Got kernel=2 and pool=2; expected an odd whole number"),
        ({"pool": 0}, "Got kernel=3 and pool=0"),
        ({"scale": 0}, "a finite number of at least 0.01; got 0"),
    ],
)
def test_networks_that_cannot_be_are_refused(options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        made(**options)


@pytest.mark.parametrize(
    ("free", "reason"),
    [
        (("1",), "Unknown place of a binary kernel '1'.* Known: 3, 4.body.1"),
        (("4.body.2",), "Unknown place .* Did you mean '4.body.1'"),
        ((), "Got no kernel that is free; expected one or more of 3, 4.body.1"),
        ("4.body.1", "Got free='4.body.1'; expected a sequence of places of kernels, each the num"),
        (3, r'Got free=3; expected .* One place is free=\("4.body.1",\)'),
        ((3, 4.0), r"Got free=\(3, 4.0\); expected a sequence of places"),
        ((True,), r"Got free=\(True,\); expected a sequence of places"),
    ],
)
def test_places_without_a_kernel_are_refused(free, reason):
    with pytest.raises(ConfigurationError, match=reason):
        ConvolutionalTarget.from_network(trained(), free=free)


def test_real_kernels_that_may_be_free_are_known_too():
    last = Convolution(np.ones((2, 1, 1, 1)))
    network = ConvolutionalNetwork((1, 1, 1), (Affine([1.0], [0.0]), last))
    with pytest.raises(ConfigurationError, match=r"Unknown place .* '0'.* Known: 1"):
        ConvolutionalTarget(network, free=(0,))
    assert ConvolutionalTarget(network, free=("1",)).n_bits == 2
    network = ConvolutionalNetwork((1, 1, 1), (Convolution(np.full((2, 1, 1, 1), 0.5)),))
    for free in ((), ("0",)):
        with pytest.raises(ConfigurationError, match=r"Got a network without a kernel of weights"):
            ConvolutionalTarget(network, free=free)


def test_the_scale_is_a_number():
    assert ConvolutionalTarget.from_network(trained(), scale=np.float32(2)).scale == 2
    for scale in (True, "2", np.nan):
        with pytest.raises(ConfigurationError, match=r"a finite number of at least 0.01; got"):
            ConvolutionalTarget.from_network(trained(), scale=scale)


def test_a_network_is_of_one_draw():
    target = made()
    for make in (target.to_packed, target.to_torch):
        with pytest.raises(ConfigurationError, match=r"Got bits of shape \(3, 174\); .*bits\[0\]"):
            make(np.zeros((3, 174), np.uint8))


def test_other_data_and_networks_are_refused():
    target = made()
    for data, reason in (
        (Samples(np.ones((4, 16)), np.arange(4) % 2), "have 16 features, but .* images of 2×6×6"),
        (Samples(DATA.x[:5], np.arange(5)), "have 5 classes, but the network has 3 outputs"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            target.objective(data)
        with pytest.raises(ConfigurationError, match=reason):
            target.objective(DATA).accuracy(np.zeros(target.n_bits, np.uint8), data)
    with pytest.raises(ConfigurationError, match=r"of the type Linear; expected a Convol.*from_to"):
        ConvolutionalTarget.from_network(torch.nn.Linear(2, 2))


def test_a_trained_network_takes_pixels_however_it_begins():
    """It may scale them as data sets do: features that are no pixels are not scaled once more."""
    rng = np.random.default_rng(0)
    steps = (
        Affine(np.full(1, 1 / 128), np.full(1, -127.5 / 128)),
        Threshold(np.zeros(1), np.ones(1, bool)),
        BinaryConvolution(rng.integers(2, size=(2, 1, 3, 3), dtype=np.uint8)),
    )  # fmt: skip
    network = ConvolutionalNetwork((1, 3, 3), steps)
    target = ConvolutionalTarget.from_network(network)
    pixels = rng.integers(256, size=(30, 9))
    labels = network.predict(pixels)
    signed = target.objective(Samples((pixels - 127.5) / 128, labels))
    assert signed.accuracy(target.own_bits) == 1
    with pytest.raises(
        ConfigurationError, match=r"from 0 to \S+; the network takes whole pixels.*'sig"
    ):
        target.objective(Samples(np.vstack([pixels, 0 * pixels[:1]]) / 255, np.append(labels, 0)))


def test_draws_of_one_network_are_evaluated_once(monkeypatch):
    evaluated = made().objective(DATA)
    bits = np.random.default_rng(3).integers(0, 2, (3, evaluated.n_bits)).astype(np.uint8)
    expected = [evaluated(bits[k : k + 1])[0] for k in range(3)]
    outputs, seen = objective.ConvolutionalRows._outputs, []

    def counted(rows, draw):
        seen.append(draw)
        return outputs(rows, draw)

    monkeypatch.setattr(objective.ConvolutionalRows, "_outputs", counted)
    order = [2, 0, 2, 1, 0, 0]
    np.testing.assert_array_equal(evaluated(bits[order]), np.take(expected, order))
    assert len(seen) == 3
