"""Batches: mini-batches of a data set, on which the draws of input-conditioned generators score.

A generator that sees the input gives every sample weights of its own, w(x). They can be scored on
that sample alone (`own`), or on the whole mini-batch that it came in (`batch`). The first asks
only that w(x) classifies x; the second asks for weights that classify.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, counted
from qhyper.bits import Bits, as_bits
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError, UnsuitableError, unknown
from qhyper.streams import Rngs
from qhyper.targets.loss import LossName, check_loss, is_by_row, label_losses, mean_losses
from qhyper.targets.objective import flips_by_evaluation
from qhyper.targets.target import Float, ObjectiveCapabilities, TakesBits

if TYPE_CHECKING:
    from qhyper.targets.layered.kernel import Kernel
    from qhyper.targets.layered.plain import PlainNetwork

ScoredOn = Literal["own", "batch"]

_TOGETHER = 8
"""Samples whose draws go through the kernel together where each is scored on its own: it computes
every draw on every sample."""


class Batches:
    """Mini-batches of `size` samples of `data`, drawn for each replica by itself.

    `scored_on`: `own` is the loss of a draw on the sample that it was drawn for, `batch` its mean
    loss on all samples of the mini-batch. `evaluations` counts the draws evaluated so far. Raises
    ConfigurationError if the data do not fit the network, or for an unknown `scored_on` or `loss`.
    """

    def __init__(
        self,
        network: "PlainNetwork",
        data: Samples,
        *,
        size: int,
        scored_on: ScoredOn,
        loss: LossName = "cross_entropy",
    ) -> None:
        network.check(data)
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ConfigurationError(
                f"A mini-batch has a whole number of samples, 1 or more; got size={size!r}."
            )
        if scored_on not in get_args(ScoredOn):
            raise unknown("scored_on", str(scored_on), get_args(ScoredOn))
        self.network, self.data, self.size = network, data, int(size)
        self.scored_on: ScoredOn = scored_on
        self.loss: LossName = check_loss(loss)
        self.evaluations = self.rows = 0
        self.n_features = data.x.shape[1]
        self.n_rows = 1 if scored_on == "own" else self.size
        self.flip_evaluations = network.n_bits + 1
        self.capabilities = ObjectiveCapabilities(flips=True)
        self._rows = network.collapse(data)

    def __repr__(self) -> str:
        return (
            f"Batches(of {self.size:,} of {len(self.data.y):,} rows, {self.network}, {self.loss}, "
            f"scored on {self.scored_on})"
        )

    def draw(self, rng: Rngs) -> "Batch":
        """A mini-batch for each replica, drawn with replacement; `rng` has one generator each."""
        return self.take(np.stack([r.integers(len(self.data.y), size=self.size) for r in rng]))

    def take(self, samples: npt.ArrayLike) -> "Batch":
        """The mini-batches of these samples, whole numbers [replica, input].

        Raises ConfigurationError for another shape, or samples that the data do not have.
        """
        n_samples = len(self.data.y)
        expected = f"numbers of samples [replica, input], each from 0 to {n_samples - 1}"
        chosen = as_array(samples, "samples", expected)
        whole = chosen.ndim == 2 and chosen.size and chosen.dtype.kind in "iu"
        if not whole or chosen.min() < 0 or chosen.max() >= n_samples:
            raise ConfigurationError(
                f"Got samples of {chosen.dtype} and shape {chosen.shape}; expected {expected}."
            )
        network, labels = self.network, self.data.y[chosen]
        together = _TOGETHER if self.scored_on == "own" else chosen.shape[1]
        kernels = [
            [
                network.kernel(self._rows.take(some, of))
                for some, of in zip(_split(of_one, together), _split(truth, together), strict=True)
            ]
            for of_one, truth in zip(chosen, labels, strict=True)
        ]
        return Batch(self, self.data.x[chosen], labels, kernels)


def _split(row: npt.NDArray, size: int) -> list[npt.NDArray]:
    return [row[first : first + size] for first in range(0, len(row), size)]


@dataclass(frozen=True, eq=False)
class Batch(TakesBits):
    """A mini-batch of each replica: an objective of draws [replica, input, shot, bit]."""

    batches: Batches
    inputs: npt.NDArray[np.float64]
    """[replica, input, feature]"""
    labels: npt.NDArray[np.int64]
    """[replica, input]"""
    kernels: "Sequence[Sequence[Kernel]]"
    """of each replica, on its samples: on all of them, or on a few each where own ones score"""

    def __repr__(self) -> str:
        return f"Batch({counted(len(self.inputs), 'replica')} of {self.batches!r})"

    def __call__(self, bits: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The loss of every draw, float64 [replica, input, shot].

        Raises ConfigurationError unless the draws have as many replicas and inputs.
        """
        array = as_bits(bits, self.batches.network.n_bits)
        if array.ndim != 4 or array.shape[:2] != self.labels.shape:
            replicas, inputs = self.labels.shape
            raise ConfigurationError(
                f"Got bits of shape {array.shape}; expected draws for this mini-batch, [replica, "
                f"input, shot, bit] with {replicas} replicas and {inputs} inputs."
            )
        self.batches.evaluations += array[..., 0].size
        self.batches.rows += array[..., 0].size * self.batches.n_rows
        score = self._on_own if self.batches.scored_on == "own" else self._on_batch
        return np.stack([score(replica, of_one) for replica, of_one in enumerate(array)])

    @property
    def flip_evaluations(self) -> int:
        """As in Objective."""
        return self.batches.flip_evaluations

    def flips(self, bits: npt.ArrayLike) -> tuple[Float, Float]:
        """As in Objective, by evaluating every string with one bit flipped."""
        return flips_by_evaluation(self, as_bits(bits, self.batches.network.n_bits))

    def wrong_weights(self, bits: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.bool_]]:
        """UnsuitableError: errors are laid to bits by packed networks alone."""
        raise UnsuitableError(
            f"{self.batches.network} lays errors to no bits: only packed networks of signs do."
        )

    def _on_batch(self, replica: int, bits: Bits) -> npt.NDArray[np.float64]:
        flat = np.ascontiguousarray(bits.reshape(-1, bits.shape[-1]))
        (kernel,) = self.kernels[replica]
        return kernel.losses(flat, self.batches.loss).reshape(bits.shape[:-1])

    def _on_own(self, replica: int, bits: Bits) -> npt.NDArray[np.float64]:
        own = []
        for few, kernel in zip(_split(bits, _TOGETHER), self.kernels[replica], strict=True):
            every = kernel.logits(np.ascontiguousarray(few.reshape(-1, few.shape[-1])))
            index = np.arange(len(few))
            own.append(every.reshape(*few.shape[:2], len(few), -1)[index, :, index])
        logits, labels = np.concatenate(own), self.labels[replica]  # [input, shot, output]
        if is_by_row(self.batches.loss, self.batches.network.n_classes):
            losses = label_losses(logits, self.batches.loss)  # [input, shot, label]
            return losses[np.arange(len(losses)), :, labels]
        each = zip(logits[:, :, None], labels[:, None], strict=True)
        return np.stack([mean_losses(of_one, label, self.batches.loss) for of_one, label in each])
