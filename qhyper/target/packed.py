"""Packed networks of any size: binary weights and activations as bits, on packed inputs.

A network of layers such as (784, 128, 10) is `words`, uint64 [word]: layer by layer, unit by unit,
⌈inputs / 64⌉ words a unit, bit i % 64 of word i // 64 for input i; bit 1 is weight +1, bit 0 is
-1, and bits past the end are zero. Many networks of one shape, a population, are [network, word].

Inputs are packed once: bits, which stand for -1 and +1, or numbers v of p bits as p planes of
bits, which stand for 2 v - (2^p - 1); with p = 8 these are pixels, 2 (v - 127.5).

Beside torch, which nothing here needs, numba is needed for speed alone: without it NumPy does the
same, slower, and a warning says so.
"""

import hashlib
import importlib.util
import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, eq=False)
class PackedInputs:
    """Rows of inputs, packed: `words` uint64 [plane, word, row], `n_inputs` numbers a row.

    Made by `pack_bits` or `pack_pixels`. Raises ConfigurationError for words of another type or
    shape, or with ones past the last input.
    """

    words: Words
    n_inputs: int

    def __post_init__(self) -> None:
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
    if array.dtype != np.uint8 and not np.isin(array, (0, 1)).all():
        wrong = array[~np.isin(array, (0, 1))][0]
        raise ConfigurationError(
            f"A packed layer takes bits, 0 for -1 and 1 for +1; got {wrong}. Compare with a "
            "threshold first, such as pixels >= 128, or pack whole numbers by pack_pixels."
        )
    return PackedInputs(_words(as_bits(array, array.shape[1])[None]), array.shape[1])


def pack_pixels(pixels: npt.ArrayLike, *, planes: int = 8) -> PackedInputs:
    """Pack whole numbers [row, input] from 0 to 2^planes - 1, by default pixels.

    Raises ConfigurationError if they are not two-dimensional or not such numbers.
    """
    array = _rows(pixels)
    if not 1 <= planes <= MAX_PLANES:
        raise ConfigurationError(f"Got planes={planes}; expected 1 to {MAX_PLANES} bits a number.")
    expected = f"expected whole numbers from 0 to {(1 << planes) - 1}, such as pixels"
    if array.dtype.kind not in "buif":
        raise ConfigurationError(f"Got inputs of {array.dtype}; {expected}.")
    # comparisons are False for NaN, and keep it from being cast
    sound = (array >= 0) & (array < 1 << planes)
    if not sound.all() or (array != np.floor(array)).any():
        wrong = array[~sound | (array != np.floor(array))][0]
        raise ConfigurationError(f"Got the input {wrong}; {expected}.")
    whole = array.astype(np.uint16)
    bits = np.stack([(whole >> b & 1).astype(np.uint8) for b in range(planes)])
    return PackedInputs(_words(bits), array.shape[1])


def _rows(values: npt.ArrayLike) -> npt.NDArray:
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise ConfigurationError(
            f"Got inputs of shape {array.shape}; expected [row, input], at least one of each."
        )
    return array


def _words(bits: Bits) -> Words:
    """Bits [plane, row, input] as words [plane, word, row]."""
    return np.ascontiguousarray(pack(bits).transpose(0, 2, 1))


@dataclass(frozen=True)
class PackedShape:
    """The layers of packed networks, inputs first: how words hold their weights.

    Raises ConfigurationError unless there are two layers or more, of one unit or more each.
    """

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        layers = tuple(self.layers)
        if len(layers) < 2 or not all(_whole(size) and size >= 1 for size in layers):
            raise ConfigurationError(
                f"Got layers {layers}; expected two sizes or more, of 1 or more each, inputs "
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
        """Raise ConfigurationError unless `words` is uint64 [..., n_words], with zeros at the end.

        Only the bits past the end of a unit's last word have to be zero.
        """
        if words.dtype != np.uint64 or words.ndim < 1 or words.shape[-1] != self.n_words:
            raise ConfigurationError(
                f"Got words of {words.dtype} and shape {words.shape}, expected uint64 [..., word] "
                f"with {self.n_words} words for the layers {self.layers}."
            )


def _whole(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


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
    to the lower class. The memory it takes does not grow with networks or rows, but for one
    number a network and 128 rows. Raises ConfigurationError as `sums` and `votes` do, and unless
    `labels` are whole numbers [row].
    """
    if label_bits is not None:
        _check_groups(shape, label_bits)
    arguments = _arguments(shape, words, inputs, limits, of_last=label_bits is not None)
    truth = np.asarray(labels)
    if truth.shape != (len(inputs),) or truth.dtype.kind not in "iu":
        raise ConfigurationError(
            f"Got labels of {truth.dtype} and shape {truth.shape}; expected whole numbers [row], "
            f"one for each of {len(inputs)} rows."
        )
    return _engine().correct(*arguments, label_bits or 0, truth.astype(np.int64))


def _check_groups(shape: PackedShape, label_bits: int) -> None:
    if not _whole(label_bits) or label_bits < 1 or shape.layers[-1] % label_bits:
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
    if words.ndim != 2:
        raise ConfigurationError(
            f"Got words of shape {words.shape}; expected [network, word]: a population, if only of "
            "one network."
        )
    if inputs.n_inputs != shape.layers[0]:
        raise ConfigurationError(
            f"Got {inputs.n_inputs} inputs a row, but the network {shape.layers} takes "
            f"{shape.layers[0]}."
        )
    found = np.asarray(limits)
    if limits is None:
        found = shape.limits(planes=inputs.planes, of_last=of_last)
    expected = sum(shape.layers[1:] if of_last else shape.layers[1:-1])
    networks = found.shape[0] if found.ndim == 2 else 1
    if found.ndim not in (1, 2) or found.shape[-1] != expected or networks not in (1, len(words)):
        raise ConfigurationError(
            f"Got limits of shape {found.shape}; expected [unit] or [network, unit] with "
            f"{expected} units and {len(words)} networks."
        )
    whole = np.atleast_2d(found).astype(np.int64)
    if whole.shape[1] == 0:  # a compiler wants a column, if one that nobody reads
        whole = np.zeros((1, 1), np.int64)
    layers = np.array(shape.layers, dtype=np.int64)
    return inputs.words, layers, np.ascontiguousarray(words), whole


def _engine() -> Any:
    """The compiled kernels, or the same in NumPy where numba is absent."""
    if importlib.util.find_spec("numba") is None:
        from qhyper.target import packed_numpy

        warnings.warn(
            "numba is not installed: packed networks run on NumPy alone, which is correct but "
            "slower. Install numba for speed.",
            stacklevel=4,
        )
        return packed_numpy
    from qhyper.target import kernel

    return kernel


# One network, and its file


@dataclass(frozen=True, eq=False)
class PackedNetwork:
    """One packed network: what it takes, its weights, its units' limits, and what comes out.

    Outputs are the sums of the last layer, int32 (the default), or with `label_bits` the votes of
    groups of so many of its units, or with `scale` and `shift` float64 [class] scaled sums.

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
        if not np.array_equal(self.shape.pack(self.shape.unpack(self.words)), self.words):
            raise ConfigurationError(
                "Got ones past the end of a unit's weights; expected zeros. Make the words by "
                "PackedShape.pack."
            )
        if not _whole(self.planes) or not 1 <= self.planes <= MAX_PLANES:
            raise ConfigurationError(
                f"Got planes={self.planes!r}; expected 1 to {MAX_PLANES} bits a number."
            )
        if self.label_bits is not None:
            _check_groups(self.shape, self.label_bits)
        units = sum(self.shape.layers[1:] if self.label_bits else self.shape.layers[1:-1])
        if self.limits.shape != (units,) or self.limits.dtype.kind not in "iu":
            raise ConfigurationError(
                f"Got limits of {self.limits.dtype} and shape {self.limits.shape}; expected whole "
                f"numbers, one for each of {units} units."
            )
        if (self.scale is None) != (self.shift is None) or (
            self.scale is not None and self.label_bits
        ):
            raise ConfigurationError(
                "scale and shift go together, and not with label_bits. Give both or neither."
            )
        for name, numbers in (("scale", self.scale), ("shift", self.shift)):
            if numbers is not None and (
                numbers.shape != (self.shape.layers[-1],) or not np.isfinite(numbers).all()
            ):
                raise ConfigurationError(
                    f"Got {name} of shape {numbers.shape}; expected {self.shape.layers[-1]} finite "
                    "numbers, one a class."
                )

    @classmethod
    def from_bits(cls, layers: Sequence[int], bits: npt.ArrayLike) -> "PackedNetwork":
        """The network of one draw [n_bits] of a generator, in the order of WeightSpace.

        Its outputs are the logits of `BinaryNetwork(layers)` on inputs of -1 and +1. Raises
        ConfigurationError unless there is one bit for each weight.
        """
        shape = PackedShape(tuple(layers))
        return cls(shape, shape.from_bits(bits), shape.limits())

    @classmethod
    def from_torch(
        cls, module: "torch.nn.Module", *, inputs: Literal["signs", "pixels"]
    ) -> "PackedNetwork":
        """Pack a binary torch module: see `packed_torch.from_torch`."""
        from qhyper.target.packed_torch import from_torch

        return from_torch(module, inputs=inputs)

    def to_torch(self) -> "torch.nn.Sequential":
        """The network as a torch module in float64: see `packed_torch.to_torch`."""
        from qhyper.target.packed_torch import to_torch

        return to_torch(self)

    def pack(self, x: npt.ArrayLike) -> PackedInputs:
        """Pack rows of inputs [row, input]: bits, or whole numbers of `planes` bits."""
        return pack_bits(x) if self.planes == 1 else pack_pixels(x, planes=self.planes)

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
        return found if self.scale is None else found * self.scale + self.shift

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
        np.savez(content, allow_pickle=False, **arrays)
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "PackedNetwork":
        """Read the network that `save` wrote.

        Raises MissingError if there is no such file, StorageError if it is damaged or no packed
        network, or if a newer version of qhyper wrote it.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"There is no file {path.absolute()}. Check the path.")
        with storage(path):
            content = path.read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            about = json.loads(arrays.pop("about").tobytes())
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}")
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
            zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
        ) as error:  # fmt: skip
            raise StorageError(
                f"{path} is damaged or no packed network: {error}. Copy it again from where it "
                "came from, or save the network again."
            ) from error


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
        arrays["limits"].astype(np.int64),
        about["planes"],
        about["label_bits"],
        arrays.get("scale"),
        arrays.get("shift"),
    )
