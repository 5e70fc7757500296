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
        """The features x [row, feature] scaled, in the same shape."""
        half = 0.5  # which is exact: a difference may be twice as large as its parts
        return (half * x - half * np.array(self.shift)) / (half * np.array(self.scale))


def fit(x: npt.NDArray[np.float64], by: str) -> Scaling:
    """The scaling of features x [row, feature] by another ScaleName than none.

    Features that are constant are shifted alone. Raises ConfigurationError for an unknown way, and
    for features of less than float64's normal numbers.
    """
    if by not in get_args(ScaleName):
        raise ConfigurationError(f"Got scale='{by}'; expected {', '.join(get_args(ScaleName))}.")
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    # in units of a power of two near the largest, which is exact: no square over- or underflows;
    # and from the first row on, so that a large offset leaves the differences their digits
    unit = np.ldexp(1.0, np.frexp(np.abs(x).max(axis=0))[1] - 1)
    first = x[0] / unit
    z = x / unit - first
    if by == "standard":
        fitted = StandardScaler().fit(z)
        shift, scale = fitted.mean_, fitted.scale_
    elif by == "median":
        fitted = RobustScaler().fit(z)
        shift, scale = fitted.center_, fitted.scale_
    else:
        fitted = MinMaxScaler((-1, 1)).fit(z)
        scale = 1 / fitted.scale_
        shift = -fitted.min_ * scale
    constant = (x == x[0]).all(axis=0)
    scale = np.where(constant, 1, np.asarray(scale) * unit)
    small = scale < np.finfo(float).tiny
    if small.any():
        raise ConfigurationError(
            f"Feature {int(np.argmax(small))} (counted from 0) differs by less than float64 can "
            "scale. Write it in a smaller unit."
        )
    shift = (np.asarray(shift) + first) * unit
    return Scaling(by, tuple(shift.tolist()), tuple(scale.tolist()))
