"""Populations: many packed networks of one shape on the same inputs.

A sign, of a sum that is an integer, is a limit: the largest count of bits in which inputs and
weights may differ.

NumPy alone is needed. numba is there for speed: without it NumPy does the same, slower, and a
warning says so.
"""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, is_whole
from qhyper.bits import Words
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.shape import PackedShape


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
    check_groups(shape, label_bits)
    arguments = _arguments(shape, words, inputs, limits, of_last=True)
    return _engine().scores(*arguments, label_bits).swapaxes(1, 2)


def correct(
    shape: PackedShape, words: Words, inputs: PackedInputs, labels: npt.ArrayLike,
    label_bits: int | None = None, limits: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Rows that each network of `words` [network, word] classifies correctly, int64 [network].

    `limits` [unit] or [network, unit] are those of `sums` or `votes`. The class is that of the
    largest of `sums`, or of `votes` if there are `label_bits`; ties go to the lower class. With
    numba, the memory that it takes is one number for each network and 128 rows. Raises
    ConfigurationError as `sums` and `votes` do, and unless `labels` are classes [row].
    """
    if label_bits is not None:
        check_groups(shape, label_bits)
    arguments = _arguments(shape, words, inputs, limits, of_last=label_bits is not None)
    truth = as_array(labels, "labels", "classes, one a row")
    classes = shape.layers[-1] // (label_bits or 1)
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


def check_sums(n_inputs: int, planes: int) -> None:
    """Raise ConfigurationError if sums of inputs of so many planes do not fit 32 bits."""
    if ((1 << planes) - 1) * n_inputs >= 2**31:
        raise ConfigurationError(
            f"Sums of {n_inputs} inputs of {planes} bits do not fit 32 bits. Choose fewer inputs, "
            "or of fewer bits."
        )


def check_groups(shape: PackedShape, label_bits: int) -> None:
    """Raise ConfigurationError unless the last layer is whole groups of `label_bits` units."""
    if not is_whole(label_bits, at_least=1) or shape.layers[-1] % label_bits:
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
    check_sums(inputs.n_inputs, inputs.planes)
    if limits is None:
        limits = shape.limits(planes=inputs.planes, of_last=of_last)
    whole = checked_limits(shape, limits, planes=inputs.planes, of_last=of_last)
    if len(whole) not in (1, len(words)):
        raise ConfigurationError(
            f"Got limits of shape {np.shape(limits)} for {len(words)} networks; expected [unit] or "
            "[network, unit]."
        )
    if whole.shape[1] == 0:  # a compiler wants a column, if one that nobody reads
        whole = np.zeros((1, 1), np.int64)
    layers = np.array(shape.layers, dtype=np.int64)
    return inputs.words, layers, np.ascontiguousarray(words), whole


def checked_limits(
    shape: PackedShape, limits: npt.ArrayLike, *, planes: int, of_last: bool
) -> npt.NDArray[np.int64]:
    """Limits as int64 [network or 1, unit], from -1 (never) to all bits (always), or an error."""
    found = as_array(limits, "limits", "whole numbers, one a unit")
    expected = sum(shape.layers[1:] if of_last else shape.layers[1:-1])
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
    """The compiled engine, or the same in NumPy where numba cannot be imported."""
    try:
        from qhyper.targets.packed import numba_engine
    except ImportError as error:
        from qhyper.targets.packed import numpy_engine

        warnings.warn(
            f"numba cannot be imported ({error}): packed networks run on NumPy alone, which is "
            "correct but slower. Install numba for speed.",
            stacklevel=4,
        )
        return numpy_engine
    return numba_engine
