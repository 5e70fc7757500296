"""A user's own loss of logits and labels: `loss(logits, labels)` on the rows of one network.

`logits` are float64 [row, class], `labels` int64 [row], NumPy's, or torch's for a function that
takes no others. It gives the loss of each row, [row], whose mean is meant, or one number for all of
them. Where the loss of a row depends on that row alone, as is tried once, rows of many networks are
asked for together, and rows that a network cannot tell apart once; else one network at a time.
torch's losses, and those with its argument `reduction="mean"`, are asked for the loss of each row.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError

Float = npt.NDArray[np.float64]
Loss = Callable[..., Any]
WANTED = "expected the loss of each row, [row], or one number for all of them"
_SAME = 1e-6
"""Losses are the same up to this share of themselves and of a usual one, in whatever unit: single
precision is a function's own."""


def takes_labels(function: Loss) -> bool:
    """Whether it is a function of logits and labels: has two arguments without a default.

    Of logits alone where that cannot be known. Raises ConfigurationError for more arguments.
    """
    try:
        parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
    except (TypeError, ValueError):
        return False
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p.name for p in parameters if p.kind in by_place and p.default is p.empty]
    if len(needed) > 2:
        raise ConfigurationError(
            f"Got a loss of {', '.join(needed)}; expected a function of (logits, labels), or of "
            "logits alone. Give the others a default."
        )
    return len(needed) == 2


def is_by_row(function: Loss, n_classes: int) -> bool:
    """Whether it is the mean over rows of what depends on each row alone, tried on random ones."""
    return _by_row(_Itself(function), n_classes) is not None


class _Itself:
    """A function as a key: two are the same if they are one object, and it need not be hashable."""

    def __init__(self, function: Loss) -> None:
        self.function = function  # kept, so that no other can get its id

    def __hash__(self) -> int:
        return id(self.function)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.function is other.function


@functools.lru_cache(maxsize=64)
def _by_row(itself: _Itself, n_classes: int) -> Loss | None:
    """The function that gives the loss of each row; None where it depends on the others."""
    function = itself.function
    # classes of unequal size, and some rows twice
    labels = np.concatenate([np.zeros(4, np.int64), np.arange(max(n_classes, 5)) % n_classes])
    logits = np.random.default_rng(0).normal(0, 2, (len(labels), n_classes))
    logits[1], logits[-1] = logits[0], logits[-2]
    one_number = asked(function, logits, labels).ndim == 0
    of_each = _of_each_row(function) if one_number else function
    try:
        every = asked(of_each, logits, labels)
        if every.ndim == 0:
            return None
        for some in ([1], [0, -1, -2], [5, 2, 4], np.arange(len(labels))[::-1]):
            alone = asked(of_each, logits[some], labels[some])
            mean = asked(function, logits[some], labels[some]).mean()
            found, expected = np.append(alone, mean), np.append(every[some], every[some].mean())
            if alone.ndim == 0 or not _same(found, expected, np.median(np.abs(every))):
                return None
    except ConfigurationError:
        if one_number:  # it is no loss of torch's kind after all
            return None
        raise
    return of_each


def _of_each_row(function: Loss) -> Loss:
    """The function without torch's reduction to a mean, where it has one; else itself."""
    if getattr(function, "reduction", None) == "mean":  # a module, such as CrossEntropyLoss()
        module = copy.copy(function)
        module.reduction = "none"  # type: ignore[attr-defined]
        return module
    reduction = inspect.signature(function).parameters.get("reduction")
    if reduction is not None and reduction.default == "mean":
        return functools.partial(function, reduction="none")
    return function


def _same(losses: Float, others: Float, usual: float) -> bool:
    return np.allclose(losses, others, rtol=_SAME, atol=_SAME * usual)


def of_each_label(function: Loss, logits: Float) -> Float:
    """The loss for each label that a row could have, [..., row, label], of a loss by row."""
    function = _by_row(_Itself(function), logits.shape[-1]) or function
    flat = logits.reshape(-1, logits.shape[-1])
    losses = np.empty(flat.shape)
    for label in range(flat.shape[1]):
        losses[:, label] = asked(function, flat, np.full(len(flat), label))
    return losses.reshape(logits.shape)


def of_draws(function: Loss, logits: Float, labels: npt.NDArray[np.int64]) -> Float:
    """The loss [draw] of logits [draw, row, class] on rows with these labels, one at a time."""
    return np.array([asked(function, of_one, labels).mean() for of_one in logits])


def asked(function: Loss, logits: Float, labels: npt.NDArray[np.int64]) -> Float:
    """What the loss gives: [row], or one number [].

    Raises ConfigurationError, with what was got, if that is no finite number, or fails.
    """
    found = _numbers(_called(function, logits, labels))
    name = _name(function)
    if found.shape not in ((), labels.shape) or found.dtype.kind not in "biuf":
        raise ConfigurationError(
            f"The loss '{name}' gave {found.dtype} of shape {found.shape} for logits of shape "
            f"{logits.shape} and labels of shape {labels.shape}; {WANTED}."
        )
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(np.broadcast_to(found, labels.shape))))
        raise ConfigurationError(
            f"The loss '{name}' gave {found if found.ndim == 0 else found[row]} for the logits "
            f"{logits[row].tolist()} and the label {labels[row]}; a loss must be a finite number."
        )
    return found.astype(np.float64)


def _name(function: Loss) -> str:
    function = function.func if isinstance(function, functools.partial) else function
    return getattr(function, "__name__", type(function).__name__)


def _called(function: Loss, logits: Float, labels: npt.NDArray[np.int64]) -> Any:
    """With copies, which the function may change: of NumPy, or of torch where these fail."""
    try:
        return function(logits.copy(), labels.astype(np.int64))
    except Exception as error:  # a user's function can fail in any way
        first = f"{type(error).__name__}: {error}"  # in words: an error would keep the copies
    import torch

    try:
        with torch.no_grad():
            return function(torch.from_numpy(logits.copy()), torch.from_numpy(labels.copy()))
    except Exception as error:
        name = _name(function)
        raise ConfigurationError(
            f"The loss '{name}' failed on float64 logits of shape {logits.shape} and int64 labels "
            f"of shape {labels.shape}. With NumPy arrays: {first}. With "
            f"torch tensors: {type(error).__name__}: {error}. It gets logits [row, class] and "
            f"labels [row]; {WANTED}."
        ) from error


def _numbers(found: Any) -> npt.NDArray:
    """What a function gave as an array: a tensor in float64, nothing that is masked."""
    if hasattr(found, "detach"):
        found = found.detach().cpu()
        return (found.double() if found.is_floating_point() else found).numpy()
    if np.ma.is_masked(found):
        raise ConfigurationError(
            "The loss gave a masked array with entries that are masked; expected a number for "
            "each row. Fill them: .filled(value)."
        )
    return np.asarray(found)
