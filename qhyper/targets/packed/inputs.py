"""Inputs of packed networks, packed once: rows of bits, or of whole numbers as planes of bits.

Bits stand for -1 and +1. Numbers v of p bits are p planes of bits, which stand for
2 v - (2^p - 1); with p = 8 these are pixels, 2 (v - 127.5).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, is_whole
from qhyper.bits import WORD, Bits, Words, n_words, pack
from qhyper.errors import ConfigurationError

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
        if not isinstance(self.words, np.ndarray) or not is_whole(self.n_inputs, at_least=1):
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
    if not is_whole(planes, at_least=1) or planes > MAX_PLANES:
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
    array = as_array(values, "inputs", "numbers [row, input]")
    if array.ndim != 2 or 0 in array.shape:
        raise ConfigurationError(
            f"Got inputs of {array.dtype} and shape {array.shape}; expected numbers [row, input], "
            "at least one of each. One row is x[None]; images are flattened, reshape(len(x), -1)."
        )
    return array


def _planes(planes: Iterable[Bits]) -> Words:
    """Bits [row, input] of each plane as words [plane, word, row]."""
    return np.stack([pack(bits).T for bits in planes])
