"""One packed network of any size: binary weights and activations as bits, on packed inputs.

`shape` says how words hold the weights, `inputs` how rows are packed, `population` what is worked
out of many networks at once, and `file` how one is stored. NumPy alone is needed, but by
`from_torch`, `to_torch` and `to_onnx`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, as_float, is_whole
from qhyper.bits import Words
from qhyper.errors import ConfigurationError
from qhyper.targets.fused import MOST, multiply_and_add
from qhyper.targets.packed.inputs import MAX_PLANES, PackedInputs, pack_bits, pack_pixels
from qhyper.targets.packed.population import (
    check_groups,
    check_sums,
    checked_limits,
    sums,
    votes,
)
from qhyper.targets.packed.shape import PackedShape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, repr=False)
class PackedNetwork:
    """One packed network: what it takes, its weights, its units' limits, and what comes out.

    Outputs are the sums of the last layer, int32 (the default), or with `label_bits` the votes of
    groups of so many of its units, or with `scale` and `shift` float64 [class] scaled sums. A
    network of one layer on inputs of several planes sums up the numbers v themselves.

    Raises ConfigurationError if a part does not fit the others.
    """

    shape: PackedShape
    words: Words
    """uint64 [word]"""
    limits: npt.NDArray[np.int64]
    """int64 [unit] of the hidden layers, and of the last one if it votes: a unit is +1 where the
    weighted count of inputs that differ from its weights is at most this"""
    planes: int = 1
    label_bits: int | None = None
    scale: npt.NDArray[np.float64] | None = None
    shift: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self.shape.check(self.words)
        if self.words.ndim != 1:
            raise ConfigurationError(f"Got words of shape {self.words.shape}; expected [word].")
        if not is_whole(self.planes, at_least=1) or self.planes > MAX_PLANES:
            raise ConfigurationError(
                f"Got planes={self.planes!r}; expected 1 to {MAX_PLANES} bits a number."
            )
        check_sums(self.shape.layers[0], self.planes)
        if self.label_bits is not None:
            check_groups(self.shape, self.label_bits)
        of_last = self.label_bits is not None
        limits = checked_limits(self.shape, self.limits, planes=self.planes, of_last=of_last)
        object.__setattr__(self, "limits", limits[0])
        if (self.scale is None) != (self.shift is None) or (
            self.scale is not None and self.label_bits
        ):
            raise ConfigurationError(
                "scale and shift go together, and not with label_bits. Give both or neither."
            )
        for name, numbers in (("scale", self.scale), ("shift", self.shift)):
            array = as_float(0.0 if numbers is None else numbers, name, "one number a class")
            if numbers is not None and (
                array.shape != (self.shape.layers[-1],) or not np.isfinite(array).all()
            ):
                raise ConfigurationError(
                    f"Got {name} of {array.dtype} and shape {array.shape}; expected "
                    f"{self.shape.layers[-1]} finite numbers, one a class."
                )
            object.__setattr__(self, name, None if numbers is None else np.array(array))
        self._check_scaled()

    def _check_scaled(self) -> None:
        """Raise ConfigurationError if scaled sums may be too large on the way to an output."""
        if self.scale is None or self.shift is None:
            return
        scale, shift = np.abs(self.scale).max(), np.abs(self.shift).max()
        most = self.shape.matrices[-1][1] << self.planes
        if max(scale, shift / most) > MOST / most / 4:
            raise ConfigurationError(
                f"Got scales of up to {scale:.3g} and shifts of up to {shift:.3g}; outputs do not "
                "fit float64 on the way. Divide all by one number."
            )

    def __repr__(self) -> str:
        takes = "bits" if self.planes == 1 else f"numbers of {self.planes} bits"
        gives = "sums" if self.scale is None else "scaled sums"
        gives = gives if self.label_bits is None else f"votes of {self.label_bits}"
        return f"PackedNetwork({'-'.join(map(str, self.shape.layers))}, from {takes} to {gives})"

    @classmethod
    def from_bits(cls, layers: Sequence[int], bits: npt.ArrayLike) -> "PackedNetwork":
        """The network of one draw of a generator, bits [n_bits] in the order of WeightSpace.

        Its outputs are the logits of `BinaryNetwork(layers)` on inputs of -1 and +1. Raises
        ConfigurationError unless there is one bit for each weight.
        """
        shape, array = PackedShape(tuple(layers)), as_array(bits, "bits", "one draw [n_bits]")
        if array.ndim != 1:
            raise ConfigurationError(
                f"Got bits of shape {array.shape}; expected one draw [n_bits], such as bits[0]. "
                "`correct` and its like score many networks at once, of PackedShape.from_bits."
            )
        return cls(shape, shape.from_bits(array), shape.limits())

    @classmethod
    def from_torch(
        cls, module: "torch.nn.Module", *, inputs: Literal["signs", "pixels"]
    ) -> "PackedNetwork":
        """Pack a binary torch module: predictions are its own in eval mode and float64.

        See `torch_module.from_module`, also for what is refused and for types below float64.
        """
        from qhyper.targets.packed.torch_module import from_module

        return from_module(module, cls, inputs=inputs)

    def to_torch(self) -> "torch.nn.Sequential":
        """The network as a torch module in float64: see `torch_module.to_torch`."""
        from qhyper.targets.packed.torch_module import to_torch

        return to_torch(self)

    def to_onnx(self, path: str | Path) -> None:
        """Write the network to a new ONNX file, a bit for each weight: see `onnx_file.to_onnx`.

        From `x` [row, input], uint8 as `predict` takes it (uint16 for more than 8 planes), to
        `outputs` [row, class], int32, or float64 of scaled sums.

        Raises StorageError if there is a file of that name, or it cannot be written; MissingError
        without the extra `onnx`; ConfigurationError if the file's outputs are not the network's.
        """
        from qhyper.targets.packed.onnx_file import to_onnx

        to_onnx(self, path)

    def to_c(self, path: str | Path) -> None:
        """Write the network to a new file in C99, of integers alone: see `c_file.to_c`.

        Its `int qhyper_predict(const uint8_t *x)` takes one row [input] as `predict` does (uint16_t
        for more than 8 planes), and returns the class that `predict` gives.

        Raises StorageError if there is a file of that name, or it cannot be written;
        ConfigurationError for scaled sums of a single layer on numbers with too many values.
        """
        from qhyper.targets.packed.c_file import to_c

        to_c(self, path)

    def pack(self, x: npt.ArrayLike) -> PackedInputs:
        """Pack rows of inputs x [row, input]: bits, or whole numbers of `planes` bits.

        Warns of numbers that are all 0 or 1 where a network takes larger ones.
        """
        if self.planes == 1:
            return pack_bits(x)
        inputs = pack_pixels(x, planes=self.planes)
        if inputs.words[0].any() and not inputs.words[1:].any():
            warnings.warn(
                f"All inputs are 0 or 1, and the network takes numbers from 0 to "
                f"{(1 << self.planes) - 1}: pass the pixels as they are, not their bits.",
                stacklevel=2,
            )
        return inputs

    def outputs(self, x: npt.ArrayLike | PackedInputs) -> npt.NDArray:
        """Sums or votes, int32, or scaled sums, float64, of x [row, input]: [row, class].

        Raises ConfigurationError for inputs of another width, other numbers or other planes.
        """
        inputs = x if isinstance(x, PackedInputs) else self.pack(x)
        if inputs.planes != self.planes:
            raise ConfigurationError(
                f"Got inputs of {inputs.planes} bits a number, but the network takes "
                f"{self.planes}. Pack them by the network's own `pack`."
            )
        words = self.words[None]
        if self.label_bits is not None:
            return votes(self.shape, words, inputs, self.label_bits, self.limits)[0]
        found = sums(self.shape, words, inputs, self.limits)[0]
        if self.planes > 1 and len(self.shape.layers) == 2:  # from sums of 2 v - (2^p - 1)
            plus = self.shape.unpack(self.words)[0].sum(axis=1, dtype=np.int64)
            of_ones = ((1 << self.planes) - 1) * (2 * plus - self.shape.layers[0])
            found = ((found + of_ones) // 2).astype(np.int32)  # on the way up to twice as large
        if self.scale is None or self.shift is None:
            return found
        return multiply_and_add(found, self.scale, self.shift)

    def predict(self, x: npt.ArrayLike | PackedInputs) -> npt.NDArray[np.int64]:
        """The class of the largest output of x [row, input], int64 [row]; of ties the lower one."""
        return self.outputs(x).argmax(axis=1)

    def save(self, path: str | Path) -> None:
        """Write the network to a new file, whole or not at all.

        The file is an archive of NumPy arrays (.npz): `about`, JSON with the format, its version,
        layers, planes, label bits and a checksum of the others; `weights`, the bits of every unit
        in whole bytes; `limits`; and `scale` and `shift` if there are any.

        Raises ConfigurationError if there is a file of that name, StorageError if it cannot be
        written.
        """
        from qhyper.targets.packed.file import write

        write(self, path)

    @classmethod
    def load(cls, path: str | Path) -> "PackedNetwork":
        """Read the network that `save` wrote.

        Raises MissingError if there is no such file, StorageError if it is damaged or no packed
        network, or if a newer version of qhyper wrote it.
        """
        from qhyper.targets.packed.file import read

        return read(path, cls)
