"""Data sets by name; the only module that reads or downloads them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Samples:
    """Labelled rows: x float64 [row, feature], y int64 [row] with labels 0 to classes - 1."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """A named data set with its training and test rows."""

    name: str
    train: Samples
    test: Samples
