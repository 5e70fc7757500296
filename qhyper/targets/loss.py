"""Losses of a classifier's logits: one number per row and possible label.

With one output the logits are (0, z): class 1 has probability sigmoid(z), and z = 0 predicts
class 0. A tie of logits predicts the lower class.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from qhyper.errors import unknown

LossName = Literal["cross_entropy", "squared_error", "accuracy"]
LOSSES: tuple[LossName, ...] = get_args(LossName)


def check_loss(name: str) -> LossName:
    """`name` with hyphens read as underscores; raises ConfigurationError if there is no such."""
    wanted = name.replace("-", "_")
    for known in LOSSES:
        if known == wanted:
            return known
    raise unknown("loss", name, LOSSES)


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


def label_losses(logits: npt.NDArray, loss: LossName) -> npt.NDArray[np.float64]:
    """The loss for each label that a row could have, float64 [..., classes].

    - cross_entropy: -log softmax(logits)[label], in nats
    - squared_error: Σ_c (softmax(logits)[c] - [c = label])², the Brier score (Brier, 1950)
    - accuracy: 0 if the row is classified as its label, else 1; its mean is 1 - accuracy
    """
    z = with_two_logits(logits).astype(np.float64)
    classes = z.shape[-1]
    if loss == "accuracy":
        return 1.0 - (predictions(logits)[..., None] == np.arange(classes))
    shifted = z - z.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    normaliser = exponentials.sum(axis=-1, keepdims=True)
    if loss == "cross_entropy":
        return np.log(normaliser) - shifted
    p = exponentials / normaliser
    return (p**2).sum(axis=-1, keepdims=True) - 2 * p + 1
