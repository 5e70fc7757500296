"""Packed networks as ONNX files, in ONNX's runtime for CPUs."""

import sys

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.targets.packed import onnx_file
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape
from tests.targets.packed.networks import KINDS, random_inputs, random_network

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def run(path, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_runtime_gives_the_networks_outputs(kind, tmp_path):
    rng = np.random.default_rng(3)
    network = random_network(rng, **KINDS[kind])
    x, path = random_inputs(rng, network, 300), tmp_path / "network.onnx"
    network.to_onnx(path)
    found, expected = run(path, x), network.outputs(x)
    assert found.dtype == expected.dtype
    if network.scale is None:
        assert np.array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    assert np.array_equal(found.argmax(axis=1), network.predict(x))


@pytest.mark.parametrize("limit", [-1, 0, 70])
def test_units_that_are_never_hardly_ever_and_always_plus_one(limit, tmp_path):
    rng, shape = np.random.default_rng(1), PackedShape((70, 6, 3))
    bits = [rng.integers(0, 2, m, dtype=np.uint8) for m in shape.matrices]
    network = PackedNetwork(shape, shape.pack(bits), np.full(6, limit))
    x = np.concatenate([bits[0], random_inputs(rng, network, 50)])
    network.to_onnx(tmp_path / "network.onnx")
    assert np.array_equal(run(tmp_path / "network.onnx", x), network.outputs(x))


def test_sums_that_float32_does_not_hold_are_exact(tmp_path):
    shape = PackedShape((300, 2))
    bits = np.array([[1] * 300, [0] * 300], np.uint8)
    network = PackedNetwork(shape, shape.pack([bits]), shape.limits(planes=16), planes=16)
    x = np.full((4, 300), 2**16 - 1, np.uint16)
    x[:, 0] -= np.arange(4, dtype=np.uint16)
    network.to_onnx(tmp_path / "network.onnx")
    largest = 300 * (2**16 - 1)
    found = run(tmp_path / "network.onnx", x)
    assert found.tolist() == [[largest - k, k - largest] for k in range(4)]


def test_a_weight_takes_one_bit(tmp_path):
    network = random_network(np.random.default_rng(0), (784, 400, 10), planes=8)
    network.to_onnx(tmp_path / "network.onnx")
    network.save(tmp_path / "network.npz")
    sizes = [(tmp_path / f"network.{kind}").stat().st_size for kind in ("onnx", "npz")]
    assert network.shape.n_weights / 8 < sizes[0] < sizes[1] + 3000


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    network, path = random_network(np.random.default_rng(0), (3, 2)), tmp_path / "network.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(StorageError, match="is there already, and is not overwritten"):
        network.to_onnx(path)
    assert path.read_bytes() == b"mine"


def test_other_outputs_than_the_networks_are_an_error(tmp_path, monkeypatch):
    right = onnx_file._least
    monkeypatch.setattr(onnx_file, "_least", lambda *of_layer: right(*of_layer) + 2)
    network = random_network(np.random.default_rng(0), (9, 8, 3))
    with pytest.raises(ConfigurationError, match="The ONNX file gives other outputs than the net"):
        network.to_onnx(tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingError, match=r"An ONNX file needs.*pip install .* '\.\[onnx\]'"):
        random_network(np.random.default_rng(0), (3, 2)).to_onnx(tmp_path / "network.onnx")
