"""Files of CIFAR-10 and CIFAR-100 (Krizhevsky 2009): archives of pickled batches.

The batches are taken from the unpacked folder, else from the archive, however it was packed anew;
none is unpickled unless its checksum is the published one.
"""

import io
import pickle
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.data.published import cache, check_sum, download, find, places, read
from qhyper.errors import MissingError, StorageError
from qhyper.storage import write_whole

URL = "https://www.cs.toronto.edu/~kriz/"
N_PIXELS = 3072
"""Of an image: the red, then the green, then the blue plane of 32 x 32, row by row."""


class Archive(NamedTuple):
    """A published archive `<file>.tar.gz`: its checksums, its folder, and the batches in that.

    `sha256` is there of what may be downloaded; `sums` are those of the batches.
    """

    title: str
    file: str
    md5: str
    sha256: str | None
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    sums: Mapping[str, str]
    labels: bytes
    n_classes: int


ARCHIVES = {
    "cifar-10": Archive(
        title="CIFAR-10",
        file="cifar-10-python",
        md5="c58f30108f718f92721af3b95e74349a",
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{k}" for k in range(1, 6)),
        test=("test_batch",),
        sums={
            "data_batch_1": (
                "sha256:54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"
            ),
            "data_batch_2": (
                "sha256:766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"
            ),
            "data_batch_3": (
                "sha256:0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"
            ),
            "data_batch_4": (
                "sha256:3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"
            ),
            "data_batch_5": (
                "sha256:d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"
            ),
            "test_batch": (
                "sha256:f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"
            ),
        },
        labels=b"labels",
        n_classes=10,
    ),
    "cifar-100": Archive(
        title="CIFAR-100",
        file="cifar-100-python",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        sha256=None,
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        sums={
            "train": "md5:16019d7e3df5f24257cddd939b257f8d",
            "test": "md5:f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
        labels=b"fine_labels",
        n_classes=100,
    ),
}

Part = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Pixels uint8 [image, 3072], channel by channel, and labels int64 [image]."""


def load(name: str) -> tuple[Part, Part]:
    """The training and the test images of a set, with their labels, in their order.

    What had to be unpacked is kept in the cache, if that can be written.

    Raises MissingError if there is neither folder nor archive nor a download, StorageError if one
    is damaged.
    """
    archive = ARCHIVES[name]
    if (folder := _unpacked(name)) is not None:
        batches = _of_folder(archive, folder)
    else:
        contents = _of_archive(archive, _packed(name) or _downloaded(name))
        _keep(cache() / name / archive.folder, contents)
        batches = iter(contents.items())
    parsed = {member: _parsed(archive, member, content) for member, content in batches}

    def part(members: tuple[str, ...]) -> Part:
        pixels, labels = zip(*(parsed[member] for member in members), strict=True)
        return np.concatenate(pixels), np.concatenate(labels)

    return part(archive.train), part(archive.test)


def whereabouts(name: str) -> str:
    """Where a set is, in words; an unpacked folder is checked. Raises as `load` does."""
    archive = ARCHIVES[name]
    if (folder := _unpacked(name)) is not None:
        for _ in _of_folder(archive, folder):
            pass
        return f"found at {folder}"
    if (path := _packed(name)) is not None:
        return f"found at {path}"
    if archive.sha256 is None:
        return f"not here: {_missing(name)}"
    return f"would be downloaded from {URL} to {cache() / name}"


def _unpacked(name: str) -> Path | None:
    """The first folder that has all batches; one that lacks some is passed over."""
    archive = ARCHIVES[name]
    for place in places(name, bare=True):
        folder = place / archive.folder
        if all((folder / member).is_file() for member in archive.sums):
            return folder
    return None


def _packed(name: str) -> Path | None:
    """Where the archive lies: as it was published, or packed anew with xz."""
    archive, where = ARCHIVES[name], places(name, bare=True)
    found = (find(f"{archive.file}.tar.{packing}", where) for packing in ("gz", "xz"))
    return next((path for path in found if path is not None), None)


def _downloaded(name: str) -> Path:
    archive = ARCHIVES[name]
    if archive.sha256 is None:
        raise MissingError(_missing(name))
    return download(name, archive.title, URL, f"{archive.file}.tar.gz", archive.sha256)


def _missing(name: str) -> str:
    archive = ARCHIVES[name]
    for place in places(name, bare=True):
        lacks = [m for m in archive.sums if not (place / archive.folder / m).is_file()]
        if len(lacks) < len(archive.sums):
            return f"{place / archive.folder} lacks {', '.join(lacks)}. {_advice(archive)}"
    return (
        f"{archive.title} is not on this machine, and is not downloaded by itself. Get "
        f"{URL}{archive.file}.tar.gz (MD5 {archive.md5}) and put it, packed or unpacked, in "
        f"{cache() / name}, or in the folder {name} of a folder that QHYPER_DATA names."
    )


def _of_folder(archive: Archive, folder: Path) -> Iterator[tuple[str, bytes]]:
    """The batches of an unpacked folder, checked."""
    for member in archive.sums:
        content = read(folder / member)
        _check(archive, member, content, str(folder / member))
        yield member, content


def _of_archive(archive: Archive, path: Path) -> dict[str, bytes]:
    """The batches in an archive, checked."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz" if path.suffix == ".gz" else "r:xz") as packed:
            for info in packed:  # in their order: to go back would be to decompress again
                folder, _, member = info.name.removeprefix("./").rpartition("/")
                if folder == archive.folder and member in archive.sums and info.isfile():
                    file = packed.extractfile(info)
                    assert file is not None  # it is a file
                    contents[member] = file.read()
    except Exception as error:  # what unpacks can fail in any way, also for want of liblzma
        raise StorageError(
            f"Cannot read {path} ({type(error).__name__}: {error}). {_advice(archive)}"
        ) from error
    lacks = [member for member in archive.sums if member not in contents]
    if lacks:
        raise StorageError(
            f"{path} lacks {', '.join(f'{archive.folder}/{m}' for m in lacks)}. {_advice(archive)}"
        )
    for member, content in contents.items():
        _check(archive, member, content, f"{archive.folder}/{member} in {path}")
    return contents


def _check(archive: Archive, member: str, content: bytes, what: str) -> None:
    check_sum(content, archive.sums[member], what, _advice(archive))


def _advice(archive: Archive) -> str:
    return (
        f"Put what {URL}{archive.file}.tar.gz (MD5 {archive.md5}) has in its place, or delete it."
    )


def _keep(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write batches into a folder, each whole or not at all; not, where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # in a folder of one's own first: another process may do the same
        with tempfile.TemporaryDirectory(dir=folder) as own:
            for member, content in contents.items():
                write_whole(Path(own, member), content)
                Path(own, member).replace(folder / member)
    except (OSError, StorageError):
        return  # the next time takes as long as this


class _Batch(pickle.Unpickler):
    """Of a pickled batch: numbers, texts and plain arrays; nothing else is made or called."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): lambda code, *_: np.dtype(code),
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[module, name]


def _parsed(archive: Archive, member: str, content: bytes) -> Part:
    """Pixels and labels of a batch whose checksum is right."""
    where = f"{archive.folder}/{member} of {archive.title}"
    try:
        batch = _Batch(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[archive.labels])
    except Exception as error:  # an unpickler can fail in any way
        raise StorageError(
            f"Cannot read {where} ({type(error).__name__}: {error}). {_advice(archive)}"
        ) from error
    right = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and labels.ndim == 1
    if not right or pixels.shape != (len(labels), N_PIXELS) or labels.dtype.kind != "i":
        raise StorageError(
            f"Got pixels of shape {np.shape(pixels)} and labels of shape {labels.shape} in {where}"
            f"; expected uint8 [image, {N_PIXELS}] and a whole number each. {_advice(archive)}"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < archive.n_classes:
        raise StorageError(
            f"Got labels from {labels.min()} to {labels.max()} in {where}; expected 0 to "
            f"{archive.n_classes - 1}. {_advice(archive)}"
        )
    return pixels, labels.astype(np.int64)
