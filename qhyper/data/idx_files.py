"""Files of MNIST and Fashion-MNIST, in the format IDX."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.data.published import cache, check_sum, download, find, places, read


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


Part = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Pixels uint8 [image, 784], row by row, and labels int64 [image]."""


def load(name: str) -> tuple[Part, Part]:
    """The training and the test images of a set, with their labels.

    Raises MissingError if a file is neither there nor downloadable, StorageError if one is damaged.
    """

    def part(prefix: str) -> Part:
        pixels = _content(name, f"{prefix}-images-idx3-ubyte.gz", header=16).reshape(-1, 784)
        labels = _content(name, f"{prefix}-labels-idx1-ubyte.gz", header=8)
        return pixels, labels.astype(np.int64)

    return part("train"), part("t10k")


def whereabouts(name: str) -> str:
    """Where the files of a set are, in words; what is found is checked. Raises as `load` does."""
    source = SOURCES[name]
    paths = [_find(name, file) for file in source.sha256]
    found = [path for path in paths if path is not None]
    for path in found:
        _checked(name, path)
    if len(found) < len(paths):
        return f"would be downloaded from {source.url} to {cache() / name}"
    return "found at " + " and ".join(sorted({str(path.parent) for path in found}))


def _find(name: str, file: str) -> Path | None:
    """Where a file lies; those in no folder of their own are MNIST's: both sets name them so."""
    return find(file, places(name, bare=name == "mnist"))


def _content(name: str, file: str, header: int) -> npt.NDArray[np.uint8]:
    """Content of a file after its header, uint8."""
    path, source = _find(name, file), SOURCES[name]
    if path is None:
        path = download(name, source.title, source.url, file, source.sha256[file])
    return np.frombuffer(gzip.decompress(_checked(name, path)), np.uint8, offset=header)


def _checked(name: str, path: Path) -> bytes:
    """Bytes of a file, whose checksum must be the published one."""
    content, source = read(path), SOURCES[name]
    advice = (
        f"Put the file from {source.url}{path.name} in its place, or delete it to have it "
        "downloaded."
    )
    check_sum(content, f"sha256:{source.sha256[path.name]}", str(path), advice)
    return content
