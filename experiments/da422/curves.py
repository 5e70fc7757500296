"""What is read off the curves of a training: the epoch chosen, and when a number is passed."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def chosen(found: Mapping[str, Any], epochs: int | None = None) -> int:
    """The first epoch of the highest held-out accuracy, from 1, among the first `epochs` or all."""
    return int(np.argmax(found["held_out"][:epochs])) + 1


def kept_accuracy(found: Mapping[str, Any], epochs: int | None = None) -> float:
    """Test accuracy of the epoch chosen; NaN if it has none."""
    share = found["tested"][chosen(found, epochs) - 1]
    return float("nan") if share is None else share


def passes(found: Mapping[str, Any], share: float) -> int | None:
    """The first epoch after which so many test images are right; None if there is none."""
    above = (
        number
        for number, tested in enumerate(found["tested"], 1)
        if tested is not None and tested >= share
    )
    return next(above, None)
