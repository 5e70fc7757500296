import numpy as np
import pytest

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.target.space import WeightSpace


def draws(n_bits, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (*shape, n_bits), dtype=np.uint8)


@pytest.mark.parametrize("layers", [(4, 6, 2), (3, 1), (2, 3, 4, 2), (1, 1)])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_encode_is_the_inverse_of_decode(layers, shape):
    space = WeightSpace(layers)
    bits = draws(space.n_bits, shape)
    weights = space.decode(bits)
    assert [w.shape for w in weights] == [(*shape, *s) for s in space.shapes]
    assert all(set(np.unique(w)) <= {-1, 1} for w in weights)
    np.testing.assert_array_equal(space.encode(weights), bits)


def test_bits_are_laid_out_as_in_the_thesis():
    space = WeightSpace((4, 6, 2))
    bits = draws(36, ())
    w = 2 * bits.astype(int) - 1
    first, second = space.decode(bits)
    assert space.n_bits == 36
    np.testing.assert_array_equal(first, w[:24].reshape(4, 6))
    np.testing.assert_array_equal(second, w[24:].reshape(6, 2))


@pytest.mark.parametrize("layers", [(4, 6, 2), (2, 3, 1), (2, 3, 4, 2), (784, 1)])
def test_orders_are_permutations(layers):
    space = WeightSpace(layers)
    for name in ("row", "split", "unit") if len(layers) > 2 else ("row", "split"):
        np.testing.assert_array_equal(np.sort(space.order(name)), np.arange(space.n_bits))


def test_orders_by_hand():
    space = WeightSpace((1, 2, 2))  # bits 0 1 | 2 3 (unit 0), 4 5 (unit 1)
    assert space.order("row").tolist() == [0, 1, 2, 3, 4, 5]
    assert space.order("unit").tolist() == [0, 2, 3, 1, 4, 5]
    assert space.order("split").tolist() == [0, 1, 2, 4, 3, 5]


def test_unit_blocks_hold_the_weights_of_one_unit():
    space = WeightSpace((4, 6, 2))
    for unit, block in enumerate(space.unit_blocks()):
        first, second = (np.ones(shape, dtype=int) for shape in space.shapes)
        first[:, unit], second[unit] = -1, -1
        np.testing.assert_array_equal(
            np.flatnonzero(space.encode([first, second]) == 0), np.sort(block)
        )


def test_refusals():
    space = WeightSpace((4, 6, 2))
    with pytest.raises(ConfigurationError, match="expected at least an input and an output"):
        WeightSpace((4,))
    with pytest.raises(ConfigurationError, match=r"\[4, 0, 2\]"):
        WeightSpace((4, 0, 2))
    with pytest.raises(ConfigurationError, match="Got bitstrings of 35 bits, expected 36"):
        space.decode(np.zeros(35, dtype=np.uint8))
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        space.decode(np.full(36, 2))
    with pytest.raises(ConfigurationError, match="every weight -1 or"):
        space.encode([np.zeros((4, 6)), np.ones((6, 2))])
    with pytest.raises(ConfigurationError, match="Got 1 weight matrices, expected 2"):
        space.encode([np.ones((4, 6))])
    with pytest.raises(ConfigurationError, match=r"Unknown order of the bits 'splitt'.*'split'"):
        space.order("splitt")
    with pytest.raises(ConfigurationError, match="no hidden unit"):
        WeightSpace((4, 2)).unit_blocks()


def test_all_bitstrings_decode_to_distinct_weights():
    space = WeightSpace((2, 2, 1))
    flat = np.concatenate([w.reshape(64, -1) for w in space.decode(all_bitstrings(6))], axis=1)
    assert len(np.unique(flat, axis=0)) == 64
