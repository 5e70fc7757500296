"""The file of a convolutional network: an archive of NumPy arrays, with a checksum.

`about` is JSON with the format, its version, the image, a description of the steps and a checksum
of all else; the arrays of a step are named by its place, such as `2.body.1.bits`. Bits are packed
eight to a byte. Real numbers are float32 where all of an array are float32 numbers, else float64:
what is read is what was written.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from qhyper.targets import archive
from qhyper.targets.convolutional.steps import Residual, Shape, Step

Network = TypeVar("Network")

_KINDS = {kind.__name__: kind for kind in get_args(Step)}


def write(image: Shape, steps: Sequence[Step], path: str | Path) -> None:
    """Write a network to a new file: see `ConvolutionalNetwork.save`."""
    arrays: archive.Arrays = {}
    described = {"image": list(image), "steps": _described(steps, "", arrays)}
    archive.write(path, archive.CONVOLUTIONAL, described, arrays)


def n_bytes(steps: Sequence[Step]) -> int:
    """Bytes of the arrays of a file."""
    arrays: archive.Arrays = {}
    _described(steps, "", arrays)
    return sum(array.nbytes for array in arrays.values())


def read(path: str | Path, make: Callable[[Shape, tuple[Step, ...]], Network]) -> Network:
    """What `make` makes of the image and the steps that `write` wrote.

    See `ConvolutionalNetwork.load`.
    """
    return archive.read(
        path, archive.CONVOLUTIONAL, lambda about, arrays: make(*_parts(about, arrays))
    )


def _parts(about: dict[str, Any], arrays: archive.Arrays) -> tuple[Shape, tuple[Step, ...]]:
    steps = tuple(_made(about["steps"], "", arrays))
    if arrays:
        raise ValueError(f"it holds {', '.join(sorted(arrays))} besides its steps")
    return tuple(about["image"]), steps


def _described(steps: Sequence[Step], where: str, arrays: archive.Arrays) -> list[dict[str, Any]]:
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


def _made(described: list[dict[str, Any]], where: str, arrays: archive.Arrays) -> list[Step]:
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
