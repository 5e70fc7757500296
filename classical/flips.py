"""Binary networks trained by flips: no gradient goes through the network.

The hypernetwork is a `TiedBernoulli`, the estimator `LocalExpectation`, the target packed, the
trainer everybody's. This is a few lines over them: rows that are packed already, one stream of
random numbers that goes on from step to step, and whole rounds over the rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classical.tied_bernoulli import TiedBernoulli
from qhyper.arrays import as_array
from qhyper.errors import ConfigurationError
from qhyper.streams import Purpose, Rngs, Streams
from qhyper.targets.batches import RowBatch, RowBatches, RowObjective
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.target import PackedObjective, PackedRows, PackedTarget
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import Trainer


@dataclass(frozen=True)
class Point:
    """A look at the training: `accuracy` of the most probable network on the held-out rows."""

    step: int
    seconds: float
    """of the training so far"""
    accuracy: float


@dataclass(frozen=True, eq=False)
class TrainedByFlips:
    """What training found: the network that was best on the held-out rows, and all looks."""

    network: PackedNetwork
    history: list[Point]


def train_by_flips(
    layers: Sequence[int],
    inputs: PackedInputs,
    labels: npt.ArrayLike,
    *,
    held_out: int = 10_000,
    seed: int = 0,
    steps: int = 10_000,
    minutes: float | None = None,
    batch: int = 4000,
    scale: float = 4.0,
    learning_rate: float = 0.3,
    image: tuple[int, int] = (28, 28),
    basis: tuple[int, int] | None = (10, 10),
    every: int = 250,
    progress: Callable[[Point], None] = lambda point: None,
) -> TrainedByFlips:
    """Train a network of one hidden layer by the differences that flips of its weights make.

    `labels` are whole numbers [row], one for each row of `inputs`. A step draws one network, takes
    its differences on the next `batch` rows, with the loss of sums divided by `scale`, and makes
    one step of Adam (Kingma and Ba 2015, with averages over 10 and 100 steps) at a rate that falls
    from `learning_rate` to 0 in a straight line. `basis` frequencies of `image` are kept, or with
    None every logit is free. `steps` are made, fewer if `minutes` end first: the rate has fallen to
    0 by then. Without `minutes`, the same seed gives the same network.

    The last `held_out` rows are not trained on. `every` so many steps, and after the last, the
    most probable network is tried on them, `progress` is told, and the best one is kept.

    Raises ConfigurationError if the layers, inputs, labels and scale do not suit
    `flip_differences`, the basis does not suit the image or the inputs, there are not `batch` rows
    besides the held-out ones, or a number is out of its range.
    """
    target = PackedTarget(layers, scale=scale)
    truth = as_array(labels, "labels", "classes, one a row")
    if not isinstance(inputs, PackedInputs):
        raise ConfigurationError(
            f"Got inputs of {type(inputs).__name__}; expected PackedInputs. Pack bits by pack_bits."
        )
    n_rows = len(inputs) - held_out
    _check(n_rows, held_out, steps, minutes, batch, learning_rate, every)
    if len(target.layers) != 3:
        raise ConfigurationError(
            f"Training by flips is for one hidden layer; got layers {target.layers}. Choose three "
            "sizes, such as (784, 128, 10)."
        )
    whole = truth.shape == (len(inputs),) and truth.dtype.kind in "iu"
    if not whole or truth.min() < 0 or truth.max() >= target.layers[-1]:
        raise ConfigurationError(
            f"Got labels of {truth.dtype} and shape {truth.shape}; expected whole numbers from 0 "
            f"to {target.layers[-1] - 1}, one for each of {len(inputs)} rows."
        )
    generator = TiedBernoulli(
        target.n_bits, layout=target.layout, basis=basis, image=image, seeds=(seed,)
    )
    seen, unseen = slice(n_rows), slice(n_rows, None)
    objective = PackedObjective(PackedRows(target, inputs.take(seen), truth[seen], "cross_entropy"))
    watch = PackedObjective(PackedRows(target, inputs.take(unseen), truth[unseen], "accuracy"))
    recipe = {key: value for key, value in generator.recipe.items() if key != "final_draws"}
    settings = TrainingSettings(
        **{**recipe, "learning_rate": learning_rate}, circuits=steps, watch_every=every,
        minutes=minutes,
    )  # fmt: skip
    trainer = Trainer(
        generator, _Rounds(objective, batch), settings, watch=watch, streams=_GoingOn(seed)
    )
    history: list[Point] = []

    def tell(trainer: Trainer) -> None:
        for look in trainer.looks[len(history) :]:
            right = round(held_out * (1 - float(look.losses[0])))
            history.append(Point(look.step, look.seconds, right / held_out))
            progress(history[-1])

    trainer.run(tell)
    return TrainedByFlips(target.to_packed(trainer.record.best_bits[0]), history)


class _GoingOn:
    """Random streams of one replica that are never begun anew: one for each purpose."""

    def __init__(self, seed: int) -> None:
        streams = Streams((seed,))
        self._of = {p: streams(0, p) for p in ("initialise", "draw", "batch")}

    def __call__(self, step: int, purpose: Purpose = "draw") -> Rngs:
        return self._of[purpose]


class _Rounds(RowBatches):
    """Mini-batches that go through all rows in rounds, each in a new order.

    What is no whole batch at the end of a round is left out.
    """

    def __init__(self, objective: RowObjective, size: int) -> None:
        super().__init__(objective, size)
        self._left = np.zeros(0, np.int64)

    def draw(self, rng: Rngs) -> RowBatch:
        """The next mini-batch of the one replica."""
        if len(self._left) < self.size:
            self._left = rng[0].permutation(self.objective.n_rows)
        chosen, self._left = self._left[: self.size], self._left[self.size :]
        return self.take(chosen[None])


def _check(
    n_rows: int, held_out: int, steps: int, minutes: float | None, batch: int,
    learning_rate: float, every: int,
) -> None:  # fmt: skip
    numbers = (held_out, steps, batch, every)
    if not all(isinstance(number, int) for number in numbers) or min(numbers) < 1:
        raise ConfigurationError(
            "held_out, steps, batch and every are whole numbers of 1 or more; got "
            f"{held_out}, {steps}, {batch} and {every}."
        )
    if n_rows < batch:
        raise ConfigurationError(
            f"Of {n_rows + held_out} rows, {held_out} are to be held out, and {batch} are needed "
            "for a batch. Choose a smaller batch, or hold out fewer."
        )
    if minutes is not None and not 0 < minutes < np.inf:
        raise ConfigurationError(f"minutes is a finite number above 0, or None; got {minutes}.")
    if not 0 < learning_rate < np.inf:
        raise ConfigurationError(
            f"learning_rate is a finite number above 0, such as 0.3; got {learning_rate}."
        )
