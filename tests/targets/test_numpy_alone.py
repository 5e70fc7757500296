"""Saved networks of all kinds, where there is nothing but NumPy."""

import subprocess
import sys

import numpy as np

from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Convolution,
    MaxPool,
    Residual,
    Threshold,
)
from tests.targets.packed.networks import KINDS, random_inputs, random_network

PROGRAM = """
import sys, warnings
from importlib.abc import MetaPathFinder

class NumPyAlone(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {"numpy", "qhyper"} | sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, NumPyAlone())
import numpy as np
import qhyper
inputs, found = np.load(sys.argv[1]), {}
for name in inputs:
    kind = qhyper.ConvolutionalNetwork if name == "convolutional" else qhyper.PackedNetwork
    network = kind.load(f"{sys.argv[2]}/{name}.npz")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            found[name] = network.predict(inputs[name])
    print(len(caught), caught[0].message)
    network.save(f"{sys.argv[2]}/again {name}.npz")
    if name != "convolutional":
        network.to_c(f"{sys.argv[2]}/{name}.c")
np.savez(sys.argv[3], **found)
"""


def convolutional(rng):
    """A network with every kind of arithmetic."""
    signs = Threshold(np.full(2, 9.0), np.array([True, False]))
    steps = (
        Convolution(rng.normal(size=(2, 1, 3, 3)) / 100), MaxPool(2, 1), signs,
        BinaryConvolution(rng.integers(0, 2, (2, 2, 2, 2)), (1, 1), (1, 1)),
        Residual((Affine(*rng.normal(size=(2, 2))),)), AvgPool(2, 2),
        Convolution(rng.normal(size=(3, 2, 3, 3))),
    )  # fmt: skip
    return ConvolutionalNetwork((1, 8, 8), steps)


def test_saved_networks_run_on_numpy_alone_and_say_once_that_it_is_slower(tmp_path):
    rng = np.random.default_rng(6)
    networks = {name: random_network(rng, **parts) for name, parts in KINDS.items()}
    inputs = {name: random_inputs(rng, network, 50) for name, network in networks.items()}
    networks["convolutional"] = convolutional(rng)
    inputs["convolutional"] = rng.integers(0, 256, (50, 64), dtype=np.uint8)
    for name, network in networks.items():
        network.save(tmp_path / f"{name}.npz")
    given, found = tmp_path / "inputs.npz", tmp_path / "found.npz"
    np.savez(given, **inputs)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, given, tmp_path, found],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert line.startswith("1 numba cannot be imported"), line
        assert "slower" in line
    with np.load(found) as classes:
        assert len(classes) == len(networks) == len(done.stdout.splitlines())
        for name, network in networks.items():
            assert np.array_equal(classes[name], network.predict(inputs[name])), name
            assert len(set(classes[name])) > 1, name
