"""Packed networks of any size: binary weights and activations as bits, on packed inputs.

A network of layers such as (784, 128, 10) is `words`, uint64 [word]: layer by layer, unit by unit,
⌈inputs / 64⌉ words a unit, bit i % 64 of word i // 64 for input i; bit 1 is weight +1, bit 0 is
-1, and bits past the end are zero. Many networks of one shape, a population, are [network, word].

Inputs are packed once: bits, which stand for -1 and +1, or numbers v of p bits as p planes of
bits, which stand for 2 v - (2^p - 1); with p = 8 these are pixels, 2 (v - 127.5). A sign, of a sum
that is an integer, is a limit: the largest count of bits in which inputs and weights may differ.

NumPy alone is needed, but by `from_torch` and `to_torch`. numba is there for speed: without it
NumPy does the same, slower, and a warning says so.
"""

import hashlib
import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from qhyper.bits import WORD, Bits, Words, as_bits, n_words, pack, unpack
from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.storage import storage, write_whole

if TYPE_CHECKING:
    import torch

FORMAT = "qhyper packed network"
VERSION = 1
"""Of the file: raised whenever older programs could not read a newer one."""
MAX_PLANES = 16


@dataclass(frozen=True, eq=False, repr=False)
class PackedInputs:
    """Rows of inputs, packed: `words` uint64 [plane, word, row], `n_inputs` numbers a row.

    Made by `pack_bits` or `pack_pixels`. Raises ConfigurationError for words of another type or
    shape, or with ones past the last input.
    """

    words: Words
    n_inputs: int

    def __post_init__(self) -> None:
        if not isinstance(self.words, np.ndarray) or not _whole(self.n_inputs, at_least=1):
            raise ConfigurationError(
                f"Got words of {type(self.words).__name__} for {self.n_inputs!r} inputs; expected "
                "an array and a whole number of 1 or more. Make them by pack_bits or pack_pixels."
            )
        expected = n_words(self.n_inputs)
        if (
            self.words.dtype != np.uint64
            or self.words.ndim != 3
            or (self.words.shape[1] != expected or not 1 <= self.words.shape[0] <= MAX_PLANES)
        ):
            raise ConfigurationError(
                f"Got words of {self.words.dtype} and shape {self.words.shape}; expected uint64 "
                f"[plane, word, row] with 1 to {MAX_PLANES} planes and {expected} words for "
                f"{self.n_inputs} inputs. Make them by pack_bits or pack_pixels."
            )
        used = self.n_inputs % WORD
        if used and (self.words[:, -1] >> np.uint64(used)).any():
            raise ConfigurationError(
                f"Got ones past the last of {self.n_inputs} inputs; expected zeros. Make the words "
                "by pack_bits or pack_pixels."
            )

    def __repr__(self) -> str:
        return f"PackedInputs({len(self)} rows of {self.n_inputs}, {self.planes} bits each)"

    @property
    def planes(self) -> int:
        """Bits of each number: 1 for inputs of -1 and +1, 8 for pixels."""
        return self.words.shape[0]

    def __len__(self) -> int:
        return self.words.shape[2]

    def take(self, rows: npt.NDArray[np.integer] | slice) -> "PackedInputs":
        """Only these rows, in this order."""
        return replace(self, words=np.ascontiguousarray(self.words[:, :, rows]))


def pack_bits(bits: npt.ArrayLike) -> PackedInputs:
    """Pack bits [row, input], which stand for -1 (0) and +1 (1).

    Raises ConfigurationError if they are not two-dimensional, or not bits.
    """
    array = _rows(bits)
    sound = array <= 1 if array.dtype == np.uint8 else np.isin(array, (0, 1))
    if not sound.all():
        raise ConfigurationError(
            f"A packed layer takes bits, 0 for -1 and 1 for +1; got {array[~sound][0]}. Compare "
            "with a threshold first, such as pixels >= 128, or pack whole numbers by pack_pixels."
        )
    return PackedInputs(_planes([array.astype(np.uint8, copy=False)]), array.shape[1])


def pack_pixels(pixels: npt.ArrayLike, *, planes: int = 8) -> PackedInputs:
    """Pack whole numbers [row, input] from 0 to 2^planes - 1, by default pixels.

    Raises ConfigurationError if they are not two-dimensional or not such numbers.
    """
    array = _rows(pixels)
    if not _whole(planes, at_least=1) or planes > MAX_PLANES:
        raise ConfigurationError(
            f"Got planes={planes!r}; expected 1 to {MAX_PLANES} bits a number."
        )
    expected = f"expected whole numbers from 0 to {(1 << planes) - 1}, such as pixels"
    # comparisons are False for NaN, and keep it from being cast
    sound = (array >= 0) & (array < 1 << planes)
    if not sound.all() or (array != np.floor(array)).any():
        wrong = array[~sound | (array != np.floor(array))][0]
        raise ConfigurationError(f"Got the input {wrong}; {expected}.")
    whole = array.astype(np.uint16, copy=False)
    bits = ((whole >> b & 1).astype(np.uint8) for b in range(planes))  # one plane at a time
    return PackedInputs(_planes(bits), array.shape[1])


def _rows(values: npt.ArrayLike) -> npt.NDArray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ConfigurationError("Got rows of different lengths; expected [row, input].") from None
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "buif":
        raise ConfigurationError(
            f"Got inputs of {array.dtype} and shape {array.shape}; expected numbers [row, input], "
            "at least one of each. One row is x[None]; images are flattened, reshape(len(x), -1)."
        )
    return array


def _planes(planes: Iterable[Bits]) -> Words:
    """Bits [row, input] of each plane as words [plane, word, row]."""
    return np.stack([pack(bits).T for bits in planes])


@dataclass(frozen=True)
class PackedShape:
    """The layers of packed networks, inputs first: how words hold their weights.

    Raises ConfigurationError unless there are two layers or more, of one unit or more each.
    """

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        layers = self.layers
        if (
            not isinstance(layers, Iterable)
            or len(tuple(layers)) < 2
            or not all(_whole(size, at_least=1) for size in layers)
        ):
            raise ConfigurationError(
                f"Got layers {layers!r}; expected two sizes or more, of 1 or more each, inputs "
                "first, such as (784, 128, 10)."
            )
        object.__setattr__(self, "layers", tuple(int(size) for size in layers))

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """(units, inputs) of every layer's weights."""
        return tuple(
            (n_out, n_in) for n_in, n_out in zip(self.layers, self.layers[1:], strict=False)
        )

    @property
    def n_weights(self) -> int:
        """Number of weights."""
        return sum(n_out * n_in for n_out, n_in in self.matrices)

    @property
    def n_words(self) -> int:
        """Number of words of one network."""
        return sum(n_out * n_words(n_in) for n_out, n_in in self.matrices)

    @cached_property
    def ones(self) -> Words:
        """The words [word] of the network whose weights are all +1: a bit for each weight."""
        return self.pack([np.ones(matrix, np.uint8) for matrix in self.matrices])

    def pack(self, matrices: Sequence[npt.ArrayLike]) -> Words:
        """Words uint64 [..., word] of one matrix of bits [..., unit, input] a layer."""
        if len(matrices) != len(self.matrices):
            raise ConfigurationError(
                f"Got {len(matrices)} matrices of weights, expected {len(self.matrices)}: one a "
                f"layer of {self.layers}."
            )
        parts = []
        for bits, (n_out, n_in) in zip(matrices, self.matrices, strict=True):
            array = as_bits(bits, n_in)
            if array.ndim < 2 or array.shape[-2] != n_out:
                raise ConfigurationError(
                    f"Got weights of shape {array.shape}, expected [..., unit, input] = "
                    f"[..., {n_out}, {n_in}]."
                )
            parts.append(pack(array).reshape(*array.shape[:-2], -1))
        return np.concatenate(parts, axis=-1)

    def unpack(self, words: Words) -> list[Bits]:
        """The matrices of bits [..., unit, input] that `pack` took."""
        self.check(words)
        matrices, at = [], 0
        for n_out, n_in in self.matrices:
            size = n_out * n_words(n_in)
            of_layer = words[..., at : at + size].reshape(*words.shape[:-1], n_out, -1)
            matrices.append(unpack(of_layer, n_in))
            at += size
        return matrices

    def from_bits(self, bits: npt.ArrayLike) -> Words:
        """Words uint64 [..., word] of draws of bits [..., n_weights] in WeightSpace's order."""
        array, matrices, at = as_bits(bits, self.n_weights), [], 0
        for n_out, n_in in self.matrices:
            of_layer = array[..., at : at + n_in * n_out].reshape(*array.shape[:-1], n_in, n_out)
            matrices.append(of_layer.swapaxes(-1, -2))
            at += n_in * n_out
        return self.pack(matrices)

    def to_bits(self, words: Words) -> Bits:
        """The bits [..., n_weights] that `from_bits` took."""
        matrices = [m.swapaxes(-1, -2) for m in self.unpack(words)]
        return np.concatenate([m.reshape(*m.shape[:-2], -1) for m in matrices], axis=-1)

    def limits(self, *, planes: int = 1, of_last: bool = False) -> npt.NDArray[np.int64]:
        """Limits int64 [unit] of units that are the signs of their sums, with sign(0) = +1.

        A unit is +1 where its weights differ from at most so many of its inputs, weighted where
        inputs have several `planes`. The last layer's are left out unless `of_last`.
        """
        most = [n_in for _, n_in in self.matrices]
        most[0] *= (1 << planes) - 1
        limits = [np.full(n, m // 2) for (n, _), m in zip(self.matrices, most, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *(limits if of_last else limits[:-1])])

    def check(self, words: Words) -> None:
        """Raise ConfigurationError unless `words` is uint64 [..., n_words], zeros past weights."""
        if (
            not isinstance(words, np.ndarray)
            or words.dtype != np.uint64
            or (words.ndim < 1 or words.shape[-1] != self.n_words)
        ):
            got = type(words).__name__
            if isinstance(words, np.ndarray):
                got = f"{words.dtype} and shape {words.shape}"
            raise ConfigurationError(
                f"Got words of {got}, expected an array of uint64 [..., word] with {self.n_words} "
                f"words for the layers {self.layers}."
            )
        if (words & ~self.ones).any():
            raise ConfigurationError(
                "Got ones past the end of a unit's weights; expected zeros. Make the words by "
                "PackedShape.pack."
            )


def _whole(number: Any, *, at_least: int) -> bool:
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    return whole and int(number) >= at_least


# Populations: networks of one shape on the same inputs


def activations(
    shape: PackedShape, words: Words, inputs: PackedInputs,
    limits: npt.NDArray[np.integer] | None = None,
) -> Words:  # fmt: skip
    """The last layer's units as bits: uint64 [network, word, row] of `words` [network, word].

    `limits` [unit] or [network, unit] of all layers; by default those of signs. Raises
    ConfigurationError if the inputs or the words do not fit the shape.
    """
    arguments = _arguments(shape, words, inputs, limits, of_last=True)
    return _engine().activations(*arguments)


def sums(
    shape: PackedShape, words: Words, inputs: PackedInputs,
    limits: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int32]:  # fmt: skip
    """The last layer's sums, int32 [network, row, unit] of `words` [network, word].

    `limits` [unit] or [network, unit] of the hidden layers; by default those of signs. Raises
    ConfigurationError as `activations` does.
    """
    arguments = _arguments(shape, words, inputs, limits, of_last=False)
    return _engine().scores(*arguments, 0).swapaxes(1, 2)


def votes(
    shape: PackedShape, words: Words, inputs: PackedInputs, label_bits: int,
    limits: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int32]:  # fmt: skip
    """Units of the last layer that are +1, by groups of `label_bits`: int32 [network, row, class].

    Units c * label_bits to (c + 1) * label_bits - 1 vote for class c. `limits` [unit] or
    [network, unit] of all layers; by default those of signs. Raises ConfigurationError as
    `activations` does, and if the last layer is not a whole number of groups.
    """
    _check_groups(shape, label_bits)
    arguments = _arguments(shape, words, inputs, limits, of_last=True)
    return _engine().scores(*arguments, label_bits).swapaxes(1, 2)


def correct(
    shape: PackedShape, words: Words, inputs: PackedInputs, labels: npt.ArrayLike,
    label_bits: int | None = None, limits: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Number of rows that each network classifies correctly, int64 [network].

    The class is that of the largest of `sums`, or of `votes` if there are `label_bits`; ties go
    to the lower class. With numba, the memory that it takes is one number for each network and 128
    rows. Raises ConfigurationError as `sums` and `votes` do, and unless `labels` are classes [row].
    """
    if label_bits is not None:
        _check_groups(shape, label_bits)
    arguments = _arguments(shape, words, inputs, limits, of_last=label_bits is not None)
    truth, classes = np.asarray(labels), shape.layers[-1] // (label_bits or 1)
    if (
        truth.shape != (len(inputs),)
        or truth.dtype.kind not in "iu"
        or (((truth < 0) | (truth >= classes)).any())
    ):
        raise ConfigurationError(
            f"Got labels of {truth.dtype} and shape {truth.shape}; expected classes from 0 to "
            f"{classes - 1}, one for each of {len(inputs)} rows."
        )
    return _engine().correct(*arguments, label_bits or 0, truth.astype(np.int64))


def _check_groups(shape: PackedShape, label_bits: int) -> None:
    if not _whole(label_bits, at_least=1) or shape.layers[-1] % label_bits:
        raise ConfigurationError(
            f"The last layer of {shape.layers} has {shape.layers[-1]} units, which are no whole "
            f"number of groups of {label_bits!r} label bits. Choose a last layer of classes times "
            "label bits."
        )


def _arguments(
    shape: PackedShape, words: Words, inputs: PackedInputs,
    limits: npt.NDArray[np.integer] | None, of_last: bool,
) -> tuple[Words, npt.NDArray[np.int64], Words, npt.NDArray[np.int64]]:  # fmt: skip
    """What a kernel takes: inputs, layers, words and limits [network or 1, unit], all checked."""
    shape.check(words)
    if words.ndim != 2 or not len(words):
        raise ConfigurationError(
            f"Got words of shape {words.shape}; expected [network, word]: a population, if only of "
            "one network."
        )
    if not isinstance(inputs, PackedInputs):
        raise ConfigurationError(
            f"Got inputs of {type(inputs).__name__}; expected PackedInputs. Pack them by pack_bits "
            "or pack_pixels."
        )
    if inputs.n_inputs != shape.layers[0]:
        raise ConfigurationError(
            f"Got {inputs.n_inputs} inputs a row, but the network {shape.layers} takes "
            f"{shape.layers[0]}."
        )
    if ((1 << inputs.planes) - 1) * inputs.n_inputs >= 2**31:
        raise ConfigurationError(
            f"Sums of {inputs.n_inputs} inputs of {inputs.planes} bits do not fit 32 bits. Choose "
            "fewer inputs, or of fewer bits."
        )
    if limits is None:
        limits = shape.limits(planes=inputs.planes, of_last=of_last)
    whole = _limits(shape, limits, planes=inputs.planes, of_last=of_last)
    if len(whole) not in (1, len(words)):
        raise ConfigurationError(
            f"Got limits of shape {np.shape(limits)} for {len(words)} networks; expected [unit] or "
            "[network, unit]."
        )
    if whole.shape[1] == 0:  # a compiler wants a column, if one that nobody reads
        whole = np.zeros((1, 1), np.int64)
    layers = np.array(shape.layers, dtype=np.int64)
    return inputs.words, layers, np.ascontiguousarray(words), whole


def _limits(
    shape: PackedShape, limits: npt.ArrayLike, *, planes: int, of_last: bool
) -> npt.NDArray[np.int64]:
    """Limits as int64 [network or 1, unit], from -1 (never) to all bits (always), or an error."""
    found, expected = np.asarray(limits), sum(shape.layers[1:] if of_last else shape.layers[1:-1])
    if found.ndim not in (1, 2) or found.shape[-1] != expected or found.dtype.kind not in "iu":
        raise ConfigurationError(
            f"Got limits of {found.dtype} and shape {found.shape}; expected whole numbers, one for "
            f"each of {expected} units."
        )
    always = np.concatenate([np.full(n_out, n_in) for n_out, n_in in shape.matrices])[:expected]
    always[: shape.layers[1]] *= (1 << planes) - 1
    within = np.where(found > always, always, found).astype(np.int64)  # uint64 may be larger
    return np.atleast_2d(np.maximum(within, -1))


def _engine() -> Any:
    """The compiled kernels, or the same in NumPy where numba cannot be imported."""
    try:
        from qhyper.targets.layered import kernel
    except ImportError as error:
        from qhyper.targets.packed import numpy_engine as packed_numpy

        warnings.warn(
            f"numba cannot be imported ({error}): packed networks run on NumPy alone, which is "
            "correct but slower. Install numba for speed.",
            stacklevel=4,
        )
        return packed_numpy
    return kernel


# One network, and its file


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
        if not _whole(self.planes, at_least=1) or self.planes > MAX_PLANES:
            raise ConfigurationError(
                f"Got planes={self.planes!r}; expected 1 to {MAX_PLANES} bits a number."
            )
        if self.label_bits is not None:
            _check_groups(self.shape, self.label_bits)
        of_last = self.label_bits is not None
        limits = _limits(self.shape, self.limits, planes=self.planes, of_last=of_last)
        object.__setattr__(self, "limits", limits[0])
        if (self.scale is None) != (self.shift is None) or (
            self.scale is not None and self.label_bits
        ):
            raise ConfigurationError(
                "scale and shift go together, and not with label_bits. Give both or neither."
            )
        for name, numbers in (("scale", self.scale), ("shift", self.shift)):
            array = np.asarray(0.0 if numbers is None else numbers)
            if numbers is not None and (
                array.shape != (self.shape.layers[-1],)
                or array.dtype.kind not in "iuf"
                or not np.isfinite(array).all()
            ):
                raise ConfigurationError(
                    f"Got {name} of {array.dtype} and shape {array.shape}; expected "
                    f"{self.shape.layers[-1]} finite numbers, one a class."
                )
            object.__setattr__(self, name, None if numbers is None else array.astype(np.float64))

    def __repr__(self) -> str:
        takes = "bits" if self.planes == 1 else f"numbers of {self.planes} bits"
        gives = "sums" if self.scale is None else "scaled sums"
        gives = gives if self.label_bits is None else f"votes of {self.label_bits}"
        return f"PackedNetwork({'-'.join(map(str, self.shape.layers))}, from {takes} to {gives})"

    @classmethod
    def from_bits(cls, layers: Sequence[int], bits: npt.ArrayLike) -> "PackedNetwork":
        """The network of one draw [n_bits] of a generator, in the order of WeightSpace.

        Its outputs are the logits of `BinaryNetwork(layers)` on inputs of -1 and +1. Raises
        ConfigurationError unless there is one bit for each weight.
        """
        shape, array = PackedShape(tuple(layers)), np.asarray(bits)
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
        """Pack a binary torch module: see `packed_torch.from_torch`."""
        from qhyper.targets.packed.torch_module import from_torch

        return from_torch(module, inputs=inputs)

    def to_torch(self) -> "torch.nn.Sequential":
        """The network as a torch module in float64: see `packed_torch.to_torch`."""
        from qhyper.targets.packed.torch_module import to_torch

        return to_torch(self)

    def pack(self, x: npt.ArrayLike) -> PackedInputs:
        """Pack rows of inputs [row, input]: bits, or whole numbers of `planes` bits.

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
        """Sums or votes, int32, or scaled sums, float64: [row, class].

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
            plus = self.shape.unpack(self.words)[0].sum(axis=1, dtype=np.int32)
            of_ones = ((1 << self.planes) - 1) * (2 * plus - self.shape.layers[0])
            found = (found + of_ones) // 2
        if self.scale is None or self.shift is None:
            return found
        return _multiply_and_add(found, self.scale, self.shift)

    def predict(self, x: npt.ArrayLike | PackedInputs) -> npt.NDArray[np.int64]:
        """The class of the largest output, int64 [row]; ties go to the lower class."""
        return self.outputs(x).argmax(axis=1)

    def save(self, path: str | Path) -> None:
        """Write the network to a new file, whole or not at all.

        The file is an archive of NumPy arrays (.npz): `about`, JSON with the format, its version,
        layers, planes, label bits and a checksum of the others; `weights`, the bits of every unit
        in whole bytes; `limits`; and `scale` and `shift` if there are any.

        Raises ConfigurationError if there is a file of that name, StorageError if it cannot be
        written.
        """
        path = Path(path)
        if path.exists():
            raise ConfigurationError(
                f"There is already a file {path}. Choose another name, or remove it first."
            )
        about: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "layers": list(self.shape.layers),
            "planes": self.planes,
            "label_bits": self.label_bits,
        }
        octets = [
            np.packbits(bits, axis=-1, bitorder="little").ravel()
            for bits in self.shape.unpack(self.words)
        ]
        arrays: dict[str, npt.NDArray] = {
            "weights": np.concatenate(octets),
            "limits": self.limits.astype("<i4"),
        }
        if self.scale is not None and self.shift is not None:
            arrays |= {"scale": self.scale.astype("<f8"), "shift": self.shift.astype("<f8")}
        about["sha256"] = _digest(arrays)
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        write_whole(path, content.getvalue(), advice="Choose another folder, or make it first.")

    @classmethod
    def load(cls, path: str | Path) -> "PackedNetwork":
        """Read the network that `save` wrote.

        Raises MissingError if there is no such file, StorageError if it is damaged or no packed
        network, or if a newer version of qhyper wrote it.
        """
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
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}")
            if not _whole(about["version"], at_least=1):
                raise ValueError(f"its version is {about['version']!r}")
            if about["version"] > VERSION:
                raise _NewerError(about["version"])
            if about["sha256"] != _digest(arrays):
                raise ValueError("its checksum is another")
            return _from_file(about, arrays)
        except _NewerError as error:
            raise StorageError(
                f"{path} is of version {error}, and this qhyper reads versions up to {VERSION}. "
                "Update qhyper."
            ) from None
        except (
            OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, IndexError,
            zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError,
        ) as error:  # fmt: skip
            raise StorageError(
                f"{path} is damaged or no packed network: {str(error).rstrip('.')}. Copy it again "
                "from where it came from, or save the network again."
            ) from error


def _multiply_and_add(
    sums: npt.NDArray[np.integer], scale: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """sums * scale + shift, rounded once: [row, class].

    Processors do so in one instruction, and torch with them: two classes whose outputs are equal
    in torch would else differ in their last bit. By exact products of halves (Dekker 1971) and
    exact sums (Knuth 1969, vol. 2, 4.2.2) of numbers whose sums are whole and below 2^26.
    """
    split = scale * 134217729.0  # 2^27 + 1
    high = split - (split - scale)
    product, rest = sums * high, sums * (scale - high)
    total, rest = _exact_sum(product, rest)
    total, more = _exact_sum(total, shift)
    return total + (rest + more)


def _exact_sum(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """a + b as it is rounded, and what is lost."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


class _NewerError(Exception):
    """The version of a file that is too new."""


def _digest(arrays: dict[str, npt.NDArray]) -> str:
    """SHA-256 of arrays with their names, types and shapes."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _from_file(about: dict[str, Any], arrays: dict[str, npt.NDArray]) -> PackedNetwork:
    """The network of a file's parts; ValueError and its like if they do not fit."""
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
    return PackedNetwork(
        shape,
        shape.pack(matrices),
        arrays["limits"],
        about["planes"],
        about["label_bits"],
        arrays.get("scale"),
        arrays.get("shift"),
    )
