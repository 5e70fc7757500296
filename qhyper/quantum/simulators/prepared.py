"""What simulators share at given angles: states kept by row."""

from collections.abc import Callable

import numpy.typing as npt

from qhyper.quantum.backend import KEPT_BYTES


class ByRow:
    """`rows[replica, row]` is compute(angles[replica, row]), an array of `row_bytes` bytes.

    It is computed when it is first asked for. If all rows fit in KEPT_BYTES it is kept, and not
    to be written to; else it is computed each time, and the caller's own.
    """

    def __init__(
        self,
        compute: Callable[[npt.NDArray], npt.NDArray],
        angles: npt.NDArray,
        row_bytes: int,
    ) -> None:
        self._compute, self._angles = compute, angles
        self._rows: dict[tuple[int, ...], npt.NDArray] = {}
        self.keeps = angles.shape[0] * angles.shape[1] * row_bytes <= KEPT_BYTES

    def __getitem__(self, at: tuple[int, ...]) -> npt.NDArray:
        if not self.keeps:
            return self._compute(self._angles[at])
        if at not in self._rows:
            self._rows[at] = self._compute(self._angles[at])
        return self._rows[at]
