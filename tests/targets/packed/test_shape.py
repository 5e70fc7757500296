"""How words hold weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.errors import ConfigurationError
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape

SIZES = st.sampled_from((1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 130, 300))


@given(layers=st.lists(SIZES, min_size=2, max_size=4).map(tuple), seed=st.integers(0, 2**20))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_packing_is_undone_by_unpacking(layers, seed):
    rng = np.random.default_rng(seed)
    shape = PackedShape(layers)
    matrices = [rng.integers(0, 2, (2, *m), dtype=np.uint8) for m in shape.matrices]
    words = shape.pack(matrices)
    assert words.shape == (2, shape.n_words)
    for found, given_ in zip(shape.unpack(words), matrices, strict=True):
        assert np.array_equal(found, given_)
    bits = rng.integers(0, 2, (2, shape.n_weights), dtype=np.uint8)
    assert np.array_equal(shape.to_bits(shape.from_bits(bits)), bits)


def test_words_with_ones_past_the_end_are_refused():
    shape = PackedShape((3, 2))
    with pytest.raises(ConfigurationError, match="ones past the end of a unit's weights"):
        PackedNetwork(shape, np.array([8, 0], np.uint64), shape.limits())
