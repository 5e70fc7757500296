"""Bit order and packing: the only module that knows them.

A bitstring is a row of uint8 zeros and ones; column i is bit i. Packed, bit i stands at position
i % 64 of word i // 64 (uint64), and the bits past the end of the last word are zero.
"""

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array
from qhyper.errors import ConfigurationError

Bits = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

WORD = 64


def n_words(n_bits: int) -> int:
    """Number of 64-bit words that hold `n_bits` bits."""
    return -(-n_bits // WORD)


def as_bits(bits: npt.ArrayLike, n_bits: int) -> Bits:
    """Check `bits` [..., n_bits] and return them as contiguous uint8.

    Raises ConfigurationError if the last axis is not `n_bits` long or a value is neither 0 nor 1.
    """
    array = as_array(bits, "bits", "0 and 1, [..., bit]")
    if array.ndim == 0 or array.shape[-1] != n_bits:
        width = array.shape[-1] if array.ndim else "no"
        raise ConfigurationError(
            f"Got bitstrings of {width} bits, expected {n_bits}: the last axis is the bit."
        )
    if array.dtype != np.uint8 or (array.size and array.max() > 1):
        if not np.isin(array, (0, 1)).all():
            raise ConfigurationError(
                "Bits must be 0 or 1; got other values. Bit 1 stands for weight +1, bit 0 for -1."
            )
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array)


def pack(bits: Bits) -> Words:
    """Pack bits [..., n_bits] into uint64 words [..., n_words]."""
    octets = np.packbits(bits, axis=-1, bitorder="little")
    padded = np.zeros((*octets.shape[:-1], n_words(bits.shape[-1]) * 8), np.uint8)
    padded[..., : octets.shape[-1]] = octets
    return padded.view("<u8").astype(np.uint64, copy=False)


def unpack(words: Words, n_bits: int) -> Bits:
    """Unpack uint64 words [..., n_words] into bits [..., n_bits]."""
    octets = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=n_bits, bitorder="little")


def all_bitstrings(n_bits: int, start: int = 0, stop: int | None = None) -> Bits:
    """Bitstrings number `start` to `stop` - 1 (default: all 2^n_bits), as [number, n_bits].

    Bit i of bitstring k is (k >> i) & 1, so bit 0 changes fastest.
    """
    stop = 1 << n_bits if stop is None else stop
    return unpack(np.arange(start, stop, dtype=np.uint64)[:, None], n_bits)


def to_string(bits: Bits) -> str:
    """One bitstring [n_bits] as text, bit 0 first."""
    return "".join("1" if bit else "0" for bit in bits)


def from_string(text: str) -> Bits:
    """The bitstring [n_bits] that `to_string` wrote."""
    if not text or set(text) - {"0", "1"}:
        raise ConfigurationError(f"A bitstring is written with 0 and 1, bit 0 first; got '{text}'.")
    return np.frombuffer(text.encode(), dtype=np.uint8) - np.uint8(ord("0"))
