"""Mini-batches of rows, for generators that do not see them: each replica has rows of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, as_bits
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs
from qhyper.targets.objective import Objective, blocks_by_evaluation
from qhyper.targets.target import Float, TakesBits


class Scorer(Protocol):
    """A target on some rows."""

    @property
    def n_rows(self) -> int:
        """How many rows."""
        ...

    def losses(self, bits: Bits) -> Float:
        """The mean loss over the rows, float64 [draw], of bits uint8 [draw, bit]."""
        ...

    def flips(self, bits: Bits) -> tuple[Float, Float]:
        """Losses [draw] and L(bit flipped) - L [draw, bit] of bits uint8 [draw, bit]."""
        ...


class ErrorScorer(Scorer, Protocol):
    """A scorer of an objective whose capabilities have `wrong_weights`."""

    def wrong_weights(self, bits: Bits) -> tuple[Float, npt.NDArray[np.bool_]]:
        """Losses [draw] and bits that errors are laid to [draw, bit], of bits uint8 [draw, bit]."""
        ...


class RowObjective(Objective):
    """An objective that can be had on some of its rows. Subclasses give `on_rows`."""

    def on_rows(self, rows: npt.NDArray[np.int64]) -> Scorer:
        """The target on these rows alone, their numbers [row]."""
        raise NotImplementedError

    def mini_batches(self, size: int) -> "RowBatches":
        """Mini-batches of `size` rows; ConfigurationError if there are not as many."""
        return RowBatches(self, size)


class RowBatches:
    """Mini-batches of `size` rows, drawn without replacement, for each replica by itself.

    Raises ConfigurationError unless `size` is a whole number from 1 to the rows that there are.
    """

    n_features = 0

    def __init__(self, objective: RowObjective, size: int) -> None:
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not whole or not 1 <= size <= objective.n_rows:
            raise ConfigurationError(
                f"Got mini-batches of {size!r} rows from {objective.n_rows:,} rows of data; "
                f"expected a whole number from 1 to {objective.n_rows}. Choose a smaller `batch`, "
                "or leave it out to use all rows in every step."
            )
        self.objective, self.size = objective, int(size)
        self.n_rows = self.size
        self.capabilities = objective.capabilities
        self.flip_evaluations = objective.flip_evaluations

    def __repr__(self) -> str:
        return f"RowBatches(of {self.size:,} rows of {self.objective!r})"

    def block_evaluations(self, plan: npt.NDArray[np.int64]) -> int:
        """As in Objective, with the bits `plan` [block, bit]."""
        return self.objective.block_evaluations(plan)

    def draw(self, rng: Rngs) -> "RowBatch":
        """A mini-batch for each replica; `rng` has one generator each."""
        n_rows = self.objective.n_rows
        return self.take(np.stack([r.choice(n_rows, self.size, replace=False) for r in rng]))

    def take(self, rows: npt.NDArray[np.int64]) -> "RowBatch":
        """The mini-batches of these rows, whole numbers [replica, row]."""
        return RowBatch(self.objective, [self.objective.on_rows(of_one) for of_one in rows])


@dataclass(frozen=True, eq=False)
class RowBatch(TakesBits):
    """A mini-batch of each replica: an objective of draws [replica, input, shot, bit]."""

    objective: RowObjective
    scorers: list[Scorer]
    """of each replica"""

    @property
    def inputs(self) -> None:
        """None: draws are scored without inputs."""
        return None

    @property
    def flip_evaluations(self) -> int:
        """As in Objective."""
        return self.objective.flip_evaluations

    def __call__(self, bits: npt.ArrayLike) -> Float:
        """The loss of every draw, [replica, input, shot]; ConfigurationError for other replicas."""
        array = self._checked(bits)
        flat = array.reshape(len(array), -1, array.shape[-1])
        losses = [scorer.losses(of_one) for scorer, of_one in zip(self.scorers, flat, strict=True)]
        return np.stack(losses).reshape(array.shape[:-1])

    def flips(self, bits: npt.ArrayLike) -> tuple[Float, Float]:
        """As in Objective, on each replica's own rows."""
        array = self._checked(bits, self.objective.flip_evaluations)
        flat = array.reshape(len(array), -1, array.shape[-1])
        found = [scorer.flips(of_one) for scorer, of_one in zip(self.scorers, flat, strict=True)]
        losses, differences = (np.stack(part) for part in zip(*found, strict=True))
        return losses.reshape(array.shape[:-1]), differences.reshape(array.shape)

    def block_evaluations(self, plan: npt.NDArray[np.int64]) -> int:
        """As in Objective."""
        return self.objective.block_evaluations(plan)

    def blocks(self, bits: npt.ArrayLike, plan: npt.NDArray[np.int64]) -> tuple[Float, Float]:
        """As in Objective, on each replica's own rows."""
        array = self._checked(bits, self.objective.block_evaluations(plan))
        flat = array.reshape(len(array), -1, array.shape[-1])
        found = [
            scorer.blocks(of_one, plan)
            if hasattr(scorer, "blocks")
            else blocks_by_evaluation(scorer.losses, of_one, plan)
            for scorer, of_one in zip(cast(Any, self.scorers), flat, strict=True)
        ]
        losses, differences = (np.stack(part) for part in zip(*found, strict=True))
        shape = (*array.shape[:-1], *differences.shape[2:])
        return losses.reshape(array.shape[:-1]), differences.reshape(shape)

    def wrong_weights(self, bits: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.bool_]]:
        """As in Objective, on each replica's own rows; UnsuitableError where there are none."""
        if not self.objective.capabilities.wrong_weights:
            return self.objective.wrong_weights(bits)
        array = self._checked(bits)
        flat = array.reshape(len(array), -1, array.shape[-1])
        scorers = cast("Sequence[ErrorScorer]", self.scorers)
        found = [scorer.wrong_weights(of_one) for scorer, of_one in zip(scorers, flat, strict=True)]
        losses, wrong = (np.stack(part) for part in zip(*found, strict=True))
        return losses.reshape(array.shape[:-1]), wrong.reshape(array.shape)

    def _checked(self, bits: npt.ArrayLike, evaluations: int = 1) -> Bits:
        array = as_bits(bits, self.objective.n_bits)
        if array.ndim != 4 or len(array) != len(self.scorers):
            raise ConfigurationError(
                f"Got bits of shape {array.shape}; expected draws for this mini-batch, [replica, "
                f"input, shot, bit] with {len(self.scorers)} replicas."
            )
        self.objective.count(array[..., 0].size * evaluations, self.scorers[0].n_rows)
        return array
