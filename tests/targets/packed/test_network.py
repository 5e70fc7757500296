"""Packed networks against integer matrix products, and their file against damage."""

import json
import subprocess
import sys
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.targets.layered import kernel
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.packed import network as packed
from qhyper.targets.packed import numpy_engine as packed_numpy
from qhyper.targets.packed.network import (
    FORMAT,
    PackedInputs,
    PackedNetwork,
    PackedShape,
    activations,
    correct,
    pack_bits,
    pack_pixels,
    sums,
    votes,
)


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
            packed_numpy.scores(*arguments, label_bits), kernel.scores(*arguments, label_bits)
        )
        labels = rng.integers(0, layers[-1], 140)
        assert np.array_equal(
            packed_numpy.correct(*arguments, label_bits, labels),
            kernel.correct(*arguments, label_bits, labels),
        )
    assert np.array_equal(
        packed_numpy.activations(inputs.words, sizes, words, limits),
        kernel.activations(inputs.words, sizes, words, limits),
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


@given(layers=st.lists(SIZES, min_size=2, max_size=4).map(tuple), seed=st.integers(0, 2**20))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_packing_is_undone_by_unpacking(layers, seed):
    rng = np.random.default_rng(seed)
    shape, matrices, words = population(rng, layers, 2)
    assert words.shape == (2, shape.n_words)
    for found, given_ in zip(shape.unpack(words), matrices, strict=True):
        assert np.array_equal(found, given_)
    bits = rng.integers(0, 2, (2, shape.n_weights), dtype=np.uint8)
    assert np.array_equal(shape.to_bits(shape.from_bits(bits)), bits)


def test_equal_scores_go_to_the_lower_class():
    shape = PackedShape((2, 3))
    words = shape.pack([np.array([[[0, 1], [1, 1], [1, 1]]], np.uint8)])
    inputs = pack_bits([[1, 1], [0, 1], [0, 0]])
    assert sums(shape, words, inputs)[0].tolist() == [[0, 2, 2], [2, 0, 0], [0, -2, -2]]
    network = PackedNetwork(shape, words[0], shape.limits())
    assert network.predict(inputs).tolist() == [1, 0, 0]
    assert correct(shape, words, inputs, np.array([1, 0, 0]))[0] == 3
    assert correct(shape, words, inputs, np.array([2, 1, 1]))[0] == 0


def test_a_units_own_limit():
    """A unit is +1 where at most `limit` inputs differ: -1 is never, n is always."""
    shape = PackedShape((3, 3, 1))
    words = shape.pack([np.ones((3, 3), np.uint8), np.array([[1, 1, 1]], np.uint8)])
    rows = pack_bits([[1, 1, 1], [1, 1, 0], [0, 0, 0]])
    network = PackedNetwork(shape, words, np.array([-1, 1, 3]))
    assert network.outputs(rows)[:, 0].tolist() == [1, 1, -1]


def test_limits_beyond_all_inputs_are_as_all_of_them(tmp_path):
    """So they fit the file, and the network is read as it was."""
    shape = PackedShape((3, 2, 1))
    words = shape.pack([np.ones((2, 3), np.uint8), np.ones((1, 2), np.uint8)])
    network = PackedNetwork(shape, words, np.array([2**32 - 5, -(2**40)]))
    assert network.limits.tolist() == [3, -1]
    network.save(tmp_path / "net.npz")
    x = np.zeros((1, 3), np.uint8)
    assert PackedNetwork.load(tmp_path / "net.npz").outputs(x) == network.outputs(x)
    found = sums(shape, words[None], pack_bits(x), np.array([2**63, 0], np.uint64))
    assert found.tolist() == [[[0]]]


def test_sums_that_would_not_fit_are_refused():
    shape = PackedShape((40_000, 1))
    words = shape.ones[None]
    inputs = pack_pixels(np.full((1, 40_000), 65_535), planes=16)
    with pytest.raises(ConfigurationError, match="40000 inputs of 16 bits do not fit 32 bits"):
        sums(shape, words, inputs)


def test_one_layer_of_pixels_sums_up_the_pixels():
    rng = np.random.default_rng(9)
    shape, matrices, words = population(rng, (70, 5), 1)
    x = rng.integers(0, 256, (50, 70))
    network = PackedNetwork(shape, words[0], shape.limits(planes=8), planes=8)
    assert np.array_equal(network.outputs(x), x @ (2 * matrices[0][0].astype(int) - 1).T)


def test_scaled_outputs_are_rounded_once():
    """Against fractions, which are exact: near ties that two roundings would break."""
    rng = np.random.default_rng(4)
    whole = rng.integers(-(2**20), 2**20, 500)
    scale = rng.normal(size=500)
    shift = -scale * (whole + rng.integers(-1, 2, 500))  # what cancels shows what was rounded
    exact = [
        float(Fraction(int(s)) * Fraction(a) + Fraction(b))
        for s, a, b in zip(whole, scale, shift, strict=True)
    ]
    assert np.array_equal(packed._multiply_and_add(whole, scale, shift), exact)


def test_inputs_can_be_taken_apart():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (300, 70), dtype=np.uint8)
    rows = np.array([5, 299, 0])
    assert np.array_equal(pack_bits(x).take(rows).words, pack_bits(x[rows]).words)
    assert len(pack_bits(x).take(slice(10))) == 10


def some_network(**parts):
    rng = np.random.default_rng(1)
    shape, _, words = population(rng, (70, 9, 4), 1)
    return PackedNetwork(shape, words[0], rng.integers(20, 50, 9), **parts)


# bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pack_bits([[0, 2]]), r"takes bits, 0 for -1 and 1 for \+1; got 2\. Compare with"),
        (lambda: pack_bits([[-1.0, 1.0]]), "takes bits.*got -1"),
        (lambda: pack_bits([[0.5]]), "takes bits.*got 0.5"),
        (
            lambda: pack_bits(np.array([[3]], np.uint8)),
            "takes bits.*got 3. Compare with",
        ),
        (lambda: pack_bits([[1], [0, 1]]), "rows of different lengths"),
        (lambda: pack_bits([[1j]]), "inputs of complex128 and shape"),
        (lambda: pack_bits([0, 1]), r"shape \(2,\); expected numbers \[row, input\]"),
        (lambda: pack_bits(np.zeros((0, 3))), "at least one of each"),
        (lambda: pack_pixels([[256]]), "Got the input 256; expected whole numbers from 0 to 255"),
        (lambda: pack_pixels([[-1]]), "expected whole numbers from 0 to 255"),
        (lambda: pack_pixels([[0.5]]), "expected whole numbers"),
        (lambda: pack_pixels([[np.nan]]), "expected whole numbers"),
        (lambda: pack_pixels([["a"]]), "inputs of <U1 and shape"),
        (lambda: pack_pixels([[1]], planes=17), "planes=17; expected 1 to 16"),
        (lambda: pack_pixels([[1]], planes=True), "planes=True; expected 1 to 16"),
        (lambda: PackedShape((3,)), r"layers \(3,\); expected two sizes or more"),
        (lambda: PackedShape((3, 0)), "of 1 or more each"),
        (lambda: PackedShape(5), "layers 5; expected two sizes"),
        (lambda: PackedShape((3, 2.0)), "expected two sizes or more"),
        (lambda: PackedShape((3, 2)).pack([[[0, 1, 1]]]), r"shape \(1, 3\), expected .* 2, 3\]"),
        (lambda: PackedShape((3, 2)).pack([]), "0 matrices of weights, expected 1"),
        (lambda: PackedShape((3, 2)).from_bits([0] * 5), "bitstrings of 5 bits, expected 6"),
        (lambda: PackedShape((3, 2)).unpack(np.zeros(3, np.uint64)), "with 2 words"),
        (lambda: PackedShape((3, 2)).unpack(np.zeros(2, np.int64)), "words of int64"),
        (lambda: some_network().predict(np.zeros((2, 71), np.uint8)), "71 inputs a row, but .* 70"),
        (lambda: some_network().predict(np.full((2, 70), 2)), "takes bits.*got 2"),
        (
            lambda: some_network().predict(pack_pixels(np.zeros((2, 70)))),
            "inputs of 8 bits a number, but the network takes 1",
        ),
        (lambda: some_network(label_bits=3), "4 units, which are no whole number of groups of 3"),
        (lambda: some_network(label_bits=2), r"shape \(9,\); expected whole numbers, one .* 13"),
        (lambda: some_network(planes=0), "planes=0; expected 1 to 16"),
        (lambda: some_network(scale=["a"] * 4, shift=np.ones(4)), "scale of <U1"),
        (lambda: some_network(scale=np.ones(4)), "scale and shift go together"),
        (
            lambda: some_network(scale=np.ones(3), shift=np.ones(4)),
            "scale of .* expected 4",
        ),
        (
            lambda: some_network(scale=np.ones(4), shift=np.full(4, np.inf)),
            "shift of float64 and shape .* expected 4 finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


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


def test_words_with_ones_past_the_end_are_refused():
    shape = PackedShape((3, 2))
    with pytest.raises(ConfigurationError, match="ones past the end of a unit's weights"):
        PackedNetwork(shape, np.array([8, 0], np.uint64), shape.limits())


# the file


@pytest.fixture(params=["sums", "votes", "scaled pixels"])
def network(request):
    rng = np.random.default_rng(2)
    if request.param == "sums":
        return some_network()
    shape, _, words = population(rng, (70, 9, 4), 1)
    if request.param == "votes":
        return PackedNetwork(shape, words[0], shape.limits(of_last=True), label_bits=2)
    limits = rng.integers(0, 70 * 255, 9)
    return PackedNetwork(
        shape, words[0], limits, planes=8, scale=rng.normal(size=4), shift=rng.normal(size=4)
    )


def some_inputs(network):
    return np.random.default_rng(5).integers(0, 1 << network.planes, (200, 70))


def test_a_saved_network_is_read_as_it_was(network, tmp_path):
    path = tmp_path / "net.npz"
    network.save(path)
    again = PackedNetwork.load(path)
    x = some_inputs(network)
    assert np.array_equal(again.outputs(x), network.outputs(x))
    assert again.outputs(x).dtype == network.outputs(x).dtype
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_a_file_is_never_replaced(network, tmp_path):
    path = tmp_path / "net.npz"
    path.write_bytes(b"somebody's")
    with pytest.raises(
        ConfigurationError, match=r"already a file .*net\.npz\. Choose another name"
    ):
        network.save(path)
    assert path.read_bytes() == b"somebody's"


def test_every_damaged_byte_is_refused_or_harmless(network, tmp_path):
    """The archive's checksums cover all numbers; what they do not cover changes no network."""
    path = tmp_path / "net.npz"
    network.save(path)
    content, x = path.read_bytes(), some_inputs(network)
    expected, refused = network.outputs(x), 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0x41
        path.write_bytes(damaged)
        try:
            found = PackedNetwork.load(path)
        except StorageError:
            refused += 1
        else:
            assert np.array_equal(found.outputs(x), expected), at
    assert refused > len(content) / 2


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_torn_file_is_refused(length, tmp_path):
    path = tmp_path / "net.npz"
    some_network().save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StorageError, match=r"net.npz is damaged or no packed network: .*Copy it"):
        PackedNetwork.load(path)


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(MissingError, match=r"none\.npz is not there\. Check the path"):
        PackedNetwork.load(tmp_path / "none.npz")
    with pytest.raises(MissingError, match="is a folder, not a file"):
        PackedNetwork.load(tmp_path)


def rewritten(path, **changes):
    """The file with another `about`, or other arrays."""
    with np.load(path) as archive:
        arrays = dict(archive)
    about = json.loads(arrays["about"].tobytes()) | changes.pop("about", {})
    del arrays["about"]
    arrays |= changes
    about["sha256"] = packed._digest(arrays)
    np.savez(path, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"about": {"version": 2}}, "of version 2, and this qhyper reads versions up to 1. Update"),
        ({"about": {"version": 0}}, "no packed network: its version is 0"),
        ({"about": {"version": "1"}}, "no packed network: its version is '1'"),
        ({"limits": np.full(9, 0.5)}, "no packed network: Got limits of float64"),
        ({"about": {"format": "other"}}, "no packed network: its format is 'other'"),
        ({"about": {"layers": [70, 9, 5]}}, "no packed network"),
        ({"about": {"layers": [70, 9]}}, "bytes of weights, expected"),
        ({"about": {"layers": "many"}}, "no packed network"),
        ({"about": {"planes": 17}}, "no packed network: Got planes=17"),
        ({"limits": np.zeros(3, np.int32)}, "no packed network: Got limits"),
        ({"weights": np.zeros(4, np.int32)}, "its weights are int32"),
        ({"more": np.zeros(4)}, "it holds limits, more, weights"),
    ],
)
def test_a_file_of_other_contents_is_refused(changes, message, tmp_path):
    path = tmp_path / "net.npz"
    some_network().save(path)
    rewritten(path, **changes)
    with pytest.raises(StorageError, match=message):
        PackedNetwork.load(path)


def test_a_pickle_in_the_archive_is_never_run(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, about=np.array([{"format": FORMAT}], dtype=object))
    with pytest.raises(StorageError, match="no packed network"):
        PackedNetwork.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.npy", b"\x80\x04N.")
    with pytest.raises(StorageError, match="no packed network"):
        PackedNetwork.load(path)


# what it needs

WITHOUT = """
import sys, warnings
for name in ("torch", "numba", "scipy", "sklearn", "pydantic", "typer", "pooch", "matplotlib"):
    sys.modules[name] = None
import numpy as np
from qhyper.targets.packed.network import PackedNetwork
network = PackedNetwork.load(sys.argv[1])
x = np.load(sys.argv[2])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = network.predict(x)
print(caught[0].message)
np.save(sys.argv[3], found)
"""


def test_a_file_runs_on_numpy_alone_and_says_that_it_is_slower(network, tmp_path):
    network.save(tmp_path / "net.npz")
    x = some_inputs(network)
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *(tmp_path / f for f in ("net.npz", "x.npy", "y.npy"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "numba cannot be imported" in done.stdout
    assert "slower" in done.stdout
    assert np.array_equal(np.load(tmp_path / "y.npy"), network.predict(x))


MEMORY = """
import resource, sys
import numpy as np
from qhyper.targets.packed.network import PackedShape, correct, pack_bits
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


def test_bits_given_to_a_network_of_pixels_are_warned_of():
    shape = PackedShape((3, 2))
    network = PackedNetwork(shape, shape.ones, shape.limits(), planes=8)
    with pytest.warns(UserWarning, match="All inputs are 0 or 1, and the network takes .* to 255"):
        network.predict([[0, 1, 1]])
    network.predict([[0, 0, 0]])
    network.predict([[0, 2, 1]])


def test_many_draws_are_no_network():
    with pytest.raises(ConfigurationError, match=r"shape \(5, 36\); expected one draw .n_bits."):
        PackedNetwork.from_bits((4, 6, 2), np.zeros((5, 36), np.uint8))


def test_what_is_printed_is_short(network):
    assert repr(network).startswith("PackedNetwork(70-9-4, from ")
    assert repr(pack_bits([[0, 1]])) == "PackedInputs(1 rows of 2, 1 bits each)"


def test_inputs_say_how_many_they_are():
    inputs = PackedInputs(np.zeros((8, 13, 20), np.uint64), 784)
    assert (len(inputs), inputs.planes) == (20, 8)
    with pytest.raises(ConfigurationError, match="with 1 to 16 planes and 13 words for 784 inputs"):
        PackedInputs(np.zeros((8, 12, 20), np.uint64), 784)
    with pytest.raises(ConfigurationError, match="Got ones past the last of 784 inputs"):
        PackedInputs(np.full((1, 13, 2), 1 << 16, np.uint64), 784)
