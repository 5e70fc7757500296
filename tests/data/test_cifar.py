import hashlib
import io
import os
import pickle
import re
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from qhyper.data import cifar_files, features
from qhyper.data.images import Images, images_availability, load_images
from qhyper.data.sets import availability, load
from qhyper.errors import ConfigurationError, MissingError, StorageError

FOLDER = {"cifar-10": "cifar-10-batches-py", "cifar-100": "cifar-100-python"}


def pickled(batch):
    """As the published ones are: texts as bytes, arrays as those of NumPy 1."""
    return pickle.dumps(batch, protocol=3).replace(b"numpy._core.", b"numpy.core.")


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Made:
    """Made-up archives in the place of the published ones: two folders, and what is in them."""

    def __init__(self, monkeypatch, tmp_path):
        rng = np.random.default_rng(0)
        self.monkeypatch = monkeypatch
        self.named, self.cache = tmp_path / "named", tmp_path / "cache"
        self.named.mkdir()
        monkeypatch.setenv("QHYPER_DATA", str(self.named))
        monkeypatch.setattr("pooch.os_cache", lambda project: self.cache)
        self.batches, self.contents = {}, {}
        for name, archive in tuple(cifar_files.ARCHIVES.items()):
            self.batches[name] = {}
            self.contents[name] = {}
            for member in archive.sums:
                pixels = rng.integers(0, 256, (4, 3072), dtype=np.uint8)
                labels = rng.integers(0, archive.n_classes, 4).tolist()
                batch = {b"data": pixels, archive.labels: labels, b"coarse_labels": [0] * 4}
                self.batches[name][member] = batch
                self.publish(name, member, pickled(batch))

    def publish(self, name, member, content):
        """Make a content the published one of a batch."""
        self.contents[name][member] = content
        archive = cifar_files.ARCHIVES[name]
        sums = {**archive.sums, member: digest(content)}
        self.monkeypatch.setitem(cifar_files.ARCHIVES, name, archive._replace(sums=sums))

    def unpack(self, folder, name="cifar-10"):
        """Write the batches into a folder of theirs."""
        unpacked = folder / FOLDER[name]
        unpacked.mkdir(parents=True)
        for member, content in self.contents[name].items():
            (unpacked / member).write_bytes(content)
        return unpacked

    def pack(self, folder, packing, name="cifar-10"):
        """Write the archive, with more in it than is read, in an order that is not ours."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-python.tar.{packing}"
        contents = {**self.contents[name], "readme.html": b"<p>", "../test_batch": b"other"}
        before = "./" if packing == "xz" else ""  # as `tar -cJf ... ./FOLDER` has it
        with tarfile.open(path, f"w:{packing}") as archive:
            for member in sorted(contents, reverse=True):
                info = tarfile.TarInfo(f"{before}{FOLDER[name]}/{member}")
                info.size = len(contents[member])
                archive.addfile(info, io.BytesIO(contents[member]))
        return path

    def check(self, name="cifar-10"):
        """What is loaded is what was made, in its order."""
        archive = cifar_files.ARCHIVES[name]
        for images, members in zip(load_images(name), (archive.train, archive.test), strict=True):
            batches = [self.batches[name][member] for member in members]
            assert np.array_equal(images.pixels, np.concatenate([b[b"data"] for b in batches]))
            assert images.labels.tolist() == [k for b in batches for k in b[archive.labels]]
            assert images.shape == (3, 32, 32)


@pytest.fixture
def made(monkeypatch, tmp_path):
    return Made(monkeypatch, tmp_path)


# Where they are found


@pytest.mark.parametrize("name", ["cifar-10", "cifar-100"])
@pytest.mark.parametrize("where", ["named", "named/{}", "cache/{}"])
@pytest.mark.parametrize("packing", ["", "gz", "xz"])
def test_images_are_found_in_each_place_and_packing(name, where, packing, made, tmp_path):
    place = tmp_path / where.format(name)
    found = made.pack(place, packing, name) if packing else made.unpack(place, name)
    assert availability()[name] == f"found at {found}"
    made.check(name)


def test_what_was_unpacked_is_kept(made):
    made.pack(made.named, "xz").stat()
    made.check()
    kept = made.cache / "cifar-10" / FOLDER["cifar-10"]
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == made.contents["cifar-10"]
    (made.named / "cifar-10-python.tar.xz").unlink()
    made.check()


def test_what_lacks_in_a_kept_folder_is_unpacked_again(made):
    kept = made.unpack(made.cache / "cifar-10")
    (kept / "data_batch_3").unlink()
    made.pack(made.named, "gz")
    made.check()
    assert (kept / "data_batch_3").read_bytes() == made.contents["cifar-10"]["data_batch_3"]


def test_a_folder_that_lacks_batches_is_named_where_there_is_nothing_else(made):
    folder = made.unpack(made.named / "cifar-100", "cifar-100")
    (folder / "test").unlink()
    message = rf"{re.escape(str(folder))} lacks test\. Put what .*cifar-100-python.tar.gz \(MD5 eb"
    with pytest.raises(MissingError, match=message):
        load_images("cifar-100")


def test_a_cache_that_cannot_be_written_is_no_error(made):
    made.cache.write_text("a file")
    made.pack(made.named / "cifar-10", "gz")
    made.check()
    assert made.cache.read_text() == "a file"


def test_cifar_10_is_downloaded_with_its_checksum(made, monkeypatch, tmp_path):
    packed, asked = made.pack(tmp_path / "server", "gz"), []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        Path(path).mkdir(parents=True, exist_ok=True)
        return str(packed.rename(Path(path) / fname))

    assert availability()["cifar-10"] == (
        f"would be downloaded from https://www.cs.toronto.edu/~kriz/ to {made.cache / 'cifar-10'}"
    )
    monkeypatch.setattr("pooch.retrieve", retrieve)
    made.check()
    made.check()  # from the cache
    sha256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert asked == [(url, f"sha256:{sha256}")]


def test_without_archive_and_network_the_message_says_what_to_put_where(made):
    message = (
        "cifar-10-python.tar.gz of CIFAR-10 .*ConnectionError.*6d958be07.*"
        f"put it in {made.cache / 'cifar-10'}.*QHYPER_DATA"
    )
    with pytest.raises(MissingError, match=message):
        load("cifar-10")


def test_cifar_100_is_not_downloaded_and_the_message_says_what_to_put_where(made, monkeypatch):
    monkeypatch.setattr("pooch.retrieve", None)
    message = (
        r"CIFAR-100 is not on this machine.*Get https://www.cs.toronto.edu/~kriz/cifar-100-python"
        rf"\.tar\.gz \(MD5 eb9058c3a382ffc7106e4002c42a8d85\).* in {made.cache / 'cifar-100'}, or "
        "in the folder cifar-100 of a folder that QHYPER_DATA names"
    )
    with pytest.raises(MissingError, match=message):
        load("cifar-100")
    assert availability()["cifar-100"].startswith("not here: CIFAR-100 is not on this machine")


# What is damaged


def test_a_damaged_batch_is_reported_and_left_alone(made):
    file = made.unpack(made.named) / "test_batch"
    file.write_bytes(b"other")
    got, expected = digest(b"other"), digest(made.contents["cifar-10"]["test_batch"])
    message = f"{file} is damaged .*got SHA-256 {got[7:]}, expected {expected[7:]}. Put what https"
    with pytest.raises(StorageError, match=message):
        load_images("cifar-10")
    assert file.read_bytes() == b"other"
    assert availability()["cifar-10"].startswith(f"cannot be used: {file} is damaged")


def test_a_checksum_can_be_an_md5(made, monkeypatch):
    train = made.contents["cifar-100"]["train"]
    archive = cifar_files.ARCHIVES["cifar-100"]
    sums = {**archive.sums, "train": f"md5:{hashlib.md5(train).hexdigest()}"}
    monkeypatch.setitem(cifar_files.ARCHIVES, "cifar-100", archive._replace(sums=sums))
    folder = made.unpack(made.named, "cifar-100")
    made.check("cifar-100")
    (folder / "train").write_bytes(train + b".")
    with pytest.raises(StorageError, match=rf"got MD5 .*MD5 {archive.md5}\) has in its place"):
        load_images("cifar-100")


@pytest.mark.parametrize("packing", ["gz", "xz"])
def test_another_batch_in_an_archive_is_refused(packing, made):
    made.contents["cifar-10"]["data_batch_2"] = b"other"
    path = made.pack(made.named, packing)
    with pytest.raises(StorageError, match=f"py/data_batch_2 in {path} is damaged or another"):
        load_images("cifar-10")
    assert not made.cache.exists()


@pytest.mark.parametrize("packing", ["gz", "xz"])
def test_an_archive_without_a_batch_is_refused(packing, made):
    del made.contents["cifar-10"]["data_batch_2"], made.contents["cifar-10"]["test_batch"]
    path = made.pack(made.named, packing)
    message = f"{path} lacks cifar-10-batches-py/data_batch_2, cifar-10-batches-py/test_batch. Put"
    with pytest.raises(StorageError, match=message):
        load_images("cifar-10")


@pytest.mark.parametrize("packing", ["gz", "xz"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_an_archive_that_was_cut_off_is_refused(packing, keep, made):
    path = made.pack(made.named, packing)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(StorageError, match=rf"Cannot read {path} \(\w+: .*\. Put what https"):
        load_images("cifar-10")


@pytest.mark.parametrize("packing", ["gz", "xz"])
def test_an_archive_with_other_bytes_in_it_is_refused(packing, made):
    path = made.pack(made.named, packing)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"(Cannot read|is damaged|lacks).*Put what https"):
        load_images("cifar-10")


def test_a_pickle_with_another_checksum_is_not_opened(made, monkeypatch):
    def refuse(*_):
        raise AssertionError("unpickled")

    monkeypatch.setattr(cifar_files, "_Batch", refuse)
    (made.unpack(made.named) / "data_batch_1").write_bytes(pickled({}))
    with pytest.raises(StorageError, match="data_batch_1 is damaged or another file"):
        load_images("cifar-10")


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_that_asks_for_more_than_arrays_is_refused(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made.publish("cifar-10", "data_batch_1", pickled({b"data": Harmful(), b"labels": [0]}))
    made.unpack(made.named)
    with pytest.raises(StorageError, match=r"UnpicklingError: it asks for (posix|nt)\.mkdir"):
        load_images("cifar-10")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {b"data": np.zeros((4, 3071), np.uint8)},
            r"\(4, 3071\) and labels of shape \(4,\) in",
        ),
        ({b"data": np.zeros((4, 3072))}, r"expected uint8 \[image, 3072\]"),
        ({b"data": [0] * 4}, r"expected uint8 \[image, 3072\]"),
        ({b"labels": [0, 1, 2]}, r"pixels of shape \(4, 3072\) and labels of shape \(3,\)"),
        ({b"labels": [0.0, 1.0, 2.0, 3.0]}, "and a whole number each"),
        ({b"labels": 7}, "cifar-10-batches-py/test_batch of CIFAR-10"),
        ({b"labels": [0, 1, 2, 10]}, "Got labels from 0 to 10 in .*; expected 0 to 9"),
        ({b"labels": [0, 1, 2, -1]}, "Got labels from -1 to 2 in .*; expected 0 to 9"),
        ({b"labels": [[0], [1, 2], 3, 4]}, r"Cannot read .*test_batch of CIFAR-10 \(ValueError"),
    ],
)
def test_a_batch_that_is_none_is_refused(change, message, made):
    batch = {**made.batches["cifar-10"]["test_batch"], **change}
    made.publish("cifar-10", "test_batch", pickled(batch))
    made.unpack(made.named)
    with pytest.raises(StorageError, match=message):
        load_images("cifar-10")


# As data sets


@pytest.fixture
def coloured(monkeypatch):
    """Made-up images in colour, in the place of both sets."""
    rng = np.random.default_rng(0)

    def some(n, n_classes):
        pixels = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        return Images(pixels, np.arange(n) % n_classes, (3, 32, 32))

    parts = {
        name: (some(1500, n_classes), some(200, n_classes))  # more than are resized at a time
        for name, n_classes in (("cifar-10", 10), ("cifar-100", 100))
    }
    monkeypatch.setattr(features, "load_images", parts.__getitem__)
    return parts


@pytest.mark.parametrize("name", ["cifar-10", "cifar-100"])
def test_by_default_features_are_the_pixels_channel_by_channel(name, coloured):
    whole = load(name)
    assert whole.name == name
    for part, images in zip((whole.train, whole.test), coloured[name], strict=True):
        assert np.array_equal(part.x, (images.pixels - 127.5) / 128)
        assert np.array_equal(part.y, images.labels)
    unit = load(name, options={"pixels": "unit"})
    assert np.array_equal(unit.test.x, coloured[name][1].pixels / 255)


@pytest.mark.parametrize("size", [1, 5, 8, 16, 31])
def test_each_channel_is_resized_by_itself_as_torch_does_it(size, coloured):
    found = load("cifar-10", options={"size": size, "pixels": "unit"}).train.x
    expected = torch.nn.functional.interpolate(
        torch.tensor(coloured["cifar-10"][0].planes, dtype=torch.float64),
        size=(size, size),
        mode="bilinear",
        align_corners=False,
        antialias=False,
    )
    assert_allclose(found, expected.numpy().reshape(1500, -1) / 255, rtol=1e-12)


def test_grey_is_the_luma_of_the_three_channels(coloured):
    red, green, blue = np.moveaxis(coloured["cifar-10"][0].planes.astype(float), 1, 0)
    expected = (0.299 * red + 0.587 * green + 0.114 * blue).reshape(1500, 1024) / 255
    found = load("cifar-10", options={"channels": "grey", "pixels": "unit"}).train.x
    assert_allclose(found, expected, rtol=1e-12)
    small = load("cifar-10", options={"channels": "grey", "pixels": "unit", "size": 16}).train.x
    four = expected.reshape(1500, 16, 2, 16, 2).mean((2, 4)).reshape(1500, 256)
    assert_allclose(small, four, rtol=1e-12)


def test_grey_of_what_is_grey_already_is_exact():
    v = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(features.luma(np.repeat(v, 3, axis=1)), v[0])


def test_chosen_classes_have_labels_in_their_order_and_a_name(coloured):
    two = load("cifar-100", options={"classes": [47, 3], "size": 4})
    assert two.name == "cifar-100 47,3 at 4x4"
    rows = np.isin(coloured["cifar-100"][0].labels, [3, 47])
    assert two.train.y.tolist() == [
        {47: 0, 3: 1}[label] for label in coloured["cifar-100"][0].labels[rows]
    ]
    everything = load("cifar-100", options={"size": 4}).train.x
    assert np.array_equal(two.train.x, everything[rows])


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"classes": list(range(10)), "size": 32}, "cifar-10"),
        ({"pixels": "unit"}, "cifar-10 at 32x32"),
        ({"classes": [5, 3], "size": 8}, "cifar-10 53 at 8x8"),
        ({"channels": "grey"}, "cifar-10 at 32x32 in grey"),
    ],
)
def test_a_set_is_named_for_what_was_chosen(options, title, coloured):
    assert load("cifar-10", options=options).name == title


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cifar-10", {"classes": [1, 10]}, r"classes=\[1, 10\]; expected .* from 0 to 9 as a list"),
        ("cifar-100", {"classes": [1, 100]}, "two or more different ones from 0 to 99 as a list"),
        ("cifar-10", {"size": 33}, "Got size=33; expected 1 to 32 pixels in each direction"),
        ("cifar-10", {"channels": "gray"}, "Unknown form of the channels 'gray'. Did you mean 'g"),
        ("cifar-10", {"pixels": "byte"}, "Unknown form of the pixels 'byte'"),
        ("cifar-10", {"digits": [1, 2]}, "'digits'. Known: channels, classes, pixels, size"),
    ],
)
def test_cifar_that_there_is_not_is_refused(name, options, message):
    with pytest.raises(ConfigurationError, match=message):
        load(name, options=options)


# The real ones, where they are


def there(name):
    if not images_availability(name).startswith("found"):
        pytest.skip(f"{name} is not on this machine: set QHYPER_DATA to the folder that holds it")
    return load_images(name)


@pytest.mark.parametrize(("name", "n_classes"), [("cifar-10", 10), ("cifar-100", 100)])
def test_the_sets_are_whole_and_balanced(name, n_classes):
    train, test = there(name)
    assert train.planes.shape == (50_000, 3, 32, 32)
    assert test.planes.shape == (10_000, 3, 32, 32)
    assert np.bincount(train.labels).tolist() == [50_000 // n_classes] * n_classes
    assert np.bincount(test.labels).tolist() == [10_000 // n_classes] * n_classes
    if name == "cifar-10":
        means = train.planes.mean((0, 2, 3)) / 255
        assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)


def test_features_of_the_whole_set_are_there_once():
    """50,000 x 768 features are 307 MB, and the pixels 184 MB."""
    there("cifar-10")
    tracemalloc.start()
    try:
        whole = load("cifar-10", options={"size": 16})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert whole.train.x.shape == (50_000, 768)
    assert peak < 750e6, f"{peak / 1e6:.0f} MB"
