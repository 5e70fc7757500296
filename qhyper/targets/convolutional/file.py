"""The file of a convolutional network: an archive of NumPy arrays, with a checksum.

`about` is JSON with the format, its version, the image, a description of the steps and a checksum
of all else; the arrays of a step are named by its place, such as `2.body.1.bits`. Bits are packed
eight to a byte. Real numbers are float32 where all of an array are float32 numbers, else float64:
what is read is what was written.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from qhyper.arrays import is_whole
from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.storage import storage, write_whole
from qhyper.targets.convolutional.steps import Residual, Shape, Step

FORMAT = "qhyper convolutional network"
VERSION = 1
"""Of the file: raised whenever older programs could not read a newer one."""
OTHER = "qhyper packed network"
"""The format of networks of dense layers, in `qhyper.targets.packed.file`."""

_KINDS = {kind.__name__: kind for kind in get_args(Step)}


def write(image: Shape, steps: Sequence[Step], path: str | Path) -> None:
    """Write a network to a new file: see `ConvolutionalNetwork.save`."""
    path = Path(path)
    if path.exists():
        raise ConfigurationError(
            f"There is already a file {path}. Choose another name, or remove it first."
        )
    arrays: dict[str, npt.NDArray] = {}
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "image": list(image),
        "steps": _described(steps, "", arrays),
    }
    about["sha256"] = _digest(about, arrays)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_whole(path, content.getvalue(), advice="Choose another folder, or make it first.")


def n_bytes(steps: Sequence[Step]) -> int:
    """Bytes of the arrays of a file."""
    arrays: dict[str, npt.NDArray] = {}
    _described(steps, "", arrays)
    return sum(array.nbytes for array in arrays.values())


def read(path: str | Path) -> tuple[Shape, tuple[Step, ...]]:
    """The image and the steps that `write` wrote: see `ConvolutionalNetwork.load`."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "is not there"
        raise MissingError(f"{path.absolute()} {what}. Check the path.")
    with storage(path, advice="Check its permissions."):
        content = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise StorageError(
            f"{path} is damaged or no convolutional network: it is no archive. {_AGAIN}"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays.pop("about").tobytes())
        if about["format"] == OTHER:
            raise _OtherError(
                "holds a packed network of dense layers. Read it by PackedNetwork.load."
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
        if about.pop("sha256") != _digest(about, arrays):
            raise ValueError("its checksum is another")
        steps = tuple(_made(about["steps"], "", arrays))
        if arrays:
            raise ValueError(f"it holds {', '.join(sorted(arrays))} besides its steps")
        return tuple(about["image"]), steps
    except _OtherError as error:
        raise StorageError(f"{path} {error}") from None
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, IndexError,
        zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise StorageError(
            f"{path} is damaged or no convolutional network: {str(error).rstrip('.')}. {_AGAIN}"
        ) from error


_AGAIN = "Copy it again from where it came from, or save the network again."


class _OtherError(Exception):
    """What a sound file is instead."""


def _digest(about: dict[str, Any], arrays: dict[str, npt.NDArray]) -> str:
    """SHA-256 of the description, and of arrays with their names, types and shapes."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _described(
    steps: Sequence[Step], where: str, arrays: dict[str, npt.NDArray]
) -> list[dict[str, Any]]:
    """Each step as JSON; its arrays go to `arrays`."""
    found = []
    for number, step in enumerate(steps):
        about: dict[str, Any] = {"step": type(step).__name__}
        for field in fields(step):
            value, name = getattr(step, field.name), f"{where}{number}.{field.name}"
            if isinstance(value, np.ndarray):
                about[field.name] = list(value.shape)
                arrays[name] = _stored(value)
            elif isinstance(step, Residual):
                about[field.name] = _described(value, f"{name}.", arrays)
            elif isinstance(value, float):
                about[field.name] = value.hex()  # which has infinities, as JSON has not
            else:
                about[field.name] = value
        found.append(about)
    return found


def _stored(array: npt.NDArray) -> npt.NDArray:
    if array.dtype.kind != "f":
        return np.packbits(array.astype(np.uint8), axis=None, bitorder="little")
    with np.errstate(over="ignore", under="ignore"):
        short = array.astype("<f4")
    same = short.astype(np.float64).tobytes() == array.tobytes()
    return short if same else array.astype("<f8")


def _made(
    described: list[dict[str, Any]], where: str, arrays: dict[str, npt.NDArray]
) -> list[Step]:
    """The steps that were described; their arrays are taken from `arrays`."""
    found = []
    for number, about in enumerate(described):
        kind, given = _KINDS[about["step"]], {}
        for field in fields(kind):
            value, name = about[field.name], f"{where}{number}.{field.name}"
            if kind is Residual:
                value = tuple(_made(value, f"{name}.", arrays))
            elif name in arrays:
                value = _restored(arrays.pop(name), value, field.name)
            elif isinstance(value, str) and field.name in ("low", "high"):
                value = float.fromhex(value)
            given[field.name] = tuple(value) if isinstance(value, list) else value
        found.append(kind(**given))
    return found


def _restored(stored: npt.NDArray, shape: list[int], name: str) -> npt.NDArray:
    if stored.dtype.kind == "f":
        return stored.astype(np.float64).reshape(shape)
    size = int(np.prod(shape))
    if stored.dtype != np.uint8 or len(stored) != -(-size // 8):
        raise ValueError(f"it has {len(stored)} bytes of {stored.dtype} for {size} bits")
    bits = np.unpackbits(stored, count=size, bitorder="little").reshape(shape)
    return bits.astype(bool) if name == "above" else bits
