import gzip
import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qhyper.data import images as image_files
from qhyper.data import sets as data
from qhyper.data.sets import DATASETS, Dataset, Samples, availability, load
from qhyper.errors import ConfigurationError, MissingError, StorageError

X = [[0.5, 1.0], [2.0, -3.0], [4.0, 5.0], [6.0, 7.0]]
Y = [0, 1, 0, 1]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise ConnectionError("no network in tests")

    monkeypatch.setattr("pooch.retrieve", refuse)


def counts(samples):
    return np.bincount(samples.y).tolist()


# Samples and data sets


def test_samples_are_copies_that_nobody_can_change():
    x = np.array(X, dtype=np.float32)
    samples = Samples(x, np.array(Y, dtype=np.uint8))
    assert samples.x.dtype == np.float64
    assert samples.y.dtype == np.int64
    x[0, 0] = 9
    assert samples.x[0, 0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        samples.x[0, 0] = 9
    with pytest.raises(ValueError, match="read-only"):
        samples.y[0] = 1


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [0, 1], r"shape \(2,\).*\[row, feature\]"),
        ([[1, 2], [3]], [0, 1], "different lengths in x"),
        ([["a"], ["b"]], [0, 1], "x of type <U1"),
        (X, [Y], r"y of type .* shape \(1, 4\).*\[row\]"),
        (X, [0, 1], "4 rows in x and 2 labels in y"),
        (np.zeros((0, 2)), [], r"shape \(0, 2\).*at least one row"),
        (np.zeros((2, 0)), [0, 1], "at least one row and one feature"),
        ([[1, 2], [3, np.nan]], [0, 1], "feature nan in row 1, column 1"),
        ([[1, 2], [-np.inf, np.nan]], [0, 1], "feature -inf in row 1, column 0"),
        (X, [0, 1, 0.5, 1], "label 0.5 in row 2"),
        (X, [0, 1, 1, -1], "label -1 in row 3"),
        (X, [0, np.nan, 1, 1], "label nan in row 1"),
        (X, [0, 1e300, 1, 1], r"label 1e\+300 in row 1"),
    ],
)
def test_samples_refuse_what_is_not_labelled_rows(x, y, message):
    with pytest.raises(ConfigurationError, match=message):
        Samples(x, y)


def test_a_dataset_counts_features_and_classes():
    dataset = Dataset("mine", Samples(X, [0, 1, 2, 3]), Samples(X, [2, 2, 2, 2]))
    assert dataset.n_features == 2
    assert dataset.n_classes == 4


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (Samples(X, [1] * 4), Samples(X, Y), "'mine'.*only the class 1"),
        (Samples(X, [1, 2, 2, 1]), Samples(X, Y), "'mine'.*labels 1, 2 .*every label from 0 to 2"),
        (Samples(X, Y), Samples(X, [0, 1, 2, 1]), "'mine'.*label 2 .*expected 0 to 1"),
        (Samples(X, Y), Samples([[1.0]], [0]), "'mine'.*2 features .* and 1 in the test"),
    ],
)
def test_a_dataset_refuses_parts_that_do_not_fit(train, test, message):
    with pytest.raises(ConfigurationError, match=message):
        Dataset("mine", train, test)


# Built-in data sets


def test_importing_the_module_loads_neither_scikit_learn_nor_pooch():
    program = (
        "import sys, qhyper.data.sets; print([m for m in ('sklearn', 'pooch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_toy_images_are_those_of_the_thesis():
    toy = load("toy")
    assert (toy.name, toy.n_features, toy.n_classes) == ("toy", 4, 2)
    assert counts(toy.train) == [40_000, 40_000]
    assert counts(toy.test) == [10_000, 10_000]
    for part in (toy.train, toy.test):
        pixels = part.x * 128 + 127.5
        white = np.where(part.y == 0, 1, 2)  # [tl, tr, bl, br]
        assert np.array_equal(np.argmax(pixels, axis=1), white)
        assert np.array_equal((pixels == 255).sum(axis=1), np.ones(len(pixels)))
        others = pixels[pixels != 255]
        assert set(others) == set(range(255))
        assert others.mean() == pytest.approx(127, abs=5 * 73.6 / np.sqrt(others.size))


def test_toy_has_few_rows_that_a_sign_network_tells_apart():
    toy = load("toy").train
    patterns = np.array([[1 if k >> i & 1 else -1 for i in range(4)] for k in range(16)])
    signs = toy.x @ patterns.T >= 0
    assert len(np.unique(np.column_stack([signs, toy.y]), axis=0)) == 113


def test_digits_are_means_of_blocks():
    from sklearn.datasets import load_digits

    source = load_digits()
    expected = []
    for image, label in zip(source.images, source.target, strict=True):
        if label > 1:
            continue
        means = []
        for row in (0, 4):
            for column in (0, 4):
                cells = [image[row + i][column + j] for i in range(4) for j in range(4)]
                means.append((sum(cells) / 16 - 8) / 8)
        expected.append((*means, label))
    digits = load("digits")
    rows = []
    for part in (digits.train, digits.test):
        rows += [(*x, y) for x, y in zip(part.x, part.y, strict=True)]
    assert sorted(rows) == sorted(expected)
    assert counts(digits.train) == [142, 146]  # of 178 and 182
    assert counts(digits.test) == [36, 36]


def test_gaussians_have_the_published_centres_and_covariance():
    gaussians = load("gaussians")
    x, y = gaussians.train.x, gaussians.train.y
    assert (len(x), len(gaussians.test.x), gaussians.n_features) == (10_000, 2_000, 2)
    assert y.mean() == pytest.approx(0.5, abs=0.025)
    centres = np.array([(-1, -2), (-2, 1), (1, 1), (2, -2)])
    nearest = np.argmin(((x[:, None] - centres) ** 2).sum(axis=2), axis=1)
    # A Gaussian of this width leaves its cell with probability below 1e-5 for the nearest pair.
    assert np.mean((nearest == 0) == (y == 0)) > 0.999
    for k in range(4):
        own = x[nearest == k]
        assert len(own) / 10_000 == pytest.approx(1 / 2 if k == 0 else 1 / 6, abs=0.025)
        assert own.mean(axis=0) == pytest.approx(centres[k], abs=0.05)
        assert np.cov(own.T) == pytest.approx(0.1 * np.eye(2), abs=0.02)


@pytest.mark.parametrize("name", ["toy", "digits", "gaussians"])
def test_the_seed_decides(name):
    first, again, other = load(name), load(name, seed=0), load(name, seed=1)
    assert np.array_equal(first.train.x, again.train.x)
    assert np.array_equal(first.test.y, again.test.y)
    assert not np.array_equal(first.train.x, other.train.x)
    assert not first.test.x.flags.writeable


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ConfigurationError, match=f"whole number from 0; got {seed}"):
        load("toy", seed=seed)


@pytest.mark.parametrize("name", ["tyo", "data.txt"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(ConfigurationError, match=rf"Unknown data set '{name}'.*PATH\.csv.*toy"):
        load(name)


def test_a_built_in_data_set_takes_no_test_file():
    with pytest.raises(ConfigurationError, match="'toy', which has test rows of its own"):
        load("toy", test="test.csv")


# MNIST


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
    found = data._resized(images, size)
    if 28 % size == 0:  # centres on pixels or half-way between two: no rounding
        assert np.array_equal(found, expected.numpy()[:, 0])
    assert found == pytest.approx(expected.numpy()[:, 0], rel=1e-12)


@pytest.fixture
def places(monkeypatch, tmp_path):
    """The folders QHYPER_DATA and cache, and the published checksums, for made-up MNIST files."""
    rng = np.random.default_rng(0)
    contents = {}
    for prefix, labels in (("train", [5, 0, 1, 1, 9]), ("t10k", [1, 2, 0])):
        images = rng.integers(0, 256, size=(len(labels), 28, 28), dtype=np.uint8)
        images[labels.index(1), 6:8, 20:22] = [[250, 252], [253, 253]]
        head = struct.pack(">IIII", 2051, len(labels), 28, 28)
        contents[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(head + images.tobytes())
        head = struct.pack(">II", 2049, len(labels))
        contents[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(head + bytes(labels))
    sums = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    source = image_files._SOURCES["mnist"]
    assert set(sums) == set(source.sha256)
    monkeypatch.setitem(image_files._SOURCES, "mnist", source._replace(sha256=sums))
    named, cache = tmp_path / "named", tmp_path / "cache"
    named.mkdir()
    monkeypatch.setenv("QHYPER_DATA", str(named))
    monkeypatch.setattr("pooch.os_cache", lambda project: cache)

    def fill(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            (folder / file).write_bytes(content)

    return named, cache, fill


@pytest.mark.parametrize("where", ["named", "named/mnist", "cache/mnist"])
def test_mnist_files_are_found_in_each_place(where, places, tmp_path):
    _, _, fill = places
    fill(tmp_path / where)
    dataset = load("mnist")
    assert dataset.train.y.tolist() == [0, 1, 1]
    assert dataset.test.y.tolist() == [1, 0]
    assert dataset.train.x[1, 1] == (252 - 127.5) / 128  # top right
    assert availability()["mnist"] == f"found at {tmp_path / where}"


def test_mnist_of_other_digits_and_sizes(places):
    named, _, fill = places
    fill(named)
    two = data.mnist(digits=(1, 0), size=4, pixels="unit")
    assert two.name == "mnist 10 at 4x4"
    assert two.n_features == 16
    assert two.train.y.tolist() == [1, 0, 0]  # of the digits 0, 1, 1
    assert two.test.y.tolist() == [0, 1]
    grey = image_files.load_images("mnist")[0].pixels.reshape(-1, 28, 28)
    pixels = [3, 10, 17, 24]
    assert np.array_equal(two.train.x, grey[1:4][:, pixels][:, :, pixels].reshape(3, 16) / 255)
    whole = data.mnist(digits=[0, 1], size=28)
    assert np.array_equal(whole.train.x, (grey[1:4].reshape(3, 784) - 127.5) / 128)
    default, named_set = data.mnist(), load("mnist")
    assert np.array_equal(default.train.x, named_set.train.x)
    assert np.array_equal(default.test.y, named_set.test.y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"digits": (3,)}, r"Got digits=\(3,\); expected two or more different ones from 0 to 9"),
        ({"digits": (3, 3)}, "two or more different ones"),
        ({"digits": (3, 10)}, "two or more different ones"),
        ({"digits": "01"}, "two or more different ones"),
        ({"digits": 5}, "Got digits=5; expected two or more"),
        ({"digits": (1.5, 0)}, "two or more different ones"),
        ({"size": True}, "Got size=True"),
        ({"size": 0}, "Got size=0; expected 1 to 28 pixels"),
        ({"size": 29}, "Got size=29"),
        ({"size": 2.0}, "Got size=2.0"),
        ({"pixels": "sined"}, "Unknown form of the pixels 'sined'. Did you mean 'signed'"),
    ],
)
def test_mnist_that_there_is_not_is_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        data.mnist(**arguments)


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
    expected = image_files._SOURCES["mnist"].sha256[file.name]
    with pytest.raises(StorageError, match=f"{file} .*got SHA-256 {got}, expected {expected}"):
        load("mnist")
    assert file.read_bytes() == b"other"
    assert availability()["mnist"].startswith(f"cannot be used: {file}")


def test_without_file_and_network_the_message_says_what_to_put_where(places):
    _, cache, _ = places
    sha256 = image_files._SOURCES["mnist"].sha256["train-images-idx3-ubyte.gz"]
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
        for file, sha256 in image_files._SOURCES["mnist"].sha256.items()
    )
    assert availability()["mnist"] == f"found at {cache / 'mnist'}"


def test_a_qhyper_data_that_is_no_folder_is_reported(places, monkeypatch):
    monkeypatch.setenv("QHYPER_DATA", "no-such-folder")
    with pytest.raises(MissingError, match="QHYPER_DATA names no-such-folder, which is not"):
        load("mnist")
    assert "not a folder" in availability()["mnist"]


def test_availability_names_every_data_set():
    assert tuple(availability()) == DATASETS
    assert availability()["toy"] == "generated"


# A user's own files


def test_npz_with_test_rows(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x=X, y=Y, x_test=X[:1], y_test=Y[:1])
    mine = load(path)
    assert mine.name == str(path)
    assert mine.train.x.tolist() == X
    assert mine.train.y.tolist() == Y
    assert mine.test.x.tolist() == X[:1]


def test_a_file_without_test_rows_is_split_by_class(tmp_path):
    path = tmp_path / "mine.npz"
    x = np.arange(60.0)[:, None]
    y = np.array([0, 2, 1] + 47 * [0] + 10 * [2])
    y[3] = 1
    np.savez(path, x=x, y=y)
    mine = load(str(path))
    assert counts(mine.test) == [9, 1, 2]  # of 47, 2 and 11
    assert counts(mine.train) == [38, 1, 9]
    assert sorted([*mine.train.x[:, 0], *mine.test.x[:, 0]]) == list(range(60))
    for part in (mine.train, mine.test):
        assert np.array_equal(y[part.x[:, 0].astype(int)], part.y)
    assert np.array_equal(load(path).test.x, mine.test.x)
    assert not np.array_equal(load(path, seed=1).test.x, mine.test.x)


@pytest.mark.parametrize("header", ["", "a,b,label\n", "\ufeffa,b,label\r\n", "\n"])
def test_csv_with_and_without_a_header(header, tmp_path):
    train, test = tmp_path / "train.CSV", tmp_path / "test.csv"
    text = f"{header}0.5,1,0\n\n2,-3e0, 1\n4,5,0\n"
    train.write_text(text, encoding="utf-8", newline="")
    test.write_text('"6",7,1\n')
    mine = load(train, test=test)
    assert mine.train.x.tolist() == X[:3]
    assert mine.train.y.tolist() == Y[:3]
    assert mine.test.x.tolist() == X[3:]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Got no rows"),
        ("a,b\n", "Got no rows"),
        ("a,b\n1,0\n2,?\n", r"'\?' in line 3, column 2"),
        ("1,b,0\n1,2,1\n", "'b' in line 1, column 2"),
        ("1,0\n,1\n", "'' in line 2, column 1"),
        ("1,0\nnan,1\n", "'nan' in line 2, column 1"),
        ("1;0\n2;1\n", "'2;1' in line 2.*commas"),
        ("1,2,0\n1,0\n", r"2 column\(s\) in line 2, expected 3"),
        ("1\n0\n", r"1 column\(s\) in line 1, expected at least 2"),
        ("1,0.5\n2,1\n", "label 0.5 in row 0"),
        ("1,0\n2,-1\n", "label -1 in row 1"),
        ("1,1\n2,1\n", "only the class 1"),
        ("1,0\n2,1\n3,1\n", "single row of class 0"),
    ],
)
def test_csv_errors_name_the_file_and_the_place(text, message, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"bad.csv.*{message}"):
        load(path)


def test_a_csv_that_is_not_text_is_reported(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match=r"bad\.csv as CSV in UTF-8"):
        load(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X, "y": Y}, "'X'.*Did you mean 'x'"),
        ({"x": X, "y": Y, "x-test": X}, "'x-test'.*Did you mean 'x_test'"),
        ({"x": X}, "no array 'y' beside x"),
        ({"x": X, "y": Y, "y_test": Y}, "no array 'x_test' beside x, y, y_test"),
        ({}, "no array 'x' beside nothing"),
        ({"x": np.zeros((0, 2)), "y": []}, r"shape \(0, 2\)"),
        ({"x": X, "y": Y, "x_test": [[1.0]], "y_test": [0]}, "2 features .* and 1 in the test"),
        ({"x": X, "y": Y, "x_test": X, "y_test": [0, 1, 2, 3]}, "label 3 in the test rows"),
    ],
)
def test_npz_errors_name_the_file_and_the_array(arrays, message, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConfigurationError, match=f"bad.npz.*{message}"):
        load(path)


def test_an_npz_with_python_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=np.array([{}, []], dtype=object), y=[0, 1])
    with pytest.raises(StorageError, match=r"bad.npz.*allow_pickle=False"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_an_npz_that_is_no_archive_is_reported(content, tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"bad.npz is not an .npz archive"):
        load(path)


def test_a_damaged_npz_is_reported(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(-3.0).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"Cannot read .*bad.npz.*CRC"):
        load(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(MissingError, match=r"no file .*nowhere\.csv"):
        load(tmp_path / "nowhere.csv")
    path = tmp_path / "mine.npz"
    np.savez(path, x=X, y=Y)
    with pytest.raises(MissingError, match=r"no file .*nowhere\.csv"):
        load(path, test="nowhere.csv")


def test_a_test_file_that_does_not_fit_is_refused(tmp_path):
    train, both = tmp_path / "train.npz", tmp_path / "both.npz"
    np.savez(train, x=X, y=Y)
    np.savez(both, x=X, y=Y, x_test=X, y_test=Y)
    with pytest.raises(ConfigurationError, match=r"both\.npz holds x_test and y_test, and there"):
        load(both, test=train)
    with pytest.raises(ConfigurationError, match=r"both\.npz holds x_test and y_test, and there"):
        load(train, test=both)
    with pytest.raises(ConfigurationError, match=r"test file test\.txt, expected"):
        load(train, test="test.txt")
    wide = tmp_path / "wide.csv"
    wide.write_text("1,2,3,0\n")
    with pytest.raises(ConfigurationError, match=r"2 features .* and 3 in the test rows"):
        load(train, test=wide)
