"""Whole images, MNIST and Fashion-MNIST: pixels and labels, found, downloaded and checked.

Files are looked for in the folder that the environment variable QHYPER_DATA names, then in the
cache, and downloaded only if they are in neither. Nothing is ever made up in their place.
"""

import gzip
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, is_whole
from qhyper.errors import ConfigurationError, MissingError, QhyperError, StorageError, unknown


class Source(NamedTuple):
    """Where the four files of an image set come from, and their SHA-256."""

    title: str
    url: str
    sha256: Mapping[str, str]


SOURCES = {
    "mnist": Source(
        "MNIST",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
    ),
    "fashion-mnist": Source(
        "Fashion-MNIST",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Labelled images: `pixels` uint8 [image, pixel], row by row, and `labels` int64 [image].

    `shape` is (channels, rows, columns); pixels come channel by channel. Unless told it is that of
    a square grey image, where their number is a square.

    Raises ConfigurationError for pixels of another type or shape, such as scaled ones, unless
    there is one whole number for each image as its label, and for a shape of another size.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        pixels = as_array(self.pixels, "pixels", "uint8 [image, pixel]")
        labels = as_array(self.labels, "labels", "whole numbers [image]")
        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ConfigurationError(
                f"Got pixels of {pixels.dtype} and shape {pixels.shape}; expected uint8 "
                "[image, pixel], numbers from 0 to 255 as they are."
            )
        if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu":
            raise ConfigurationError(
                f"Got labels of {labels.dtype} and shape {labels.shape}; expected whole numbers, "
                f"one for each of {len(pixels)} images."
            )
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "shape", _shape_of(self.shape, pixels.shape[1]))

    def __repr__(self) -> str:
        return f"Images({len(self)} of {self.pixels.shape[1]} pixels)"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bits(self) -> npt.NDArray[np.uint8]:
        """The sign of v - 127.5 of every pixel v as a bit, uint8 [image, 784]: 1 is +1."""
        return (self.pixels >= 128).view(np.uint8)

    def take(self, chosen: npt.NDArray[np.integer] | slice) -> "Images":
        """Only these images, in this order."""
        return Images(self.pixels[chosen], self.labels[chosen], self.shape)

    @property
    def planes(self) -> npt.NDArray[np.uint8]:
        """The pixels as uint8 [image, channel, row, column]; ConfigurationError without a shape."""
        if self.shape is None:
            raise ConfigurationError(
                f"Got images of {self.pixels.shape[1]} pixels, which are no square: their rows and "
                "columns are not known. Pass shape=(channels, rows, columns)."
            )
        return self.pixels.reshape(-1, *self.shape)


def _shape_of(given: Any, n_pixels: int) -> tuple[int, int, int] | None:
    """The shape of images, checked: as given, that of a square, or none."""
    if given is None:
        side = math.isqrt(n_pixels)
        return (1, side, side) if side and side * side == n_pixels else None
    sizes = tuple(given) if isinstance(given, Sequence) else ()
    whole = len(sizes) == 3 and all(is_whole(size, at_least=1) for size in sizes)
    if not whole or math.prod(sizes) != n_pixels:
        raise ConfigurationError(
            f"Got the shape {given!r} for images of {n_pixels} pixels; expected (channels, rows, "
            "columns), whole numbers whose product that is."
        )
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def load_images(name: str) -> tuple[Images, Images]:
    """Training and test images, 60,000 and 10,000, of `mnist` or `fashion-mnist`.

    Raises ConfigurationError for another name, MissingError if a file is neither there nor
    downloadable, StorageError if one is damaged.
    """
    if name not in SOURCES:
        raise unknown("set of images", str(name), SOURCES)

    def part(prefix: str) -> Images:
        pixels = _content(name, f"{prefix}-images-idx3-ubyte.gz", header=16).reshape(-1, 784)
        labels = _content(name, f"{prefix}-labels-idx1-ubyte.gz", header=8)
        return Images(pixels, labels.astype(np.int64))

    return part("train"), part("t10k")


def images_availability(name: str) -> str:
    """Where a known set of images would come from, in words. Downloads nothing."""
    source = SOURCES[name]
    try:
        paths = [_find(name, file) for file in source.sha256]
        found = [path for path in paths if path is not None]
        for path in found:
            _checked_bytes(name, path)
    except QhyperError as error:
        return f"cannot be used: {error}"
    if len(found) < len(paths):
        return f"would be downloaded from {source.url} to {_cache() / name}"
    return "found at " + " and ".join(sorted({str(path.parent) for path in found}))


def _content(name: str, file: str, header: int) -> npt.NDArray[np.uint8]:
    """Content of a file after its header, uint8."""
    path = _find(name, file) or _download(name, file)
    return np.frombuffer(gzip.decompress(_checked_bytes(name, path)), np.uint8, offset=header)


def _find(name: str, file: str) -> Path | None:
    """Where `file` lies: in the QHYPER_DATA folder, else in the cache, else nowhere (None)."""
    folders = [_cache()]
    if named := os.environ.get("QHYPER_DATA"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise MissingError(
                f"QHYPER_DATA names {folder}, which is not a folder. Correct it, or unset it."
            )
        folders.insert(0, folder)
    for folder in folders:
        places = [folder / name / file]
        if name == "mnist":  # the other set's files bear the same names
            places.append(folder / file)
        for path in places:
            if path.is_file():
                return path
    return None


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("qhyper"))


def _download(name: str, file: str) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    folder, source = _cache() / name, SOURCES[name]
    sha256 = source.sha256[file]
    try:
        return Path(pooch.retrieve(source.url + file, f"sha256:{sha256}", file, folder))
    except (OSError, ValueError) as error:  # no network, an unwritable cache, a wrong checksum
        raise MissingError(
            f"The file {file} of {source.title} is not on this machine and could not be downloaded "
            f"from {source.url} ({type(error).__name__}: {error}). Get the file with SHA-256 "
            f"{sha256} and put it in {folder}, or in the folder {name} of a folder that "
            "QHYPER_DATA names."
        ) from error


def _checked_bytes(name: str, path: Path) -> bytes:
    """Bytes of a file, whose checksum must be the published one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error}. Check its permissions.") from error
    source = SOURCES[name]
    got, expected = hashlib.sha256(content).hexdigest(), source.sha256[path.name]
    if got != expected:
        raise StorageError(
            f"{path} is damaged or another file: got SHA-256 {got}, expected {expected}. Put the "
            f"file from {source.url}{path.name} in its place, or delete it to have it downloaded."
        )
    return content
