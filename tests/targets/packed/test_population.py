"""Populations of packed networks against integer matrix products."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.errors import ConfigurationError
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.packed import numba_engine, numpy_engine
from qhyper.targets.packed.inputs import pack_bits, pack_pixels
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.population import activations, correct, sums, votes
from qhyper.targets.packed.shape import PackedShape


def population(rng, layers, networks):
    """Random matrices of bits [network, unit, input], one a layer, and their words."""
    shape = PackedShape(layers)
    matrices = [rng.integers(0, 2, (networks, *m), dtype=np.uint8) for m in shape.matrices]
    return shape, matrices, shape.pack(matrices)


def plain_sums(x, matrices):
    """Sums [row, unit] of one network by integer matrix products, sign(0) = +1."""
    z = x
    for k, bits in enumerate(matrices):
        z = (np.where(z >= 0, 1, -1) if k else z) @ (2 * bits.astype(int) - 1).T
    return z


SIZES = st.sampled_from((1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 130, 300))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    layers=st.lists(SIZES, min_size=2, max_size=6).map(tuple),
    rows=st.sampled_from((1, 5, 127, 128, 129, 400)),
    networks=st.integers(1, 4),
    planes=st.sampled_from((1, 1, 3, 8)),
    seed=st.integers(0, 2**20),
)
def test_populations_of_any_shape_are_as_integer_matrix_products(
    layers, rows, networks, planes, seed
):
    rng = np.random.default_rng(seed)
    shape, matrices, words = population(rng, layers, networks)
    values = rng.integers(0, 1 << planes, (rows, layers[0]))
    inputs = pack_bits(values) if planes == 1 else pack_pixels(values, planes=planes)
    assert (inputs.planes, len(inputs)) == (planes, rows)
    x = 2 * values - ((1 << planes) - 1)
    expected = np.stack([plain_sums(x, [m[k] for m in matrices]) for k in range(networks)])
    assert np.array_equal(sums(shape, words, inputs), expected)
    found = activations(shape, words, inputs)
    plus = np.unpackbits(
        np.ascontiguousarray(found.swapaxes(1, 2)).view(np.uint8),
        axis=2, count=layers[-1], bitorder="little",
    )  # fmt: skip
    assert np.array_equal(plus, expected >= 0)
    labels = rng.integers(0, layers[-1], rows)
    right = (expected.argmax(axis=2) == labels).sum(axis=1)
    assert np.array_equal(correct(shape, words, inputs, labels), right)
    for label_bits in (k for k in (1, 2, 3, 5, 13) if layers[-1] % k == 0):
        cast = (expected >= 0).reshape(networks, rows, -1, label_bits).sum(axis=3)
        assert np.array_equal(votes(shape, words, inputs, label_bits), cast)
        right = (cast.argmax(axis=2) == labels % cast.shape[2]).sum(axis=1)
        of_votes = correct(shape, words, inputs, labels % cast.shape[2], label_bits)
        assert np.array_equal(of_votes, right)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    layers=st.lists(SIZES, min_size=2, max_size=4).map(tuple),
    planes=st.sampled_from((1, 8)),
    own_limits=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_numpy_alone_does_the_same(layers, planes, own_limits, seed):
    rng = np.random.default_rng(seed)
    words = population(rng, layers, 3)[2]
    inputs = pack_pixels(rng.integers(0, 1 << planes, (140, layers[0])), planes=planes)
    limits = rng.integers(
        -1, max(layers) * (1 << planes), (3 if own_limits else 1, sum(layers[1:]))
    )
    sizes = np.array(layers, np.int64)
    for label_bits in (0, 1):
        arguments = (inputs.words, sizes, words, limits)
        assert np.array_equal(
            numpy_engine.scores(*arguments, label_bits), numba_engine.scores(*arguments, label_bits)
        )
        labels = rng.integers(0, layers[-1], 140)
        assert np.array_equal(
            numpy_engine.correct(*arguments, label_bits, labels),
            numba_engine.correct(*arguments, label_bits, labels),
        )
    assert np.array_equal(
        numpy_engine.activations(inputs.words, sizes, words, limits),
        numba_engine.activations(inputs.words, sizes, words, limits),
    )


def test_the_36_weights_of_compare_are_one_case():
    """Draws of bits in the order of WeightSpace, on inputs of -1 and +1."""
    rng = np.random.default_rng(3)
    network, shape = BinaryNetwork((4, 6, 2)), PackedShape((4, 6, 2))
    draws = rng.integers(0, 2, (50, 36), dtype=np.uint8)
    x = rng.integers(0, 2, (30, 4), dtype=np.uint8)
    words = shape.from_bits(draws)
    assert np.array_equal(shape.to_bits(words), draws)
    expected = network.logits(draws, 2.0 * x - 1)
    assert np.array_equal(sums(shape, words, pack_bits(x)), expected)
    one = PackedNetwork.from_bits((4, 6, 2), draws[7])
    assert np.array_equal(one.outputs(x), expected[7])


def test_equal_scores_go_to_the_lower_class():
    shape = PackedShape((2, 3))
    words = shape.pack([np.array([[[0, 1], [1, 1], [1, 1]]], np.uint8)])
    inputs = pack_bits([[1, 1], [0, 1], [0, 0]])
    assert sums(shape, words, inputs)[0].tolist() == [[0, 2, 2], [2, 0, 0], [0, -2, -2]]
    network = PackedNetwork(shape, words[0], shape.limits())
    assert network.predict(inputs).tolist() == [1, 0, 0]
    assert correct(shape, words, inputs, np.array([1, 0, 0]))[0] == 3
    assert correct(shape, words, inputs, np.array([2, 1, 1]))[0] == 0


@pytest.mark.parametrize("planes", [1, 8, 13])
@pytest.mark.parametrize("layers", [(5, 4), (300, 3), (700, 2, 3)])
def test_sums_at_their_largest_and_smallest(layers, planes):
    """All inputs and weights alike: of 300 pixels ±76,500, more than 16 bits hold."""
    shape, most = PackedShape(layers), (1 << planes) - 1
    values = np.array([[0], [most]]) * np.ones(layers[0], int)
    inputs = pack_bits(values) if planes == 1 else pack_pixels(values, planes=planes)
    draws = np.array([[0], [1]]) * np.ones(shape.n_weights, int)
    words = shape.from_bits(draws)
    x = 2 * values - most
    expected = np.stack(
        [plain_sums(x, [np.full(m, bit) for m in shape.matrices]) for bit in (0, 1)]
    )
    assert np.array_equal(sums(shape, words, inputs), expected)
    one_class = np.zeros(2, int)
    assert correct(shape, words, inputs, one_class).tolist() == [2, 2]
    assert correct(shape, words, inputs, one_class + 1).tolist() == [0, 0]  # all classes tie
    # one unit of the last layer is the best by its whole sum, or the worst
    shape = PackedShape((layers[0], 2))
    words = shape.pack([np.array([[0], [1]]) * np.ones(layers[0], int)])[None]
    assert correct(shape, words, inputs, [0, 1]).tolist() == [2]
    sizes, limits = np.array(shape.layers), np.zeros((1, 1), np.int64)
    for engine in (numba_engine, numpy_engine):
        found = engine.scores(inputs.words, sizes, words, limits, 0)
        assert found.dtype == np.int32
        assert abs(found).min() == abs(found).max() == most * layers[0]


def test_numpy_alone_takes_rows_some_at_a_time(monkeypatch):
    rng = np.random.default_rng(8)
    words = population(rng, (9, 5, 4), 3)[2]
    inputs = pack_bits(rng.integers(0, 2, (50, 9)))
    labels = rng.integers(0, 4, 50)
    arguments = (inputs.words, np.array([9, 5, 4]), words, np.full((1, 5), 4), 0, labels)
    expected = numba_engine.correct(*arguments)
    for rows in (1, 7, 25, 49, 50, 51):
        monkeypatch.setattr(numpy_engine, "_ROWS", rows)
        assert np.array_equal(numpy_engine.correct(*arguments), expected)


@pytest.mark.parametrize("engine", [numba_engine, numpy_engine])
@pytest.mark.parametrize("rows", [1, 130])
def test_every_network_has_limits_of_its_own(engine, rows):
    """The same weights with other limits: a unit is +1 up to its limit, and not one further."""
    shape = PackedShape((3, 1, 2))
    words = np.repeat(shape.ones[None], 5, axis=0)
    inputs = pack_bits(np.repeat([[1, 1, 0]], rows, axis=0))  # one input differs
    limits = np.array([[-1], [0], [1], [2], [3]])
    sizes = np.array(shape.layers)
    expected = [-1, -1, 1, 1, 1]
    found = engine.scores(inputs.words, sizes, words, limits, 0)
    assert (found == np.array(expected)[:, None, None]).all()
    every = np.concatenate([limits, limits, limits], axis=1)
    found = engine.activations(inputs.words, sizes[:2], words[:, :1], every)
    assert (found[:, 0] == (np.array(expected)[:, None] > 0)).all()
    votes_of = engine.scores(inputs.words, sizes[:2], words[:, :1], limits, 1)
    assert (votes_of[:, 0] == (np.array(expected)[:, None] > 0)).all()


def test_sums_that_would_not_fit_are_refused():
    shape = PackedShape((40_000, 1))
    words = shape.ones[None]
    inputs = pack_pixels(np.full((1, 40_000), 65_535), planes=16)
    with pytest.raises(ConfigurationError, match="40000 inputs of 16 bits do not fit 32 bits"):
        sums(shape, words, inputs)


def test_populations_refuse_what_does_not_fit():
    rng = np.random.default_rng(0)
    shape, _, words = population(rng, (5, 4, 6), 2)
    inputs = pack_bits(rng.integers(0, 2, (3, 5)))
    for call, message in (
        (lambda: sums(shape, words[0], inputs), r"shape \(10,\); expected \[network, word\]"),
        (lambda: votes(shape, words, inputs, 4), "no whole number of groups of 4 label bits"),
        (lambda: votes(shape, words, inputs, 0), "groups of 0 label bits"),
        (lambda: sums(shape, words, inputs, np.zeros(5, int)), "one for each of 4 units"),
        (lambda: sums(shape, words, inputs, np.zeros((3, 4), int)), r"\(3, 4\) for 2 networks"),
        (lambda: sums(shape, words, inputs, np.full(4, 0.5)), "limits of float64 and shape"),
        (lambda: sums(shape, words, inputs, ["a"] * 4), "limits of <U1 and shape"),
        (lambda: sums(shape, words[:0], inputs), r"shape \(0, 10\); expected \[network, word\]"),
        (lambda: sums(shape, words, np.zeros((3, 5))), "inputs of ndarray; expected PackedInputs"),
        (lambda: sums(shape, words.tolist(), inputs), "words of list, expected an array"),
        (lambda: sums(shape, words | np.uint64(1 << 5), inputs), "ones past the end of a unit's"),
        (
            lambda: correct(shape, words, inputs, [0, 1]),
            r"shape \(2,\); .* classes .* 3 rows",
        ),
        (lambda: correct(shape, words, inputs, [0, 1, 6]), "expected classes from 0 to 5"),
        (lambda: correct(shape, words, inputs, [0, 1, -1]), "expected classes from 0 to 5"),
        (lambda: correct(shape, words, inputs, [0.0, 1, 2]), "labels of float64"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            call()


MEMORY = """
import resource, sys
import numpy as np
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.population import correct
from qhyper.targets.packed.shape import PackedShape
rng = np.random.default_rng(0)
shape = PackedShape((784, 128, 10))
inputs = pack_bits(rng.integers(0, 2, (20_000, 784), dtype=np.uint8))
labels = rng.integers(0, 10, 20_000)
words = rng.integers(0, 2**63, (40, shape.n_words), dtype=np.uint64) & shape.ones
correct(shape, words[:1], inputs.take(slice(200)), labels[:200])  # compiled
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
correct(shape, words, inputs, labels)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_networks_times_rows():
    """40 networks on 20,000 rows: their hidden bits alone would be 12.8 MB, their sums 32 MB."""
    if sys.platform != "linux":
        pytest.skip("peak memory is in KiB on Linux")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 4 * 1024  # KiB


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    rng = np.random.default_rng(8)
    shape, _, words = population(rng, (70, 30, 6), 3)
    inputs, labels = pack_bits(rng.integers(0, 2, (700, 70))), rng.integers(0, 6, 700)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("qhyper.threads.n_threads", lambda threads=threads: threads)
        found.append(
            (
                activations(shape, words, inputs).tolist(),
                sums(shape, words, inputs).tolist(),
                correct(shape, words, inputs, labels).tolist(),
            )
        )
    assert found[0] == found[1] == found[2]
