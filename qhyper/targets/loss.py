"""Losses of a classifier's logits: one number per row and possible label.

With one output the logits are (0, z): class 1 has probability sigmoid(z), and z = 0 predicts
class 0. A tie of logits predicts the lower class.

A loss is a function of logits float64 [..., row, class] that gives the loss of each label that a
row could have, [..., row, label], each row by itself; or a function of logits and labels
(`own_loss.py`). It is registered under the entry-point group `qhyper.losses`, or is
`module:function`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_float
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.registry import find, is_registered
from qhyper.targets import own_loss

LossName = str
"""The name of a loss: registered, or `module:function`."""
LOSSES = ("cross_entropy", "squared_error", "accuracy")
"""Those that compiled kernels know. With two classes they depend on the logits' difference alone;
of any other loss nothing is known but its values."""


NOT_BY_ROW = "gives one number for all rows, or one of each that depends on the others"


def check_loss(name: str) -> LossName:
    """The name as it is registered, with underscores for hyphens, or `module:function`.

    Raises ConfigurationError if there is no such loss, or if it is no function.
    """
    if not isinstance(name, str):
        what = getattr(name, "__name__", type(name).__name__)
        raise ConfigurationError(
            f"Got the loss {what} itself; expected its name, by which a run finds it again: put it "
            f"into a file mymodule.py beside you, and say 'mymodule:{what}'."
        )
    underscored = name.replace("-", "_")
    spelled = ":" in name or is_registered("loss", name) or not is_registered("loss", underscored)
    chosen = name if spelled else underscored
    _function(chosen)
    return chosen


def _function(name: LossName) -> Callable[[npt.NDArray[np.float64]], npt.ArrayLike]:
    found: Any = find("loss", name)
    a_class, function = isinstance(found, type), callable(found)
    if a_class or not function:
        what = f"the class {found.__name__}" if a_class else type(found).__name__
        raise ConfigurationError(
            f"Got the loss '{name}', which is {what}; expected a function of logits "
            "[..., row, class] that gives the loss of each label, [..., row, label], or of logits "
            "[row, class] and labels [row] that gives the loss of each row."
        )
    return found


def with_two_logits(logits: npt.NDArray) -> npt.NDArray:
    """Logits [..., outputs] with a single output z spelled out as (0, z)."""
    if logits.shape[-1] > 1:
        return logits
    return np.concatenate([np.zeros_like(logits), logits], axis=-1)


SAME_LOGIT = 1e-9
"""Logits that are no further apart are a tie: those of tanh and sigmoid are equal up to rounding
where symmetry makes them equal, and rounding is not the same everywhere."""


def predictions(logits: npt.NDArray) -> npt.NDArray[np.int64]:
    """The predicted class, int64 [...], of logits [..., outputs]; ties go to the lower class."""
    z = with_two_logits(logits)
    return np.argmax(z >= z.max(axis=-1, keepdims=True) - SAME_LOGIT, axis=-1)


def cross_entropy(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """-log softmax(logits)[label] of each label, in nats.

    Logits [..., row, class] to losses [..., row, label].
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=-1, keepdims=True)) - shifted


def squared_error(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Σ_c (softmax(logits)[c] - [c = label])² of each label, the Brier score (Brier, 1950).

    Logits [..., row, class] to losses [..., row, label].
    """
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return (p**2).sum(axis=-1, keepdims=True) - 2 * p + 1


def accuracy(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """0 for the label that a row is classified as, else 1; its mean over rows is 1 - accuracy.

    Logits [..., row, class] to losses [..., row, label].
    """
    return 1.0 - (predictions(logits)[..., None] == np.arange(logits.shape[-1]))


def is_by_row(loss: LossName, n_classes: int) -> bool:
    """Whether the loss is the mean of those of the rows, each of which depends on its row alone."""
    function = _function(loss)
    own = loss not in LOSSES and own_loss.takes_labels(function)
    return not own or own_loss.is_by_row(function, n_classes)


def mean_losses(
    logits: npt.NDArray, labels: npt.NDArray[np.int64], loss: LossName
) -> npt.NDArray[np.float64]:
    """The mean loss over rows with these labels [row], float64 [...], of logits [..., row, output].

    Raises ConfigurationError as `label_losses`, and takes losses that are not by row as well.
    """
    z = with_two_logits(logits)
    if is_by_row(loss, z.shape[-1]):
        return label_losses(logits, loss)[..., np.arange(len(labels)), labels].mean(axis=-1)
    flat = z.astype(np.float64).reshape(-1, *z.shape[-2:])
    return own_loss.of_draws(_function(loss), flat, labels).reshape(z.shape[:-2])


def label_losses(logits: npt.NDArray, loss: LossName) -> npt.NDArray[np.float64]:
    """The loss for each label that a row could have, float64 [..., row, label].

    `logits` [..., row, output]. Raises ConfigurationError if the loss gives another shape, or a
    number that is not finite, and UnsuitableError for one that is not by row.
    """
    z = with_two_logits(logits).astype(np.float64)  # a copy, which the loss may change
    function = _function(loss)
    if loss in LOSSES:
        return np.asarray(function(z))
    if own_loss.takes_labels(function):
        if not own_loss.is_by_row(function, z.shape[-1]):
            raise UnsuitableError(f"The loss '{loss}' {NOT_BY_ROW}.")
        return own_loss.of_each_label(function, z)
    found = as_float(function(z), f"losses by '{loss}'", "the loss of each label")
    if found.shape != logits.shape[:-1] + z.shape[-1:]:
        raise ConfigurationError(
            f"The loss '{loss}' gave {found.dtype} of shape {found.shape} for logits of shape "
            f"{z.shape}; expected the loss of each label, numbers of the same shape."
        )
    if not np.isfinite(found).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise ConfigurationError(
            f"The loss '{loss}' gave {found[first]} for the label {first[-1]} of the logits "
            f"{with_two_logits(logits)[first[:-1]].tolist()}; a loss must be a finite number."
        )
    return found
