"""The mean loss of convolutional networks over a data set, draw by draw."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, as_bits
from qhyper.data.samples import Samples
from qhyper.machine import GIB, memory
from qhyper.targets.batches import RowObjective
from qhyper.targets.convolutional.open_kernels import OpenKernels
from qhyper.targets.loss import LossName, mean_losses
from qhyper.targets.objective import flips_by_evaluation
from qhyper.targets.target import Float, ObjectiveCapabilities

_BATCH = 1000
"""Rows of a mini-batch, unless told, where there are more."""
_FINAL_DRAWS = 64
_KEPT = GIB
"""Bytes that are kept of rows at the most."""


class ConvolutionalObjective(RowObjective):
    """The mean loss of convolutional networks over a data set, draw by draw."""

    usual_budget: Mapping[str, int] = {"rows": 10_000_000}

    def __init__(
        self,
        rows: "ConvolutionalRows",
        subject: str,
        of_samples: "Callable[[Samples, LossName], ConvolutionalRows]",
        *,
        packed: bool,
    ) -> None:
        self.all_rows, self._of_samples = rows, of_samples
        self._subject = subject
        self.capabilities = ObjectiveCapabilities(
            accuracy=True, mini_batches=True, flips=True, module=packed, packed=packed
        )
        batch = {"batch": _BATCH} if rows.n_rows > _BATCH else {}
        self.usual_training: Mapping[str, Any] = {"final_draws": _FINAL_DRAWS, **batch}
        self._other: tuple[Samples, ConvolutionalRows] | None = None
        super().__init__(
            None, rows.kernels.layout.n_bits, name=f"{rows.loss} of {subject}", loss=rows.loss,
            layout=rows.kernels.layout, n_rows=rows.n_rows,
        )  # fmt: skip

    @property
    def subject(self) -> str:
        """The network, in words."""
        return self._subject

    def _evaluate(self, bits: Bits) -> npt.ArrayLike:
        return self.all_rows.losses(bits)

    def accuracy(self, bits: npt.ArrayLike, samples: Samples | None = None) -> Float:
        """As in the protocol; ConfigurationError if the samples do not fit the network."""
        rows = self.all_rows
        if samples is not None:
            if self._other is None or self._other[0] is not samples:
                self._other = samples, self._of_samples(samples, rows.loss)  # asked for again
            rows = self._other[1]
        array = as_bits(bits, self.n_bits)
        right = rows.correct(array.reshape(-1, self.n_bits))
        return (right / rows.n_rows).reshape(array.shape[:-1])

    def on_rows(self, rows: npt.NDArray[np.int64]) -> "ConvolutionalRows":
        """The target on these rows alone, their numbers [row]."""
        whole = self.all_rows
        return replace(whole, x=whole.x[rows], labels=whole.labels[rows]).prepared()

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of every row, int64 [row]."""
        return self.all_rows.labels


@dataclass(frozen=True, eq=False)
class ConvolutionalRows:
    """Rows as one of the steps gets them, with labels: a Scorer."""

    kernels: OpenKernels
    scale: float
    """by which outputs are divided before the loss"""
    x: npt.NDArray
    """what the step `start` gets, [row, channel, row, column]"""
    start: int
    """the first step with a free kernel, or one before it"""
    labels: npt.NDArray[np.int64]
    loss: LossName

    @property
    def n_rows(self) -> int:
        """How many rows."""
        return len(self.labels)

    def prepared(self) -> "ConvolutionalRows":
        """These rows with what comes before a free kernel done, if that takes little memory.

        Else it is done again for each draw, on a few rows after the other. Either way all results
        are the same.
        """
        first = self.kernels.first
        values = self.kernels.network.values[first]
        octets = self.n_rows * math.prod(values.shape) * (1 if values.kind == "bits" else 8)
        if self.start == first or octets > min(_KEPT, memory() // 4):
            return self
        return replace(self, x=self.kernels.before(self.x, self.start), start=first)

    def _outputs(self, bits: Bits) -> npt.NDArray:
        """Outputs [row, class] of one draw [n_bits]."""
        return self.kernels.outputs(bits, self.x, self.start)

    def correct(self, bits: Bits) -> npt.NDArray[np.int64]:
        """Rows that each of bits [draw, bit] classifies correctly, int64 [draw]."""
        draws, number = _distinct(bits)
        found = [(self._outputs(draw).argmax(axis=1) == self.labels).sum() for draw in draws]
        return np.array(found, np.int64)[number]

    def losses(self, bits: Bits) -> Float:
        """The mean loss, float64 [draw], of bits uint8 [draw, bit]."""
        if self.loss == "accuracy":
            return 1 - self.correct(bits) / self.n_rows
        draws, number = _distinct(bits)
        outputs = (self._outputs(draw) / self.scale for draw in draws)
        found = [mean_losses(z, self.labels, self.loss) for z in outputs]
        return np.array(found, np.float64)[number]

    def flips(self, bits: Bits) -> tuple[Float, Float]:
        """Losses [draw] and L(bit flipped) - L [draw, bit] of bits uint8 [draw, bit]."""

        def losses(strings: Bits) -> Float:
            flat = strings.reshape(-1, strings.shape[-1])
            return self.losses(flat).reshape(strings.shape[:-1])

        return flips_by_evaluation(losses, bits)


def _distinct(bits: Bits) -> tuple[Bits, npt.NDArray[np.int64]]:
    """(Those of bits [draw, bit] that differ, and which of them each draw is).

    A network of a trained generator is drawn again and again, and costs a pass over all rows.
    """
    seen: dict[bytes, int] = {}
    number = [seen.setdefault(draw.tobytes(), len(seen)) for draw in bits]
    first = np.unique(number, return_index=True)[1]
    return bits[first], np.array(number, np.int64)
