"""The file of a packed network, against damage."""

import json
import zipfile

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.targets import archive as files
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape


def random_words(rng, layers):
    """A shape, and the words of one network of it with random weights."""
    shape = PackedShape(layers)
    matrices = [rng.integers(0, 2, m, dtype=np.uint8) for m in shape.matrices]
    return shape, shape.pack(matrices)


def some_network(**parts):
    rng = np.random.default_rng(1)
    shape, words = random_words(rng, (70, 9, 4))
    return PackedNetwork(shape, words, rng.integers(20, 50, 9), **parts)


@pytest.fixture(params=["sums", "votes", "scaled pixels"])
def network(request):
    rng = np.random.default_rng(2)
    if request.param == "sums":
        return some_network()
    shape, words = random_words(rng, (70, 9, 4))
    if request.param == "votes":
        return PackedNetwork(shape, words, shape.limits(of_last=True), label_bits=2)
    limits = rng.integers(0, 70 * 255, 9)
    return PackedNetwork(
        shape, words, limits, planes=8, scale=rng.normal(size=4), shift=rng.normal(size=4)
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
    about["sha256"] = files._digest(files.PACKED, about, arrays)
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


@pytest.mark.parametrize("name", ["weights", "limits"])
def test_numbers_that_are_not_those_of_the_checksum_are_refused(name, tmp_path):
    """An archive that is sound in itself, with one number changed."""
    path = tmp_path / "net.npz"
    some_network().save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays[name][0] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(StorageError, match="no packed network: its checksum is another"):
        PackedNetwork.load(path)


def test_a_pickle_in_the_archive_is_never_run(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, about=np.array([{"format": files.PACKED.format}], dtype=object))
    with pytest.raises(StorageError, match="no packed network"):
        PackedNetwork.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.npy", b"\x80\x04N.")
    with pytest.raises(StorageError, match="no packed network"):
        PackedNetwork.load(path)
