"""The file of a packed network: an archive of NumPy arrays, with a checksum."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qhyper.arrays import is_whole
from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.storage import storage, write_whole
from qhyper.targets.packed.shape import Packed, PackedShape

Network = TypeVar("Network")

FORMAT = "qhyper packed network"
VERSION = 1
"""Of the file: raised whenever older programs could not read a newer one."""

CONVOLUTIONAL = "qhyper convolutional network"
"""The format of other networks, in `qhyper.targets.convolutional.file`."""


def write(network: Packed, path: str | Path) -> None:
    """Write a network to a new file: see `PackedNetwork.save`."""
    path = Path(path)
    if path.exists():
        raise ConfigurationError(
            f"There is already a file {path}. Choose another name, or remove it first."
        )
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "layers": list(network.shape.layers),
        "planes": network.planes,
        "label_bits": network.label_bits,
    }
    octets = [
        np.packbits(bits, axis=-1, bitorder="little").ravel()
        for bits in network.shape.unpack(network.words)
    ]
    arrays: dict[str, npt.NDArray] = {
        "weights": np.concatenate(octets),
        "limits": network.limits.astype("<i4"),
    }
    if network.scale is not None and network.shift is not None:
        arrays |= {"scale": network.scale.astype("<f8"), "shift": network.shift.astype("<f8")}
    about["sha256"] = _digest(arrays)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_whole(path, content.getvalue(), advice="Choose another folder, or make it first.")


def read(path: str | Path, make: Callable[..., Network]) -> Network:
    """What `make` makes of the parts of a network that `write` wrote: see `PackedNetwork.load`."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "is not there"
        raise MissingError(f"{path.absolute()} {what}. Check the path.")
    with storage(path, advice="Check its permissions."):
        content = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise StorageError(
            f"{path} is damaged or no packed network: it is no archive. Copy it again from "
            "where it came from, or save the network again."
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays.pop("about").tobytes())
        if about["format"] == CONVOLUTIONAL:
            raise _OtherError(
                "holds a convolutional network. Read it by ConvolutionalNetwork.load."
            )
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}")
        if not is_whole(about["version"], at_least=1):
            raise ValueError(f"its version is {about['version']!r}")
        if about["version"] > VERSION:
            raise _OtherError(
                f"is of version {about['version']}, and this qhyper reads versions up to "
                f"{VERSION}. Update qhyper."
            )
        if about["sha256"] != _digest(arrays):
            raise ValueError("its checksum is another")
        return make(*_parts(about, arrays))
    except _OtherError as error:
        raise StorageError(f"{path} {error}") from None
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, IndexError,
        zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise StorageError(
            f"{path} is damaged or no packed network: {str(error).rstrip('.')}. Copy it again "
            "from where it came from, or save the network again."
        ) from error


class _OtherError(Exception):
    """What a sound file is instead."""


def _digest(arrays: dict[str, npt.NDArray]) -> str:
    """SHA-256 of arrays with their names, types and shapes."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _parts(about: dict[str, Any], arrays: dict[str, npt.NDArray]) -> tuple[Any, ...]:
    """The arguments of PackedNetwork in a file; ValueError and its like if they do not fit."""
    names = {"weights", "limits"} | ({"scale", "shift"} if "scale" in arrays else set())
    if set(arrays) != names:
        raise ValueError(f"it holds {', '.join(sorted(arrays))}")
    shape = PackedShape(tuple(about["layers"]))
    octets, matrices, at = arrays["weights"], [], 0
    if octets.dtype != np.uint8:
        raise ValueError(f"its weights are {octets.dtype}")
    for n_out, n_in in shape.matrices:
        width = -(-n_in // 8)
        of_layer = octets[at : at + n_out * width].reshape(n_out, width)
        matrices.append(np.unpackbits(of_layer, axis=1, count=n_in, bitorder="little"))
        at += n_out * width
    if at != len(octets):
        raise ValueError(f"it has {len(octets)} bytes of weights, expected {at}")
    return (
        shape,
        shape.pack(matrices),
        arrays["limits"],
        about["planes"],
        about["label_bits"],
        arrays.get("scale"),
        arrays.get("shift"),
    )
