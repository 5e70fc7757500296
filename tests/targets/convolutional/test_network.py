"""One convolutional network: what it takes, what comes out, and what does not fit."""

import json
import pickle
import re
import sys
import warnings
import zipfile

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.targets.convolutional import numpy_engine
from qhyper.targets.convolutional.bounds import largest_number
from qhyper.targets.convolutional.file import write
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    MaxPool,
    Residual,
    Scale,
    Threshold,
    Values,
)
from qhyper.targets.packed.network import PackedNetwork

RNG = np.random.default_rng(3)


def signs_of(channels, limit=0.0):
    return Threshold(np.full(channels, limit), np.ones(channels, bool))


def kernel(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 2, shape)


def small(image=(2, 6, 6)):
    """Every kind of step."""
    rng = np.random.default_rng(4)
    body = (
        Threshold(np.array([0.5, -np.inf, np.inf, 1 / 3]), np.array([True, False, True, False])),
        BinaryConvolution(kernel(4, 4, 3, 3), 1, 1, "minus-one"),
        Scale(rng.normal(size=4)),
    )
    return ConvolutionalNetwork(
        image,
        (
            Affine(np.full(2, 1 / 128), np.full(2, -1.0)),
            Convolution(rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), padding=1),
            Residual(body),
            Clamp(0, np.inf),
            AvgPool(2, 2),
            signs_of(4, 0.1),
            MaxPool(2, 1),
            BinaryConvolution(kernel(3, 4, 2, 2)),
        ),
    )


PIXELS = RNG.integers(0, 256, (11, 2, 6, 6), dtype=np.uint8)


def test_images_may_be_flat_and_of_any_type_that_holds_pixels():
    network = small()
    outputs = network.outputs(PIXELS)
    assert outputs.shape == (11, 3)
    for same in (PIXELS.reshape(11, -1), PIXELS.astype(float), PIXELS.astype(np.int64).tolist()):
        np.testing.assert_array_equal(network.outputs(same), outputs)


def test_ties_go_to_the_lower_class():
    weights = np.array([1, 0, 1])[:, None, None, None]
    network = ConvolutionalNetwork((1, 1, 1), (signs_of(1, 128), BinaryConvolution(weights)))
    assert network.outputs([[200], [3]]).tolist() == [[1, -1, 1], [-1, 1, -1]]
    assert network.predict([[200], [3]]).tolist() == [0, 1]


def test_a_network_says_what_it_has():
    network = small()
    assert repr(network) == "ConvolutionalNetwork(2×6×6 to 3 classes, 192 bits)"
    assert network.n_binary == 4 * 4 * 9 + 3 * 4 * 4
    assert network.n_real == 2 + 2 + 72 + 4 + 4 + 4 + 4
    bits, short, long = 18 + 6, 2 + 2, 72 + 4 + 4 + 4 + 4
    assert network.n_bytes == bits + 4 * short + 8 * long + 2  # and the directions
    assert network.values[2] == Values("real", (4, 6, 6))
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.outputs(PIXELS), network.outputs(PIXELS))


def test_a_network_is_read_as_it_was_saved(tmp_path):
    network = small()
    network.save(tmp_path / "net.npz")
    again = ConvolutionalNetwork.load(tmp_path / "net.npz")
    assert again.image == network.image
    same_steps(again.steps, network.steps)
    np.testing.assert_array_equal(again.outputs(PIXELS), network.outputs(PIXELS))
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "net.npz").read_bytes()
    with pytest.raises(ConfigurationError, match=r"There is already a file .*net.npz"):
        network.save(tmp_path / "net.npz")
    with pytest.raises(StorageError, match="Choose another folder, or make it first"):
        network.save(tmp_path / "none" / "net.npz")


def same_steps(one, other):
    assert [type(step) for step in one] == [type(step) for step in other]
    for a, b in zip(one, other, strict=True):
        for name, value in vars(a).items():
            if isinstance(a, Residual):
                same_steps(value, getattr(b, name))
            elif isinstance(value, np.ndarray):
                assert value.dtype == getattr(b, name).dtype
                assert value.tobytes() == getattr(b, name).tobytes()
            else:
                assert value == getattr(b, name)


def test_real_numbers_are_short_only_where_nothing_is_lost(tmp_path):
    network = small()
    network.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as archive:
        assert archive["0.scale"].dtype == np.float32
        assert archive["1.weight"].dtype == np.float64
        assert archive["2.body.1.bits"].dtype == np.uint8
        assert archive["2.body.1.bits"].shape == (18,)


def test_every_damaged_byte_is_refused_or_harmless(tmp_path):
    """The archive's checksums cover all numbers; what they do not cover changes no network."""
    path = tmp_path / "net.npz"
    small().save(path)
    content, refused = path.read_bytes(), 0
    places = range(0, len(content), 7)
    for at in places:
        damaged = bytearray(content)
        damaged[at] ^= 0x41
        path.write_bytes(damaged)
        try:
            again = ConvolutionalNetwork.load(path)
        except StorageError:
            refused += 1
        else:
            same_steps(again.steps, small().steps)
    assert refused > len(places) / 2


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_torn_file_is_refused(length, tmp_path):
    path = tmp_path / "net.npz"
    small().save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StorageError, match=r"net.npz is damaged or no convolutional .*Copy it"):
        ConvolutionalNetwork.load(path)


def rewritten(path, change):
    """The file with its description or arrays changed, and its checksum left as it was."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    about = json.loads(arrays.pop("about").tobytes())
    change(about, arrays)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda about, arrays: about.update(version=2), "of version 2, and this .* Update qhyper"),
        (lambda about, arrays: about.update(version="1"), "its version is '1'. Copy it again"),
        (lambda about, arrays: about.update(format="other"), "its format is 'other'"),
        (lambda about, arrays: about.update(image=[2, 6, 7]), "its checksum is another"),
        (lambda about, arrays: arrays.pop("0.scale"), "its checksum is another"),
        (lambda about, arrays: about.pop("steps"), "damaged or no convolutional network"),
    ],
)
def test_changed_files_are_refused(tmp_path, change, reason):
    path = tmp_path / "net.npz"
    small().save(path)
    rewritten(path, change)
    with pytest.raises(StorageError, match=reason):
        ConvolutionalNetwork.load(path)


@pytest.mark.parametrize(
    ("image", "steps", "reason"),
    [
        ((2, 6, 8), small().steps, "network ends with whole sums of 3×1×2; expected"),
        (
            (2, 6, 0),
            small().steps,
            r"Got image=\(2, 6, 0\); expected \(channels, rows, columns\), whole",
        ),
        ((1, 1, 1), (Scale([1e200]), Scale([1e200])), "may not fit float64"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_the_file(tmp_path, image, steps, reason):
    write(image, steps, tmp_path / "net.npz")
    with pytest.raises(StorageError, match=f"net.npz is damaged or no convo.*{reason}"):
        ConvolutionalNetwork.load(tmp_path / "net.npz")


def test_each_kind_of_network_names_the_reader_of_the_other(tmp_path):
    """A file of dense layers cannot hold convolutions."""
    small().save(tmp_path / "conv.npz")
    with pytest.raises(StorageError, match=r"holds a convolutional .* ConvolutionalNetwork.load"):
        PackedNetwork.load(tmp_path / "conv.npz")
    PackedNetwork.from_bits((3, 2, 2), np.ones(10, np.uint8)).save(tmp_path / "dense.npz")
    with pytest.raises(StorageError, match=r"a packed network\. Read it by PackedNetwork.l"):
        ConvolutionalNetwork.load(tmp_path / "dense.npz")
    with pytest.raises(MissingError, match=r"is not there. Check the path"):
        ConvolutionalNetwork.load(tmp_path / "none.npz")
    with pytest.raises(MissingError, match="is a folder, not a file"):
        ConvolutionalNetwork.load(tmp_path)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("a.txt", "b")
    with pytest.raises(StorageError, match="damaged or no convolutional network"):
        ConvolutionalNetwork.load(tmp_path / "other.npz")


def test_without_numba_numpy_does_the_same_and_says_so(monkeypatch):
    expected = small().outputs(PIXELS)
    monkeypatch.delattr("qhyper.targets.convolutional.numba_engine", raising=False)
    monkeypatch.setitem(sys.modules, "qhyper.targets.convolutional.numba_engine", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = small().outputs(PIXELS)
    assert "convolutional networks run on NumPy alone" in str(caught[0].message)
    np.testing.assert_array_equal(found, expected)


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((3, 71)), "Got images of 71 pixels; the network takes 2 channels of 6×6, 72"),
        (np.zeros((3, 1, 6, 6)), "Got images of 1 channels of 6×6 pixels; the network takes 2"),
        (np.zeros((3, 2, 5, 6)), "Got images of 2 channels of 5×6 pixels.* channels first"),
        (np.zeros(72), r"Got pixels of shape \(72,\); .* One image is pixels\[None\]"),
        (np.zeros((0, 72)), r"Got pixels of shape \(0, 72\).* one image at least"),
        (np.full((1, 72), 0.5), "Got the pixel 0.5; expected whole numbers from 0 to 255"),
        (np.full((1, 72), 256), "Got the pixel 256; .* what scales them is a step"),
        (np.full((1, 72), np.nan), "Got the pixel nan"),
        (np.full((1, 72), -1), "Got the pixel -1"),
    ],
)
def test_other_images_are_refused(pixels, reason):
    with pytest.raises(ConfigurationError, match=reason):
        small().predict(pixels)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([BinaryConvolution(kernel(2, 1, 3, 3))], "step 0, BinaryConvolution.1→2, 3×3.: it takes "
         "bits, and gets real numbers of 1×4×4. Put a Threshold before it, or take a Convolution"),
        ([signs_of(2)], "step 0, Threshold.2.: it has numbers for 2 channels, and gets real .*1×4"),
        ([signs_of(1), signs_of(1)], "step 1, .* takes real numbers or sums, and gets bits of 1×4"),
        ([signs_of(1), Scale([2])], "step 1, Scale.1.: it takes real .* Put a convolution before"),
        ([Convolution(np.ones((2, 3, 1, 1)))], "its kernel is for 3 channels.*be .2, 1, row, colu"),
        ([AvgPool(5, 1)], "windows of 5×5 do not fit into 4×4 with a padding of 0×0. Choose"),
        ([Residual((MaxPool(2, 2),))], "its body ends with real numbers of 1×2×2, and its shortcu"),
        ([Residual((signs_of(1),))], "its body ends with bits of 1×4×4, which are not added"),
        ([Residual((), (Affine([1, 1], [0, 0]),))], "step 0, Residual.*: in its shortcut, step 0,"),
        ([MaxPool(2, 2)], "The network ends with real numbers of 1×2×2; expected .* .class, 1, 1."),
        ([AvgPool(4, 1), signs_of(1)], "The network ends with bits of 1×1×1"),
        ([np.ones(3)], "Got the steps .*; expected a tuple of Convolution, BinaryConvolution"),
        ("steps", "Got the steps 'steps'; expected a tuple"),
    ],
)  # fmt: skip
def test_steps_that_do_not_fit_are_named(steps, reason):
    with pytest.raises(ConfigurationError, match=reason):
        ConvolutionalNetwork((1, 4, 4), steps)


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ([Scale([1e300]), Scale([1e300])], r"step 0, Scale\(1\): its outputs may not fit float64"),
        ([Scale([1e200]), Scale([1e200])], r"step 1, Scale.*expected up to 1.3e\+300 in size"),
        ([Clamp(0, 1e-9), Affine([1e301], [0.0])], "step 1, .* or what it multiplies with does"),
        ([Affine([1.0], [1e301])], "step 0, Affine"),
        ([Convolution(np.full((1, 1, 3, 3), 1e297), padding=1)], "step 0, Convolution"),
        ([Clamp(1e301, np.inf)], "step 0, Clamp"),
        ([Residual((Scale([1.0]), Scale([1e299])))], "0, Residual.*: in its body, step 1, Scale"),
        ([Residual((), (Scale([1e299]),))], "step 0, Residual.*: in its shortcut, step 0, Scale"),
        ([Scale([1e296])] + [Residual(())] * 6, "step 6, Residual"),
    ],
)
def test_numbers_that_may_overflow_are_refused(steps, where):
    with pytest.raises(ConfigurationError, match=f"In the network, .*{where}"):
        ConvolutionalNetwork((1, 4, 4), (*steps, AvgPool(4, 1)))


@pytest.mark.parametrize("seed", range(4))
def test_no_number_is_above_what_is_said(seed):
    rng, largest = np.random.default_rng(seed), 255.0
    pixels = rng.choice(np.array([0, 255], np.uint8), (50, 2, 6, 6))
    steps = small().steps
    for last in range(1, len(steps) + 1):
        found = numpy_engine.Prepared(steps[:last], Values("real", (2, 6, 6)))(pixels)
        largest = largest_number(steps[:last], 255.0)
        assert np.abs(found.astype(float)).max() <= largest
    assert largest == 4 * 2 * 2


def test_arrays_of_steps_are_read_alone():
    """What an engine prepared would else be of other numbers."""
    network, given = small(), np.ones((2, 1, 1, 1))
    for array in (network.steps[0].scale, network.steps[1].weight, network.steps[5].above,
                  network.steps[7].bits, Convolution(given).weight):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    given[:] = 2  # it was copied


@pytest.mark.parametrize("image", [(4, 4), (0, 4, 4), "144", None, (1, 4.5, 4)])
def test_images_have_three_sizes(image):
    message = rf"Got image={re.escape(repr(image))}; expected \(channels, rows, columns\), whole"
    with pytest.raises(ConfigurationError, match=message):
        ConvolutionalNetwork(image, (AvgPool(4, 1),))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: BinaryConvolution(np.full((1, 1, 1, 1), 2)),
            "expected 0 for -1 and 1 for .1",
        ),
        (lambda: BinaryConvolution(np.ones((2, 2))), "bits of weights of float64 and shape .2, 2."),
        (lambda: BinaryConvolution(np.ones((1, 1, 1, 1)), pad="zeros"), "Did you mean 'zero'"),
        (lambda: BinaryConvolution(np.ones((1, 1, 1, 1)), stride=0), "Got stride=0 of a BinaryCon"),
        (lambda: Convolution(np.full((1, 1, 1, 1), np.nan)), "Got weight of .* with nan; expected"),
        (lambda: Convolution(np.ones((2, 1, 1, 1)), [1.0]), "Got a bias of shape .1,. for 2 outp"),
        (lambda: Convolution(np.ones((2, 1, 1, 1)), padding=(1, -1)), "Got padding=.1, -1. of a "),
        (lambda: Threshold([np.nan], [True]), "Got limits of shape .1,. with NaN; .* may be infin"),
        (lambda: Threshold([0.0, 1.0], [True]), "expected one bool for each of 2 channels"),
        (lambda: Threshold([0.0], [1]), "Got above of int64"),
        (lambda: Affine([1, 2], [1]), "Got 2 scales and 1 shifts"),
        (lambda: Scale([np.inf]), "Got factor of shape .1,. with inf; expected finite"),
        (lambda: Clamp(1, 0), "Got a clamp from 1 to 0; .* the lower one first"),
        (lambda: Clamp(np.nan, 0), "Got a clamp from nan"),
        (
            lambda: Clamp(np.inf, np.inf),
            "Got a clamp from inf to inf; .* leave a finite one",
        ),
        (lambda: MaxPool(2, 2, 2), "Got a padding of .2, 2. for windows of .2, 2.; .* half of it"),
        (lambda: MaxPool((2, 2, 2), 1), "Got kernel=.2, 2, 2. of a MaxPool; expected two whole"),
    ],
)
def test_arrays_of_a_step_are_checked(make, reason):
    with pytest.raises(ConfigurationError, match=reason):
        make()
