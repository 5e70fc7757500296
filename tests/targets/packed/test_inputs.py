"""Inputs, packed."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import PackedInputs, pack_bits


def test_inputs_can_be_taken_apart():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (300, 70), dtype=np.uint8)
    rows = np.array([5, 299, 0])
    assert np.array_equal(pack_bits(x).take(rows).words, pack_bits(x[rows]).words)
    assert len(pack_bits(x).take(slice(10))) == 10


def test_inputs_say_how_many_they_are():
    inputs = PackedInputs(np.zeros((8, 13, 20), np.uint64), 784)
    assert (len(inputs), inputs.planes) == (20, 8)
    with pytest.raises(ConfigurationError, match="with 1 to 16 planes and 13 words for 784 inputs"):
        PackedInputs(np.zeros((8, 12, 20), np.uint64), 784)
    with pytest.raises(ConfigurationError, match="Got ones past the last of 784 inputs"):
        PackedInputs(np.full((1, 13, 2), 1 << 16, np.uint64), 784)
