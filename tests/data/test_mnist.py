import tracemalloc

import numpy as np
import pytest

from qhyper.data import features
from qhyper.data.images import Images, load_images
from qhyper.data.mnist import mnist as builtin
from qhyper.data.sets import availability, load
from qhyper.errors import ConfigurationError


def counts(samples):
    return np.bincount(samples.y).tolist()


@pytest.fixture(scope="module")
def mnist():
    where = availability()["mnist"]
    if where.startswith("would be downloaded"):
        pytest.skip(f"needs MNIST, which {where}; name its folder in QHYPER_DATA")
    return load("mnist")


def test_mnist_has_the_published_label_counts(mnist):
    assert counts(mnist.train) == [5923, 6742]
    assert counts(mnist.test) == [980, 1135]
    assert (mnist.n_features, mnist.n_classes) == (4, 2)
    quarters = (mnist.train.x * 128 + 127.5) * 4  # sums of four pixels: exact
    assert np.array_equal(quarters, np.round(quarters))


def test_mnist_ties_are_as_frequent_as_known(mnist):
    patterns = np.array([[1 if k >> i & 1 else -1 for i in range(4)] for k in range(16)])
    ties = (mnist.train.x @ patterns.T == 0).any(axis=1)
    assert ties.mean() == pytest.approx(0.46, abs=0.005)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 14, 28])
def test_the_resize_is_the_bilinear_one_of_torch(size):
    import torch

    images = np.random.default_rng(0).integers(0, 256, size=(50, 28, 28), dtype=np.uint8)
    expected = torch.nn.functional.interpolate(
        torch.tensor(images[:, None], dtype=torch.float64),
        size=(size, size),
        mode="bilinear",
        align_corners=False,
        antialias=False,
    )
    found = features.resized(images, size)
    if 28 % size == 0:  # centres on pixels or half-way between two: no rounding
        assert np.array_equal(found, expected.numpy()[:, 0])
    assert found == pytest.approx(expected.numpy()[:, 0], rel=1e-12)


def test_mnist_of_other_digits_and_sizes(places):
    named, _, fill = places
    fill(named)
    two = load("mnist", options={"digits": (1, 0), "size": 4, "pixels": "unit"})
    assert two.name == "mnist 10 at 4x4"
    assert two.n_features == 16
    assert two.train.y.tolist() == [1, 0, 0]  # of the digits 0, 1, 1
    assert two.test.y.tolist() == [0, 1]
    grey = load_images("mnist")[0].pixels.reshape(-1, 28, 28)
    pixels = [3, 10, 17, 24]
    assert np.array_equal(two.train.x, grey[1:4][:, pixels][:, :, pixels].reshape(3, 16) / 255)
    whole = load("mnist", options={"digits": [0, 1], "size": 28})
    assert np.array_equal(whole.train.x, (grey[1:4].reshape(3, 784) - 127.5) / 128)
    default, named_set = builtin(), load("mnist")
    assert np.array_equal(default.train.x, named_set.train.x)
    assert np.array_equal(default.test.y, named_set.test.y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"digits": (3,)}, r"Got digits=\(3,\); expected two or more different ones from 0 to 9"),
        ({"digits": (3, 3)}, "two or more different ones"),
        ({"digits": (3, 10)}, "two or more different ones"),
        ({"digits": "01"}, "two or more different ones"),
        ({"digits": "3,7"}, r"Got digits='3,7'; expected .* as a list, such as \[3, 7\], or 'all'"),
        ({"digits": [[3], [7]]}, "two or more different ones"),
        ({"digits": [True, False]}, "two or more different ones"),
        ({"digits": [3, -1]}, "two or more different ones"),
        ({"digits": 5}, "Got digits=5; expected two or more"),
        ({"digits": (1.5, 0)}, "two or more different ones"),
        ({"size": True}, "Got size=True"),
        ({"size": 0}, "Got size=0; expected 1 to 28 pixels"),
        ({"size": 29}, "Got size=29; expected 1 to 28 pixels in each direction"),
        ({"size": 2.0}, "Got size=2.0"),
        ({"pixels": "sined"}, "Unknown form of the pixels 'sined'. Did you mean 'signed'"),
        ({"digit": [3, 7]}, "Unknown option of the data set mnist: 'digit'. Did you mean 'digits'"),
        ({"seed": 1}, "Unknown option of the data set mnist: 'seed'"),
    ],
)
def test_mnist_that_there_is_not_is_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        load("mnist", options=arguments)


@pytest.mark.parametrize(
    ("name", "options", "title"),
    [
        ("mnist", {}, "mnist"),
        ("mnist", {"digits": [0, 1], "size": 2, "pixels": "signed"}, "mnist"),
        ("mnist", {"pixels": "unit"}, "mnist 01 at 2x2"),
        ("mnist", {"size": 3}, "mnist 01 at 3x3"),
        ("fashion-mnist", {"classes": [9, 5], "size": 7}, "fashion-mnist 95 at 7x7"),
    ],
)
def test_a_set_is_named_for_what_was_chosen(name, options, title, places, monkeypatch):
    named, _, fill = places
    fill(named)
    if name == "fashion-mnist":
        whole = Images(np.zeros((10, 784), np.uint8), np.arange(10))
        monkeypatch.setattr(features, "load_images", lambda name: (whole, whole))
    assert load(name, options=options).name == title


@pytest.fixture
def ten(monkeypatch):
    """Made-up images of ten classes, in the place of both sets."""
    rng = np.random.default_rng(0)

    def some(n):
        return Images(rng.integers(0, 256, (n, 784), dtype=np.uint8), np.arange(n) % 10)

    parts = some(5000), some(30)  # more than are resized at a time
    monkeypatch.setattr(features, "load_images", lambda name: parts)
    return parts


@pytest.mark.parametrize(
    ("name", "options", "title"),
    [
        ("mnist", {"digits": "all", "size": 28}, "mnist at 28x28"),
        ("mnist", {"digits": list(range(10)), "size": 28}, "mnist at 28x28"),
        ("fashion-mnist", {}, "fashion-mnist"),
        ("fashion-mnist", {"classes": "all", "size": 28, "pixels": "signed"}, "fashion-mnist"),
    ],
)
def test_all_classes_at_full_size_are_the_pixels_as_they_are(name, options, title, ten):
    whole = load(name, options=options)
    assert whole.name == title
    assert (whole.n_features, whole.n_classes) == (784, 10)
    for part, images in zip((whole.train, whole.test), ten, strict=True):
        assert np.array_equal(part.x, (images.pixels - 127.5) / 128)
        assert np.array_equal(part.y, images.labels)
    unit = load(name, options={**options, "pixels": "unit"}).test
    assert np.array_equal(unit.x, ten[1].pixels / 255)


def test_chosen_classes_have_labels_in_their_order(ten):
    three = load("fashion-mnist", options={"classes": [7, 0, 2], "size": 14})
    label_of = {7: 0, 0: 1, 2: 2}
    expected = [label_of[label] for label in ten[0].labels if label in label_of]
    assert three.train.y.tolist() == expected
    rows = np.isin(ten[0].labels, [7, 0, 2])
    v = features.resized(ten[0].pixels[rows].reshape(-1, 28, 28), 14).reshape(-1, 196)
    assert np.array_equal(three.train.x, (v - 127.5) / 128)


def test_fashion_mnist_that_there_is_not_is_refused():
    with pytest.raises(ConfigurationError, match=r"Got classes=\[1, 10\]; expected two or more"):
        load("fashion-mnist", options={"classes": [1, 10]})
    with pytest.raises(ConfigurationError, match=r"'digits'\. Known: classes, pixels, size"):
        load("fashion-mnist", options={"digits": [1, 2]})


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_whole_set_is_there_once(name):
    """60,000 x 784 features are 376 MB; what NumPy allocates for both parts stays under twice."""
    if not availability()[name].startswith("found"):
        pytest.skip(f"needs {name}; name its folder in QHYPER_DATA")
    tracemalloc.start()
    try:
        whole = load(name, options={"size": 28, **({"digits": "all"} if name == "mnist" else {})})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert whole.train.x.shape == (60_000, 784)
    assert peak < 700e6, f"{peak / 1e6:.0f} MB"
