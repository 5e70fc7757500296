"""The problem that counting errors can work on: the network sees signs, and tells what is wrong.

There are but 16 patterns of four signs. Rows that are alike are therefore counted once, with their
multiplicity, and a loss takes no longer on 80,000 rows than on 32. It is the objective of
PackedTarget((4, 6, 2), scale=1), to rounding, and that of BinaryNetwork((4, 6, 2)) on the signs.
"""

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array
from qhyper.bits import Bits, as_bits
from qhyper.data.samples import Samples
from qhyper.targets.objective import Objective
from qhyper.targets.target import Float, ObjectiveCapabilities

LAYERS = (4, 6, 2)


def signs(data: Samples) -> Samples:
    """The same rows with -1 and +1 in place of the features, the sign of zero +1."""
    return Samples(np.where(data.x >= 0, 1.0, -1.0), data.y)


class SignedObjective(Objective):
    """Cross-entropy of 4-6-2 networks of signs, and the weights that their errors are laid to."""

    capabilities = ObjectiveCapabilities(flips=True, wrong_weights=True)

    def __init__(self, data: Samples) -> None:
        alike = np.column_stack([data.x, data.y])
        cells, self._times = np.unique(alike, axis=0, return_counts=True)
        self._x, self._y = cells[:, :-1], cells[:, -1].astype(np.int64)
        self._labels = as_array(data.y, "labels", "classes, one a row")
        super().__init__(
            None, 36, name="4-6-2 on signs", loss="cross_entropy", n_rows=len(data)
        )  # fmt: skip

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of every row, int64 [row]."""
        return self._labels

    def wrong_weights(self, bits: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.bool_]]:
        """Losses [...] of bits [..., bit], and whether errors are laid to a bit, bool [..., bit].

        The rule is that of `qhyper.targets.packed.wrong` for one unit a class.
        """
        array = as_bits(bits, self.n_bits)
        hidden, second, logits = self._passed(array.reshape(-1, self.n_bits))
        self.count(len(logits))
        out = logits >= 0
        errors = self._times[:, None] * (out != (np.arange(2) == self._y[:, None]))
        half = (self.n_rows + 1) // 2
        unit = 2 * errors.sum(axis=1) >= self.n_rows  # [draw, unit]
        # a weight voted for 1 where input and weight are equal, and for 0 where they differ
        voted = (hidden[..., None] == second[:, None]) == out[:, :, None]
        last = (errors[:, :, None] * voted).sum(axis=1) >= half  # [draw, hidden, unit]
        last &= unit[:, None]
        first = np.broadcast_to(last.all(axis=2)[:, None], (len(last), 4, 6))
        wrong = np.concatenate([part.reshape(len(last), -1) for part in (first, last)], axis=1)
        return self._losses(logits).reshape(array.shape[:-1]), wrong.reshape(array.shape)

    def _evaluate(self, bits: Bits) -> Float:
        return self._losses(self._passed(bits)[2])

    def _passed(self, bits: Bits) -> tuple[Float, Float, Float]:
        """Hidden signs [draw, cell, hidden], last weights [draw, hidden, unit], logits."""
        weights = 2.0 * bits - 1
        first, second = weights[:, :24].reshape(-1, 4, 6), weights[:, 24:].reshape(-1, 6, 2)
        hidden = np.where(self._x @ first >= 0, 1.0, -1.0)
        return hidden, second, hidden @ second

    def _losses(self, logits: Float) -> Float:
        """-ln of the softmax at the label, in the mean over all rows."""
        gap = logits[..., 1] - logits[..., 0]
        each = np.logaddexp(0, np.where(self._y == 1, -gap, gap))
        return each @ self._times / self.n_rows
