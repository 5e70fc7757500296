"""Files of networks: archives of NumPy arrays (.npz) with a description and a checksum.

`about` is JSON with the format, its version, whatever describes the network, and the checksum.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qhyper.arrays import is_whole
from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.storage import storage, write_whole

Network = TypeVar("Network")
Arrays = dict[str, npt.NDArray]

_AGAIN = "Copy it again from where it came from, or save the network again."


@dataclass(frozen=True)
class Kind:
    """What a file holds."""

    format: str
    """as its `about` has it"""
    version: int
    """raised whenever older programs could not read a newer one"""
    words: str
    reader: str
    about_is_checked: bool
    """whether the checksum is of the description too"""


PACKED = Kind("qhyper packed network", 1, "packed network", "PackedNetwork.load", False)
CONVOLUTIONAL = Kind(
    "qhyper convolutional network", 1, "convolutional network", "ConvolutionalNetwork.load", True
)
_KINDS = (PACKED, CONVOLUTIONAL)


def write(path: str | Path, kind: Kind, described: dict[str, Any], arrays: Arrays) -> None:
    """Write arrays and their description to a new file, whole or not at all.

    Raises ConfigurationError if there is a file of that name, StorageError if it cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise ConfigurationError(
            f"There is already a file {path}. Choose another name, or remove it first."
        )
    about = {"format": kind.format, "version": kind.version, **described}
    about["sha256"] = _digest(kind, about, arrays)
    content = io.BytesIO()
    stored = {**arrays, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    np.savez(content, **stored)  # type: ignore[arg-type]
    write_whole(path, content.getvalue(), advice="Choose another folder, or make it first.")


def read(
    path: str | Path, kind: Kind, make: Callable[[dict[str, Any], Arrays], Network]
) -> Network:
    """What `make` makes of the description and the arrays of a file that `write` wrote.

    Whatever `make` raises of what it cannot use is a damaged file. Raises MissingError if there is
    no such file, StorageError if it is damaged or holds something else, or if a newer version of
    qhyper wrote it.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "is not there"
        raise MissingError(f"{path.absolute()} {what}. Check the path.")
    with storage(path, advice="Check its permissions."):
        content = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise StorageError(f"{path} is damaged or no {kind.words}: it is no archive. {_AGAIN}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays.pop("about").tobytes())
        _check_kind(kind, about)
        if about.pop("sha256") != _digest(kind, about, arrays):
            raise ValueError("its checksum is another")
        return make(about, arrays)
    except _OtherError as error:
        raise StorageError(f"{path} {error}") from None
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, IndexError,
        zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise StorageError(
            f"{path} is damaged or no {kind.words}: {str(error).rstrip('.')}. {_AGAIN}"
        ) from error


class _OtherError(Exception):
    """What a sound file is instead."""


def _check_kind(kind: Kind, about: dict[str, Any]) -> None:
    """Raise _OtherError for a sound file of another kind or a newer version, else ValueError."""
    for other in _KINDS:
        if other is not kind and about["format"] == other.format:
            raise _OtherError(f"holds a {other.words}. Read it by {other.reader}.")
    if about["format"] != kind.format:
        raise ValueError(f"its format is {about['format']!r}")
    if not is_whole(about["version"], at_least=1):
        raise ValueError(f"its version is {about['version']!r}")
    if about["version"] > kind.version:
        raise _OtherError(
            f"is of version {about['version']}, and this qhyper reads versions up to "
            f"{kind.version}. Update qhyper."
        )


def _digest(kind: Kind, about: dict[str, Any], arrays: Arrays) -> str:
    """SHA-256 of the description, if it is checked, and of arrays with names, types and shapes."""
    found = hashlib.sha256()
    if kind.about_is_checked:
        found.update(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
