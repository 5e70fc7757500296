"""Bit order and packing, against naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from qhyper.bits import (
    all_bitstrings,
    as_bits,
    from_string,
    n_words,
    pack,
    to_string,
    unpack,
)
from qhyper.errors import ConfigurationError

quick = settings(max_examples=60, deadline=None, derandomize=True)
widths = st.one_of(st.integers(1, 200), st.sampled_from([8, 63, 64, 65, 127, 128, 129]))


@st.composite
def bitstrings(draw):
    shape = draw(array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    return draw(arrays(np.uint8, (*shape, draw(widths)), elements=st.integers(0, 1)))


@given(bits=bitstrings())
@quick
def test_pack_agrees_with_a_loop(bits):
    n = bits.shape[-1]
    words = pack(bits)
    assert words.dtype == np.uint64
    assert words.shape == (*bits.shape[:-1], n_words(n))
    for row, packed in zip(bits.reshape(-1, n), words.reshape(-1, n_words(n)), strict=True):
        expected = [0] * n_words(n)
        for i in range(n):
            expected[i // 64] |= int(row[i]) << (i % 64)
        assert packed.tolist() == expected


@given(bits=bitstrings())
@quick
def test_unpack_undoes_pack(bits):
    unpacked = unpack(pack(bits), bits.shape[-1])
    assert unpacked.dtype == np.uint8
    np.testing.assert_array_equal(unpacked, bits)


@given(n=widths, data=st.data())
@quick
def test_unpack_agrees_with_a_loop_and_ignores_the_tail(n, data):
    words = data.draw(arrays(np.uint64, (3, n_words(n)), elements=st.integers(0, 2**64 - 1)))
    expected = [[int(row[i // 64]) >> (i % 64) & 1 for i in range(n)] for row in words]
    assert unpack(words, n).tolist() == expected


@pytest.mark.parametrize("n", [1, 36, 63, 64, 65, 100, 128])
def test_tail_bits_are_zero(n):
    words = pack(np.ones((2, n), np.uint8))
    assert int(words[0, -1]) == (1 << ((n - 1) % 64 + 1)) - 1
    assert sum(int(word).bit_count() for word in words[1]) == n


def test_packing_takes_arrays_that_are_not_contiguous():
    bits = np.random.default_rng(0).integers(2, size=(70, 6), dtype=np.uint8)
    np.testing.assert_array_equal(pack(bits.T), pack(bits.T.copy()))
    words = np.random.default_rng(1).integers(2**64, size=(2, 5), dtype=np.uint64)
    np.testing.assert_array_equal(unpack(words.T, 100), unpack(words.T.copy(), 100))


@pytest.mark.parametrize(("n", "words"), [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2), (129, 3)])
def test_number_of_words(n, words):
    assert n_words(n) == words


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9])
def test_all_bitstrings_count_up_with_bit_0_fastest(n):
    expected = [[k >> i & 1 for i in range(n)] for k in range(2**n)]
    assert all_bitstrings(n).tolist() == expected
    assert all_bitstrings(n).dtype == np.uint8


@pytest.mark.parametrize(
    ("n", "start", "stop"), [(5, 3, 11), (36, 2**35, 2**35 + 3), (64, 2**64 - 3, 2**64 - 1)]
)
def test_some_bitstrings(n, start, stop):
    expected = [[k >> i & 1 for i in range(n)] for k in range(start, stop)]
    assert all_bitstrings(n, start, stop).tolist() == expected


def test_bitstrings_of_no_bit_are_one_empty_string():
    assert all_bitstrings(0).shape == (1, 0)


@given(bits=bitstrings())
@quick
def test_text_is_bit_0_first(bits):
    for row in bits.reshape(-1, bits.shape[-1])[:2]:
        text = to_string(row)
        assert text == "".join(str(bit) for bit in row)
        assert from_string(text).dtype == np.uint8
        np.testing.assert_array_equal(from_string(text), row)


@pytest.mark.parametrize("text", ["", "012", "0 1", "ab", "-1"])
def test_text_that_is_no_bitstring_is_refused(text):
    with pytest.raises(ConfigurationError, match="written with 0 and 1, bit 0 first"):
        from_string(text)


@pytest.mark.parametrize(
    "value", [[[0, 1, 1]], np.array([[0.0, 1.0, 1.0]]), np.array([[False, True, True]])]
)
def test_whatever_is_0_and_1_becomes_bits(value):
    bits = as_bits(value, 3)
    assert bits.dtype == np.uint8
    assert bits.flags.c_contiguous
    assert bits.tolist() == [[0, 1, 1]]


def test_bits_are_taken_as_they_are():
    bits = np.eye(4, dtype=np.uint8)
    assert as_bits(bits, 4) is bits
    assert as_bits(bits.T[::-1], 4).flags.c_contiguous
    assert as_bits(np.zeros((0, 4), np.uint8), 4).shape == (0, 4)


@pytest.mark.parametrize("value", [[2, 0], [-1, 1], [0.5, 1], [np.nan, 0], [255, 0]])
def test_other_values_are_refused(value):
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        as_bits(value, 2)
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        as_bits(np.array([2, 0], np.uint8), 2)


@pytest.mark.parametrize(("value", "width"), [([0, 1], "2"), ([[0] * 5] * 3, "5"), (1, "no")])
def test_other_widths_are_refused(value, width):
    with pytest.raises(ConfigurationError, match=f"Got bitstrings of {width} bits, expected 3"):
        as_bits(value, 3)
