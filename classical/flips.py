"""Binary networks trained by flips: no gradient goes through the network.

The hypernetwork is a product of Bernoulli distributions, as in `classical.bernoulli`: weight i is
+1 with probability p_i = σ(l_i). The derivative of the expected loss is a difference of losses,

    ∂E[L]/∂p_i = E[L(w_i = +1) - L(w_i = -1)], all other weights drawn

(local expectation gradients: Titsias and Lázaro-Gredilla 2015), and one draw of the network on a
batch gives all of them (`qhyper.targets.packed.flips`). The logits follow them by Adam.

The first layer sees an image, and its logits may be smooth ones: each unit's are an image of few
frequencies, the trained parameters its coefficients. That ties neighbouring weights, which a batch
tells little about one by one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct
from scipy.special import expit

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.packed.flips import flip_differences
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.population import correct
from qhyper.targets.packed.shape import PackedShape
from qhyper.threads import one_torch_thread

Reals = npt.NDArray[np.float64]


class Cosines:
    """Images of few frequencies: the first `kept` (rows, columns) of the cosine transform.

    The transform is the orthonormal DCT-II (Ahmed, Natarajan and Rao 1974) of `image` = (height,
    width). Raises ConfigurationError unless at least one frequency is kept, and no more than the
    image has, along each side.
    """

    def __init__(self, image: tuple[int, int], kept: tuple[int, int]) -> None:
        if len(image) != 2 or len(kept) != 2 or not all(
            1 <= k <= size for k, size in zip(kept, image, strict=True)
        ):  # fmt: skip
            raise ConfigurationError(
                f"Got basis={kept} for images of {image}; expected two numbers of frequencies, "
                "each from 1 to the side of the image, such as (10, 10) of (28, 28)."
            )
        self.image, self.kept = tuple(image), tuple(kept)
        self._rows, self._columns = (
            np.ascontiguousarray(dct(np.eye(size), norm="ortho", axis=0)[:k])
            for k, size in zip(kept, image, strict=True)
        )

    def images(self, coefficients: Reals) -> Reals:
        """Images [..., height * width] of coefficients [..., kept rows, kept columns]."""
        images = self._rows.T @ coefficients @ self._columns
        return images.reshape(*coefficients.shape[:-2], -1)

    def coefficients(self, images: Reals) -> Reals:
        """The transpose of `images`, and its inverse on images of these frequencies alone."""
        squares = images.reshape(*images.shape[:-1], *self.image)
        return self._rows @ squares @ self._columns.T


class TiedBernoulli:
    """Independent weights of a network of one hidden layer, their logits tied by `basis` or free.

    `parameters` are float64: the first layer's coefficients [hidden, kept rows, kept columns], or
    its logits [hidden, input] without a basis, and the last layer's logits [class, hidden]. They
    start at N(0, 1). Raises ConfigurationError if the images of the basis are not of as many
    pixels as there are inputs.
    """

    def __init__(self, shape: PackedShape, basis: Cosines | None, rng: np.random.Generator) -> None:
        (n_hidden, n_inputs), last = shape.matrices
        if basis is not None and np.prod(basis.image) != n_inputs:
            raise ConfigurationError(
                f"Got images of {basis.image} for {n_inputs} inputs. Choose the image that the "
                "inputs are the pixels of, or basis=None."
            )
        self.basis = basis
        first = (n_hidden, n_inputs) if basis is None else (n_hidden, *basis.kept)
        self.parameters: list[Reals] = [rng.normal(size=first), rng.normal(size=last)]

    def probabilities(self) -> list[Reals]:
        """The probability that each weight is +1, [unit, input] of both layers."""
        first, last = self.parameters
        return [expit(first if self.basis is None else self.basis.images(first)), expit(last)]

    def gradients(self, probabilities: list[Reals], slopes: list[Reals]) -> list[Reals]:
        """Derivatives by the parameters, from those by the probabilities: the chain rule."""
        first, last = (s * p * (1 - p) for s, p in zip(slopes, probabilities, strict=True))
        return [first if self.basis is None else self.basis.coefficients(first), last]


def loss_slopes(
    shape: PackedShape,
    bits: list[Bits],
    inputs: PackedInputs,
    labels: npt.NDArray[np.integer],
    scale: float,
) -> list[Reals]:
    """L(w_i = +1) - L(w_i = -1) of every weight, [unit, input] of both layers, others as drawn.

    `bits` [unit, input] are one draw. Their mean over draws is the derivative of the expected loss
    by the probability that w_i = +1. Raises ConfigurationError as `flip_differences` does.
    """
    _, differences = flip_differences(shape, shape.pack(bits), inputs, labels, scale)
    return [np.where(w, -d, d) for w, d in zip(bits, differences, strict=True)]


@dataclass(frozen=True)
class Point:
    """A look at the training: `accuracy` of the most probable network on the held-out rows."""

    step: int
    seconds: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Trained:
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
) -> Trained:
    """Train a network of one hidden layer by the differences that flips of its weights make.

    A step draws one network, takes its differences on the next `batch` rows, with the loss of
    sums divided by `scale`, and makes one step of Adam (Kingma and Ba 2015, with averages over 10
    and 100 steps) at a rate that falls from `learning_rate` to 0 in a straight line. `basis`
    frequencies of `image` are kept, or with None every logit is free. `steps` are made, fewer if
    `minutes` end first: the rate has fallen to 0 by then. Without `minutes`, the same seed gives
    the same network.

    The last `held_out` rows are not trained on. `every` so many steps, and after the last, the
    most probable network is tried on them, `progress` is told, and the best one is kept.

    Raises ConfigurationError if the layers, inputs, labels and scale do not suit
    `flip_differences`, the basis does not suit the image or the inputs, there are not `batch` rows
    besides the held-out ones, or a number is out of its range.
    """
    shape, truth = PackedShape(tuple(layers)), np.asarray(labels)
    if not isinstance(inputs, PackedInputs):
        raise ConfigurationError(
            f"Got inputs of {type(inputs).__name__}; expected PackedInputs. Pack bits by pack_bits."
        )
    n_rows = len(inputs) - held_out
    _check(n_rows, held_out, steps, minutes, batch, learning_rate, every)
    if len(shape.layers) != 3:
        raise ConfigurationError(
            f"Training by flips is for one hidden layer; got layers {shape.layers}. Choose three "
            "sizes, such as (784, 128, 10)."
        )
    whole = truth.shape == (len(inputs),) and truth.dtype.kind in "iu"
    if not whole or truth.min() < 0 or truth.max() >= shape.layers[-1]:
        raise ConfigurationError(
            f"Got labels of {truth.dtype} and shape {truth.shape}; expected whole numbers from 0 "
            f"to {shape.layers[-1] - 1}, one for each of {len(inputs)} rows."
        )
    start, draw, order = (
        Streams((seed,))(0, purpose)[0] for purpose in ("initialise", "draw", "batch")
    )
    weights = TiedBernoulli(shape, None if basis is None else Cosines(image, basis), start)
    unseen = inputs.take(slice(n_rows, None))
    batches = _batches(n_rows, batch, order)
    best, words, history, began = -1.0, np.zeros(shape.n_words, np.uint64), [], time.monotonic()
    with one_torch_thread(), torch.no_grad():
        tensors = [torch.from_numpy(parameter) for parameter in weights.parameters]
        optimiser: Any = torch.optim.Adam(tensors, betas=(0.9, 0.99), eps=1e-12, fused=True)
        for step in range(1, steps + 1):
            seconds = time.monotonic() - began
            spent = max((step - 1) / steps, seconds / (60 * minutes) if minutes else 0.0)
            last = step == steps or spent >= 1
            rows = next(batches)
            p = weights.probabilities()
            bits = [(draw.random(of_layer.shape) < of_layer).view(np.uint8) for of_layer in p]
            slopes = loss_slopes(shape, bits, inputs.take(rows), truth[rows], scale)
            for tensor, gradient in zip(tensors, weights.gradients(p, slopes), strict=True):
                tensor.grad = torch.from_numpy(gradient)
            optimiser.param_groups[0]["lr"] = learning_rate * max(0.0, 1 - spent)
            optimiser.step()
            if last or step % every == 0:
                likely = shape.pack([(q > 0.5).view(np.uint8) for q in weights.probabilities()])
                right = correct(shape, likely[None], unseen, truth[n_rows:])[0]
                seconds = time.monotonic() - began
                history.append(Point(step, seconds, float(right / held_out)))
                if history[-1].accuracy > best:
                    best, words = history[-1].accuracy, likely
                progress(history[-1])
            if last:
                break
    return Trained(PackedNetwork(shape, words, shape.limits()), history)


def _batches(n_rows: int, size: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Numbers of rows without end: every round in a new order, what is no whole batch left out."""
    while True:
        shuffled = rng.permutation(n_rows)
        for first in range(0, n_rows - size + 1, size):
            yield shuffled[first : first + size]


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
