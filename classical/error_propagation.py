"""Training in depth without floating point: errors of -1, 0 and +1 go down through binary layers.

Weights and activations are ±1, so that a layer is XNOR and a count of ones; all else is whole
numbers. A step on a batch of rows:

- The sums of the last layer are scores. If the true class does not lead the best other one by
  `margin`, the error is +1 for it and -1 for the other, else there is none: the perceptron of many
  classes (Crammer and Singer 2003) with a margin.
- The error of a unit below is the sign of Σ weight × error over the units above, and 0 if its own
  sum is further from 0 than `window`: the straight-through estimator with its window (Courbariaux
  et al. 2016, equation 4), of which the sign alone goes on.
- Every weight is the sign of a hidden integer, which grows by rate × Σ over rows of error × input,
  and stays within ±`limit`.

To train in depth by Boolean operations and whole numbers alone is the aim of BOLD
(arXiv:2405.16339) and of Binary Error Propagation (arXiv:2512.04189), to which this is close; it
transcribes neither.

No number is a float, random ones included. `classical.error_kernels` has the kernels.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classical import error_kernels as kernels
from qhyper.arrays import as_array, is_whole
from qhyper.bits import Words, n_words, pack
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape
from qhyper.threads import in_threads

MOST = 2**15 - 1
"""The largest hidden integer, of 16 bits."""
_ROWS = 64
"""Rows that are worth a thread."""
_PARTS = 1 << 20
"""Training is counted in so many parts, for the rate."""
_SECOND = 10**9
"""In nanoseconds."""


@dataclass(frozen=True)
class Look:
    """A look at the training after an epoch: whole numbers."""

    epoch: int
    milliseconds: int
    """of the training so far"""
    correct: int
    """of the rows held out"""


@dataclass(frozen=True, eq=False)
class TrainedByErrors:
    """What training found: the network that was best on the held-out rows, and all looks."""

    network: PackedNetwork
    history: list[Look]


def train_by_errors(
    layers: Sequence[int],
    inputs: PackedInputs,
    labels: npt.ArrayLike,
    *,
    held_out: int = 10_000,
    seed: int = 0,
    epochs: int | None = None,
    seconds: int | None = None,
    batch: int = 100,
    margin: int = 128,
    window: int = 20,
    rate: int = 32,
    limit: int = 32_000,
    start: int = 16_000,
    random_layers: int = 0,
    progress: Callable[[Look], None] = lambda look: None,
) -> TrainedByErrors:
    """Train a binary network of any depth by errors that go down through it.

    `labels` are whole numbers [row], one for each row of `inputs`. Hidden integers begin uniform
    from -start to start - 1. An epoch goes through the rows in a new order, `batch` by batch; what
    is no whole batch is left out. The rate falls from `rate` to 1 in a straight line over the
    training, which ends after so many `epochs` or whole `seconds`, whichever is first. The first
    `random_layers` layers keep the weights that they begin with, which tells what training them is
    worth. Without `seconds`, the same seed gives the same network, on any number of threads.

    The last `held_out` rows are not trained on. After every epoch the network is tried on them,
    `progress` is told, and the best one is kept.

    Raises ConfigurationError if the inputs are not packed bits of the first layer's size, the
    labels no classes of the last one, there are not `batch` rows besides the held-out ones, or a
    number is out of its range.
    """
    learner = Learner(
        layers, seed=seed, margin=margin, window=window, limit=limit, start=start,
        random_layers=random_layers,
    )  # fmt: skip
    _check_numbers(held_out, batch, rate, epochs, seconds)
    truth = _checked(learner.shape, inputs, labels)
    n_rows = len(inputs) - held_out
    if n_rows < batch:
        raise ConfigurationError(
            f"Of {len(inputs)} rows, {held_out} are to be held out, and {batch} are needed for a "
            "batch. Choose a smaller batch, or hold out fewer."
        )
    words = np.split(inputs.words[0], [n_rows], axis=1)
    rows, unseen = (np.ascontiguousarray(part) for part in words)  # or `take` copies them whole
    order, in_epoch = Streams((seed,))(0, "batch")[0], n_rows // batch
    began, done, epoch = time.perf_counter_ns(), 0, 0
    history: list[Look] = []
    kept, most = learner.network(), -1
    while done < _PARTS:
        chosen = order.permutation(n_rows)
        for step in range(in_epoch):
            done = _done(epoch * in_epoch + step, in_epoch, epochs, began, seconds)
            if done >= _PARTS:
                break
            some = chosen[step * batch : (step + 1) * batch]
            now = 1 + (rate - 1) * (_PARTS - done) // _PARTS
            learner.step(np.take(rows, some, axis=1), truth[some], now)
        epoch += 1
        done = _done(epoch * in_epoch, in_epoch, epochs, began, seconds)
        correct = int((learner.scores(unseen).argmax(axis=1) == truth[n_rows:]).sum())
        if correct > most:
            kept, most = learner.network(), correct
        milliseconds = (time.perf_counter_ns() - began) // 10**6
        history.append(Look(epoch, milliseconds, correct))
        progress(history[-1])
    return TrainedByErrors(kept, history)


class Learner:
    """A network of ±1 weights that learns: `hidden` integers, and bits that are their signs.

    `hidden` holds int16 [unit, input] of every layer. See `train_by_errors` for the arguments.

    Raises ConfigurationError for layers without two outputs or numbers out of their range.
    """

    def __init__(
        self, layers: Sequence[int], *, seed: int, margin: int, window: int, limit: int,
        start: int, random_layers: int = 0,
    ) -> None:  # fmt: skip
        self.shape = PackedShape(tuple(layers))
        if self.shape.layers[-1] < 2:
            raise ConfigurationError(
                f"Got layers {self.shape.layers}; expected two outputs or more, one for each class."
            )
        numbers = (seed, margin, window, limit, start)
        if not all(is_whole(n, at_least=0) for n in numbers) or not 0 < start <= limit <= MOST:
            raise ConfigurationError(
                f"Got margin={margin}, window={window}, limit={limit}, start={start} and "
                f"seed={seed}; expected whole numbers, start and limit from 1 to {MOST}, and start "
                "at most the limit."
            )
        depth = len(self.shape.matrices)
        if not is_whole(random_layers, at_least=0) or random_layers >= depth:
            raise ConfigurationError(
                f"Got random_layers={random_layers} of {depth} layers; expected 0 to {depth - 1}, "
                "so that the last one is trained."
            )
        self.margin, self.window, self.limit = margin, window, limit
        self.random_layers = random_layers
        rng = Streams((seed,))(0, "initialise")[0]
        self.hidden = [
            rng.integers(-start, start, size=matrix, dtype=np.int16)
            for matrix in self.shape.matrices
        ]
        signs = [(hidden >= 0).astype(np.uint8) for hidden in self.hidden]
        self._by_input = [_packed(bits.T) for bits in signs]
        """Packed along the inputs, [word of input, unit]: for sums"""
        self._by_unit = [_packed(bits) for bits in signs]
        """Packed along the units, [word of unit, input]: for errors"""

    def network(self) -> PackedNetwork:
        """The network as it is now, from bits to sums."""
        matrices = [(hidden >= 0).astype(np.uint8) for hidden in self.hidden]
        return PackedNetwork(self.shape, self.shape.pack(matrices), self.shape.limits())

    def scores(self, words: Words) -> npt.NDArray[np.int32]:
        """Sums of the last layer, int32 [row, class], of packed rows uint64 [word, row]."""
        return self._forward(words)[2]

    def step(self, words: Words, labels: npt.NDArray[np.int64], rate: int) -> int:
        """Learn from packed rows uint64 [word, row] with labels [row]; how many had an error."""
        inputs, near, scores = self._forward(words)
        plus, minus = (_zeros(scores.shape[1], len(labels)) for _ in range(2))
        kernels.output_errors(scores, labels, self.margin, plus, minus)
        wrong = np.flatnonzero(plus.any(axis=0))
        if not len(wrong):
            return 0
        plus, minus = np.take(plus, wrong, axis=1), np.take(minus, wrong, axis=1)
        for layer in reversed(range(self.random_layers, len(self.hidden))):
            here = np.take(inputs[layer], wrong, axis=1)
            errors = plus, minus
            if layer > self.random_layers:  # before the weights change
                inside = np.take(near[layer - 1], wrong, axis=1)
                plus, minus = np.empty_like(inside), np.empty_like(inside)
                in_threads(
                    kernels.errors_below, len(wrong), *errors, self._by_unit[layer], inside,
                    plus, minus, at_least=_ROWS,
                )  # fmt: skip
            n_out, n_in = self.hidden[layer].shape
            turned = _turned(here, n_in), *(_turned(bits, n_out) for bits in errors)
            in_threads(
                kernels.update, n_words(n_out), *turned, rate, self.limit, self.hidden[layer],
                self._by_unit[layer], self._by_input[layer],
            )  # fmt: skip
        return len(wrong)

    def _forward(self, words: Words) -> tuple[list[Words], list[Words], npt.NDArray[np.int32]]:
        """Inputs of every layer and hidden units within the window, [word, row]; and the scores."""
        n_rows = words.shape[1]
        inputs, near = [np.ascontiguousarray(words)], []
        for (n_out, n_in), weights in zip(
            self.shape.matrices[:-1], self._by_input[:-1], strict=True
        ):
            signs, inside = _zeros(n_out, n_rows), _zeros(n_out, n_rows)
            in_threads(
                kernels.hidden, n_rows, inputs[-1], weights, n_in, self.window, signs, inside,
                at_least=_ROWS,
            )  # fmt: skip
            inputs.append(signs)
            near.append(inside)
        n_out, n_in = self.shape.matrices[-1]
        scores = np.empty((n_rows, n_out), np.int32)
        in_threads(
            kernels.scores, n_rows, inputs[-1], self._by_input[-1], n_in, scores, at_least=_ROWS
        )
        return inputs, near, scores


def _packed(bits: npt.NDArray[np.uint8]) -> Words:
    """Bits [a, b] packed along a: uint64 [word of a, b]."""
    return np.ascontiguousarray(pack(np.ascontiguousarray(bits.T)).T)


def _turned(words: Words, n: int) -> Words:
    """Bits of `n` and rows, [word, row], packed along the rows: [word of row, n]."""
    out = _zeros(words.shape[1], n)
    kernels.turn(words, out)
    return out


def _zeros(n_bits: int, columns: int) -> Words:
    return np.zeros((n_words(n_bits), columns), np.uint64)


def _done(step: int, in_epoch: int, epochs: int | None, began: int, seconds: int | None) -> int:
    """Parts of the training that are over, in 2^-20: of its steps or its time."""
    of_steps = 0 if epochs is None else step * _PARTS // (epochs * in_epoch)
    if seconds is None:
        return of_steps
    return max(of_steps, (time.perf_counter_ns() - began) * _PARTS // (seconds * _SECOND))


def _checked(
    shape: PackedShape, inputs: PackedInputs, labels: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """The labels, if they and the inputs suit the network."""
    if not isinstance(inputs, PackedInputs) or inputs.planes != 1:
        got = "pixels" if isinstance(inputs, PackedInputs) else type(inputs).__name__
        raise ConfigurationError(f"Got inputs of {got}; expected bits. Pack them by pack_bits.")
    if inputs.n_inputs != shape.layers[0]:
        raise ConfigurationError(
            f"Got rows of {inputs.n_inputs} inputs for layers {shape.layers}; expected "
            f"{shape.layers[0]}. Choose other layers."
        )
    truth = as_array(labels, "labels", "classes, one a row")
    whole = truth.size and truth.shape == (len(inputs),) and truth.dtype.kind in "iu"
    if not whole or truth.min() < 0 or truth.max() >= shape.layers[-1]:
        raise ConfigurationError(
            f"Got labels of {truth.dtype} and shape {truth.shape}; expected whole numbers from 0 "
            f"to {shape.layers[-1] - 1}, one for each of {len(inputs)} rows."
        )
    return truth.astype(np.int64)


def _check_numbers(
    held_out: int, batch: int, rate: int, epochs: int | None, seconds: int | None
) -> None:
    numbers = [held_out, batch, rate, *(n for n in (epochs, seconds) if n is not None)]
    if len(numbers) == 3 or not all(is_whole(number, at_least=1) for number in numbers):
        raise ConfigurationError(
            f"Got held_out={held_out}, batch={batch}, rate={rate}, epochs={epochs} and "
            f"seconds={seconds}; expected whole numbers of 1 or more, and epochs or seconds, or "
            "both, to end training."
        )
