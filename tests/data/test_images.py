import numpy as np
import pytest

from qhyper.data import images
from qhyper.data.images import Images, hold_out, images_availability, load_images
from qhyper.errors import ConfigurationError, MissingError, StorageError


def some(n=6):
    rng = np.random.default_rng(0)
    return Images(rng.integers(0, 256, (n, 784), dtype=np.uint8), np.arange(n))


def test_bits_are_the_signs_of_the_centred_pixels():
    pixels = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    assert Images(pixels, np.zeros(1, np.int64)).bits.tolist() == [[0, 0, 1, 1]]
    assert np.array_equal(some().bits, some().pixels.astype(float) - 127.5 >= 0)


def test_held_out_images_are_the_others():
    whole = some()
    train, held_out = hold_out(whole, 2, np.random.default_rng(1))
    assert (len(train), len(held_out)) == (4, 2)
    assert sorted([*train.labels, *held_out.labels]) == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(train.pixels, whole.pixels[train.labels])
    again = hold_out(whole, 2, np.random.default_rng(1))[1]
    assert np.array_equal(held_out.labels, again.labels)


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


@pytest.mark.parametrize("n_images", [0, 6, -1])
def test_holding_out_none_or_all_is_refused(n_images):
    with pytest.raises(ConfigurationError, match=f"n_images={n_images} to hold out of 6; expected"):
        hold_out(some(), n_images, np.random.default_rng(0))


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
    assert images._find("fashion-mnist", "train-images-idx3-ubyte.gz") is None
