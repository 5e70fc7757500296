"""Inputs, packed."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import PackedInputs, pack_bits, pack_pixels


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


@pytest.mark.parametrize("n_inputs", [1, 5, 31, 33, 63, 64, 65, 128])
def test_a_one_past_the_last_input_is_refused_wherever_that_ends(n_inputs):
    x = np.ones((3, n_inputs), np.uint8)
    words = pack_bits(x).words
    assert np.bitwise_count(words).sum() == 3 * n_inputs
    assert len(PackedInputs(words.copy(), n_inputs)) == 3
    if n_inputs % 64:
        spoiled = words.copy()
        spoiled[0, -1, 1] |= np.uint64(1) << np.uint64(n_inputs % 64)
        with pytest.raises(ConfigurationError, match=f"ones past the last of {n_inputs} inputs"):
            PackedInputs(spoiled, n_inputs)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, bool])
def test_bits_of_any_type_are_zero_and_one_alone(dtype):
    assert pack_bits(np.array([[0, 1]], dtype)).words.ravel().tolist() == [2]
    for wrong in () if dtype is bool else (2, 3, 200):
        with pytest.raises(ConfigurationError, match=f"takes bits, .* got {wrong}"):
            pack_bits(np.array([[0, wrong]], dtype))


@pytest.mark.parametrize("planes", [1, 2, 8, 16])
def test_numbers_are_taken_up_to_the_largest_of_their_planes(planes):
    largest = (1 << planes) - 1
    inputs = pack_pixels([[0, largest]], planes=planes)
    assert inputs.words.ravel().tolist() == [2] * planes
    for wrong in (-1, largest + 1):
        with pytest.raises(ConfigurationError, match=f"Got the input {wrong}; .* to {largest}"):
            pack_pixels([[0, wrong]], planes=planes)
