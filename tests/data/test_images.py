import hashlib
from pathlib import Path

import numpy as np
import pytest

from qhyper.data import idx_files
from qhyper.data.images import Images, images_availability, load_images
from qhyper.data.sets import availability, load
from qhyper.errors import ConfigurationError, MissingError, StorageError


def some(n=6):
    rng = np.random.default_rng(0)
    return Images(rng.integers(0, 256, (n, 784), dtype=np.uint8), np.arange(n))


def test_bits_are_the_signs_of_the_centred_pixels():
    pixels = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    assert Images(pixels, np.zeros(1, np.int64)).bits.tolist() == [[0, 0, 1, 1]]
    assert np.array_equal(some().bits, some().pixels.astype(float) - 127.5 >= 0)


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 1], r"pixels of float64 and shape \(2, 3\); expected uint8"),
        (np.zeros((2, 3, 3), np.uint8), [0, 1], r"shape \(2, 3, 3\); expected uint8"),
        (np.zeros((2, 3), np.uint8), [0], r"shape \(1,\); expected whole numbers, one .* 2 images"),
        (np.zeros((2, 3), np.uint8), [0.0, 1], "labels of float64"),
    ],
)
def test_other_images_are_refused(pixels, labels, message):
    with pytest.raises(ConfigurationError, match=message):
        Images(pixels, labels)


def test_an_unknown_set_of_images_is_refused():
    with pytest.raises(ConfigurationError, match=r"images .fashion.\. Did you mean"):
        load_images("fashion")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_sets_are_whole(name):
    if not images_availability(name).startswith("found"):
        pytest.skip(f"{name} is not on this machine: set QHYPER_DATA to the folder that holds it")
    train, test = load_images(name)
    assert train.pixels.shape == (60_000, 784)
    assert test.pixels.shape == (10_000, 784)
    assert train.pixels.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert set(train.labels) == set(test.labels) == set(range(10))
    if name == "fashion-mnist":  # balanced (Xiao et al. 2017)
        assert np.bincount(train.labels).tolist() == [6000] * 10


def test_files_of_the_other_set_are_not_mistaken(monkeypatch, tmp_path):
    """Both sets' files bear the same names: those without a folder of their own are MNIST's."""
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"digits")
    monkeypatch.setenv("QHYPER_DATA", str(tmp_path))
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache")

    def refuse(*_args, **_kwargs):
        raise ConnectionError("no network in tests")

    monkeypatch.setattr("pooch.retrieve", refuse)
    with pytest.raises(MissingError, match=r"of Fashion-MNIST is not on this machine.*the folder"):
        load_images("fashion-mnist")
    with pytest.raises(StorageError, match="is damaged or another file"):
        load_images("mnist")
    assert images_availability("fashion-mnist").startswith("would be downloaded")


@pytest.mark.parametrize("where", ["named", "named/mnist", "cache/mnist"])
def test_mnist_files_are_found_in_each_place(where, places, tmp_path):
    _, _, fill = places
    fill(tmp_path / where)
    dataset = load("mnist")
    assert dataset.train.y.tolist() == [0, 1, 1]
    assert dataset.test.y.tolist() == [1, 0]
    assert dataset.train.x[1, 1] == (252 - 127.5) / 128  # top right
    assert availability()["mnist"] == f"found at {tmp_path / where}"


def test_the_named_folder_comes_before_the_cache(places):
    named, cache, fill = places
    fill(named)
    fill(cache / "mnist")
    (cache / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"other")
    assert len(load("mnist").train.y) == 3


@pytest.mark.parametrize("where", ["named", "cache/mnist"])
def test_a_damaged_mnist_file_is_reported_and_left_alone(where, places, tmp_path):
    _, _, fill = places
    fill(tmp_path / where)
    file = tmp_path / where / "train-labels-idx1-ubyte.gz"
    file.write_bytes(b"other")
    got = hashlib.sha256(b"other").hexdigest()
    expected = idx_files.SOURCES["mnist"].sha256[file.name]
    with pytest.raises(StorageError, match=f"{file} .*got SHA-256 {got}, expected {expected}"):
        load("mnist")
    assert file.read_bytes() == b"other"
    assert availability()["mnist"].startswith(f"cannot be used: {file}")


def test_without_file_and_network_the_message_says_what_to_put_where(places):
    _, cache, _ = places
    sha256 = idx_files.SOURCES["mnist"].sha256["train-images-idx3-ubyte.gz"]
    message = (
        f"train-images-idx3-ubyte.gz.*ConnectionError.*{sha256}.*{cache / 'mnist'}.*QHYPER_DATA"
    )
    with pytest.raises(MissingError, match=message) as caught:
        load("mnist")
    assert caught.value.exit_code == 3
    assert "would be downloaded" in availability()["mnist"]


def test_mnist_is_downloaded_with_checksums_to_the_cache(places, monkeypatch, tmp_path):
    _, cache, fill = places
    fill(tmp_path / "server")
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / fname).write_bytes((tmp_path / "server" / fname).read_bytes())
        return str(Path(path) / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    load("mnist")
    load("mnist")  # from the cache
    assert sorted(asked) == sorted(
        (f"https://ossci-datasets.s3.amazonaws.com/mnist/{file}", f"sha256:{sha256}")
        for file, sha256 in idx_files.SOURCES["mnist"].sha256.items()
    )
    assert availability()["mnist"] == f"found at {cache / 'mnist'}"


def test_a_qhyper_data_that_is_no_folder_is_reported(places, monkeypatch):
    monkeypatch.setenv("QHYPER_DATA", "no-such-folder")
    with pytest.raises(MissingError, match="QHYPER_DATA names no-such-folder, which is not"):
        load("mnist")
    assert "not a folder" in availability()["mnist"]


def test_planes_are_the_pixels_channel_by_channel():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 12)
    images = Images(pixels, np.zeros(2, np.int64), (3, 2, 2))
    assert images.planes[1, 2, 1].tolist() == [22, 23]
    assert images.take(slice(1)).shape == (3, 2, 2)
    assert some().shape == (1, 28, 28)
    assert some().planes.shape == (6, 1, 28, 28)


@pytest.mark.parametrize("shape", [(3, 2, 3), (12,), (3, 4, 1.0), "grey"])
def test_another_shape_is_refused(shape):
    with pytest.raises(ConfigurationError, match=r"for images of 12 pixels; expected \(channels"):
        Images(np.zeros((2, 12), np.uint8), np.zeros(2, np.int64), shape)


def test_without_a_shape_there_are_no_planes():
    images = Images(np.zeros((2, 12), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(ConfigurationError, match=r"no square.*Pass shape=\(channels"):
        _ = images.planes
