"""Convolutional networks as ONNX files, in ONNX's runtime for CPUs."""

from fractions import Fraction

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, StorageError
from qhyper.targets.convolutional import onnx_file
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    MaxPool,
    Residual,
    Scale,
    Threshold,
)
from tests.targets.convolutional.modules import images, outputs, random_module, residual_network

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def run(path, pixels):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": pixels})
    return found


def check(network, path, pixels):
    network.to_onnx(path)
    found, expected = run(path, pixels), network.outputs(pixels)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    assert np.array_equal(found.argmax(axis=1), network.predict(pixels))


@pytest.mark.parametrize("seed", range(12))
def test_onnx_runtime_gives_the_networks_outputs(seed, tmp_path):
    rng = np.random.default_rng(seed)
    image = ((1, 6, 6), (3, 7, 5), (2, 9, 12))[seed % 3]
    network = ConvolutionalNetwork.from_torch(random_module(rng, image), image=image)
    check(network, tmp_path / "network.onnx", images(rng, 30, image))


@pytest.mark.parametrize("minus_one", [False, True])
def test_a_residual_network_from_torch_to_onnx(minus_one, tmp_path):
    rng, image = np.random.default_rng(4), (3, 8, 8)
    module = residual_network(rng, minus_one=minus_one)
    network, pixels = ConvolutionalNetwork.from_torch(module, image=image), images(rng, 50, image)
    check(network, tmp_path / "network.onnx", pixels)
    found = run(tmp_path / "network.onnx", pixels)
    np.testing.assert_allclose(found, outputs(module, pixels), rtol=1e-11, atol=1e-11)


def test_every_step_with_strides_and_paddings_of_rows_and_columns(tmp_path):
    rng, image = np.random.default_rng(2), (2, 9, 7)
    limits = np.array([90.0, 100.0, -np.inf, np.inf])
    above = np.array([True, False, True, True])
    steps = (
        Clamp(3, 200), Convolution(rng.normal(size=(4, 2, 3, 2)), None, (1, 2), (2, 1)),
        Threshold(limits, above), MaxPool((3, 2), (1, 1), (1, 1)),
        BinaryConvolution(rng.integers(0, 2, (5, 4, 3, 2)), (2, 1), (1, 2), "minus-one"),
        Residual((Scale(rng.normal(size=5)),)), Residual((), (Clamp(0, np.inf),)),
        MaxPool(2, 1, (1, 0)), Affine(*rng.normal(size=(2, 5))),
        Threshold(np.zeros(5), np.ones(5, bool)),
        BinaryConvolution(rng.integers(0, 2, (6, 5, 2, 3)), (1, 2), (0, 1)),
        AvgPool((2, 3), (2, 1)), Threshold(np.zeros(6), np.zeros(6, bool)),
        Convolution(rng.normal(size=(3, 6, 3, 3)), rng.normal(size=3), (1, 1), (0, 1)),
        AvgPool((1, 2), 1),
    )  # fmt: skip
    network = ConvolutionalNetwork(image, steps)
    check(network, tmp_path / "network.onnx", images(rng, 30, image))
    module = onnx.load(tmp_path / "network.onnx")
    assert [(o.domain, o.version) for o in module.opset_import] == [("", 17)]


def test_sums_of_a_network_without_real_numbers_are_whole(tmp_path):
    rng = np.random.default_rng(3)
    steps = (
        Threshold(np.full(2, 100.0), np.array([True, False])),
        BinaryConvolution(rng.integers(0, 2, (3, 2, 4, 4))),
    )
    network, pixels = ConvolutionalNetwork((2, 4, 4), steps), images(rng, 40, (2, 4, 4))
    network.to_onnx(tmp_path / "network.onnx")
    assert np.array_equal(run(tmp_path / "network.onnx", pixels), network.outputs(pixels))


@pytest.fixture
def small():
    steps = (
        Threshold(np.full(1, 9.0), np.ones(1, bool)), BinaryConvolution(np.ones((2, 1, 3, 3), int))
    )  # fmt: skip
    return ConvolutionalNetwork((1, 3, 3), steps)


def test_weights_take_one_bit_each(small, tmp_path):
    wide = ConvolutionalNetwork(
        (1, 99, 99), (small.steps[0], BinaryConvolution(np.ones((9, 1, 99, 99), int)))
    )
    wide.to_onnx(tmp_path / "network.onnx")
    assert 9 * 99**2 // 8 < (tmp_path / "network.onnx").stat().st_size < 9 * 99**2 // 8 + 3000


def test_a_sign_that_rounding_decides_may_be_another_one(tmp_path):
    """Rounded once, 255 * 0.3 less that product is below 0, and rounded twice it is 0."""
    factor, product = 0.3, 0.3 * 255
    assert Fraction(product) > Fraction(factor) * 255
    steps = (
        Affine([factor], [-product]), Residual(()), Threshold(np.zeros(1), np.ones(1, bool)),
        BinaryConvolution(np.ones((2, 1, 1, 1), int)),
    )  # fmt: skip
    network = ConvolutionalNetwork((1, 1, 1), steps)
    network.to_onnx(tmp_path / "network.onnx")
    pixels = np.array([[255], [254]], np.uint8).reshape(2, 1, 1, 1)
    assert run(tmp_path / "network.onnx", pixels)[:, 0].tolist() == [1, -1]
    assert network.outputs(pixels)[:, 0].tolist() == [-1, -1]


def test_means_of_signs(tmp_path):
    rng, signs = np.random.default_rng(5), Threshold(np.full(2, 100.0), np.array([True, False]))
    steps = (signs, AvgPool((3, 2), 1), Convolution(rng.normal(size=(3, 2, 2, 3))))
    network = ConvolutionalNetwork((2, 4, 4), steps)
    check(network, tmp_path / "network.onnx", images(rng, 30, (2, 4, 4)))


def test_a_file_that_is_there_is_not_overwritten(small, tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(StorageError, match="is there already, and is not overwritten"):
        small.to_onnx(path)
    assert path.read_bytes() == b"mine"
    with pytest.raises(StorageError, match="none"):
        small.to_onnx(tmp_path / "none" / "network.onnx")


def test_sums_that_float32_does_not_hold_are_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "EXACT", 8)
    with pytest.raises(
        ConfigurationError, match=r"a binary convolution of 9 inputs.*8 at the most"
    ):
        small.to_onnx(tmp_path / "network.onnx")


def test_other_outputs_than_the_networks_are_an_error(small, tmp_path, monkeypatch):
    right = onnx_file._Graph._threshold

    def wrong(self, step, at):
        return right(self, Threshold(step.limit, ~step.above), at)

    monkeypatch.setattr(onnx_file._Graph, "_threshold", wrong)
    with pytest.raises(ConfigurationError, match="The ONNX file gives other outputs"):
        small.to_onnx(tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()
