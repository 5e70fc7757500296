"""Arrays of whatever a user has: lists, NumPy, torch, pandas. The checks of all of it are here.

`np.asarray` alone drops a mask, rounds whole numbers past 2^53 once they are made float64, and
fails in words of its own at a tensor that needs a gradient or is of bfloat16.
"""

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError

Float = npt.NDArray[np.float64]

HUGE = 1e100
"""Parameters, inputs, losses and temperatures are below this in size, or refused: then products of
a few of them, squares and sums over many are never infinite."""
_EXACT = 2**53
"""All whole numbers up to here are float64 ones."""
_FEW = 6
"""Numbers that are said one by one."""


def as_array(values: Any, what: str, expected: str = "real numbers") -> npt.NDArray:
    """`values` as an array of bools, whole numbers or floats, exactly; a copy only if need be.

    Tensors come without their graph, from any device; bfloat16 and smaller floats as float32.
    Raises ConfigurationError, which says `what` was got and what was `expected`, for masked
    entries, rows of different lengths, and anything that is no array of real numbers: text, complex
    numbers, objects, sparse tensors.
    """
    if type(values) is np.ndarray and values.dtype.kind in "biuf":
        return values
    try:
        array = np.asarray(_opened(values, what, expected))
    except ConfigurationError:
        raise
    except Exception as error:  # what a user passes can fail in any way
        if "inhomogeneous" in str(error):
            raise ConfigurationError(
                f"Got rows of different lengths in {what}; expected {expected}."
            ) from error
        raise ConfigurationError(
            f"Got {what} of the type {type(values).__name__}, which cannot be read "
            f"({type(error).__name__}: {error}); expected {expected}."
        ) from error
    if array.dtype.type.__module__ == "ml_dtypes":  # bfloat16 of JAX and TensorFlow, and smaller
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        by = "astype(float)" if hasattr(values, "astype") else "np.array(..., dtype=float)"
        advice = f" Convert it first, such as by {by}." * (array.dtype.kind in "OUST")
        raise ConfigurationError(
            f"Got {what} of {array.dtype} and shape {array.shape}; expected {expected}.{advice}"
        )
    return array


def as_float(values: Any, what: str, expected: str = "real numbers") -> Float:
    """`values` as float64, exactly; a copy only if need be. Errors as `as_array`.

    And ConfigurationError for whole numbers past 2^53 that float64 has to round, and for longer
    floats beyond its range; those within are rounded to it. NaN and infinity pass: what they mean,
    the caller knows.
    """
    array = as_array(values, what, expected)
    if array.dtype == np.float64:
        if isinstance(values, list | tuple):  # may mix floats and whole numbers
            _check_whole(_whole_numbers(values) if _may_round(array) else (), what)
        return array
    if array.dtype.kind in "iu":
        _check_whole(array[_large(array)].tolist() if _may_round(array) else (), what)
        return array.astype(np.float64)
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float64)
    if array.dtype.itemsize > 8 and (np.isinf(numbers) & ~np.isinf(array)).any():
        raise ConfigurationError(
            f"Got {what} of {array.dtype}, some of which are beyond float64; expected numbers up "
            "to 1.8e308 in size. Scale them."
        )
    return numbers


def as_number(value: Any) -> float:
    """A real number as a float; NaN for anything else, infinity where it is beyond float64."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def is_whole(number: Any, *, at_least: int) -> bool:
    """Whether it is a whole number, Python's or NumPy's, of at least so much; bools are none."""
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    return whole and int(number) >= at_least


def _opened(values: Any, what: str, expected: str) -> Any:
    """What np.asarray reads right: tensors and masked arrays opened, also those in lists."""
    torch = sys.modules.get("torch")  # else nothing can be a tensor
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise ConfigurationError(
                f"Got {what} with {int(np.ma.count_masked(values))} of {values.size} entries "
                f"masked; expected {expected}, each with a value. Fill them in, by filled(value), "
                "or leave out their rows."
            )
        return np.ma.getdata(values)
    if torch is not None and isinstance(values, torch.Tensor):
        return _of_tensor(values, torch)
    if isinstance(values, list | tuple):
        return [
            each if type(each) in (int, float, bool) else _opened(each, what, expected)
            for each in values
        ]
    return values


def _of_tensor(tensor: Any, torch: Any) -> npt.NDArray:
    if tensor.layout is not torch.strided:
        raise TypeError("it is sparse; pass tensor.to_dense()")
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    if plain.is_floating_point() and plain.dtype not in (
        torch.float16, torch.float32, torch.float64
    ):  # fmt: skip
        plain = plain.float()  # exact: it has the range of bfloat16, and more digits
    return plain.numpy()


def _large(array: npt.NDArray) -> npt.NDArray[np.bool_]:
    return (array >= _EXACT) | (array <= -_EXACT)


def _may_round(array: npt.NDArray) -> bool:
    """Whether there can be a whole number that float64 rounds."""
    return bool(array.size) and array.dtype.itemsize == 8 and bool(_large(array).any())


def _whole_numbers(values: Any) -> Iterable[int]:
    """The whole numbers in lists of lists, at any depth."""
    for each in values:
        if isinstance(each, list | tuple):
            yield from _whole_numbers(each)
        elif isinstance(each, int | np.integer):
            yield int(each)
        elif isinstance(each, np.ndarray) and each.dtype.kind in "iu":
            yield from each.ravel().tolist()


def _check_whole(numbers: Iterable[int], what: str) -> None:
    for number in numbers:
        if int(float(number)) != number:
            raise ConfigurationError(
                f"Got {what} with the whole number {number}, which float64 rounds to "
                f"{int(float(number))}; expected whole numbers up to 2^53 in size. Subtract what "
                "they have in common, or round them yourself, by astype(np.float64)."
            )


# -- numbers in words --------------------------------------------------------------------------


def counted(number: int, noun: str) -> str:
    """So many of something: "1 bit", "1,024 bits"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def brief(values: Iterable[Any]) -> str:
    """Numbers as a line of text: all of up to six, else the least and the largest."""
    numbers = [float(value) for value in values]
    if len(numbers) <= _FEW:
        return ", ".join(f"{number:.4g}" for number in numbers)
    return f"{min(numbers):.4g} to {max(numbers):.4g}"
