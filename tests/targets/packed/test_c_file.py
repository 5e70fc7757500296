"""Packed networks in C, by the machine's own compiler."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, StorageError
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape
from tests.targets.packed.networks import KINDS, random_inputs, random_network

COMPILER = shutil.which("cc")
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler, cc")
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")


def compiled(network, folder):
    """`predict` of a network's file in C, from rows [row, input] to classes [row]."""
    source, library = folder / "network.c", folder / "network.so"
    network.to_c(source)
    command = [COMPILER, *STRICT, "-O1", "-shared", "-fPIC", "-nostdlib", source, "-o", library]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    predict = ctypes.CDLL(str(library)).qhyper_predict
    return lambda x: [predict(row.ctypes.data_as(ctypes.c_void_p)) for row in x]


@needs_a_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_file_gives_the_networks_classes(kind, tmp_path):
    rng = np.random.default_rng(4)
    network = random_network(rng, **KINDS[kind])
    x = random_inputs(rng, network, 500)
    expected = network.predict(x)
    assert compiled(network, tmp_path)(x) == expected.tolist()
    assert len(set(expected.tolist())) > 1


@needs_a_compiler
def test_ties_of_scaled_sums_by_rounding_go_to_the_lower_class(tmp_path):
    """Exactly, the second class is ahead by a shift that float64 loses beside the sum."""
    shape = PackedShape((8, 3))
    bits = np.array([[1] * 8, [1] * 8, [0] * 8], np.uint8)
    for shift, expected in ((1e-17, 0), (1e-3, 1)):
        network = PackedNetwork(
            shape, shape.pack([bits]), shape.limits(),
            scale=np.array([0.1, 0.1, -0.05]), shift=np.array([0.0, shift, 0.0]),
        )  # fmt: skip
        x = np.ones((1, 8), np.uint8)
        assert network.predict(x).tolist() == [expected]
        folder = tmp_path / str(expected)
        folder.mkdir()
        assert compiled(network, folder)(x) == [expected]


@needs_a_compiler
def test_the_largest_sums_are_exact(tmp_path):
    """Near 2^31, where sums of a layer of 16 bits end, and with limits from never to always."""
    shape = PackedShape((32_768, 3, 2))
    bits = [np.ones((3, 32_768), np.uint8), np.array([[1, 1, 1], [0, 0, 0]], np.uint8)]
    network = PackedNetwork(shape, shape.pack(bits), np.array([-1, 2**31, 5]), planes=16)
    rows = np.stack([np.full(32_768, 2**16 - 1), np.zeros(32_768)]).astype(np.uint16)
    assert compiled(network, tmp_path)(rows) == network.predict(rows).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_integers_alone(kind, tmp_path):
    random_network(np.random.default_rng(4), **KINDS[kind]).to_c(tmp_path / "network.c")
    text = (tmp_path / "network.c").read_text()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert not re.search(r"float|double|\d\.\d|\bdiv|#include (?!<stdint.h>)", code)
    assert max(map(len, text.splitlines())) <= 100


def test_scaled_sums_with_too_many_values_are_refused(tmp_path):
    network = random_network(np.random.default_rng(0), (784, 10), planes=8, scaled=True)
    with pytest.raises(ConfigurationError, match=r"199,921 values for each of 10 classes.*Leave"):
        network.to_c(tmp_path / "network.c")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    network, path = random_network(np.random.default_rng(0), (3, 2)), tmp_path / "network.c"
    path.write_bytes(b"mine")
    with pytest.raises(StorageError, match="is there already, and is not overwritten"):
        network.to_c(path)
    assert path.read_bytes() == b"mine"
    with pytest.raises(StorageError, match="Cannot read or write"):
        network.to_c(tmp_path / "none" / "network.c")
