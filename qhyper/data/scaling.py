"""Features shifted and scaled, each by itself, as the training rows say."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError

ScaleName = Literal["standard", "median", "minmax", "none"]
"""What features are scaled by:

standard  mean 0 and standard deviation 1
median    median 0 and interquartile range 1
minmax    least value -1 and largest 1
none      as they are
"""


@dataclass(frozen=True)
class Scaling:
    """x becomes (x - shift) / scale, feature by feature."""

    by: str
    shift: tuple[float, ...]
    """[feature]"""
    scale: tuple[float, ...]
    """[feature], none of them 0"""
    of_target: tuple[float, float] | None = None
    """shift and scale of numbers to predict, where there are some"""

    def __call__(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Scaled features of x [row, feature]."""
        return (x - np.array(self.shift)) / np.array(self.scale)


def fit(x: npt.NDArray[np.float64], by: str) -> Scaling:
    """The scaling of features x [row, feature] by another ScaleName than none.

    Features that are constant are shifted alone. Raises ConfigurationError for an unknown way, and
    for features too large for their spread to be a number.
    """
    if by not in get_args(ScaleName):
        raise ConfigurationError(f"Got scale='{by}'; expected {', '.join(get_args(ScaleName))}.")
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    with np.errstate(all="ignore"):  # what overflows is refused below
        if by == "standard":
            fitted = StandardScaler().fit(x)
            shift, scale = fitted.mean_, fitted.scale_
        elif by == "median":
            fitted = RobustScaler().fit(x)
            shift, scale = fitted.center_, fitted.scale_
        else:
            fitted = MinMaxScaler((-1, 1)).fit(x)
            scale = 1 / fitted.scale_
            shift = -fitted.min_ * scale
    shift, scale = np.asarray(shift), np.asarray(scale)
    wrong = ~(np.isfinite(shift) & np.isfinite(scale) & (scale > 0))
    if wrong.any():
        raise ConfigurationError(
            f"Feature {int(np.argmax(wrong))} (counted from 0) reaches from "
            f"{x[:, wrong][:, 0].min():g} to {x[:, wrong][:, 0].max():g}, too far to be scaled by "
            f"'{by}'. Write it in a larger unit."
        )
    return Scaling(by, tuple(shift.tolist()), tuple(scale.tolist()))
