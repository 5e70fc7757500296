"""What simulators share at given angles: states kept by row, scores from amplitudes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
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


def numbers_of_strings(bits: Bits) -> npt.NDArray[np.int64]:
    """The place of bitstrings [..., qubit] in a table, qubit 0 changing fastest."""
    return bits @ (1 << np.arange(bits.shape[-1], dtype=np.int64))


def scores_by_turning(circuit: Any, angles: npt.NDArray, bits: Bits) -> npt.NDArray[np.float64]:
    """∂ log p of draws by each angle, one simulation an angle: ∂ log p = Re ψ(angle + π) / ψ.

    `circuit.at(angles)` has `amplitudes` of the strings of given numbers [replica, row, shot].
    """
    numbers = numbers_of_strings(bits)
    amplitude = circuit.at(angles).amplitudes(numbers)
    out = np.zeros((*bits.shape[:3], angles.shape[-1]))
    for k in range(angles.shape[-1]):
        turned = angles.copy()
        turned[..., k] += np.pi  # ∂ exp(-i angle P / 2) = exp(-i (angle + π) P / 2) / 2
        moved = circuit.at(turned).amplitudes(numbers)
        ratio = np.divide(moved, amplitude, out=np.zeros_like(moved), where=amplitude != 0)
        out[..., k] = np.real(ratio)
    return out
