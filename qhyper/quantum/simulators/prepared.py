"""What simulators share at given angles: checked copies of these, and states kept by row."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError
from qhyper.quantum.backend import KEPT_BYTES

Float = npt.NDArray[np.float64]


def checked_angles(angles: Float, n_angles: int) -> Float:
    """A copy of angles [replica, row, angle].

    Raises ConfigurationError unless they are finite, n_angles a row and at least one row.
    """
    fits = angles.ndim == 3 and angles.shape[2] == n_angles and min(angles.shape[:2]) > 0
    if not fits or not np.isfinite(angles).all():
        raise ConfigurationError(
            f"Got angles of shape {angles.shape}; expected finite angles [replica, row, "
            f"{n_angles}], at least one row."
        )
    return np.array(angles, dtype=np.float64, order="C")


class ByRow:
    """`rows[replica, row]` is compute((replica, row)), an array of `row_bytes` bytes.

    It is computed when it is first asked for. If all rows fit in KEPT_BYTES it is kept, and not
    to be written to; else it is computed each time, and the caller's own.
    """

    def __init__(
        self,
        compute: Callable[[tuple[int, ...]], npt.NDArray],
        shape: tuple[int, ...],
        row_bytes: int,
    ) -> None:
        self._compute = compute
        self._rows: dict[tuple[int, ...], npt.NDArray] = {}
        self.keeps = shape[0] * shape[1] * row_bytes <= KEPT_BYTES

    def __getitem__(self, at: tuple[int, ...]) -> npt.NDArray:
        if not self.keeps:
            return self._compute(at)
        if at not in self._rows:
            self._rows[at] = self._compute(at)
        return self._rows[at]
