"""Sight: how much of the rows of its data the first layer of a network leaves."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_ROWS = 2000
"""Rows that are looked at, evenly spaced over the data: some thousand tell a share to 0.02."""
KEPT = 0.5
"""Rows are merged for the worse where less than this share of what neighbours tell is left. Images
of 2x2 pixels, of which few rows differ by nature, keep 0.8 and more, and features of one sign,
which units see as constants, 0 to 0.25."""
TOLD = 0.05
"""What the features tell of the class, in accuracy, below which there is nothing to lose."""


@dataclass(frozen=True)
class Sight:
    """What a network can know of the classes, as shares of rows, by what it sees of the features.

    All are of at most 2,000 rows of the training data.
    """

    rows: int
    """that are looked at and are not the same"""
    told_apart: int
    """groups of rows that some unit of the first layer tells apart"""
    constant: float
    """accuracy of the most frequent class alone"""
    left: float
    """accuracy of the most frequent class of each group: no network of these units has more"""
    by_neighbours: float
    """accuracy of the class of the nearest other row, by features of standard size: about what the
    features tell, since its error is at most twice the least (Cover and Hart, 1967)"""

    @property
    def merged(self) -> bool:
        """Whether rows that differ in class, by their features, look the same to the network."""
        told = self.by_neighbours - self.constant
        return told >= TOLD and self.left - self.constant < KEPT * told


def looked_at(n_rows: int) -> npt.NDArray[np.intp]:
    """Numbers of the rows that are looked at, int [row]: at most 2,000, evenly spaced."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, MOST_ROWS)).astype(np.intp))


def sight(x: npt.NDArray[np.float64], y: npt.NDArray[np.integer], seen: npt.NDArray) -> Sight:
    """The sight of rows x [row, feature] with classes y [row], of which a network sees `seen`.

    `seen` [row, any] has equal rows where no unit of its first layer tells rows apart.
    """
    group = _groups(seen)
    of_group = np.zeros((group.max() + 1, int(y.max()) + 1), np.int64)
    np.add.at(of_group, (group, y), 1)
    return Sight(
        rows=int(_groups(x).max()) + 1,
        told_apart=len(of_group),
        constant=float(of_group.sum(axis=0).max() / len(y)),
        left=float(of_group.max(axis=1).sum() / len(y)),
        by_neighbours=_by_neighbours(x, y),
    )


def _groups(rows: npt.NDArray) -> npt.NDArray[np.intp]:
    """The number of each row [row, any] among the different ones, int [row]."""
    numbers: dict[bytes, int] = {}
    signless = rows + np.zeros((), rows.dtype)  # -0.0 is 0.0
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in signless])


def _by_neighbours(x: npt.NDArray[np.float64], y: npt.NDArray[np.integer]) -> float:
    if len(y) < 2:
        return 1.0
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    squares = (z**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * z @ z.T
    np.fill_diagonal(distances, np.inf)
    return float((y[distances.argmin(axis=1)] == y).mean())
