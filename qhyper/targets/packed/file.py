"""The file of a packed network: an archive of NumPy arrays, with a checksum."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qhyper.targets import archive
from qhyper.targets.packed.shape import Packed, PackedShape

Network = TypeVar("Network")


def write(network: Packed, path: str | Path) -> None:
    """Write a network to a new file: see `PackedNetwork.save`."""
    described = {
        "layers": list(network.shape.layers),
        "planes": network.planes,
        "label_bits": network.label_bits,
    }
    octets = [
        np.packbits(bits, axis=-1, bitorder="little").ravel()
        for bits in network.shape.unpack(network.words)
    ]
    arrays: archive.Arrays = {
        "weights": np.concatenate(octets),
        "limits": network.limits.astype("<i4"),
    }
    if network.scale is not None and network.shift is not None:
        arrays |= {"scale": network.scale.astype("<f8"), "shift": network.shift.astype("<f8")}
    archive.write(path, archive.PACKED, described, arrays)


def read(path: str | Path, make: Callable[..., Network]) -> Network:
    """What `make` makes of the parts of a network that `write` wrote: see `PackedNetwork.load`."""
    return archive.read(path, archive.PACKED, lambda about, arrays: make(*_parts(about, arrays)))


def _parts(about: dict[str, Any], arrays: archive.Arrays) -> tuple[Any, ...]:
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
